"""A network that exists, given another configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from pycnm.drivers.bridge import Bridge
from pycnm.engine import published, records, telling, wiring
from pycnm.engine.adopting import adopt
from pycnm.engine.decision import NETWORKS, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.networks import (
    Joined,
    active,
    described,
    lease_pools,
    refuse_lacking,
    refuse_overlaps,
    refuse_predefined,
    reserve,
    sandboxes_of,
    settled,
)
from pycnm.engine.planning import plan_endpoint, plan_network
from pycnm.engine.realising import forward_again, need_instead, need_no_more, needed
from pycnm.engine.records import EndpointRow, NetworkRow
from pycnm.engine.request import NetworkRequest, network_request, several
from pycnm.errors import InUseError, InvalidArgumentError
from pycnm.plan.host import HostFacts
from pycnm.plan.links import PortFlag, Sysctl
from pycnm.plan.operation import Operation, Plan
from pycnm.plan.rules import Entry
from pycnm.plan.running import difference
from pycnm.spec import addresses
from pycnm.spec.objects import NetworkSpec
from pycnm.spec.wording import shown
from pycnm.store.locks import Lock

_ADDRESSING = ("subnet", "gateway", "ip_range", "aux_addresses")
_PLAIN = ("ipv4", "ipv6", "internal", "attachable", "ipam", "ipam_options", "parent", "routes")
_CHANGES = ("driver", *_ADDRESSING, *_PLAIN, "options", "labels")
_SOME_NAME = "network"
# What can be taken away and put back without a packet being lost.
_LIGHT = (Entry, Sysctl, PortFlag)


def configure(engine: Engine, reference: str, changes: Mapping[str, object]) -> None:
    """Change the configuration of a network, as one change.

    Raises:
        InvalidArgumentError: there is no such setting, or a value is malformed.
        NotPermittedError: the network is predefined, and it isn't about IPv6 on the default one.
        InUseError: it has endpoints that would lose their connections.
        PoolOverlapError, PoolExhaustedError, AlreadyExistsError: as for a new network.
        KernelError: the kernel refused; everything is as it was.
    """
    for name in changes:
        if name not in _CHANGES:
            raise InvalidArgumentError(
                f"a network has no setting {shown(name)}; it has {', '.join(_CHANGES)}"
            )
    with engine.reading() as reader:
        number = records.network(reader, reference).number
    while True:
        facts = engine.kernel.facts()
        with engine.reading() as reader:
            rows = records.endpoints_of_network(reader, number, arriving=True)
        boxes = sandboxes_of(rows)
        locks = [Lock.host(exclusive=True), Lock.network(number, exclusive=True)]
        locks += [Lock.sandbox(box) for box in boxes]
        decide = _decider(engine, number, changes, boxes, facts)
        with contextlib.suppress(Joined):
            engine.carry_out("configure network", locks, decide, durable=True)
            return


def _decider(
    engine: Engine,
    number: int,
    changes: Mapping[str, object],
    boxes: set[int],
    facts: HostFacts,
) -> Callable[[Decision], None]:
    def decide(decision: Decision) -> None:
        row = records.network_by_number(decision.tx, number)
        if not _is_ipv6_of_default(row.spec, changes):
            refuse_predefined(row.spec, "configured")
        endpoints = records.endpoints_of_network(decision.tx, number)
        if not sandboxes_of(endpoints) <= boxes:
            raise Joined
        request = _request(engine, row.spec, changes)
        request = _settled(engine, row.spec, request, changes)
        spec = _specify(engine, decision, row, request, endpoints, facts=facts)
        if spec != row.spec:
            _apply(engine, decision, row, NetworkRow(number, spec), endpoints, facts=facts)
            decision.events.append(telling.network("update", spec))

    return decide


def _request(engine: Engine, spec: NetworkSpec, changes: Mapping[str, object]) -> NetworkRequest:
    """What the network would have been made with, had it been made so."""
    chosen = changes.get("driver", spec.driver)
    same = chosen == spec.driver
    wishes: dict[str, Any] = {
        "ipv4": spec.ipv4,
        "ipv6": spec.ipv6,
        "internal": spec.internal and not _has_no_way(engine, spec),
        "attachable": spec.attachable,
        "ipam": spec.ipam,
        "ipam_options": dict(spec.ipam_options),
        "routes": spec.routes,
    }
    wishes |= {name: changes[name] for name in _PLAIN if name in changes}
    wishes |= _addressing(spec, changes, wishes, same=same)
    wishes["labels"] = _merged(dict(spec.labels), changes.get("labels"), "labels")
    # Another driver has other options, and sits on nothing.
    options = dict(spec.options) if same else {}
    if "parent" in changes:
        options.pop("parent", None)
    wishes["options"] = _merged(options, changes.get("options"), "options")
    # It keeps its name, which may be one that nobody could give.
    return network_request(_SOME_NAME, chosen, **wishes)


def _settled(
    engine: Engine, spec: NetworkSpec, request: NetworkRequest, changes: Mapping[str, object]
) -> NetworkRequest:
    """With what depends on the host chosen anew, for another driver or where it is taken back."""
    options = changes.get("options")
    given = options.items() if isinstance(options, Mapping) else ()
    freed = {key for key, value in given if value is None}
    other = request.driver.name != spec.driver
    if not freed and not other:
        return request
    chosen = settled(engine, request)
    keys = chosen.driver.to_options().keys() - request.driver.to_options().keys()
    return chosen if other or keys <= freed else request


def _is_ipv6_of_default(spec: NetworkSpec, changes: Mapping[str, object]) -> bool:
    """Whether nothing is changed but that the default network has IPv6: the host's to say."""
    return spec.driver == Bridge.name and spec.predefined and changes.keys() == {"ipv6"}


