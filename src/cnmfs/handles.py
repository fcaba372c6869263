"""The files that are open, by the numbers of their handles; and whether there is news of them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cnmfs.files import Snapshot
from cnmfs.polling import News, Polling
from cnmfs.tree import Handle, Node
from pycnm import CNMError


class Open(NamedTuple):
    """An open file.

    Attributes:
        node: what it was when it was opened.
        new: it was made by being opened, and nothing has been written yet.
        pid: who opened it, where that is of interest.
    """

    path: str
    node: Node
    handle: Handle
    new: bool = False
    pid: int = 0


class Handles:
    """The open files of a tree; for any number of threads.

    Args:
        content: what the file at a path says now.
    """

    def __init__(self, content: Callable[[str], bytes]) -> None:
        self._content = content
        self._open: dict[int, Open] = {}
        self._numbers = itertools.count(1)
        self.polling = Polling(self._news)

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def __getitem__(self, number: int) -> Open:
        return self._open[number]

    def keep(self, opened: Open) -> int:
        """The number of a new handle."""
        number = next(self._numbers)
        self._open[number] = opened
        return number

    def drop(self, number: int) -> Open:
        """Forget a handle."""
        self.polling.forget(number)
        return self._open.pop(number)

    def of(self, path: str) -> Iterator[Open]:
        """Those of one path."""
        return (each for each in list(self._open.values()) if each.path == path)

    def to_read(self, number: int, offset: int) -> Open:
        """A handle that is read; from its beginning what it was told of by poll(2)."""
        found = self._open[number]
        if not offset and self.polling.told(number) and isinstance(found.handle, Snapshot):
            with contextlib.suppress(OSError, CNMError):
                fresh = Snapshot(self._content(found.path))
                found = self._open[number] = found._replace(handle=fresh)
        return found

    def _news(self, number: int) -> News:
        found = self._open.get(number)
        if found is None:
            return News(endless=False, fresh=True)
        try:
            fresh = found.handle.news(lambda: self._content(found.path))
        except (OSError, CNMError):
            # It is gone, or can't be read any more: that is news.
            fresh = True
        return News(found.handle.endless, fresh)


def is_ours(task: int) -> bool:
    """Whether a caller, of whom FUSE tells the thread, is cnmfs itself, or was started by it."""
    if Path(f"/proc/self/task/{task}").exists():
        return True
    try:
        status = Path(f"/proc/{task}/stat").read_text()
    except OSError:
        return False
    # proc_pid_stat(5): after the name, in parentheses, come the state and the parent.
    return int(status.rpartition(")")[2].split()[1]) == os.getpid()


def has_open(pid: int, path: str) -> bool:
    """Whether a process still has a file of ours open."""
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(each.readlink()).endswith(path):
                    return True
    return False
