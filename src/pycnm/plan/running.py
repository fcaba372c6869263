"""How plans are run, on whatever kernel: all or nothing, or as much as possible.

A kernel brings a `Work` to each piece of work; the rest is the same for all.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from pycnm.errors import CleanupError
from pycnm.plan.operation import Operation, Plan, Session


class Work(Session, Protocol):
    """A session that may put off what it is asked, and knows what came of it."""

    def finish(self) -> None:
        """Do everything that was put off."""

    def foresee(self, facts: Collection[Operation]) -> None:
        """Be told what will be asked about, with nothing done in between."""

    def untouched(self) -> Collection[Operation]:
        """Facts that were to be made true and weren't by this session.

        They were so already, were refused, or were never tried.  Whose they
        are then is not known, so whoever takes back what the session did
        leaves them alone.
        """


W = TypeVar("W", bound=Work)
T = TypeVar("T")


class Runner(ABC, Generic[W]):
    """Runs plans in sessions of one kind."""

    @abstractmethod
    def within(self, work: Callable[[W], T]) -> T:
        """What `work` returns, given a session that is finished afterwards."""

    def run(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out a change: undo some operations, then do others; all or nothing.

        Args:
            undo: in the order in which they were done; undone in reverse, less
                what the kernel takes along by itself, and what `do` amends.
            do: in the order of doing, less what was so before.

        Raises:
            CNMError: an operation was refused; what had been done was undone and
                what had been undone was done again, as far as the kernel let us.
        """
        begun: list[Operation] = []
        sessions: list[W] = []

        def carry_out(session: W) -> None:
            sessions.append(session)
            _perform(session, undo, do, begun)

        try:
            self.within(carry_out)
        except BaseException as error:
            untouched = {fact for session in sessions for fact in session.untouched()}
            done = [operation for operation in begun if operation not in untouched]
            failures = self.within(lambda session: _attempt(session, done, undo))
            for failure in failures:
                error.add_note(f"while undoing: {failure}")
            raise

    def attempt(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out as much of a change as possible, in the face of errors.

        Args:
            undo, do: as of `run`.

        Raises:
            CleanupError: some of it failed; the rest was done.
        """
        failures = self.within(lambda session: _attempt(session, undo, do))
        if failures:
            raise CleanupError(
                "part of it could not be undone; `cnm reconcile` tries again", failures
            )

    def restore(self, operations: Sequence[Operation]) -> None:
        """Make operations true again that were so once; as much as possible.

        Raises:
            CleanupError: some of it failed; the rest was done.
        """
        self.attempt((), operations)

    def check(self, operations: Iterable[Operation]) -> list[tuple[Operation, str]]:
        """Every operation that the kernel differs from, and how, in words."""
        known = tuple(operations)

        def look(session: W) -> list[tuple[Operation, str]]:
            found = []
            session.foresee(known)
            for operation in known:
                try:
                    words = operation.check(session)
                except Exception as error:  # noqa: BLE001 - a damaged record may say anything
                    words = f"it can't be said whether {operation!r} is so: {error}"
                if words is not None:
                    found.append((operation, words))
            return found

        return self.within(look)


def difference(
    undo: Sequence[Operation], do: Sequence[Operation]
) -> tuple[Sequence[Operation], Sequence[Operation]]:
    """What of a change has to be undone, and what to be done.

    Neither what is on both sides, nor undone what the other side amends: a link
    that gets another MTU stays.  What the kernel takes along with something that
    is undone is done again, though it is on both sides.
    """
    if not undo or not do:
        return undo, do
    same = {*undo} & {*do}
    amended = {operation.subject() for operation in do} - {None}
    gone = [each for each in undo if each not in same and each.subject() not in amended]
    return gone, [
        each
        for each in do
        if each not in same
        or any(each.is_lost_with(other) or each.goes_with(other) for other in gone)
    ]


def _perform(
    session: Work, undo: Sequence[Operation], do: Sequence[Operation], begun: list[Operation]
) -> None:
    undo, do = difference(undo, do)
    for operation in Plan(tuple(undo)).undoing():
        operation.undo(session)
    for operation in do:
        begun.append(operation)
        operation.do(session)


def _attempt(session: Work, undo: Sequence[Operation], do: Sequence[Operation]) -> list[Exception]:
    """Every step by itself where a batch was refused, so that one failure spoils only itself."""
    try:
        _perform(session, undo, do, [])
        session.finish()
    except Exception:  # noqa: BLE001, S110 - what it was will show below
        pass
    else:
        return []
    failures: list[Exception] = []
    undo, do = difference(undo, do)
    for operation in Plan(tuple(undo)).undoing():
        _try(session, operation.undo, failures)
    missing: set[Hashable] = set()
    for operation in do:
        # What belongs to something that could not be made is not put on
        # whatever stands in its place.
        if not missing.isdisjoint(operation.within()) or not _try(session, operation.do, failures):
            missing |= {*operation.keeps()}
    return failures


def _try(session: Work, step: Callable[[Session], None], failures: list[Exception]) -> bool:
    """Whether a step could be taken; why not goes to `failures`."""
    try:
        step(session)
        session.finish()
    except Exception as error:  # noqa: BLE001 - in the face of any error, damaged records too
        if getattr(error, "errno", None) != errno.ENOENT:
            failures.append(error)
        return False
    return True