def _has_no_way(engine: Engine, spec: NetworkSpec) -> bool:
    """Whether a network would be internal if that weren't asked for: it has no parent."""
    return engine.driver(spec).is_internal(attrs.evolve(spec, internal=False))


def _addressing(
    spec: NetworkSpec, changes: Mapping[str, object], wishes: Mapping[str, Any], *, same: bool
) -> dict[str, object]:
    """Subnets, gateways, ranges and auxiliary addresses, given and kept.

    A new subnet has a new gateway, unless one is given; what isn't mentioned of
    the other family stays as it is.  A gateway that the driver chose goes with it.

    Args:
        same: the driver stays.
    """
    given = [addresses.subnet(item, unspecified=True) for item in several(changes.get("subnet"))]
    # None asks for free ones, as it does for a new network.
    anew = {item.version for item in given} if given or "subnet" not in changes else {4, 6}
    enabled = {4: wishes["ipv4"], 6: wishes["ipv6"]}
    kept = [
        pool
        for pool in spec.pools
        if enabled[pool.version] and (pool.version not in anew or pool.subnet in given)
    ]
    subnets = dict.fromkeys([*given, *(pool.subnet for pool in kept)])
    found: dict[str, object] = {"subnet": [str(subnet) for subnet in subnets]}
    gateways, ranges = several(changes.get("gateway")), several(changes.get("ip_range"))
    aux: dict[Any, Any] = {}
    for pool in kept:
        kept_one = pool.gateway is not None and (same or not pool.automatic)
        if "gateway" not in changes and kept_one:
            gateways.append(str(pool.gateway))
        if "ip_range" not in changes and pool.ip_range is not None:
            ranges.append(str(pool.ip_range))
        if "aux_addresses" not in changes:
            aux |= dict(pool.aux)
    found["gateway"], found["ip_range"] = gateways or None, ranges or None
    found["aux_addresses"] = changes.get("aux_addresses", aux or None)
    return found


def _merged(present: dict[str, str], change: object, what: str) -> dict[Any, Any]:
    """`present` with what is changed in it; None takes a key away."""
    if change is None:
        return dict(present)
    if not isinstance(change, Mapping):
        raise InvalidArgumentError(
            f"invalid {what} {shown(change)}: give a mapping of names to values, "
            "None for what is to go"
        )
    merged: dict[Any, Any] = present | dict(change)
    return {key: value for key, value in merged.items() if value is not None}


