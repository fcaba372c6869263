"""Open files: what is read was made when the file was opened, what is written counts at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import ClassVar

from cnmfs.tree import File, Handle, Special, refuse

WRITES = os.O_WRONLY | os.O_RDWR


def opened(
    node: File | Special, flags: int, content: Callable[[File], bytes], *, new: bool = False
) -> Handle:
    """A handle on a node.

    Args:
        flags: as of open(2).
        content: makes what a file says.
        new: it has just been created, and has no content yet.

    Raises:
        OSError: EACCES, it can't be read or written.
    """
    if isinstance(node, Special):
        return node.opened(flags)
    writes = bool(flags & WRITES)
    reads = not flags & os.O_WRONLY
    if writes and node.write is None:
        raise refuse(errno.EACCES, "this file can only be read")
    if reads and node.read is None:
        raise refuse(errno.EACCES, "this file can only be written")
    text = b""
    if reads and not new and not flags & os.O_TRUNC:
        text = content(node)
    return _Value(node, text, flags) if writes else Snapshot(text)


class ReadOnly:
    """A handle that can't be written."""

    endless: ClassVar[bool] = False
    written = 0
    unsettled = False

    def length(self) -> int | None:
        """It isn't known."""
        return None

    def write(self, data: bytes, offset: int) -> int:
        """Refuse it."""
        del data, offset
        raise refuse(errno.EACCES, "this file can only be read")

    def truncate(self) -> None:
        """Cut nothing: it isn't written through this one."""

    def settle(self) -> None:
        """There is nothing to come."""

    def news(self, now: Callable[[], bytes]) -> bool:
        """There is none."""
        del now
        return False

    def close(self) -> None:
        """There is nothing to let go of."""


class Snapshot(ReadOnly):
    """A file as it was when it was opened."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int, offset: int) -> bytes:
        """What it said then, from `offset` on."""
        return self.content[offset : offset + size]

    def length(self) -> int | None:
        """How much it said then."""
        return len(self.content)

    def news(self, now: Callable[[], bytes]) -> bool:
        """Whether it says something else by now."""
        return now() != self.content


class _Value:
    """A file of a value, a list, or a document.

    A shell may write a list line by line: what was written before through the
    same handle is part of it.  A document may come in pieces: what could go on is
    kept until there is more, and refused if there never is.
    """

    endless: ClassVar[bool] = False

    def __init__(self, node: File, content: bytes, flags: int) -> None:
        self._node = node
        self._content = content
        self._appends = bool(flags & os.O_APPEND)
        self._written = b""
        self._truncated = bool(flags & os.O_TRUNC)
        self._tried = False
        self._waits = False

    def read(self, size: int, offset: int) -> bytes:
        return self._content[offset : offset + size]

    def length(self) -> int | None:
        return len(self._content)

    def write(self, data: bytes, offset: int) -> int:
        node = self._node
        # Whatever becomes of it: nobody meant to empty the file.
        self._tried = True
        if not self._appends and offset != len(self._written):
            raise refuse(
                errno.EINVAL, "write from the beginning of the file: a value is written as a whole"
            )
        if len(self._written) + len(data) > node.limit:
            large = errno.E2BIG if node.limit <= _PAGE else errno.EFBIG
            raise refuse(large, f"this file takes {node.limit} bytes at most")
        written = self._written + data
        if self._appends and node.add is not None:
            node.add(_text(data))
        elif node.write is not None:
            # The end of a piece may be within a character.
            self._waits = node.goes_on(written.decode(errors="ignore"))
            if not self._waits:
                node.write(_text(written))
        self._written = written
        return len(data)

    def truncate(self) -> None:
        self._truncated, self._written, self._content = True, b"", b""
        self._waits = False

    @property
    def written(self) -> int:
        return len(self._written)

    @property
    def unsettled(self) -> bool:
        return self._waits or self._emptied

    @property
    def _emptied(self) -> bool:
        # `: > publish` empties a list; of a value there is nothing to be emptied.
        return self._truncated and not self._tried and self._node.add is not None

    def settle(self) -> None:
        if self._node.write is None:
            return
        if self._waits:
            self._waits = False
            self._node.write(_text(self._written))
        elif self._emptied:
            self._tried = True
            self._node.write("")

    def news(self, now: Callable[[], bytes]) -> bool:
        return now() != self._content

    def close(self) -> None:
        """There is nothing to let go of."""


_PAGE = 4096


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise refuse(errno.EINVAL, "text is taken here, in UTF-8 and without NUL bytes")
    return text
