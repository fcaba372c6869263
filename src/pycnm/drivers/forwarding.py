"""A sandbox that leads others' packets from one of its networks to another.

An endpoint that forwards is one more thing for its interface, ip-sysctl(7)'s
`forwarding`, and one less for its guard: packets may come from it that are from
elsewhere.  What is from its neighbours it still can't send.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycnm.drivers.routing import Attachment
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import Features, Plan
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec

ALL6 = "net/ipv6/conf/all/forwarding"


def plan_inside(ns: str, endpoint: EndpointSpec, features: Features) -> list[Sysctl]:
    """The settings of an interface that forwards what comes in by it; what it was given stays.

    Neighbours are asked for under the address that the endpoint has among them, or its
    guard would drop the question.
    """
    link = endpoint.interface
    given = {key.replace("IFNAME", link) for key, _ in endpoint.sysctls}
    found: list[Sysctl] = []

    def setting(family: str, key: str, value: str) -> None:
        path = f"net/{family}/conf/{link}/{key}"
        if path not in given:
            found.append(Sysctl(ns, path, value, link=link, before="0"))

    if endpoint.forwarding and endpoint.ip is not None:
        setting("ipv4", "forwarding", "1")
        setting("ipv4", "arp_announce", "2")
    if endpoint.forwarding and endpoint.ip6 is not None and features.force_forwarding:
        setting("ipv6", "force_forwarding", "1")
    return found


def plan_forwarding6(
    sandbox: SandboxSpec, attachments: Sequence[Attachment], features: Features
) -> Plan:
    """IPv6 forwarding of a whole sandbox, where the kernel can't switch it on for one interface.

    Somebody else's namespace may have been a router before, and stays one.
    """
    wanted = any(each.endpoint.forwarding and each.endpoint.ip6 for each in attachments)
    if not wanted or features.force_forwarding:
        return Plan()
    return Plan((Sysctl(sandbox.key, ALL6, "1", before="" if sandbox.adopted else "0"),))


def elsewhere(network: NetworkSpec, endpoint: EndpointSpec) -> tuple[str, ...]:
    """The subnets whose addresses are not from elsewhere; none if it doesn't forward."""
    if not endpoint.forwarding:
        return ()
    return tuple(
        str(pool.subnet)
        for pool in network.pools
        if any(address.version == pool.version for address in endpoint.addresses)
    )