def _specify(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    request: NetworkRequest,
    endpoints: Sequence[EndpointRow],
    *,
    facts: HostFacts,
) -> NetworkSpec:
    old = row.spec
    spec, request = adopt(engine, decision.tx, described(old, request), request, before=old)
    wanted = [(p.subnet, p.ip_range, p.gateway, p.aux) for p in request.pools]
    moved = wanted != [(p.subnet, p.ip_range, p.gateway, p.aux) for p in old.pools]
    if spec.driver != old.driver or request.driver.filters(spec):
        refuse_lacking(engine, spec, request.driver)
    rest = attrs.evolve(
        spec,
        options=old.options,
        labels=old.labels,
        attachable=old.attachable,
        routes=old.routes,
    )
    if endpoints and (moved or rest != old):
        raise InUseError(_in_use(old.name, endpoints))
    if moved or (spec.ipam, spec.ipam_options, spec.scope) != (
        old.ipam,
        old.ipam_options,
        old.scope,
    ):
        engine.release_pools(decision.tx, old)
        records.own_subnets(decision.tx, row.number, ())
        ours = {(pool.subnet.first, pool.subnet.last) for pool in old.pools}
        routes = tuple(each for each in facts.routes if (each.first, each.last) not in ours)
        facts = attrs.evolve(facts, routes=routes)
        spec = lease_pools(engine, decision.tx, spec, request, facts)
        owned = spec.pools if request.driver.owns(spec) else ()
        records.own_subnets(decision.tx, row.number, [pool.subnet for pool in owned])
    spec = reserve(engine, decision.tx, spec, request.driver)
    refuse_overlaps(decision.tx, spec, request.driver)
    return spec


def _apply(
    engine: Engine,
    decision: Decision,
    before: NetworkRow,
    after: NetworkRow,
    endpoints: Sequence[EndpointRow],
    *,
    facts: HostFacts,
) -> None:
    had = needed(decision.tx, after.number)
    decision.update(
        NETWORKS,
        after.number,
        spec=after.spec.to_json(),
        driver=after.spec.driver,
        device=engine.driver(after.spec).device(after.spec),
    )
    _refuse_other_ports(engine, decision, after.spec, endpoints)
    plans = {after.spec.id: plan_network(engine, decision, after)}
    for end in endpoints:
        if end.sandbox is not None:
            plans[end.spec.id] = plan_endpoint(engine, decision.tx, after, end)
    if endpoints:
        _refuse_loss(decision, before.spec.name, plans, endpoints)
    needs = engine.driver(after.spec).needs(after.spec)
    if len(plans[after.spec.id]) or needs.parent:
        need_instead(engine, decision, after.number, needs, had, facts=facts)
    else:
        need_no_more(decision, after.number, had)
    if after.spec.adopted is None:
        forward_again(engine, decision, before)
    # All of it is recorded anew, in the order in which it can be done again.
    plans.update(wiring.routes(engine, decision.tx, box) for box in sandboxes_of(endpoints))
    for owner, plan in plans.items():
        decision.drop(owner)
        decision.add(owner, plan)


def _refuse_other_ports(
    engine: Engine, decision: Decision, spec: NetworkSpec, endpoints: Sequence[EndpointRow]
) -> None:
    """Raise if what is published would have to be so in another way, or a VLAN would be none."""
    driver = engine.driver(spec)
    for end in endpoints:
        driver.refuse_vlan(spec, end.spec.vlan)
        for binding in published.bindings(decision.tx, end.number):
            if driver.opens(spec, binding.address.version) == bool(binding.host_port):
                raise InUseError(
                    f"endpoint {end.spec.name} publishes {binding}, which a network that is routed "
                    "does in another way than one that isn't; unpublish it, then change the mode"
                )


def _refuse_loss(
    decision: Decision,
    name: str,
    plans: Mapping[str, Plan],
    endpoints: Sequence[EndpointRow],
) -> None:
    for owner, plan in plans.items():
        undo, _ = difference(_recorded(decision, owner), list(plan))
        if any(not isinstance(operation, _LIGHT) for operation in undo):
            raise InUseError(_in_use(name, endpoints))


def _recorded(decision: Decision, owner: str) -> list[Operation]:
    return [Operation.from_json(body) for _, body in records.operations(decision.tx, owner)]


def _in_use(name: str, endpoints: Sequence[EndpointRow]) -> str:
    return (
        f"{active(name, endpoints)}, and the change would cut them off; "
        "disconnect them first (labels, routes, the MTU and the rules change live)"
    )
