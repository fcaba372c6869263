"""What is told to one sandbox: by what is recorded, or else by those who may know more."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from pycnm.agent.forwarding import Forwards, Reply, Transport, Way
from pycnm.agent.room import Room
from pycnm.dns import query as asked
from pycnm.dns.answers import Answers, Forward
from pycnm.dns.query import Malformed
from pycnm.dns.view import View
from pycnm.engine.naming import Naming

UNREADABLE = -1

AT_ONCE = 32
"""So many datagrams of one sandbox, and messages of its streams, are answered in a turn."""

_log = logging.getLogger(__name__)


class Books:
    """What is recorded, and how often that has changed; it may be unreadable at times.

    Args:
        naming: reads it.
    """

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self._revision = 0

    def revision(self) -> int:
        """A number that is another one after every change; `UNREADABLE` if that can't be told."""
        try:
            if self.naming.refresh():
                self._revision += 1
        except sqlite3.Error as error:
            _log.warning("what the database records can't be read: %s", error)
            return UNREADABLE
        return self._revision


class Desk:
    """Answers one sandbox, whichever way its queries come.

    Args:
        books: what is recorded.
        view: reads what the sandbox can see; None if it isn't there.
        way: whom it may ask, given that.
        room: for the sockets of forwards.
    """

    def __init__(
        self,
        books: Books,
        view: Callable[[], View | None],
        way: Callable[[View], Way],
        room: Room,
    ) -> None:
        self._books = books
        self._read = view
        self._way = way
        self._revision = UNREADABLE
        self._view: View | None = None
        self._answers: Answers | None = None
        self._forwards = Forwards(self._whom, room)
        self._loop = asyncio.get_running_loop()
        self._left = AT_ONCE

    def may(self) -> bool:
        """Whether another message of a stream is answered yet; if not, then after the others' turn.

        A sandbox has as many turns as others, however many connections it has.
        """
        if self._left == AT_ONCE:
            self._loop.call_soon(self._renew)
        self._left -= 1
        return self._left >= 0

    def look(self, revision: int | None = None) -> None:
        """See what is recorded now: once before messages are answered that have all come.

        Args:
            revision: of what is recorded, if it was asked for since they have come.
        """
        if revision is None:
            revision = self._books.revision()
        if revision == self._revision != UNREADABLE:
            return
        try:
            view = None if revision == UNREADABLE else self._read()
        except sqlite3.Error as error:
            # What was seen may not be true any more.
            _log.warning("what the database records can't be read: %s", error)
            revision, view = UNREADABLE, None
        if view is not self._view:
            self._view = view
            self._answers = None if view is None else Answers(view)
        self._revision = revision

    def answer(self, data: bytes, transport: Transport, reply: Reply) -> bool:
        """Answer a message: `reply` is called with what to send back, at once or later.

        Returns false if it isn't worth one.
        """
        if self._answers is None:
            found: bytes | Forward | None = _unable(data)
        else:
            try:
                found = self._answers.answer(data, transport)
            except Exception:  # noqa: BLE001 - told of in the log
                # One message's failure isn't the others'.
                _log.exception("a query can't be answered")
                found = _unable(data)
        if found is None:
            return False
        if isinstance(found, bytes):
            reply(found)
        else:
            self._forwards.submit(found.query, transport, reply)
        return True

    def close(self) -> None:
        """Answer no more."""
        self._forwards.close()

    def _renew(self) -> None:
        self._left = AT_ONCE

    def _whom(self) -> Way:
        return self._way(self._view or View(()))


def _unable(data: bytes) -> bytes | None:
    """SERVFAIL, for what may be a query."""
    try:
        query = asked.parse(data, asked.UDP_LIMIT)
    except Malformed as refusal:
        return refusal.answer
    return asked.bare(query.id, query.flags, asked.SERVFAIL)
