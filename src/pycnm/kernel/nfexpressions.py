"""The statements of rules as netfilter's expressions, and keys and data as bytes.

An expression loads something into registers, compares registers, or acts.
Registers are counted in words of four bytes here; netfilter calls each fourth
one by another number (linux/netfilter/nf_tables.h, enum nft_registers).
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from netaddr import EUI, IPAddress, IPNetwork

from pycnm.kernel.netlink import attribute, be32, string
from pycnm.nft import statements as nft
from pycnm.nft.limit import Limit
from pycnm.nft.segments import Clamp, Opening
from pycnm.nft.words import Value, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A field of a header that has to have a value: header, offset, value.
_Field: TypeAlias = tuple[int, int, bytes]

_LIST_ELEMENT: Final = 1
_NAME, _DATA = 1, 2
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_VERDICT_REGISTER: Final = 0
_EQUAL, _NOT_EQUAL = 0, 1
_LIMIT_BYTES, _LIMIT_OVER = 1, 1  # NFT_LIMIT_PKT_BYTES, NFT_LIMIT_F_INV
_ADDRESS_GIVEN, _PORTS_GIVEN = 1, 2  # NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_PROTO_SPECIFIED
_TCP_MSS, _TCP_OPTION = 3, 1  # NFT_RT_TCPMSS, NFT_EXTHDR_OP_TCPOPT
_FAMILIES: Final = {"ip": 2, "ip6": 10}
_VERDICTS: Final = {"drop": 0, "accept": 1, "jump": -3, "goto": -4, "return": -5}
_VERDICT_WORDS: Final = {code: word for word, code in _VERDICTS.items()}

_META: Final = {
    nft.META_PROTOCOL: 1,
    nft.IIF: 4,
    nft.IIFNAME: 6,
    nft.OIFNAME: 7,
    nft.IIFTYPE: 8,
    nft.NFPROTO: 15,
    nft.L4PROTO: 16,
}
_CT: Final = {nft.CT_STATE: 0, nft.CT_STATUS: 2}
# What is asked of the routing table (NFT_FIB_RESULT_*), and about which end (NFTA_FIB_F_*).
_FIB: Final = {
    nft.FIB_DADDR_TYPE: (be32(2, 3), be32(3, 2)),
    nft.FIB_SADDR_TYPE: (be32(2, 3), be32(3, 1)),
    nft.FIB_SADDR_OIFNAME: (be32(2, 2), be32(3, 1)),
}
_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
# Where in which header a field starts.
_PAYLOAD: Final = {
    nft.ETHER_SADDR: (_LINK, 6),
    nft.ETHER_TYPE: (_LINK, 12),
    nft.ARP_HTYPE: (_NETWORK, 0),
    nft.ARP_PTYPE: (_NETWORK, 2),
    nft.ARP_HLEN: (_NETWORK, 4),
    nft.ARP_PLEN: (_NETWORK, 5),
    nft.ARP_SADDR_ETHER: (_NETWORK, 8),
    nft.ARP_SADDR_IP: (_NETWORK, 14),
    nft.IP_SADDR: (_NETWORK, 12),
    nft.IP_DADDR: (_NETWORK, 16),
    nft.IP6_SADDR: (_NETWORK, 8),
    nft.IP6_DADDR: (_NETWORK, 24),
    nft.IP_FRAGMENT: (_NETWORK, 6),
    nft.TH_DPORT: (_TRANSPORT, 2),
    nft.UDP_SPORT: (_TRANSPORT, 0),
    nft.UDP_DPORT: (_TRANSPORT, 2),
    nft.TCP_SPORT: (_TRANSPORT, 0),
    nft.TCP_DPORT: (_TRANSPORT, 2),
    nft.ICMPV6_TYPE: (_TRANSPORT, 0),
    nft.ND_TARGET: (_TRANSPORT, 8),
}
# Where the header of a writable field has its checksum (NFT_PAYLOAD_CSUM_INET).
_INTERNET_CHECKSUM: Final = 1
_CHECKSUM: Final = {nft.UDP_SPORT: 6, nft.UDP_DPORT: 6, nft.TCP_SPORT: 16, nft.TCP_DPORT: 16}
_COMPARABLE: Final = 16  # bytes; netfilter's quick comparison takes no more


def expressions(statements: Iterable[nft.Statement]) -> bytes:
    """The expressions of a rule: the payload of NFTA_RULE_EXPRESSIONS."""
    encoded: list[bytes] = []
    pending: _Field | None = None
    for statement in statements:
        field = None
        if isinstance(statement, nft.Match) and statement.operator == "==":
            field = _field(statement)
        # Neighbours in one header are loaded and compared as one, as nft does it.
        if pending and field and _adjacent(pending, field):
            pending = (*pending[:2], pending[2] + field[2])
            continue
        if pending:
            encoded.append(_compare_field(pending))
        pending = field
        if field is None:
            encoded.append(_ENCODERS[type(statement)](statement))
    if pending:
        encoded.append(_compare_field(pending))
    return b"".join(encoded)


def pack(values: tuple[Value, ...]) -> bytes:
    """A key or a datum of a set, as sets store it: fields of a concatenation fill words."""
    if len(values) == 1:
        return _pack_one(values[0])
    return b"".join(map(_pack_field, values))


def verdict(value: nft.Verdict) -> bytes:
    """The payload of an attribute that holds a verdict (struct nft_data)."""
    code = be32(_VERDICT_CODE, _VERDICTS[value.kind] & 0xFFFFFFFF)
    if value.chain is not None:
        code += string(_VERDICT_CHAIN, value.chain)
    return attribute(_DATA_VERDICT, code)


def verdict_word(code: int) -> str:
    """The word for a verdict's number."""
    return _VERDICT_WORDS.get(code, str(code))


