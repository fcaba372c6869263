"""Open files: what is read was made when the file was opened, what is written counts at once."""

from __future__ import annotations

import errno
import os
from typing import Protocol

from cnmfs.tree import File, Stream, refuse

_WRITES = os.O_WRONLY | os.O_RDWR


class Handle(Protocol):
    """An open file."""

    def read(self, size: int, offset: int) -> bytes:
        """What it says, from `offset` on."""

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


def opened(node: File | Stream, flags: int, *, new: bool = False) -> Handle:
    """A handle on a node.

    Args:
        flags: as of open(2).
        new: it has just been created, and has no content yet.

    Raises:
        OSError: EACCES, it can't be read or written.
    """
    writes = bool(flags & _WRITES)
    reads = not flags & os.O_WRONLY
    if isinstance(node, Stream):
        if writes:
            raise refuse(errno.EACCES, "this file can only be read")
        return _Follower(node)
    if writes and node.write is None:
        raise refuse(errno.EACCES, "this file can only be read")
    if reads and node.read is None:
        raise refuse(errno.EACCES, "this file can only be written")
    content = b""
    if reads and node.read is not None and not new and not flags & os.O_TRUNC:
        content = node.read().encode()
    return _Value(node, content, flags)


class _Value:
    """A file of a value, a list, or a document.

    A shell may write a list line by line: what was written before through the
    same handle is part of it.  A document may come in pieces: what could go on is
    kept until there is more, and refused if there never is.
    """

    def __init__(self, node: File, content: bytes, flags: int) -> None:
        self._node = node
        self._content = content
        self._writes = bool(flags & _WRITES)
        self._appends = bool(flags & os.O_APPEND)
        self._written = b""
        self._truncated = bool(flags & os.O_TRUNC)
        self._tried = False
        self._waits = False

    def read(self, size: int, offset: int) -> bytes:
        return self._content[offset : offset + size]

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
        if self._writes:
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


_PAGE = 4096


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise refuse(errno.EINVAL, "text is taken here, in UTF-8 and without NUL bytes")
    return text


class _Follower:
    """A reader of a stream."""

    def __init__(self, node: Stream) -> None:
        self._following = node.follow()

    def read(self, size: int, offset: int) -> bytes:
        return self._following.read(size, offset)

    def write(self, data: bytes, offset: int) -> int:
        del data, offset
        raise refuse(errno.EACCES, "this file can only be read")

    def truncate(self) -> None:
        """It isn't written through this one."""

    @property
    def written(self) -> int:
        return 0

    @property
    def unsettled(self) -> bool:
        return False

    def settle(self) -> None:
        self._following.close()
