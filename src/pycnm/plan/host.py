"""What decisions need to know of the host, read when it is needed, as values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import attrs
from netaddr import IPNetwork

from pycnm.errors import NotSupportedError

TWIN = "there is one like it under another name; `ip -details link` shows it"
"""Why a link can't be made, though its name is free."""
_MODULES = {"vlan": "8021q"}


class Prefix(NamedTuple):
    """An IPv4 prefix as numbers: its first address, and its length in bits."""

    first: int
    length: int

    @property
    def last(self) -> int:
        """The last address."""
        return self.first | (1 << 32 - self.length) - 1

    def network(self) -> IPNetwork:
        """The same as a value with methods."""
        return IPNetwork((self.first, self.length))


@attrs.frozen
class HostFacts:
    """What subnets and ports have to keep off.

    Attributes:
        routes: destinations on the link (scope link, IPv4), ours among them.
        nameservers: the host's own, as /32 and /128 networks.
        ephemeral: first and last of net.ipv4.ip_local_port_range.
        reserved_ports: net.ipv4.ip_local_reserved_ports.
    """

    routes: tuple[Prefix, ...] = ()
    nameservers: tuple[IPNetwork, ...] = ()
    ephemeral: tuple[int, int] = (32768, 60999)
    reserved_ports: frozenset[int] = frozenset()

    def overlapping(self, subnet: IPNetwork, besides: Iterable[str] = ()) -> Prefix | None:
        """A route on the link that has addresses in common with `subnet`.

        Args:
            besides: addresses with their prefix lengths, whose routes don't count.
        """
        if subnet.version == 6:  # noqa: PLR2004 - IPv6
            return None
        first, last = subnet.first, subnet.last
        known = {IPNetwork(text).cidr for text in besides}
        for route in self.routes:
            if known and route.network() in known:
                continue
            if route.first <= last and first <= route.last:
                return route
        return None


@attrs.frozen
class Uplinks:
    """Interfaces that packets are routed from, and forwarding on them.

    Attributes:
        names: all of them.
        not_forwarding4: those for which IPv4 forwarding is off.
        not_forwarding6: those for which IPv6 forwarding is off (empty without IPv6); all
            of them where it can't be switched on for one.
        accepting_ra: those that take router advertisements unless they forward
            (accept_ra=1), so that forwarding for all would cost them theirs.
        forwards4: whether IPv4 forwarding is on for all.
        forwards6: whether IPv6 forwarding is on for all.
    """

    names: tuple[str, ...] = ()
    not_forwarding4: tuple[str, ...] = ()
    not_forwarding6: tuple[str, ...] = ()
    accepting_ra: tuple[str, ...] = ()
    forwards4: bool = False
    forwards6: bool = False

    def without(self, names: Collection[str]) -> Uplinks:
        """All but those of some names."""

        def rest(each: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in each if name not in names)

        return attrs.evolve(
            self,
            names=rest(self.names),
            not_forwarding4=rest(self.not_forwarding4),
            not_forwarding6=rest(self.not_forwarding6),
            accepting_ra=rest(self.accepting_ra),
        )


@attrs.frozen
class Interface:
    """An interface of the host.

    Attributes:
        kind: of link (ip-link(8)); empty for hardware and lo.
        alias: the mark on it.
        master: the bridge or bond that it is a port of; empty if it is none.
    """

    name: str
    kind: str = ""
    alias: str = ""
    master: str = ""


def lacking_vlans(what: str) -> NotSupportedError:
    """The error for something that needs bridges which keep VLANs apart, where they don't."""
    return NotSupportedError(
        f"bridges of this kernel don't keep VLANs apart, which {what} needs: leave it out, or use "
        "a kernel that was built with CONFIG_BRIDGE_VLAN_FILTERING"
    )


def lacking(kind: str, what: str) -> NotSupportedError:
    """The error for something that needs links of a kind that the kernel doesn't have."""
    module = _MODULES.get(kind, kind)
    return NotSupportedError(
        f"this kernel has no links of kind {kind}, which {what} needs: load the module {module} "
        f"(`modprobe {module}`), or use a kernel that has it"
    )
