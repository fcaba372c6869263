"""When a network's own objects, and what it needs of the host, come and go."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs
from netaddr import IPNetwork

from pycnm.drivers import hosting
from pycnm.drivers.base import HostNeeds, Use
from pycnm.engine import records
from pycnm.engine.decision import NETWORKS, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.records import NetworkRow
from pycnm.ipam.base import ADDRESS_TYPE, GATEWAY
from pycnm.ipam.runs import decode
from pycnm.plan.host import HostFacts, Uplinks
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.objects import Pool
from pycnm.store.locks import Lock

_RULES, _FORWARDING4, _FORWARDING6 = "host:rules", "host:forwarding4", "host:forwarding6"
OWNERS = (_RULES, _FORWARDING4, _FORWARDING6)
FORWARDING = (_FORWARDING4, _FORWARDING6)
"""Whose plans are about interfaces that packets are forwarded from."""
PARENT = "parent:"
"""How the owner of a parent is called; the name of the interface follows."""
_SWITCHES = {_FORWARDING4: hosting.ALL4, _FORWARDING6: hosting.ALL6}
# By sandboxes that are up: the kernel holds nothing for the others.
_LOOPBACK = (
    "SELECT EXISTS (SELECT 1 FROM ports p JOIN endpoints e ON e.number = p.endpoint "
    "JOIN sandboxes s ON s.number = e.sandbox WHERE p.network = ? AND p.leaving IS NULL "
    "AND NOT s.down AND (p.address = '0.0.0.0' OR p.address LIKE '127.%'))"
)
_ENDPOINTS = (
    "SELECT EXISTS (SELECT 1 FROM endpoints e JOIN sandboxes s ON s.number = e.sandbox "
    "WHERE e.network = ? AND e.leaving IS NULL AND NOT s.down)"
)


class Escalate(Exception):  # noqa: N818 - not an error: take wider locks and try again
    """The change touches what others share: exclusive locks, and facts of the host, are needed."""


def use_of(decision: Decision, number: int) -> Use:
    """What a network is used for, as the rows of this transaction have it."""
    (endpoints,) = decision.tx.execute(_ENDPOINTS, (number,)).fetchone()
    (loopback,) = decision.tx.execute(_LOOPBACK, (number,)).fetchone()
    return Use(bool(endpoints), bool(loopback))


def adjust(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    before: Use,
    facts: HostFacts | None,
) -> None:
    """Bring a network's own plan in line with what it is used for now.

    Args:
        before: what it was used for before this decision.
        facts: of the host, with its lock held exclusively; None if they aren't.

    Raises:
        Escalate: something has to change and `facts` is None.
    """
    after = use_of(decision, row.number)
    if after == before:
        return
    driver = engine.driver(row.spec)
    features = engine.kernel.features
    plan = driver.plan_network(row.spec, after, features)
    old = driver.plan_network(row.spec, before, features)
    if plan == old:
        return
    if facts is None:
        raise Escalate
    if len(plan):
        _need(engine, decision, row.number, driver.needs(row.spec), facts)
    else:
        need_no_more(decision, row.number)
    decision.replace(row.spec.id, plan)


def refitted(
    engine: Engine, decision: Decision, row: NetworkRow, facts: HostFacts | None
) -> NetworkRow:
    """A network as its first endpoint finds it.

    The subnet of the default network is chosen when the state directory is
    made, long before anything uses it.  If the host has a route there by now,
    and nobody has an address in it yet, another one is chosen.
    """
    (used,) = decision.tx.execute(
        "SELECT EXISTS (SELECT 1 FROM endpoints WHERE network = ?)", (row.number,)
    ).fetchone()
    if not row.spec.predefined or used or not row.spec.pools:
        return row
    if facts is None:
        raise Escalate
    if not any(facts.overlapping(pool.subnet) for pool in row.spec.pools):
        return row
    ipam = engine.ipam(row.spec.ipam, decision.tx)
    pools = []
    for pool in row.spec.pools:
        lease = ipam.request_pool(
            ipam.default_address_spaces()[0],
            v6=pool.version == 6,  # noqa: PLR2004 - IPv6
            exclude=to_keep_off(decision.tx, facts),
        )
        gateway = ipam.request_address(lease.pool_id, None, {ADDRESS_TYPE: GATEWAY})
        ipam.release_pool(pool.pool_id)
        address = None if gateway is None else gateway.address.ip
        automatic = address is not None
        pools.append(Pool(lease.pool_id, lease.pool, gateway=address, automatic=automatic))
    spec = attrs.evolve(row.spec, pools=pools)
    # Not a part of the change: the choice stands, whatever becomes of the endpoint.
    decision.tx.execute(
        "UPDATE networks SET spec = ? WHERE number = ?", (spec.to_json(), row.number)
    )
    records.own_subnets(decision.tx, row.number, [pool.subnet for pool in pools])
    return NetworkRow(row.number, spec)


def to_keep_off(reader: records.Reader, facts: HostFacts) -> list[IPNetwork]:
    """The host's networks that an automatic subnet must not touch.

    Our own networks have routes as well; IPAM knows them already.
    """
    rows = reader.execute("SELECT first, last FROM subnets WHERE version = 4")
    ours = {(decode(first), decode(last)) for first, last in rows}
    foreign = [route for route in facts.routes if (route.first, route.last) not in ours]
    return [*(route.network() for route in foreign), *facts.nameservers]


def realise(
    engine: Engine, decision: Decision, row: NetworkRow, use: Use, facts: HostFacts
) -> None:
    """Make a network's own objects, and first what they need of the host."""
    driver = engine.driver(row.spec)
    plan = driver.plan_network(row.spec, use, engine.kernel.features)
    needs = driver.needs(row.spec)
    if len(plan) or needs.parent:
        _need(engine, decision, row.number, needs, facts)
    if len(plan):
        decision.add(row.spec.id, plan)


