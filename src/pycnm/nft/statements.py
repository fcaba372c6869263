"""The parts of a rule: what it looks at, what it compares, what it does.

`str()` of each is the nft text.  Statements are values: they say nothing about
registers or attributes, which are the business of `pycnm.kernel.nfexpressions`.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import attrs
from netaddr import EUI, IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.nft import words
from pycnm.nft.words import (
    AddressType,
    CTState,
    CTStatus,
    EtherType,
    ICMPv6,
    LinkType,
    NetworkProtocol,
    Protocol,
    Value,
)


@attrs.frozen(eq=False)
class Selector:
    """One thing a rule can look at; the constants below are all there are.

    Attributes:
        text: its name in nft.
        kind: the type of the values it is compared with.
        size: how many bytes it has.
        headers: the headers that must be known to be there before it means anything.
        bits: it is a set of flags; a comparison asks whether one of them is set.
        raw: nft has no name for it and takes values as hexadecimal numbers.
        mask: the bits that count; 0 stands for all.
    """

    text: str
    kind: type[Value]
    size: int
    headers: tuple[str, ...] = ()
    bits: bool = False
    raw: bool = False
    mask: int = 0

    def __str__(self) -> str:
        return self.text


# The number of an interface; 0 if there is none.
IIF: Final = Selector("iif", int, 4)
IIFNAME: Final = Selector("iifname", str, 16)
OIFNAME: Final = Selector("oifname", str, 16)
IIFTYPE: Final = Selector("meta iiftype", LinkType, 2)
NFPROTO: Final = Selector("meta nfproto", NetworkProtocol, 1)
META_PROTOCOL: Final = Selector("meta protocol", EtherType, 2)
L4PROTO: Final = Selector("meta l4proto", Protocol, 1)
CT_STATE: Final = Selector("ct state", CTState, 4, bits=True)
CT_STATUS: Final = Selector("ct status", CTStatus, 4, bits=True)
FIB_DADDR_TYPE: Final = Selector("fib daddr type", AddressType, 4)
FIB_SADDR_TYPE: Final = Selector("fib saddr type", AddressType, 4)
# The interface by which an answer would leave; no name if there is none.
FIB_SADDR_OIFNAME: Final = Selector("fib saddr oifname", str, 16)
ETHER_SADDR: Final = Selector("ether saddr", EUI, 6, ("ether",))
ETHER_TYPE: Final = Selector("ether type", EtherType, 2, ("ether",))
ARP_HTYPE: Final = Selector("arp htype", int, 2, ("arp",))
ARP_PTYPE: Final = Selector("arp ptype", EtherType, 2, ("arp",))
ARP_HLEN: Final = Selector("arp hlen", int, 1, ("arp",))
ARP_PLEN: Final = Selector("arp plen", int, 1, ("arp",))
ARP_SADDR_ETHER: Final = Selector("arp saddr ether", EUI, 6, ("arp",))
ARP_SADDR_IP: Final = Selector("arp saddr ip", IPAddress, 4, ("arp",))
IP_SADDR: Final = Selector("ip saddr", IPAddress, 4, ("ip",))
IP_DADDR: Final = Selector("ip daddr", IPAddress, 4, ("ip",))
IP6_SADDR: Final = Selector("ip6 saddr", IPAddress, 16, ("ip6",))
IP6_DADDR: Final = Selector("ip6 daddr", IPAddress, 16, ("ip6",))
IP_FRAGMENT: Final = Selector("ip frag-off & 0x1fff", int, 2, ("ip",), mask=0x1FFF)
IP6_FRAGMENT: Final = Selector("frag frag-off", int, 2, ("ip6",), mask=0xFFF8)
TH_DPORT: Final = Selector("th dport", int, 2)
UDP_SPORT: Final = Selector("udp sport", int, 2, ("udp",))
UDP_DPORT: Final = Selector("udp dport", int, 2, ("udp",))
TCP_SPORT: Final = Selector("tcp sport", int, 2, ("tcp",))
TCP_DPORT: Final = Selector("tcp dport", int, 2, ("tcp",))
ICMPV6_TYPE: Final = Selector("icmpv6 type", ICMPv6, 1, ("ip6", "icmpv6"))
PORTS: Final = (UDP_SPORT, UDP_DPORT, TCP_SPORT, TCP_DPORT)
# The target of a neighbour message; nft has `icmpv6 taddr` only since 1.0.7.
ND_TARGET: Final = Selector("@th,64,128", IPAddress, 16, ("ip6", "icmpv6"), raw=True)


class Statement:
    """What all statements have in common.

    Attributes:
        headers: the headers that must be known to be there before it means anything.
        header: the header that is known to be there after it; empty if none.
        terminal: nothing can follow it in a rule.
    """

    __slots__ = ()

    terminal: ClassVar[bool] = False

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that must be known to be there before the statement means anything."""
        return ()

    @property
    def header(self) -> str:
        """The header that is known to be there after the statement; empty if none."""
        return ""