def _pack_one(value: Value) -> bytes:
    """Bytes of a value in a set; there, a number is a port and a word is a protocol."""
    if isinstance(value, int):
        return value.to_bytes(2, "big")
    if isinstance(value, IPAddress):
        return int(value).to_bytes(4 if value.version == 4 else 16, "big")  # noqa: PLR2004 - IPv4
    if isinstance(value, str):
        return value.encode().ljust(nft.IIFNAME.size, b"\0")
    if isinstance(value, EUI):
        return int(value).to_bytes(6, "big")
    return value.number.to_bytes(1, "big")


def _pack_field(value: Value) -> bytes:
    packed = _pack_one(value)
    return packed + b"\0" * (-len(packed) & 3)


def _operand(selector: nft.Selector, value: Any) -> bytes:
    """Bytes that are compared with what `selector` loads."""
    if isinstance(value, str):
        return _pack_one(value)
    # Headers are in network order, what the kernel knows itself isn't.
    known = (
        (selector in _META and selector is not nft.META_PROTOCOL)
        or selector in _CT
        or selector in _FIB
    )
    return _number(value).to_bytes(selector.size, sys.byteorder if known else "big")


def _number(value: Any) -> int:
    return value.number if isinstance(value, Word) else int(value)


def _field(statement: nft.Match) -> _Field | None:
    """The bytes of a header that `statement` compares, and with what; None for other parts."""
    place = _PAYLOAD.get(statement.selector)
    if place is None or statement.selector.mask:
        return None
    value, size = statement.value, statement.selector.size
    if isinstance(value, IPNetwork):
        if value.prefixlen % 8 or not value.prefixlen:
            return None
        return (*place, int(value.network).to_bytes(size, "big")[: value.prefixlen // 8])
    return (*place, _number(value).to_bytes(size, "big"))


def _adjacent(one: _Field, other: _Field) -> bool:
    size = len(one[2])
    return one[0] == other[0] and one[1] + size == other[1] and size + len(other[2]) <= _COMPARABLE


def _compare_field(field: _Field, operator: int = _EQUAL) -> bytes:
    base, offset, value = field
    return _load_field(base, offset, len(value), 0) + _compare(operator, value)


def _expression(name: str, *data: bytes) -> bytes:
    named = string(_NAME, name)
    return attribute(_LIST_ELEMENT, named + attribute(_DATA, b"".join(data)))


def _register(word: int) -> bytes:
    """The number of the register that starts at `word`, as the kernel prints it."""
    return (8 + word if word % 4 else 1 + word // 4).to_bytes(4, "big")


@cache
def _load_field(base: int, offset: int, size: int, word: int) -> bytes:
    return _expression(
        "payload",
        attribute(1, _register(word)),
        be32(2, base),
        be32(3, offset),
        be32(4, size),
    )


@cache
def _load(selector: nft.Selector, word: int) -> bytes:
    if selector in _PAYLOAD:
        return _load_field(*_PAYLOAD[selector], selector.size, word)
    register = attribute(1, _register(word))
    if selector in _META:
        return _expression("meta", register, be32(2, _META[selector]))
    if selector in _CT:
        return _expression("ct", register, be32(2, _CT[selector]))
    if selector is nft.IP6_FRAGMENT:
        # Of extension header 44, wherever it is, from byte 2 on.
        return _expression(
            "exthdr", register, attribute(2, bytes([44])), be32(3, 2), be32(4, selector.size)
        )
    return _expression("fib", register, *_FIB[selector])


@cache
def _compare_head(operator: int, size: int) -> bytes:
    padded = size + (-size & 3)
    data = attribute(3, attribute(_DATA_VALUE, b"\0" * size))
    return _expression("cmp", attribute(1, _register(0)), be32(2, operator), data)[:-padded]


def _compare(operator: int, value: bytes) -> bytes:
    size = len(value)
    return _compare_head(operator, size) + value + b"\0" * (-size & 3)


def _mask(mask: bytes) -> bytes:
    register = _register(0)
    return _expression(
        "bitwise",
        attribute(1, register),
        attribute(2, register),
        be32(3, len(mask)),
        attribute(4, attribute(_DATA_VALUE, mask)),
        attribute(5, attribute(_DATA_VALUE, bytes(len(mask)))),
    )


def _match(statement: nft.Match) -> bytes:
    selector, value = statement.selector, statement.value
    operator = _EQUAL if statement.operator == "==" else _NOT_EQUAL
    field = _field(statement)
    if field is not None:
        return _compare_field(field, operator)
    load = _load(selector, 0)
    if isinstance(value, tuple):
        bits = sum(word.number for word in value if isinstance(word, Word))
        mask = bits.to_bytes(selector.size, sys.byteorder)
        return load + _mask(mask) + _compare(_NOT_EQUAL, bytes(selector.size))
    if selector.mask:
        load += _mask(selector.mask.to_bytes(selector.size, "big"))
    if isinstance(value, IPNetwork):
        load += _mask(_operand(selector, value.netmask))
        value = value.network
    return load + _compare(operator, _operand(selector, value))


def _look_up(
    key: tuple[nft.Selector, ...],
    name: str,
    destination: bytes | None = None,
    operator: Literal["==", "!="] = "==",
) -> bytes:
    encoded = b""
    word = 0
    for selector in key:
        encoded += _load(selector, word)
        word += (selector.size + 3) // 4
    data = [string(1, name), attribute(2, _register(0))]
    if destination is not None:
        data.append(attribute(3, destination))
    return encoded + _expression("lookup", *data, be32(5, int(operator == "!=")))


def _assign(statement: nft.Assign) -> bytes:
    value = attribute(_DATA_VALUE, statement.value.to_bytes(2, "big"))
    register = _register(0)
    base, offset = _PAYLOAD[statement.selector]
    return _expression("immediate", attribute(1, register), attribute(2, value)) + _expression(
        "payload",
        attribute(5, register),
        be32(2, base),
        be32(3, offset),
        be32(4, statement.selector.size),
        be32(6, _INTERNET_CHECKSUM),
        be32(7, _CHECKSUM[statement.selector]),
        be32(8, 0),
    )


def _translate(statement: nft.NAT) -> bytes:
    encoded = _look_up(statement.key, statement.map, _register(0))
    data = [
        be32(1, int(statement.kind == "dnat")),
        be32(2, _FAMILIES[statement.family]),
        attribute(3, _register(0)),
    ]
    if statement.with_port:
        data.append(attribute(5, _register(1 if statement.family == "ip" else 4)))
    elif statement.ports:
        loads, registers = _port_range(statement.ports, 5, 4)
        encoded += loads
        data += [registers, be32(7, _ADDRESS_GIVEN | _PORTS_GIVEN)]
    return encoded + _expression("nat", *data)


def _masquerade(statement: nft.Masquerade) -> bytes:
    if statement.ports is None:
        return _expression("masq")
    loads, registers = _port_range(statement.ports, 2, 0)
    return loads + _expression("masq", be32(1, _PORTS_GIVEN), registers)


def _port_range(ports: tuple[int, int], kind: int, word: int) -> tuple[bytes, bytes]:
    """What loads two ports from `word` on, and the attributes, from `kind` on, that say where."""
    loads = registers = b""
    for place, port in enumerate(ports):
        register = _register(word + 4 * place)
        value = attribute(_DATA_VALUE, port.to_bytes(2, "big"))
        loads += _expression("immediate", attribute(1, register), attribute(2, value))
        registers += attribute(kind + place, register)
    return loads, registers


def _limit(statement: Limit) -> bytes:
    return _expression(
        "limit",
        attribute(1, statement.rate.to_bytes(8, "big")),
        attribute(2, (1).to_bytes(8, "big")),
        be32(3, statement.burst),
        be32(4, _LIMIT_BYTES),
        be32(5, _LIMIT_OVER),
    )


def _opening(statement: Opening) -> bytes:
    """Of the flags of TCP, syn is set and rst isn't (RFC 9293)."""
    del statement
    return _load_field(_TRANSPORT, 13, 1, 0) + _mask(b"\x06") + _compare(_EQUAL, b"\x02")


def _clamp(statement: Clamp) -> bytes:
    """Of TCP option 2 the two bytes from 2 on become what the route says, in network order."""
    del statement
    register = _register(0)
    turned = [be32(3, 1), be32(4, 2), be32(5, 2)]
    return (
        _expression("rt", attribute(1, register), be32(2, _TCP_MSS))
        + _expression("byteorder", attribute(1, register), attribute(2, register), *turned)
        + _expression(
            "exthdr",
            attribute(2, b"\x02"),
            be32(3, 2),
            be32(4, 2),
            be32(6, _TCP_OPTION),
            attribute(7, register),
        )
    )


@lru_cache(64)
def _judge(statement: nft.Verdict) -> bytes:
    return _expression("immediate", be32(1, _VERDICT_REGISTER), attribute(2, verdict(statement)))


_COUNTER: Final = attribute(_LIST_ELEMENT, string(_NAME, "counter"))
_INTO_VERDICT: Final = _VERDICT_REGISTER.to_bytes(4, "big")

_ENCODERS: Final[dict[type[nft.Statement], Callable[[Any], bytes]]] = {
    nft.Match: _match,
    nft.Lookup: lambda statement: _look_up(statement.key, statement.set, None, statement.operator),
    nft.VerdictMap: lambda statement: _look_up(statement.key, statement.map, _INTO_VERDICT),
    nft.Assign: _assign,
    nft.Counter: lambda _: _COUNTER,
    Limit: _limit,
    Opening: _opening,
    Clamp: _clamp,
    nft.Verdict: _judge,
    nft.NAT: _translate,
    nft.Masquerade: _masquerade,
}
