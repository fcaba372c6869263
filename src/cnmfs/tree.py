"""The nodes a tree is made of: directories, value files, links, and files of other kinds.

Nothing here knows FUSE, and nothing knows networks.  A node is a view: it asks when
it is asked.  What it answers may be kept until something recorded changes, but for
files that are live.  What it can't do it refuses with an OSError whose sentence says
what would be right.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Protocol

import attrs

VALUE_MAX = 4096
"""Bytes that may be written to a value file, as to a file of sysfs."""

DOCUMENT_MAX = 1 << 20
"""Bytes that may be written to a file that takes a whole document."""


def refuse(code: int, words: str) -> OSError:
    """The error to be raised: a number for programs, a sentence for people."""
    return OSError(code, words)


@attrs.frozen(kw_only=True)
class Node:
    """What all nodes have in common.

    Attributes:
        mode: the permission bits.
        changed: when it changed, in nanoseconds since 1970; 0 for the time of the mount.
    """

    kind: ClassVar[int] = 0

    mode: int = 0o444
    changed: int = 0


@attrs.frozen(kw_only=True)
class File(Node):
    """A file whose content is made when it is opened, and whose writes take effect at once.

    Attributes:
        read: its whole content; None if it can't be read.
        write: takes what one write call brought, or what is left of it after
            whatever an editor does; None if it can't be written.
        add: takes what is to be added to a list; None if there is nothing to add to.
        limit: how many bytes it takes at once.
        goes_on: whether a text is the beginning of something, and may still become it.
        live: it may say something else though nothing recorded has changed.
    """

    kind: ClassVar[int] = stat.S_IFREG

    read: Callable[[], str] | None = None
    write: Callable[[str], None] | None = None
    add: Callable[[str], None] | None = None
    limit: int = VALUE_MAX
    goes_on: Callable[[str], bool] = lambda _: False
    live: bool = False


class Handle(Protocol):
    """An open file.

    Attributes:
        endless: it grows, and has something to be read only when there is news.
    """

    endless: ClassVar[bool]

    def read(self, size: int, offset: int) -> bytes:
        """What it says, from `offset` on."""

    def length(self) -> int | None:
        """How many bytes there are to read; None if that can't be said."""

    def write(self, data: bytes, offset: int) -> int:
        """Take what is written; how much of it."""

    def truncate(self) -> None:
        """What is written from now on replaces everything."""

    @property
    def written(self) -> int:
        """How many bytes were written."""

    def settle(self) -> None:
        """What has been done so far is all there is, as far as one can tell."""

    @property
    def unsettled(self) -> bool:
        """Something is still to come of it, if nothing more is written."""

    def news(self, now: Callable[[], bytes]) -> bool:
        """Whether there is something that it hasn't shown.

        Args:
            now: what a handle that is opened now would show.
        """

    def close(self) -> None:
        """Nobody has it open any more."""


@attrs.frozen(kw_only=True)
class Special(Node):
    """A file with handles of its own kind.

    Attributes:
        opened: a handle, for the flags of open(2).
        size: how many bytes stat(2) says it has.
    """

    kind: ClassVar[int] = stat.S_IFREG

    opened: Callable[[int], Handle]
    size: Callable[[], int] = lambda: 0


@attrs.frozen(kw_only=True)
class Link(Node):
    """A symbolic link."""

    kind: ClassVar[int] = stat.S_IFLNK

    target: str = ""
    mode: int = 0o777


def _nothing() -> Iterable[str]:
    return ()


@attrs.frozen(kw_only=True)
class Directory(Node):
    """Names that lead to nodes, and what may be done to them.

    Attributes:
        names: those there are now.
        look: the node of a name; None if there is none.
        make: makes a directory of that name (mkdir).
        remove: removes the directory of that name (rmdir).
        create: makes an empty file of that name.
        unlink: removes the file or link of that name.
        link: makes a symbolic link: name, target.
        rename: gives what has the first name the second.
        hint: what a person should do instead of what isn't possible here.
        stays: its names and their nodes are always the same.
    """

    kind: ClassVar[int] = stat.S_IFDIR

    names: Callable[[], Iterable[str]] = _nothing
    look: Callable[[str], Node | None]
    make: Callable[[str], None] | None = None
    remove: Callable[[str], None] | None = None
    create: Callable[[str], File] | None = None
    unlink: Callable[[str], None] | None = None
    link: Callable[[str, str], None] | None = None
    rename: Callable[[str, str], None] | None = None
    hint: str = ""
    stays: bool = False
    mode: int = 0o555


def fixed(
    nodes: Mapping[str, Node],
    *,
    hidden: Mapping[str, Node] | None = None,
    mode: int = 0o555,
    hint: str = "",
) -> Directory:
    """A directory of nodes that are known beforehand.

    Args:
        hidden: nodes that aren't listed, since opening them does something: whoever
            reads everything there is must not come upon them.
    """
    known = {**nodes, **(hidden or {})}
    return Directory(names=lambda: nodes, look=known.get, mode=mode, hint=hint, stays=True)
