"""Queries that come as datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from functools import partial

from pycnm.agent.desk import AT_ONCE, Books, Desk
from pycnm.dns.query import UDP_LIMIT

_SOCKETS = 16
_SIZE = UDP_LIMIT + 1  # what is cut to this is too long


class Datagrams:
    """Answers what comes to sockets, as long as they are open.

    What has come to several of them is read first.  Then it is looked once what is
    recorded, and after that all of it is answered: a name is known to whoever asks when
    the change that brings it is done.

    Args:
        books: what is recorded.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._desks: dict[int, tuple[socket.socket, Desk]] = {}
        # The kernel gives each of those that have something its turn.
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._readable)

    def begin(self, holder: socket.socket, desk: Desk) -> None:
        """Answer what comes to a socket; it is closed by whoever opened it, after `end`."""
        self._desks[holder.fileno()] = holder, desk
        self._epoll.register(holder, select.EPOLLIN)

    def end(self, holder: socket.socket) -> None:
        """Answer no more what comes to a socket."""
        del self._desks[holder.fileno()]
        self._epoll.unregister(holder)

    def close(self) -> None:
        """Answer nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _readable(self) -> None:
        turns = []
        for number, _ in self._epoll.poll(0, _SOCKETS):
            holder, desk = self._desks[number]
            turns.append((holder, desk, _received(holder)))
        revision = self._books.revision()
        for holder, desk, messages in turns:
            desk.look(revision)
            for data, client in messages:
                desk.answer(data, "udp", partial(_send, holder, client))


def _received(holder: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """What has come to a socket, up to a turn of it."""
    receive, messages = holder.recvfrom, []
    with contextlib.suppress(OSError):
        for _ in range(AT_ONCE):
            messages.append(receive(_SIZE))  # noqa: PERF401 - it ends with an error
    return messages


def _send(holder: socket.socket, client: tuple[str, int], reply: bytes) -> None:
    # A sandbox that keeps its own packets from itself has no answer, and no more.
    with contextlib.suppress(OSError):
        holder.sendto(reply, client)