@attrs.frozen
class Match(Statement):
    """Go on with the rule if what `selector` finds equals `value` (or doesn't, with `!=`).

    A network stands for all of its addresses.  Of a selector of bits, a tuple
    of words stands for any of them.
    """

    selector: Selector
    value: Value | IPNetwork | tuple[Value, ...]
    operator: Literal["==", "!="] = "=="

    def __attrs_post_init__(self) -> None:
        _check_operator(self.operator)
        selector, value = self.selector, self.value
        if selector.bits:
            self._check_bits()
            return
        if not isinstance(value, selector.kind) and not (
            isinstance(value, IPNetwork) and selector.kind is IPAddress and not selector.raw
        ):
            raise InvalidArgumentError(
                f"`{selector}` can't be {value!r}: give a value of type {selector.kind.__name__}"
            )
        if isinstance(value, str):
            words.check_interface(value)
        elif isinstance(value, IPAddress | IPNetwork):
            if (value.version == 4) != (selector.size == 4):  # noqa: PLR2004 - an IPv4 address
                raise InvalidArgumentError(f"`{selector}` can't be {value}: wrong IP version")
        elif isinstance(value, int) and not 0 <= value < 1 << 8 * selector.size:
            raise InvalidArgumentError(
                f"`{selector}` can't be {value}: it has {8 * selector.size} bits"
            )

    def _check_bits(self) -> None:
        value = self.value if isinstance(self.value, tuple) else ()
        if not value or not all(isinstance(word, self.selector.kind) for word in value):
            raise InvalidArgumentError(
                f"`{self.selector}` can't be {self.value!r}: give a tuple of"
                f" {self.selector.kind.__name__} words"
            )
        if self.operator != "==":
            raise InvalidArgumentError(f"`{self.selector} !=` isn't supported: match what is set")

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of what is compared."""
        return self.selector.headers

    @property
    def header(self) -> str:
        """The header that is known to be there once this has matched; empty if none."""
        if isinstance(self.value, words.Word) and self.operator == "==":
            return self.value.header
        return ""

    def __str__(self) -> str:
        value = self.value
        if isinstance(value, tuple):
            text = ",".join(map(str, value))
        elif self.selector.raw:
            assert isinstance(value, IPAddress)  # noqa: S101 - checked at construction
            text = f"{int(value):#0{2 + 2 * self.selector.size}x}"
        else:
            text = words.value_text(value)
        unsaid = self.operator == "==" and not self.selector.mask
        return f"{self.selector} {'' if unsaid else self.operator + ' '}{text}"


@attrs.frozen
class Lookup(Statement):
    """Go on with the rule if what `key` finds is an element of the set (or isn't, with `!=`)."""

    key: tuple[Selector, ...]
    set: str
    operator: Literal["==", "!="] = "=="

    def __attrs_post_init__(self) -> None:
        _check_operator(self.operator)
        _check_lookup(self.key, self.set)

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of what is looked up."""
        return _headers(self.key)

    def __str__(self) -> str:
        operator = "" if self.operator == "==" else f"{self.operator} "
        return f"{_key_text(self.key)} {operator}@{self.set}"


@attrs.frozen
class VerdictMap(Statement):
    """Do what the map says for what `key` finds; go on if it says nothing."""

    key: tuple[Selector, ...]
    map: str

    terminal: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        _check_lookup(self.key, self.map)

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of what is looked up."""
        return _headers(self.key)

    def __str__(self) -> str:
        return f"{_key_text(self.key)} vmap @{self.map}"


@attrs.frozen
class Assign(Statement):
    """Write a port into the header of the packet; its checksum stays right."""

    selector: Selector
    value: int

    def __attrs_post_init__(self) -> None:
        if self.selector not in PORTS:
            raise InvalidArgumentError(
                f"`{self.selector}` can't be written: give a port of udp or tcp"
            )
        words.check_port(self.value)

    @property
    def headers(self) -> tuple[str, ...]:
        """The header that is written to."""
        return self.selector.headers

    def __str__(self) -> str:
        return f"{self.selector} set {self.value}"


@attrs.frozen
class Counter(Statement):
    """Count packets and bytes that get here."""

    def __str__(self) -> str:
        return "counter"


@attrs.frozen
class Verdict(Statement):
    """What becomes of the packet."""

    kind: Literal["accept", "drop", "return", "jump", "goto"]
    chain: str | None = None

    terminal: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        if self.kind in {"jump", "goto"}:
            words.check_name(self.chain or "", "a chain")
        elif self.kind not in {"accept", "drop", "return"} or self.chain is not None:
            raise InvalidArgumentError(
                f"{self.kind!r} {self.chain!r} is no verdict: give accept, drop or return, or"
                " jump or goto with the name of a chain"
            )

    def __str__(self) -> str:
        return self.kind if self.chain is None else f"{self.kind} {self.chain}"


ACCEPT: Final = Verdict("accept")
DROP: Final = Verdict("drop")
RETURN: Final = Verdict("return")


def jump(chain: str) -> Verdict:
    """The verdict: go on in `chain`, and come back at its end."""
    return Verdict("jump", chain)


def goto(chain: str) -> Verdict:
    """The verdict: go on in `chain`, and don't come back."""
    return Verdict("goto", chain)


def read_verdict(text: object) -> Verdict:
    """The verdict that `text` says, as nft writes it.

    Raises:
        InvalidArgumentError: it says none.
    """
    match text.split(" ") if isinstance(text, str) else ():
        case ["accept"]:
            return ACCEPT
        case ["drop"]:
            return DROP
        case ["return"]:
            return RETURN
        case ["jump", chain]:
            return jump(chain)
        case ["goto", chain]:
            return goto(chain)
    raise InvalidArgumentError(
        f"{text!r} is no verdict: give accept, drop, return, or jump or goto and a chain"
    )


@attrs.frozen
class NAT(Statement):
    """Give the connection the destination (`dnat`) or source (`snat`) that the map says.

    The data of the map are an address, or an address and a port (`with_port`).
    `ports` is a range for the new port, where the map names none.
    """

    kind: Literal["dnat", "snat"]
    family: Literal["ip", "ip6"]
    key: tuple[Selector, ...]
    map: str
    with_port: bool = False
    ports: tuple[int, int] | None = None

    terminal: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        if self.kind not in {"dnat", "snat"} or self.family not in {"ip", "ip6"}:
            raise InvalidArgumentError(
                f"`{self.kind} {self.family}` is no address translation: give dnat or snat,"
                " ip or ip6"
            )
        _check_lookup(self.key, self.map)
        _check_ports(self.ports)
        if self.with_port and self.ports:
            raise InvalidArgumentError("the map or the rule gives the port, not both")

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of what is looked up."""
        return _headers(self.key)

    def __str__(self) -> str:
        ports = "" if self.ports is None else f" : {self.ports[0]}-{self.ports[1]}"
        return f"{self.kind} {self.family} to {_key_text(self.key)} map @{self.map}{ports}"


@attrs.frozen
class Masquerade(Statement):
    """Give the connection the address of the interface it leaves by, and a port of `ports`."""

    ports: tuple[int, int] | None = None

    terminal: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        _check_ports(self.ports)

    def __str__(self) -> str:
        if self.ports is None:
            return "masquerade"
        return f"masquerade to :{self.ports[0]}-{self.ports[1]}"


def _check_operator(operator: str) -> None:
    if operator not in {"==", "!="}:
        raise InvalidArgumentError(f"{operator!r} is no operator: give == or !=")


def _check_lookup(key: tuple[Selector, ...], name: str) -> None:
    if not key or not all(isinstance(selector, Selector) for selector in key):
        raise InvalidArgumentError(f"{key!r} can't be looked up: give a tuple of selectors")
    words.check_name(name, "a set")


def _check_ports(ports: tuple[int, int] | None) -> None:
    if ports is None:
        return
    first, last = map(words.check_port, ports)
    if first >= last:
        raise InvalidArgumentError(f"{first}-{last} is no range of ports: give the lower one first")


def _headers(key: tuple[Selector, ...]) -> tuple[str, ...]:
    return tuple(header for selector in key for header in selector.headers)


def _key_text(key: tuple[Selector, ...]) -> str:
    return " . ".join(map(str, key))
