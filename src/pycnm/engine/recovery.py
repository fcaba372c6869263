"""Opening a state directory: the host it belongs to, and a reboot."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from pycnm.engine import journal, published, quarantine, records, telling, wiring
from pycnm.engine.differences import recorded
from pycnm.engine.engine import Engine
from pycnm.engine.realising import OWNERS, adapt_forwarding
from pycnm.engine.records import SandboxRow
from pycnm.errors import CleanupError, InUseError, NotFoundError, StoreError
from pycnm.kernel import netns
from pycnm.plan.names import NetnsFiles
from pycnm.plan.operation import Operation
from pycnm.store.locks import Lock

_INCARNATION = "incarnation"
_HOST = "host"


def incarnation(engine: Engine) -> str:
    """What tells this life of the host from its earlier ones."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    device, inode = engine.kernel.host_identity
    return f"{boot} {device}:{inode} {engine.kernel.cookie()}"


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
    living = None if known is None else _living(engine, known, present)
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


def _living(engine: Engine, known: str, present: str) -> str | None:
    """Where the host that was recorded still runs, if it does and is another."""
    boot, _, rest = known.partition(" ")
    if boot != present.partition(" ")[0]:
        return None
    identity, _, cookie = rest.partition(" ")
    device, _, inode = identity.partition(":")
    if not (device.isdecimal() and inode.isdecimal() and cookie.isdecimal()):
        raise StoreError.damage("the record of the host", f"{known!r} is none")
    path = netns.somewhere((int(device), int(inode)))
    if path is None:
        return None
    # The number of one that is gone is given again, and soon; a cookie never is.
    with contextlib.suppress(NotFoundError):
        return path if engine.kernel.cookie(path) == int(cookie) else None
    return None


def _reboot(engine: Engine) -> list[str]:
    """The host came up anew: networks are made again, sandboxes are down until they are started.

    What they had is kept for them: names, addresses, and among networks of ours ports.
    """
    quarantine.sweep(engine.db)
    with engine.locks.hold([Lock.recovery(), Lock.host(exclusive=True)]):
        # Unlike everything else, what is on a disk is as it was.  It goes first, as long as
        # it is recorded: who dies over it leaves it to the next.
        with engine.reading() as reader:
            links = _links(reader)
        troubles = _cleared(engine, links) and _cleared(engine, links)
        with engine.db.write(durable=True) as tx:
            _settle_all(engine, tx)
            for box in records.sandboxes(tx):
                # One that is the host is there again when the host is.
                if not box.spec.is_host and not box.down:
                    _put_down(tx, box)
            _forget_defaults(tx)
        return [*troubles, *_again(engine)]


def _cleared(engine: Engine, links: Sequence[Operation]) -> list[str]:
    """Remove the files of sandboxes, and the links to them; what couldn't be."""
    files = engine.state_dir / "sandboxes"
    shutil.rmtree(files, ignore_errors=True)
    left = [f"the files of sandboxes in {files} can't be removed"] if files.exists() else []
    return [*left, *_attempt(engine, undo=links)]


def _settle_all(engine: Engine, tx: records.Reader) -> None:
    """Settle every change: nobody lives who was at work, and the kernel is empty."""
    # What was being made goes first: it may be on what was being deleted.
    changes = tx.execute("SELECT id, forward FROM changes ORDER BY forward, id DESC").fetchall()
    for change, forward in changes:
        engine.settle(tx, change, done=bool(forward))


def _put_down(tx: records.Reader, box: SandboxRow) -> None:
    """Record, and publish, that a sandbox went with the host."""
    owners = [box.spec.id, *wiring.owners(box.number)]
    for row in records.endpoints_of_sandbox(tx, box.number):
        owners.append(row.spec.id)
        journal.publish(tx, telling.disconnected(tx, row, published.bindings(tx, row.number)))
    tx.executemany("DELETE FROM operations WHERE owner = ?", [(owner,) for owner in owners])
    tx.execute("UPDATE sandboxes SET down = 1 WHERE number = ?", (box.number,))
    journal.publish(tx, [telling.sandbox("die", box.spec)])


def _forget_defaults(tx: records.Reader) -> None:
    """Forget what of the kernel is there only while somebody uses it."""
    # A default network without endpoints has nothing in the kernel.
    for row in records.networks(tx):
        if row.spec.predefined:
            tx.execute("DELETE FROM operations WHERE owner = ?", (row.spec.id,))
            tx.execute("UPDATE networks SET needs = 0 WHERE number = ?", (row.number,))
    for bit, owner in enumerate(OWNERS):
        (needed,) = tx.execute(
            "SELECT EXISTS (SELECT 1 FROM networks WHERE needs & ?)", (1 << bit,)
        ).fetchone()
        if not needed:
            tx.execute("DELETE FROM operations WHERE owner = ?", (owner,))


def _links(reader: records.Reader) -> list[Operation]:
    """Those that are there, or were being made or removed."""
    rows = reader.execute(
        "SELECT body FROM operations WHERE body LIKE ? ORDER BY number",
        (f'["{NetnsFiles.__name__}",%',),
    )
    return [Operation.from_json(body) for (body,) in rows]


def _again(engine: Engine) -> list[str]:
    with engine.reading() as reader:
        operations = [operation for _, operation in recorded(reader)]
    return _attempt(engine, do=operations)


def _attempt(
    engine: Engine, *, undo: Sequence[Operation] = (), do: Sequence[Operation] = ()
) -> list[str]:
    """Do what can be done; what couldn't be."""
    try:
        engine.kernel.attempt(undo, do)
    except CleanupError as error:
        return [str(part) for part in error.exceptions]
    return []
