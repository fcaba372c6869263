"""What many networks cost who looks at all of them: ls and grep, as people type them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from bench import report
from bench.mounts import Served
from bench.table import Table, milliseconds
from bench.times import Times, rotated

LIST, LS, GREP = "listdir, and lstat each", "`ls -l`", "`grep -r`"
_BUDGET = {(LS, 1000): "≤ 500"}
_FORGOTTEN = 1.1
"""Seconds after which the kernel asks cnmfs for every name again."""
_LONG, _TOO_LONG = 2_000, 10_000
"""Milliseconds of what is done only once, and of what isn't done with more networks."""
_NOWHERE = "nothing says this"


class Listed(NamedTuple):
    """A filesystem with a crowd in it.

    Attributes:
        crowd: the directory of those who are many.
        tree: the directory that has everything.
    """

    name: str
    crowd: Path
    tree: Path

    @classmethod
    def networks(cls, kind: str, binding: str, served: Served) -> Self:
        """The tree of cnmfs, or a copy of it.

        Args:
            kind: CNMFS or SMALLEST.
        """
        return cls(kind.format(binding), served.root / "networks", served.root)


def crowded(
    tree: Mapping[str, str | None], like: str, names: Iterable[str]
) -> dict[str, str | None]:
    """A tree in which there are networks of these names as well, each like that one."""
    inside = f"/networks/{like}"
    one = {
        path.removeprefix(inside): text
        for path, text in tree.items()
        if f"{path}/".startswith(f"{inside}/")
    }
    more = {f"/networks/{name}{rest}": text for name in names for rest, text in one.items()}
    return {**tree, **more}


def in_turns(
    everybody: Sequence[Listed],
    counts: Sequence[int],
    times: Times,
    rounds: int,
    change: Callable[[], object],
) -> None:
    """Look at all of them, with nothing known of them; what takes long only once, or no more.

    Args:
        counts: how many networks there are, and before that how many there were.
        change: makes what cnmfs knows of them out of date.
    """
    for number in range(rounds):
        for listed in rotated(everybody, number):
            for what in (LIST, LS, GREP):
                *fewer, work = (f"{what} {count}" for count in counts)
                slow = any((times.median(each, listed.name) or 0) > _TOO_LONG for each in fewer)
                if not slow and (times.median(work, listed.name) or 0) < _LONG:
                    change()
                    time.sleep(_FORGOTTEN)
                    with times.of(work, listed.name):
                        _look(what, listed)


def _look(what: str, listed: Listed) -> None:
    if what == LIST:
        path = bytes(listed.crowd)
        for name in os.listdir(path):  # noqa: PTH208 - no more than the calls
            os.lstat(path + b"/" + name)
        return
    command = ["ls", "-l", listed.crowd] if what == LS else ["grep", "-rs", _NOWHERE, listed.tree]
    # To a pipe: grep reads no further than it must if nobody reads what it writes.
    subprocess.run(command, stdout=subprocess.PIPE, check=False)


def table(times: Times, counts: Sequence[int], memory: Mapping[str, float]) -> Table:
    """All of it.

    Args:
        memory: the MiB that cnmfs has in use at the end, by its binding.
    """
    rows = [
        ((what, f"{count:,}", _BUDGET.get((what, count), "")), f"{what} {count}")
        for what in (LIST, LS, GREP)
        for count in counts
    ]
    head = ["Work", "Networks", "Budget"]
    made = report.on_files("Looking at many networks", head, rows, times, milliseconds)
    sizes = ", ".join(f"{size:.0f} MiB on {binding}" for binding, size in memory.items())
    note = (
        "Milliseconds, each time after a change, and after the kernel has forgotten the names; "
        "what takes seconds is done once, and what would take minutes isn't. All on one CPU. The "
        f"networks are real: sysfs shows their bridges. At the end cnmfs has {sizes} in use."
    )
    return made._replace(notes=[note])
