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
from pycnm.plan.links import Address
from pycnm.plan.operation import HOST, Operation
from pycnm.store.locks import Lock

_FORWARDING = 0b110  # the bits of HostNeeds for either family
_SETTLED = "arriving IS NULL AND leaving IS NULL"

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


def recorded(reader: Reader, owners: Collection[str] | None = None) -> list[Recorded]:
    """The operations that should be true, in the order of doing; by default everybody's."""
    if owners is None:
        rows = reader.execute(
            f"SELECT owner, body FROM operations WHERE {_SETTLED} ORDER BY number"  # noqa: S608
        )
    else:
        rows = reader.execute(
            f"SELECT owner, body FROM operations WHERE {_SETTLED} "  # noqa: S608
            "AND owner IN (SELECT value FROM json_each(?)) ORDER BY number",
            (json.dumps(sorted(set(owners))),),
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
    if owners is None:
        troubles = [*mend(engine), *engine.recover()]
        adapt_forwarding(engine)
    else:
        troubles = engine.recover()
    done = [str(operation) for operation in put_back(engine, owners)]
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
        locks = _locks(engine, whose)
        with engine.locks.hold(locks):
            # What differs because somebody is at work on it doesn't when he is done;
            # and meanwhile it may have gone elsewhere.
            if _locks(engine, whose) <= locks:
                done += _put_back(engine, whose)
    return done


def _differing(engine: Engine, owners: Collection[str] | None) -> set[str]:
    """Those whose plans the kernel differs from."""
    with engine.reading() as reader:
        found = recorded(reader, owners)
    broken = {operation for operation, _ in engine.kernel.check(each for _, each in found)}
    return {owner for owner, operation in found if operation in broken}


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
