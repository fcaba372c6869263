"""poll(2) on open files: who waits for news, and what is said of it.

A value says POLLPRI and POLLERR, as one of sysfs does, when it has become another one
since it was opened; who then reads it from its beginning sees what it has become.  A
file that grows is readable when there is something new.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import NamedTuple, Protocol

_READABLE = select.POLLIN | select.POLLRDNORM
_WRITABLE = select.POLLOUT | select.POLLWRNORM


class Bell(Protocol):
    """What wakes who waits in poll(2)."""

    def ring(self) -> None:
        """There is news; this is the last that is heard of the bell."""

    def drop(self) -> None:
        """Nobody waits any longer."""


class News(NamedTuple):
    """What there is to be said of an open file.

    Attributes:
        endless: it grows.
        fresh: there is something that the handle hasn't shown.
    """

    endless: bool
    fresh: bool

    @property
    def mask(self) -> int:
        """The bits of poll(2)."""
        if self.endless:
            return _READABLE | select.POLLPRI if self.fresh else 0
        return _READABLE | _WRITABLE | (select.POLLPRI | select.POLLERR if self.fresh else 0)


class Polling:
    """The bells of open files, by their handles.

    Args:
        news: what there is to be said of a handle just now.

    Attributes:
        begins: called when somebody waits for the first time.
    """

    def __init__(self, news: Callable[[int], News]) -> None:
        self._news = news
        self.begins: Callable[[], None] = _nothing
        self._bells: dict[int, Bell] = {}
        self._told: set[int] = set()

    def look(self, handle: int, bell: Bell | None) -> int:
        """The bits of poll(2); `bell` is rung at the next news, in the place of the one before."""
        before = self._bells.pop(handle, None)
        if before is not None:
            before.drop()
        # First the bell, then the look: nothing comes in between unheard.
        if bell is not None:
            self._bells[handle] = bell
            begins, self.begins = self.begins, _nothing
            begins()
        return self._mask(handle)

    def happened(self) -> None:
        """Something has changed: ring where that is news."""
        for handle in list(self._bells):
            if self._mask(handle) & select.POLLPRI:
                bell = self._bells.pop(handle, None)
                if bell is not None:
                    bell.ring()

    def told(self, handle: int) -> bool:
        """Whether a handle was told of news since it was asked last."""
        if handle not in self._told:
            return False
        self._told.discard(handle)
        return True

    def forget(self, handle: int) -> None:
        """It was closed."""
        self._told.discard(handle)
        bell = self._bells.pop(handle, None)
        if bell is not None:
            bell.drop()

    def _mask(self, handle: int) -> int:
        news = self._news(handle)
        if news.fresh:
            self._told.add(handle)
        return news.mask


def _nothing() -> None:
    pass
