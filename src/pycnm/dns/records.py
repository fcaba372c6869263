"""Resource records as they stand in an answer."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, TypeAlias

import attrs
from dns import rdatatype as kinds
from dns.exception import DNSException
from dns.name import Name
from dns.rdata import Rdata
from dns.rdataclass import IN
from dns.rdtypes.ANY import PTR
from dns.rdtypes.IN import AAAA, SRV, A
from netaddr import IPAddress

from pycnm.dns.query import SERVFAIL
from pycnm.dns.view import Service

TTL: Final = 600

_IPV4: Final = 4
_AS_ASKED: Final = b"\xc0\x0c"  # a pointer to the name in the question (RFC 1035, 4.1.4)
_FIXED: Final = Struct("!2HIH")


@attrs.frozen
class Section:
    """What answers a question, whoever asks and in whatever case.

    Attributes:
        rcode: 0 is NOERROR.
        records: any of them first.
        extra: what the client would ask next; left out if there is no room.
    """

    rcode: int = 0
    records: tuple[bytes, ...] = ()
    extra: tuple[bytes, ...] = ()


EMPTY: Final = Section()
"""The name is known, and has nothing of the kind."""

Addresses: TypeAlias = Sequence[IPAddress]


def addresses(found: Addresses) -> Section:
    """A and AAAA records of the name asked for."""
    return Section(records=tuple(_address(_AS_ASKED, item) for item in found))


def pointer(target: str) -> Section:
    """The name of the address asked for; SERVFAIL if it can't be written as one."""
    try:
        data = PTR.PTR(IN, kinds.PTR, _name(target))
    except DNSException:
        return Section(SERVFAIL)
    return Section(records=(_record(_AS_ASKED, data),))


def services(found: Sequence[Service]) -> Section:
    """SRV records, and the addresses of their targets."""
    records, extra = [], []
    try:
        for each in found:
            target = _name(each.target)
            owner = target.to_wire() or b""
            records.append(_record(_AS_ASKED, SRV.SRV(IN, kinds.SRV, 0, 0, each.port, target)))
            extra += [_address(owner, item) for item in each.addresses]
    except DNSException:
        return Section(SERVFAIL)
    return Section(records=tuple(records), extra=tuple(dict.fromkeys(extra)))


def _name(text: str) -> Name:
    return Name([*(label.encode() for label in text.split(".")), b""])


def _address(owner: bytes, address: IPAddress) -> bytes:
    if address.version == _IPV4:
        return _record(owner, A.A(IN, kinds.A, str(address)))
    return _record(owner, AAAA.AAAA(IN, kinds.AAAA, str(address)))


def _record(owner: bytes, data: Rdata) -> bytes:
    wire = data.to_wire() or b""  # of None if it were to go to a file
    return owner + _FIXED.pack(data.rdtype, data.rdclass, TTL, len(wire)) + wire
