"""Networks made, renamed and deleted."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.drivers.base import Driver, Use
from pycnm.drivers.bridge import DEFAULT_BRIDGE, Bridge
from pycnm.drivers.host import Host
from pycnm.drivers.null import Null
from pycnm.engine import records, telling, wiring
from pycnm.engine.adopting import adopt, adopts
from pycnm.engine.attaching import detach, retire
from pycnm.engine.decision import NETWORKS, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.realising import forward_again, realise, to_keep_off, unrealise
from pycnm.engine.records import EndpointRow, NetworkRow
from pycnm.engine.request import NetworkRequest, PoolRequest, network_name
from pycnm.errors import (
    AlreadyExistsError,
    CNMError,
    InUseError,
    NotPermittedError,
    PoolOverlapError,
)
from pycnm.ipam.base import ADDRESS_TYPE, GATEWAY, IPAM
from pycnm.plan.host import HostFacts, lacking, lacking_vlans
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.names import new_id
from pycnm.spec.objects import NetworkSpec, Pool
from pycnm.spec.routes import refuse_astray
from pycnm.store.database import Transaction
from pycnm.store.locks import Lock

_LISTED = 5


def now() -> str:
    """The present moment in RFC 3339, as Docker writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def predefine(engine: Engine) -> None:
    """Record the networks that are always there; nothing is made in the kernel."""
    facts = engine.kernel.facts()
    default = Bridge(bridge_name=DEFAULT_BRIDGE, default_bridge=True).settled(engine.kernel.mtu)

    def decide(decision: Decision) -> None:
        (count,) = decision.tx.execute("SELECT count(*) FROM networks").fetchone()
        if count:
            return
        records.set_meta(decision.tx, "host_id", new_id())
        bridge = NetworkRequest(
            "bridge", default, (PoolRequest(4),), True, False, False, False, "default", (), (), ""
        )
        _record(engine, decision, bridge, facts, predefined=True)
        for name, driver in (("host", Host()), ("none", Null())):
            spec = NetworkSpec(
                id=new_id(),
                name=name,
                driver=driver.name,
                ipam="null",
                predefined=True,
                created=now(),
            )
            decision.insert_network(spec, driver)

    engine.carry_out("first start", [Lock.host(exclusive=True)], decide, durable=True)


class _Enough(Exception):  # noqa: N818 - leaves the transaction
    """A dry run has seen what it wanted."""


def plan(engine: Engine, request: NetworkRequest) -> Plan:
    """What `create` would do, without doing it.

    Raises:
        CNMError: whatever `create` would raise before it asks the kernel.
    """
    facts = engine.kernel.facts()
    request = settled(engine, request)
    found: list[Operation] = []

    def decide(decision: Decision) -> None:
        row = _record(engine, decision, request, facts)
        realise(engine, decision, row, Use(), facts)
        found.extend(decision.do)
        raise _Enough

    with contextlib.suppress(_Enough):
        engine.carry_out("dry run", [Lock.host(exclusive=True)], decide)
    return Plan(tuple(found))


def create(engine: Engine, request: NetworkRequest) -> NetworkRow:
    """Make a network: recorded, and there in the kernel, when this returns.

    Raises:
        AlreadyExistsError: the name, the bridge or the subnet of a network.
        PoolOverlapError: the subnet is another network's, or the host's.
        PoolExhaustedError: no subnet is left to choose.
        KernelError: the kernel refused.
    """
    facts = engine.kernel.facts()
    request = settled(engine, request)

    def decide(decision: Decision) -> NetworkRow:
        row = _record(engine, decision, request, facts)
        realise(engine, decision, row, Use(), facts)
        decision.events.append(telling.network("create", row.spec))
        return row

    return engine.carry_out("create network", [Lock.host(exclusive=True)], decide, durable=True)


def settled(engine: Engine, request: NetworkRequest) -> NetworkRequest:
    """The request with what depends on the host chosen, where it wasn't given.

    On a bridge of others it is the bridge that says so.
    """
    if adopts(engine, request.driver):
        return request
    return attrs.evolve(request, driver=request.driver.settled(engine.kernel.mtu))


def _record(
    engine: Engine,
    decision: Decision,
    request: NetworkRequest,
    facts: HostFacts,
    *,
    predefined: bool = False,
) -> NetworkRow:
    """Choose what was left open, check it beside what exists, and record it."""
    spec = NetworkSpec(
        id=new_id(),
        name=request.name,
        driver=request.driver.name,
        predefined=predefined,
        created=now(),
    )
    spec = described(spec, request)
    _refuse_taken_name(decision.tx, spec.name)
    refuse_lacking(engine, spec, request.driver)
    spec, request = adopt(engine, decision.tx, spec, request)
    spec = lease_pools(engine, decision.tx, spec, request, facts)
    refuse_overlaps(decision.tx, spec, request.driver)
    return NetworkRow(decision.insert_network(spec, request.driver), spec)


