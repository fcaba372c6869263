"""The directory of a sandbox, and those of its endpoints."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from cnmfs import attributes, publishing, routing, values
from cnmfs.attributes import Attribute, require_up, table, told
from cnmfs.tree import Directory, File, Link, Node, refuse
from pycnm import Controller, Endpoint, Sandbox

COUNTERS = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_window_errors",
    "rx_compressed",
    "tx_compressed",
    "rx_nohandler",
)
"""The counters of an interface, as /sys/class/net/eth0/statistics has them."""


def _state(box: Sandbox) -> str:
    state = box.state
    return "error" if state == "up" and box.check() else state


def _up(box: Sandbox, text: str) -> None:
    require_up(text)
    if box.state == "down":
        box.start()
    else:
        box.reconcile()


SANDBOX = table(
    [
        Attribute[Sandbox](
            "key", "The path of its network namespace.", lambda box: values.line(box.key)
        ),
        Attribute(
            "created", "When it was made (RFC 3339).", lambda box: values.line(box.spec.created)
        ),
        Attribute("hosts", "/etc/hosts of what runs in it.", lambda box: box.hosts, live=True),
        Attribute(
            "resolv.conf",
            "/etc/resolv.conf of what runs in it.",
            lambda box: box.resolv_conf,
            live=True,
        ),
        Attribute(
            "routes",
            "Its routes, as JSON.",
            lambda box: values.document(box.routes()),
            live=True,
        ),
        Attribute(
            "interfaces",
            "Its interfaces with their addresses, as JSON.",
            lambda box: values.document(box.interfaces()),
            live=True,
        ),
        *told("The sandbox and its endpoints, as JSON."),
        Attribute(
            "state",
            "up; down, since its namespace is gone; or error while the kernel differs. `up` "
            "makes it again, with its endpoints as they were, or puts back what is missing.",
            lambda box: values.line(_state(box)),
            store=_up,
            live=True,
        ),
    ]
)


ENDPOINT = table(
    [
        Attribute[Endpoint](
            "ip",
            "Its IPv4 address, one of the subnet. Changes live, unless ports are published.",
            lambda end: values.line(end.ip),
            store=lambda end, text: end.configure(ip=values.one(text)),
        ),
        Attribute(
            "ip6",
            "Its IPv6 address, one of the subnet. Changes live, unless ports are published.",
            lambda end: values.line(end.ip6),
            store=lambda end, text: end.configure(ip6=values.one(text)),
        ),
        Attribute(
            "mac",
            "Its MAC address. Changes live.",
            lambda end: values.line(end.mac),
            store=lambda end, text: end.configure(mac=values.one(text)),
        ),
        Attribute(
            "gateway",
            "The next hop it offers for the default route.",
            lambda end: values.line(end.gateway),
        ),
        Attribute("interface", "Its interface inside.", lambda end: values.line(end.interface)),
        Attribute(
            "host_interface",
            "Its interface on the host.",
            lambda end: values.line(end.host_interface),
        ),
        Attribute(
            "carrier",
            "1 while frames pass: its interface is up, and has a carrier.",
            lambda end: values.flag(end.carrier) if end.interface else "",
            live=True,
        ),
        Attribute(
            "aliases",
            "More names for it, one a line. Changes live.",
            lambda end: values.lines(end.aliases),
            store=lambda end, text: end.configure(aliases=values.several(text)),
        ),
        Attribute(
            "gateway_priority",
            "The endpoint with the highest number gives the default route. Changes live.",
            lambda end: values.line(end.spec.gateway_priority),
            store=lambda end, text: end.configure(gateway_priority=values.number(text)),
        ),
        Attribute(
            "rate",
            "How it is slowed down: `10mbit` both ways, `10mbit delay 20ms loss 1%`; nothing if "
            "it isn't, and write that to reset it. Changes live.",
            lambda end: values.line(end.rate),
            store=lambda end, text: end.configure(rate=values.one(text)),
        ),
        Attribute(
            "forwarding",
            "1: its sandbox leads packets of others by it, to and from its other endpoints that "
            "forward. Changes live.",
            lambda end: values.flag(end.forwarding),
            store=lambda end, text: end.configure(forwarding=values.boolean(text)),
        ),
        routing.attribute(Endpoint, "Static routes of its own, which go before the network's"),
        Attribute(
            "vlan",
            "The VLAN of the network's bridge that it is in, 1 to 4094; nothing if that is the "
            "network's, or none. Changes live.",
            lambda end: values.line(end.vlan),
            store=lambda end, text: end.configure(vlan=values.one(text)),
        ),
        Attribute(
            "publish",
            "Published ports, `[HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL]` a line. > replaces all, "
            ">> adds, `-8080:80` takes one away. Changes live.",
            publishing.of_endpoint,
            store=publishing.replace,
            add=publishing.add,
        ),
        *told("Its settings, as JSON."),
    ]
)


def directory(
    cnm: Controller, box: Sandbox, created: str, extra: Callable[[str], Mapping[str, Node]]
) -> Directory:
    """The directory of a sandbox.

    Args:
        created: when it was made (RFC 3339).
        extra: nodes that every object has, by the object's path in the directory.
    """
    more = {**extra(""), "endpoints": _endpoints(cnm, box, extra)}
    return attributes.directory(SANDBOX, box, more, "delete the sandbox with rmdir", created)


def _endpoints(
    cnm: Controller, box: Sandbox, extra: Callable[[str], Mapping[str, Node]]
) -> Directory:
    """A directory for each endpoint, by the name of its network."""

    def named() -> dict[str, Endpoint]:
        return {endpoint.network.name: endpoint for endpoint in box.endpoints}

    def look(name: str) -> Node | None:
        endpoint = named().get(name)
        return None if endpoint is None else _endpoint(endpoint, extra(f"endpoints/{name}"))

    def connect(network: str) -> None:
        cnm.network(network).connect(box)

    def disconnect(network: str) -> None:
        endpoint = named().get(network)
        if endpoint is None:
            raise refuse(errno.ENOENT, f"{box.name} is on no network {network}")
        endpoint.network.disconnect(box)

    return Directory(
        mode=0o755,
        names=named,
        look=look,
        make=connect,
        remove=disconnect,
        hint="connect with mkdir NETWORK, disconnect with rmdir NETWORK",
    )


def _endpoint(endpoint: Endpoint, extra: Mapping[str, Node]) -> Directory:
    more: dict[str, Node] = {
        **extra,
        "network": Link(target=f"../../../../networks/{endpoint.network.name}"),
        "stats": Directory(
            names=lambda: COUNTERS if endpoint.interface else (),
            look=lambda name: _counter(endpoint, name),
        ),
    }
    return attributes.directory(
        ENDPOINT, endpoint, more, "disconnect with rmdir", endpoint.spec.created
    )


def _counter(endpoint: Endpoint, name: str) -> File | None:
    if name not in COUNTERS or not endpoint.interface:
        return None
    return File(live=True, read=lambda: values.line(endpoint.stats().get(name, 0)))
