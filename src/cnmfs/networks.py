"""The directory of a network: its files, its options and labels, its endpoints."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any

from cnmfs import attributes, publishing, routing, values
from cnmfs.applying import configuration, settings
from cnmfs.attributes import Attribute, table, told
from cnmfs.tree import Directory, File, Link, Node, refuse
from pycnm import Network, NotFoundError
from pycnm.drivers.registry import driver_class

_MTU = "com.docker.network.driver.mtu"


def _set(name: str, read: Callable[[str], Any]) -> Callable[[Network, str], None]:
    """Takes one setting of `Network.configure`."""

    def store(network: Network, text: str) -> None:
        network.configure(**{name: read(text)})

    return store


def _list(text: str) -> list[str] | None:
    found = values.several(text)
    return None if found == [values.AUTO] else found


def _address_list(text: str) -> list[str] | None:
    return _list(text.replace(",", "\n").replace(" ", "\n"))


def _pools(show: str) -> Callable[[Network], str]:
    return lambda network: values.lines(
        value for pool in network.spec.pools if (value := getattr(pool, show)) is not None
    )


def _aux(network: Network) -> str:
    return values.keyed({name: ip for pool in network.spec.pools for name, ip in pool.aux})


def _mtu(network: Network) -> str:
    """What it was given, or its driver has where nothing is; empty where it has no such option."""
    driver = driver_class(network.driver)
    has = any(option.key == _MTU for option in driver.option_table)
    return values.line(network.options.get(_MTU, driver.usual_mtu if has else None))


def _store_spec(network: Network, text: str) -> None:
    network.configure(**settings(network, values.mapping(text)))


ATTRIBUTES = table(
    [
        Attribute[Network](
            "driver",
            "The driver: bridge, or another of those under /drivers. Changes without endpoints.",
            lambda network: values.line(network.driver),
            store=_set("driver", values.one),
        ),
        Attribute("scope", "local: this host alone.", lambda n: values.line(n.scope)),
        Attribute(
            "subnet",
            "One prefix a family, 10.20.30.0/24, a line each; auto: a free one. "
            "Changes without endpoints.",
            _pools("subnet"),
            store=_set("subnet", _address_list),
        ),
        Attribute(
            "gateway",
            "An address of the subnet, a line each; auto: the first. Changes without endpoints.",
            _pools("gateway"),
            store=_set("gateway", _address_list),
        ),
        Attribute(
            "ip_range",
            "The part of the subnet that automatic addresses come from; empty: all of it. "
            "Changes without endpoints.",
            _pools("ip_range"),
            store=_set("ip_range", _address_list),
        ),
        Attribute(
            "aux_addresses",
            "Addresses that are never given out, `NAME ADDRESS` a line. Changes without endpoints.",
            _aux,
            store=_set("aux_addresses", values.pairs),
        ),
        Attribute(
            "parent",
            "The interface of the host that a macvlan or ipvlan network sits on, eth0, or a VLAN "
            "of it, eth0.10; empty: none, and it is internal. Changes without endpoints.",
            lambda network: values.line(network.spec.parent),
            store=_set("parent", lambda text: values.one(text) or None),
        ),
        Attribute(
            "internal",
            "1: no way outside. Changes without endpoints.",
            lambda network: values.flag(network.internal),
            store=_set("internal", values.boolean),
        ),
        Attribute(
            "ipv4",
            "1: has IPv4 addresses. Changes without endpoints.",
            lambda network: values.flag(network.spec.ipv4),
            store=_set("ipv4", values.boolean),
        ),
        Attribute(
            "ipv6",
            "1: has IPv6 addresses. Changes without endpoints.",
            lambda network: values.flag(network.spec.ipv6),
            store=_set("ipv6", values.boolean),
        ),
        Attribute(
            "mtu",
            "The MTU in bytes of the bridge and of every interface on it; 0: the kernel's, or that "
            "of the parent; empty: that of the way outside. Changes live.",
            _mtu,
            store=_set("options", lambda text: {_MTU: values.one(text) or None}),
        ),
        Attribute(
            "attachable",
            "1: as `docker network create --attachable`. Changes live.",
            lambda network: values.flag(network.spec.attachable),
            store=_set("attachable", values.boolean),
        ),
        routing.attribute(Network, "Static routes of every sandbox on it"),
        Attribute(
            "publish",
            "Published ports, `ENDPOINT [HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL]` a line. "
            "> replaces all, >> adds, `-ENDPOINT 8080:80` takes one away. Changes live.",
            publishing.of_network,
            store=publishing.replace_all,
            add=publishing.add_all,
        ),
        Attribute(
            "names",
            "Who is on it, under all names, as a hosts file has them.",
            lambda network: network.names,
        ),
        *told("The object of `docker network inspect`, as JSON."),
        Attribute("created", "When it was made (RFC 3339).", lambda n: values.line(n.spec.created)),
        Attribute(
            "stats",
            "Endpoints, addresses taken and free, and the counters of the bridge, a pair a line.",
            lambda network: values.keyed(network.stats()),
            live=True,
        ),
        Attribute(
            "interface",
            "The bridge on the host, or the interface that the network sits on.",
            lambda network: values.line(network.interface),
        ),
        Attribute(
            "spec",
            "The whole configuration as JSON; what is written is applied as one change.",
            lambda network: values.document(configuration(network)),
            store=_store_spec,
            whole=True,
        ),
    ]
)


def directory(network: Network, created: str, extra: Mapping[str, Node]) -> Directory:
    """The directory of a network.

    Args:
        created: when it was made (RFC 3339).
        extra: nodes that every object has.
    """
    more = {
        **extra,
        "options": _keyed(network, "options"),
        "labels": _keyed(network, "labels"),
        "endpoints": _endpoints(network),
    }
    return attributes.directory(ATTRIBUTES, network, more, "remove the network with rmdir", created)


def _keyed(network: Network, what: str) -> Directory:
    """A file for each option or label: written, it is set; removed, it is as if never given."""

    def now() -> dict[str, str]:
        return network.options if what == "options" else network.labels

    def file(name: str) -> File:
        return File(
            mode=0o644,
            read=lambda: values.line(now().get(name)),
            write=lambda text: network.configure(**{what: {name: values.one(text)}}),
        )

    def unlink(name: str) -> None:
        network.configure(**{what: {name: None}})

    return Directory(
        mode=0o755,
        names=now,
        look=lambda name: file(name) if name in now() else None,
        create=file,
        unlink=unlink,
    )


def _endpoints(network: Network) -> Directory:
    """A link for each endpoint, to its directory under its sandbox."""

    def found() -> dict[str, Node]:
        return {
            endpoint.name: Link(target=f"../../../sandboxes/{box.name}/endpoints/{network.name}")
            for endpoint in network.endpoints
            if (box := endpoint.sandbox) is not None
        }

    def connect(name: str, target: str) -> None:
        box = target.rstrip("/").split("/")
        if len(box) < 2 or box[-2] != "sandboxes":  # noqa: PLR2004
            raise refuse(
                errno.EPERM, "only a sandbox can be linked here: ln -s ../../../sandboxes/c3 c3"
            )
        network.connect(box[-1], name=name)

    def disconnect(name: str) -> None:
        for endpoint in network.endpoints:
            box = endpoint.sandbox
            if endpoint.name == name and box is not None:
                network.disconnect(box)
                return
        raise NotFoundError(f"no endpoint {name} is on network {network.name}")

    return Directory(
        mode=0o755,
        names=found,
        look=lambda name: found().get(name),
        link=connect,
        unlink=disconnect,
        hint="connect with mkdir sandboxes/NAME/endpoints/NETWORK, or with ln -s",
    )
