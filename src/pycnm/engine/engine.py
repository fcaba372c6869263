"""The engine: the one place where a decision, its record and its effect meet.

Order of every change: locks, one transaction that decides and records it as
pending, the kernel, one transaction that settles it.  What a dead process left
pending is settled by the next one that opens the state directory.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from pycnm.drivers.registry import driver_with, ipam_class
from pycnm.engine import journal, quarantine, records, settling
from pycnm.engine.decision import Decision
from pycnm.errors import CleanupError, CNMError, InUseError
from pycnm.ipam.base import IPAM
from pycnm.ipam.default import DefaultIPAM
from pycnm.ipam.ledger import Ledger
from pycnm.plan.operation import Operation
from pycnm.spec.objects import NetworkSpec
from pycnm.store.database import Database, Transaction
from pycnm.store.locks import Held, Lock, Locks
from pycnm.store.schema import DOWN, TABLES

if TYPE_CHECKING:
    from pycnm.drivers.base import Driver
    from pycnm.engine.kernel import Kernel

T = TypeVar("T")
_DYING, _A_MOMENT = 1.0, 0.001
MIGRATIONS = (Ledger.SCHEMA + TABLES, DOWN)


class Ends(Protocol):
    """What can be ended by another thread than the one that waits with it."""

    def end(self) -> None:
        """Have whoever waits stop waiting."""


class Engine:
    """A state directory and a kernel.

    Args:
        state_dir: where everything is recorded.
        kernel: what plans run on.
        dns: whether names are answered in sandboxes that it connects.

    Attributes:
        watches: what followers wait with, to be ended.
    """

    def __init__(self, state_dir: Path, kernel: Kernel, *, dns: bool = True) -> None:
        self.state_dir = state_dir
        self.kernel = kernel
        self.dns = dns
        self.db = Database(state_dir, MIGRATIONS)
        self.locks = Locks(state_dir)
        self.watches: set[Ends] = set()
        self._ipams: dict[str, IPAM] = {}
        # Changes of this process that could not be settled: the disk was full.
        self._unsettled: set[int] = set()
        self._maker = 0
        self._alive = -1
        self._pid = 0
        self._become()

    def close(self) -> None:
        """Let go of everything held open; what was made stays."""
        if self._pid == os.getpid() and self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        self.db.close()
        for watch in tuple(self.watches):
            watch.end()
        self.kernel.close()

    @property
    def maker(self) -> int:
        """The number under which this process's changes are recorded."""
        if self._pid != os.getpid():
            # After fork(2) the parent's mark of life is shared: take one of our own.
            self._become()
        return self._maker

    def _become(self) -> None:
        with self.db.write() as tx:
            self._maker = int(tx.execute("INSERT INTO makers DEFAULT VALUES").lastrowid or 0)
            tx.execute("DELETE FROM makers WHERE id < ?", (self._maker,))
            self._alive = self.locks.live(self._maker)
        self._pid = os.getpid()
        self._unsettled.clear()

    # Drivers and IPAMs

    def driver(self, network: NetworkSpec) -> Driver:
        """The driver of a network, with its options."""
        return driver_with(network.driver, network.options)

    def ipam(self, name: str, tx: Transaction) -> IPAM:
        """The IPAM of that name, its books in `tx` if they are ours."""
        if name not in self._ipams:
            host_id = records.meta(tx, "host_id") or ""
            cls = ipam_class(name)
            self._ipams[name] = cls(host_id=host_id) if issubclass(cls, DefaultIPAM) else cls()
        return self._ipams[name].over(Ledger(tx))

    # Changes

    def carry_out(
        self,
        verb: str,
        locks: Iterable[Lock],
        decide: Callable[[Decision], T],
        *,
        forward: bool = False,
        durable: bool = False,
    ) -> T:
        """Decide, record, do and settle one change; return what `decide` returned.

        Args:
            verb: what it is, for the record.
            locks: held from the decision to the settlement.
            decide: called in the transaction.
            forward: a change that is finished, not taken back, if it is cut
                short: a deletion.
            durable: the record survives a loss of power.

        Raises:
            CNMError: it could not be; nothing is left of it.
        """
        wanted = list(locks)
        stuck: set[int] = set()
        while True:
            try:
                with self.locks.hold(wanted) as held:
                    if set(self._orphans()) <= stuck:
                        return self._carry_out(verb, held, decide, forward=forward, durable=durable)
                # Somebody died, perhaps over what this change is about.
                self.recover()
                stuck.update(self._orphans())
            except records.Pending as pending:
                # Somebody is at work on it: wait for the end, then look again.
                with self.locks.hold([pending.lock]), self.db.read() as reader:
                    lasts = pending.lasts(reader)
                if lasts:
                    self._take_over(records.Abandoned("object of that name"))
            except records.Abandoned as abandoned:
                self._take_over(abandoned)
            except records.UnreadableError as broken:
                quarantine.set_aside(self.db, broken)

    def _take_over(self, abandoned: records.Abandoned) -> None:
        """Recover from a death, so that what it left can be looked at again.

        Raises:
            InUseError: it can't be recovered from, or nobody died: a process
                that lives could not record what it did.
        """
        before = self.pending()
        troubles = self.recover()
        if troubles or self.pending() == before:
            reason = (
                troubles[0] if troubles else "the process that made it lives, and is in trouble"
            )
            raise InUseError(
                f"the {abandoned} is half-made, and can't be taken back yet: {reason}; "
                "`cnm reconcile` tries again"
            ) from None

    def _carry_out(
        self,
        verb: str,
        held: Held,
        decide: Callable[[Decision], T],
        *,
        forward: bool,
        durable: bool,
    ) -> T:
        # Before the transaction: a child of fork(2) has to write to become one.
        maker = self.maker
        with self.db.write(durable=durable) as tx:
            decision = Decision(tx, _begin(tx, maker, verb, forward=forward), held)
            held.add(Lock.change(decision.change))
            result = decide(decision)
            journal.keep(tx, decision.change, decision.events)
            undo, do = decision.undo, decision.do
            if not undo and not do:
                self.settle(tx, decision.change, done=True, decision=decision)
                return result
        try:
            if forward:
                self.kernel.attempt(undo, do)
            else:
                self.kernel.run(undo, do)
        except BaseException as error:
            if forward:
                self._take_it_back(undo, do, error)
            self._forget(decision.change, error)
            raise
        try:
            with self.db.write() as tx:
                self.settle(tx, decision.change, done=True, decision=decision)
        except BaseException as error:
            self._unsettled.add(decision.change)
            # What is recorded as to be finished will be: it has happened.
            if forward and isinstance(error, CNMError):
                return result
            if not forward:
                self._take_it_back(undo, do, error)
            raise
        return result

    def _forget(self, change: int, error: BaseException) -> None:
        """Settle a change that the kernel refused as if it had never been."""
        try:
            with self.db.write() as tx:
                self.settle(tx, change, done=False)
        except CNMError as trouble:
            self._unsettled.add(change)
            error.add_note(f"and it is still recorded as pending: {trouble}")

    def _take_it_back(
        self, undo: tuple[Operation, ...], do: tuple[Operation, ...], error: BaseException
    ) -> None:
        """Make the kernel as it was: it did part of it, or it can't be recorded (a full disk).

        Where the record stays pending, the next change settles it, whoever makes it.
        """
        try:
            self.kernel.attempt(do, undo)
        except CNMError as trouble:
            error.add_note(f"and the kernel could not be made as it was: {trouble}")

    def settle(
        self, tx: Transaction, change: int, *, done: bool, decision: Decision | None = None
    ) -> None:
        """Make what was pending final: done, or as if it had never been.

        Args:
            decision: the change as it was decided, for who still knows it.
        """
        settling.settle(self.ipam, tx, change, done=done, decision=decision)

    def release_pools(self, tx: Transaction, network: NetworkSpec) -> None:
        """Give a network's pools back to IPAM; already given back is fine."""
        settling.release_pools(self.ipam, tx, network)

    # What a death, or a full disk, left behind

    def pending(self) -> set[int]:
        """The numbers of all changes that aren't settled."""
        with self.db.read() as reader:
            return {change for (change,) in reader.execute("SELECT id FROM changes")}

    def recover(self) -> list[str]:
        """Settle what was left pending; return what could not be, in words.

        What was being made is unmade; what was being deleted is deleted.
        """
        if not self._orphans():
            return []
        troubles = []
        with self.locks.hold([Lock.recovery()]):
            for change in self._orphans():
                try:
                    self._take_back(change)
                except CNMError as error:
                    reasons = error.exceptions if isinstance(error, CleanupError) else (error,)
                    why = "; ".join(map(str, reasons))
                    troubles.append(f"change {change} is still pending: {why}")
        return troubles

    def _orphans(self) -> list[int]:
        """Pending changes that nobody is at work on, in the order to settle them.

        The newest first, but what was being made before what was being deleted:
        it may be on it.
        """
        with self.db.read() as reader:
            left = {change for change, maker in _pending(reader) if self._is_left(change, maker)}
            # It may have been settled just before its maker died.
            return [change for change, _ in _pending(reader) if change in left] if left else []

    def _is_left(self, change: int, maker: int) -> bool:
        """Whether nobody is at work on a pending change.

        The kernel lets go of a dead process's files one by one, in no order.  So
        a maker that seems to live and holds no lock for its change any more is
        waited for: it is dying, or could not record what it did (a full disk).
        """
        if change in self._unsettled:
            return True
        if maker == self._maker:
            return False
        end = time.monotonic() + _DYING
        while self.locks.is_alive(maker):
            if self.locks.is_under_way(change) or time.monotonic() > end:
                return False
            if change not in self.pending():
                return False
            time.sleep(_A_MOMENT)
        return True

    def _take_back(self, change: int) -> None:
        with self.db.read() as reader:
            (forward,) = reader.execute(
                "SELECT forward FROM changes WHERE id = ?", (change,)
            ).fetchone()
            arriving = _recorded(reader, "arriving", change)
            leaving = _recorded(reader, "leaving", change)
        if forward:
            self.kernel.attempt(leaving, arriving)
        else:
            self.kernel.attempt(arriving, leaving)
        with self.db.write() as tx:
            self.settle(tx, change, done=bool(forward))
        self._unsettled.discard(change)

    # Reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A reader of the store."""
        with self.db.read() as reader:
            yield reader


def _pending(reader: sqlite3.Connection) -> list[tuple[int, int]]:
    """Every pending change with its maker, in the order to settle them."""
    return reader.execute("SELECT id, maker FROM changes ORDER BY forward, id DESC").fetchall()


def _begin(tx: Transaction, maker: int, verb: str, *, forward: bool) -> int:
    """Record a change as pending; its number."""
    cursor = tx.execute(
        "INSERT INTO changes (maker, verb, forward) VALUES (?, ?, ?)",
        (maker, verb, int(forward)),
    )
    return int(cursor.lastrowid or 0)


def _recorded(reader: sqlite3.Connection, column: str, change: int) -> list[Operation]:
    rows = reader.execute(
        f"SELECT body FROM operations WHERE {column} = ? ORDER BY number",  # noqa: S608
        (change,),
    )
    return [Operation.from_json(body) for (body,) in rows]
