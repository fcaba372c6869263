"""What networks share on their host: the rules' skeleton, forwarding, what they sit on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pycnm.errors import InvalidArgumentError, NoInterfaceError, NotSupportedError
from pycnm.plan.host import HostFacts, Interface, Uplinks, lacking
from pycnm.plan.links import Link, Parent, Sysctl, Up
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.plan.rules import Entry, Skeleton

ALL4, ALL6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
_FORCE6 = "/force_forwarding"
_VLAN_MAX = 4094
# What stands for a parent, under Docker's names.
_INTERNAL = re.compile(r"d[im]-[0-9a-f]{12}")
_STAND_INS = ("dummy", "ifb")


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


def plan_forwarding6(uplinks: Uplinks, features: Features, known: Iterable[Operation] = ()) -> Plan:
    """The same for IPv6, which older kernels can only switch on for all interfaces.

    There an interface that forwards stops taking router advertisements unless
    told otherwise (accept_ra=2), which would cost the host its own addresses.
    An interface that comes after the switch was thrown is open, too.

    Args:
        uplinks: the interfaces.
        features: what the kernel can do.
        known: what was done so far.  If we threw that switch, it makes no router of the host.
    """
    everywhere = Sysctl(HOST, ALL6, "1", before="0")
    ours = not features.force_forwarding and everywhere in known
    if not features.ipv6 or (uplinks.forwards6 and not ours):
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
    if not features.force_forwarding:
        operations.append(everywhere)
    return Plan(tuple(operations))


def plan_parent(
    name: str,
    host_id: str,
    interface: Callable[[str], Interface | None],
    has_kind: Callable[[str], bool],
) -> Plan:
    """What networks sit on: as it is, if somebody has made it; else made.

    Args:
        name: of the interface.
        host_id: what tells this state directory from others on the same host.
        interface: what there is of an interface of the host.
        has_kind: whether the kernel makes links of a kind.

    Raises:
        NoInterfaceError: it isn't there, and neither is what a VLAN would be of.
        InvalidArgumentError: it isn't there, and its name says no VLAN.
        NotSupportedError: nothing can sit on it, or the kernel can't make it.
    """
    mark = f"cnm:parent:{host_id[:12]}"
    found = interface(name)
    if found is not None and found.alias != mark:
        _refuse_port(found)
        return Plan((Parent(HOST, name),))
    group = int(host_id[:7], 16) | 0x20000000
    if _INTERNAL.fullmatch(name):
        kind = next((kind for kind in _STAND_INS if has_kind(kind)), "")
        if not kind:
            raise lacking(_STAND_INS[0], "a network without a parent")
        digits = name[-12:-4]
        mac = "02:42:" + ":".join(digits[place : place + 2] for place in range(0, 8, 2))
        link = Link(HOST, name, kind, mac=mac, group=group, alias=mark)
        return Plan((link, _silent(name), Up(HOST, name)))
    base, number = vlan(name)
    below = interface(base)
    if below is None:
        raise NoInterfaceError(
            f"-o parent interface was not found on the host: {base}; `ip link` shows those there "
            "are"
        )
    _refuse_port(below)
    if not has_kind("vlan"):
        raise lacking("vlan", f"the parent {name}")
    link = Link(HOST, name, "vlan", (("id", number),), group=group, alias=mark, parent=base)
    return Plan((Parent(HOST, base), link, _silent(name), Up(HOST, name)))


def vlan(name: str) -> tuple[str, int]:
    """The interface and the number that the name of a VLAN has, eth0 and 10 for eth0.10.

    Raises:
        NoInterfaceError: it has no number, and is no VLAN then.
        InvalidArgumentError: it has dots, and is no VLAN.
    """
    base, dot, number = name.partition(".")
    if not dot:
        raise NoInterfaceError(
            f"-o parent interface was not found on the host: {name}; `ip link` shows those there "
            f"are, and {name}.10, say, would be made as VLAN 10 of one"
        )
    if not base or not (number.isascii() and number.isdecimal()):
        raise InvalidArgumentError(
            f"invalid subinterface vlan name {name}, example formatting is eth0.10; and no "
            "interface of that name is there"
        )
    if not 1 <= int(number) <= _VLAN_MAX:
        raise InvalidArgumentError(
            f"vlan id must be between 1-{_VLAN_MAX}, received: {number}; {name} is neither there "
            "nor can it be made"
        )
    return base, int(number)


def _refuse_port(found: Interface) -> None:
    """Raise if nothing can sit on an interface, because what it hears is another's."""
    if found.master:
        raise NotSupportedError(
            f"{found.name} is a port of {found.master}, which takes what it hears; give "
            f"{found.master} as the parent"
        )
    if found.alias.startswith("cnm:") and not found.alias.startswith("cnm:parent:"):
        raise NotSupportedError(
            f"{found.name} is pycnm's own, and goes with its network; connect to that, or give an "
            "interface of the host as the parent"
        )


def _silent(name: str) -> Sysctl:
    """No IPv6 of the host's own there: it only carries what sits on it."""
    return Sysctl(HOST, f"net/ipv6/conf/{name}/disable_ipv6", "1", link=name, optional=True)


def about(operations: Iterable[Operation], name: str) -> Plan:
    """What of such plans is about an interface."""
    return Plan(
        tuple(
            each
            for each in operations
            if (isinstance(each, Sysctl) and each.link == name)
            or (isinstance(each, Entry) and each.key[0] == name)
        )
    )


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
