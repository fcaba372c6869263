"""Opening a state directory: the host it belongs to, a reboot, drift and its repair."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from pycnm.engine import journal, quarantine, records, telling
from pycnm.engine.engine import Engine
from pycnm.engine.mending import mend
from pycnm.engine.realising import adapt_forwarding, overtaken
from pycnm.errors import CleanupError, InUseError, StoreError
from pycnm.kernel import netns
from pycnm.plan.operation import Operation
from pycnm.spec.objects import EndpointSpec
from pycnm.store.locks import Lock

_INCARNATION = "incarnation"
_HOST = "host"
_FORWARDING = 0b110  # the bits of HostNeeds for either family
_OURS = ("host:rules", "host:forwarding4", "host:forwarding6")


def incarnation(engine: Engine) -> str:
    """What tells this life of the host from its earlier ones."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    device, inode = engine.kernel.host_identity
    return f"{boot} {device}:{inode}"


def settle_in(engine: Engine, host: str) -> list[str]:
    """Make the record fit the host it is opened on; return what could not be.

    Args:
        host: the path of the host's namespace, where it has one of its own.

    Raises:
        InUseError: the networks recorded live on another host that still exists.
    """
    present = incarnation(engine)
    with engine.reading() as reader:
        known = records.meta(reader, _INCARNATION)
        path = records.meta(reader, _HOST) or ""
    if known == present:
        return engine.recover()
    living = None if known is None else _living(known, present)
    if living is not None:
        raise InUseError(
            f"the state directory {engine.state_dir} belongs to the host at {path or living}; "
            f"open it with host={path or living!r}, or use another directory for this host"
        )
    troubles = []
    if known is not None:
        troubles = _reboot(engine)
        adapt_forwarding(engine)
    with engine.db.write(durable=True) as tx:
        records.set_meta(tx, _INCARNATION, present)
        records.set_meta(tx, _HOST, host)
    return troubles


def _living(known: str, present: str) -> str | None:
    """Where the host that was recorded still runs, if it does and is another."""
    boot, _, identity = known.partition(" ")
    if boot != present.partition(" ")[0]:
        return None
    device, _, inode = identity.partition(":")
    if not (device.isdecimal() and inode.isdecimal()):
        raise StoreError.damage("the record of the host", f"{known!r} is none")
    return netns.somewhere((int(device), int(inode)))


def _reboot(engine: Engine) -> list[str]:
    """The host came up anew: networks are made again, sandboxes are gone.

    Addresses stay with the endpoints' names: the next sandbox that is connected
    under such a name has them again.
    """
    quarantine.sweep(engine.db)
    with engine.locks.hold([Lock.recovery(), Lock.host(exclusive=True)]):
        with engine.db.write(durable=True) as tx:
            _settle_all(engine, tx)
            _tell_the_end(tx)
            tx.execute("DELETE FROM ports")
            rows = tx.execute("SELECT number, id, spec FROM endpoints").fetchall()
            for number, identity, text in rows:
                spec = attrs.evolve(
                    EndpointSpec.from_json(text),
                    sandbox="",
                    interface="",
                    host_interface="",
                    kept=True,
                )
                tx.execute("DELETE FROM operations WHERE owner = ?", (identity,))
                tx.execute(
                    "UPDATE endpoints SET sandbox = NULL, interface = '', host_interface = '', "
                    "spec = ? WHERE number = ?",
                    (spec.to_json(), number),
                )
            for number, identity in tx.execute("SELECT number, id FROM sandboxes").fetchall():
                tx.execute(
                    "DELETE FROM operations WHERE owner IN (?, ?)", (identity, f"routes:{number}")
                )
            tx.execute("DELETE FROM sandboxes")
            _forget_defaults(tx)
        shutil.rmtree(engine.state_dir / "sandboxes", ignore_errors=True)
        return _again(engine)


