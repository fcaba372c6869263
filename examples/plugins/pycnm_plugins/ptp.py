"""A driver of one's own: sandboxes on routed veth pairs, without a bridge.

Every endpoint is a wire of its own to the host, and the host routes between the
wires.  So sandboxes talk to each other over IP, and share no Ethernet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from netaddr import IPAddress

from pycnm import Driver, Plan
from pycnm.errors import InvalidArgumentError
from pycnm.plan.links import Address, Route, Sysctl, Up, Veth
from pycnm.plan.operation import HOST, Features
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.options import Option, OptionTable, integer

_OPTIONS = OptionTable(
    (
        Option(
            "com.docker.network.driver.mtu",
            "mtu",
            integer(576, 65535),
            1500,
            "MTU in bytes of both ends of each wire",
        ),
    )
)


@attrs.frozen
class Ptp(Driver):
    """Endpoints on wires of their own, IPv4 only."""

    mtu: int = _OPTIONS.field("mtu")

    name: ClassVar[str] = "ptp"
    owns_subnets: ClassVar[bool] = True
    option_table: ClassVar[OptionTable] = _OPTIONS

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse a network without IPv4, or with IPv6."""
        del others
        if network.pool(4) is None or network.pool(6) is not None:
            raise InvalidArgumentError("a ptp network speaks IPv4 only; give it one IPv4 subnet")

    def takes_gateway(self, network: NetworkSpec, version: int) -> bool:
        """The host has the gateway's address on every wire."""
        del network, version
        return True

    def gateway(self, network: NetworkSpec, pool: Pool) -> IPAddress | None:
        """The host."""
        del network
        return pool.gateway

    def interface_prefix(self) -> str:
        """Inside they are called ptp0, ptp1 ..."""
        return "ptp"

    def host_interface(self, endpoint_id: str) -> str:
        """What the other end is called on the host."""
        return f"ptp{endpoint_id[:8]}"

    def plan_endpoint(
        self,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        sandbox: SandboxSpec,
        features: Features,
    ) -> Plan:
        """The wire, an address at either end, and a route to the far one."""
        del features
        ns, inside, outside = sandbox.key, endpoint.interface, endpoint.host_interface
        own, gateway = endpoint.ip, endpoint.gateway
        wire = Veth(
            HOST,
            outside,
            "",
            ns,
            inside,
            str(endpoint.mac),
            mtu=self.mtu,
            group=network.group,
            alias=endpoint.alias,
        )
        return Plan.of(
            wire,
            # The host answers for the neighbours, which are behind other wires, at once.
            self._setting("conf", outside, "forwarding", "1"),
            self._setting("conf", outside, "proxy_arp", "1"),
            self._setting("neigh", outside, "proxy_delay", "0"),
            # Only the sandbox's own address may come out of it.
            self._setting("conf", outside, "rp_filter", "1"),
            Address(HOST, outside, f"{gateway}/32"),
            Up(HOST, outside),
            Address(ns, inside, str(own)),
            Up(ns, inside),
            Route(HOST, f"{own.ip}/32", "", outside) if own else None,
        )

    def _setting(self, table: str, link: str, key: str, value: str) -> Sysctl:
        return Sysctl(HOST, f"net/ipv4/{table}/{link}/{key}", value, link=link)
