"""Static routes of networks and endpoints, in the words of ip-route(8).

`10.9.0.0/16 via 10.20.30.5`, `10.9.0.0/16 via 10.20.30.5 metric 100`: a
destination, the next hop, a metric; what has no next hop is on the wire
itself.  podman's form, with commas between the three, is taken as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.spec import addresses
from pycnm.spec.wording import shown

_FORM: Final = re.compile(
    r"(?P<destination>[^ ,]+)(?: via (?P<gateway>[^ ,]+))?(?: metric (?P<metric>[^ ,]+))?"
)
_COMMAS: Final = re.compile(r"(?P<destination>[^ ,]+),(?P<gateway>[^ ,]+)(?:,(?P<metric>[^ ,]+))?")
_METRIC: Final = re.compile(r"[1-9][0-9]{0,9}")
_METRIC_MAX: Final = 2**32 - 1
METRIC: Final = 1024
"""The metric of a route that was given none, as the kernel has it for IPv6.

Higher than that of what is on a link (0, or 256 for IPv6): who is in the destination
himself, by another network, reaches it there.
"""
_LONGEST: Final = 200
# What no router leads anywhere.
_LOCAL: Final = (
    IPNetwork("127.0.0.0/8"),
    IPNetwork("224.0.0.0/4"),
    IPNetwork("255.255.255.255/32"),
    IPNetwork("::/127"),
    IPNetwork("fe80::/10"),
    IPNetwork("ff00::/8"),
)


@attrs.frozen
class StaticRoute:
    """A route that somebody wants in a sandbox.

    Attributes:
        destination: the prefix it is for.
        gateway: the next hop; None for what is reached on the wire itself.
        metric: of routes to the same prefix the lowest is used.
    """

    destination: IPNetwork
    gateway: IPAddress | None = None
    metric: int = METRIC

    @classmethod
    def parse(cls, value: object) -> StaticRoute:
        """What a text says.

        Raises:
            InvalidArgumentError: it says no route that can be.
        """
        short = isinstance(value, str) and len(value) <= _LONGEST
        text = " ".join(str(value).split()) if short else ""
        found = _FORM.fullmatch(text) or _COMMAS.fullmatch(text)
        if found is None:
            raise InvalidArgumentError(
                f"invalid route {shown(value)}: it should be a destination, and what it has of a "
                "next hop and a metric, as in '10.9.0.0/16 via 10.20.30.5 metric 100'"
            )
        destination = addresses.prefix(found["destination"], "destination of a route")
        _refuse_destination(destination)
        gateway = found["gateway"]
        return cls(
            destination,
            None
            if gateway is None
            else addresses.address(
                gateway, f"next hop of the route to {destination}", version=destination.version
            ),
            _metric(found["metric"]),
        )

    @property
    def version(self) -> int:
        """4 or 6."""
        return int(self.destination.version)

    @property
    def place(self) -> tuple[IPNetwork, int]:
        """What no two routes of a table have in common."""
        return self.destination, self.metric

    def __str__(self) -> str:
        via = "" if self.gateway is None else f" via {self.gateway}"
        metric = "" if self.metric == METRIC else f" metric {self.metric}"
        return f"{self.destination}{via}{metric}"


@lru_cache(maxsize=4096)
def shared(text: str) -> StaticRoute:
    """The route of a text that was checked once: one value for all, so nobody may change it."""
    return StaticRoute.parse(text)


def static_routes(values: object) -> tuple[str, ...]:
    """The routes that somebody gives, as texts that `shared` reads.

    Raises:
        InvalidArgumentError: they are no list, one of them is malformed, or two have
            the same destination and metric.
    """
    if values is None:
        return ()
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(
            f"invalid routes {shown(values)}: give a list of texts, such as "
            "['10.9.0.0/16 via 10.20.30.5']"
        )
    found: dict[tuple[IPNetwork, int], StaticRoute] = {}
    for value in values:
        route = StaticRoute.parse(value)
        before = found.setdefault(route.place, route)
        if before is not route:
            raise InvalidArgumentError(
                f"the route {route} is there twice, as {before} too; give one of them, or another "
                "metric"
            )
    return tuple(map(str, found.values()))


def refuse_astray(
    texts: Iterable[str],
    whose: str,
    subnets: Sequence[IPNetwork],
    own: Sequence[IPAddress] = (),
) -> None:
    """Raise if routes lead nowhere.

    Args:
        texts: the routes.
        whose: what has them, in words.
        subnets: those of the network, or of the endpoint's addresses.
        own: the endpoint's addresses.

    Raises:
        InvalidArgumentError: there are no addresses of a route's family, its
            destination is reached without it, or its next hop is the endpoint.
        OutOfSubnetError: its next hop isn't a neighbour.
    """
    for route in map(shared, texts):
        near = [each for each in subnets if each.version == route.version]
        if not near:
            raise InvalidArgumentError(
                f"invalid route {route}: {whose} has no IPv{route.version} subnet; leave the route "
                f"out, or give an IPv{route.version} subnet"
            )
        if all(_contains(each, route.destination) for each in near):
            raise InvalidArgumentError(
                f"invalid route {route}: what is in {near[0]} is reached without a route; leave it "
                "out, or give another destination"
            )
        if route.gateway is None:
            continue
        addresses.endpoint_address(route.gateway, near, f"next hop of the route {route}:")
        if route.gateway in own:
            raise InvalidArgumentError(
                f"invalid route {route}: {route.gateway} is the address of {whose} itself; give "
                "that of a neighbour"
            )


def _contains(subnet: IPNetwork, other: IPNetwork) -> bool:
    return bool(subnet.first <= other.first and other.last <= subnet.last)


def _metric(text: str | None) -> int:
    if text is None:
        return METRIC
    if _METRIC.fullmatch(text) and int(text) <= _METRIC_MAX:
        return int(text)
    raise InvalidArgumentError(
        f"invalid metric {shown(text)}: it should be a whole number from 1 to {_METRIC_MAX}"
    )


def _refuse_destination(destination: IPNetwork) -> None:
    if not destination.prefixlen:
        raise InvalidArgumentError(
            f"invalid route to {destination}: the default route leads to the network's gateway, "
            "and gateway_priority says of which network; give a destination besides it"
        )
    for block in _LOCAL:
        if block.version == destination.version and _contains(block, destination):
            raise InvalidArgumentError(
                f"invalid route to {destination}: no router leads to addresses of {block}; give "
                "another destination"
            )
