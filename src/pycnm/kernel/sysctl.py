"""Kernel settings of the namespace the calling thread is in (sysctl(8), proc(5)).

/proc/sys/net shows each thread the settings of its own network namespace.
"""

from __future__ import annotations

import os


def _path(key: str) -> str:
    # `/` separates where an interface name has a dot in it, as sysctl(8) allows.
    return "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))


def read(key: str) -> str | None:
    """The value of a setting; None if this kernel doesn't have it."""
    try:
        descriptor = os.open(_path(key), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, 4096).decode().strip().replace("\t", " ")
    finally:
        os.close(descriptor)


def write(key: str, value: str) -> None:
    """Change a setting.

    Raises:
        OSError: the kernel doesn't have it (ENOENT) or refuses the value.
    """
    descriptor = os.open(_path(key), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
