"""Mounts taken away (umount2(2))."""

from __future__ import annotations

from pathlib import Path

from pycnm.kernel import libc

_MNT_DETACH = 2


def detach(path: Path) -> None:
    """Take a mount out of the tree at once; who has files open in it keeps them.

    Raises:
        OSError: nothing is mounted there (EINVAL), or it isn't allowed.
    """
    libc.call("umount2", bytes(path), _MNT_DETACH)
