"""What rules compare and what sets hold: addresses, ports, names, and nft's own words.

Each kind of value is one Python type, so that text and encoding follow from the
value alone: `str` is the name of an interface, `int` a port or another number,
`netaddr.IPAddress` and `netaddr.EUI` are addresses, and what nft calls by a word
is a member of a `Word`.
"""

from __future__ import annotations

import enum
import re
from typing import Self, TypeAlias

from netaddr import EUI, AddrFormatError, IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.spec import addresses

# What nft's scanner takes for a name without quotes; it has no quotes for names.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
# dev_valid_name() of the kernel, less what means something else inside nft's
# quotes: `*` there stands for any ending.
_INTERFACE = re.compile(r"(?!\.{1,2}\Z)[!#-)+-.0-9;-\[\]-~]{1,15}")
_COMMENT_BYTES = 128


class Word(enum.Enum):
    """A value that nft calls by a word: `text` is the word, `number` what it stands for.

    A comparison with a word that names a protocol makes the fields of that
    protocol's header readable: `header` says whose.
    """

    text: str
    number: int
    header: str

    def __new__(cls, text: str, number: int, header: str = "") -> Self:
        """Make a member; enum wants it spelt out."""
        word = object.__new__(cls)
        word._value_ = text
        word.text = text
        word.number = number
        word.header = header
        return word

    def __str__(self) -> str:
        return self.text


class Protocol(Word):
    """The transport protocols (IANA protocol numbers)."""

    ICMP = "icmp", 1, "icmp"
    TCP = "tcp", 6, "tcp"
    UDP = "udp", 17, "udp"
    ICMPV6 = "ipv6-icmp", 58, "icmpv6"
    SCTP = "sctp", 132


class NetworkProtocol(Word):
    """The network protocols, as netfilter's hooks number them."""

    IPV4 = "ipv4", 2, "ip"
    IPV6 = "ipv6", 10, "ip6"


class EtherType(Word):
    """What an Ethernet frame carries."""

    IP = "ip", 0x0800, "ip"
    ARP = "arp", 0x0806, "arp"
    IP6 = "ip6", 0x86DD, "ip6"


class LinkType(Word):
    """The kind of a device (ARPHRD_*)."""

    ETHER = "ether", 1, "ether"


class ICMPv6(Word):
    """The ICMPv6 messages that a guard has an opinion on (RFC 4861, RFC 3810)."""

    ROUTER_SOLICITATION = "nd-router-solicit", 133
    ROUTER_ADVERTISEMENT = "nd-router-advert", 134
    NEIGHBOUR_SOLICITATION = "nd-neighbor-solicit", 135
    NEIGHBOUR_ADVERTISEMENT = "nd-neighbor-advert", 136
    REDIRECT = "nd-redirect", 137
    LISTENER_REPORT = "mld2-listener-report", 143


class CTState(Word):
    """How a packet stands to the connections that conntrack knows; bits."""

    INVALID = "invalid", 1
    ESTABLISHED = "established", 2
    RELATED = "related", 4


class CTStatus(Word):
    """What was done to a packet's connection; bits."""

    DNAT = "dnat", 32


class AddressType(Word):
    """What the routing table calls an address (RTN_*)."""

    LOCAL = "local", 2


Value: TypeAlias = str | int | IPAddress | EUI | Word


def check_name(name: object, what: str) -> str:
    """`name`, if a table, chain or set may be called so.

    Raises:
        InvalidArgumentError: it may not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"{name!r} can't name {what}: give a letter or _, then up to 127 of A-Z a-z 0-9 _ . -"
        )
    return name


def check_interface(name: object) -> str:
    """`name`, if a network interface may be called so.

    Raises:
        InvalidArgumentError: it may not.
    """
    if not isinstance(name, str) or not _INTERFACE.fullmatch(name):
        raise InvalidArgumentError(
            f"{name!r} can't name an interface: give 1 to 15 printable ASCII characters without"
            ' space, / : * " and \\'
        )
    return name


def check_comment(comment: object) -> str | None:
    """`comment`, if nft can print it.

    Raises:
        InvalidArgumentError: it can't.
    """
    if comment is None:
        return None
    if (
        not isinstance(comment, str)
        or not comment.isprintable()
        or '"' in comment
        or not 0 < len(comment.encode()) <= _COMMENT_BYTES
    ):
        raise InvalidArgumentError(
            f"{comment!r} can't be a comment: give 1 to 128 printable bytes without \""
        )
    return comment


def check_port(port: object) -> int:
    """`port`, if it is one.

    Raises:
        InvalidArgumentError: it isn't.
    """
    if type(port) is not int or not 0 < port < 1 << 16:
        raise InvalidArgumentError(f"{port!r} is no port: give a number from 1 to 65535")
    return port


def read_address(value: object, version: int) -> IPAddress:
    """The address that `value` is, or is the text of.

    Raises:
        InvalidArgumentError: it isn't an address of this IP version.
    """
    try:
        address = value if isinstance(value, IPAddress) else addresses.shared(_text(value))
    except (ValueError, AddrFormatError):
        address = None
    if address is None or address.version != version:
        raise InvalidArgumentError(f"{value!r} is no IPv{version} address")
    return address


def read_mac(value: object) -> EUI:
    """The MAC address that `value` is, or is the text of.

    Raises:
        InvalidArgumentError: it isn't one.
    """
    try:
        return value if isinstance(value, EUI) else EUI(_text(value), version=48)
    except (ValueError, AddrFormatError):
        raise InvalidArgumentError(
            f"{value!r} is no MAC address: give six bytes as 02:42:0a:14:1e:03"
        ) from None


def _text(value: object) -> str:
    # netaddr takes numbers for addresses; here they are a mistake.
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - as netaddr does for what it can't read
    return value


def check_key(values: object, what: str) -> None:
    """Nothing, if a part of an element can be made of `values`.

    Raises:
        InvalidArgumentError: it can't.
    """
    if not isinstance(values, tuple) or not values:
        raise InvalidArgumentError(f"{values!r} is no {what}: give a tuple of one or more values")
    for value in values:
        if isinstance(value, str):
            check_interface(value)
        elif isinstance(value, int):
            check_port(value)
        elif not isinstance(value, IPAddress | EUI | Protocol):
            raise InvalidArgumentError(
                f"{value!r} can't be part of a {what}: give the name of an interface, a port,"
                " an IPAddress, an EUI or a Protocol"
            )


def value_text(value: Value | IPNetwork) -> str:
    """The value as nft reads it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, EUI):
        digits = f"{int(value):012x}"
        return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
    return str(value)


def key_text(values: tuple[Value, ...]) -> str:
    """A concatenation as nft reads it."""
    return " . ".join(map(value_text, values))
