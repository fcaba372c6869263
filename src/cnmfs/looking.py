"""Nodes by their paths, with what they say, kept until something recorded changes."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable

import attrs

from cnmfs.rights import Rights
from cnmfs.tree import Directory, File, Link, Node, Special, refuse
from pycnm import CNMError

NAME_MAX = 255
_SAME_MOMENT = 0.002
"""Seconds within which a live file isn't asked again how long it is: a look-up, and the stat(2)
that it is for, come one after the other."""
_MOST = 4096
"""So many paths are kept at most; then all are forgotten."""


@attrs.frozen
class Status:
    """What stat(2) says of a node; times in nanoseconds since 1970."""

    mode: int
    size: int
    gid: int
    changed: int


class Found:
    """A node that was looked up, and what has been asked of it so far.

    Attributes:
        stays: it is always there, whatever changes.
        status: what stat(2) says of it; None if nobody has asked.
    """

    __slots__ = ("_content", "_names", "_size", "node", "status", "stays")

    def __init__(self, node: Node, *, stays: bool = False) -> None:
        self.node = node
        self.stays = stays
        self.status: Status | None = None
        self._content: bytes | None = None
        self._names: list[str] | None = None
        self._size = (0, 0.0)

    def content(self, file: File) -> bytes:
        """What the node, a file that can be read, says."""
        if file.read is None:
            raise refuse(errno.EACCES, "this file can only be written")
        content = self._content
        if content is None:
            content = file.read().encode()
            if not file.live:
                self._content = content
        return content

    def size(self, file: File) -> int:
        """How much the node, a file that can be read, says."""
        size, at = self._size
        if file.live and time.monotonic() - at > _SAME_MOMENT:
            size = len(self.content(file))
            self._size = size, time.monotonic()
        return size if file.live else len(self.content(file))

    def names(self, directory: Directory) -> list[str]:
        """The names in the node, a directory."""
        if self._names is None:
            self._names = sorted(directory.names())
        return self._names


class _Kept(dict[str, Found]):
    """What was found while one revision was the present one."""

    def __init__(self, revision: int) -> None:
        super().__init__()
        self.revision = revision


class Looking:
    """Finds nodes; for any number of threads.

    Args:
        root: of the tree.
        revision: a number that is another one after every change.
        rights: what the permission bits are.
    """

    def __init__(self, root: Directory, revision: Callable[[], int], rights: Rights) -> None:
        self._root = root
        self._rights = rights
        self._born = time.time_ns()
        self._revision = revision
        self._kept = _Kept(0)

    def find(self, path: str) -> Found:
        """What is at a path.

        Raises:
            OSError: ENOENT, ENOTDIR or ENAMETOOLONG.
        """
        # Before anything is asked: what is asked then is at least as new.  A thread that
        # still works for an older revision keeps what it finds with that one.
        revision = self._revision()
        kept = self._kept
        if kept.revision != revision or len(kept) > _MOST:
            kept = self._kept = _Kept(revision)
        return kept.get(path) or self._look(kept, path.rstrip("/"))

    def _look(self, kept: _Kept, path: str) -> Found:
        found = kept.get(path)
        if found is not None:
            return found
        where, _, name = path.rpartition("/")
        node: Node = self._root
        stays = True
        if name:
            above = self._look(kept, where)
            parent = above.node
            if not isinstance(parent, Directory):
                raise refuse(errno.ENOTDIR, f"{path}: {where} is no directory")
            if len(os.fsencode(name)) > NAME_MAX:
                raise refuse(errno.ENAMETOOLONG, f"a name has {NAME_MAX} bytes at most")
            there = parent.look(name)
            if there is None:
                raise refuse(errno.ENOENT, f"{path} doesn't exist")
            node = there
            stays = above.stays and parent.stays
        kept[path] = found = Found(node, stays=stays)
        return found

    def status(self, found: Found, size: int | None = None) -> Status:
        """What stat(2) says of what was found; its size, if it isn't what it says now."""
        node = found.node
        if size is not None:
            pass
        elif isinstance(node, File) and node.read is not None:
            # What can't be read just now is there all the same.
            with contextlib.suppress(CNMError):
                size = found.size(node)
        elif isinstance(node, Special):
            size = node.size()
        elif isinstance(node, Link):
            size = len(node.target.encode())
        mode = node.kind | self._rights.mode(node)
        return Status(mode, size or 0, self._rights.gid or 0, node.changed or self._born)
