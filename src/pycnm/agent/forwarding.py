"""Questions that are passed on, of one sandbox: shared, bounded, to one server after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from pycnm.agent.asking import PATIENCE, Opener, ask
from pycnm.agent.room import Room
from pycnm.dns import upstream
from pycnm.dns.answers import failure
from pycnm.dns.query import NXDOMAIN, REFUSED, SERVFAIL, Query

Transport = Literal["udp", "tcp"]
Reply = Callable[[bytes], None]

IN_FLIGHT = 1024
WAITING = 4096
SERVERS = 3


class Way(NamedTuple):
    """Whom a sandbox may ask.

    Attributes:
        servers: addresses, the preferred one first; None if it may ask nobody.
        opener: makes sockets in the namespace from which they are asked.
    """

    servers: Sequence[str] | None
    opener: Opener


class _Asker(NamedTuple):
    """Who waits for a reply."""

    query: Query
    reply: Reply


class _Later(NamedTuple):
    """A question for which there is no room yet."""

    until: float
    key: object
    transport: Transport
    asker: _Asker


class Forwards:
    """The questions of one sandbox that are under way.

    Those that are the same share one reply, so a server that asks us back what
    we have asked it makes no loop.  Nothing is kept of a reply.

    Args:
        way: says whom the sandbox may ask at the moment.
        room: for sockets.
    """

    def __init__(self, way: Callable[[], Way], room: Room) -> None:
        self._way = way
        self._room = room
        self._flights: dict[object, list[_Asker]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Later] = deque()
        self._askers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def submit(self, query: Query, transport: Transport, reply: Reply) -> None:
        """Pass a question on; `reply` is called with what to send back, at once or later."""
        asker = _Asker(query, reply)
        key = (transport, upstream.identity(query))
        if self._askers >= IN_FLIGHT + WAITING:
            reply(failure(query, REFUSED))
        elif (others := self._flights.get(key)) is not None:
            self._askers += 1
            others.append(asker)
        elif len(self._flights) < IN_FLIGHT:
            self._askers += 1
            self._launch(key, transport, asker)
        else:
            self._askers += 1
            self._waiting.append(_Later(self._loop.time() + PATIENCE, key, transport, asker))
            if self._timer is None:
                self._timer = self._loop.call_later(PATIENCE, self._refuse)

    def close(self) -> None:
        """Ask nobody any more; nobody is answered."""
        for task in self._tasks:
            task.cancel()
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _launch(self, key: object, transport: Transport, asker: _Asker) -> None:
        self._flights[key] = [asker]
        task = self._loop.create_task(self._fly(key, asker.query, transport))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, key: object, query: Query, transport: Transport) -> None:
        code, found = SERVFAIL, None
        try:
            way = self._way()
            if way.servers is None:
                code = NXDOMAIN
            for server in (way.servers or ())[:SERVERS]:
                try:
                    reply = await ask(server, query, transport, way.opener, self._room)
                except OSError:
                    continue
                if upstream.rcode(reply) not in {SERVFAIL, REFUSED}:
                    found = reply
                    break
        finally:
            askers = self._flights.pop(key)
            self._askers -= len(askers)
            self._next()
        for asker in askers:
            asker.reply(
                failure(asker.query, code)
                if found is None
                else upstream.verbatim(found, asker.query)
            )

    def _next(self) -> None:
        """Begin with what has waited, as far as there is room for it."""
        while self._waiting and len(self._flights) < IN_FLIGHT:
            later = self._waiting.popleft()
            if (others := self._flights.get(later.key)) is not None:
                others.append(later.asker)
            else:
                self._launch(later.key, later.transport, later.asker)

    def _refuse(self) -> None:
        """Refuse what has waited too long."""
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0].until <= now:
            query, reply = self._waiting.popleft().asker
            self._askers -= 1
            reply(failure(query, REFUSED))
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0].until, self._refuse)
