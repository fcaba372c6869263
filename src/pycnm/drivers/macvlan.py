"""The macvlan driver: endpoints with a MAC of their own on an interface of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from netaddr import EUI, IPAddress

from pycnm.drivers.stacked import COMMON, Stacked, words
from pycnm.errors import InUseError, InvalidArgumentError, NotSupportedError
from pycnm.spec.objects import NetworkSpec
from pycnm.spec.options import Option, OptionTable

_OPTIONS = OptionTable(
    (
        *COMMON,
        Option("macvlan_mode", "mode",
               words("macvlan", "mode", "'bridge' mode", "bridge", "private", "vepa", "passthru"),
               "bridge",
               "bridge: endpoints of the parent reach each other; private: they don't; vepa: by "
               "the switch, if it sends back; passthru: one endpoint has the parent for itself"),
    )
)  # fmt: skip


@attrs.frozen
class Macvlan(Stacked):
    """Endpoints on the wire of a parent, each with a MAC of its own.

    To the wire they are machines like the host, which neither routes nor filters
    for them, and which they don't reach unless it has `host_access`.  The
    attributes are its options; `Macvlan.option_table` says what each means, what
    Docker calls it and what it is when it isn't given.

    Raises:
        InvalidArgumentError: an option has a value it can't have.

    Source:
        ip-link(8), "MACVLAN and MACVTAP Type Support".
    """

    parent: str | None = _OPTIONS.field("parent")
    mode: str = _OPTIONS.field("mode")
    host_access: bool = _OPTIONS.field("host_access")
    mtu: int = _OPTIONS.field("mtu")
    announcements: int = _OPTIONS.field("announcements")

    name: ClassVar[str] = "macvlan"
    internal_prefix: ClassVar[str] = "dm-"
    host_prefix: ClassVar[str] = "mh-"
    option_table: ClassVar[OptionTable] = _OPTIONS
    forwards: ClassVar[bool] = True
    crowded: ClassVar[str] = "in mode passthru the parent is one sandbox's alone"

    def validate(self, network: NetworkSpec, others: Sequence[NetworkSpec]) -> None:
        """Refuse what can't sit on the parent, or not beside the others."""
        Stacked.validate(self, network, others)
        if self.host_access and self.mode != "bridge":
            raise InvalidArgumentError(
                f"host_access gives the host an interface beside the endpoints, and in mode "
                f"{self.mode} it wouldn't reach them; use mode bridge, or leave it out"
            )
        for other in others:
            if other.driver != self.name:
                continue
            parent = self.device(network)
            if Macvlan.from_options(dict(other.options)).mode == "passthru":
                raise InUseError(
                    f"macvlan network {other.name} is already using parent interface {parent} in "
                    "mode passthru; give another parent"
                )
            if self.mode == "passthru":
                raise InUseError(
                    f"cannot use mode passthru, macvlan network {other.name} is already using "
                    f"parent interface {parent}; give another parent, or another mode"
                )

    def settings(self) -> tuple[tuple[str, int | str], ...]:
        """Its mode."""
        return (("mode", self.mode),)

    def mac(
        self, network: NetworkSpec, wanted: EUI | None, address: IPAddress | None
    ) -> EUI | None:
        """One of its own, unless it has the parent's."""
        if self.mode != "passthru":
            return Stacked.mac(self, network, wanted, address)
        if wanted is not None:
            raise NotSupportedError(
                f"in mode passthru an endpoint has the MAC of {self.device(network)}; leave the "
                "MAC out, or use mode bridge"
            )
        return None

    def capacity(self, network: NetworkSpec) -> int | None:
        """One in mode passthru."""
        del network
        return 1 if self.mode == "passthru" else None
