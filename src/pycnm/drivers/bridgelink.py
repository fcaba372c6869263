"""The bridge itself: its MAC, what the host does on it, and whether two can be side by side."""

from __future__ import annotations

from collections.abc import Collection

from pycnm.drivers.base import Use
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import HOST, Features, Operation
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool


def mac(network: NetworkSpec) -> str:
    """A MAC for the bridge itself, so that it doesn't change with its ports."""
    digits = network.id[:8]
    return "02:42:" + ":".join(digits[place : place + 2] for place in range(0, 8, 2))


def settings(
    network: NetworkSpec,
    bridge: str,
    use: Use,
    features: Features,
    *,
    isolated: Collection[int],
) -> list[Operation]:
    """The sysctls of the bridge, and what they are where the network doesn't say.

    Args:
        isolated: families in which the host is not on the network.
    """

    def setting(
        family: str, key: str, value: str, before: str = "", *, optional: bool = False
    ) -> Sysctl:
        path = f"net/{family}/conf/{bridge}/{key}"
        before = before or ("0" if value == "1" else "1")
        return Sysctl(HOST, path, value, link=bridge, before=before, optional=optional)

    found: list[Operation] = []
    if network.pool(6) is None or 6 in isolated:  # noqa: PLR2004 - IPv6
        found.append(setting("ipv6", "disable_ipv6", "1", optional=True))
    else:
        found.append(setting("ipv6", "disable_ipv6", "0"))
        # A sandbox must never be able to tell the host its routes.
        found += [setting("ipv6", key, "0") for key in ("accept_ra", "accept_dad", "autoconf")]
        found.append(setting("ipv6", "accept_redirects", "0"))
        if features.force_forwarding and not network.internal:
            found.append(setting("ipv6", "force_forwarding", "1"))
    if network.pool(4) is not None:
        if not network.internal:
            found.append(setting("ipv4", "forwarding", "1"))
        if use.loopback:
            # Opens nothing: what comes in from a wire to 127/8 is dropped before.
            found.append(setting("ipv4", "route_localnet", "1"))
    if 4 in isolated:  # noqa: PLR2004 - IPv4
        # With no address there, the host would still answer for those it has elsewhere.
        found += [setting("ipv4", "arp_ignore", "8", "0"), setting("ipv4", "rp_filter", "1")]
    return found


def overlap(one: Pool, other: Pool) -> bool:
    """Whether two subnets have addresses in common."""
    return (
        one.version == other.version
        and one.subnet.first <= other.subnet.last
        and other.subnet.first <= one.subnet.last
    )


def own(endpoint: EndpointSpec, version: int) -> tuple[str, ...]:
    """The addresses of a family that an endpoint may use."""
    found = [str(address.ip) for address in endpoint.addresses if address.version == version]
    extra = [text.partition("/")[0] for text in endpoint.link_local_ips]
    return (*found, *(text for text in extra if (":" in text) == (version == 6)))  # noqa: PLR2004


def within(ns: str, link: str, family: str, key: str, value: str) -> Sysctl:
    """A setting of the interface of a sandbox."""
    return Sysctl(ns, f"net/{family}/conf/{link}/{key}", value, link=link)
