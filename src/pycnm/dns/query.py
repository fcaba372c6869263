"""A query, read strictly.

A client is a program in a sandbox and may be hostile.  One question, names without
pointers, nothing after it but one OPT record: what isn't so is refused before it
costs anything, and what is so is read in one pass over at most `limit` bytes.

Source: RFC 1035, 4.1; RFC 6891, 6.1; RFC 9619 (one question).
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Final

import attrs

UDP_LIMIT: Final = 1232
"""Longest query that is read from a datagram, in bytes."""

TCP_LIMIT: Final = 512
"""Longest query that is read from a stream, in bytes, without the two of its length."""

PLAIN_SIZE: Final = 512
"""What a client takes in a datagram that doesn't say more (RFC 1035, 4.2.1)."""

FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5

QR: Final = 0x8000
"""It is an answer."""
OPCODE: Final = 0x7800
"""Of which only 0, a query, is answered."""
TC: Final = 0x0200
"""It was cut to the size that the client takes."""
RD: Final = 0x0100
"""Others may be asked."""
RA: Final = 0x0080
"""Others are asked."""
CD: Final = 0x0010
"""The client checks signatures itself."""
DO: Final = 0x8000
"""In the flags of an OPT record: the client wants signatures (RFC 3225)."""

OPT: Final = 41

_HEADER: Final = Struct("!6H")
_TAIL: Final = Struct("!2H")
_OPT: Final = Struct("!x2H2BHH")
_NAME_LIMIT: Final = 255
_LABEL_LIMIT: Final = 63


class Malformed(Exception):  # noqa: N818  what it says about the message
    """No query that is answered in earnest.

    Attributes:
        answer: what to send back; None if silence is right.
    """

    def __init__(self, answer: bytes | None) -> None:
        super().__init__("malformed query")
        self.answer = answer


@attrs.frozen
class Query:
    """What a client asks.

    Attributes:
        id: to be put into the answer.
        flags: the 16 bits of the header.
        labels: of the name, lower-case, the root's left out.
        name: as on the wire, with the case the client wrote.
        kind: the type asked for: 1 is A, 28 is AAAA.
        klass: 1 is IN.
        question: the whole question section as on the wire, `name` at its start.
        edns: it has an OPT record.
        size: the longest datagram the client takes, in bytes; at least 512.
        version: of EDNS; only 0 exists.
        wants: the flags of the OPT record; `DO` is the only one with a meaning.
    """

    id: int
    flags: int
    labels: tuple[bytes, ...]
    name: bytes
    kind: int
    klass: int
    question: bytes
    edns: bool = False
    size: int = PLAIN_SIZE
    version: int = 0
    wants: int = 0


def parse(data: bytes, limit: int) -> Query:
    """The query that a message is.

    Args:
        data: the message.
        limit: the longest one that is read: `UDP_LIMIT` or `TCP_LIMIT`.

    Raises:
        Malformed: it is something else; its `answer` is what to send back.
    """
    if len(data) < _HEADER.size:
        raise Malformed(None)
    identifier, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & QR:
        raise Malformed(None)
    if flags & OPCODE:
        raise Malformed(bare(identifier, flags, NOTIMP))
    if len(data) > limit or questions != 1 or answers or authorities or additional > 1:
        raise Malformed(bare(identifier, flags, FORMERR))
    try:
        labels, end = _name(data, _HEADER.size)
        kind, klass = _TAIL.unpack_from(data, end)
        name, question = data[_HEADER.size : end], data[_HEADER.size : end + _TAIL.size]
        edns, size, version, wants = _rest(data, end + _TAIL.size, additional)
    except (ValueError, IndexError, struct.error):
        raise Malformed(bare(identifier, flags, FORMERR)) from None
    return Query(identifier, flags, labels, name, kind, klass, question, edns, size, version, wants)


def bare(identifier: int, flags: int, rcode: int) -> bytes:
    """An answer to `flags` that is a header only."""
    return _HEADER.pack(identifier, reply_flags(flags) | rcode, 0, 0, 0, 0)


def reply_flags(flags: int) -> int:
    """The flags of an answer to a query with these: what is to be copied is."""
    return QR | RA | flags & (OPCODE | RD | CD)


def _name(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of a name without pointers, and where it ends."""
    labels = []
    start = at
    while length := data[at]:
        at += 1
        if length > _LABEL_LIMIT or at + length > len(data):
            raise ValueError
        labels.append(data[at : at + length].lower())
        at += length
        if at - start >= _NAME_LIMIT:
            raise ValueError
    return tuple(labels), at + 1


def _rest(data: bytes, at: int, records: int) -> tuple[bool, int, int, int]:
    """All behind the question: whether there is an OPT record; its size, version and flags."""
    end = len(data)
    if not records and at == end:
        return False, PLAIN_SIZE, 0, 0
    if not records or data[at]:
        raise ValueError
    kind, size, _, version, wants, length = _OPT.unpack_from(data, at)
    at += _OPT.size
    if kind != OPT or at + length != end:
        raise ValueError
    while at < end:
        _, length = _TAIL.unpack_from(data, at)
        at += _TAIL.size + length
    if at != end:
        raise ValueError
    return True, max(size, PLAIN_SIZE), version, wants
