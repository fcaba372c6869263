"""What was damaged in the record put right, as far as what is sound allows."""

from __future__ import annotations

from netaddr import IPAddress, IPNetwork

from pycnm.engine import quarantine, records, wiring
from pycnm.engine.decision import Decision
from pycnm.engine.engine import Engine
from pycnm.engine.planning import plan_endpoint, plan_network
from pycnm.engine.realising import drop_unneeded, host_plan, is_shared, unrecorded
from pycnm.engine.sandboxes import plan_sandbox
from pycnm.ipam.ledger import Ledger
from pycnm.plan.links import Address
from pycnm.plan.operation import Operation, Plan
from pycnm.store.database import Transaction
from pycnm.store.locks import Lock


def mend(engine: Engine) -> list[str]:
    """Clear away what is left of damaged objects, and plan anew whose plans were damaged.

    Returns:
        What was damaged, a sentence each.

    Raises:
        CleanupError: some of it could not be cleared away.
    """
    quarantine.sweep(engine.db)
    with engine.reading() as reader:
        told = quarantine.told(reader)
        locks = [
            *(Lock.network(row.number, exclusive=True) for row in records.networks(reader)),
            *(Lock.sandbox(row.number) for row in records.sandboxes(reader)),
            Lock.host(exclusive=True),
        ]

    def decide(decision: Decision) -> None:
        _release(engine, decision.tx)
        for owner in quarantine.lost(decision.tx):
            decision.drop(owner)
        sound = {box.number for box in records.sandboxes(decision.tx)}
        for _, _, sandbox in quarantine.endpoints(decision.tx):
            if sandbox is not None and sandbox in sound:
                wiring.rewire(engine, decision, sandbox)
        for owner in quarantine.incomplete(decision.tx):
            _plan_again(engine, decision, owner)
        drop_unneeded(decision)
        quarantine.forget(decision.tx)

    if told:
        engine.carry_out("mend", locks, decide, forward=True, durable=True)
    return told


def _release(engine: Engine, tx: Transaction) -> None:
    """Give back addresses and pools of what was set aside, as far as they can be told."""
    networks = {row.number: row.spec for row in records.networks(tx)}
    ipam, ledger = engine.ipam("default", tx), Ledger(tx)
    for endpoint, number, _ in quarantine.endpoints(tx):
        spec = networks.get(number)
        used = {
            address.ip
            for row in records.endpoints_of_network(tx, number)
            for address in row.spec.addresses
        }
        for address in _addresses(tx, endpoint) - used:
            pool = None if spec is None else spec.pool_of(address)
            theirs = pool is not None and not pool.sets_aside(address)
            if pool is not None and theirs and spec is not None and spec.ipam == "default":
                ipam.release_address(pool.pool_id, address)
    known = {pool.pool_id for spec in networks.values() for pool in spec.pools}
    for pool_id in ledger.pool_ids():
        if pool_id not in known:
            ipam.release_pool(pool_id)


def _addresses(tx: Transaction, endpoint: str) -> set[IPAddress]:
    """The addresses that an endpoint has inside, as its plan says."""
    operations = [Operation.from_json(body) for _, body in records.operations(tx, endpoint)]
    return {IPNetwork(each.address).ip for each in operations if isinstance(each, Address)}


def _plan_again(engine: Engine, decision: Decision, owner: str) -> None:
    """Have the difference between what is recorded for an owner and its plan applied."""
    if is_shared(owner):
        plan = host_plan(engine, decision.tx, owner, engine.kernel.facts())
        decision.add(owner, unrecorded(decision, owner, plan))
    elif (number := wiring.sandbox_of(owner)) is not None:
        plans = wiring.plan(engine, decision.tx, number)
        decision.replace(*(plans.routes if owner == plans.routes[0] else plans.names))
    else:
        decision.replace(owner, _plan(engine, decision, owner))


def _plan(engine: Engine, decision: Decision, owner: str) -> Plan:
    """The plan of the network, sandbox or endpoint with that id."""
    tx = decision.tx
    for net in records.networks(tx):
        if net.spec.id == owner:
            return plan_network(engine, decision, net)
        for end in records.endpoints_of_network(tx, net.number):
            if end.spec.id == owner:
                return plan_endpoint(engine, tx, net, end)
    for sandbox in records.sandboxes(tx):
        if sandbox.spec.id == owner:
            return Plan() if sandbox.down else plan_sandbox(sandbox.spec, engine.kernel.features)
    return Plan()
