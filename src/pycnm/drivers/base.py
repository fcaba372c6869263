"""What a driver is, and what it is asked.

A driver is a frozen value: its attributes are the options of one network.  Its
methods are pure.  They get specifications and give back plans; what they don't
know from their arguments they don't need to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, Self

import attrs
from netaddr import EUI, IPAddress

from pycnm.errors import NotSupportedError
from pycnm.plan.operation import Features, Operation, Plan
from pycnm.spec import macs
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.options import OptionTable
from pycnm.spec.ports import PortBinding

INTERFACE_DIGITS: Final = 7
"""Digits of an endpoint's id that are its own: enough to name an interface by them."""


@attrs.frozen
class Use:
    """What a network is used for at the moment, as far as its own plan depends on it.

    Attributes:
        endpoints: it has at least one.
        loopback: a port is published that the host reaches by 127.0.0.0/8.
    """

    endpoints: bool = False
    loopback: bool = False


@attrs.frozen
class HostNeeds:
    """What a network needs of its host beyond its own objects.

    Attributes:
        rules: the nftables skeleton.
        forward4, forward6: packets of other interfaces forwarded to it.
        parent: its `device`, an interface that it sits on: one of the host that is
            left as it is, or a VLAN or an internal one that is made for it.
    """

    rules: bool = False
    forward4: bool = False
    forward6: bool = False
    parent: bool = False


