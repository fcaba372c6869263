"""The directory of a sandbox, and those of its endpoints."""

from __future__ import annotations

import errno

from cnmfs import publishing, values
from cnmfs.attributes import Attribute, table, unknown
from cnmfs.tree import Directory, File, Link, Node, refuse
from pycnm import Controller, Endpoint, Sandbox

SANDBOX = table(
    [
        Attribute[Sandbox]("id", "64 hexadecimal digits.", lambda box: values.line(box.id)),
        Attribute("key", "The path of its network namespace.", lambda box: values.line(box.key)),
        Attribute(
            "created", "When it was made (RFC 3339).", lambda box: values.line(box.spec.created)
        ),
        Attribute("hosts", "/etc/hosts of what runs in it.", lambda box: box.hosts),
        Attribute(
            "resolv.conf", "/etc/resolv.conf of what runs in it.", lambda box: box.resolv_conf
        ),
        Attribute(
            "routes",
            "Its routes, as JSON.",
            lambda box: values.document(box.routes()),
        ),
        Attribute(
            "interfaces",
            "Its interfaces with their addresses, as JSON.",
            lambda box: values.document(box.interfaces()),
        ),
        Attribute(
            "inspect",
            "The sandbox and its endpoints, as JSON.",
            lambda box: values.document(box.inspect()),
        ),
        Attribute(
            "explain",
            "What the kernel holds for it, as the commands a person would have typed.",
            lambda box: values.line(box.explain()),
        ),
    ]
)

ENDPOINT = table(
    [
        Attribute[Endpoint]("id", "64 hexadecimal digits.", lambda end: values.line(end.id)),
        Attribute(
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
            "publish",
            "Published ports, `[HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL]` a line. > replaces all, "
            ">> adds, `-8080:80` takes one away. Changes live.",
            publishing.of_endpoint,
            store=publishing.replace,
            add=publishing.add,
        ),
        Attribute(
            "inspect",
            "Its settings, as JSON.",
            lambda end: values.document(end.inspect()),
        ),
        Attribute(
            "explain",
            "What the kernel holds for it, as the commands a person would have typed.",
            lambda end: values.line(end.explain()),
        ),
        Attribute(
            "check",
            "How the kernel differs from that, a sentence a line; empty when all is well.",
            lambda end: values.lines(end.check()),
        ),
    ]
)


def directory(cnm: Controller, box: Sandbox, extra: dict[str, Node]) -> Directory:
    """The directory of a sandbox.

    Args:
        extra: nodes that every object has.
    """
    fixed: dict[str, Node] = {
        **{name: attribute.file(box) for name, attribute in SANDBOX.items()},
        **extra,
        "endpoints": _endpoints(cnm, box),
    }

    def no_file(name: str) -> File:
        raise unknown(name, fixed)

    return Directory(
        mode=0o755,
        names=lambda: fixed,
        look=fixed.get,
        create=no_file,
        hint="delete the sandbox with rmdir",
    )


def _endpoints(cnm: Controller, box: Sandbox) -> Directory:
    """A directory for each endpoint, by the name of its network."""

    def named() -> dict[str, Endpoint]:
        return {endpoint.network.name: endpoint for endpoint in box.endpoints}

    def look(name: str) -> Node | None:
        endpoint = named().get(name)
        return None if endpoint is None else _endpoint(endpoint)

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


def _endpoint(endpoint: Endpoint) -> Directory:
    fixed: dict[str, Node] = {
        **{name: attribute.file(endpoint) for name, attribute in ENDPOINT.items()},
        "network": Link(target=f"../../../../networks/{endpoint.network.name}"),
        "stats": Directory(
            names=endpoint.stats,
            look=lambda name: _counter(endpoint, name),
        ),
    }

    def no_file(name: str) -> File:
        raise unknown(name, fixed)

    return Directory(
        mode=0o755,
        names=lambda: fixed,
        look=fixed.get,
        create=no_file,
        hint="disconnect with rmdir",
    )


def _counter(endpoint: Endpoint, name: str) -> File | None:
    if name not in endpoint.stats():
        return None
    return File(read=lambda: values.line(endpoint.stats()[name]))
