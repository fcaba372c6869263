"""The file `apply`: several objects as one JSON document, all of them or none.

    {"networks": {"web": {"subnet": "10.20.30.0/24"}},
     "sandboxes": {"c2": {"endpoints": {"web": {"publish": ["8080:80"]}}}}}

What is named exists afterwards, as it says; what isn't named is left alone.  Nothing is
deleted: that is what rmdir is for.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cnmfs import publishing
from cnmfs.tree import refuse
from cnmfs.values import mapping
from pycnm import (
    Controller,
    Endpoint,
    InvalidArgumentError,
    Network,
    NotFoundError,
    Sandbox,
)

T = TypeVar("T", Network, Sandbox)
_NETWORK = {
    "driver", "subnet", "gateway", "ip_range", "aux_addresses", "ipv4", "ipv6", "internal",
    "attachable", "ipam", "ipam_options", "options", "labels", "parent", "routes",
}  # fmt: skip
_SANDBOX = {
    "netns", "hostname", "dns", "dns_search", "dns_options", "extra_hosts", "labels", "endpoints",
}  # fmt: skip
_LIVE = {
    "ip", "ip6", "mac", "aliases", "gateway_priority", "rate", "routes", "forwarding", "vlan",
}  # fmt: skip
"""What can be changed of an endpoint that is there, besides its ports."""
_ENDPOINT = _LIVE | {"name", "publish", "interface", "link_local_ips", "sysctls", "options"}


def apply(cnm: Controller, text: str) -> None:
    """Make it so, or leave everything as it was.

    Raises:
        CNMError: something could not be.
        OSError: EINVAL, the document is malformed.
    """
    document = mapping(text)
    _known("the document", document, {"networks", "sandboxes"})
    with contextlib.ExitStack() as undo:
        for name, wanted in _objects(document, "networks"):
            _network(cnm, name, wanted, undo.callback)
        for name, wanted in _objects(document, "sandboxes"):
            _sandbox(cnm, name, dict(wanted), undo.callback)
        undo.pop_all()


def settings(network: Network, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What `Network.configure` takes to have a network just as is wanted.

    Options and labels are wanted as a whole: what isn't among them goes.
    """
    changes = dict(wanted)
    for name, present in (("options", network.options), ("labels", network.labels)):
        if isinstance(changes.get(name), dict):
            changes[name] = dict.fromkeys(present) | changes[name]
    return changes


def configuration(network: Network) -> dict[str, Any]:
    """The whole configuration of a network: what `settings` takes to have it so again."""
    pools = network.spec.pools
    return {
        "driver": network.driver,
        "subnet": [str(subnet) for subnet in network.subnets],
        "gateway": [str(gateway) for gateway in network.gateways],
        "ip_range": [str(pool.ip_range) for pool in pools if pool.ip_range is not None],
        "aux_addresses": {name: ip for pool in pools for name, ip in pool.aux},
        "ipv4": network.spec.ipv4,
        "ipv6": network.spec.ipv6,
        "internal": network.internal,
        "attachable": network.spec.attachable,
        "parent": network.spec.parent or None,
        "routes": network.routes,
        "options": network.options,
        "labels": network.labels,
    }


_Undo = Callable[..., Any]


def _network(cnm: Controller, name: str, wanted: Mapping[str, Any], undo: _Undo) -> None:
    _known(f"network {name}", wanted, _NETWORK)
    network = named(cnm.network, name)
    if network is None:
        # An empty list, as `spec` shows it, is as if not given.
        undo(cnm.create_network(name, **{k: v for k, v in wanted.items() if v != []}).delete)
        return
    before = configuration(network)
    network.configure(**settings(network, wanted))
    undo(lambda: network.configure(**settings(network, before)))


def _sandbox(cnm: Controller, name: str, wanted: dict[str, Any], undo: _Undo) -> None:
    _known(f"sandbox {name}", wanted, _SANDBOX)
    endpoints = wanted.pop("endpoints", {})
    box = named(cnm.sandbox, name)
    if box is None:
        box = cnm.create_sandbox(name, **wanted)
        undo(box.delete)
    elif wanted:
        raise refuse(
            errno.EBUSY,
            f"sandbox {name} exists, and its {', '.join(wanted)} can't be changed; delete it first",
        )
    _known(f"endpoints of {name}", endpoints)
    for network, given in endpoints.items():
        _known(f"endpoint {network} of {name}", given, _ENDPOINT)
        _endpoint(cnm.network(network), box, dict(given), undo)


def _endpoint(network: Network, box: Sandbox, wanted: dict[str, Any], undo: _Undo) -> None:
    found = [each for each in box.endpoints if each.network == network]
    if not found:
        network.connect(box, **wanted)
        undo(network.disconnect, box)
        return
    (endpoint,) = found
    ports = wanted.pop("publish", None)
    _known(f"endpoint {endpoint.name} of {box.name}, which is there", wanted, _LIVE)
    if wanted:
        priority = endpoint.spec.gateway_priority
        before = {
            name: priority if name == "gateway_priority" else getattr(endpoint, name)
            for name in wanted
        }
        endpoint.configure(**wanted)
        undo(lambda: endpoint.configure(**before))
    if ports is not None:
        _publish(endpoint, ports, undo)


def _publish(endpoint: Endpoint, ports: object, undo: _Undo) -> None:
    if not isinstance(ports, list):
        raise refuse(errno.EINVAL, 'publish is a list: ["8080:80/tcp"]')
    before = publishing.of_endpoint(endpoint)
    publishing.replace(endpoint, "\n".join(map(str, ports)))
    undo(publishing.replace, endpoint, before)


def named(find: Callable[[str], T], name: str) -> T | None:
    """The object of that name; what only an id begins with is none."""
    with contextlib.suppress(NotFoundError, InvalidArgumentError):
        found = find(name)
        if found.name == name:
            return found
    return None


def _objects(document: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    found = document.get(kind, {})
    _known(kind, found)
    for name, wanted in found.items():
        _known(f"{kind} {name}", wanted)
    return list(found.items())


def _known(what: str, found: object, names: set[str] | None = None) -> None:
    """Refuse what is no object, or one with other names than these."""
    if not isinstance(found, dict):
        raise refuse(errno.EINVAL, f'{what}: a JSON object is taken here, {{"name": value, ...}}')
    for name in found:
        if names is not None and name not in names:
            raise refuse(
                errno.EINVAL, f"{what}: unknown {name!r}; there are {', '.join(sorted(names))}"
            )
