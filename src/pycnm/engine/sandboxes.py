"""Sandboxes made, adopted and deleted."""

from __future__ import annotations

import os
import sqlite3

import attrs

from pycnm.engine import records, telling
from pycnm.engine.attaching import retire
from pycnm.engine.decision import SANDBOXES, Decision
from pycnm.engine.engine import Engine
from pycnm.engine.networks import now
from pycnm.engine.realising import Escalate, adjust, use_of
from pycnm.engine.records import SandboxRow
from pycnm.errors import AlreadyExistsError, InUseError, InvalidArgumentError, NotFoundError
from pycnm.kernel import netns
from pycnm.plan.host import HostFacts
from pycnm.plan.links import Directory, Namespace, Sysctl, Up
from pycnm.plan.operation import HOST, Features, Operation, Plan
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
        decision.events.append(telling.sandbox("create", spec))
        return SandboxRow(number, spec, used=False)

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
        raise AlreadyExistsError(
            f"sandbox with name {spec.name} already exists; choose another name, or use that one"
        )
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


def delete(engine: Engine, reference: str, *, force: bool = True) -> None:
    """Delete a sandbox with its endpoints.  An adopted namespace stays.

    Raises:
        InUseError: it has endpoints and `force` isn't set.
    """
    while True:
        with engine.reading() as reader:
            number = records.sandbox(reader, reference).number
            networks = {row.network for row in records.endpoints_of_sandbox(reader, number)}
        try:
            _delete(engine, number, networks, force=force)
        except _Moved:
            continue
        return


class _Moved(Exception):  # noqa: N818 - look again
    """The sandbox was connected elsewhere since its networks were looked up."""


def _delete(engine: Engine, number: int, networks: set[int], *, force: bool) -> None:
    shared = [Lock.network(net, exclusive=False) for net in networks]
    whole = [Lock.network(net, exclusive=True) for net in networks] + [Lock.host(exclusive=True)]
    facts: HostFacts | None = None

    def decide(decision: Decision) -> None:
        box = records.sandbox_by_number(decision.tx, number)
        endpoints = records.endpoints_of_sandbox(decision.tx, number)
        if not {row.network for row in endpoints} <= networks:
            raise _Moved
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
        decision.drop(f"routes:{number}")
        decision.leave(SANDBOXES, number)
        decision.events.append(telling.sandbox("destroy", box.spec))

    while True:
        locks = [*(shared if facts is None else whole), Lock.sandbox(number)]
        try:
            engine.carry_out("delete sandbox", locks, decide, forward=True)
        except Escalate:
            facts = engine.kernel.facts()
        else:
            return


def mark_used(engine: Engine, sandbox_id: str) -> None:
    """Note that a process was started in it with its own hosts file."""
    with engine.db.write() as tx:
        tx.execute("UPDATE sandboxes SET used = 1 WHERE id = ? AND used = 0", (sandbox_id,))


def namespace_of(engine: Engine, sandbox_id: str) -> str:
    """The path of a sandbox's namespace; `HOST` for the host's own.

    Raises:
        NotFoundError: the sandbox is gone.
    """
    with engine.reading() as reader:
        spec = records.sandbox(reader, sandbox_id).spec
    if not spec.key and not spec.is_host:
        raise NotFoundError(f"sandbox {spec.name} has no namespace; delete it and make it again")
    return spec.key or HOST
