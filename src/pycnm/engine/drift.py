"""Drift: how the kernel differs from what is recorded, and how it is put back."""

from __future__ import annotations

import json
from collections.abc import Collection

from pycnm.engine import files, quarantine, records
from pycnm.engine.engine import Engine
from pycnm.engine.mending import mend
from pycnm.engine.realising import OWNERS, adapt_forwarding, overtaken
from pycnm.engine.records import NetworkRow, Reader, SandboxRow
from pycnm.errors import CleanupError, CNMError
from pycnm.plan.links import Address, Directory, Namespace
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.rules import Entry, Skeleton
from pycnm.plan.suspicion import Suspicion
from pycnm.store.locks import Lock

_FORWARDING = 0b110  # the bits of HostNeeds for either family
_IN_RULES, _IN_FILES = (Skeleton, Entry), (Namespace, Directory)

Recorded = tuple[str, Operation]
"""An operation that should be true, and whose it is."""


# Whose plans an object is made of


def of_network(reader: Reader, row: NetworkRow) -> list[str]:
    """A network's own, and what it needs of the host."""
    (needs,) = reader.execute(
        "SELECT needs FROM networks WHERE number = ?", (row.number,)
    ).fetchone()
    return [*(owner for bit, owner in enumerate(OWNERS) if needs >> bit & 1), row.spec.id]


def of_sandbox(row: SandboxRow) -> list[str]:
    """A sandbox's own, and its default routes."""
    return [row.spec.id, f"routes:{row.number}"]


def with_endpoints(reader: Reader, row: NetworkRow) -> list[str]:
    """A network's, and those of all sandboxes that are connected to it."""
    owners = of_network(reader, row)
    for endpoint in records.endpoints_of_network(reader, row.number):
        box = None if endpoint.sandbox is None else records.sandbox_row(reader, endpoint.sandbox)
        owners += [*([] if box is None else of_sandbox(box)), endpoint.spec.id]
    return owners


def with_networks(reader: Reader, row: SandboxRow) -> list[str]:
    """A sandbox's, those of its endpoints and of the networks that these are on."""
    owners = of_sandbox(row)
    for endpoint in records.endpoints_of_sandbox(reader, row.number):
        network = NetworkRow(endpoint.network, records.network_spec(reader, endpoint.network))
        owners += [*of_network(reader, network), endpoint.spec.id]
    return owners