def _settle_all(engine: Engine, tx: records.Reader) -> None:
    """Settle every change: nobody lives who was at work, and the kernel is empty."""
    # What was being made goes first: it may be on what was being deleted.
    changes = tx.execute("SELECT id, forward FROM changes ORDER BY forward, id DESC").fetchall()
    for change, forward in changes:
        engine.settle(tx, change, done=bool(forward))


def _tell_the_end(tx: records.Reader) -> None:
    """Publish that the sandboxes went with the host."""
    for box in records.sandboxes(tx):
        for row in records.endpoints_of_sandbox(tx, box.number):
            bindings = records.bindings(tx, row.number)
            journal.publish(tx, telling.disconnected(tx, row, bindings))
        journal.publish(tx, [telling.sandbox("destroy", box.spec)])


def _forget_defaults(tx: records.Reader) -> None:
    """Forget what of the kernel is there only while somebody uses it."""
    # A default network without endpoints has nothing in the kernel.
    for row in records.networks(tx):
        if row.spec.predefined:
            tx.execute("DELETE FROM operations WHERE owner = ?", (row.spec.id,))
            tx.execute("UPDATE networks SET needs = 0 WHERE number = ?", (row.number,))
    for bit, owner in enumerate(_OURS):
        (needed,) = tx.execute(
            "SELECT EXISTS (SELECT 1 FROM networks WHERE needs & ?)", (1 << bit,)
        ).fetchone()
        if not needed:
            tx.execute("DELETE FROM operations WHERE owner = ?", (owner,))


def _again(engine: Engine) -> list[str]:
    with engine.reading() as reader:
        operations = [Operation.from_json(body) for _, body in everything(reader)]
    try:
        engine.kernel.attempt((), operations)
    except CleanupError as error:
        return [str(part) for part in error.exceptions]
    return []


def everything(reader: records.Reader) -> list[tuple[str, str]]:
    """Owner and text of every operation that should be true, in the order of doing."""
    rows: list[tuple[str, str]] = reader.execute(
        "SELECT owner, body FROM operations WHERE arriving IS NULL AND leaving IS NULL "
        "ORDER BY number"
    ).fetchall()
    return rows


def check(engine: Engine, owner: str | None = None) -> list[str]:
    """How the kernel differs from what is recorded, a sentence each.

    Without `owner`, all is looked at, and what of the record is damaged is told.
    """
    told = []
    if owner is None:
        quarantine.sweep(engine.db)
        with engine.reading() as reader:
            told = quarantine.told(reader)
            told += engine.kernel.obstacles(_forwarding(reader))
            told += overtaken(engine, reader)
    return [*told, *(words for _, words in _differences(engine, owner))]


def _forwarding(reader: records.Reader) -> list[str]:
    """The devices of networks that packets are forwarded for."""
    rows = reader.execute(
        "SELECT device FROM networks WHERE needs & ? AND device <> '' AND leaving IS NULL",
        (_FORWARDING,),
    )
    return [device for (device,) in rows]


def _differences(engine: Engine, owner: str | None) -> list[tuple[Operation, str]]:
    with engine.reading() as reader:
        recorded = [
            Operation.from_json(body)
            for whose, body in everything(reader)
            if owner in {None, whose}
        ]
    return engine.kernel.check(recorded)


def reconcile(engine: Engine) -> list[str]:
    """Put back what somebody removed; what was done, as a person would type it.

    Raises:
        CleanupError: some of it could not be put back.
    """
    troubles = [*mend(engine), *engine.recover()]
    adapt_forwarding(engine)
    broken = [operation for operation, _ in _differences(engine, None)]
    # What hangs on something that is put back went with it, seen or not.
    with engine.reading() as reader:
        recorded = [Operation.from_json(body) for _, body in everything(reader)]
    gone = set(broken)
    todo = [
        operation
        for operation in recorded
        if operation in gone or any(operation.goes_with(other) for other in broken)
    ]
    engine.kernel.attempt((), todo)
    return [*troubles, *(str(operation) for operation in todo)]
