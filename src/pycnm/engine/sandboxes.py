"""Sandboxes made, adopted and deleted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from pycnm.engine import published, records, telling, wiring
from pycnm.engine.attaching import retire, with_other_ports
from pycnm.engine.decision import SANDBOXES, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.networks import now
from pycnm.engine.planning import plan_endpoint
from pycnm.engine.realising import Escalate, adjust, use_of
from pycnm.engine.records import EndpointRow, SandboxRow
from pycnm.errors import AlreadyExistsError, InUseError, InvalidArgumentError, NotFoundError
from pycnm.kernel import netns
from pycnm.plan.host import HostFacts
from pycnm.plan.links import Directory, Namespace, Sysctl, Up
from pycnm.plan.operation import Features, Operation, Plan
from pycnm.spec.names import new_id
from pycnm.spec.objects import SandboxSpec
from pycnm.store.locks import Lock

RUN_NETNS = "/run/netns"

# What an interface in a sandbox is born with: no IPv6 until its network has it,
# nothing believed of routers, and its addresses told to the neighbours.
_BORN_WITH = (
    ("net.ipv4.conf.default.arp_notify", "1", False),
    ("net.ipv6.conf.default.disable_ipv6", "1", True),
    ("net.ipv6.conf.default.accept_dad", "0", True),
    ("net.ipv6.conf.default.accept_ra", "0", True),
    ("net.ipv6.conf.default.accept_redirects", "0", True),
    ("net.ipv6.conf.default.autoconf", "0", True),
    ("net.ipv6.conf.default.ndisc_notify", "1", True),
)


def plan_sandbox(spec: SandboxSpec, features: Features) -> Plan:
    """What the kernel holds for a sandbox without endpoints."""
    operations: list[Operation] = [Directory(spec.files)]
    if not spec.adopted:
        operations.append(Namespace(spec.key))
        operations += [
            Sysctl(spec.key, key, value, optional=True)
            for key, value, six in _BORN_WITH
            if features.ipv6 or not six
        ]
        operations.append(Up(spec.key, "lo"))
    return Plan(tuple(operations))


def create(engine: Engine, spec: SandboxSpec, *, own_machine: bool) -> SandboxRow:
    """Make a sandbox, or adopt a namespace as one.

    Args:
        spec: what it is to be; id, key and files are filled in here.
        own_machine: the host is the caller's own namespace, so names under
            /run/netns are the caller's to give; elsewhere several hosts share them.

    Raises:
        InvalidArgumentError: the namespace to adopt is the host's own.
        AlreadyExistsError: the name is taken, or the namespace is a sandbox already.
    """
    _refuse_host(engine, spec)
    identity = new_id()
    key = spec.key
    if not spec.adopted:
        key = f"{RUN_NETNS}/{spec.name}"
        if not own_machine and os.path.lexists(key):
            key = f"{key}.{identity[:12]}"
    files = engine.state_dir / "sandboxes" / identity[:12]
    spec = attrs.evolve(spec, id=identity, key=key, files=str(files), created=now())

    def decide(decision: Decision) -> SandboxRow:
        _refuse_taken(decision.tx, spec)
        number = decision.insert_sandbox(spec)
        decision.add(spec.id, plan_sandbox(spec, engine.kernel.features))
        wiring.rewire(engine, decision, number)
        decision.events.append(telling.sandbox("create", spec))
        return SandboxRow(number, spec)

    return engine.carry_out("create sandbox", [], decide)


def _refuse_host(engine: Engine, spec: SandboxSpec) -> None:
    # Adopted under a name of its own, the host would be wired to itself.
    if spec.key and netns.identity(spec.key) == engine.kernel.host_identity:
        raise InvalidArgumentError(
            f"the namespace {spec.key} is the host's own and can't be adopted; make the sandbox "
            'with netns="host" and connect it to the network host'
        )


def _refuse_taken(reader: sqlite3.Connection, spec: SandboxSpec) -> None:
    if records.taken(reader, "sandboxes", spec.name):
        advice = "choose another name, or use that one"
        if records.sandbox(reader, spec.name).down:
            advice = (
                f"it is down: `cnm sandbox start {spec.name}` makes it again, with its addresses, "
                f"and `cnm sandbox rm {spec.name}` gives them back"
            )
        raise AlreadyExistsError(f"sandbox with name {spec.name} already exists; {advice}")
    row = reader.execute(
        "SELECT name FROM sandboxes WHERE key = ? AND key <> ''", (spec.key,)
    ).fetchone()
    if row:
        raise AlreadyExistsError(f"the namespace {spec.key} is sandbox {row[0]} already; use that")
    if not spec.adopted and netns.is_namespace(spec.key):
        raise AlreadyExistsError(
            f"{spec.key} is taken by a namespace that pycnm didn't make; adopt it with "
            f"netns={spec.name!r}, or choose another name"
        )


def state(engine: Engine, row: SandboxRow) -> str:
    """`up`, or `down` if it has no namespace."""
    if row.down:
        return "down"
    gone = not row.spec.is_host and engine.kernel.check([Namespace(row.spec.key)])
    return "down" if gone else "up"


def start(engine: Engine, reference: str) -> bool:
    """Make a sandbox again that is down, as it was; False if it isn't recorded as down.

    Raises:
        NotFoundError: the namespace that it was made of is gone.
        AlreadyExistsError: somebody else's namespace has its name.
        PortInUseError: a port of the host that leads to it is taken.
        KernelError: the kernel refused; it is down, as before.
    """
    while True:
        with engine.reading() as reader:
            row = records.sandbox(reader, reference)
            networks = _networks(reader, row.number)
        if not row.down:
            return False
        if row.spec.adopted and not row.spec.is_host:
            refuse_gone(row.spec)
            _refuse_host(engine, row.spec)
        elif not row.spec.is_host and netns.is_namespace(row.spec.key):
            raise AlreadyExistsError(
                f"{row.spec.key} is taken by a namespace that pycnm didn't make; remove it, then "
                f"`cnm sandbox start {row.spec.name}`"
            )
        with contextlib.suppress(_Moved):
            with_other_ports((), partial(_start, engine, row.number, networks))
            return True


def refuse_gone(spec: SandboxSpec) -> None:
    """Raise if the namespace that a sandbox was made of isn't there.

    Raises:
        NotFoundError: it isn't, or another one may be in its place.
    """
    if spec.key.startswith("/proc/"):
        raise NotFoundError(
            f"sandbox {spec.name} was made of the namespace of a process, {spec.key}, which is "
            f"gone; `cnm sandbox rm {spec.name}`, and make it of another one"
        )
    if not netns.is_namespace(spec.key):
        raise NotFoundError(
            f"the namespace {spec.key} that sandbox {spec.name} was made of is gone; make it "
            f"again (ip-netns(8)), then `cnm sandbox start {spec.name}`"
        )


def _start(engine: Engine, number: int, networks: set[int], avoid: Sequence[int]) -> None:
    def decide(facts: HostFacts | None, decision: Decision) -> None:
        tx = decision.tx
        box = records.sandbox_by_number(tx, number)
        endpoints = _endpoints_on(decision, number, networks)
        if not box.down:
            # Somebody else has started it meanwhile.
            return
        rows = {net: records.network_by_number(tx, net) for net in networks}
        before = {net: use_of(decision, net) for net in networks}
        decision.update(SANDBOXES, number, down=0)
        for net, row in rows.items():
            adjust(engine, decision, row, before[net], facts)
        decision.add(box.spec.id, plan_sandbox(box.spec, engine.kernel.features))
        plans = wiring.plan(engine, tx, number, avoid=avoid)
        decision.add(*plans.names)
        decision.events.append(telling.sandbox("start", box.spec))
        for end in endpoints:
            decision.add(end.spec.id, plan_endpoint(engine, tx, rows[end.network], end))
            bindings = published.bindings(tx, end.number)
            decision.events += telling.connected(tx, end.spec, end.network, number, bindings)
        decision.add(*plans.routes)

    _attempt(engine, "start sandbox", number, networks, decide)


def delete(engine: Engine, reference: str, *, force: bool = True) -> None:
    """Delete a sandbox with its endpoints.  An adopted namespace stays.

    Raises:
        InUseError: it has endpoints and `force` isn't set.
    """
    while True:
        with engine.reading() as reader:
            number = records.sandbox(reader, reference).number
            networks = _networks(reader, number)
        try:
            _delete(engine, number, networks, force=force)
        except _Moved:
            continue
        return


class _Moved(Exception):  # noqa: N818 - look again
    """The sandbox was connected elsewhere since its networks were looked up."""


def _delete(engine: Engine, number: int, networks: set[int], *, force: bool) -> None:
    def decide(facts: HostFacts | None, decision: Decision) -> None:
        box = records.sandbox_by_number(decision.tx, number)
        endpoints = _endpoints_on(decision, number, networks)
        if endpoints and not force:
            names = ", ".join(row.spec.name for row in endpoints)
            raise InUseError(f"sandbox {box.spec.name} has endpoints ({names}); disconnect them")
        rows = {net: records.network_by_number(decision.tx, net) for net in networks}
        before = {net: use_of(decision, net) for net in networks}
        for endpoint in endpoints:
            retire(decision, endpoint)
        for net, row in rows.items():
            adjust(engine, decision, row, before[net], facts)
        # In the order in which they were made: the namespace, then what is in it.
        decision.drop(box.spec.id)
        for endpoint in endpoints:
            decision.drop(endpoint.spec.id)
        for owner in wiring.owners(number):
            decision.drop(owner)
        decision.leave(SANDBOXES, number)
        decision.events.append(telling.sandbox("destroy", box.spec))

    _attempt(engine, "delete sandbox", number, networks, decide, forward=True)


def _networks(reader: sqlite3.Connection, number: int) -> set[int]:
    """Those that a sandbox is on, or on its way to."""
    rows = records.endpoints_of_sandbox(reader, number, arriving=True)
    return {row.network for row in rows}


def _endpoints_on(decision: Decision, number: int, networks: set[int]) -> list[EndpointRow]:
    """The endpoints of a sandbox, if they are on these networks only; the others aren't locked."""
    endpoints = records.endpoints_of_sandbox(decision.tx, number)
    if not {row.network for row in endpoints} <= networks:
        raise _Moved
    return endpoints


def _attempt(
    engine: Engine,
    verb: str,
    number: int,
    networks: set[int],
    decide: Callable[[HostFacts | None, Decision], None],
    *,
    forward: bool = False,
) -> None:
    """Carry out a change to a sandbox with its endpoints under as few locks as it needs."""
    shared = [Lock.network(net, exclusive=False) for net in networks]
    whole = [Lock.network(net, exclusive=True) for net in networks] + [Lock.host(exclusive=True)]
    facts: HostFacts | None = None
    while True:
        locks = [*(shared if facts is None else whole), Lock.sandbox(number)]
        try:
            engine.carry_out(verb, locks, partial(decide, facts), forward=forward)
        except Escalate:
            facts = engine.kernel.facts()
        else:
            return
