"""What a caller asks of a new endpoint, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from netaddr import EUI, IPAddress

from pycnm.engine.placing import vlan_options
from pycnm.engine.request import flag
from pycnm.errors import InvalidArgumentError
from pycnm.spec import addresses, macs, names
from pycnm.spec.ports import PortSpec, port_specs
from pycnm.spec.rates import Rate
from pycnm.spec.routes import static_routes
from pycnm.spec.wording import shown

_IFNAME = "com.docker.network.endpoint.ifname"
_SYSCTLS = "com.docker.network.endpoint.sysctls"
_VLAN = "vlan"
_SYSCTL_FAMILIES = {"ipv4", "ipv6", "mpls"}
_PRIORITY_MAX = 2**31 - 1


@attrs.frozen
class EndpointRequest:
    """An endpoint that somebody wants; everything in it is well-formed."""

    name: str = ""
    ip: IPAddress | None = None
    ip6: IPAddress | None = None
    mac: EUI | None = None
    aliases: tuple[str, ...] = ()
    publish: tuple[PortSpec, ...] = ()
    interface: str = ""
    gateway_priority: int = 0
    link_local_ips: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    created: str = ""
    rate: str = ""
    routes: tuple[str, ...] = ()
    forwarding: bool = False


def endpoint_request(
    *,
    name: object = None,
    ip: object = None,
    ip6: object = None,
    mac: object = None,
    aliases: object = (),
    publish: object = (),
    interface: object = None,
    gateway_priority: object = 0,
    link_local_ips: object = (),
    sysctls: object = None,
    rate: object = None,
    routes: object = (),
    forwarding: object = False,
    vlan: object = None,
    options: object = None,
    created: str = "",
) -> EndpointRequest:
    """Everything `Network.connect` is given, as one well-formed value.

    Raises:
        InvalidArgumentError: an argument is not what it should be.
    """
    given = dict(names.labels(options, "endpoint option"))
    inside = interface if interface is not None else given.pop(_IFNAME, None)
    settings = _sysctls(sysctls) + _docker_sysctls(given.pop(_SYSCTLS, ""))
    number = given.pop(_VLAN, None) if vlan is None else vlan
    if given:
        raise InvalidArgumentError(
            f"unknown endpoint option {next(iter(given))}; known are {_IFNAME}, {_SYSCTLS} and "
            f"{_VLAN}"
        )
    if isinstance(gateway_priority, bool) or not isinstance(gateway_priority, int):
        raise InvalidArgumentError(
            f"invalid gateway_priority {shown(gateway_priority)}: it should be a whole number"
        )
    if abs(gateway_priority) > _PRIORITY_MAX:
        raise InvalidArgumentError(
            f"invalid gateway_priority {shown(gateway_priority)}: it should be between "
            f"-{_PRIORITY_MAX} and {_PRIORITY_MAX}"
        )
    return EndpointRequest(
        name="" if name is None else names.object_name(name, "endpoint"),
        ip=None if ip is None else addresses.address(ip, "IPv4 address", version=4),
        ip6=None if ip6 is None else addresses.address(ip6, "IPv6 address", version=6),
        mac=None if mac is None else macs.mac(mac),
        aliases=tuple(names.domain_name(item) for item in _list(aliases, "aliases")),
        publish=port_specs(publish),
        interface="" if inside is None else names.interface_name(inside),
        gateway_priority=gateway_priority,
        link_local_ips=tuple(_link_local(item) for item in _list(link_local_ips, "link_local_ips")),
        sysctls=settings,
        options=vlan_options(number),
        created=created,
        rate=str(Rate.parse(rate) or ""),
        routes=static_routes(routes),
        forwarding=flag(forwarding, "forwarding"),
    )


def _list(value: object, what: str) -> list[object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: give a list of texts")
    return list(value)


def _link_local(value: object) -> str:
    address = addresses.address(value, "link-local IP address")
    if not address.is_link_local():
        raise InvalidArgumentError(
            f"invalid link-local IP address: {address}; it should be in 169.254.0.0/16 or fe80::/10"
        )
    return f"{address}/{16 if address.version == 4 else 64}"  # noqa: PLR2004


def _sysctls(value: object) -> tuple[tuple[str, str], ...]:
    pairs: Any = names.labels(value, "sysctl")
    return tuple((_sysctl_key(key, f"{key}={text}"), text) for key, text in pairs)


def _docker_sysctls(text: str) -> tuple[tuple[str, str], ...]:
    items = [item.strip() for item in text.split(",") if item.strip()]
    pairs = []
    for item in items:
        key, equals, value = item.partition("=")
        pairs.append((_sysctl_key(key if equals else "", item), value.strip()))
    return tuple(pairs)


def _sysctl_key(key: str, item: str) -> str:
    """A setting of the endpoint's own interface, as a path with IFNAME in it."""
    parts = key.strip().split(".")
    if (
        len(parts) != 5  # noqa: PLR2004 - net.X.Y.IFNAME.Z
        or parts[0] != "net"
        or parts[1] not in _SYSCTL_FAMILIES
        or parts[3] not in {"IFNAME", "ifname"}
        or not all(part.replace("_", "").isalnum() and part.isascii() for part in parts)
    ):
        raise InvalidArgumentError(
            f"unrecognised network interface sysctl {shown(item)}; represent "
            "'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
        )
    return "/".join([*parts[:3], "IFNAME", parts[4]])