def described(spec: NetworkSpec, request: NetworkRequest) -> NetworkSpec:
    """A network as it is asked for, but for its subnets."""
    spec = attrs.evolve(
        spec,
        driver=request.driver.name,
        scope=request.driver.scope,
        options=request.driver.to_options(),
        ipv4=request.ipv4,
        ipv6=request.ipv6,
        internal=request.internal,
        attachable=request.attachable,
        ipam=request.ipam,
        ipam_options=request.ipam_options,
        labels=request.labels,
        parent=request.parent,
        routes=request.routes,
    )
    return attrs.evolve(spec, internal=request.driver.is_internal(spec))


def lease_pools(
    engine: Engine, tx: Transaction, spec: NetworkSpec, request: NetworkRequest, facts: HostFacts
) -> NetworkSpec:
    """A network with the subnets that are asked for, or with free ones."""
    pools = [
        _pool(engine, tx, spec, request.driver, wanted=wanted, facts=facts)
        for wanted in request.pools
    ]
    return reserve(engine, tx, attrs.evolve(spec, pools=pools), request.driver)


def refuse_lacking(engine: Engine, spec: NetworkSpec, driver: Driver) -> None:
    """Raise if the kernel lacks what a network is made of."""
    for kind in driver.kinds(spec):
        if not engine.kernel.has_kind(kind):
            raise lacking(kind, f"driver {driver.name}")
    if driver.filters(spec) and not engine.kernel.has_vlans():
        raise lacking_vlans("the option vlan")


def refuse_overlaps(tx: Transaction, spec: NetworkSpec, driver: Driver) -> None:
    """Raise if a network can't be what it is to be, or not beside the others."""
    subnets = [pool.subnet for pool in spec.pools] if driver.owns(spec) else []
    sits = driver.needs(spec).parent
    others = records.neighbours(tx, driver.name, driver.device(spec), subnets, sits=sits)
    driver.validate(spec, [other for other in others if other.id != spec.id])
    refuse_astray(spec.routes, f"network {spec.name}", [pool.subnet for pool in spec.pools])


def _refuse_taken_name(reader: sqlite3.Connection, name: str) -> None:
    if records.taken(reader, "networks", name):
        raise AlreadyExistsError(
            f"network with name {name} already exists; choose another name, or use that one"
        )


def _pool(
    engine: Engine,
    tx: Transaction,
    spec: NetworkSpec,
    driver: Driver,
    *,
    wanted: PoolRequest,
    facts: HostFacts,
) -> Pool:
    """A subnet from IPAM, with its gateway and auxiliary addresses set aside."""
    ipam = engine.ipam(spec.ipam, tx)
    local, shared = ipam.default_address_spaces()
    automatic = wanted.subnet is None or not int(wanted.subnet.network)
    taken = to_keep_off(tx, facts) if automatic and spec.scope == "local" else []
    lease = ipam.request_pool(
        local if spec.scope == "local" else shared,
        wanted.subnet,
        wanted.ip_range,
        dict(spec.ipam_options),
        v6=wanted.version == 6,  # noqa: PLR2004
        exclude=taken,
    )
    there = () if spec.adopted is None else spec.adopted.addresses
    owns = driver.owns(spec) and not automatic
    route = facts.overlapping(lease.pool, there) if owns else None
    if route is not None:
        raise PoolOverlapError(
            f"the subnet {lease.pool} overlaps {route.network()}, which the host reaches directly "
            "(`ip route show scope link`); choose another subnet, or none for a free one"
        )
    gateway = wanted.gateway
    given = lease.data.get(GATEWAY)
    if gateway is None and given:
        gateway = IPNetwork(given).ip
    elif gateway is not None or driver.takes_gateway(spec, wanted.version):
        gateway = _set_aside(ipam, lease.pool_id, gateway)
    for _, address in wanted.aux:
        if address != str(gateway):
            ipam.request_address(lease.pool_id, address)
    automatic = gateway is not None and wanted.gateway is None
    return Pool(lease.pool_id, lease.pool, wanted.ip_range, gateway, wanted.aux, automatic)


def reserve(engine: Engine, tx: Transaction, spec: NetworkSpec, driver: Driver) -> NetworkSpec:
    """A network with the auxiliary addresses that its driver sets aside by itself.

    Of several subnets of a family the first one has them.
    """
    given = {name for pool in spec.pools for name, _ in pool.aux}
    firsts = (spec.pool(4), spec.pool(6))

    def with_reserved(pool: Pool) -> Pool:
        names = driver.reserves(spec, pool.version) if pool in firsts else ()
        aux = list(pool.aux)
        for name in names:
            if name not in given:
                lease = engine.ipam(spec.ipam, tx).request_address(pool.pool_id)
                aux += [] if lease is None else [(name, str(lease.address.ip))]
        return attrs.evolve(pool, aux=aux)

    return attrs.evolve(spec, pools=[with_reserved(pool) for pool in spec.pools])


