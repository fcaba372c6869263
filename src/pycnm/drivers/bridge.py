"""The bridge driver: a Linux bridge a network, a veth pair an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import attrs
from netaddr import IPAddress

from pycnm.drivers import adopted, bridgeport, external, gateways, vlans
from pycnm.drivers.base import INTERFACE_DIGITS, Driver, HostNeeds, Use
from pycnm.drivers.bridgelink import mac, overlap, settings
from pycnm.drivers.bridgeoptions import OPTIONS
from pycnm.errors import AlreadyExistsError, InvalidArgumentError, NotSupportedError
from pycnm.plan.links import Address, Hairpin, Link, Up
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.plan.rules import Entry
from pycnm.plan.wires import Adopted
from pycnm.spec.objects import EndpointSpec, FoundBridge, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.options import OptionTable
from pycnm.spec.ports import PortBinding

DEFAULT_BRIDGE = "cnm0"
_PORTS = 1023  # of a bridge, BR_MAX_PORTS less the one that is never given


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

    bridge_name: str | None = OPTIONS.field("bridge_name")
    icc: bool = OPTIONS.field("icc")
    masquerade: bool = OPTIONS.field("masquerade")
    mtu: int | None = OPTIONS.field("mtu")
    binding: IPAddress | None = OPTIONS.field("binding")
    inhibit_ipv4: bool = OPTIONS.field("inhibit_ipv4")
    gateway_mode_ipv4: str = OPTIONS.field("gateway_mode_ipv4")
    gateway_mode_ipv6: str = OPTIONS.field("gateway_mode_ipv6")
    trusted: tuple[str, ...] = OPTIONS.field("trusted")
    host_ipv4: IPAddress | None = OPTIONS.field("host_ipv4")
    host_ipv6: IPAddress | None = OPTIONS.field("host_ipv6")
    interface_name_prefix: str = OPTIONS.field("interface_name_prefix")
    announcements: int = OPTIONS.field("announcements")
    external: str | None = OPTIONS.field("external")
    vlan: int | None = OPTIONS.field("vlan")
    default_bridge: bool = OPTIONS.field("default_bridge")

    name: ClassVar[str] = "bridge"
    crowded: ClassVar[str] = "a bridge of the kernel has no more ports"
    publishes: ClassVar[bool] = True
    shapes: ClassVar[bool] = True
    forwards: ClassVar[bool] = True
    owns_subnets: ClassVar[bool] = True
    usual_mtu: ClassVar[int] = 1500
    option_table: ClassVar[OptionTable] = OPTIONS

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
            given = [each.attribute for each in OPTIONS if each.key in self.to_options()]
            external.refuse(network, self.external, given)
        if network.adopted is not None:
            self._refuse_on(network.adopted, self.bridge(network))
        if not network.internal and self._isolated():
            raise InvalidArgumentError(
                "gateway mode 'isolated' can only be used for an internal network; make it "
                "internal, or use another mode"
            )
        for other in others:
            self._beside(network, other)

    def _refuse_on(self, found: FoundBridge, bridge: str) -> None:
        """Refuse what can't be on a bridge that is there."""
        adopted.refuse(bridge, (self.gateway_mode_ipv4, self.gateway_mode_ipv6))
        if self.vlan is not None:
            vlans.refuse(found, bridge, self.external)

    def _beside(self, network: NetworkSpec, other: NetworkSpec) -> None:
        theirs = other.name
        reason = ""
        if other.driver == self.name:
            theirs = Bridge.from_options(dict(other.options)).bridge(other)
            if theirs == self.bridge(network) and not self.shares(network, other):
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

    def _frame(self, network: NetworkSpec) -> int:
        """The MTU of the endpoints: that of a bridge which is there, unless one is given."""
        usual = self.usual_mtu if network.adopted is None else network.adopted.mtu
        return usual if self.mtu is None else self.mtu

    def device(self, network: NetworkSpec) -> str:
        """Its bridge: no two networks have the same."""
        return self.bridge(network)

    def adopts(self) -> str:
        """The one that has the name it is given."""
        return "" if self.default_bridge else self.bridge_name or ""

    def bridge(self, network: NetworkSpec) -> str:
        """The name of the network's bridge."""
        return self.bridge_name or f"br-{network.short_id}"

    def shares(self, network: NetworkSpec, other: NetworkSpec) -> bool:
        """On a wire of a bridge that is there, in different VLANs: the host is in neither."""
        del network
        beside = Bridge.from_options(dict(other.options))
        wired = self.external is not None and self.external == beside.external
        numbers = {self.vlan, beside.vlan} - {None}
        return wired and other.adopted is not None and len(numbers) > 1

    def filters(self, network: NetworkSpec) -> bool:
        """With a VLAN."""
        del network
        return self.vlan is not None

    def refuse_vlan(self, network: NetworkSpec, vlan: int) -> None:
        """Only where the network has one."""
        vlans.refuse_endpoint(network, self.vlan, vlan)

    def is_apart(self, network: NetworkSpec, vlan: int) -> bool:
        """In another VLAN than the network's."""
        del network
        return vlan not in {0, self.vlan}

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
        if network.adopted is not None:
            return self._plan_adopted(network, network.adopted, use, features)
        link = Link(
            HOST,
            bridge,
            "bridge",
            (("forward_delay", 0), ("stp_state", 0), *(vlans.SETTINGS if self.vlan else ())),
            mac=mac(network),
            mtu=self._frame(network),
            group=network.group,
            alias=network.alias,
        )
        members = vlans.of_bridge(bridge, self.external, self.vlan)
        if self.external is not None:
            wire = external.plan(bridge, self.external)
            return Plan((link, *wire, *members, Up(HOST, bridge)))
        return Plan(
            (
                *self._entries(network, bridge),
                link,
                *members,
                *settings(network, bridge, use, features, isolated=self._isolated()),
                *self._addresses(network, bridge),
                Up(HOST, bridge),
            )
        )

    def _plan_adopted(
        self, network: NetworkSpec, found: FoundBridge, use: Use, features: Features
    ) -> Plan:
        bridge = self.bridge(network)
        if self.external is not None:
            # Several networks may be on it, so it isn't taken up with one and down with it.
            return Plan((Adopted(HOST, bridge, wire=self.external, vlan=self.vlan or 0),))
        return Plan(
            tuple(
                adopted.plan(
                    found,
                    bridge,
                    self._entries(network, bridge),
                    self._addresses(network, bridge),
                    adopted.settings(network, found, bridge, use, features),
                )
            )
        )

    def _entries(self, network: NetworkSpec, bridge: str) -> list[Operation]:
        out, into = ("from_internal", "to_internal") if network.internal else ("from_nat", "to_nat")
        leave = f"goto {out}" if network.internal else f"jump {out}"
        # What others have on a bridge of theirs isn't kept apart: only ports of ours are.
        talk = self.icc or network.adopted is not None
        entries: list[Operation] = [
            Entry("icc", (bridge, bridge), ("accept" if talk else "drop",)),
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

    def _addresses(self, network: NetworkSpec, bridge: str) -> list[Address]:
        addresses: list[Address] = []
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
        return bridgeport.plan(
            network,
            endpoint,
            sandbox,
            features,
            bridge=self.bridge(network),
            mtu=self._frame(network),
            apart=not self.icc,
            wired=self.external is not None or network.adopted is not None,
            quiet=not self.announcements,
            vlan=endpoint.vlan or self.vlan or 0,
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