def unrealise(decision: Decision, row: NetworkRow) -> None:
    """Undo a network's own objects, and what no other network needs of the host."""
    need_no_more(decision, row.number)
    decision.drop(row.spec.id)


def _bits(needs: HostNeeds) -> int:
    return needs.rules | needs.forward4 << 1 | needs.forward6 << 2 | needs.parent * records.SITS


def _owners(bits: int, device: str) -> list[str]:
    """Whose plans a network needs, in the order in which they are made."""
    found = [owner for bit, owner in enumerate(OWNERS) if bits >> bit & 1]
    return [*found, f"{PARENT}{device}"] if bits & records.SITS else found


def needed(reader: records.Reader, number: int) -> list[str]:
    """Whose plans a network needs of the host."""
    bits, device = reader.execute(
        "SELECT needs, device FROM networks WHERE number = ?", (number,)
    ).fetchone()
    return _owners(bits, device)


def is_shared(owner: str) -> bool:
    """Whether a plan is what networks share on their host."""
    return owner in OWNERS or owner.startswith(PARENT)


def _need(
    engine: Engine,
    decision: Decision,
    number: int,
    needs: HostNeeds,
    facts: HostFacts,
    *,
    had: Collection[str] | None = None,
) -> None:
    had = needed(decision.tx, number) if had is None else had
    decision.update(NETWORKS, number, needs=_bits(needs))
    for owner in needed(decision.tx, number):
        if owner in FORWARDING:
            _forward_no_more(decision, owner, number)
        if owner not in had and not _is_needed(decision.tx, owner, besides=number):
            decision.add(owner, host_plan(engine, decision.tx, owner, facts))


def _forward_no_more(decision: Decision, owner: str, number: int) -> None:
    """Undo what was done to a bridge of others while no network was on it."""
    if records.network_spec(decision.tx, number).adopted is not None:
        (device,) = decision.tx.execute(
            "SELECT device FROM networks WHERE number = ?", (number,)
        ).fetchone()
        decision.drop_some(owner, hosting.about(_known(decision.tx, owner), device))


def forward_again(engine: Engine, decision: Decision, row: NetworkRow) -> None:
    """Have packets forwarded from a bridge of others as from any interface: no network is on it.

    Args:
        row: the network that was on it, whose needs were changed since.
    """
    found, name = row.spec.adopted, engine.driver(row.spec).device(row.spec)
    if found is None:
        return
    features, now = engine.kernel.features, engine.kernel.uplinks()
    # What it is now is our doing, and about to be undone.
    off4 = found.setting("ipv4/forwarding") == "0"
    off6 = not features.force_forwarding or found.setting("ipv6/force_forwarding") == "0"
    alone = Uplinks(
        names=(name,),
        not_forwarding4=(name,) * off4,
        not_forwarding6=(name,) * off6,
        accepting_ra=(name,) * (found.setting("ipv6/accept_ra") == "1"),
        forwards4=now.forwards4,
        forwards6=now.forwards6,
    )
    for owner in FORWARDING:
        if _is_needed(decision.tx, owner):
            plan = _forwarding(engine, decision.tx, owner, alone)
            decision.add(owner, unrecorded(decision, owner, plan))


def _uplinks(engine: Engine, reader: records.Reader, owner: str) -> Uplinks:
    """Where packets come from that are forwarded: all interfaces but the networks' own.

    Those of others that networks are put on look like any.
    """
    rows = reader.execute(
        "SELECT device FROM networks WHERE needs & ? AND leaving IS NULL",
        (1 << OWNERS.index(owner),),
    )
    return engine.kernel.uplinks().without({device for (device,) in rows})


