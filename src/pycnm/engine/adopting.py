"""Bridges of somebody else's that networks are put on: found, and what that says of subnets."""

from __future__ import annotations

import attrs
from netaddr import IPNetwork

from pycnm.drivers.base import Driver
from pycnm.engine import records
from pycnm.engine.engine import Engine
from pycnm.engine.realising import FORWARDING
from pycnm.engine.request import NetworkRequest, PoolRequest
from pycnm.errors import AlreadyExistsError, InUseError, PoolOverlapError
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import Operation
from pycnm.plan.rules import Entry
from pycnm.spec.objects import FoundBridge, NetworkSpec

_LONGEST = {4: 30, 6: 126}


def adopt(
    engine: Engine,
    reader: records.Reader,
    spec: NetworkSpec,
    request: NetworkRequest,
    *,
    before: NetworkSpec | None = None,
) -> tuple[NetworkSpec, NetworkRequest]:
    """A network with the bridge that is there for it, if there is one, and its subnets.

    Args:
        before: what the network was so far; as long as its bridge has the same
            name, it was found when the network was put on it.

    Raises:
        AlreadyExistsError: an interface has the name that isn't a bridge.
        InUseError: it is the bridge of a network in another state directory.
        PoolOverlapError: what is on it doesn't fit a subnet.
    """
    driver = request.driver
    name = driver.adopts()
    if before is not None and name and name == engine.driver(before).adopts():
        found = _still(engine, before.adopted, name) if driver.filters(spec) else before.adopted
    else:
        others = records.neighbours(reader, driver.name, name, (), sits=False) if name else []
        # Two networks with one bridge are refused by the driver, with better words.
        alone = all(each.id == spec.id or driver.shares(spec, each) for each in others)
        found = _found(engine, reader, name) if name and alone else None
    spec = attrs.evolve(spec, adopted=found)
    if found is None:
        return spec, request
    pools = [fitted(pool, name, found, driver, spec) for pool in request.pools]
    return spec, attrs.evolve(request, pools=tuple(pools))


def _still(engine: Engine, found: FoundBridge | None, name: str) -> FoundBridge | None:
    """A bridge as it was found, but for whether it keeps VLANs apart: that may be so since."""
    now = None if found is None else engine.kernel.bridge(name)
    return found if found is None or now is None else attrs.evolve(found, vlans=now.vlans)


def adopts(engine: Engine, driver: Driver) -> bool:
    """Whether the bridge that a network names is there, and somebody else's."""
    found = engine.kernel.interface(driver.adopts()) if driver.adopts() else None
    return found is not None and not found.alias.startswith("cnm:")


def _found(engine: Engine, reader: records.Reader, name: str) -> FoundBridge | None:
    """The bridge of that name, as it is without us; None if there is none, or it is ours."""
    there = engine.kernel.interface(name)
    if there is None or there.alias.startswith("cnm:"):
        return None
    if there.kind != "bridge":
        raise AlreadyExistsError(
            f"existing interface {name} is not a bridge; give another name, or rename it"
        )
    if not engine.kernel.check([Entry("bridges", (name,))]):
        raise InUseError(
            f"{name} is the bridge of a network in another state directory already; give another "
            "bridge"
        )
    found = engine.kernel.bridge(name)
    if found is None:
        return None
    # As long as it wasn't ours, packets may have been forwarded from it to our networks.
    settings = dict(found.settings)
    for owner in FORWARDING:
        for _, body in records.operations(reader, owner):
            each = Operation.from_json(body)
            if isinstance(each, Sysctl) and each.link == name:
                family, _, _, last = each.key.removeprefix("net/").split("/")
                settings[f"{family}/{last}"] = each.before
    return attrs.evolve(found, settings=settings)


def fitted(
    wanted: PoolRequest, name: str, found: FoundBridge, driver: Driver, spec: NetworkSpec
) -> PoolRequest:
    """A subnet as the addresses on a bridge have it.

    Where none is given, it is that of the first of them.  The host's address in it
    is the gateway, unless another one is given, or the host doesn't lead; and what
    else it has there is set aside.

    Raises:
        PoolOverlapError: a subnet is given that has another length.
    """
    there = [each for each in map(IPNetwork, found.addresses) if each.version == wanted.version]
    subnet = wanted.subnet
    if subnet is None:
        whole = (each.cidr for each in there if each.prefixlen <= _LONGEST[each.version])
        subnet = next(whole, None)
    if subnet is None:
        return wanted
    for each in there:
        if each.cidr != subnet and (each.cidr in subnet or subnet in each.cidr):
            raise PoolOverlapError(
                f"{name} has the address {each}, whose subnet overlaps {subnet}; give {each.cidr}, "
                "or a subnet apart from it"
            )
    own = [each.ip for each in there if each.cidr == subnet]
    gateway = wanted.gateway
    if gateway is None and own and driver.takes_gateway(spec, wanted.version):
        gateway = own[0]
    aux = list(wanted.aux)
    known = {str(gateway), *(address for _, address in aux)}
    for address in own:
        if str(address) not in known:
            aux.append((_free_name({key for key, _ in aux}), str(address)))
    return attrs.evolve(wanted, subnet=subnet, gateway=gateway, aux=tuple(aux))


def _free_name(taken: set[str]) -> str:
    number = 1
    while (name := f"host{number}" if number > 1 else "host") in taken:
        number += 1
    return name
