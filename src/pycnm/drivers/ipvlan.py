"""The ipvlan driver: endpoints with the MAC of an interface of the host, told apart by address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from netaddr import EUI, IPAddress

from pycnm.drivers.stacked import COMMON, Stacked, words
from pycnm.errors import InUseError, InvalidArgumentError, NotSupportedError
from pycnm.spec.objects import NetworkSpec, Pool
from pycnm.spec.options import Option, OptionTable

_OPTIONS = OptionTable(
    (
        *COMMON,
        Option("ipvlan_mode", "mode",
               words("ipvlan", "mode", "'l2' mode", "l2", "l3", "l3s"), "l2",
               "l2: endpoints are on the wire; l3: they are behind the parent, which routes, and "
               "hear no broadcast; l3s: so, past the host's rules and connection tracking"),
        Option("ipvlan_flag", "flag",
               words("ipvlan", "flag", "'bridge'", "bridge", "private", "vepa"),
               "bridge",
               "bridge: endpoints reach each other; private: they don't; vepa: by the switch, if "
               "it sends back"),
    )
)  # fmt: skip


@attrs.frozen
class Ipvlan(Stacked):
    """Endpoints on the wire of a parent, with its MAC.

    To the wire they are addresses of one machine, the host, which they don't reach
    unless it has `host_access`.  The attributes are its options;
    `Ipvlan.option_table` says what each means, what Docker calls it and what it is
    when it isn't given.

    Raises:
        InvalidArgumentError: an option has a value it can't have.

    Source:
        ip-link(8), "IPVLAN and IPVTAP Type Support"; the kernel's
        Documentation/networking/ipvlan.rst.
    """

    parent: str | None = _OPTIONS.field("parent")
    mode: str = _OPTIONS.field("mode")
    flag: str = _OPTIONS.field("flag")
    host_access: bool = _OPTIONS.field("host_access")
    mtu: int = _OPTIONS.field("mtu")
    announcements: int = _OPTIONS.field("announcements")

    name: ClassVar[str] = "ipvlan"
    internal_prefix: ClassVar[str] = "di-"
    host_prefix: ClassVar[str] = "ih-"
    option_table: ClassVar[OptionTable] = _OPTIONS

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse what can't sit on the parent, or not beside the others."""
        Stacked.validate(self, network, others)
        if self.host_access and self.flag != "bridge":
            raise InvalidArgumentError(
                f"host_access gives the host an interface beside the endpoints, and with flag "
                f"{self.flag} it wouldn't reach them; use flag bridge, or leave it out"
            )
        given = next((pool.gateway for pool in network.pools if pool.gateway is not None), None)
        if self.mode != "l2" and given is not None:
            raise InvalidArgumentError(
                f"in mode {self.mode} there is no gateway: what isn't on the network is the "
                f"parent's to route; leave {given} out, or use mode l2"
            )
        for other in others:
            if other.driver == self.name:
                raise InUseError(
                    f"network {other.name} is already using parent interface "
                    f"{self.device(network)}; give another parent: ipvlan has one network on each"
                )

    def gateway(self, network: NetworkSpec, pool: Pool) -> IPAddress | None:
        """A router on the wire, in mode l2, only if one is given."""
        return Stacked.gateway(self, network, pool) if self.mode == "l2" else None

    def on_link(self, network: NetworkSpec) -> bool:
        """In modes l3 and l3s, where the parent routes, unless there is no way outside."""
        return self.mode != "l2" and not network.internal

    def settings(self) -> tuple[tuple[str, int | str], ...]:
        """Its mode and its flag."""
        return (("mode", self.mode), ("flag", self.flag))

    def mac(
        self, network: NetworkSpec, wanted: EUI | None, address: IPAddress | None
    ) -> EUI | None:
        """None of its own."""
        del address
        if wanted is not None:
            raise NotSupportedError(
                "ipvlan interfaces do not support custom mac address assignment: they have the MAC "
                f"of {self.device(network)}; leave the MAC out, or use a macvlan network"
            )
        return None