def host_plan(engine: Engine, reader: records.Reader, owner: str, facts: HostFacts) -> Plan:
    """What the networks of a host share, as it is to be now."""
    if owner == _RULES:
        return hosting.plan_rules(facts, "cnm")
    if owner.startswith(PARENT):
        host_id = records.meta(reader, "host_id") or ""
        kernel, name = engine.kernel, owner.removeprefix(PARENT)
        return hosting.plan_parent(name, host_id, kernel.interface, kernel.has_kind)
    return _forwarding(engine, reader, owner, _uplinks(engine, reader, owner))


def _forwarding(engine: Engine, reader: records.Reader, owner: str, uplinks: Uplinks) -> Plan:
    if owner == _FORWARDING4:
        return hosting.plan_forwarding4(uplinks)
    known = _known(reader, owner)
    return hosting.plan_forwarding6(uplinks, engine.kernel.features, known)


def _is_needed(reader: records.Reader, owner: str, *, besides: int = 0) -> bool:
    """Whether a network needs an owner's plan; one whose number isn't `besides`."""
    # An empty plan leaves no operation: what counts is that somebody needs it.
    if owner.startswith(PARENT):
        bit, device = records.SITS, owner.removeprefix(PARENT)
    else:
        bit, device = 1 << OWNERS.index(owner), None
    (found,) = reader.execute(
        "SELECT EXISTS (SELECT 1 FROM networks WHERE needs & ?1 AND number <> ?2 "
        "AND leaving IS NULL AND (?3 IS NULL OR device = ?3))",
        (bit, besides, device),
    ).fetchone()
    return bool(found)


def adapt_forwarding(engine: Engine) -> bool:
    """Fit forwarding to what became of the host since the first network was made; if it changed.

    Packets are forwarded from interfaces that came, and those that went are
    forgotten.  If somebody made a router of the host, ours to restrict is
    nothing any more.
    """
    facts = engine.kernel.facts()

    def decide(decision: Decision) -> bool:
        for owner in FORWARDING:
            if _is_needed(decision.tx, owner):
                uplinks = _uplinks(engine, decision.tx, owner)
                known = _known(decision.tx, owner)
                old = hosting.overtaken(known, uplinks) + hosting.departed(known, uplinks)
                decision.drop_some(owner, dict.fromkeys(old))
                plan = host_plan(engine, decision.tx, owner, facts)
                decision.add(owner, unrecorded(decision, owner, plan))
        return bool(decision.undo or decision.do)

    return engine.carry_out("adapt forwarding", [Lock.host(exclusive=True)], decide)


def overtaken(engine: Engine, reader: records.Reader) -> list[str]:
    """Where we still restrict a host that somebody has made a router, in sentences."""
    told = []
    uplinks = engine.kernel.uplinks()
    for owner, key in _SWITCHES.items():
        plan = hosting.overtaken(_known(reader, owner), uplinks)
        names = [each.link for each in plan if isinstance(each, Sysctl)]
        if names:
            told.append(
                f"{key} was switched on since networks were made, and what comes from "
                f"{', '.join(names)} is still led to networks of pycnm only; `cnm reconcile` "
                "lets it go everywhere"
            )
    return told


def _known(reader: records.Reader, owner: str) -> list[Operation]:
    return [Operation.from_json(body) for _, body in records.operations(reader, owner)]


def unrecorded(decision: Decision, owner: str, plan: Plan) -> Plan:
    """What of a plan isn't recorded for its owner."""
    rows = decision.tx.execute(
        "SELECT body FROM operations WHERE owner = ? AND leaving IS NULL", (owner,)
    )
    known = {body for (body,) in rows}
    return Plan(tuple(operation for operation in plan if operation.to_json() not in known))


def need_no_more(decision: Decision, number: int, had: Collection[str] | None = None) -> None:
    """Undo what of the host only this network needed.

    Args:
        had: whose plans it needed, if its row was changed since.
    """
    had = needed(decision.tx, number) if had is None else had
    decision.update(NETWORKS, number, needs=0)
    _drop_needless(decision, had)


def need_instead(
    engine: Engine,
    decision: Decision,
    number: int,
    needs: HostNeeds,
    had: Collection[str],
    *,
    facts: HostFacts,
) -> None:
    """Have a network need something else of the host than it did.

    Args:
        had: whose plans it needed, before its row was changed.
    """
    _need(engine, decision, number, needs, facts, had=had)
    _drop_needless(decision, had)


def _drop_needless(decision: Decision, owners: Iterable[str]) -> None:
    """Undo those of some plans that no network needs any more."""
    for owner in owners:
        if not _is_needed(decision.tx, owner):
            decision.drop(owner)


def drop_unneeded(decision: Decision) -> None:
    """Undo what no network needs of the host."""
    rows = decision.tx.execute(
        "SELECT DISTINCT owner FROM operations WHERE owner LIKE ?", (f"{PARENT}%",)
    )
    _drop_needless(decision, (*OWNERS, *[owner for (owner,) in rows]))
