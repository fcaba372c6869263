"""The service that holds published ports, so that no other program gets them.

The packets are none of its business: the rules in the kernel divert them before
they come to a socket, and go on doing so while the agent is dead.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from pycnm.agent.keeping import Keeping
from pycnm.agent.recorded import UnreadableError
from pycnm.agent.service import RefusedError, dispatch
from pycnm.agent.sockets import Port, ports_of
from pycnm.agent.tokens import Held
from pycnm.kernel import netns

_AGAIN = 1.0

_log = logging.getLogger(__name__)


class Ports:
    """Bound sockets, one for each published port.

    Requests, by their `do`:

    - hold `ports`: have all of them, or none.
    - release `ports`: have none of them.
    - list: what is held, or what of `ports` is; and `troubles`: ports that are
      recorded, but were taken by others while no agent lived.  They are taken
      back as soon as they are free.

    Args:
        recorded: reads the ports that should be held.
        keeping: has the sockets from one agent to the next, lest others take a port.
        most: how many sockets there may be.
    """

    name = "ports"

    def __init__(self, recorded: Callable[[], Iterable[Port]], keeping: Keeping, most: int) -> None:
        self._recorded = recorded
        self._keeping = keeping
        self._most = most
        self._held: dict[Port, socket.socket] = {}
        self._troubles: dict[Port, int] = {}
        self._unread = ""
        self._regaining: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what an earlier agent has left, and take back what else is recorded."""
        kept = self._keeping.recall()
        try:
            recorded = list(self._recorded())
        except UnreadableError as error:
            _log.warning("%s", error)
            self._unread = str(error)
            # What is held goes on being held, once it can be read again.
            own = [Held._make(token) for token, each in kept.items() if len(each) == 1]
            recorded = [Port(held.protocol, held.address, held.number) for held in own]
        taken: list[Held] = []
        for port in recorded:
            token = _token(port)
            try:
                if found := kept.pop(token, None):
                    taken.append(token)
                    self._held[port] = found[0]
                else:
                    self._held[port] = self._open(port)
            except OSError as error:
                _log.warning("%s can't be held: %s", port, error.strerror)
                self._troubles[port] = error.errno or errno.EIO
        if taken:
            # What is released is to be free at once.
            self._keeping.drop(taken)
            self._keeping.settle()
        if self._troubles:
            self._regaining = asyncio.create_task(self._regain())

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Hold, release or list ports."""
        work = {"hold": self._hold, "release": self._release, "list": self._list}
        return dispatch(work, request)

    def busy(self) -> bool:
        """Whether a port is held, or should be."""
        return bool(self._held or self._troubles)

    async def rest(self) -> None:
        """Regain no more ports."""
        if self._regaining is not None:
            self._regaining.cancel()

    async def close(self) -> None:
        """Let go of every port; another agent may go on with them."""
        if self._held:
            self._keeping.leave({_token(port): [holder] for port, holder in self._held.items()})
        for holder in self._held.values():
            holder.close()
        self._held.clear()

    def _hold(self, request: dict[str, Any]) -> dict[str, Any]:
        fresh: dict[Port, socket.socket] = {}
        for port in ports_of(request):
            if port in self._held or port in fresh:
                continue
            try:
                fresh[port] = self._open(port, len(fresh))
            except OSError as error:
                for holder in fresh.values():
                    holder.close()
                code = error.errno or errno.EIO
                raise RefusedError(code, os.strerror(code), port=port) from error
        self._held |= fresh
        for port in fresh:
            self._troubles.pop(port, None)
            _log.info("%s is held", port)
        return {}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        for port in ports_of(request):
            self._troubles.pop(port, None)
            holder = self._held.pop(port, None)
            if holder is not None:
                holder.close()
                _log.info("%s is released", port)
        return {}

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        asked = ports_of(request) if "ports" in request else None
        answer: dict[str, Any] = {
            "ports": list(self._held) if asked is None else [p for p in asked if p in self._held],
            "troubles": [
                [*port, code]
                for port, code in self._troubles.items()
                if asked is None or port in asked
            ],
        }
        return answer | ({"unread": self._unread} if self._unread else {})

    def _open(self, port: Port, besides: int = 0) -> socket.socket:
        if len(self._held) + besides >= self._most:
            # The rest is for those who want to have ports released.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return port.hold()

    async def _regain(self) -> None:
        """Take troubled ports as soon as they are free."""
        while self._troubles:
            await asyncio.sleep(_AGAIN)
            for port in list(self._troubles):
                try:
                    self._held[port] = self._open(port)
                except OSError as error:
                    self._troubles[port] = error.errno or errno.EIO
                else:
                    del self._troubles[port]
                    _log.info("%s is held again", port)


def _token(port: Port) -> Held:
    """What the socket of a port is called, on this host."""
    return Held(*port, *(netns.identity("/proc/self/ns/net") or (0, 0)))
