"""When a network's own objects, and what it needs of the host, come and go."""

from __future__ import annotations

from pycnm.drivers import hosting
from pycnm.drivers.base import HostNeeds, Use
from pycnm.engine.decision import NETWORKS, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.records import NetworkRow
from pycnm.plan.host import HostFacts
from pycnm.plan.operation import Plan

_OWNERS = ("host:rules", "host:forwarding4", "host:forwarding6")
_LOOPBACK = (
    "SELECT EXISTS (SELECT 1 FROM ports WHERE network = ? AND leaving IS NULL "
    "AND (address = '0.0.0.0' OR address LIKE '127.%'))"
)
_ENDPOINTS = (
    "SELECT EXISTS (SELECT 1 FROM endpoints "
    "WHERE network = ? AND sandbox IS NOT NULL AND leaving IS NULL)"
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
    decision.replace(row.spec.id, plan)
    if not len(plan):
        need_no_more(decision, row.number)


def realise(
    engine: Engine, decision: Decision, row: NetworkRow, use: Use, facts: HostFacts
) -> None:
    """Make a network's own objects, and first what they need of the host."""
    driver = engine.driver(row.spec)
    plan = driver.plan_network(row.spec, use, engine.kernel.features)
    if len(plan):
        _need(engine, decision, row.number, driver.needs(row.spec), facts)
        decision.add(row.spec.id, plan)


def unrealise(decision: Decision, row: NetworkRow) -> None:
    """Undo a network's own objects, and what no other network needs of the host."""
    need_no_more(decision, row.number)
    decision.drop(row.spec.id)


def _bits(needs: HostNeeds) -> int:
    return needs.rules | needs.forward4 << 1 | needs.forward6 << 2


def _need(
    engine: Engine, decision: Decision, number: int, needs: HostNeeds, facts: HostFacts
) -> None:
    bits = _bits(needs)
    plans = (
        hosting.plan_rules(facts, "cnm"),
        hosting.plan_forwarding4(facts),
        hosting.plan_forwarding6(facts, engine.kernel.features),
    )
    for bit, (owner, plan) in enumerate(zip(_OWNERS, plans, strict=True)):
        if not bits >> bit & 1:
            continue
        recorded = decision.tx.execute(
            "SELECT EXISTS (SELECT 1 FROM operations WHERE owner = ? AND leaving IS NULL)",
            (owner,),
        ).fetchone()[0]
        if not (recorded and bit == 0):
            # Interfaces that came since the last network was made are new here.
            decision.add(owner, _unrecorded(decision, owner, plan))
    decision.update(NETWORKS, number, needs=bits)


def _unrecorded(decision: Decision, owner: str, plan: Plan) -> Plan:
    rows = decision.tx.execute(
        "SELECT body FROM operations WHERE owner = ? AND leaving IS NULL", (owner,)
    )
    known = {body for (body,) in rows}
    return Plan(tuple(operation for operation in plan if operation.to_json() not in known))


def need_no_more(decision: Decision, number: int) -> None:
    """Undo what of the host only this network needed."""
    (bits,) = decision.tx.execute(
        "SELECT needs FROM networks WHERE number = ?", (number,)
    ).fetchone()
    for bit, owner in enumerate(_OWNERS):
        (others,) = decision.tx.execute(
            "SELECT EXISTS (SELECT 1 FROM networks WHERE needs & ? AND number <> ? "
            "AND leaving IS NULL)",
            (1 << bit, number),
        ).fetchone()
        if bits >> bit & 1 and not others:
            decision.drop(owner)
    decision.update(NETWORKS, number, needs=0)
