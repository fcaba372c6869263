"""The operation that puts an interface of the host on a bridge (ip-link(8), "master")."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from shlex import quote

import attrs
from netaddr import IPAddress

from pycnm.errors import CNMError, InUseError, NotSupportedError
from pycnm.plan.links import at, ip
from pycnm.plan.operation import Operation


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
            return InUseError(
                f"{name} has the address {usable[0]}, by which the host would be reached no "
                "longer; give an interface without addresses, or take them away first"
            )
        return None
