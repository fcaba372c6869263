"""Which endpoint gives a sandbox its default route, and the routes that follow; static routes.

Order as libnetwork's: the higher priority first, then networks that lead
outside, then endpoints that serve both families, then the network's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.plan.links import MAIN_TABLE, Route, Rule
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.objects import EndpointSpec, NetworkSpec
from pycnm.spec.routes import StaticRoute, shared

_DEFAULT: Final = {4: IPNetwork("0.0.0.0/0"), 6: IPNetwork("::/0")}


@attrs.frozen
class Attachment:
    """An endpoint of a sandbox with its network."""

    endpoint: EndpointSpec
    network: NetworkSpec


@attrs.frozen
class _Ways:
    """Where an endpoint leads, with an address of one family."""

    endpoint: EndpointSpec
    address: IPNetwork
    routes: tuple[StaticRoute, ...]


def in_order(attachments: Sequence[Attachment]) -> list[Attachment]:
    """The attachments of a sandbox, the first choice for the default route first."""
    return sorted(attachments, key=_preference)


def plan_routes(ns: str, attachments: Sequence[Attachment]) -> Plan:
    """The default routes of a sandbox, and the static ones.

    Where two endpoints lead to the same prefix, the first choice has it.  An
    endpoint whose ways are then another's, if only in part, gets a table of its
    own for what comes from its address: so a port published on it, or a flow
    that began on it, is answered the way it came.
    """
    ordered = in_order(attachments)
    operations: list[Operation] = []
    for version in (4, 6):
        ways = [found for each in ordered if (found := _ways(each, version)) is not None]
        chosen: dict[tuple[IPNetwork, int], tuple[_Ways, StaticRoute]] = {}
        for each in ways:
            for route in each.routes:
                chosen.setdefault(route.place, (each, route))
        operations += [_route(ns, each.endpoint, route) for each, route in chosen.values()]
        for each in ways:
            taken = [route for other, route in chosen.values() if other is not each]
            if _meet(each.routes, taken):
                operations += _own_ways(ns, each, ordered)
    return Plan(tuple(operations))


def _ways(attachment: Attachment, version: int) -> _Ways | None:
    """Where an endpoint leads; None if nowhere."""
    endpoint = attachment.endpoint
    gateway = endpoint.gateway if version == 4 else endpoint.gateway6  # noqa: PLR2004
    address = endpoint.ip if version == 4 else endpoint.ip6  # noqa: PLR2004
    if address is None:
        return None
    routes = []
    if gateway is not None or endpoint.on_link:
        routes.append(StaticRoute(_DEFAULT[version], gateway, metric=0))
    given = {route.place: route for route in _of(endpoint.routes, version)}
    inherited = {
        route.place: route
        for route in _of(attachment.network.routes, version)
        if _passable(route.gateway, address)
    }
    routes += (inherited | given).values()
    return _Ways(endpoint, address, tuple(routes)) if routes else None


def _of(texts: Iterable[str], version: int) -> Iterator[StaticRoute]:
    return (route for route in map(shared, texts) if route.version == version)


def _passable(gateway: IPAddress | None, address: IPNetwork) -> bool:
    """Whether a next hop is a neighbour of who has an address, and not himself."""
    return gateway is None or (gateway in address and gateway != address.ip)


def _meet(routes: Iterable[StaticRoute], others: Sequence[StaticRoute]) -> bool:
    """Whether something that would go by one of the routes goes by one of the others."""
    return any(
        route.destination.first <= other.destination.first
        and other.destination.last <= route.destination.last
        for route in routes
        for other in others
    )


def _own_ways(ns: str, ways: _Ways, attachments: Iterable[Attachment]) -> Iterator[Operation]:
    """Where an endpoint leads, for what comes from its address: to its neighbours first.

    A router has those of its other networks for neighbours as well.
    """
    endpoint, table = ways.endpoint, own_table(ways.endpoint)
    yield Rule(ns, str(ways.address.ip), table)
    if not endpoint.on_link:
        yield Route(ns, str(ways.address.cidr), "", endpoint.interface, table)
    for other in (each.endpoint for each in attachments):
        if endpoint.forwarding and other.forwarding and other != endpoint:
            for address in other.addresses:
                if address.version == ways.address.version:
                    yield Route(ns, str(address.cidr), "", other.interface, table)
    for route in ways.routes:
        yield _route(ns, endpoint, route, table)


def _route(ns: str, endpoint: EndpointSpec, route: StaticRoute, table: int = MAIN_TABLE) -> Route:
    via = "" if route.gateway is None else str(route.gateway)
    return Route(ns, str(route.destination), via, endpoint.interface, table, route.metric)


def own_table(endpoint: EndpointSpec) -> int:
    """The number of an endpoint's own routing table: stable, and nobody else's."""
    return 0x63000000 | int(endpoint.id[:6], 16)


def _preference(attachment: Attachment) -> tuple[int, bool, bool, str]:
    endpoint = attachment.endpoint
    both = endpoint.gateway is not None and endpoint.gateway6 is not None
    if endpoint.on_link:
        both = endpoint.ip is not None and endpoint.ip6 is not None
    internal = attachment.network.internal
    return -endpoint.gateway_priority, internal, not both, attachment.network.name
