"""The operation that says which VLANs a port of a bridge is in (bridge(8), "bridge vlan")."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from shlex import quote
from typing import Final

import attrs

from pycnm.plan.links import at, inside
from pycnm.plan.operation import Operation

VLAN_MAX: Final = 4094
ALL: Final = f"1-{VLAN_MAX}"
TAGGED, UNTAGGED = False, True


@attrs.frozen
class VLANMember(Operation):
    """A port of a bridge that keeps VLANs apart is in one of them, without tags, or in all.

    What comes in by it without a tag is of its VLAN, and what goes out has none.  In
    all, what comes and goes has the tag of its VLAN, and what has none is dropped.

    Attributes:
        link: the port; the bridge itself if `bridge` is empty, which is where the host is.
        vlan: its number, 1 to 4094; 0 for all of them.
        bridge: what it is a port of.
    """

    ns: str
    link: str
    vlan: int
    bridge: str = ""

    def __str__(self) -> str:
        words = f"{inside(self.ns)}bridge vlan"
        to = f"dev {quote(self.link)} vid"
        more = "" if self.bridge else " self"
        if not self.vlan:
            return f"{words} add {to} {ALL}{more}"
        only = f"{words} del {to} {ALL}{more}; "
        return f"{only}{words} add {to} {self.vlan} pvid untagged{more}"

    def within(self) -> tuple[Hashable, ...]:
        """Its link, the bridge, and their namespace: off the bridge, it is in none."""
        links = [("link", self.ns, name) for name in (self.link, self.bridge) if name]
        return (*links, ("namespace", self.ns))

    def wanted(self) -> dict[int, bool]:
        """The VLANs that it is in, and whether it is what has no tag there."""
        if self.vlan:
            return {self.vlan: UNTAGGED}
        return dict.fromkeys(range(1, VLAN_MAX + 1), TAGGED)

    def gone(self) -> str:
        """That the port isn't there, in words."""
        return f"the interface {at(self.ns, self.link)} is gone"

    def differs(self, found: Mapping[int, bool]) -> str | None:
        """How what a port is in differs, in words; None if it doesn't."""
        if found == self.wanted():
            return None
        name = at(self.ns, self.link)
        if not self.vlan:
            return f"{name} isn't in all VLANs of {self.bridge or 'itself'}, with their tags"
        return f"{name} isn't in VLAN {self.vlan} alone, without tags"
