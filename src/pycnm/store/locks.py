"""Locks between processes and threads that the kernel drops with their holder.

One file, locked in byte ranges as open file descriptions (fcntl(2), "Open file
description locks"): a byte for each maker says that it lives, a byte for each
object says that somebody is at work on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pycnm.errors import PermissionDeniedError, StoreError

_FLOCK = struct.Struct("hhqqi4x")
_MAKERS, _RECOVERY, _NETWORKS, _SANDBOXES, _HOST, _CHANGES = (
    1 << bit for bit in (32, 39, 40, 41, 42, 43)
)


class Lock(NamedTuple):
    """One byte of the file; sorted, they are taken in an order that can't deadlock."""

    place: int
    exclusive: bool

    @classmethod
    def host(cls, *, exclusive: bool) -> Lock:
        """What the networks of a host share: the skeleton, forwarding."""
        return cls(_HOST, exclusive)

    @classmethod
    def recovery(cls) -> Lock:
        """What dead processes left behind: taken back by one at a time."""
        return cls(_RECOVERY, exclusive=True)

    @classmethod
    def network(cls, number: int, *, exclusive: bool) -> Lock:
        """A network: shared to attach to it, exclusive to change it."""
        return cls(_NETWORKS + number, exclusive)

    @classmethod
    def sandbox(cls, number: int) -> Lock:
        """A sandbox: its interfaces and routes change one at a time."""
        return cls(_SANDBOXES + number, exclusive=True)

    @classmethod
    def change(cls, number: int) -> Lock:
        """A change that is under way: held, and let go of, with the locks it is made under."""
        return cls(_CHANGES + number, exclusive=True)


_open_files: set[int] = set()


def _drop_inherited() -> None:
    """In a child of fork(2): let go of locks that threads of the parent hold.

    The child has a copy of the descriptor and none of the threads, so nobody
    would ever let go of them there, and the parent's own letting go would not
    be enough.
    """
    for descriptor in _open_files:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _open_files.clear()


os.register_at_fork(after_in_child=_drop_inherited)


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[int]:
    """A descriptor of a lock file, made if need be; closing it lets go of its locks.

    Raises:
        PermissionDeniedError, StoreError: it can't be opened.
    """
    descriptor = _opened(path)
    _open_files.add(descriptor)
    try:
        yield descriptor
    finally:
        if descriptor in _open_files:
            _open_files.discard(descriptor)
            os.close(descriptor)


class Held:
    """Locks that are held as long as the descriptor is open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def add(self, lock: Lock) -> None:
        """Take one more.  Only a new object's lock may be taken out of order."""
        _set(self._descriptor, lock.place, fcntl.F_WRLCK if lock.exclusive else fcntl.F_RDLCK)


class Locks:
    """The lock file of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "locks"

    @contextlib.contextmanager
    def hold(self, locks: Iterable[Lock]) -> Iterator[Held]:
        """Hold `locks` for a block; waits for those who hold them now."""
        with held_file(self._path) as descriptor:
            held = Held(descriptor)
            for lock in sorted(set(locks)):
                held.add(lock)
            yield held

    def live(self, maker: int) -> int:
        """Mark a maker as alive; the descriptor returned keeps it so until closed."""
        descriptor = _opened(self._path)
        try:
            _set(descriptor, _MAKERS + maker, fcntl.F_WRLCK)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def is_alive(self, maker: int) -> bool:
        """Whether the process that was given `maker` still lives (or has closed)."""
        return self._is_held(_MAKERS + maker)

    def is_under_way(self, change: int) -> bool:
        """Whether somebody holds the locks that a change is made under."""
        return self._is_held(Lock.change(change).place)

    def _is_held(self, place: int) -> bool:
        descriptor = _opened(self._path)
        try:
            request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
            answer = _asked(descriptor, fcntl.F_OFD_GETLK, request)
            return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
        finally:
            os.close(descriptor)


def _set(descriptor: int, place: int, kind: int) -> None:
    request = _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError:
        # Somebody else has it; any other reason will be the same again.
        _asked(descriptor, fcntl.F_OFD_SETLKW, request)


def _asked(descriptor: int, command: int, request: bytes) -> bytes:
    try:
        return fcntl.fcntl(descriptor, command, request)
    except OSError as error:
        raise _unusable("the lock file", error) from error


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(str(path), error) from error


def _unusable(what: str, error: OSError) -> StoreError | PermissionDeniedError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(
            f"not allowed to use {what} ({error.strerror}); run as root, "
            "or name another state directory"
        )
    return StoreError(
        f"{what} can't be used ({error.strerror}); nothing was changed. Free space, memory or "
        "descriptors, and try again"
    )
