"""Files of published ports: read as they are written, replaced, added to, edited."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator

import attrs

from cnmfs import values
from cnmfs.tree import refuse
from pycnm import CNMError, Endpoint, Network, PortBinding, PortSpec
from pycnm.spec import wording
from pycnm.spec.ports import port_specs


def shown(binding: PortBinding) -> str:
    """A binding as it would be written to have it again."""
    return binding.wish.removesuffix("/tcp")


def of_endpoint(endpoint: Endpoint) -> str:
    """The ports of an endpoint, one a line."""
    return values.lines(shown(binding) for binding in endpoint.ports)


def of_network(network: Network) -> str:
    """The ports of all endpoints of a network, each after the endpoint's name."""
    return values.lines(
        f"{endpoint.name} {shown(binding)}"
        for endpoint in network.endpoints
        for binding in endpoint.ports
    )


def replace(endpoint: Endpoint, text: str) -> None:
    """Publish these and no others; what is published already isn't touched."""
    _change(endpoint, values.several(text), whole=True)


def add(endpoint: Endpoint, text: str) -> None:
    """Publish these as well; `-8080:80` publishes one no longer."""
    _change(endpoint, values.several(text), whole=False)


def replace_all(network: Network, text: str) -> None:
    """As `replace`, for every endpoint of a network."""
    wanted = _by_endpoint(network, text)
    for endpoint in network.endpoints:
        _change(endpoint, wanted.get(endpoint.name, []), whole=True)


def add_all(network: Network, text: str) -> None:
    """As `add`, for endpoints of a network."""
    wanted = _by_endpoint(network, text)
    for endpoint in network.endpoints:
        if endpoint.name in wanted:
            _change(endpoint, wanted[endpoint.name], whole=False)


def _by_endpoint(network: Network, text: str) -> dict[str, list[str]]:
    names = {endpoint.name for endpoint in network.endpoints}
    wanted: dict[str, list[str]] = {}
    for item in values.several(text):
        sign = "-" if item.startswith("-") else ""
        name, _, spec = item.removeprefix("-").removeprefix("+").partition(" ")
        if not spec.strip():
            raise refuse(
                errno.EINVAL, f"{wording.shown(item)} names no port; write `ENDPOINT 8080:80/tcp`"
            )
        if name not in names:
            has = ", ".join(sorted(names)) or "none"
            raise refuse(
                errno.ENOENT,
                f"no endpoint {wording.shown(name)} is on the network; there are: {has}",
            )
        wanted.setdefault(name, []).append(sign + spec.strip())
    return wanted


def _change(endpoint: Endpoint, items: Iterable[str], *, whole: bool) -> None:
    """Remove first, add then; what was removed is there again if the rest is refused."""
    words = list(items)
    off: list[object] = [word.removeprefix("-") for word in words if word.startswith("-")]
    texts = [word.removeprefix("+") for word in words if not word.startswith("-")]
    wanted = [single for spec in port_specs(texts) for single in _singles(spec)]
    present = endpoint.ports
    if whole:
        off += [
            shown(binding)
            for binding in present
            if not any(_matches(binding, spec) for spec in wanted)
        ]
    missing = [spec for spec in wanted if not any(_matches(b, spec) for b in present)]
    if off:
        endpoint.unpublish(*off)
    try:
        if missing:
            endpoint.publish(*missing)
    except CNMError:
        with contextlib.suppress(CNMError):
            left = endpoint.ports
            gone = [shown(binding) for binding in present if binding not in left]
            if gone:
                endpoint.publish(*gone)
        raise


def _singles(spec: PortSpec) -> Iterator[PortSpec]:
    """Its ports one by one."""
    count = spec.container_last - spec.container_first + 1
    if count == 1:
        yield spec
        return
    for number in range(count):
        host = spec.host_first + number if spec.host_first else 0
        port = spec.container_first + number
        yield attrs.evolve(
            spec, host_first=host, host_last=host, container_first=port, container_last=port
        )


def _matches(binding: PortBinding, spec: PortSpec) -> bool:
    """Whether a binding is what a port was to be published as."""
    return (
        binding.protocol == spec.protocol
        and binding.port == spec.container_first
        and _matches_host(binding, spec)
    )


def _matches_host(binding: PortBinding, spec: PortSpec) -> bool:
    """The same of the part about the host, which isn't heeded where nothing of it is taken."""
    if not binding.host_port:
        return spec.host_address is None or spec.host_address.version == binding.address.version
    return spec.host_address in {None, binding.host_address} and (
        not spec.host_first or spec.host_first <= binding.host_port <= spec.host_last
    )
