"""What decisions need to know of the host, read once, as a value."""

from __future__ import annotations

import attrs
from netaddr import IPNetwork


@attrs.frozen
class HostFacts:
    """What the kernel and the files of the host said when they were asked.

    Attributes:
        interfaces: those that packets are routed from; not lo, nor ours.
        not_forwarding4: those for which IPv4 forwarding is off.
        not_forwarding6: those for which IPv6 forwarding is off (empty without IPv6).
        accepting_ra: those that take router advertisements unless they forward
            (accept_ra=1), so that forwarding for all would cost them theirs.
        forwards6: whether IPv6 forwarding is on for all.
        routes: destinations on the link (scope link, IPv4), default left out.
        nameservers: the hosts' own, as /32 and /128 networks.
        ephemeral: first and last of net.ipv4.ip_local_port_range.
        reserved_ports: net.ipv4.ip_local_reserved_ports.
    """

    interfaces: tuple[str, ...] = ()
    not_forwarding4: tuple[str, ...] = ()
    not_forwarding6: tuple[str, ...] = ()
    accepting_ra: tuple[str, ...] = ()
    forwards6: bool = False
    routes: tuple[IPNetwork, ...] = ()
    nameservers: tuple[IPNetwork, ...] = ()
    ephemeral: tuple[int, int] = (32768, 60999)
    reserved_ports: frozenset[int] = frozenset()
