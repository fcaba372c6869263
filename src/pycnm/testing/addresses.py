"""Addresses, routes and routing rules, brought about on a fake kernel."""

from __future__ import annotations

import errno

import attrs
from netaddr import AddrFormatError, IPAddress, IPNetwork

from pycnm.plan import links as plan
from pycnm.plan.operation import Operation
from pycnm.testing.machine import IPV4, IPV6, Link, Namespace
from pycnm.testing.session import FakeSession, Realisation, refusal

_LINK_LOCAL = IPNetwork("fe80::/10")
_HOST_BITS = {IPV4: 32, IPV6: 128}


class _Addresses:
    def add(self, session: FakeSession, fact: plan.Address) -> bool:
        link = session.needed(fact, fact.ns, fact.link)
        address = _network(fact, fact.address)
        if address.version == IPV6:
            _refuse_ipv6(session, fact, link, address.ip)
            same = [text for text in link.addresses if IPNetwork(text).ip == address.ip]
        else:
            same = [text for text in link.addresses if text == str(address)]
        if same:
            return False
        link.addresses[str(address)] = session.ours
        return True

    def remove(self, session: FakeSession, fact: plan.Address) -> None:
        link = session.found(fact.ns, fact.link)
        text = str(IPNetwork(fact.address))
        if link is not None and link.addresses.get(text) in {True, session.ours}:
            session.namespace(fact.ns).forget_address(link, text)

    def differs(self, session: FakeSession, fact: plan.Address) -> str | None:
        link = session.found(fact.ns, fact.link)
        if link is not None and str(IPNetwork(fact.address)) in link.addresses:
            return None
        return f"{plan.at(fact.ns, fact.link)} doesn't have the address {fact.address}"


class _Routes:
    def add(self, session: FakeSession, fact: plan.Route) -> bool:
        link = session.needed(fact, fact.ns, fact.link)
        namespace = session.namespace(fact.ns)
        destination = _network(fact, fact.destination)
        if destination.version == IPV4 and destination.ip != destination.network:
            raise refusal(fact, errno.EINVAL, "Invalid prefix for given prefix length")
        if fact.gateway:
            _refuse_unreachable(namespace, fact, link, IPAddress(fact.gateway))
        elif not link.up:
            raise refusal(fact, errno.ENETDOWN, "Nexthop device is not up")
        # Of an IPv6 destination the kernel drops the bits beyond the prefix.
        route = attrs.evolve(fact, destination=str(destination.cidr))
        if route in namespace.routes or _is_connected(link, route, IPV4):
            return False
        if _is_taken(namespace, route):
            raise refusal(
                fact,
                errno.EEXIST,
                f"another route to {fact.destination} is there; remove it first",
            )
        namespace.routes[route] = session.ours
        return True

    def remove(self, session: FakeSession, fact: plan.Route) -> None:
        namespace = session.machine.namespaces.get(fact.ns)
        if namespace is not None and namespace.routes.get(fact) in {True, session.ours}:
            del namespace.routes[fact]

    def differs(self, session: FakeSession, fact: plan.Route) -> str | None:
        link = session.found(fact.ns, fact.link)
        if link is not None:
            connected = any(_is_connected(link, fact, version) for version in (IPV4, IPV6))
            if connected or fact in session.namespace(fact.ns).routes:
                return None
        via = f" via {fact.gateway}" if fact.gateway else ""
        metric = f" metric {fact.metric}" if fact.metric else ""
        where = plan.at(fact.ns, fact.link)
        return f"the route to {fact.destination}{via}{metric} dev {where} is gone"


class _Rules:
    def add(self, session: FakeSession, fact: plan.Rule) -> bool:
        rules = session.namespace(fact.ns).rules
        if fact in rules:
            return False
        rules.add(fact)
        return True

    def remove(self, session: FakeSession, fact: plan.Rule) -> None:
        # A rule bears no mark: nobody else has one for an endpoint's address.
        namespace = session.machine.namespaces.get(fact.ns)
        if namespace is not None:
            namespace.rules.discard(fact)

    def differs(self, session: FakeSession, fact: plan.Rule) -> str | None:
        namespace = session.machine.namespaces.get(fact.ns)
        if namespace is not None and fact in namespace.rules:
            return None
        table = plan.at(fact.ns, f"table {fact.table}")
        return f"the routing rule from {fact.source} to {table} is gone"


def _network(fact: Operation, text: str) -> IPNetwork:
    try:
        return IPNetwork(text)
    except (AddrFormatError, ValueError) as error:
        raise refusal(fact, errno.EINVAL, "Invalid prefix length") from error


def _refuse_ipv6(session: FakeSession, fact: Operation, link: Link, address: IPAddress) -> None:
    if not session.machine.features.ipv6:
        raise refusal(fact, errno.EOPNOTSUPP)
    if not link.has_ipv6:
        raise refusal(fact, errno.EACCES, "ipv6: IPv6 is disabled on this device")
    if address.is_multicast() or not int(address) or (address.is_loopback() and link.name != "lo"):
        raise refusal(fact, errno.EADDRNOTAVAIL, "ipv6: Invalid address")


def _refuse_unreachable(
    namespace: Namespace, fact: plan.Route, link: Link, gateway: IPAddress
) -> None:
    """Raise unless the gateway is a neighbour on the link."""
    networks = link.networks(gateway.version)
    if gateway.version == IPV6 and any(gateway == network.ip for network in networks):
        raise refusal(fact, errno.EINVAL, "Gateway can not be a local address")
    neighbours = [network.cidr for network in networks] + [
        IPNetwork(route.destination)
        for route in namespace.routes_of(link.name, gateway.version)
        if not route.gateway and route.table == plan.MAIN_TABLE
    ]
    if gateway.version == IPV6 and link.up and link.has_ipv6:
        neighbours.append(_LINK_LOCAL)
    if any(gateway in network for network in neighbours):
        return
    if gateway.version == IPV6:
        raise refusal(fact, errno.EHOSTUNREACH)
    raise refusal(fact, errno.ENETUNREACH, "Nexthop has invalid gateway")


def _is_connected(link: Link, route: plan.Route, version: int) -> bool:
    """Whether the kernel itself made such a route with an address of the link."""
    return (
        not (route.gateway or route.metric)
        and route.table == plan.MAIN_TABLE
        and any(
            str(network.cidr) == route.destination and network.prefixlen < _HOST_BITS[version]
            for network in link.networks(version)
        )
    )


def _is_taken(namespace: Namespace, route: plan.Route) -> bool:
    """Whether another route has the destination, as far as one can't be beside the other."""
    place = (route.destination, route.table, route.metric)
    if any((r.destination, r.table, r.metric) == place for r in namespace.routes):
        return True
    plain = attrs.evolve(route, gateway="")
    return any(_is_connected(link, plain, IPV4) for link in namespace.links.values())


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Address: _Addresses(),
    plan.Route: _Routes(),
    plan.Rule: _Rules(),
}
