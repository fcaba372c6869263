"""The files `events` and `events_pipe`: what has happened, one JSON object a line."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import ClassVar

from cnmfs.files import WRITES, ReadOnly
from cnmfs.patience import Patience
from cnmfs.tree import Special, refuse
from pycnm import Controller

_LARGE = 1 << 20


class Journal:
    """The text of the events, and how far they have been read from the store.

    After a mebibyte the older half goes; who follows sees a file that was cut,
    as a log that is rotated.
    """

    def __init__(self, cnm: Controller, patience: Patience) -> None:
        self._cnm = cnm
        self._patience = patience
        self._happened = threading.Condition()
        self._told = 0
        self._text = bytearray()
        self._gone = 0
        self._last = 0

    def file(self) -> Special:
        """The file that ends with the last event, and grows; reading never waits."""
        return Special(opened=self._followed, size=self.size)

    def pipe(self) -> Special:
        """The file in which a reader sees what comes from then on, and waits for it."""
        return Special(opened=self._piped)

    def size(self) -> int:
        """How many bytes there are now."""
        with self._happened:
            self._refresh()
            return len(self._text)

    def end(self) -> int:
        """How many bytes there have ever been."""
        with self._happened:
            self._refresh()
            return self._gone + len(self._text)

    def happened(self) -> None:
        """Something has: who waits looks."""
        with self._happened:
            self._told += 1
            self._happened.notify_all()

    def read(self, size: int, offset: int) -> bytes:
        """What there is from `offset` on."""
        with self._happened:
            if offset + size > len(self._text):
                self._refresh()
            return bytes(self._text[offset : offset + size])

    def await_(self, size: int, offset: int) -> bytes:
        """What there is from `offset`, of all there have ever been, on; at least a byte."""
        with self._happened:
            self._patience.until(self._happened, lambda: self._grown(offset), lambda: self._told)
            first = max(0, offset - self._gone)
            return bytes(self._text[first : first + size])

    def _grown(self, offset: int) -> bool:
        self._refresh()
        return self._gone + len(self._text) > offset

    def _followed(self, flags: int) -> _Follower:
        _only_read(flags)
        return _Follower(self.read, self.size)

    def _piped(self, flags: int) -> _Piped:
        _only_read(flags)
        return _Piped(self, waits=not flags & os.O_NONBLOCK)

    def _refresh(self) -> None:
        new = list(self._cnm.events(since=self._last))
        if not new:
            return
        self._last = new[-1].number
        for event in new:
            self._text += f"{event.to_json()}\n".encode()
        if len(self._text) > _LARGE:
            cut = self._text.index(b"\n", len(self._text) // 2) + 1
            self._gone += cut
            del self._text[:cut]


def _only_read(flags: int) -> None:
    if flags & WRITES:
        raise refuse(errno.EACCES, "this file can only be read")


class _Follower(ReadOnly):
    """A reader of `events`."""

    endless: ClassVar[bool] = True

    def __init__(self, read: Callable[[int, int], bytes], size: Callable[[], int]) -> None:
        self._read = read
        self._size = size
        self._shown = 0

    def read(self, size: int, offset: int) -> bytes:
        data = self._read(size, offset)
        self._shown = offset + len(data)
        return data

    def length(self) -> int | None:
        return self._size()

    def news(self, now: Callable[[], bytes]) -> bool:
        del now
        return self._size() != self._shown


class _Piped(ReadOnly):
    """A reader of `events_pipe`: offset 0 is what comes first after it was opened."""

    endless: ClassVar[bool] = True

    def __init__(self, journal: Journal, *, waits: bool) -> None:
        self._journal = journal
        self._waits = waits
        self._begin = journal.end()
        self._shown = 0

    def read(self, size: int, offset: int) -> bytes:
        if not self._waits and self._journal.end() <= self._begin + offset:
            raise refuse(errno.EAGAIN, "there is nothing new")
        data = self._journal.await_(size, self._begin + offset)
        self._shown = offset + len(data)
        return data

    def news(self, now: Callable[[], bytes]) -> bool:
        del now
        return self._journal.end() > self._begin + self._shown
