"""The guard of a bridge port: a sandbox can't pretend to be somebody else.

One chain per port, called with every frame that the sandbox sends, before the
bridge sees it.  It lets pass what bears the endpoint's own addresses, in the
frame, in the packet, and in ARP and neighbour messages; everything else is
dropped.  Of an endpoint that forwards it lets pass packets from elsewhere too,
which it has from others; but not in the name of its neighbours, and not in what
only neighbours say to each other.

Every port has a table of its own because netfilter looks through the
whole table whenever a rule is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netaddr import EUI, IPAddress, IPNetwork

from pycnm.nft.objects import Chain, Object, Rule, Table
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
    IP6_FRAGMENT,
    IP6_SADDR,
    IP_FRAGMENT,
    IP_SADDR,
    L4PROTO,
    ND_TARGET,
    UDP_DPORT,
    Counter,
    Match,
    Selector,
    Statement,
)
from pycnm.nft.words import EtherType, ICMPv6, Protocol, read_address, read_mac
from pycnm.spec.macs import link_local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FAMILY: Final = "netdev"

# Before everything else that listens at the ingress of a device.
PRIORITY: Final = -500
_COUNTED_DROP: Final = (Counter(), DROP)
_IP: Final = Match(ETHER_TYPE, EtherType.IP)
_IP6: Final = Match(ETHER_TYPE, EtherType.IP6)
_ARP: Final = (
    Match(ETHER_TYPE, EtherType.ARP),
    Match(ARP_HTYPE, 1),
    Match(ARP_PTYPE, EtherType.IP),
    Match(ARP_HLEN, 6),
    Match(ARP_PLEN, 4),
)
# Clients look at the port an answer comes to, few at the one it comes from.
# In family netdev nft takes any part of a fragmented packet for its first.
_DHCP_ANSWER: Final = (
    Match(L4PROTO, Protocol.UDP),
    _IP,
    Match(IP_FRAGMENT, 0),
    Match(UDP_DPORT, 68),
)
_NO_DHCPV6_ANSWER: Final = Match(UDP_DPORT, 546, "!=")
_NEITHER_UDP_NOR_ICMPV6: Final = (
    Match(L4PROTO, Protocol.UDP, "!="),
    Match(L4PROTO, Protocol.ICMPV6, "!="),
)
_LATER_FRAGMENT: Final = Match(IP6_FRAGMENT, 0, "!=")
_FROM_NOBODY: Final = Match(IP6_SADDR, IPAddress("::"))
_SOLICITATION: Final = Match(ICMPV6_TYPE, ICMPv6.NEIGHBOUR_SOLICITATION)
_ADVERTISEMENT: Final = Match(ICMPV6_TYPE, ICMPv6.NEIGHBOUR_ADVERTISEMENT)
_REPORT: Final = Match(ICMPV6_TYPE, ICMPv6.LISTENER_REPORT)
# Forbidden unless a rule before has accepted it.
_NOT_FORBIDDEN: Final = tuple(
    Match(ICMPV6_TYPE, message, "!=")
    for message in (
        ICMPv6.NEIGHBOUR_ADVERTISEMENT,
        ICMPv6.ROUTER_ADVERTISEMENT,
        ICMPv6.REDIRECT,
    )
)
# What is said among neighbours and never forwarded; from elsewhere it is forged.
_NOT_AMONG_NEIGHBOURS: Final = (
    *_NOT_FORBIDDEN,
    Match(ICMPV6_TYPE, ICMPv6.NEIGHBOUR_SOLICITATION, "!="),
    Match(ICMPV6_TYPE, ICMPv6.ROUTER_SOLICITATION, "!="),
)
# Sources that nobody forwards: the machine itself, the link, nobody.
_NOWHERE: Final = {
    4: (IPNetwork("127.0.0.0/8"), IPNetwork("0.0.0.0/8"), IPNetwork("169.254.0.0/16")),
    6: (IPNetwork("fe80::/10"), IPNetwork("::/127")),
}


def table(port: str, owner: str | None = None) -> Table:
    """The table that the guard of a bridge port stands in; `owner` is its comment."""
    return Table(FAMILY, f"cnm_{port}", comment=owner)


def guard(
    port: str,
    mac: str | EUI,
    ipv4: Sequence[str | IPAddress] = (),
    ipv6: Sequence[str | IPAddress] = (),
    owner: str | None = None,
    *,
    near: Sequence[str | IPNetwork] = (),
) -> tuple[Object, ...]:
    """The table of a bridge port, with its chain and the rules of that.

    With `ipv6` the endpoint may use the link-local address of its MAC as well;
    without, nothing of IPv6 passes.

    Args:
        port: the host's end of the sandbox's link; need not exist yet.
        mac: the MAC address of the endpoint.
        ipv4: its IPv4 addresses.
        ipv6: its IPv6 addresses.
        owner: what the comment of the table says.
        near: if it forwards, the subnets of its neighbours, of the families that it
            forwards; packets from elsewhere may come from it.

    Raises:
        InvalidArgumentError: a name or an address isn't one.
    """
    place = table(port, owner)
    chain = Chain(
        FAMILY,
        place.name,
        port,
        type="filter",
        hook="ingress",
        priority=PRIORITY,
        policy="drop",
        device=port,
    )
    own = read_mac(mac)
    own4 = [read_address(each, 4) for each in ipv4]
    own6 = [read_address(each, 6) for each in ipv6]
    if own6:
        own6.append(link_local(own))
    bodies = _bodies(own, own4, own6, [IPNetwork(each) for each in near])
    return place, chain, *(Rule(FAMILY, place.name, port, body) for body in bodies)


def _bodies(
    mac: EUI,
    ipv4: Sequence[IPAddress],
    ipv6: Sequence[IPAddress],
    near: Sequence[IPNetwork],
) -> Iterator[tuple[Statement, ...]]:
    """The rules, what is frequent and cheap first.

    Every rule that accepts looks at the MAC, or stands after the one that
    drops what has another.
    """
    own_mac = Match(ETHER_SADDR, mac)
    far4, far6 = _far(near, IP_SADDR), _far(near, IP6_SADDR)
    yield *_DHCP_ANSWER, *_COUNTED_DROP
    for address in ipv4:
        yield own_mac, _IP, Match(IP_SADDR, address), ACCEPT
    if far4:
        yield own_mac, _IP, *far4, ACCEPT
    for source in (*((Match(IP6_SADDR, address),) for address in ipv6), far6):
        if source:
            own = (own_mac, _IP6, *source)
            yield *own, *_NEITHER_UDP_NOR_ICMPV6, ACCEPT
            yield *own, _NO_DHCPV6_ANSWER, ACCEPT
    yield (Match(ETHER_SADDR, mac, "!="), *_COUNTED_DROP)
    for address in ipv4:
        yield *_ARP, Match(ARP_SADDR_ETHER, mac), Match(ARP_SADDR_IP, address), ACCEPT
    if ipv6:
        yield from _bodies6(ipv6, far6)
    yield (Counter(),)


def _far(near: Sequence[IPNetwork], source: Selector) -> tuple[Match, ...]:
    """What is true of a packet from elsewhere; nothing if none may come."""
    version = 4 if source is IP_SADDR else 6
    subnets = [subnet for subnet in near if subnet.version == version]
    if not subnets:
        return ()
    return tuple(Match(source, block, "!=") for block in (*subnets, *_NOWHERE[version]))


def _bodies6(own: Sequence[IPAddress], far: tuple[Match, ...]) -> Iterator[tuple[Statement, ...]]:
    """ICMPv6 and fragments, of the right MAC.

    A rule that can't find a field doesn't match.  So nothing is accepted for
    not being forbidden without the field that says so having been read: a
    first fragment that ends before the message it carries is dropped.
    """
    # Duplicate address detection and joining groups, before there is an address.
    for address in own:
        yield _IP6, _FROM_NOBODY, _SOLICITATION, Match(ND_TARGET, address), ACCEPT
    yield _IP6, _FROM_NOBODY, _REPORT, ACCEPT
    if far:
        yield _IP6, *far, _LATER_FRAGMENT, ACCEPT
        yield _IP6, *far, *_NOT_AMONG_NEIGHBOURS, ACCEPT
    foreign = (Match(IP6_SADDR, address, "!=") for address in own)
    yield (_IP6, *foreign, *_COUNTED_DROP)
    yield _IP6, _LATER_FRAGMENT, ACCEPT
    for address in own:
        yield _IP6, _ADVERTISEMENT, Match(ND_TARGET, address), ACCEPT
    yield _IP6, *_NOT_FORBIDDEN, ACCEPT
