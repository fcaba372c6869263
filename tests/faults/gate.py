"""A gate before the system calls of a process: each waits until somebody lets it pass.

The process installs a filter on itself (seccomp(2), SECCOMP_RET_USER_NOTIF), and whoever
holds the listener decides about every call that reaches outside: it happens, it returns
an error instead, or the process is killed and it never happens.  Calls are seen one by
one in the order in which they are made, over all threads of the process and of those it
starts.

strace(1) can fail the Nth call too, but counts for each thread by itself, attaches to a
process anew for each point, and takes ten times as long.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from pathlib import Path
from typing import NamedTuple

# Numbers by name: x86_64, and those that other machines share (asm-generic/unistd.h).
_NUMBERS = {
    "bind": (49, 200),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "execve": (59, 221),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "flock": (73, 32),
    "fork": (57, None),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "link": (86, None),
    "linkat": (265, 37),
    "listen": (50, 201),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mount": (165, 40),
    "openat": (257, 56),
    "pwrite64": (18, 68),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rmdir": (84, None),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setns": (308, 268),
    "socket": (41, 198),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "umount2": (166, 39),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
    "vfork": (58, None),
    "write": (1, 64),
    "writev": (20, 66),
}
_X86 = platform.machine() == "x86_64"
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(platform.machine())
_SECCOMP = 317 if _X86 else 277
_PIDFD_GETFD = 438
NUMBERS = {name: both[0] if _X86 else both[1] for name, both in _NUMBERS.items()}
NAMES = {number: name for name, number in NUMBERS.items() if number is not None}
_PATH_AT = {
    **dict.fromkeys(("mkdir", "rename", "rmdir", "umount2", "unlink", "execve"), 0),
    **dict.fromkeys(("link", "symlink", "mount", "openat", "mkdirat", "renameat", "unlinkat"), 1),
    **dict.fromkeys(("renameat2", "symlinkat"), 1),
}
"""Which argument of a call is a path."""
_DESCRIPTOR_FIRST = {
    *("bind", "connect", "fcntl", "fdatasync", "flock", "fsconfig", "fsync", "ftruncate"),
    *("listen", "pwrite64", "recvfrom", "recvmsg", "sendmsg", "sendto", "setns", "write"),
    "writev",
}

_LOAD, _JUMP_EQUAL, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_NR, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_ALL_THREADS = 1 << 0 | 1 << 4  # SECCOMP_FILTER_FLAG_TSYNC, and _TSYNC_ESRCH
_CONTINUE = 1
_RECEIVE, _SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_SYNC_WAKE_UP = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_LOCKS = (fcntl.F_SETLK, fcntl.F_SETLKW, 37, 38)  # and those of open file descriptions
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _call(number, *arguments):
    result = _LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def close(descriptor_of_report):
    """Have all threads of this process ask before each call that reaches outside; the listener.

    Args:
        descriptor_of_report: where it may write to without being asked.
    """
    if _ARCH is None:
        raise NotImplementedError(
            f"no numbers of system calls for {platform.machine()}; add them to NUMBERS"
        )
    code = b"".join(_filter(descriptor_of_report))
    program = _Program(len(code) // 8, code)
    new = _NEW_LISTENER | _ALL_THREADS
    for flags in (new | _WAIT_KILLABLE, new):
        try:
            return _call(_SECCOMP, _SET_MODE_FILTER, flags, ctypes.addressof(program))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    raise NotImplementedError("this kernel has no SECCOMP_RET_USER_NOTIF: take Linux 5.0 or later")


def _filter(spared):
    def instruction(code, value, true=0, false=0):
        return struct.pack("=HBBI", code, true, false, value)

    def argument(place):
        return instruction(_LOAD, _ARGUMENTS + 8 * place)

    ask, allow = instruction(_RETURN, _ASK), instruction(_RETURN, _ALLOW)
    special = {
        "openat": [argument(2), instruction(_JUMP_ANY, os.O_CREAT | os.O_WRONLY | os.O_RDWR, 0, 1),
                   ask, allow],
        "write": [argument(0), instruction(_JUMP_EQUAL, spared, 1, 0), ask, allow],
        "fcntl": [argument(1), *(instruction(_JUMP_EQUAL, lock, len(_LOCKS) - at, 0)
                                 for at, lock in enumerate(_LOCKS)), allow, ask],
    }  # fmt: skip
    yield instruction(_LOAD, _ARCHITECTURE)
    yield instruction(_JUMP_EQUAL, _ARCH, 1, 0)
    yield allow
    yield instruction(_LOAD, _NR)
    for name, number in NUMBERS.items():
        if number is not None:
            block = special.get(name, [ask])
            yield instruction(_JUMP_EQUAL, number, 0, len(block))
            yield from block
    yield allow


class Call(NamedTuple):
    """A system call that waits.

    Attributes:
        cookie: what the kernel knows it by.
        task: the thread that makes it.
        name: as in its manual page.
        arguments: six numbers.
    """

    cookie: int
    task: int
    name: str
    arguments: tuple[int, ...]

    def process(self):
        """The process that it is a thread of; 0 if it is gone."""
        try:
            status = Path(f"/proc/{self.task}/status").read_text()
        except OSError:
            return 0
        return int(status.split("\nTgid:")[1].split()[0])

    def object(self):
        """What it is about: a path, or what a descriptor is of."""
        if self.name in _PATH_AT:
            return _text(self.task, self.arguments[_PATH_AT[self.name]])
        if self.name == "socket":
            return _family(self.arguments[0] & 0xFFFFFFFF)
        if self.name in _DESCRIPTOR_FIRST:
            return self._descriptor(self.arguments[0] & 0xFFFFFFFF)
        return ""

    def _descriptor(self, number):
        try:
            found = os.readlink(f"/proc/{self.task}/fd/{number}")
            if found.startswith("socket:"):
                with socket.socket(fileno=take(self.process(), number)) as twin:
                    return _family(twin.family)
        except OSError:
            return "?"
        return found

    def __str__(self):
        return f"{self.name}({self.object()})"


def _family(number):
    try:
        return socket.AddressFamily(number).name
    except ValueError:
        return str(number)


def _text(task, address):
    try:
        with open(f"/proc/{task}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(256).partition(b"\0")[0].decode(errors="replace")
    except (OSError, ValueError, OverflowError):
        return "?"


def take(process, number):
    """A copy of a descriptor of another process (pidfd_getfd(2))."""
    pidfd = os.pidfd_open(process)
    try:
        return _call(_PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)


def hasten(listener):
    """Have who asks and who answers take turns on one processor, where the kernel can."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)


def receive(listener):
    """The call that waits; None if it doesn't any more."""
    data = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, data)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINTR}:
            return None
        raise
    cookie, task, _, number, _, _, *arguments = _NOTIFICATION.unpack(data)
    return Call(cookie, task, NAMES.get(number, str(number)), tuple(arguments))


def answer(listener, call, error=0):
    """Let a call happen, or have it return an error instead."""
    response = _RESPONSE.pack(call.cookie, 0, -error, 0 if error else _CONTINUE)
    try:
        fcntl.ioctl(listener, _SEND, response)
    except OSError as failure:
        # Who made it was killed, or interrupted.
        if failure.errno not in {errno.ENOENT, errno.EINPROGRESS}:
            raise
