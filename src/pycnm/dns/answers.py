"""What a sandbox is told.

Clients ask the same again and again.  A message that was answered from what is
known here is remembered with its answer; only the id differs.  A question that
was, in another case or with other options, is remembered with its records.  Both
are small and go with the view: whoever sees something new makes new `Answers`.

Source: RFC 1035; RFC 2181, 9 (truncation); RFC 6891 (EDNS); RFC 8906.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from random import sample
from struct import Struct
from typing import Final, Literal, TypeAlias

import attrs

from pycnm.dns import query as asked
from pycnm.dns import records
from pycnm.dns.query import Malformed, Query
from pycnm.dns.records import Section
from pycnm.dns.view import Labels, View

Transport: TypeAlias = Literal["udp", "tcp"]

BADVERS: Final = 16

_A: Final = 1
_PTR: Final = 12
_AAAA: Final = 28
_SRV: Final = 33
_TRANSFERS: Final = (251, 252)
_ANY: Final = 255
_IN: Final = 1
_VERSIONS: Final = {_A: (4,), _AAAA: (6,), _ANY: (4, 6)}

_HEADER: Final = Struct("!5H")
_ID: Final = 2
_OPT: Final = Struct("!x2H2B2H")
_SHORTEST: Final = 16  # an A record behind a pointer
_LONGEST: Final = {"udp": 65507, "tcp": 65535}
_REMEMBERED: Final = 128
_SHORT: Final = 320  # a name as long as can be, and an OPT record with a few options

_REVERSED_4: Final = (b"in-addr", b"arpa")
_REVERSED_6: Final = (b"ip6", b"arpa")
_LABELS_4: Final = 4 + 2
_LABELS_6: Final = 32 + 2
_BYTES_6: Final = 16


@attrs.frozen
class Forward:
    """The question is for others."""

    query: Query


class Answers:
    """The answers to one sandbox's queries, from what it can see."""

    __slots__ = ("_known", "_ready", "view")

    def __init__(self, view: View) -> None:
        self.view = view
        self._ready: dict[bytes, bytes | _Parts] = {}
        self._known: dict[tuple[Labels, int], Section] = {}

    def answer(self, data: bytes, transport: Transport) -> bytes | Forward | None:
        """What to do about a message: send this back, ask others, or (None) nothing."""
        if transport == "udp":
            ready = self._ready.get(data[2:])
            if ready is not None:
                return data[:2] + (ready if type(ready) is bytes else bytes(ready))
        try:
            query = asked.parse(data, asked.UDP_LIMIT if transport == "udp" else asked.TCP_LIMIT)
        except Malformed as refusal:
            return refusal.answer
        section = self._section(query)
        if section is None:
            return Forward(query)
        parts = _parts(query, section, transport)
        if (
            transport == "udp"
            and len(data) <= _SHORT
            and len(parts.records) == len(section.records)
        ):
            if len(self._ready) >= _REMEMBERED:
                self._ready.clear()
            self._ready[data[2:]] = parts if len(parts.records) > 1 else bytes(parts)
        return data[:2] + bytes(parts)

    def _section(self, query: Query) -> Section | None:
        """What answers a question; None if that is for others to say."""
        if query.version:
            return Section(BADVERS)
        if query.klass != _IN or query.kind in _TRANSFERS:
            return Section(asked.REFUSED)
        key = query.labels, query.kind
        section = self._known.get(key)
        if section is None:
            section = self._look_up(*key)
            if section is not None:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = section
        return section

    def _look_up(self, labels: Labels, kind: int) -> Section | None:
        found = self.view.find(labels)
        if found is not None:
            versions = _VERSIONS.get(kind, ())
            return records.addresses(
                [ip for version in versions for ip in found.addresses(version)]
            )
        address = _address(labels)
        name = None if address is None else self.view.reverse(address)
        if name is not None:
            return records.pointer(name) if kind in {_PTR, _ANY} else records.EMPTY
        if services := self.view.service(labels):
            return records.services(services) if kind in {_SRV, _ANY} else records.EMPTY
        if self.view.ndots and len(labels) == 1 and kind in {_A, _AAAA}:
            return records.EMPTY
        return None


def failure(query: Query, rcode: int) -> bytes:
    """The answer that says only `rcode`: SERVFAIL, REFUSED, NXDOMAIN."""
    return query.id.to_bytes(2) + bytes(_parts(query, Section(rcode), "udp"))


@attrs.frozen
class _Parts:
    """An answer without its id: its records may come in any order."""

    head: bytes
    records: Sequence[bytes]
    tail: bytes

    def __bytes__(self) -> bytes:
        mixed = sample(self.records, len(self.records))
        return b"".join((self.head, *mixed, self.tail))


def _parts(query: Query, section: Section, transport: Transport) -> _Parts:
    """The answer to a query, cut to the size that the client takes."""
    opt = b""
    if query.edns:
        wants = query.wants & asked.DO
        opt = _OPT.pack(asked.OPT, asked.UDP_LIMIT, section.rcode >> 4, 0, wants, 0)
    room = _LONGEST[transport] if transport == "tcp" else min(_LONGEST[transport], query.size)
    room -= _ID + _HEADER.size + len(query.question) + len(opt)
    flags = asked.reply_flags(query.flags) | section.rcode & 0xF
    answers, extra = section.records, section.extra
    if room < sum(map(len, answers)):
        answers = _fitting(sample(answers, min(len(answers), room // _SHORTEST + 1)), room)
        flags |= asked.TC
        extra = ()
    elif extra:
        extra = _fitting(extra, room - sum(map(len, answers)))
    header = _HEADER.pack(flags, 1, len(answers), 0, len(extra) + query.edns)
    return _Parts(header + query.question, answers, b"".join(extra) + opt)


def _fitting(found: Sequence[bytes], room: int) -> tuple[bytes, ...]:
    """The first of them, as many as there is room for."""
    for count, record in enumerate(found):
        room -= len(record)
        if room < 0:
            return tuple(found[:count])
    return tuple(found)


def _address(labels: Labels) -> bytes | None:
    """The packed address that a name under in-addr.arpa or ip6.arpa stands for."""
    try:
        if labels[-2:] == _REVERSED_4 and len(labels) == _LABELS_4:
            text = b".".join(reversed(labels[:-2])).decode("ascii")
            return socket.inet_pton(socket.AF_INET, text)
        if labels[-2:] == _REVERSED_6 and len(labels) == _LABELS_6:
            packed = bytes.fromhex(b"".join(reversed(labels[:-2])).decode("ascii"))
            return packed if len(packed) == _BYTES_6 else None
    except (ValueError, OSError):
        pass
    return None
