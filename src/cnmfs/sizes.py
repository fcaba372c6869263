"""The sizes of files that the kernel knows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

_MOST = 1 << 14


class _Opened(NamedTuple):
    """A file that waits for its thread to open it a second time."""

    flags: int
    handle: int
    size: int


class Sizes:
    """Which sizes of files the kernel knows, and that it knows the right one of what is read.

    sendfile(2), splice(2) and mmap(2) give no more of a file than it is long as far as the
    kernel knows, and don't ask: it knows what it was told last, or counted itself of
    what was written.  So the opening of a file of which it knows a wrong size is
    answered with ESTALE: the kernel looks everything on the path up again, and with it
    the size, and opens the file a second time, in the same thread.

    Args:
        thread: whose call it is just now.
        close: closes a handle that nobody came for.
    """

    def __init__(self, thread: Callable[[], int], close: Callable[[int], None]) -> None:
        self._thread = thread
        self._close = close
        self._known: dict[str, int] = {}
        self._opened: dict[tuple[str, int], _Opened] = {}

    def told(self, path: str, size: int) -> int:
        """The size to tell the kernel: that of what the thread has opened, or else `size`."""
        if self._opened:
            found = self._opened.get((path, self._thread()))
            size = size if found is None else found.size
        if len(self._known) > _MOST and path not in self._known:
            self._known.clear()
        self._known[path] = size
        return size

    def forget(self, path: str) -> None:
        """It is written: the kernel counts for itself."""
        self._known.pop(path, None)

    def require(self, path: str, flags: int, handle: int, size: int | None) -> None:
        """Have a file opened a second time if the kernel doesn't know its size.

        Raises:
            OSError: ESTALE.
        """
        if size is None or self._known.get(path) == size:
            return
        key = path, self._thread()
        # Whoever it was may have been killed before it could come again.
        for each in [key, *list(self._opened)[:-_MOST]]:
            self._drop(each)
        self._opened[key] = _Opened(flags, handle, size)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def waiting(self, path: str, flags: int) -> int | None:
        """The handle that the thread has opened, if this is the second time."""
        if not self._opened:
            return None
        key = path, self._thread()
        found = self._opened.get(key)
        if found is None or found.flags != flags:
            return None
        del self._opened[key]
        return found.handle

    def _drop(self, key: tuple[str, int]) -> None:
        found = self._opened.pop(key, None)
        if found is not None:
            self._close(found.handle)
