"""A bridge network on a bridge that somebody else has made: used as it is, and left so.

What was found on it is in the network's specification.  Whatever a network needs
beyond that is added, and taken away with the network.
"""

from __future__ import annotations

from collections.abc import Iterable

from pycnm.drivers.base import Use
from pycnm.drivers.gateways import ISOLATED
from pycnm.errors import InvalidArgumentError
from pycnm.plan.links import Address, Sysctl, Up
from pycnm.plan.operation import HOST, Features, Operation
from pycnm.plan.wires import Adopted
from pycnm.spec.objects import FoundBridge, NetworkSpec

_FORWARDS4 = "ipv4/ip_forward"


def port_mac(network: NetworkSpec) -> str:
    """The MAC of the host's ends of all endpoints.

    A bridge that nobody gave a MAC has the lowest of its ports.  This one is higher
    than any of hardware, so that the bridge keeps its own; and where it has no other
    ports, all of ours have the same, so that it doesn't change as they come and go.
    """
    digits = network.id[:10]
    return "fe:" + ":".join(digits[place : place + 2] for place in range(0, 10, 2))


def refuse(bridge: str, modes: Iterable[str]) -> None:
    """Raise if a network can't be on a bridge that is there.

    Raises:
        InvalidArgumentError: with what contradicts it.
    """
    if ISOLATED in modes:
        raise InvalidArgumentError(
            f"{bridge} is there, and in gateway mode 'isolated' the host would answer nobody on "
            "it; use another mode, or another bridge"
        )


def plan(
    found: FoundBridge,
    bridge: str,
    entries: Iterable[Operation],
    addresses: Iterable[Address],
    settings: Iterable[Operation],
) -> list[Operation]:
    """What the kernel is to hold for a network that leads by the host.

    Args:
        entries: the rules.
        addresses: of the host on the network; those that are there stay as they are.
        settings: see there.
    """
    wanted = list(addresses)
    there = tuple(each.address for each in wanted if each.address in found.addresses)
    return [
        Adopted(HOST, bridge, there, found.up),
        *entries,
        *settings,
        *(each for each in wanted if each.address not in there),
        # It is up as long as it is used.
        *(() if found.up else (Up(HOST, bridge),)),
    ]


def settings(
    network: NetworkSpec, found: FoundBridge, bridge: str, use: Use, features: Features
) -> list[Operation]:
    """The sysctls without which nothing would be led by the host, and what they were.

    It is the others' whether the host hears routers there, or has IPv6 if the network
    has none.  A sandbox is no router to it: the guard drops what says so.
    """

    def setting(key: str, value: str, *, unless: str = "") -> Sysctl:
        family, _, last = key.partition("/")
        path, was = f"net/{family}/conf/{bridge}/{last}", found.setting(key)
        before = was if was != value else ""
        optional = family == "ipv6"
        return Sysctl(HOST, path, value, bridge, before, optional=optional, unless=unless)

    wanted: list[Operation] = []
    outside = not network.internal
    if network.pool(6) is not None:
        wanted.append(setting("ipv6/disable_ipv6", "0"))
        if outside and features.force_forwarding:
            wanted.append(setting("ipv6/force_forwarding", "1"))
        elif outside and found.setting("ipv6/accept_ra") == "1":
            # Forwarding is on for all interfaces there, which would cost the host its routes.
            wanted.append(setting("ipv6/accept_ra", "2"))
    if network.pool(4) is not None:
        if outside:
            off = found.setting(_FORWARDS4) == "0"
            wanted.append(setting("ipv4/forwarding", "1", unless="net.ipv4.ip_forward" * off))
        if use.loopback:
            wanted.append(setting("ipv4/route_localnet", "1"))
    return wanted