@attrs.frozen
class Driver:
    """Base of all drivers.

    Class attributes:
        name: how it is registered.
        scope: `local` or `swarm`.
        ipam: the IPAM its networks use unless another is named.
        single: only the predefined network uses it.
        publishes: whether ports of the host can lead to its endpoints.
        shapes: whether its endpoints can be slowed down.
        forwards: whether its endpoints can lead others' packets.
        owns_subnets: its subnets are its own, so they can't be the host's too.
        usual_mtu: of its interfaces, where no option says another.
        option_table: its options, under Docker's names.
        crowded: why a network takes no more endpoints than its `capacity`.
    """

    name: ClassVar[str] = ""
    scope: ClassVar[str] = "local"
    ipam: ClassVar[str] = "default"
    single: ClassVar[bool] = False
    publishes: ClassVar[bool] = False
    shapes: ClassVar[bool] = False
    forwards: ClassVar[bool] = False
    owns_subnets: ClassVar[bool] = False
    usual_mtu: ClassVar[int] = 0
    option_table: ClassVar[OptionTable] = OptionTable(())
    crowded: ClassVar[str] = ""

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """A driver from Docker's option names.

        Raises:
            InvalidArgumentError: an option is unknown (the nearest is named), or
                its value is malformed.
        """
        return cls(**cls.option_table.read(options))

    def to_options(self) -> dict[str, str]:
        """The options that differ from their defaults, under Docker's names."""
        return self.option_table.write(self)

    def settled(self, mtu: Callable[[str], int]) -> Self:
        """The same with what depends on the host, and wasn't given, chosen for a new network.

        Args:
            mtu: says the MTU of an interface of the host; with an empty name, of the way
                outside; 0 where there is none.
        """
        del mtu
        return self

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse a network that can't be, or not beside others.

        Args:
            network: what it is to be.
            others: those of this driver on the same `device`, those of any that sit
                on it, and those that own part of a subnet this one is to own.

        Raises:
            CNMError: with what would be right.
        """

    def device(self, network: NetworkSpec) -> str:
        """What of the host networks of this driver may collide over: a bridge, a parent."""
        del network
        return ""

    def adopts(self) -> str:
        """The name of a bridge that is used as it is, if somebody else has made it; or empty."""
        return ""

    def shares(self, network: NetworkSpec, other: NetworkSpec) -> bool:
        """Whether it can be on the same bridge as another network of its driver."""
        del network, other
        return False

    def filters(self, network: NetworkSpec) -> bool:
        """Whether its bridge keeps VLANs apart, which a kernel may not do."""
        del network
        return False

    def refuse_vlan(self, network: NetworkSpec, vlan: int) -> None:
        """Raise if an endpoint can't be in a VLAN of its own.

        Args:
            vlan: its number; 0 if none is wanted.

        Raises:
            CNMError: with what to do in place of it.
        """
        if vlan:
            raise NotSupportedError(
                f"networks of driver {self.name} keep no VLANs apart, and {network.name} is one; "
                "connect the sandbox to a bridge network with the option vlan"
            )

    def is_apart(self, network: NetworkSpec, vlan: int) -> bool:
        """Whether an endpoint with this VLAN reaches neither the host nor a gateway."""
        del network, vlan
        return False

    def owns(self, network: NetworkSpec) -> bool:
        """Whether the subnets of a network are its own; `owns_subnets` says if any are."""
        del network
        return self.owns_subnets

    def takes_gateway(self, network: NetworkSpec, version: int) -> bool:
        """Whether an address of each subnet is set aside for a gateway by itself."""
        del network, version
        return False

    def reserves(self, network: NetworkSpec, version: int) -> tuple[str, ...]:
        """Auxiliary addresses that are set aside under these names, where none are given."""
        del network, version
        return ()

    def is_internal(self, network: NetworkSpec) -> bool:
        """Whether nothing gets in or out, because it was asked for or because there is no way."""
        return network.internal

    def gateway(self, network: NetworkSpec, pool: Pool) -> IPAddress | None:
        """The next hop of the default route that is offered with an address of `pool`."""
        del network, pool
        return None

    def next_hop(self, network: NetworkSpec, pool: Pool, address: IPAddress) -> IPAddress | None:
        """The same for who has `address`; none for the gateway itself, unless there is another."""
        found = self.gateway(network, pool)
        return None if found == address else found

    def gateways_inside(self, network: NetworkSpec, pool: Pool) -> tuple[IPAddress, ...]:
        """Addresses set aside for a gateway that isn't the host: a sandbox may be it."""
        del network, pool
        return ()

    def on_link(self, network: NetworkSpec) -> bool:
        """Whether endpoints are offered default routes that have no next hop."""
        del network
        return False

    def mac(
        self, network: NetworkSpec, wanted: EUI | None, address: IPAddress | None
    ) -> EUI | None:
        """The MAC of an endpoint; None where it isn't its own, or the kernel chooses.

        Raises:
            NotSupportedError: one is wanted and can't be.
        """
        del network
        return wanted or (None if address is None else macs.mac_for(address))

    def capacity(self, network: NetworkSpec) -> int | None:
        """How many endpoints it takes; None for as many as there are addresses."""
        del network
        return None

    def kinds(self, network: NetworkSpec) -> tuple[str, ...]:
        """Kinds of links (ip-link(8)) that it is made of and a kernel may lack."""
        del network
        return ()

    def interface_prefix(self) -> str:
        """The name of interfaces inside, less their number; empty if there are none."""
        return ""

    def host_interface(self, endpoint_id: str) -> str:
        """The name of an endpoint's interface on the host; empty if there is none.

        No two endpoints have the same first `INTERFACE_DIGITS` digits in their ids.
        """
        del endpoint_id
        return ""

    def default_bindings(self, network: NetworkSpec) -> tuple[str, ...]:
        """The host addresses a port is published on when none is named."""
        del network
        return ("0.0.0.0", "::")  # noqa: S104 - what Docker users expect of -p

    def needs(self, network: NetworkSpec) -> HostNeeds:
        """What of the host a realised network needs."""
        del network
        return HostNeeds()

    def plan_network(self, network: NetworkSpec, use: Use, features: Features) -> Plan:
        """What the kernel holds for the network itself."""
        del network, use, features
        return Plan()

    def plan_endpoint(
        self,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        sandbox: SandboxSpec,
        features: Features,
    ) -> Plan:
        """What the kernel holds for one endpoint, its routes and ports left out."""
        del network, endpoint, sandbox, features
        return Plan()

    def refuse_publishing(self, network: NetworkSpec) -> None:
        """Raise if ports of the host can't lead to this network.

        Raises:
            NotSupportedError: with what to do in place of it.
        """
        if not self.publishes:
            raise NotSupportedError(
                f"networks of driver {self.name} publish no ports, and {network.name} is one; "
                "connect the sandbox to a bridge network and publish there"
            )

    def opens(self, network: NetworkSpec, version: int) -> bool:
        """Whether publishing opens the endpoint's own port, and takes none of the host's."""
        del network, version
        return False

    def plan_publishing(self, network: NetworkSpec, endpoint: EndpointSpec) -> Plan:
        """What the kernel holds for an endpoint as long as it publishes any port."""
        del network, endpoint
        return Plan()

    def plan_port(
        self, network: NetworkSpec, endpoint: EndpointSpec, binding: PortBinding
    ) -> tuple[Operation, ...]:
        """What the kernel holds for one published port."""
        del network, endpoint, binding
        return ()
