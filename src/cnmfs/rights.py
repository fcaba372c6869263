"""Who may do what: the permission bits, enforced.

The kernel could do it (the mount option default_permissions), but asks for the attributes
of every directory on the way, at every call.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from cnmfs.files import WRITES
from cnmfs.reasons import Caller
from cnmfs.tree import Directory, File, Link, Node, Special, refuse

READ, WRITE, SEARCH = 4, 2, 1
_ROOT = 0


class Rights:
    """What root, a group and others may do.

    Args:
        gid: the group that may do what the owner, root, may; None if there is none.
    """

    def __init__(self, gid: int | None) -> None:
        self.gid = gid

    def mode(self, node: Node) -> int:
        """The permission bits of a node, as they are shown and enforced."""
        if self.gid is None or isinstance(node, Link):
            return node.mode
        return node.mode | (node.mode & 0o600) >> 3

    def require(self, caller: Caller, node: Node, wanted: int) -> None:
        """Refuse what the caller may not do.

        Raises:
            OSError: EACCES.
        """
        if not self._may(caller, node, wanted):
            raise refuse(errno.EACCES, self._advice(wanted))

    def possible(self, caller: Caller, node: Node, wanted: int) -> bool:
        """Whether the caller may do it, and the node can be used so: access(2)."""
        if wanted & WRITE and isinstance(node, File) and node.write is None:
            return False
        if wanted & WRITE and isinstance(node, Special) and not node.mode & 0o200:
            return False
        if wanted & READ and isinstance(node, File) and node.read is None:
            return False
        if wanted & SEARCH and not isinstance(node, Directory):
            return False
        return self._may(caller, node, wanted)

    def _may(self, caller: Caller, node: Node, wanted: int) -> bool:
        if caller.uid == _ROOT:
            return True
        mode = self.mode(node)
        if self.gid is not None and self.gid in _groups(caller):
            mode >>= 3
        return not wanted & ~mode

    def _advice(self, wanted: int) -> str:
        if not wanted & WRITE:
            return "only root may read it"
        if self.gid is None:
            return "only root may change it; mounted with -o gid=GROUP, a group may"
        return f"only root and the group {self.gid} may change it"


def _groups(caller: Caller) -> set[int]:
    """The groups of a caller; of one that is gone, or in another pid namespace, the first alone."""
    found = {caller.gid}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{caller.pid}/status").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name == "Groups":
                found.update(map(int, numbers.split()))
    return found


def wanted(flags: int) -> int:
    """The rights that the flags of open(2) ask for."""
    reads = not flags & os.O_WRONLY
    writes = flags & (WRITES | os.O_TRUNC)
    return (READ if reads else 0) | (WRITE if writes else 0)
