"""Queries that come as datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial

from pycnm.agent.desk import Desk
from pycnm.dns.query import UDP_LIMIT


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
        desk = self._desk
        desk.look()
        while desk.may():
            try:
                data, client = self._holder.recvfrom(UDP_LIMIT + 1)
            except OSError:
                return
            desk.answer(data, "udp", partial(self._send, client))

    def _send(self, client: tuple[str, int], reply: bytes) -> None:
        # A sandbox that keeps its own packets from itself has no answer, and no more.
        with contextlib.suppress(OSError):
            self._holder.sendto(reply, client)
