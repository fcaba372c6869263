"""Where on its network an endpoint is: in which VLAN, and what leads elsewhere from there."""

from __future__ import annotations

from typing import Any, Final

from netaddr import IPAddress, IPNetwork

from pycnm.drivers.base import Driver
from pycnm.errors import NotSupportedError
from pycnm.plan.vlans import VLAN_MAX
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pairs
from pycnm.spec.options import Option, integer

_VLAN: Final = "vlan"
_OPTION: Final = Option(_VLAN, _VLAN, integer(1, VLAN_MAX), scope="endpoint")


def vlan_options(value: object) -> Pairs:
    """The option of an endpoint that says its VLAN; none for None, 0 or nothing.

    Raises:
        InvalidArgumentError: it isn't the number of one.
    """
    if value is None or (type(value) in {str, int} and value in {"", "0", 0}):
        return ()
    return ((_VLAN, str(_OPTION.parse(value))),)


def placed(
    driver: Driver,
    network: NetworkSpec,
    ip: IPNetwork | None,
    ip6: IPNetwork | None,
    options: Pairs,
) -> dict[str, Any]:
    """The VLAN of an endpoint, and the gateways that it reaches from there.

    Raises:
        InvalidArgumentError, NotSupportedError: its network has no VLANs.
    """
    vlan = int(dict(options).get(_VLAN, 0))
    driver.refuse_vlan(network, vlan)
    apart = driver.is_apart(network, vlan)
    return {
        "options": options,
        "gateway": None if apart else _gateway(driver, network, ip),
        "gateway6": None if apart else _gateway(driver, network, ip6),
    }


def _gateway(driver: Driver, network: NetworkSpec, address: IPNetwork | None) -> IPAddress | None:
    """The next hop of the default route that comes with an address."""
    if address is None:
        return None
    pool = network.pool_of(address.ip) or network.pool(address.version)
    return None if pool is None else driver.next_hop(network, pool, address.ip)


def refuse_apart(driver: Driver, network: NetworkSpec, endpoint: EndpointSpec) -> None:
    """Raise if ports of the host can't lead to an endpoint, as the host isn't in its VLAN.

    Raises:
        NotSupportedError: they can't.
    """
    if driver.is_apart(network, endpoint.vlan):
        raise NotSupportedError(
            f"endpoint {endpoint.name} is in VLAN {endpoint.vlan} of network {network.name}, where "
            "the host isn't, so no port of the host leads to it; publish on one without a vlan of "
            "its own"
        )
