"""Queries that come as datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial

from pycnm.agent.desk import AT_ONCE, Desk
from pycnm.dns.query import UDP_LIMIT

_SIZE = UDP_LIMIT + 1  # what is cut to this is too long


class Datagrams:
    """Answers what comes to a socket, as long as it is open.

    Args:
        holder: the socket; it is closed by whoever opened it, after `close`.
        desk: what answers.
    """

    def __init__(self, holder: socket.socket, desk: Desk) -> None:
        self._holder = holder
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(holder, self._readable)

    def close(self) -> None:
        """Answer no more, not even what is under way."""
        self._loop.remove_reader(self._holder)

    def _readable(self) -> None:
        receive, answer, send = self._holder.recvfrom, self._desk.answer, self._send
        self._desk.look()
        for _ in range(AT_ONCE):
            try:
                data, client = receive(_SIZE)
            except OSError:
                return
            answer(data, "udp", partial(send, client))

    def _send(self, client: tuple[str, int], reply: bytes) -> None:
        # A sandbox that keeps its own packets from itself has no answer, and no more.
        with contextlib.suppress(OSError):
            self._holder.sendto(reply, client)
