"""A bridge network on a wire of the host: what it is made of, and what it can't have."""

from __future__ import annotations

from collections.abc import Iterable

from pycnm.errors import InvalidArgumentError
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.wires import Wire
from pycnm.spec.objects import NetworkSpec

# What is about the way by the host, which its packets don't take.
LED = (
    "gateway_mode_ipv4",
    "gateway_mode_ipv6",
    "masquerade",
    "host_ipv4",
    "host_ipv6",
    "binding",
    "inhibit_ipv4",
    "trusted",
    "default_bridge",
)


def refuse(network: NetworkSpec, external: str, given: Iterable[str]) -> None:
    """Raise if a network can't be on a wire.

    Args:
        given: options that it has, by the names of their attributes.

    Raises:
        InvalidArgumentError: with what contradicts it.
    """
    if network.internal:
        raise InvalidArgumentError(
            f"a network can't be internal and on the wire of {external}; leave one of them out"
        )
    for name in given:
        if name in LED:
            raise InvalidArgumentError(
                f"{name} is about what goes by the host, and what goes out by {external} doesn't; "
                "leave it out"
            )


def plan(bridge: str, external: str) -> list[Operation]:
    """A bridge that the host isn't on, and its port on the wire.

    Without addresses the host would still answer for those it has elsewhere.
    """

    def setting(family: str, key: str, value: str, *, optional: bool = False) -> Sysctl:
        path = f"net/{family}/conf/{bridge}/{key}"
        return Sysctl(HOST, path, value, link=bridge, before="0", optional=optional)

    return [
        setting("ipv6", "disable_ipv6", "1", optional=True),
        setting("ipv4", "arp_ignore", "8"),
        setting("ipv4", "rp_filter", "1"),
        Wire(HOST, external, bridge),
    ]


def inside(ns: str, link: str, *, ipv6: bool) -> list[Operation]:
    """Settings in a namespace that isn't ours, as ours have them from birth: no router is believed.

    Args:
        ipv6: the endpoint has an address of it.
    """

    def setting(key: str, value: str) -> Sysctl:
        return Sysctl(ns, f"net/ipv6/conf/{link}/{key}", value, link=link)

    if not ipv6:
        return [setting("disable_ipv6", "1")]
    keys = ("accept_ra", "autoconf", "accept_redirects", "accept_dad")
    return [setting("disable_ipv6", "0"), *(setting(key, "0") for key in keys)]
