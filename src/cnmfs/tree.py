"""The nodes a tree is made of: directories, value files, links and streams.

Nothing here knows FUSE, and nothing knows networks.  A node is a view: it is
made when somebody looks and forgotten afterwards, so there is nothing that
could be out of date.  What it can't do it refuses with an OSError whose sentence says
what would be right.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """

    kind: ClassVar[int] = stat.S_IFREG

    read: Callable[[], str] | None = None
    write: Callable[[str], None] | None = None
    add: Callable[[str], None] | None = None
    limit: int = VALUE_MAX
    goes_on: Callable[[str], bool] = lambda _: False


class Following(Protocol):
    """One reader's place in a stream."""

    def read(self, size: int, offset: int) -> bytes:
        """What there is from `offset` on."""

    def close(self) -> None:
        """The reader is gone."""


@attrs.frozen(kw_only=True)
class Stream(Node):
    """A file that grows while it is read."""

    kind: ClassVar[int] = stat.S_IFREG

    follow: Callable[[], Following]
    size: Callable[[], int]


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
    mode: int = 0o555


def fixed(nodes: Mapping[str, Node], *, mode: int = 0o555, hint: str = "") -> Directory:
    """A directory of nodes that are known beforehand."""
    return Directory(names=lambda: nodes, look=nodes.get, mode=mode, hint=hint)


def walk(root: Directory, path: str) -> Node:
    """The node at a path.

    Raises:
        OSError: ENOENT or ENOTDIR.
    """
    node: Node = root
    for name in parts(path):
        if not isinstance(node, Directory):
            raise refuse(errno.ENOTDIR, f"{path}: {name} is looked for in what is no directory")
        found = node.look(name)
        if found is None:
            raise refuse(errno.ENOENT, f"{path} doesn't exist")
        node = found
    return node


def parts(path: str) -> Iterator[str]:
    """The names in a path."""
    return (name for name in path.split("/") if name)
