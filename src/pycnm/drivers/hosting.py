"""What networks share on their host: the rules' skeleton, and forwarding."""

from __future__ import annotations

from collections.abc import Iterable

from pycnm.plan.host import HostFacts, Uplinks
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.plan.rules import Entry, Skeleton

ALL4, ALL6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
_FORCE6 = "/force_forwarding"


def plan_rules(facts: HostFacts, owner: str) -> Plan:
    """The table all networks of the host put their elements into."""
    first, last = facts.ephemeral
    return Plan((Skeleton(owner, first, last),))


def plan_forwarding4(uplinks: Uplinks) -> Plan:
    """IPv4 packets taken from interfaces that didn't forward, for our networks only.

    Per interface, never `ip_forward`: what comes from an interface listed in
    `opened4` goes to a network of ours or nowhere, so the host does not become
    a router for its neighbours, and a firewall or dockerd that switches
    forwarding on later finds it off and sets its own policy.  What was switched
    off one by one, on a host that is a router otherwise, stays our own doing.
    """
    operations: list[Operation] = []
    unless = "" if uplinks.forwards4 else ALL4
    for name in uplinks.not_forwarding4:
        operations.append(Entry("opened4", (name,)))
        key = f"net/ipv4/conf/{name}/forwarding"
        operations.append(
            Sysctl(HOST, key, "1", link=name, before="0", optional=True, unless=unless)
        )
    return Plan(tuple(operations))


def plan_forwarding6(uplinks: Uplinks, features: Features) -> Plan:
    """The same for IPv6, which older kernels can only switch on for all interfaces.

    There an interface that forwards stops taking router advertisements unless
    told otherwise (accept_ra=2), which would cost the host its own addresses.
    """
    if not features.ipv6:
        return Plan()
    operations: list[Operation] = []
    for name in uplinks.not_forwarding6:
        operations.append(Entry("opened6", (name,)))
        if features.force_forwarding:
            key = f"net/ipv6/conf/{name}{_FORCE6}"
            operations.append(Sysctl(HOST, key, "1", link=name, before="0", optional=True))
        elif name in uplinks.accepting_ra:
            key = f"net/ipv6/conf/{name}/accept_ra"
            operations.append(Sysctl(HOST, key, "2", link=name, before="1", optional=True))
    if not features.force_forwarding and not uplinks.forwards6:
        operations.append(Sysctl(HOST, ALL6, "1", before="0"))
    return Plan(tuple(operations))


def departed(operations: Iterable[Operation], uplinks: Uplinks) -> Plan:
    """What of such plans is about an interface that is gone, or serves something else now."""
    known, names = tuple(operations), {*uplinks.names}
    return Plan(
        tuple(
            each
            for each in known
            if (isinstance(each, Sysctl) and each.link and each.link not in names)
            or (isinstance(each, Entry) and each.key[0] not in names)
        )
    )


def overtaken(operations: Iterable[Operation], uplinks: Uplinks) -> Plan:
    """What of such plans is out of date: somebody has made a router of the host since.

    Where IPv6 forwarding could only be switched on for all interfaces, we did
    that, so nobody can be seen to do it after us.
    """
    known = tuple(operations)
    found: set[Operation] = set()
    for each in known:
        if isinstance(each, Sysctl):
            if uplinks.forwards4 and each.unless == ALL4:
                found |= {each, Entry("opened4", (each.link,))}
            if uplinks.forwards6 and each.key.endswith(_FORCE6):
                found |= {each, Entry("opened6", (each.link,))}
    return Plan(tuple(each for each in known if each in found))
