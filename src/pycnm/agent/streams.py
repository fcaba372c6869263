"""Queries that come over TCP (RFC 7766): a connection that is idle or slow hurts nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from pycnm.agent.desk import Desk
from pycnm.agent.room import Room
from pycnm.dns.query import TCP_LIMIT

MOST = 64
"""Connections of one sandbox; for another one, the one that has been idle for longest goes."""
PATIENCE = 10.0
"""Seconds for a whole query, after the one before; and for the answers to be read."""

_ACCEPTED = 16  # connections, before it is the others' turn
_ASKED = 4  # questions of one connection that are under way
_PREFIX = 2  # bytes of a length
_PIECE = 4096
_UNREAD = 1 << 16  # bytes of answers that a client hasn't read: then no more queries are


class Streams:
    """Answers who connects to a socket.

    Args:
        listener: the socket; it is closed by whoever opened it, after `close`.
        desk: what answers.
        room: for connections, of all sandboxes.
    """

    def __init__(self, listener: socket.socket, desk: Desk, room: Room) -> None:
        self._listener = listener
        self._desk = desk
        self._room = room
        # The one that has been idle for longest comes first.
        self._open: dict[_Stream, None] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._readable)

    def close(self) -> None:
        """Answer no more, and hang up."""
        self._loop.remove_reader(self._listener)
        for stream in list(self._open):
            stream.close()

    def _readable(self) -> None:
        for _ in range(_ACCEPTED):
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if len(self._open) >= MOST:
                next(iter(self._open)).close()
            if not self._room.take():
                client.close()
                continue
            client.setblocking(False)
            stream = _Stream(client, self._desk, self._moved, self._closed)
            self._open[stream] = None

    def _moved(self, stream: _Stream) -> None:
        """It has asked something, and is the one that was idle for the shortest time."""
        self._open[stream] = self._open.pop(stream)

    def _closed(self, stream: _Stream) -> None:
        del self._open[stream]
        self._room.give()


class _Stream:
    """One connection."""

    def __init__(
        self,
        client: socket.socket,
        desk: Desk,
        moved: Callable[[_Stream], None],
        closed: Callable[[_Stream], None],
    ) -> None:
        self._client = client
        self._desk = desk
        self._moved = moved
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._in, self._out = bytearray(), bytearray()
        self._asked = 0
        self._later: asyncio.Handle | None = None
        self._taking = self._reading = self._writing = self._ended = self._over = False
        self._deadline = self._loop.time() + PATIENCE
        self._timer = self._loop.call_at(self._deadline, self._expire)
        self._go_on()

    def close(self) -> None:
        """Hang up, whatever is under way."""
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._client)
        self._loop.remove_writer(self._client)
        self._client.close()
        self._closed(self)

    def _go_on(self) -> None:
        """Read, unless so much is under way already; hang up when nothing is any more."""
        if self._over:
            return
        wanted = not self._ended and self._has_room() and self._later is None
        if wanted and not self._reading:
            self._loop.add_reader(self._client, self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._client)
        self._reading = wanted
        if self._ended and not self._asked and not self._out and self._later is None:
            self.close()

    def _has_room(self) -> bool:
        return self._asked < _ASKED and len(self._out) < _UNREAD

    def _readable(self) -> None:
        try:
            piece = self._client.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        # Who shuts down one direction still reads the other.
        self._ended = not piece
        self._in += piece
        self._desk.look()
        self._take()

    def _take(self) -> None:
        """Answer the whole queries that are there, as far as it is our turn."""
        self._later = None
        self._taking = True
        while self._has_room() and len(self._in) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._in[:_PREFIX])
            if end > _PREFIX + TCP_LIMIT:
                # Nothing that is worth reading follows.
                self.close()
                return
            if len(self._in) < end:
                break
            if not self._desk.may():
                self._later = self._loop.call_soon(self._take)
                break
            message = bytes(self._in[_PREFIX:end])
            del self._in[:end]
            self._deadline = self._loop.time() + PATIENCE
            self._moved(self)
            self._asked += 1
            if not self._desk.answer(message, "tcp", self._reply):
                self.close()
                return
        self._taking = False
        self._write()
        self._go_on()

    def _reply(self, reply: bytes) -> None:
        if self._over:
            return
        self._asked -= 1
        self._out += len(reply).to_bytes(_PREFIX) + reply
        if not self._taking:
            self._go()

    def _go(self) -> None:
        """Send what there is to be sent, and answer what has waited for that."""
        self._write()
        if not self._over and self._later is None:
            self._take()

    def _write(self) -> None:
        if not self._out:
            return
        try:
            sent = self._client.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        if self._out and not self._writing:
            self._loop.add_writer(self._client, self._go)
        elif self._writing and not self._out:
            self._loop.remove_writer(self._client)
        self._writing = bool(self._out)

    def _expire(self) -> None:
        now = self._loop.time()
        if self._asked:
            # Whoever is asked has a time-out of his own.
            self._deadline = max(self._deadline, now + 1.0)
        if now >= self._deadline:
            self.close()
        else:
            self._timer = self._loop.call_at(self._deadline, self._expire)
