"""Which endpoint gives a sandbox its default route, and the routes that follow.

Order as libnetwork's: the higher priority first, then networks that lead
outside, then endpoints that serve both families, then the network's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from pycnm.plan.links import MAIN_TABLE, Route, Rule
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.objects import EndpointSpec, NetworkSpec

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


@attrs.frozen
class Attachment:
    """An endpoint of a sandbox with its network."""

    endpoint: EndpointSpec
    network: NetworkSpec


def in_order(attachments: Sequence[Attachment]) -> list[Attachment]:
    """The attachments of a sandbox, the first choice for the default route first."""
    return sorted(attachments, key=_preference)


def plan_routes(ns: str, attachments: Sequence[Attachment]) -> Plan:
    """The default routes of a sandbox.

    An endpoint that offers a gateway and isn't chosen gets a table of its own
    for what comes from its address: so a port published on it, or a flow that
    began on it, is answered the way it came.
    """
    operations: list[Operation] = []
    for version in (4, 6):
        table = MAIN_TABLE
        for attachment in in_order(attachments):
            endpoint = attachment.endpoint
            gateway = endpoint.gateway if version == 4 else endpoint.gateway6  # noqa: PLR2004
            address = endpoint.ip if version == 4 else endpoint.ip6  # noqa: PLR2004
            if address is None or (gateway is None and not endpoint.on_link):
                continue
            if table != MAIN_TABLE:
                table = own_table(endpoint)
                operations.append(Rule(ns, str(address.ip), table))
            via = "" if gateway is None else str(gateway)
            route = Route(ns, _DEFAULT[version], via, endpoint.interface, table)
            operations.append(route)
            table = 0
    return Plan(tuple(operations))


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
