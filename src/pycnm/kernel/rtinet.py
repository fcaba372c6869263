"""Addresses, routes and rules as rtnetlink messages (rtnetlink(7), uapi/linux/rtnetlink.h).

Pure: bytes out, bytes in.  Those on links are in `rtnl`.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from pycnm.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    Message,
    attribute,
    attributes,
    message,
    u32,
    u32_of,
)

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
ORIGIN = 0x63
"""Our mark on addresses (IFA_PROTO)."""
_BOOT = 3  # what `ip route add` leaves on routes: nothing to be seen in `ip route`
_BY_KERNEL = 2  # what the kernel leaves on those that come with an address
_METRIC6 = 256  # and what IPv6 ones have
_METRIC6_GIVEN = 1024  # what those have that were given none
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_PROTO = 1, 2, 4, 8, 11
_IFA_F_TEMPORARY, _IFA_F_NODAD, _IFA_F_PERMANENT = 0x01, 0x02, 0x80
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_RTA_METRICS, _RTAX_MTU = 8, 2
_MAIN_TABLE = 254
_FRA_SRC, _FRA_TABLE = 2, 15
_BYTE_MAX = 0xFF
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")


class AddressState(NamedTuple):
    """An address on a link: 4 or 16 bytes, prefix length, who put it there, how long it lasts."""

    ifindex: int
    address: bytes
    prefixlen: int
    origin: int
    temporary: bool


class RouteState(NamedTuple):
    """A unicast route; empty bytes where there is no destination or gateway."""

    destination: bytes
    prefixlen: int
    gateway: bytes
    ifindex: int
    table: int
    scope: int
    family: int
    metric: int


def packed(address: str) -> tuple[int, bytes]:
    """Family and bytes of an address in text."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def new_address(index: int, address: str) -> bytes:
    """Put `address` (text with a prefix length) on a link, without DAD."""
    plain, _, length = address.partition("/")
    family, data = packed(plain)
    body = _IFADDR.pack(family, int(length), 0, _SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, data) + attribute(_IFA_ADDRESS, data)
    if family == socket.AF_INET and int(length) < 31:  # noqa: PLR2004 - RFC 3021
        host_bits = (1 << (32 - int(length))) - 1
        broadcast = (int.from_bytes(data, "big") | host_bits).to_bytes(4, "big")
        body += attribute(_IFA_BROADCAST, broadcast)
    body += u32(_IFA_FLAGS, _IFA_F_NODAD | _IFA_F_PERMANENT)
    body += attribute(_IFA_PROTO, bytes([ORIGIN]))
    return message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def delete_address(index: int, address: str) -> bytes:
    """Take `address` off a link."""
    plain, _, length = address.partition("/")
    family, data = packed(plain)
    body = _IFADDR.pack(family, int(length), 0, _SCOPE_UNIVERSE, index)
    return message(RTM_DELADDR, 0, body + attribute(_IFA_LOCAL, data))


def get_addresses(family: int = socket.AF_UNSPEC, index: int = 0) -> bytes:
    """Ask for all addresses; of a family, or of one link."""
    return message(RTM_GETADDR, NLM_F_DUMP, _IFADDR.pack(family, 0, 0, 0, index))


def address_state(received: Message) -> AddressState:
    """Read an answer to `get_addresses`."""
    family, length, flags, _, index = _IFADDR.unpack_from(received.payload)
    found = attributes(received.payload, _IFADDR.size)
    data = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
    # To IPv4 the same bit says that it is a second one of its subnet.
    temporary = family == socket.AF_INET6 and bool(flags & _IFA_F_TEMPORARY)
    return AddressState(index, data, length, u32_of(found.get(_IFA_PROTO)), temporary)


def metric_of(destination: str, metric: int) -> int:
    """The metric that the kernel has for a route which was given `metric`, or none (0)."""
    return metric or (_METRIC6_GIVEN if ":" in destination else 0)