def _set_aside(ipam: IPAM, pool_id: str, gateway: IPAddress | None) -> IPAddress | None:
    try:
        lease = ipam.request_address(pool_id, gateway, {ADDRESS_TYPE: GATEWAY})
    except CNMError as error:
        error.add_note(f"failed to allocate gateway ({gateway or 'automatic'})")
        raise
    return lease.address.ip if lease is not None else gateway


def rename(engine: Engine, reference: str, name: object) -> None:
    """Give a network another name, live.

    Default routes follow: among equals the name decides which network gives them.

    Raises:
        NotPermittedError: it is predefined, or the name is.
        AlreadyExistsError: the name is taken.
    """
    new = network_name(name)
    with engine.reading() as reader:
        number = records.network(reader, reference).number
    while True:
        with engine.reading() as reader:
            rows = records.endpoints_of_network(reader, number, arriving=True)
        boxes = sandboxes_of(rows)
        locks = [Lock.network(number, exclusive=True), *map(Lock.sandbox, boxes)]
        with contextlib.suppress(Joined):
            decide = partial(_rename, engine, number, boxes, new)
            engine.carry_out("rename network", locks, decide, durable=True)
            return


def _rename(engine: Engine, number: int, boxes: set[int], new: str, decision: Decision) -> None:
    row = records.network_by_number(decision.tx, number)
    refuse_predefined(row.spec, "renamed")
    if row.spec.name == new:
        return
    _refuse_taken_name(decision.tx, new)
    now = sandboxes_of(records.endpoints_of_network(decision.tx, number))
    if not now <= boxes:
        raise Joined
    changed = attrs.evolve(row.spec, name=new)
    decision.update(NETWORKS, number, name=new, spec=changed.to_json())
    decision.events.append(telling.network("update", changed, oldName=row.spec.name))
    for box in sorted(now):
        wiring.rewire(engine, decision, box)


def refuse_predefined(spec: NetworkSpec, verb: str) -> None:
    """Raise if a network is one of those that are always there."""
    if spec.predefined:
        raise NotPermittedError(
            f"{spec.name} is a pre-defined network and cannot be {verb}; it is made when it is "
            "first used and goes with its last endpoint"
        )


def delete(engine: Engine, reference: str, *, force: bool = False) -> None:
    """Delete a network.

    Args:
        force: its endpoints first, all of them in one change.

    Raises:
        InUseError: it has endpoints, which the message names.
        NotPermittedError: it is predefined.
    """
    with engine.reading() as reader:
        number = records.network(reader, reference).number
    while True:
        with engine.reading() as reader:
            boxes = sandboxes_of(records.endpoints_of_network(reader, number, arriving=True))
        with contextlib.suppress(Joined):
            _delete(engine, number, boxes, force=force)
            return


class Joined(Exception):  # noqa: N818 - look again
    """Another sandbox came to the network since those on it were looked up."""


def sandboxes_of(endpoints: Sequence[EndpointRow]) -> set[int]:
    """The numbers of the sandboxes that endpoints are joined to."""
    return {row.sandbox for row in endpoints if row.sandbox is not None}


def _delete(engine: Engine, number: int, boxes: set[int], *, force: bool) -> None:
    locks = [Lock.host(exclusive=True), Lock.network(number, exclusive=True)]
    locks += [Lock.sandbox(box) for box in boxes]

    def decide(decision: Decision) -> None:
        row = records.network_by_number(decision.tx, number)
        refuse_predefined(row.spec, "removed")
        endpoints = records.endpoints_of_network(decision.tx, number)
        busy = [each for each in endpoints if not records.waits(decision.tx, each)]
        if busy and not force:
            raise InUseError(
                f"error while removing network: {active(row.spec.name, busy)}; "
                "disconnect them first, or use force"
            )
        if not sandboxes_of(endpoints) <= boxes:
            raise Joined
        for endpoint in endpoints:
            retire(decision, endpoint)
        unrealise(decision, row)
        forward_again(engine, decision, row)
        for endpoint in endpoints:
            detach(engine, decision, endpoint)
        decision.leave(NETWORKS, number)
        decision.events.append(telling.network("destroy", row.spec))

    engine.carry_out("delete network", locks, decide, forward=True, durable=True)


def active(name: str, endpoints: Sequence[EndpointRow]) -> str:
    """That a network has active endpoints, and which, as Docker says it."""
    named = ", ".join(
        f'name:"{row.spec.name}" id:"{row.spec.id[:12]}"' for row in endpoints[:_LISTED]
    )
    more = ", ..." if len(endpoints) > _LISTED else ""
    return f"network {name} has active endpoints ({named}{more})"