def recorded(
    reader: Reader,
    owners: Collection[str] | None = None,
    kinds: Collection[type[Operation]] = (),
) -> list[Recorded]:
    """The operations that should be true, in the order of doing.

    Args:
        owners: whose; by default everybody's.
        kinds: of which kinds; by default of all.
    """
    conditions = ["arriving IS NULL AND leaving IS NULL"]
    values = []
    if owners is not None:
        conditions.append("owner IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(sorted(set(owners))))
    if kinds:
        conditions.append("json_extract(body, '$[0]') IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([kind.__name__ for kind in kinds]))
    rows = reader.execute(
        f"SELECT owner, body FROM operations WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY number",
        values,
    )
    return [(owner, Operation.from_json(body)) for owner, body in rows.fetchall()]


# Seen


def check(engine: Engine, owners: Collection[str] | None = None) -> list[str]:
    """How the kernel differs from what is recorded, a sentence each.

    Args:
        owners: whose plans are looked at.  By default all are, and what of the
            record is damaged, or of the host in the way, is told as well.
    """
    told = []
    if owners is None:
        quarantine.sweep(engine.db)
        with engine.reading() as reader:
            told = quarantine.told(reader)
            told += overtaken(engine, reader)
    with engine.reading() as reader:
        operations = [operation for _, operation in recorded(reader, owners)]
        if owners is None:
            addresses = [
                each for each in operations if isinstance(each, Address) and each.ns == HOST
            ]
            told += engine.kernel.obstacles(_forwarding(reader), addresses)
        told += [f"the file {path} is gone" for path in files.gone(_boxes(reader, owners))]
    return [*told, *(words for _, words in engine.kernel.check(operations))]


def _boxes(reader: Reader, owners: Collection[str] | None) -> list[SandboxRow]:
    found = records.sandboxes(reader)
    return [box for box in found if owners is None or box.spec.id in owners]


def _forwarding(reader: Reader) -> list[str]:
    """The devices of networks that packets are forwarded for."""
    rows = reader.execute(
        "SELECT device FROM networks WHERE needs & ? AND device <> '' AND leaving IS NULL",
        (_FORWARDING,),
    )
    return [device for (device,) in rows]


# Put back


def reconcile(engine: Engine, owners: Collection[str] | None = None, *, peers: bool) -> list[str]:
    """Put back what somebody removed; what was done, as a person would type it.

    Args:
        owners: whose plans; by default everybody's, and what is damaged is
            mended, and forwarding fitted to what became of the host.
        peers: whether sandboxes find each other by their hosts files.

    Raises:
        CleanupError: some of it could not be put back.
    """
    troubles = [*(mend(engine) if owners is None else ()), *engine.recover()]
    done = [str(operation) for operation in put_back(engine, owners)]
    # What it needs is there only now; what it changes may be in the way of ours.
    if owners is None and adapt_forwarding(engine):
        done += [str(operation) for operation in put_back(engine)]
    with engine.reading() as reader:
        for path, box in files.gone(_boxes(reader, owners)).items():
            files.write(reader, box, peers=peers)
            done.append(f"# pycnm writes {path}")
    return [*troubles, *done]


def put_back(engine: Engine, owners: Collection[str] | None = None) -> list[Operation]:
    """Do again what the kernel doesn't hold any more; what was done, in that order.

    Nothing is recorded of it: all of it is what the record says already, so
    that one who dies over it leaves less to do to the next.

    Raises:
        CleanupError: some of it could not be put back.
    """
    done: list[Operation] = []
    while whose := _differing(engine, owners):
        done += restore(engine, whose)
    return done


def restore(engine: Engine, owners: Collection[str]) -> list[Operation]:
    """The same for those that were seen to differ."""
    while True:
        locks = _locks(engine, owners)
        with engine.locks.hold(locks):
            # What differs because somebody is at work on it doesn't when he is done;
            # and meanwhile it may have gone elsewhere.
            if _locks(engine, owners) <= locks:
                return _put_back(engine, owners)


def look(engine: Engine, suspicion: Suspicion) -> dict[str, frozenset[str]]:
    """How the kernel differs from what is recorded, where it may; sentences, by owner."""
    if suspicion.everything:
        return _differing(engine)
    with engine.reading() as reader:
        owners = _suspects(reader, suspicion)
    found = _differing(engine, owners) if owners else {}
    for wanted, kinds in ((suspicion.rules, _IN_RULES), (suspicion.pins, _IN_FILES)):
        if wanted:
            found |= _differing(engine, kinds=kinds)
    return found


def _suspects(reader: Reader, suspicion: Suspicion) -> set[str]:
    owners = {*OWNERS} if suspicion.host else set()
    for table in ("networks", "endpoints"):
        for mark in suspicion.marks:
            owners |= {
                identity
                for (identity,) in reader.execute(
                    f"SELECT id FROM {table} WHERE id >= ? AND id < ?",  # noqa: S608
                    (mark, mark + "g"),
                )
            }
    rows = reader.execute(
        "SELECT id FROM endpoints WHERE host_interface IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(suspicion.ports)),),
    )
    owners |= {identity for (identity,) in rows}
    rows = reader.execute(
        "SELECT s.id, s.number FROM sandboxes s JOIN endpoints e ON e.sandbox = s.number "
        "WHERE e.id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(owners)),),
    )
    for identity, number in rows:
        owners |= {identity, f"routes:{number}"}
    return owners


def with_what_is_in_it(engine: Engine, owners: Collection[str]) -> set[str]:
    """Owners, and with each sandbox among them its endpoints and its routes."""
    found = {*owners}
    with engine.reading() as reader:
        rows = reader.execute(
            "SELECT s.number, e.id FROM sandboxes s LEFT JOIN endpoints e ON e.sandbox = s.number "
            "WHERE s.id IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(owners)),),
        )
        for number, endpoint in rows:
            found |= {f"routes:{number}", *([] if endpoint is None else [endpoint])}
    return found


def _differing(
    engine: Engine,
    owners: Collection[str] | None = None,
    kinds: Collection[type[Operation]] = (),
) -> dict[str, frozenset[str]]:
    """Whose plans the kernel differs from, and how."""
    with engine.reading() as reader:
        found = recorded(reader, owners, kinds)
    words = dict(engine.kernel.check(operation for _, operation in found))
    differing: dict[str, set[str]] = {}
    for owner, operation in found:
        if operation in words:
            differing.setdefault(owner, set()).add(words[operation])
    return {owner: frozenset(each) for owner, each in differing.items()}


def _put_back(engine: Engine, owners: Collection[str]) -> list[Operation]:
    done: dict[Operation, None] = {}
    failures: list[Exception] = []
    before: dict[Operation, str] = {}
    while True:
        with engine.reading() as reader:
            operations = [operation for _, operation in recorded(reader, owners)]
        found = dict(engine.kernel.check(operations))
        if not found:
            return list(done)
        if found == before:
            words = [CNMError(each) for each in found.values()]
            raise CleanupError("part of it could not be put back", failures or words)
        # What hangs on something that is put back went with it, seen or not.
        lost = {name for operation in found for name in operation.keeps()}
        todo = [
            operation
            for operation in operations
            if operation in found or not lost.isdisjoint(operation.within())
        ]
        failures.clear()
        try:
            engine.kernel.restore(todo)
        except CleanupError as error:
            failures += error.exceptions
        done |= dict.fromkeys(todo)
        before = found


def _locks(engine: Engine, owners: Collection[str]) -> set[Lock]:
    """What keeps everybody else from changing these plans.

    An endpoint's don't change while its sandbox is locked, nor those of one who
    changes the whole network.
    """
    listed = (json.dumps(sorted(owners)),)
    among = "IN (SELECT value FROM json_each(?))"
    locks = {Lock.host(exclusive=True)} if not {*OWNERS}.isdisjoint(owners) else set()
    routes = [owner.removeprefix("routes:") for owner in owners if owner.startswith("routes:")]
    boxes = {int(number) for number in routes}
    with engine.reading() as reader:
        rows = reader.execute(f"SELECT number FROM networks WHERE id {among}", listed)  # noqa: S608
        networks = {number: True for (number,) in rows}
        rows = reader.execute(f"SELECT number FROM sandboxes WHERE id {among}", listed)  # noqa: S608
        boxes |= {number for (number,) in rows}
        for network, sandbox in reader.execute(
            f"SELECT network, sandbox FROM endpoints WHERE id {among}",  # noqa: S608
            listed,
        ):
            networks.setdefault(network, False)
            boxes |= {sandbox} - {None}
    locks |= {Lock.network(number, exclusive=whole) for number, whole in networks.items()}
    return locks | {Lock.sandbox(number) for number in boxes}
