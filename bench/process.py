"""cnmfs as a process: how long it takes to come, and whether it grows."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import mounts
from bench.machine import processes, resident, unmount, wait_for
from bench.mounts import Served
from bench.ours import Pycnm
from bench.table import Table, milliseconds
from bench.times import Times

START = "`cnmfs MOUNTPOINT`"


def start(ours: Pycnm, binding: str, times: Times, rounds: int) -> None:
    """Mount, and unmount when the command has returned."""
    root = mounts.point(f"start-{binding}")
    command = [sys.executable, "-m", "cnmfs", *mounts.chosen(ours, binding), str(root)]
    for number in range(rounds + 1):
        with (Times() if not number else times).of(START, binding):
            subprocess.run(command, check=True)
        unmount(root)
        wait_for(
            lambda: not any(str(root) in words for words in processes().values()),
            "cnmfs stays, though it is unmounted",
        )


class Sizes(NamedTuple):
    """MiB that a process has in use: before many operations, after them, after as many again."""

    before: float
    after: float
    again: float


def grown(served: Served, network: str, operations: int) -> Sizes:
    """What so many operations of all kinds, twice, do to the memory of cnmfs."""
    mix = itertools.cycle(_mix(served.root / "networks" / network))
    sizes = []
    for count in (0, operations, operations):
        for work in itertools.islice(mix, count):
            # Some are refused, as they are meant to be.
            with contextlib.suppress(OSError):
                work()
        sizes.append(resident([served.pid]))
    return Sizes(*sizes)


def _mix(network: Path) -> list[Callable[[], object]]:
    """Ninety that look and ten that change something or are refused."""
    values = ["driver", "subnet", "gateway", "mtu", "attachable", "inspect", "spec", "last_error"]
    mix: list[Callable[[], object]] = [partial((network / name).read_bytes) for name in values] * 8
    mix += [(network / name).stat for name in values] * 3
    mix += [partial(os.listdir, path) for path in (network, network.parent)]
    label = network / "labels/passing"
    changes: list[Callable[[], object]] = [
        partial(label.write_text, "one\n"),
        partial(label.write_text, "two\n"),
        label.unlink,
        partial((network / "attachable").write_text, "1\n"),
        partial((network / "attachable").write_text, "0\n"),
        partial((network / "mtu").write_text, "nonsense\n"),
        partial((network / "subnet").write_text, "10.0.0.0/99\n"),
        partial((network / "id").write_text, "1\n"),
        (network / "labels/none").mkdir,
        (network / "options").rmdir,
    ]
    return mix + changes


def table(times: Times, sizes: dict[str, Sizes], operations: int) -> Table:
    """All of it, a binding a row."""
    rows = []
    for binding, size in sizes.items():
        rows.append(
            [
                binding,
                milliseconds(times.median(START, binding), times.worst(START, binding)),
                *(f"{part:.1f}" for part in size),
                f"{size.again - size.after:+.1f}",
            ]
        )
    head = ["Binding", f"{START}, ms", "MiB at first", f"after {operations:,} operations",
            f"after {2 * operations:,}", "growth since"]  # fmt: skip
    note = (
        "Of a hundred operations 66 read or list, 24 stat, 5 write or remove, and 5 are refused; "
        "the budget is that memory stays as it is once all that is kept has been."
    )
    return Table("cnmfs as a process", head, rows, [note])
