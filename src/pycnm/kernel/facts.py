"""What is true of this kernel and of the host, read without changing anything."""

from __future__ import annotations

import contextlib
from pathlib import Path

from netaddr import IPAddress, IPNetwork

from pycnm.kernel import netns, rtnl
from pycnm.kernel.netlink import NETLINK_ROUTE, Socket
from pycnm.kernel.routes import OnLinkRoutes
from pycnm.kernel.rules import early_guard
from pycnm.kernel.sysctl import Settings
from pycnm.plan.host import HostFacts, Uplinks
from pycnm.plan.operation import Features

_RESOLV_CONF = (Path("/etc/resolv.conf"),)


def probe(settings: Settings) -> Features:
    """Try out what this kernel can do, in a namespace that ends with the thread."""
    netns.leave()
    return Features(
        early_guard=early_guard(),
        force_forwarding=settings.read("net.ipv6.conf.lo.force_forwarding") is not None,
        ipv6=settings.read("net.ipv6.conf.all.forwarding") is not None,
    )


def read(routes: OnLinkRoutes, settings: Settings) -> HostFacts:
    """What subnets and ports have to keep off, on the host the calling thread is in."""
    return HostFacts(
        routes=routes.refresh(),
        nameservers=_nameservers(),
        ephemeral=_ephemeral(settings),
        reserved_ports=_reserved(settings),
    )


def uplinks(settings: Settings) -> Uplinks:
    """The interfaces of the host that the calling thread is in, and forwarding on them."""
    forwards4 = settings.read("net.ipv4.ip_forward") == "1"
    all6 = settings.read("net.ipv6.conf.all.forwarding")
    forces = settings.read("net.ipv6.conf.lo.force_forwarding") is not None
    forwards6 = all6 not in {None, "0"}
    off4, off6, accepting = [], [], []
    names = _interfaces()
    for name in names:
        if settings.read(f"net/ipv4/conf/{name}/forwarding") == "0":
            off4.append(name)
        if all6 is None or (forces and forwards6):
            continue
        if not forces or settings.read(f"net/ipv6/conf/{name}/force_forwarding") == "0":
            off6.append(name)
        if settings.read(f"net/ipv6/conf/{name}/accept_ra") == "1":
            accepting.append(name)
    return Uplinks(tuple(names), tuple(off4), tuple(off6), tuple(accepting), forwards4, forwards6)


def _interfaces() -> list[str]:
    """Interfaces that packets are routed from: not lo, no bridge's ports, none of ours."""
    with Socket(NETLINK_ROUTE) as connection:
        found = [rtnl.link_state(received) for received in connection.dump(rtnl.get_links())]
    return [
        link.name
        for link in found
        if link.name != "lo" and not link.master and not link.alias.startswith("cnm:")
    ]


def _nameservers() -> tuple[IPNetwork, ...]:
    servers = []
    for path in _RESOLV_CONF:
        with contextlib.suppress(OSError):
            for line in path.read_text(errors="replace").splitlines():
                words = line.split()
                if words[:1] == ["nameserver"] and len(words) > 1:
                    with contextlib.suppress(ValueError):
                        servers.append(IPNetwork(IPAddress(words[1].partition("%")[0])))
    return tuple(servers)


def _ephemeral(settings: Settings) -> tuple[int, int]:
    words = (settings.read("net.ipv4.ip_local_port_range") or "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (49153, 65535)  # noqa: PLR2004


def _reserved(settings: Settings) -> frozenset[int]:
    ports: set[int] = set()
    for piece in (settings.read("net.ipv4.ip_local_reserved_ports") or "").split(","):
        first, _, last = piece.partition("-")
        if first.strip():
            ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)
