"""Subnets and addresses as integers, and the one place where their text is read.

A value that only counts and compares needs no class of its own: inside the IPAM
an address is an integer, and netaddr's values are built where it is left.
"""

from __future__ import annotations

import socket
from typing import Final, Literal

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError

Version = Literal[4, 6]

IPV4: Final = 4
IPV6: Final = 6

WIDTH: Final[dict[Version, int]] = {IPV4: 32, IPV6: 128}
"""Bits of an address, by IP version."""

_FAMILY: Final[dict[Version, int]] = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_SHOWN = 60  # characters of a bad value that are repeated in a message
_LONGEST_PREFIX_TEXT = 3
_POINT_TO_POINT = 31  # RFC 3021


@attrs.frozen(slots=True)
class Block:
    """A CIDR block: the addresses that share their first `prefix` bits.

    Attributes:
        version: 4 or 6.
        first: the lowest address; no host bit is set.
        prefix: the prefix length.
    """

    version: Version
    first: int
    prefix: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.prefix <= WIDTH[self.version]:
            raise InvalidArgumentError(
                f"an IPv{self.version} prefix length is 0 to {WIDTH[self.version]}, "
                f"not {self.prefix}"
            )
        if self.first & (self.size - 1) or self.first >> WIDTH[self.version]:
            raise InvalidArgumentError(
                f"{self.first:#x} does not start an IPv{self.version} /{self.prefix}"
            )

    @classmethod
    def around(cls, version: Version, address: int, prefix: int) -> Block:
        """The block of this length that has the address in it."""
        host_bits = WIDTH[version] - prefix
        return cls(version, address >> host_bits << host_bits, prefix)

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return 1 << (WIDTH[self.version] - self.prefix)

    @property
    def last(self) -> int:
        """The highest address."""
        return self.first + self.size - 1

    def has(self, version: int, address: int) -> bool:
        """Whether the address lies in this block."""
        return version == self.version and self.first <= address <= self.last

    def covers(self, other: Block) -> bool:
        """Whether all of the other block lies in this one."""
        return self.prefix <= other.prefix and self.has(other.version, other.first)

    def overlaps(self, other: Block) -> bool:
        """Whether the two share an address."""
        return self.covers(other) or other.covers(self)

    def reserved(self) -> tuple[int, ...]:
        """The addresses of this subnet that no interface may have.

        IPv4: network and broadcast address, but for /31 and /32.  IPv6: the
        subnet-router anycast address (RFC 4291, 2.6.1).
        """
        if self.version == IPV6:
            return (self.first,)
        return (self.first, self.last) if self.prefix < _POINT_TO_POINT else ()

    def network(self, address: int | None = None) -> IPNetwork:
        """The block as netaddr's value; with an address, that address in the block."""
        value = self.first if address is None else address
        return IPNetwork((value, self.prefix), version=self.version)

    def __str__(self) -> str:
        return f"{text(self.version, self.first)}/{self.prefix}"


def text(version: Version, address: int) -> str:
    """The address as people write it."""
    return socket.inet_ntop(_FAMILY[version], address.to_bytes(WIDTH[version] // 8))


def shown(value: object) -> str:
    """A bad value as a message repeats it: short, one line, whatever it is."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."
    if value is None or isinstance(value, bool | IPNetwork | IPAddress):
        return str(value)
    return f"a value of type {type(value).__name__}"


def parse_block(value: object, what: str) -> Block:
    """The block that text or a netaddr value means; a bare address is a block of one.

    Host bits are masked.

    Raises:
        InvalidArgumentError: it is neither; the message starts with `what`.
    """
    return Block.around(*parse_cidr(value, what, bare=True))


def parse_cidr(value: object, what: str, *, bare: bool = False) -> tuple[Version, int, int]:
    """Version, address (host bits and all) and prefix length.

    Args:
        value: text or a netaddr value.
        what: what the value is for; messages start with it.
        bare: whether an address without a prefix length stands for itself alone.

    Raises:
        InvalidArgumentError: `value` is nothing of the kind.
    """
    if isinstance(value, IPNetwork):
        return value.version, int(value.ip), value.prefixlen
    if bare and isinstance(value, IPAddress):
        return value.version, int(value), WIDTH[value.version]
    if isinstance(value, str):
        host, slash, length = value.partition("/")
        parsed = _parse_text(host)
        if parsed is not None and not slash and bare:
            return *parsed, WIDTH[parsed[0]]
        if parsed is not None and slash:
            prefix = _parse_length(length)
            if prefix is not None and prefix <= WIDTH[parsed[0]]:
                return *parsed, prefix
    wanted = "an address, alone or with" if bare else "an address with"
    raise InvalidArgumentError(
        f"{what} must be {wanted} a prefix length, such as 10.20.30.0/24 or fd00:1::/64, "
        f"not {shown(value)}"
    )


def _parse_text(host: str) -> tuple[Version, int] | None:
    version: Version = IPV6 if ":" in host else IPV4
    try:
        # ValueError: a NUL, or text that is not ASCII.
        return version, int.from_bytes(socket.inet_pton(_FAMILY[version], host))
    except (OSError, ValueError):
        return None


def _parse_length(length: str) -> int | None:
    if len(length) <= _LONGEST_PREFIX_TEXT and length.isascii() and length.isdigit():
        return int(length)
    return None
