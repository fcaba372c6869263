"""The state directory that an agent serves, and that it alone may serve."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pycnm.kernel.agent import LOCK, SOCKET, WATCH, connect, peer
from pycnm.store.locks import held_file

QUEUE = 1024

_PATIENCE = 5.0
_PAUSE = 0.005


class Taken(Exception):  # noqa: N818 - nothing has failed
    """Another agent serves the state directory.

    Attributes:
        pid: its process.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid} serves it already")
        self.pid = pid


class Place:
    """A state directory, taken: locked, with a socket that listens.

    Requests that come from now on wait until somebody accepts them.

    Args:
        state_dir: it must exist.
        displace: end another agent that serves it.

    Attributes:
        directory: its descriptor.
        listener: the socket.

    Raises:
        Taken: by another agent.
        OSError: it can't be used.
    """

    def __init__(self, state_dir: Path, *, displace: bool = False) -> None:
        with contextlib.ExitStack() as undo:
            self.directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, self.directory)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(LOCK, flags, 0o600, dir_fd=self.directory)
            undo.callback(os.close, self._lock)
            self._take_lock(displace=displace)
            self.listener = self._listen()
            undo.callback(self.listener.close)
            self._identity = self._found()
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()
        # Said, because a child of fork(2) would keep the lock with its descriptor.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)
        os.close(self.directory)

    def stays(self) -> bool:
        """Whether the socket is still there for others to find."""
        return self._found() == self._identity

    def withdraw(self) -> None:
        """Have no more requests come; the next agent still waits for the end of this one."""
        if self.stays():
            os.unlink(SOCKET, dir_fd=self.directory)
        self.listener.close()

    def _take_lock(self, *, displace: bool) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Who has it is about to serve, serves, or is about to end.
                other = connect(self.directory, _PATIENCE)
                if other is not None:
                    with other:
                        pid = peer(other)[0]
                    if not displace:
                        raise Taken(pid) from None
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        errno.ETIMEDOUT, "the agent that has its lock doesn't serve"
                    ) from None
                time.sleep(_PAUSE)
            else:
                return

    def _listen(self) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=self.directory)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{self.directory}/{SOCKET}")
            listener.listen(QUEUE)
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener

    def _found(self) -> tuple[int, int] | None:
        try:
            status = os.stat(SOCKET, dir_fd=self.directory, follow_symlinks=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino


@contextlib.contextmanager
def only_watcher(state_dir: Path) -> Iterator[None]:
    """Be the one that watches a state directory; waits as long as another one does.

    Raises:
        OSError: the directory can't be used.
    """
    with held_file(state_dir / WATCH) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
