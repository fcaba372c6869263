"""What a file costs: calls on cnmfs, beside the smallest filesystem and those of the kernel.

Client and server share a CPU, and the client does nothing but the calls.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter_ns as now
from typing import NamedTuple

from bench import report
from bench.machine import Host
from bench.ours import Pycnm
from bench.table import Table, microseconds
from bench.times import Times, rotated

READ, READ_ENDPOINT = "open, read and close a value", "open, read and close one of an endpoint"
READ_CHANGED = "the first of these after a change"
STAT, STAT_DIRECTORY = "stat a value", "stat a directory"
LABEL, ATTACHABLE = "write a label", "write `attachable`"
NETWORK, SANDBOX, ENDPOINT = "a network", "a sandbox", "an endpoint"
_MAKE, _REMOVE, _BOTH = "mkdir {}", "rmdir {}", "mkdir and rmdir {}"

_CALLS, _CHANGES, _FEW = 500, 50, 5
_VALUES, _FLAGS = ("1400", "1500"), ("0", "1")
_FEWER = {READ_CHANGED, LABEL, ATTACHABLE}
_IDLE = "idle"
_PAGE = 4096
_IN_MILLISECONDS = 1e-6

Call = Callable[[], object]


class Subject(NamedTuple):
    """Somebody who is measured.

    Attributes:
        calls: what is done with a value; each is given its turn's number.
        objects: what makes one and what removes it.
        settle: waits until the kernel has done with what was removed.
        before: what is done before each of some calls, and isn't measured.
    """

    name: str
    calls: Mapping[str, Callable[[int], object]]
    objects: Mapping[str, tuple[Call, Call]]
    settle: Call | None = None
    before: Mapping[str, Call] = {}


def prepare(ours: Pycnm) -> None:
    """Have there what is written to and connected."""
    ours.create_sandbox(_IDLE)
    ours.network.configure(labels={"x": _VALUES[0]})


def library(ours: Pycnm) -> Subject:
    """The calls of pycnm that files of cnmfs stand for."""
    network, controller = ours.network, ours.controller
    return Subject(
        ours.name,
        {
            LABEL: lambda turn: network.configure(labels={"x": _VALUES[turn % 2]}),
            ATTACHABLE: lambda turn: network.configure(attachable=bool(turn % 2)),
        },
        {
            NETWORK: (
                lambda: controller.create_network("new"),
                lambda: controller.network("new").delete(),
            ),
            SANDBOX: (
                lambda: controller.create_sandbox("new"),
                lambda: controller.sandbox("new").delete(),
            ),
            ENDPOINT: (lambda: network.connect(_IDLE), lambda: network.disconnect(_IDLE)),
        },
        _settled(ours),
    )


def tree(name: str, root: Path, ours: Pycnm, *, changes: bool = False) -> Subject:
    """The tree of cnmfs, or a copy of it.

    Args:
        changes: what is made or removed in it is so in the kernel.
    """
    network, sandboxes = root / "networks/bench", root / "sandboxes"
    read = _reader(network / "mtu")
    return Subject(
        name,
        {
            READ: read,
            READ_CHANGED: read,
            READ_ENDPOINT: _reader(sandboxes / ours.resident / "endpoints/bench/ip"),
            STAT: _status(network / "mtu"),
            STAT_DIRECTORY: _status(network),
            LABEL: _writer(network / "labels/x", _VALUES),
            ATTACHABLE: _writer(network / "attachable", _FLAGS),
        },
        {
            NETWORK: _directory(root / "networks/new"),
            SANDBOX: _directory(sandboxes / "new"),
            ENDPOINT: _directory(sandboxes / _IDLE / "endpoints/bench"),
        },
        _settled(ours) if changes else None,
        {READ_CHANGED: ours.change},
    )


def _settled(ours: Pycnm) -> Call:
    return partial(ours.host.settle, ours.host.links())


def interface(host: Host, interfaces: Path) -> Subject:
    """An interface in sysfs."""
    host.run(["ip", "link", "add", "beside", "type", "bridge"])
    mtu = interfaces / "beside/mtu"
    calls = {
        READ: _reader(mtu),
        STAT: _status(mtu),
        STAT_DIRECTORY: _status(mtu.parent),
        LABEL: _writer(mtu, _VALUES),
    }
    return Subject("sysfs", calls, {})


def group(path: Path) -> Subject:
    """A cgroup, and one that is made in it."""
    depth = path / "cgroup.max.depth"
    calls = {
        READ: _reader(depth),
        STAT: _status(depth),
        STAT_DIRECTORY: _status(path),
        LABEL: _writer(depth, _VALUES),
    }
    return Subject("cgroup2", calls, {NETWORK: _directory(path / "new")})


def _reader(path: Path) -> Callable[[int], object]:
    name = bytes(path)

    def read(_turn: int) -> None:
        descriptor = os.open(name, os.O_RDONLY)
        os.read(descriptor, _PAGE)
        os.close(descriptor)

    return read


def _status(path: Path) -> Callable[[int], object]:
    name = bytes(path)
    return lambda _turn: os.stat(name)  # noqa: PTH116 - a path of bytes is made once


def _writer(path: Path, values: Sequence[str]) -> Callable[[int], object]:
    name, lines = bytes(path), [f"{value}\n".encode() for value in values]

    def write(turn: int) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, lines[turn % 2])
        os.close(descriptor)

    return write


def _directory(path: Path) -> tuple[Call, Call]:
    name = bytes(path)
    return partial(os.mkdir, name), partial(os.rmdir, name)


def in_turns(subjects: Sequence[Subject], times: Times, rounds: int) -> None:
    """All of it, so often, after one round to warm up."""
    for number in range(rounds + 1):
        for subject in rotated(subjects, number):
            _one_turn(subject, times)
        if not number:
            times.forget()


def _one_turn(subject: Subject, times: Times) -> None:
    for what, call in subject.calls.items():
        taken = []
        before = subject.before.get(what)
        for turn in range(_CHANGES if what in _FEWER else _CALLS):
            if before:
                before()
            start = now()
            call(turn)
            taken.append(now() - start)
        _note(times, what, subject.name, taken)
    for what, (make, remove) in subject.objects.items():
        made, removed = [], []
        for _ in range(_FEW if subject.settle else _CHANGES):
            start = now()
            make()
            middle = now()
            remove()
            removed.append(now() - middle)
            made.append(middle - start)
            if subject.settle:
                subject.settle()
        both = [sum(pair) for pair in zip(made, removed, strict=True)]
        for form, durations in ((_MAKE, made), (_REMOVE, removed), (_BOTH, both)):
            _note(times, form.format(what), subject.name, durations)


def _note(times: Times, what: str, who: str, taken: Sequence[int]) -> None:
    times.note(what, who, statistics.median(taken) * _IN_MILLISECONDS)


_TO_READ = "≤ 1.5 of smallest"
_BUDGETS = {READ: _TO_READ, READ_ENDPOINT: _TO_READ, _MAKE.format(NETWORK): "≤ 8,000"}


def table(times: Times) -> Table:
    """All of it."""
    works = [READ, READ_CHANGED, READ_ENDPOINT, STAT, STAT_DIRECTORY, LABEL, ATTACHABLE]
    works += [
        form.format(what)
        for what in (NETWORK, SANDBOX, ENDPOINT)
        for form in (_MAKE, _REMOVE, _BOTH)
    ]
    rows = [((work, _BUDGETS.get(work, "")), work) for work in works]
    made = report.on_files("A call on a file", ["Work", "Budget"], rows, times, microseconds)
    note = (
        "Microseconds, the median of the rounds' medians; all on one CPU. A value of sysfs is the "
        "MTU of a bridge, one of cgroup2 `cgroup.max.depth`; each write changes the value. What "
        "cgroup2 makes is a cgroup. pycnm is the library without files: where there is one, the "
        "ratio is to it, and otherwise to the smallest filesystem."
    )
    return made._replace(notes=[note])
