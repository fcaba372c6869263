"""Waiting until somebody closes a file that was open for writing (inotify(7))."""

from __future__ import annotations

import errno
import math
import os
import select
import struct
import threading
from pathlib import Path

from pycnm.errors import KernelError, NotFoundError
from pycnm.kernel import libc

_IN_CLOSE_WRITE = 0x8
_IN_IGNORED = 0x8000  # the file is gone, and the watch with it
_MESSAGE = struct.Struct("iIII")
_ROOM = 4096
_LONGEST = 86400.0
_ADVICE = (
    "too many inotify instances are open; close followers, or raise "
    "fs.inotify.max_user_instances with sysctl"
)


class Watch:
    """A watch on a file.  `wait` belongs to one thread, `end` to any.

    What happens between two calls of `wait` is not missed.

    Attributes:
        ended: somebody has called `end`.

    Raises:
        KernelError: there are too many.
        OSError: there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.ended = False
        self._path = path
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open: list[int] = []
        try:
            self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._open.append(self._bell)
            self._inotify = libc.call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
            self._open.append(self._inotify)
            libc.call("inotify_add_watch", self._inotify, os.fsencode(path), _IN_CLOSE_WRITE)
        except OSError as error:
            self.close()
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOSPC}:
                raise KernelError("inotify_init1(2)", error.errno, _ADVICE) from error
            raise
        self._poll = select.poll()
        for descriptor in self._open:
            self._poll.register(descriptor, select.POLLIN)

    def wait(self, seconds: float | None) -> bool:
        """Wait for the file to be closed, at most so long; False once `end` was called.

        Raises:
            NotFoundError: the file was deleted.
        """
        longest = _LONGEST if seconds is None else min(seconds, _LONGEST)
        ready = {descriptor for descriptor, _ in self._poll.poll(math.ceil(longest * 1000))}
        if self._inotify in ready:
            # The kernel joins equal messages, so there are never many.
            data = os.read(self._inotify, _ROOM)
            if any(mask & _IN_IGNORED for _, mask, _, _ in _MESSAGE.iter_unpack(data)):
                raise NotFoundError(
                    f"{self._path} was deleted; make a Controller anew to follow what happens now"
                )
        return not self.ended

    def end(self) -> None:
        """Have whoever waits stop waiting."""
        with self._lock:
            self.ended = True
            # A child of fork(2) has the same bell, but nobody who waits.
            if self._open and self._pid == os.getpid():
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            closing, self._open = self._open, []
        for descriptor in closing:
            os.close(descriptor)
