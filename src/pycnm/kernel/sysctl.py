"""Kernel settings of the namespace the calling thread is in (sysctl(8), proc(5)).

/proc/sys/net shows each thread the settings of its own network namespace.  All
namespaces are children of one directory there and have the same name, so the
kernel, which remembers every one that was looked at, goes through all of them
to find the right one: with 3,000 of them the first file in a new one takes 1 ms
to open, for everybody on the machine.  So what we look at is a mount of proc that
nobody else has, and a fresh one (0.1 ms) before it remembers too many.
"""

from __future__ import annotations

import os
import threading

from pycnm.kernel import libc

# linux/mount.h and asm-generic/unistd.h; the C library has them from 2.36 on only.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC = 1
_CREATE = 6
_MANY = 512


class _Proc:
    """A mount of proc, unmounted when nobody looks at it any more."""

    descriptor = -1

    def __init__(self) -> None:
        self.looked_at = 0
        try:
            self.descriptor = _mount()
        except OSError:
            # An older kernel (5.1), or a container's seccomp profile.
            self.descriptor = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class Settings:
    """Reads and writes settings; can be used by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proc: _Proc | None = None

    def close(self) -> None:
        """Let the mount go; the next use makes another."""
        with self._lock:
            self._proc = None

    def read(self, key: str) -> str | None:
        """The value of a setting; None if this kernel doesn't have it."""
        try:
            descriptor = self._open(key, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.read(descriptor, 4096).decode().strip().replace("\t", " ")
        finally:
            os.close(descriptor)

    def write(self, key: str, value: str) -> None:
        """Change a setting.

        Raises:
            OSError: the kernel doesn't have it (ENOENT) or refuses the value.
        """
        descriptor = self._open(key, os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    def _open(self, key: str, how: int) -> int:
        # `/` separates where an interface name has a dot in it, as sysctl(8) allows.
        path = "sys/" + (key if "/" in key else key.replace(".", "/"))
        with self._lock:
            if self._proc is None or self._proc.looked_at >= _MANY:
                self._proc = _Proc()
            proc = self._proc
            proc.looked_at += 1
        return os.open(path, how | os.O_CLOEXEC, dir_fd=proc.descriptor)


def _mount() -> int:
    """A descriptor of a mount of proc that is part of no mount namespace (fsmount(2))."""
    context = libc.call("syscall", _FSOPEN, b"proc", _CLOEXEC, says="fsopen")
    try:
        libc.call("syscall", _FSCONFIG, context, _CREATE, None, None, 0, says="fsconfig")
        return libc.call("syscall", _FSMOUNT, context, _CLOEXEC, 0, says="fsmount")
    finally:
        os.close(context)
