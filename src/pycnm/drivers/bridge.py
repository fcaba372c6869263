"""The bridge driver: a Linux bridge a network, a veth pair an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import attrs
from netaddr import IPAddress

from pycnm.drivers import external, gateways
from pycnm.drivers.base import INTERFACE_DIGITS, Driver, HostNeeds, Use
from pycnm.drivers.bridgelink import mac, overlap, own, settings, within
from pycnm.drivers.forwarding import elsewhere, plan_inside
from pycnm.drivers.shaping import plan_rate
from pycnm.errors import AlreadyExistsError, InvalidArgumentError, NotSupportedError
from pycnm.plan.links import Address, Hairpin, Isolated, Link, Sysctl, Up, Veth
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.plan.ports import FreshFlows
from pycnm.plan.rules import Entry, Guard
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.options import (
    FLAG,
    INTERFACE,
    INTERFACES,
    PREFIX,
    Option,
    OptionTable,
    address,
    integer,
)
from pycnm.spec.ports import PortBinding

DEFAULT_BRIDGE = "cnm0"
_MTU_MAX = 65535
_PORTS = 1023  # of a bridge, BR_MAX_PORTS less the one that is never given
_D = "com.docker.network."
_OPTIONS = OptionTable(
    (
        Option(_D + "bridge.name", "bridge_name", INTERFACE, None,
               "name of the bridge interface; by default br- and 12 digits of the network's id"),
        Option(_D + "bridge.enable_icc", "icc", FLAG, True,
               "endpoints of the network may talk to each other"),
        Option(_D + "bridge.enable_ip_masquerade", "masquerade", FLAG, True,
               "what goes outside carries the host's address"),
        Option(_D + "driver.mtu", "mtu", integer(0, _MTU_MAX), None,
               "MTU in bytes of the bridge and both ends of each endpoint; by default that of the "
               "way outside when the network is made; 0 leaves the kernel's"),
        Option(_D + "bridge.host_binding_ipv4", "binding", address(), None,
               "host address of ports published without one; by default all addresses"),
        Option(_D + "bridge.inhibit_ipv4", "inhibit_ipv4", FLAG, False,
               "the bridge gets no IPv4 address"),
        Option(_D + "bridge.gateway_mode_ipv4", "gateway_mode_ipv4", gateways.MODE, gateways.NAT,
               "nat; nat-unprotected: who has a route to them reaches all ports of endpoints; "
               "routed: no NAT, and published ports are open at the endpoint's own address; "
               "isolated: internal, and the host isn't reached either"),
        Option(_D + "bridge.gateway_mode_ipv6", "gateway_mode_ipv6", gateways.MODE, gateways.NAT,
               "the same for IPv6"),
        Option(_D + "bridge.trusted_host_interfaces", "trusted", INTERFACES, (),
               "host interfaces, with colons between them, that reach endpoints without a port"),
        Option(_D + "host_ipv4", "host_ipv4", address(4), None,
               "IPv4 source address outside, in place of the outgoing interface's"),
        Option(_D + "host_ipv6", "host_ipv6", address(6), None,
               "IPv6 source address outside, in place of the outgoing interface's"),
        Option(_D + "container_iface_prefix", "interface_name_prefix", PREFIX, "eth",
               "interfaces inside are called this and a number"),
        Option(_D + "advertise_addr_nmsgs", "announcements", integer(0, 1), 1,
               "1: neighbours are told when an address comes up; 0: they are not"),
        Option("external", "external", INTERFACE, None,
               "an interface of the host that becomes a port of the bridge: endpoints are on its "
               "wire, and the host neither is there nor leads or filters what they send"),
        Option(_D + "bridge.default_bridge", "default_bridge", FLAG, False,
               "marks the default network"),
    )
)  # fmt: skip


@attrs.frozen
class Bridge(Driver):
    """Endpoints on one Linux bridge, with NAT to the outside.

    The attributes are its options; `Bridge.option_table` says what each means,
    what Docker calls it and what it is when it isn't given.

    Raises:
        InvalidArgumentError: an option has a value it can't have.

    Source:
        ip-link(8), bridge(8); for the guard, nft(8) "netdev".
    """

    bridge_name: str | None = _OPTIONS.field("bridge_name")
    icc: bool = _OPTIONS.field("icc")
    masquerade: bool = _OPTIONS.field("masquerade")
    mtu: int | None = _OPTIONS.field("mtu")
    binding: IPAddress | None = _OPTIONS.field("binding")
    inhibit_ipv4: bool = _OPTIONS.field("inhibit_ipv4")
    gateway_mode_ipv4: str = _OPTIONS.field("gateway_mode_ipv4")
    gateway_mode_ipv6: str = _OPTIONS.field("gateway_mode_ipv6")
    trusted: tuple[str, ...] = _OPTIONS.field("trusted")
    host_ipv4: IPAddress | None = _OPTIONS.field("host_ipv4")
    host_ipv6: IPAddress | None = _OPTIONS.field("host_ipv6")
    interface_name_prefix: str = _OPTIONS.field("interface_name_prefix")
    announcements: int = _OPTIONS.field("announcements")
    external: str | None = _OPTIONS.field("external")
    default_bridge: bool = _OPTIONS.field("default_bridge")

    name: ClassVar[str] = "bridge"
    crowded: ClassVar[str] = "a bridge of the kernel has no more ports"
    publishes: ClassVar[bool] = True
    shapes: ClassVar[bool] = True
    forwards: ClassVar[bool] = True
    owns_subnets: ClassVar[bool] = True
    usual_mtu: ClassVar[int] = 1500
    option_table: ClassVar[OptionTable] = _OPTIONS

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse what a bridge can't be, or can't be beside the others."""
        if not network.ipv4 and not network.ipv6:
            raise InvalidArgumentError("IPv4 or IPv6 must be enabled; leave one of them on")
        for version, wanted in ((4, network.ipv4), (6, network.ipv6)):
            pools = [pool for pool in network.pools if pool.version == version]
            if len(pools) > 1:
                raise NotSupportedError(
                    "bridge driver doesn't support multiple subnets; give one of each family"
                )
            if wanted and (not pools or not pools[0].subnet.prefixlen):
                raise InvalidArgumentError(
                    f"ipv{version} pool is empty; give a subnet, or use an IPAM that has some"
                )
        if self.external is not None:
            given = [each.attribute for each in _OPTIONS if each.key in self.to_options()]
            external.refuse(network, self.external, given)
        if not network.internal and self._isolated():
            raise InvalidArgumentError(
                "gateway mode 'isolated' can only be used for an internal network; make it "
                "internal, or use another mode"
            )
        for other in others:
            self._beside(network, other)

    def _beside(self, network: NetworkSpec, other: NetworkSpec) -> None:
        theirs = other.name
        reason = ""
        if other.driver == self.name:
            theirs = Bridge.from_options(dict(other.options)).bridge(other)
            if theirs == self.bridge(network):
                reason = "networks have same bridge name"
        for pool in network.pools:
            for their_pool in other.pools:
                if overlap(pool, their_pool):
                    reason = f"networks have overlapping IPv{pool.version}"
        if reason:
            raise AlreadyExistsError(
                f"cannot create network {network.name} ({self.bridge(network)}): conflicts with "
                f"network {other.name} ({theirs}): {reason}"
            )

    def settled(self, mtu: Callable[[str], int]) -> Self:
        """With the MTU of the way outside, or of the wire; as it is if one is given."""
        if self.mtu is not None:
            return self
        found = mtu(self.external or "")
        return self if found in {0, self.usual_mtu} else attrs.evolve(self, mtu=found)

    def _frame(self) -> int:
        return self.usual_mtu if self.mtu is None else self.mtu

    def device(self, network: NetworkSpec) -> str:
        """Its bridge: no two networks have the same."""
        return self.bridge(network)

    def bridge(self, network: NetworkSpec) -> str:
        """The name of the network's bridge."""
        return self.bridge_name or f"br-{network.short_id}"

    def _mode(self, version: int) -> str:
        return self.gateway_mode_ipv4 if version == 4 else self.gateway_mode_ipv6  # noqa: PLR2004

    def _isolated(self) -> frozenset[int]:
        return frozenset(v for v in (4, 6) if self._mode(v) == gateways.ISOLATED)

    def _inhibited(self, version: int) -> bool:
        """Whether the bridge has no address of a family."""
        bare = version == 4 and self.inhibit_ipv4  # noqa: PLR2004
        return bare or version in self._isolated()

    def _bare(self, version: int) -> bool:
        """Whether the host isn't on the network under an address of a family."""
        return self.external is not None or self._inhibited(version)

    def takes_gateway(self, network: NetworkSpec, version: int) -> bool:
        """The bridge has the gateway's address, unless nobody would see it."""
        return self.external is None and not (network.internal and self._inhibited(version))

    def owns(self, network: NetworkSpec) -> bool:
        """Unless they are those of a wire."""
        del network
        return self.external is None

    def capacity(self, network: NetworkSpec) -> int:
        """As many as a bridge has ports, less the one on the wire."""
        del network
        return _PORTS - (self.external is not None)

    def gateway(self, network: NetworkSpec, pool: Pool) -> IPAddress | None:
        """The one an auxiliary address names, or the bridge's address, unless internal."""
        return gateways.named(pool) or (None if network.internal else pool.gateway)

    def next_hop(self, network: NetworkSpec, pool: Pool, address: IPAddress) -> IPAddress | None:
        """The same; for who is the gateway in its place, the bridge itself, unless internal."""
        found = self.gateway(network, pool)
        if found != address:
            return found
        there = not network.internal and not self._bare(pool.version)
        return pool.gateway if there and pool.gateway != address else None

    def gateways_inside(self, network: NetworkSpec, pool: Pool) -> tuple[IPAddress, ...]:
        """What an auxiliary address names; the gateway where the bridge doesn't have it."""
        del network
        found = (gateways.named(pool), pool.gateway if self._bare(pool.version) else None)
        return tuple(each for each in found if each is not None)

    def interface_prefix(self) -> str:
        """`eth`, unless told otherwise."""
        return self.interface_name_prefix

    def host_interface(self, endpoint_id: str) -> str:
        """`veth` and digits of the endpoint's id."""
        return f"veth{endpoint_id[:INTERFACE_DIGITS]}"

    def default_bindings(self, network: NetworkSpec) -> tuple[str, ...]:
        """One address, if the network has one for it; else all of either family."""
        if self.binding is None:
            return tuple(gateways.any_address(v) for v in (4, 6) if network.pool(v))
        return (str(self.binding),)

    def needs(self, network: NetworkSpec) -> HostNeeds:
        """The rules; forwarding for each family that goes outside."""
        if self.external is not None:
            return HostNeeds()
        outside = not network.internal
        return HostNeeds(
            rules=True,
            forward4=outside and network.pool(4) is not None,
            forward6=outside and network.pool(6) is not None,
        )

    def plan_network(self, network: NetworkSpec, use: Use, features: Features) -> Plan:
        """The rules first, then the bridge: nothing is ever open that shouldn't be."""
        if self.default_bridge and not use.endpoints:
            return Plan()
        bridge = self.bridge(network)
        link = Link(
            HOST,
            bridge,
            "bridge",
            (("forward_delay", 0), ("stp_state", 0)),
            mac=mac(network),
            mtu=self._frame(),
            group=network.group,
            alias=network.alias,
        )
        if self.external is not None:
            return Plan((link, *external.plan(bridge, self.external), Up(HOST, bridge)))
        return Plan(
            (
                *self._entries(network, bridge),
                link,
                *settings(network, bridge, use, features, isolated=self._isolated()),
                *self._addresses(network, bridge),
                Up(HOST, bridge),
            )
        )

    def _entries(self, network: NetworkSpec, bridge: str) -> list[Operation]:
        out, into = ("from_internal", "to_internal") if network.internal else ("from_nat", "to_nat")
        leave = f"goto {out}" if network.internal else f"jump {out}"
        entries: list[Operation] = [
            Entry("icc", (bridge, bridge), ("accept" if self.icc else "drop",)),
            Entry("egress", (bridge,), (leave,)),
            Entry("ingress", (bridge,), (f"goto {into}",)),
            Entry("loops", (bridge, bridge)),
            Entry("bridges", (bridge,)),
            Entry("homes", (bridge,)),
        ]
        entries += [Entry("trusted", (interface, bridge)) for interface in self.trusted]
        for version, source in ((4, self.host_ipv4), (6, self.host_ipv6)):
            if network.pool(version) and not network.internal:
                entries += gateways.entries(
                    bridge,
                    version,
                    self._mode(version),
                    masquerade=self.masquerade,
                    source=source,
                )
        return entries

    def _addresses(self, network: NetworkSpec, bridge: str) -> list[Operation]:
        addresses: list[Operation] = []
        for pool in network.pools:
            if pool.gateway is None or self._inhibited(pool.version):
                continue
            addresses.append(Address(HOST, bridge, f"{pool.gateway}/{pool.subnet.prefixlen}"))
        return addresses

    def plan_endpoint(
        self,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        sandbox: SandboxSpec,
        features: Features,
    ) -> Plan:
        """The guard, the pair, what is inside.

        Where the guard can be there before the port, the port is born up.
        """
        ns, inside, outside = sandbox.key, endpoint.interface, endpoint.host_interface
        guard = Guard(
            outside,
            str(endpoint.mac),
            own(endpoint, 4),
            own(endpoint, 6),
            endpoint.alias,
            elsewhere(network, endpoint),
        )
        pair = Veth(
            HOST,
            outside,
            self.bridge(network),
            ns,
            inside,
            str(endpoint.mac),
            mtu=self._frame(),
            group=network.group,
            alias=endpoint.alias,
            up=features.early_guard,
        )
        # The port belongs to the bridge and has no address of any family.
        silent = Sysctl(HOST, f"net/ipv6/conf/{outside}/disable_ipv6", "1", outside, optional=True)
        apart = () if self.icc else (Isolated(HOST, outside),)
        if features.early_guard:
            port: tuple[Operation, ...] = (guard, pair, *apart, silent)
        else:
            port = (pair, guard, *apart, silent, Up(HOST, outside))
        inner: list[Operation] = []
        if self.external is not None and sandbox.adopted and features.ipv6:
            inner += external.inside(ns, inside, ipv6=endpoint.ip6 is not None)
        elif endpoint.ip6 is not None:
            inner.append(within(ns, inside, "ipv6", "disable_ipv6", "0"))
        if not self.announcements:
            inner.append(within(ns, inside, "ipv4", "arp_notify", "0"))
        inner += plan_inside(ns, endpoint, features)
        inner += [
            Sysctl(ns, key.replace("IFNAME", inside), value, link=inside)
            for key, value in endpoint.sysctls
        ]
        return Plan(
            (
                *port,
                *plan_rate(outside, endpoint),
                *inner,
                *(Address(ns, inside, str(address)) for address in endpoint.addresses),
                *(Address(ns, inside, address) for address in endpoint.link_local_ips),
                Up(ns, inside),
                *(FreshFlows(str(address.ip)) for address in endpoint.addresses),
            )
        )

    def refuse_publishing(self, network: NetworkSpec) -> None:
        """An internal network lets nothing in; one on a wire needs no port of the host."""
        if self.external is not None:
            raise NotSupportedError(
                f"endpoints of network {network.name} are on the wire of {self.external}, and "
                "reached there at their own addresses; leave the ports out"
            )
        if network.internal:
            raise NotSupportedError(
                f"network {network.name} is internal: nothing comes in from outside; "
                "connect the sandbox to a network that isn't, and publish there"
            )

    def plan_publishing(self, network: NetworkSpec, endpoint: EndpointSpec) -> Plan:
        """A port that answers itself, for a sandbox that reaches itself by the host's address."""
        del network
        return Plan((Hairpin(HOST, endpoint.host_interface),))

    def opens(self, network: NetworkSpec, version: int) -> bool:
        """In mode routed."""
        del network
        return self._mode(version) == gateways.ROUTED

    def plan_port(
        self, network: NetworkSpec, endpoint: EndpointSpec, binding: PortBinding
    ) -> tuple[Operation, ...]:
        """A port of the host that leads to the endpoint's, or that one opened."""
        del network, endpoint
        return gateways.plan_port(binding)
