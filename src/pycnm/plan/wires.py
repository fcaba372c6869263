"""Bridges and interfaces of somebody else's that networks use (ip-link(8), "master")."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from shlex import quote

import attrs
from netaddr import IPAddress

from pycnm.errors import CNMError, InUseError, NotSupportedError
from pycnm.plan.links import at, inside, ip
from pycnm.plan.operation import Operation, Session


@attrs.frozen
class Adopted(Operation):
    """A bridge of somebody else's is there; it is never made, changed or deleted.

    Attributes:
        addresses: those on it that a network relies on, with their prefix lengths.
        up: nobody of ours takes it up.
        wire: an interface that is a port of it; empty if that doesn't matter.
        vlan: one that this port is in; 0 if that doesn't matter.
    """

    ns: str
    bridge: str
    addresses: tuple[str, ...] = ()
    up: bool = True
    wire: str = ""
    vlan: int = 0

    def __str__(self) -> str:
        name, more = quote(self.bridge), "".join(f", with {each}" for each in self.addresses)
        more += f", with the port {quote(self.wire)}" if self.wire else ""
        more += f" in VLAN {self.vlan}" if self.vlan else ""
        return f"# {name} is there{more}: `{ip(self.ns)} address show dev {name}`"

    def within(self) -> tuple[Hashable, ...]:
        """Its namespace."""
        return (("namespace", self.ns),)

    def undo(self, session: Session) -> None:
        """Leave it as it is."""

    def gone(self) -> str:
        """That it isn't there, in words."""
        return (
            f"{at(self.ns, self.bridge)}, the bridge of a network, is gone: it was deleted, "
            "renamed or moved by those who made it; what was on it can be had back when it is "
            "there again"
        )

    def down(self) -> str:
        """That it is down, in words."""
        whose, up = at(self.ns, self.bridge), f"{ip(self.ns)} link set {quote(self.bridge)} up"
        return f"{whose}, the bridge of a network, is down: `{up}`"

    def lacks(
        self,
        kind: str,
        addresses: Collection[str],
        *,
        wired: bool,
        vlans: Collection[int] = (),
    ) -> str | None:
        """What it hasn't got that a network relies on, in words; None if it has all.

        Args:
            kind: of the interface that has its name.
            addresses: those on it, with their prefix lengths.
            wired: whether `wire` is a port of it.
            vlans: those that this port is in, if the bridge keeps VLANs apart.
        """
        name = at(self.ns, self.bridge)
        if kind != "bridge":
            return f"existing interface {name} is not a bridge"
        if not wired:
            change = f"{ip(self.ns)} link set {quote(self.wire)} master {quote(self.bridge)}"
            return f"{at(self.ns, self.wire)} is no port of {self.bridge}: `{change}`"
        if self.vlan and self.vlan not in vlans:
            change = f"{inside(self.ns)}bridge vlan add dev {quote(self.wire)} vid {self.vlan}"
            return f"{at(self.ns, self.wire)} isn't in VLAN {self.vlan} of {name}: `{change}`"
        for address in self.addresses:
            if address not in addresses:
                change = f"{ip(self.ns)} address add {address} dev {quote(self.bridge)}"
                return (
                    f"{name} doesn't have the address {address} any more, which it had when a "
                    f"network was put on it: `{change}`"
                )
        return None


@attrs.frozen
class Wire(Operation):
    """An interface of somebody else's that is a port of a bridge of ours.

    It is neither made, nor taken up or down; undone, it is a port no longer.
    """

    ns: str
    link: str
    bridge: str

    def __str__(self) -> str:
        return f"{ip(self.ns)} link set {quote(self.link)} master {quote(self.bridge)}"

    def within(self) -> tuple[Hashable, ...]:
        """The bridge, and the namespace: when the bridge goes, nothing is its port."""
        return ("link", self.ns, self.bridge), ("namespace", self.ns)

    def gone(self) -> str:
        """That it isn't there, in words."""
        return (
            f"{at(self.ns, self.link)}, which is to be a port of {self.bridge}, isn't there; "
            "`ip link` shows those there are"
        )

    def away(self) -> str:
        """That it is no port of the bridge, in words."""
        return f"{at(self.ns, self.link)} is no port of {self.bridge}"

    def down(self) -> str:
        """That it is down, in words."""
        command = f"{ip(self.ns)} link set {quote(self.link)} up"
        return f"{at(self.ns, self.link)}, a port of {self.bridge}, is down: `{command}`"

    def objection(
        self, kind: str, alias: str, *, master: bool, addresses: Iterable[str]
    ) -> CNMError | None:
        """Why an interface shouldn't be made a port; None if nothing is against it.

        Args:
            kind, alias: of the interface.
            master: it is the port of another bridge, or bond.
            addresses: what the host is reached by there.
        """
        name = at(self.ns, self.link)
        if kind == "bridge":
            return NotSupportedError(
                f"{name} is a bridge, which can't be a port of another; give one of its ports, "
                "or an interface that is in none"
            )
        if master:
            return InUseError(
                f"{name} is a port already; take it out (`ip link set {quote(self.link)} "
                "nomaster`), or give another interface"
            )
        if alias.startswith("cnm:"):
            return InUseError(f"{name} is pycnm's own; give an interface of the host")
        usable = [
            each for each in addresses if not IPAddress(each.partition("/")[0]).is_link_local()
        ]
        if usable:
            address, _, _ = usable[0].partition("/")
            return InUseError(
                f"{name} has the address {address}, by which the host would be reached no "
                "longer; give an interface without addresses, or take them away first"
            )
        return None
