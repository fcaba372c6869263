"""The tables: rows of the design's budgets, filled in."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import mounts, startup, work
from bench.table import Table, milliseconds, ratio
from bench.times import Times


class Budget(NamedTuple):
    """A row and what it may take, in milliseconds."""

    row: str
    work: str
    limit: float


BUDGETS = (
    Budget("1", work.NETWORK, 5),
    Budget("2", work.CONNECT, 3),
    Budget("2", work.CONNECT_ONE, 3),
    Budget("3", work.CONNECT_TEN, 6),
    Budget("4", work.DELETE, 3),
    Budget("4", work.DELETE_ONE, 3),
    Budget("4", work.DELETE_TEN, 3),
)
_PUBLISHING = (Budget("5", work.PUBLISH, 40), Budget("5", work.UNPUBLISH, 40))
OURS, KERNEL = "pycnm", "kernel alone"
_PEERS = ("CNI", "netavark")
_QUIET = 0.5


def surroundings(rounds: int, absent: Sequence[str]) -> str:
    """On what is measured, in a few sentences; to be asked before it is."""
    today = dt.datetime.now(tz=dt.UTC).date()
    words = (
        f"{today}, Linux {platform.release()}, {os.cpu_count()} CPUs ({_cpu()}), "
        f"Python {platform.python_version()}. Milliseconds: the median of {rounds} rounds, "
        "the worst in brackets."
    )
    load, *_ = os.getloadavg()
    if load > _QUIET:
        words += f" The machine was busy with other things as well: its load was {load:.1f}."
    if absent:
        words += f" Not installed, so not measured: {', '.join(absent)}."
    return words


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def side_by_side(times: Times, names: Sequence[str]) -> Table:
    """Rows 1 to 4 of everybody."""
    return _compared("Beside its peers", BUDGETS, times, names)


def publishing(times: Times, names: Sequence[str], processes: int, memory: float) -> Table:
    """Row 5."""
    table = _compared("500 ports", _PUBLISHING, times, names)
    note = (
        f"Publishing them started {processes} processes and took {memory:.1f} MiB of the agent's "
        "memory. CNI and netavark can't publish live: theirs is an attachment with 500 ports, and "
        "its end."
    )
    return table._replace(notes=[note])


def _compared(title: str, budgets: Sequence[Budget], times: Times, names: Sequence[str]) -> Table:
    head = ["Row", "Work", "Budget", *names, "budget used", "to the best peer", "to the kernel"]
    rows = []
    for row, what, limit in budgets:
        ours = times.median(what, OURS)
        if ours is None:
            continue
        peers = [times.median(what, name) for name in _PEERS]
        best = min((peer for peer in peers if peer is not None), default=None)
        taken = [milliseconds(times.median(what, name), times.worst(what, name)) for name in names]
        rows.append(
            [
                row,
                what,
                f"≤ {limit:g}",
                *taken,
                f"{ours / limit:.0%}",
                ratio(ours, best),
                ratio(ours, times.median(what, KERNEL)),
            ]
        )
    return Table(title, head, rows)


def rates(times: Times, count: int) -> Table:
    """Row 6."""
    rows = []
    for what, least in (
        (work.MAKE_ALL, ""),
        (work.ATTACH_ALL, "≥ 500"),
        (work.DELETE_ALL, "≥ 1,000"),
        (work.DELETE_EACH, ""),
    ):
        ours, bare = (_rate(times, what, name, count) for name in (OURS, KERNEL))
        share = f"{ours / bare:.0%}" if ours and bare else ""
        rows.append(["6", what, least, _whole(ours), _whole(bare), share])
    head = ["Row", "Work", "Budget", OURS, KERNEL, "of the kernel's rate"]
    return Table(f"{count:,} endpoints, how many a second", head, rows)


def _rate(times: Times, what: str, name: str, count: int) -> float | None:
    taken = times.median(what, name)
    return None if taken is None else 1000 * count / taken


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


EMPTY, CROWDED = "empty", "crowded"


def crowd(times: Times, what: str) -> Table:
    """Row 7, for one kind of crowd."""
    rows = []
    for _, each, _ in (*BUDGETS, *_PUBLISHING):
        cells = []
        for name in (OURS, KERNEL):
            empty = times.median(each, f"{name}, {EMPTY}")
            crowded = times.median(each, f"{name}, {CROWDED}")
            growth = f"{crowded / empty:.2f}" if crowded and empty else ""
            cells += [milliseconds(empty), milliseconds(crowded), growth]
        rows.append(["7", each, "≤ 1.3", *cells])
    head = ["Row", "Work", "Budget", "without", "with", "ratio"]
    head += [f"{KERNEL}: without", "with", "ratio"]
    return Table(f"With {what} present", head, rows)


def starting(times: Times) -> Table:
    """Row 10."""
    nothing = times.median(startup.NOTHING, sys.executable) or 0
    rows = []
    for name, limit in (
        (startup.NOTHING, ""),
        (startup.IMPORT, "≤ 60 over"),
        (startup.USED, ""),
        (startup.PEER, ""),
        (startup.COMMAND, ""),
    ):
        taken = times.median(name, sys.executable) or 0
        worst = times.worst(name, sys.executable)
        over = milliseconds(taken - nothing) if name != startup.NOTHING else ""
        rows.append(["10", f"`{name}`", limit, milliseconds(taken, worst), over])
    return Table("Starting", ["Row", "Work", "Budget", "all of it", "over `pass`"], rows)


def on_files(
    title: str,
    head: Sequence[str],
    works: Sequence[tuple[Sequence[str], str]],
    times: Times,
    show: Callable[[float | None], str],
) -> Table:
    """What was measured on files: cnmfs beside the smallest filesystem, those of the kernel, pycnm.

    A ratio is to pycnm if that was measured, and to the smallest filesystem otherwise.

    Args:
        head: of the first columns.
        works: the first cells of each row, and what was done.
        show: a duration in milliseconds.
    """
    names = ["sysfs", "cgroup2", OURS]
    beside = [name for name in names if any(times.median(what, name) for _, what in works)]
    pairs = [
        (mounts.SMALLEST.format(binding), mounts.CNMFS.format(binding))
        for binding in mounts.present()
    ]
    rows = []
    for first, what in works:
        row = [*first, *(show(times.median(what, name)) for name in beside)]
        for smallest, ours in pairs:
            least, taken = times.median(what, smallest), times.median(what, ours)
            row += [show(least), show(taken), ratio(taken, times.median(what, OURS) or least)]
        rows.append(row)
    columns = [column for pair in pairs for column in (*pair, "ratio")]
    return Table(title, [*head, *beside, *columns], rows)
