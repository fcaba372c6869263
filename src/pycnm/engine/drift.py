"""Drift: how the kernel differs from what is recorded, and how it is put back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection

from pycnm.engine import quarantine, records, wiring
from pycnm.engine.differences import Differences, differing, recorded
from pycnm.engine.engine import Engine
from pycnm.engine.mending import mend
from pycnm.engine.realising import (
    OWNERS,
    PARENT,
    adapt_forwarding,
    needed,
    overtaken,
)
from pycnm.engine.records import NetworkRow, Reader, SandboxRow
from pycnm.engine.restoring import put_back
from pycnm.plan.links import Address, Directory, Namespace
from pycnm.plan.operation import HOST
from pycnm.plan.rules import Entry, Guard, Skeleton
from pycnm.plan.shaping import Policer
from pycnm.plan.suspicion import Suspicion

_FORWARDING = 0b110  # the bits of HostNeeds for either family
_IN_RULES, _IN_FILES = (Skeleton, Entry), (Namespace, Directory)

# Whose plans an object is made of


def of_network(reader: Reader, row: NetworkRow) -> list[str]:
    """A network's own, and what it needs of the host."""
    return [*needed(reader, row.number), row.spec.id]


def parents(reader: Reader, row: NetworkRow) -> list[str]:
    """What a network sits on."""
    return [owner for owner in needed(reader, row.number) if owner.startswith(PARENT)]


def of_sandbox(row: SandboxRow) -> list[str]:
    """A sandbox's own, its names, and its default routes."""
    return [row.spec.id, *wiring.owners(row.number)]


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


# Seen


def check(engine: Engine, owners: Collection[str] | None = None) -> list[str]:
    """How the kernel differs from what is recorded, a sentence each.

    Args:
        owners: whose plans are looked at.  By default all are, and what of the
            record is damaged, or of the host in the way, is told as well.
    """
    whole = owners is None
    with _read(engine, whole=whole), engine.reading() as reader:
        told = [*quarantine.told(reader), *overtaken(engine, reader)] if whole else []
        # Plans may have something in common, which is said once.
        operations = [*dict.fromkeys(operation for _, operation in recorded(reader, owners))]
        if whole:
            addresses = [
                each for each in operations if isinstance(each, Address) and each.ns == HOST
            ]
            told += engine.kernel.obstacles(_forwarding(reader), addresses)
    return [*told, *(words for _, words in engine.kernel.check(operations))]


def _read(engine: Engine, *, whole: bool) -> contextlib.AbstractContextManager[None]:
    """What is whole is read first, less what is damaged of it."""
    return quarantine.swept(engine.db) if whole else contextlib.nullcontext()


def _forwarding(reader: Reader) -> list[str]:
    """The devices of networks that packets are forwarded for."""
    rows = reader.execute(
        "SELECT device FROM networks WHERE needs & ? AND device <> '' AND leaving IS NULL",
        (_FORWARDING,),
    )
    return [device for (device,) in rows]


# Put back


def reconcile(
    engine: Engine, owners: Collection[str] | None = None, seen: Differences | None = None
) -> list[str]:
    """Put back what somebody removed; what was done, as a person would type it.

    Args:
        owners: whose plans; by default everybody's, and what is damaged is
            mended, and forwarding fitted to what became of the host.
        seen: how the kernel differs from all plans, where that is known.

    Raises:
        CleanupError: some of it could not be put back.
    """
    whole = owners is None
    with _read(engine, whole=whole):
        troubles = [*(mend(engine) if whole else ()), *engine.recover()]
        done = [str(each) for each in put_back(engine, owners, None if troubles else seen)]
        # What it needs is there only now; what it changes may be in the way of ours.
        if whole and adapt_forwarding(engine):
            done += [str(operation) for operation in put_back(engine)]
    return [*troubles, *done]


def look(engine: Engine, suspicion: Suspicion) -> Differences:
    """How the kernel differs from what is recorded, where it may."""
    if suspicion.everything:
        return differing(engine)
    with engine.reading() as reader:
        owners, guarded = _suspects(reader, suspicion), _guarded(reader, suspicion)
    found = differing(engine, owners) if owners else {}
    if guarded - owners:
        found |= differing(engine, guarded - owners, (Guard, Policer))
    for wanted, kinds in ((suspicion.rules, _IN_RULES), (suspicion.pins, _IN_FILES)):
        if wanted:
            for owner, words in differing(engine, kinds=kinds).items():
                found[owner] = found.get(owner, {}) | words
    return found


def _guarded(reader: Reader, suspicion: Suspicion) -> set[str]:
    """Endpoints of which nothing but the guard may have been touched."""
    rows = reader.execute(
        "SELECT id FROM endpoints WHERE host_interface IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(suspicion.ports)),),
    )
    return {identity for (identity,) in rows}


def _suspects(reader: Reader, suspicion: Suspicion) -> set[str]:
    owners = {*OWNERS} if suspicion.host else set()
    owners |= {f"{PARENT}{name}" for name in suspicion.links}
    # A bridge of others bears no mark.
    rows = reader.execute(
        "SELECT id FROM networks WHERE device IN (SELECT value FROM json_each(?)) "
        "AND NOT needs & ?",
        (json.dumps(sorted(suspicion.links)), records.SITS),
    )
    owners |= {identity for (identity,) in rows}
    for table in ("networks", "endpoints"):
        for mark in suspicion.marks:
            owners |= {
                identity
                for (identity,) in reader.execute(
                    f"SELECT id FROM {table} WHERE id >= ? AND id < ?",  # noqa: S608
                    (mark, mark + "g"),
                )
            }
    # The host's own interface on a network has a route to each endpoint.
    rows = reader.execute(
        "SELECT e.id FROM endpoints e JOIN networks n ON n.number = e.network "
        "WHERE n.needs & ? AND n.id IN (SELECT value FROM json_each(?))",
        (records.SITS, json.dumps(sorted(owners))),
    )
    owners |= {identity for (identity,) in rows}
    rows = reader.execute(
        "SELECT s.id, s.number FROM sandboxes s JOIN endpoints e ON e.sandbox = s.number "
        "WHERE e.id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(owners)),),
    )
    for identity, number in rows:
        owners |= {identity, *wiring.owners(number)}
    return owners


def with_what_is_in_it(engine: Engine, differences: Differences) -> Differences:
    """What differs, and with each sandbox in it its endpoints, its names and its routes."""
    found = {**differences}
    with engine.reading() as reader:
        rows = reader.execute(
            "SELECT s.number, e.id FROM sandboxes s LEFT JOIN endpoints e ON e.sandbox = s.number "
            "WHERE s.id IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(differences)),),
        )
        for number, endpoint in rows:
            for owner in (*wiring.owners(number), *([] if endpoint is None else [endpoint])):
                found.setdefault(owner, {})
    return found
