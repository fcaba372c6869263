"""Reading the events, and waiting for more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator

from pycnm.engine import journal
from pycnm.engine.engine import Engine
from pycnm.engine.records import Reader
from pycnm.errors import InvalidArgumentError, StoreError
from pycnm.kernel.watching import Watch
from pycnm.plan.operation import HOST
from pycnm.spec.events import Event
from pycnm.spec.moments import LARGEST, moment
from pycnm.spec.wording import shown

_SECOND = 10**9


def events(
    engine: Engine, *, follow: bool, since: object, until: object
) -> Generator[Event, None, None]:
    """What is recorded, the oldest first, and with `follow` what comes.

    Raises:
        InvalidArgumentError: an argument is malformed.
        StoreError: the engine is closed.
    """
    end = None if until is None else moment(until, "until")
    with engine.reading() as reader:
        number = _number(reader, since)
    return _followed(engine, number, end) if follow else _recorded(engine, number, end)


def _number(reader: Reader, since: object) -> int:
    """The number of the event after which to begin."""
    if since is None:
        return 0
    if isinstance(since, Event):
        return since.number
    if isinstance(since, int):
        if isinstance(since, bool) or since < 0:
            raise InvalidArgumentError(
                f"invalid since {shown(since)}: the number of an event is a whole number, 0 or more"
            )
        return min(since, LARGEST)
    return journal.before(reader, moment(since, "since"))


def _recorded(engine: Engine, number: int, end: int | None) -> Generator[Event, None, None]:
    with engine.reading() as reader:
        found = journal.after(reader, number)
    for event in found:
        if end is not None and event.time_ns > end:
            return
        yield event


def _followed(engine: Engine, number: int, end: int | None) -> Generator[Event, None, None]:
    with _watching(engine) as watch:
        while True:
            # Before they are read, so that none is missed of those in time.
            over = end is not None and time.time_ns() > end
            try:
                with engine.reading() as reader:
                    found = journal.after(reader, number)
            except StoreError:
                if engine.db.closed:
                    return
                raise
            for event in found:
                if end is not None and event.time_ns > end:
                    return
                number = event.number
                yield event
            rest = None if end is None else max(0.0, (end - time.time_ns()) / _SECOND)
            if over or not watch.wait(rest):
                return


@contextlib.contextmanager
def _watching(engine: Engine) -> Iterator[Watch]:
    """Says when a transaction is over; ends when the engine is closed.

    Every writer closes the file of turns when its commit can be seen, and the
    kernel does it for one that dies.  What SQLite writes itself is written
    before the commit can be seen.
    """
    watch = Watch(engine.db.turns)
    engine.watches.add(watch)
    try:
        yield watch
    finally:
        engine.watches.discard(watch)
        watch.close()


def kernel_changes(engine: Engine) -> Generator[None, None, None]:
    """Say each time that the kernel tells of a change to anything that networks are made of.

    Raises:
        NotSupportedError: the kernel isn't a real one.
        KernelError: it can't be heard.
    """
    from pycnm.kernel.notices import Notices  # noqa: PLC0415 - few want to hear

    notices = engine.kernel.inside(HOST, Notices)
    ending = _Ending(notices.wake)
    engine.watches.add(ending)
    try:
        while not engine.db.closed:
            if notices.wait():
                yield
    finally:
        engine.watches.discard(ending)
        notices.close()


class _Ending:
    """Has whoever hears the kernel stop."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.end = end
