"""The guard of a bridge port: a sandbox can't pretend to be somebody else.

One chain per port, called with every frame that the sandbox sends, before the
bridge sees it.  It lets pass what bears the endpoint's own addresses, in the
frame, in the packet, and in ARP and neighbour messages; everything else is
dropped.  A network has a table of its own because netfilter looks through the
whole table whenever a rule is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netaddr import EUI, IPAddress

from pycnm.nft.objects import Chain, Object, Rule
from pycnm.nft.statements import (
    ACCEPT,
    ARP_HLEN,
    ARP_HTYPE,
    ARP_PLEN,
    ARP_PTYPE,
    ARP_SADDR_ETHER,
    ARP_SADDR_IP,
    DROP,
    ETHER_SADDR,
    ETHER_TYPE,
    ICMPV6_TYPE,
    IP6_SADDR,
    IP_SADDR,
    L4PROTO,
    ND_TARGET,
    UDP_SPORT,
    Counter,
    Match,
    Statement,
)
from pycnm.nft.words import EtherType, ICMPv6, Protocol, read_address, read_mac

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FAMILY: Final = "netdev"

# Before everything else that listens at the ingress of a device.
_PRIORITY: Final = -500
_COUNTED_DROP: Final = (Counter(), DROP)
_DHCP_ANSWER: Final = Match(UDP_SPORT, 67)
_DHCPV6_ANSWER: Final = Match(UDP_SPORT, 547)
_IP: Final = Match(ETHER_TYPE, EtherType.IP)
_IP6: Final = Match(ETHER_TYPE, EtherType.IP6)
_ARP: Final = (
    Match(ETHER_TYPE, EtherType.ARP),
    Match(ARP_HTYPE, 1),
    Match(ARP_PTYPE, EtherType.IP),
    Match(ARP_HLEN, 6),
    Match(ARP_PLEN, 4),
)
_ICMPV6: Final = Match(L4PROTO, Protocol.ICMPV6)
_NOT_ICMPV6: Final = Match(L4PROTO, Protocol.ICMPV6, "!=")
_FROM_NOBODY: Final = Match(IP6_SADDR, IPAddress("::"))
_FORBIDDEN: Final = (ICMPv6.ROUTER_ADVERTISEMENT, ICMPv6.REDIRECT)


def guard(
    table: str,
    port: str,
    mac: str | EUI,
    ipv4: Sequence[str | IPAddress] = (),
    ipv6: Sequence[str | IPAddress] = (),
) -> tuple[Object, ...]:
    """The chain of a bridge port, and its rules.

    With `ipv6` the endpoint may use the link-local address of its MAC as well;
    without, nothing of IPv6 passes.

    Args:
        table: the name of the network's table.
        port: the host's end of the sandbox's link; need not exist yet.
        mac: the MAC address of the endpoint.
        ipv4: its IPv4 addresses.
        ipv6: its IPv6 addresses.

    Raises:
        InvalidArgumentError: a name or an address isn't one.
    """
    chain = Chain(
        FAMILY,
        table,
        port,
        type="filter",
        hook="ingress",
        priority=_PRIORITY,
        policy="drop",
        device=port,
    )
    own = read_mac(mac)
    own4 = [read_address(each, 4) for each in ipv4]
    own6 = [read_address(each, 6) for each in ipv6]
    if own6:
        own6.append(link_local(own))
    bodies = _bodies(own, own4, own6)
    return chain, *(Rule(FAMILY, table, port, body) for body in bodies)


def link_local(mac: EUI) -> IPAddress:
    """The IPv6 link-local address that the kernel makes of a MAC address (RFC 4291, EUI-64)."""
    bits = int(mac)
    upper, lower = bits >> 24, bits & 0xFFFFFF
    return IPAddress(0xFE80 << 112 | (upper ^ 0x020000) << 40 | 0xFFFE << 24 | lower, 6)


def _bodies(
    mac: EUI, ipv4: Sequence[IPAddress], ipv6: Sequence[IPAddress]
) -> Iterator[tuple[Statement, ...]]:
    """The rules, what is frequent and cheap first.

    Every rule that accepts looks at the MAC, or stands after the one that
    drops what has another.
    """
    own_mac = Match(ETHER_SADDR, mac)
    yield (_DHCP_ANSWER, *_COUNTED_DROP)
    for address in ipv4:
        yield own_mac, _IP, Match(IP_SADDR, address), ACCEPT
    if ipv6:
        yield (_DHCPV6_ANSWER, *_COUNTED_DROP)
    for address in ipv6:
        yield own_mac, _IP6, Match(IP6_SADDR, address), _NOT_ICMPV6, ACCEPT
    yield (Match(ETHER_SADDR, mac, "!="), *_COUNTED_DROP)
    for address in ipv4:
        yield *_ARP, Match(ARP_SADDR_ETHER, mac), Match(ARP_SADDR_IP, address), ACCEPT
    if ipv6:
        yield from _neighbour_bodies(ipv6)
    yield (Counter(),)


def _neighbour_bodies(own: Sequence[IPAddress]) -> Iterator[tuple[Statement, ...]]:
    """ICMPv6; nft finds the message behind extension headers, or the rule doesn't match.

    So what accepts asks for the protocol too: a packet whose headers can't be
    followed isn't let through on the strength of its source.
    """
    for message in _FORBIDDEN:
        yield (_IP6, Match(ICMPV6_TYPE, message), *_COUNTED_DROP)
    advertisement = Match(ICMPV6_TYPE, ICMPv6.NEIGHBOUR_ADVERTISEMENT)
    foreign = (Match(ND_TARGET, address, "!=") for address in own)
    yield (_IP6, advertisement, *foreign, *_COUNTED_DROP)
    for address in own:
        yield _IP6, Match(IP6_SADDR, address), _ICMPV6, ACCEPT
    # Duplicate address detection and joining groups, before there is an address.
    solicitation = Match(ICMPV6_TYPE, ICMPv6.NEIGHBOUR_SOLICITATION)
    for address in own:
        yield _IP6, _FROM_NOBODY, solicitation, Match(ND_TARGET, address), ACCEPT
    yield _IP6, _FROM_NOBODY, Match(ICMPV6_TYPE, ICMPv6.LISTENER_REPORT), ACCEPT