def route(
    kind: int, destination: str, gateway: str, index: int, table: int, *, metric: int = 0
) -> bytes:
    """Add (RTM_NEWROUTE) or delete (RTM_DELROUTE) a route."""
    plain, _, length = destination.partition("/")
    family, data = packed(plain)
    scope = _SCOPE_UNIVERSE if gateway or family == socket.AF_INET6 else _SCOPE_LINK
    header = _RTMSG.pack(family, int(length), 0, 0, _byte(table), _BOOT, scope, 1, 0)
    body = header + (attribute(_RTA_DST, data) if int(length) else b"")
    body += attribute(_RTA_GATEWAY, packed(gateway)[1]) if gateway else b""
    body += u32(_RTA_OIF, index) if index else b""
    body += u32(_RTA_TABLE, table)
    metric = metric_of(destination, metric)
    body += u32(_RTA_PRIORITY, metric) if metric else b""
    return message(kind, NLM_F_CREATE | NLM_F_EXCL if kind == RTM_NEWROUTE else 0, body)


def connected_route(index: int, address: str) -> bytes:
    """Add the route that the kernel makes of its own when a link gets `address`."""
    plain, _, length = address.partition("/")
    family, data = packed(plain)
    six = family == socket.AF_INET6
    scope = _SCOPE_UNIVERSE if six else _SCOPE_LINK
    body = _RTMSG.pack(family, int(length), 0, 0, _MAIN_TABLE, _BY_KERNEL, scope, 1, 0)
    body += attribute(_RTA_DST, first_of(data, int(length)))
    body += u32(_RTA_PRIORITY, _METRIC6) if six else attribute(_RTA_PREFSRC, data)
    return message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body + u32(_RTA_OIF, index))


def first_of(address: bytes, length: int) -> bytes:
    """The first address of the subnet of `address`."""
    size = len(address)
    mask = -1 << (8 * size - length)
    return (int.from_bytes(address, "big") & mask).to_bytes(size, "big")


def get_routes(family: int = socket.AF_UNSPEC, index: int = 0) -> bytes:
    """Ask for all routes of a family, or for those that lead over one link."""
    body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    return message(RTM_GETROUTE, NLM_F_DUMP, body + (u32(_RTA_OIF, index) if index else b""))


def get_route(destination: str) -> bytes:
    """Ask by which route packets to an address would go."""
    family, data = packed(destination)
    header = _RTMSG.pack(family, 8 * len(data), 0, 0, 0, 0, 0, 0, 0)
    return message(RTM_GETROUTE, 0, header + attribute(_RTA_DST, data))


def way(received: Message) -> tuple[int, int]:
    """Read an answer to `get_route`: the link (0 if there is none) and the MTU of the route.

    The MTU is 0 where it is that of the link.
    """
    found = attributes(received.payload, _RTMSG.size)
    return u32_of(found.get(_RTA_OIF)), u32_of(
        attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU)
    )


def route_state(received: Message) -> RouteState | None:
    """Read an answer to `get_routes`; None for what is no unicast route."""
    family, length, _, _, table, _, scope, kind, _ = _RTMSG.unpack_from(received.payload)
    if kind != 1:
        return None
    found = attributes(received.payload, _RTMSG.size)
    return RouteState(
        found.get(_RTA_DST, b""),
        length,
        found.get(_RTA_GATEWAY, b""),
        u32_of(found.get(_RTA_OIF)),
        u32_of(found.get(_RTA_TABLE)) or table,
        scope,
        family,
        u32_of(found.get(_RTA_PRIORITY)),
    )


def rule(kind: int, source: str, table: int) -> bytes:
    """Add (RTM_NEWRULE) or delete (RTM_DELRULE) a rule for packets from `source`."""
    plain, _, length = source.partition("/")
    family, data = packed(plain)
    bits = int(length) if length else 8 * len(data)
    header = _RTMSG.pack(family, 0, bits, 0, _byte(table), 0, 0, 1, 0)
    body = header + attribute(_FRA_SRC, data) + u32(_FRA_TABLE, table)
    return message(kind, NLM_F_CREATE | NLM_F_EXCL if kind == RTM_NEWRULE else 0, body)


def get_rules(family: int) -> bytes:
    """Ask for all routing rules of a family."""
    return message(RTM_GETRULE, NLM_F_DUMP, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))


def rule_state(received: Message) -> tuple[bytes, int, int]:
    """Read an answer to `get_rules`: source address, its length, table."""
    _, _, length, _, table, _, _, _, _ = _RTMSG.unpack_from(received.payload)
    found = attributes(received.payload, _RTMSG.size)
    return found.get(_FRA_SRC, b""), length, u32_of(found.get(_FRA_TABLE)) or table


def _byte(table: int) -> int:
    """What stands in the header for a table whose number doesn't fit there (RT_TABLE_COMPAT)."""
    return table if table <= _BYTE_MAX else 252
