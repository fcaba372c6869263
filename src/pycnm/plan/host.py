"""What decisions need to know of the host, read when it is needed, as values."""

from __future__ import annotations

import attrs
from netaddr import IPNetwork


@attrs.frozen
class HostFacts:
    """What subnets and ports have to keep off.

    Attributes:
        routes: destinations on the link (scope link, IPv4), default left out.
        nameservers: the host's own, as /32 and /128 networks.
        ephemeral: first and last of net.ipv4.ip_local_port_range.
        reserved_ports: net.ipv4.ip_local_reserved_ports.
    """

    routes: tuple[IPNetwork, ...] = ()
    nameservers: tuple[IPNetwork, ...] = ()
    ephemeral: tuple[int, int] = (32768, 60999)
    reserved_ports: frozenset[int] = frozenset()


@attrs.frozen
class Uplinks:
    """Interfaces that packets are routed from, and forwarding on them.

    Attributes:
        not_forwarding4: those for which IPv4 forwarding is off.
        not_forwarding6: those for which IPv6 forwarding is off (empty without IPv6).
        accepting_ra: those that take router advertisements unless they forward
            (accept_ra=1), so that forwarding for all would cost them theirs.
        forwards6: whether IPv6 forwarding is on for all.
    """

    not_forwarding4: tuple[str, ...] = ()
    not_forwarding6: tuple[str, ...] = ()
    accepting_ra: tuple[str, ...] = ()
    forwards6: bool = False
