"""What a caller asks of a new network, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.drivers.base import Driver
from pycnm.drivers.registry import driver_class, ipam_class
from pycnm.errors import InvalidArgumentError, NotPermittedError
from pycnm.spec import addresses, names
from pycnm.spec.routes import static_routes
from pycnm.spec.wording import shown

PREDEFINED = ("bridge", "host", "none")
_RESERVED = {*PREDEFINED, "default"}


@attrs.frozen
class PoolRequest:
    """One subnet, or an automatic one where `subnet` is unspecified."""

    version: int
    subnet: IPNetwork | None = None
    ip_range: IPNetwork | None = None
    gateway: IPAddress | None = None
    aux: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class NetworkRequest:
    """A network that somebody wants; everything in it is well-formed."""

    name: str
    driver: Driver
    pools: tuple[PoolRequest, ...]
    ipv4: bool
    ipv6: bool
    internal: bool
    attachable: bool
    ipam: str
    ipam_options: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    parent: str
    routes: tuple[str, ...] = ()


def network_name(name: object) -> str:
    """A name that a network of a user's may have.

    Raises:
        InvalidArgumentError: malformed.
        NotPermittedError: it is the name of a predefined network.
    """
    text = names.object_name(name, "network")
    if text in _RESERVED:
        raise NotPermittedError(
            f"operation is not permitted on predefined {text} network; choose another name"
        )
    return text


def driver_value(driver: object, options: object, parent: object) -> Driver:
    """A driver from a name or a value, with Docker's option names on top.

    Raises:
        InvalidArgumentError: neither, or an unknown or malformed option.
        NotFoundError: no driver has that name.
    """
    if isinstance(driver, str):
        cls, given = driver_class(names.object_name(driver, "driver")), {}
    elif isinstance(driver, Driver):
        cls, given = type(driver), driver.to_options()
    else:
        raise InvalidArgumentError(
            f"invalid driver {shown(driver)}: give a name such as 'bridge', or a value such as "
            "pycnm.Bridge(mtu=1400)"
        )
    if options is not None and not isinstance(options, Mapping):
        raise InvalidArgumentError(
            f"invalid options {shown(options)}: give a mapping of Docker's option names to values"
        )
    merged: dict[Any, Any] = given | dict(options or {})
    if parent is not None:
        merged["parent"] = names.interface_name(parent, "parent")
    return cls.from_options(merged)


def flag(value: object, what: str) -> bool:
    """A boolean that is one.

    Raises:
        InvalidArgumentError: it isn't.
    """
    if isinstance(value, bool):
        return value
    raise InvalidArgumentError(f"invalid {what} {shown(value)}: it should be True or False")


def network_request(
    name: object,
    driver: object,
    *,
    subnet: object = None,
    gateway: object = None,
    ip_range: object = None,
    aux_addresses: object = None,
    ipv4: object = True,
    ipv6: object = False,
    internal: object = False,
    attachable: object = False,
    ipam: object = "default",
    ipam_options: object = None,
    options: object = None,
    labels: object = None,
    parent: object = None,
    routes: object = (),
) -> NetworkRequest:
    """Everything `Controller.create_network` is given, as one well-formed value.

    Raises:
        CNMError: an argument is not what it should be; the message says what is.
    """
    value = driver_value(driver, options, parent)
    if value.single:
        raise NotPermittedError(
            f'only one instance of "{value.name}" network is allowed; connect to the predefined one'
        )
    subnets = [addresses.subnet(item, unspecified=True) for item in several(subnet)]
    has6 = flag(ipv6, "ipv6") or any(item.version == 6 for item in subnets)  # noqa: PLR2004
    has4 = flag(ipv4, "ipv4")
    if not isinstance(ipam, str):
        raise InvalidArgumentError(f"invalid ipam {shown(ipam)}: give a name such as 'default'")
    chosen = ipam if ipam != "default" else value.ipam
    ipam_class(chosen)
    return NetworkRequest(
        name=network_name(name),
        driver=value,
        pools=_pools(subnets, gateway, ip_range, aux_addresses, has4=has4, has6=has6)
        if chosen != "null"
        else (),
        ipv4=has4,
        ipv6=has6,
        internal=flag(internal, "internal"),
        attachable=flag(attachable, "attachable"),
        ipam=chosen,
        ipam_options=names.labels(ipam_options, "ipam option"),
        labels=names.labels(labels),
        parent=getattr(value, "parent", None) or "",
        routes=static_routes(routes),
    )


def several(value: object) -> list[object]:
    """The values of what may be one, a list, or nothing."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value]


def _pools(
    subnets: list[IPNetwork],
    gateway: object,
    ip_range: object,
    aux: object,
    *,
    has4: bool,
    has6: bool,
) -> tuple[PoolRequest, ...]:
    if not has4 and any(item.version == 4 for item in subnets):  # noqa: PLR2004
        raise InvalidArgumentError(
            "an IPv4 subnet was given with ipv4=False; leave one of them out"
        )
    _disjoint(subnets)
    gateways = _by_subnet(several(gateway), subnets, "gateway", addresses.gateway)
    ranges = _by_subnet(several(ip_range), subnets, "ip-range", addresses.ip_range)
    extras = dict(addresses.aux_addresses(aux, subnets))
    requests = [
        PoolRequest(
            item.version,
            item,
            ranges.get(item),
            gateways.get(item),
            tuple((key, str(ip)) for key, ip in extras.items() if ip in item),
        )
        for item in subnets
    ]
    for version, wanted in ((4, has4), (6, has6)):
        if wanted and not any(request.version == version for request in requests):
            requests.append(PoolRequest(version))
    return tuple(sorted(requests, key=lambda request: request.version))


def _disjoint(subnets: Iterable[IPNetwork]) -> None:
    seen: list[IPNetwork] = []
    for item in subnets:
        for other in seen:
            if item in other or other in item:
                raise InvalidArgumentError(
                    f"the subnets {other} and {item} overlap; give each range once"
                )
        seen.append(item)


def _by_subnet(
    values: list[object], subnets: list[IPNetwork], what: str, check: Any
) -> dict[IPNetwork, Any]:
    """Each value with the subnet it lies in; the check's error if it lies in none."""
    found: dict[IPNetwork, Any] = {}
    for value in values:
        if not subnets:
            raise InvalidArgumentError(
                f"invalid {what} {shown(value)}: it needs a subnet that contains it; give that too"
            )
        errors = []
        for item in subnets:
            try:
                checked = check(value, item)
            except InvalidArgumentError as error:
                errors.append(error)
            else:
                if item in found:
                    raise InvalidArgumentError(f"subnet {item} was given two values of {what}")
                found[item] = checked
                break
        else:
            family = [e for e, item in zip(errors, subnets, strict=True) if ":" in str(item)]
            raise family[0] if family and ":" in str(value) else errors[0]
    return found
