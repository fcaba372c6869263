"""The rules pycnm needs on a host, once, and the elements that networks and ports add.

The table is static: whatever comes and goes is an element of one of its sets
and maps, so a change costs the same with one network and with a thousand, and
a packet passes the same few look-ups.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Literal

from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.nft.guard import guard
from pycnm.nft.guard import table as guard_table
from pycnm.nft.objects import Chain, Datatype, Element, Object, Rule, Set, Table
from pycnm.nft.segments import Clamp, Opening
from pycnm.nft.statements import (
    ACCEPT,
    CT_STATE,
    CT_STATUS,
    DROP,
    FIB_DADDR_TYPE,
    FIB_SADDR_OIFNAME,
    FIB_SADDR_TYPE,
    IIF,
    IIFNAME,
    IP6_DADDR,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    NAT,
    NFPROTO,
    OIFNAME,
    TH_DPORT,
    Counter,
    Lookup,
    Masquerade,
    Match,
    Statement,
    Verdict,
    VerdictMap,
    goto,
    jump,
    read_verdict,
)
from pycnm.nft.words import (
    AddressType,
    CTState,
    CTStatus,
    NetworkProtocol,
    Protocol,
    Value,
    check_interface,
    check_port,
    read_address,
)

__all__ = ["FAMILY", "TABLE", "element", "guard", "guard_table", "skeleton"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAMILY: Final = "inet"
TABLE: Final = "cnm"

_COUNTED_DROP: Final = (Counter(), DROP)
_REPLY: Final = Match(CT_STATE, (CTState.ESTABLISHED, CTState.RELATED))
_PUBLISHED: Final = Match(CT_STATUS, (CTStatus.DNAT,))
_LOOPBACK4: Final = IPNetwork("127.0.0.0/8")
_LOOPBACK6: Final = IPAddress("::1")
_LINK_LOCAL6: Final = IPNetwork("fe80::/10")
_ADDRESSES: Final[dict[int, Datatype]] = {4: "ipv4_addr", 6: "ipv6_addr"}
_FAMILIES: Final = {
    4: Match(NFPROTO, NetworkProtocol.IPV4),
    6: Match(NFPROTO, NetworkProtocol.IPV6),
}
_TRANSPORTS: Final = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


@functools.lru_cache(4)
def skeleton(first_port: int, last_port: int, owner: str = "pycnm") -> tuple[Object, ...]:
    """The table of a host, without any network.

    Args:
        first_port: with `last_port` the ports that masquerading may give to a
            connection: the host's ip_local_port_range, so that a sandbox can't
            take a port that the host or a publication uses.
        last_port: see there.
        owner: what the comment of the table says.

    Raises:
        InvalidArgumentError: the ports aren't a range, or the owner can't be printed.
    """
    return (
        Table(FAMILY, TABLE, comment=owner),
        *_SETS.values(),
        Chain(FAMILY, TABLE, "user", comment="the administrator's; pycnm never changes it"),
        *_loopback(),
        *_segments(),
        *_verdicts(),
        *_forward(),
        *_publish(),
        *_postrouting((first_port, last_port)),
    )


def element(name: str, key: tuple[str | int, ...], data: tuple[str | int, ...] = ()) -> Element:
    """An element of one of the sets or maps of the table, from text and numbers.

    Args:
        name: the name of the set or map.
        key: a value for each type of its key: the name of an interface, an
            address, `tcp`, `udp` or `sctp`, a port.
        data: the same for the data of a map; a verdict in words (`jump from_nat`).

    Raises:
        InvalidArgumentError: there is no such set, or the values aren't of its types.
    """
    holder = _SETS.get(name)
    if holder is None:
        raise InvalidArgumentError(f"{name!r} is no set of ours: give one of {', '.join(_SETS)}")
    found: tuple[Value, ...] | Verdict | None = None
    if holder.data == "verdict":
        found = read_verdict(data[0] if len(data) == 1 else data)
    elif holder.data is not None:
        found = _values(holder.data, data)
    elif data:
        raise InvalidArgumentError(f"{name} is a set, not a map: give no data")
    return Element(FAMILY, TABLE, name, _values(holder.key, key), found)


def _values(types: tuple[Datatype, ...], values: tuple[str | int, ...]) -> tuple[Value, ...]:
    if len(types) != len(values):
        raise InvalidArgumentError(f"{values!r} isn't {' . '.join(types)}: give a value of each")
    return tuple(_READERS[each](value) for each, value in zip(types, values, strict=True))


def _protocol(value: object) -> Protocol:
    for protocol in _TRANSPORTS:
        if value == protocol.text:
            return protocol
    raise InvalidArgumentError(f"{value!r} is no protocol with ports: give tcp, udp or sctp")


def _set(
    name: str,
    key: tuple[Datatype, ...],
    data: tuple[Datatype, ...] | Literal["verdict"] | None,
    comment: str,
) -> Set:
    return Set(FAMILY, TABLE, name, key=key, data=data, comment=comment)


def _sets() -> Iterator[Set]:
    yield _set("icc", ("ifname", "ifname"), "verdict", "within a network")
    yield _set("egress", ("ifname",), "verdict", "out of a network")
    yield _set("ingress", ("ifname",), "verdict", "into a network")
    yield _set("loops", ("ifname", "ifname"), None, "a network and itself, for published ports")
    yield _set("bridges", ("ifname",), None, "networks with published ports")
    yield _set("homes", ("fib saddr oifname",), None, "networks whose addresses live nowhere else")
    yield _set("trusted", ("ifname", "ifname"), None, "may reach a network without publication")
    for version, addresses in _ADDRESSES.items():
        yield _set(f"opened{version}", ("ifname",), None, "pycnm switched forwarding on here")
        yield _set(f"masquerade{version}", ("ifname",), None, "leave with the host's address")
        yield _set(f"snat{version}", ("ifname",), (addresses,), "leave with this address")
        ports: tuple[Datatype, ...] = ("inet_proto", "inet_service")
        target: tuple[Datatype, ...] = (addresses, "inet_service")
        yield _set(f"direct{version}", ("ifname",), "verdict", "into a network, unpublished")
        yield _set(f"open{version}", (addresses, *ports), None, "ports of routed networks")
        yield _set(f"publish{version}", ports, target, "ports of any host address")
        yield _set(f"publish{version}_at", (addresses, *ports), target, "of one host address")


_SETS: Final = {each.name: each for each in _sets()}
_READERS: Final[dict[Datatype, Callable[[object], Value]]] = {
    "ifname": check_interface,
    "fib saddr oifname": check_interface,
    "ipv4_addr": lambda value: read_address(value, 4),
    "ipv6_addr": lambda value: read_address(value, 6),
    "inet_proto": _protocol,
    "inet_service": check_port,
}


def _chain(chain: Chain, *bodies: tuple[Statement, ...]) -> tuple[Object, ...]:
    return chain, *(Rule(FAMILY, TABLE, chain.name, body) for body in bodies)


def _loopback() -> tuple[Object, ...]:
    """What bears an address of the loopback and comes from elsewhere is forged."""
    return _chain(
        Chain(
            FAMILY,
            TABLE,
            "loopback",
            type="filter",
            hook="prerouting",
            priority=-300,
            policy="accept",
        ),
        (Match(IIFNAME, "lo"), ACCEPT),
        (Match(IP_DADDR, _LOOPBACK4), *_COUNTED_DROP),
        (Match(IP_SADDR, _LOOPBACK4), *_COUNTED_DROP),
        (Match(IP6_DADDR, _LOOPBACK6), *_COUNTED_DROP),
        (Match(IP6_SADDR, _LOOPBACK6), *_COUNTED_DROP),
    )


def _segments() -> tuple[Object, ...]:
    """What opens a connection of a network, from either end."""
    return _chain(
        Chain(FAMILY, TABLE, "segments"),
        (Opening(), Lookup((IIFNAME,), "bridges"), Clamp()),
        (Opening(), Lookup((OIFNAME,), "bridges"), Clamp()),
    )


def _verdicts() -> tuple[Object, ...]:
    """The chains that elements of `egress` and `ingress` lead to."""
    trusted = Lookup((IIFNAME, OIFNAME), "trusted")
    return (
        *_chain(
            Chain(FAMILY, TABLE, "from_nat"),
            (Match(CT_STATE, (CTState.INVALID,)), *_COUNTED_DROP),
        ),
        *_chain(Chain(FAMILY, TABLE, "from_internal"), _COUNTED_DROP),
        *_chain(
            Chain(FAMILY, TABLE, "to_nat"),
            (_REPLY, ACCEPT),
            (trusted, ACCEPT),
            (_PUBLISHED, ACCEPT),
            *((family, VerdictMap((OIFNAME,), f"direct{v}")) for v, family in _FAMILIES.items()),
            _COUNTED_DROP,
        ),
        *_chain(
            Chain(FAMILY, TABLE, "to_routed"),
            (Match(L4PROTO, Protocol.ICMP), ACCEPT),
            (Match(L4PROTO, Protocol.ICMPV6), ACCEPT),
            (Lookup((IP_DADDR, L4PROTO, TH_DPORT), "open4"), ACCEPT),
            (Lookup((IP6_DADDR, L4PROTO, TH_DPORT), "open6"), ACCEPT),
            _COUNTED_DROP,
        ),
        *_chain(Chain(FAMILY, TABLE, "to_internal"), _COUNTED_DROP),
        *_chain(
            Chain(FAMILY, TABLE, "not_a_router"),
            (_REPLY, ACCEPT),
            (_PUBLISHED, ACCEPT),
            _COUNTED_DROP,
        ),
    )


def _forward() -> tuple[Object, ...]:
    """Egress is decided before ingress: what may not leave never gets to be let in."""
    return _chain(
        Chain(
            FAMILY,
            TABLE,
            "forward",
            type="filter",
            hook="forward",
            priority=0,
            policy="accept",
        ),
        # Before the administrator accepts it.
        (Opening(), jump("segments")),
        (jump("user"),),
        (VerdictMap((IIFNAME, OIFNAME), "icc"),),
        (VerdictMap((IIFNAME,), "egress"),),
        (VerdictMap((OIFNAME,), "ingress"),),
        *(
            (
                family,
                Lookup((IIFNAME,), f"opened{version}"),
                goto("not_a_router"),
            )
            for version, family in _FAMILIES.items()
        ),
    )


def _publish() -> tuple[Object, ...]:
    """Published ports; the more special map comes first.

    Before that, what bears an address of a network and comes from elsewhere is
    forged, and so is what comes in with an address of the host (IPv4 knows that
    by itself).  This is asked here because a chain for address translation sees
    the first packet of a flow only.
    """
    not_home = (Lookup((IIFNAME,), "bridges", "!="), Lookup((FIB_SADDR_OIFNAME,), "homes"))
    ours = (Match(IIFNAME, "lo", "!="), Match(FIB_SADDR_TYPE, AddressType.LOCAL))
    forged6 = (Match(NFPROTO, NetworkProtocol.IPV6), *ours, *_COUNTED_DROP)
    to_us = (Match(FIB_DADDR_TYPE, AddressType.LOCAL), goto("publish"))
    routable = Match(IP6_SADDR, _LINK_LOCAL6, "!=")
    not_loopback = Match(IP6_DADDR, _LOOPBACK6, "!=")
    ports = (L4PROTO, TH_DPORT)
    at4, any4 = (IP_DADDR, *ports), ports
    at6, any6 = (IP6_DADDR, *ports), ports
    return (
        *_chain(
            Chain(FAMILY, TABLE, "publish"),
            (NAT("dnat", "ip", at4, "publish4_at", with_port=True),),
            (NAT("dnat", "ip", any4, "publish4", with_port=True),),
            # The kernel has no route_localnet for IPv6: what is sent to ::1 could
            # be translated, but its answer would be dropped as forged.
            (not_loopback, routable, NAT("dnat", "ip6", at6, "publish6_at", with_port=True)),
            (not_loopback, routable, NAT("dnat", "ip6", any6, "publish6", with_port=True)),
        ),
        *_chain(_nat_chain("prerouting", -100), (*not_home, *_COUNTED_DROP), forged6, to_us),
        *_chain(_nat_chain("output", -100), to_us),
    )


def _postrouting(ports: tuple[int, int]) -> tuple[Object, ...]:
    """The source addresses of what leaves a network, and of what the host sends into one."""
    loop = Lookup((IIFNAME, OIFNAME), "loops")
    return _chain(
        _nat_chain("postrouting", 100),
        # A sandbox that uses the host's address to reach its own network has to
        # get its answers through the host.
        (loop, _PUBLISHED, Masquerade()),
        (loop, ACCEPT),
        *_source_rules(4, NetworkProtocol.IPV4, "ip", ports),
        *_source_rules(6, NetworkProtocol.IPV6, "ip6", ports),
        # The host's own connections, some of which come from a loopback address;
        # and what a bridge passes on by itself, which br_netfilter shows here
        # without the interface it came in by.
        (Match(IIF, 0), Lookup((OIFNAME,), "bridges"), _PUBLISHED, Masquerade()),
    )


def _source_rules(
    version: int, protocol: NetworkProtocol, family: Literal["ip", "ip6"], ports: tuple[int, int]
) -> Iterator[tuple[Statement, ...]]:
    # nft takes a range of ports only after a comparison with one protocol.
    for transport in _TRANSPORTS:
        yield (
            Match(L4PROTO, transport),
            NAT("snat", family, (IIFNAME,), f"snat{version}", ports=ports),
        )
    yield (NAT("snat", family, (IIFNAME,), f"snat{version}"),)
    sources = (Match(NFPROTO, protocol), Lookup((IIFNAME,), f"masquerade{version}"))
    for transport in _TRANSPORTS:
        yield (*sources, Match(L4PROTO, transport), Masquerade(ports))
    yield (*sources, Masquerade())


def _nat_chain(hook: Literal["prerouting", "output", "postrouting"], priority: int) -> Chain:
    return Chain(FAMILY, TABLE, hook, type="nat", hook=hook, priority=priority, policy="accept")
