"""What a namespace looks like, for people: every attribute that the kernel reports.

Read in the namespace of the calling thread.  The messages come over our own
socket; pyroute2 knows what the hundreds of attributes mean.
"""

from __future__ import annotations

import socket
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pycnm.errors import NotFoundError
from pycnm.kernel import rtinet, rtnl
from pycnm.kernel.netlink import NETLINK_ROUTE, Message, Socket, message

_FAMILIES = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
_PROTOCOLS = {2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_UNICAST = 1
_MAIN = 254


def _decoded(kind: type[nlmsg], received: Message) -> Any:
    found = kind(message(received.kind, 0, received.payload))
    found.decode()
    return found


def _dump(connection: Socket, kind: type[nlmsg], request: bytes) -> list[Any]:
    return [_decoded(kind, received) for received in connection.dump(request)]


def interfaces() -> list[dict[str, Any]]:
    """Every interface with its addresses, as `ip -json address` shows them."""
    with Socket(NETLINK_ROUTE) as connection:
        links = _dump(connection, ifinfmsg, rtnl.get_links())
        addresses = _dump(connection, ifaddrmsg, rtinet.get_addresses())
    return [
        {
            "ifindex": link["index"],
            "ifname": link.get_attr("IFLA_IFNAME"),
            "kind": _kind(link),
            "operstate": link.get_attr("IFLA_OPERSTATE"),
            "up": bool(link["flags"] & rtnl.IFF_UP),
            "mtu": link.get_attr("IFLA_MTU"),
            "address": link.get_attr("IFLA_ADDRESS"),
            "addr_info": [_address(item) for item in addresses if item["index"] == link["index"]],
        }
        for link in links
    ]


def _kind(link: Any) -> str | None:
    info = link.get_attr("IFLA_LINKINFO")
    return info.get_attr("IFLA_INFO_KIND") if info is not None else None


def _address(found: Any) -> dict[str, Any]:
    return {
        "family": _FAMILIES.get(found["family"], str(found["family"])),
        "local": found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS"),
        "prefixlen": found["prefixlen"],
        "scope": _SCOPES.get(found["scope"], str(found["scope"])),
    }


def routes() -> list[dict[str, Any]]:
    """The main routing table of both families, as `ip -json route` shows it."""
    with Socket(NETLINK_ROUTE) as connection:
        names = {
            link["index"]: link.get_attr("IFLA_IFNAME")
            for link in _dump(connection, ifinfmsg, rtnl.get_links())
        }
        found = _dump(connection, rtmsg, rtinet.get_routes())
    return [
        _route(item, names)
        for item in found
        if item["type"] == _UNICAST and (item.get_attr("RTA_TABLE") or item["table"]) == _MAIN
    ]


def _route(found: Any, names: dict[int, str]) -> dict[str, Any]:
    destination = found.get_attr("RTA_DST")
    route = {
        "family": _FAMILIES.get(found["family"], str(found["family"])),
        "dst": f"{destination}/{found['dst_len']}" if destination else "default",
        "gateway": found.get_attr("RTA_GATEWAY"),
        "dev": names.get(found.get_attr("RTA_OIF")),
        "protocol": _PROTOCOLS.get(found["proto"], str(found["proto"])),
        "scope": _SCOPES.get(found["scope"], str(found["scope"])),
        "prefsrc": found.get_attr("RTA_PREFSRC"),
        "metric": found.get_attr("RTA_PRIORITY"),
    }
    return {key: value for key, value in route.items() if value is not None}


def statistics(name: str) -> dict[str, int]:
    """The counters of one interface: `rx_bytes`, `tx_packets` and so on.

    Raises:
        NotFoundError: it isn't there.
    """
    counters = _decoded(ifinfmsg, _link(name)).get_attr("IFLA_STATS64")
    return {key: value for key, value in counters.items() if isinstance(value, int)}


def carrier(name: str) -> bool:
    """Whether an interface is up, and has a carrier that the kernel has taken note of.

    Raises:
        NotFoundError: it isn't there.
    """
    return rtnl.link_state(_link(name)).carries


def _link(name: str) -> Message:
    with Socket(NETLINK_ROUTE) as connection:
        answer = connection.get(rtnl.get_link(name))
    if answer is None:
        raise NotFoundError(f"the interface {name} is gone; `cnm reconcile` puts it back")
    return answer
