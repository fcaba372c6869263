"""What drivers have in common whose endpoints sit on an interface of the host.

Each endpoint is a link of its own on the parent, and speaks on the parent's wire:
the host neither routes nor filters what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.drivers.base import Driver, HostNeeds, Use
from pycnm.drivers.forwarding import plan_inside
from pycnm.errors import InUseError, InvalidArgumentError
from pycnm.plan.links import Address, Link, Route, Sysctl, Up
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.options import FLAG, INTERFACE, Kind, Option, integer
from pycnm.spec.wording import shown

_MTU_MAX = 65535
_HOST_ADDRESS = {4: "host", 6: "host6"}
COMMON = (
    Option("parent", "parent", INTERFACE, None,
           "interface of the host that endpoints sit on; one called NAME.VLAN is made if it isn't "
           "there; without one the network is internal"),
    Option("host_access", "host_access", FLAG, False,
           "the host has an interface on the network, and reaches its endpoints"),
    Option("com.docker.network.driver.mtu", "mtu", integer(0, _MTU_MAX), 0,
           "MTU in bytes of the interfaces inside; 0: that of the parent"),
    Option("com.docker.network.advertise_addr_nmsgs", "announcements", integer(0, 1), 1,
           "1: neighbours are told when an address comes up; 0: they are not"),
)  # fmt: skip
"""The options that all of them have."""


def words(driver: str, what: str, default: str, *known: str) -> Kind:
    """The kind of these words, refused as Docker does it.

    Args:
        what: what they say, `mode` or `flag`.
        default: the first of them, as Docker calls it then.
        known: all of them.
    """
    expects = f"{', '.join(known[:-1])} or {known[-1]}"

    def parse(value: object) -> str:
        if isinstance(value, str) and value in known:
            return value
        text = shown(value)
        quoted = text if text.startswith("'") else f"'{text}'"
        raise InvalidArgumentError(
            f"requested {driver} {what} {quoted} is not valid, {default} is the {driver} "
            f"driver default; it should be {expects}"
        )

    return Kind(expects, parse)


@attrs.frozen
class Stacked(Driver):
    """Base of the drivers whose endpoints sit on a parent.

    Class attributes:
        internal_prefix: how the interface is called that stands for a parent; 12
            digits of the network's id follow.
        host_prefix: the same for the host's own interface on the network.
    """

    internal_prefix: ClassVar[str] = ""
    host_prefix: ClassVar[str] = ""

    parent: str | None = None
    host_access: bool = False
    mtu: int = 0
    announcements: int = 1

    def device(self, network: NetworkSpec) -> str:
        """Its parent, or what stands for one."""
        return self.parent or f"{self.internal_prefix}{network.short_id}"

    def is_internal(self, network: NetworkSpec) -> bool:
        """Without a parent there is no way outside."""
        return network.internal or not self.parent

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse what can't sit on the parent, or not beside the others."""
        if not network.ipv4 and not network.ipv6:
            raise InvalidArgumentError("IPv4 or IPv6 must be enabled; leave one of them on")
        if self.parent == "lo":
            raise InvalidArgumentError(
                f"loopback interface is not a valid {self.name} parent link; give one that leads "
                "to a wire, or none for an internal network"
            )
        if self.parent and network.internal:
            raise InvalidArgumentError(
                f"an internal network has no way outside, and {self.parent} is one; leave out the "
                "parent, or `internal`"
            )
        for other in others:
            if other.driver != self.name and other.parent == self.device(network):
                raise InUseError(
                    f"network {other.name} is already using parent interface "
                    f"{self.device(network)} as {other.driver}, and the kernel puts either on it "
                    "or the other; give another parent"
                )

    def reserves(self, network: NetworkSpec, version: int) -> tuple[str, ...]:
        """The host's address of each family, if it has access."""
        del network
        return (_HOST_ADDRESS[version],) if self.host_access else ()

    def gateway(self, network: NetworkSpec, pool: Pool) -> IPAddress | None:
        """A router on the wire, only if one is given; none if internal."""
        return None if network.internal else pool.gateway

    def gateways_inside(self, network: NetworkSpec, pool: Pool) -> tuple[IPAddress, ...]:
        """The router on the wire."""
        found = self.gateway(network, pool)
        return () if found is None else (found,)

    def interface_prefix(self) -> str:
        """`eth`."""
        return "eth"

    def needs(self, network: NetworkSpec) -> HostNeeds:
        """The parent, and nothing else: no rules, no forwarding."""
        del network
        return HostNeeds(parent=True)

    def kinds(self, network: NetworkSpec) -> tuple[str, ...]:
        """Its own."""
        del network
        return (self.name,)

    def settings(self) -> tuple[tuple[str, int | str], ...]:
        """The settings of each link, as in ip-link(8)."""
        return ()

    def plan_network(self, network: NetworkSpec, use: Use, features: Features) -> Plan:
        """The host's own interface, where it has access."""
        del use
        addresses = self._host_addresses(network)
        if not self.host_access or not addresses:
            return Plan()
        name = f"{self.host_prefix}{network.short_id}"
        first = addresses[0]
        link = Link(
            HOST,
            name,
            self.name,
            self.settings(),
            mac=str(self.mac(network, None, first.ip) or ""),
            mtu=self.mtu,
            group=network.group,
            alias=network.alias,
            parent=self.device(network),
        )
        # It answers for its own addresses, and for none of the host's others.
        settings = [
            _setting(HOST, name, "ipv4", "arp_ignore", "1"),
            _setting(HOST, name, "ipv4", "arp_notify", str(self.announcements)),
        ]
        if features.ipv6:
            off = "0" if any(address.version == 6 for address in addresses) else "1"  # noqa: PLR2004
            settings += _ipv6(HOST, name, off)
        return Plan(
            (
                link,
                *settings,
                *(Address(HOST, name, str(address)) for address in addresses),
                Up(HOST, name),
            )
        )

    def _host_addresses(self, network: NetworkSpec) -> list[IPNetwork]:
        """Those of the host on the network, each alone: its subnet may be the parent's too."""
        return [
            IPNetwork(text)
            for pool in network.pools
            for name, text in pool.aux
            if name == _HOST_ADDRESS[pool.version]
        ]

    def plan_endpoint(
        self,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        sandbox: SandboxSpec,
        features: Features,
    ) -> Plan:
        """The link, born inside under its name, and what the host needs to reach it."""
        ns, inside = sandbox.key, endpoint.interface
        link = Link(
            HOST,
            inside,
            self.name,
            self.settings(),
            mac="" if endpoint.mac is None else str(endpoint.mac),
            mtu=self.mtu,
            group=network.group,
            alias=endpoint.alias,
            parent=self.device(network),
            netns=ns,
        )
        return Plan(
            (
                link,
                *self._settings_inside(endpoint, sandbox, features),
                *(Address(ns, inside, str(address)) for address in endpoint.addresses),
                *(Address(ns, inside, address) for address in endpoint.link_local_ips),
                Up(ns, inside),
                *self._host_routes(network, endpoint),
            )
        )

    def _settings_inside(
        self, endpoint: EndpointSpec, sandbox: SandboxSpec, features: Features
    ) -> list[Operation]:
        """Those of the interface inside; what the endpoint was given comes before our own."""
        ns, inside = sandbox.key, endpoint.interface
        # No way from one wire to another, though the machine may give that to all namespaces.
        settings: list[Sysctl] = [_setting(ns, inside, "ipv4", "forwarding", "0")]
        if endpoint.forwarding:
            settings = plan_inside(ns, endpoint, features)
        if features.ipv6 and sandbox.adopted:
            # As in sandboxes of ours from birth: no router on the wire is believed.
            settings += _ipv6(ns, inside, "1" if endpoint.ip6 is None else "0")
        elif endpoint.ip6 is not None:
            settings.append(_setting(ns, inside, "ipv6", "disable_ipv6", "0"))
        if sandbox.adopted or not self.announcements:
            settings.append(_setting(ns, inside, "ipv4", "arp_notify", str(self.announcements)))
        given = [
            Sysctl(ns, key.replace("IFNAME", inside), value, link=inside)
            for key, value in endpoint.sysctls
        ]
        keys = {each.key for each in given}
        return [*(each for each in settings if each.key not in keys), *given]

    def _host_routes(self, network: NetworkSpec, endpoint: EndpointSpec) -> list[Operation]:
        if not self.host_access:
            return []
        name = f"{self.host_prefix}{network.short_id}"
        pools = {pool for address in self._host_addresses(network)
                 if (pool := network.pool_of(address.ip)) is not None}  # fmt: skip
        return [
            Route(HOST, str(IPNetwork(address.ip)), "", name)
            for address in endpoint.addresses
            if network.pool_of(address.ip) in pools
        ]


def _setting(ns: str, link: str, family: str, key: str, value: str) -> Sysctl:
    return Sysctl(ns, f"net/{family}/conf/{link}/{key}", value, link=link)


def _ipv6(ns: str, link: str, off: str) -> list[Sysctl]:
    keys = ("accept_ra", "autoconf", "accept_redirects", "accept_dad")
    found = [_setting(ns, link, "ipv6", "disable_ipv6", off)]
    return found + ([] if off == "1" else [_setting(ns, link, "ipv6", key, "0") for key in keys])
