"""A question that is passed on, and whether what comes back answers it.

Who can't see our packets has to guess the id, the port (a new socket each time, by
who sends it) and the case of each letter of the name.  What doesn't fit is to be
ignored, not to end the wait: the true answer may still come.

Nothing of a reply but its header and question is looked at; the rest goes to the
client as it came.

Source: RFC 5452; draft-vixie-dnsext-dns0x20; RFC 6891, 6.1.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random
from struct import Struct
from typing import Final

import attrs

from pycnm.dns import query as asked
from pycnm.dns.query import Query

LONGEST: Final = 65535
"""Longest reply, in bytes."""

_HEADER: Final = Struct("!6H")
_OPT: Final = Struct("!x2H2B2H")
_TAIL: Final = 4  # type and class
_SWAPPED: Final = bytes(range(256)).swapcase()  # no length of a label is a letter


def identity(query: Query) -> Hashable:
    """What queries have in common that may share a forward and its reply."""
    return (
        query.labels,
        query.kind,
        query.klass,
        query.flags & (asked.RD | asked.CD),
        query.edns,
        query.size,
        query.wants & asked.DO,
    )


@attrs.frozen
class Request:
    """What is sent to a server.

    Attributes:
        id: a random one.
        question: the question section, in the case that the reply has to have.
        data: the message.
    """

    id: int
    question: bytes
    data: bytes


def request(query: Query, identifier: int, rng: Random) -> Request:
    """The message that asks a server: the question in random case, and a fresh OPT record.

    Options are between a client and whom it asks, and aren't passed on (RFC 6891, 6.2.6).
    No more than 1,232 bytes are asked for in a datagram: fragments can be forged.
    """
    flags = query.flags & (asked.RD | asked.CD)
    question = _mixed(query.name, rng) + query.question[len(query.name) :]
    data = _HEADER.pack(identifier, flags, 1, 0, 0, query.edns) + question
    if query.edns:
        size = min(query.size, asked.UDP_LIMIT)
        data += _OPT.pack(asked.OPT, size, 0, 0, query.wants & asked.DO, 0)
    return Request(identifier, question, data)


def fits(reply: bytes, request: Request, *, cased: bool = True) -> bool:
    """Whether a reply is one to this request, by its id and its question.

    Args:
        reply: what came, from the address and port that were asked.
        request: what was sent.
        cased: the case of the name has to be the same too.  A server that loses it
            can be asked by TCP, where nobody else can answer.
    """
    if len(reply) < _HEADER.size + len(request.question):
        return False
    identifier, flags, questions, *_ = _HEADER.unpack_from(reply)
    if identifier != request.id or not flags & asked.QR or flags & asked.OPCODE or questions != 1:
        return False
    there = reply[_HEADER.size : _HEADER.size + len(request.question)]
    if cased:
        return there == request.question
    end = -_TAIL  # type and class have no case
    return (there[:end].lower(), there[end:]) == (
        request.question[:end].lower(),
        request.question[end:],
    )


def rcode(reply: bytes) -> int:
    """What a reply that fits says of how it went: 0 is NOERROR, 2 SERVFAIL, 5 REFUSED."""
    return reply[3] & 0xF


def verbatim(reply: bytes, query: Query) -> bytes:
    """A reply that fits, for the client: with its id, and its question as it wrote it."""
    start = _HEADER.size + len(query.question)
    return b"".join((query.id.to_bytes(2), reply[2 : _HEADER.size], query.question, reply[start:]))


def _mixed(name: bytes, rng: Random) -> bytes:
    """A name with each letter in upper or lower case, as chance has it."""
    chance = rng.getrandbits(len(name))
    return bytes(_SWAPPED[octet] if chance >> at & 1 else octet for at, octet in enumerate(name))
