"""Requests and answers over the socket, and the end when there is nothing left to do.

What comes over the socket is parsed as hostile, though only root may send it:
a line is bounded, and so are the conversations; whatever it is, it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from pycnm.agent.place import QUEUE, Place
from pycnm.agent.service import RefusedError, Service
from pycnm.kernel.agent import DIALECT, namespace, peer

CONVERSATIONS = 128
LONGEST = 1 << 22  # A request for all ports there are, on two addresses.

_LINGER = 3.0
_LOOK = 1.0

_log = logging.getLogger(__name__)


class Server:
    """Serves a state directory until there is nothing left to do.

    Args:
        place: what it serves.
        services: who answers.
        host_lives: whether the machine it serves still exists.
    """

    def __init__(
        self, place: Place, services: Sequence[Service], host_lives: Callable[[], bool]
    ) -> None:
        self._place = place
        self._services = {service.name: service for service in services}
        self._host_lives = host_lives
        self._here = namespace("self")
        self._ending = asyncio.Event()
        # The one that has been silent for longest comes first.
        self._conversations: dict[asyncio.StreamWriter, None] = {}
        self._answering = 0
        self._over = False
        self._last = time.monotonic()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve; `ready` is called once what is recorded has been taken up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        try:
            for service in self._services.values():
                await service.start()
            listening = await asyncio.start_unix_server(
                self._converse, sock=self._place.listener, backlog=QUEUE, limit=LONGEST
            )
            ready()
            self._last = time.monotonic()
            await self._end()
            for service in self._services.values():
                await service.rest()
            # No request may slip in between the decision and this.
            listening.close()
        finally:
            self._over = True
            self._place.withdraw()
            for writer in self._conversations:
                writer.transport.abort()
            for service in self._services.values():
                await service.close()

    async def _end(self) -> None:
        """Wait for a reason to end."""
        while not self._ending.is_set():
            if not self._place.stays():
                _log.info("the socket is gone")
                return
            if not self._host_lives():
                _log.info("the host is gone")
                return
            if self._busy():
                self._last = time.monotonic()
            elif time.monotonic() - self._last > _LINGER:
                _log.info("nothing is left to do")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _LOOK)

    def _busy(self) -> bool:
        return bool(self._answering) or any(s.busy() for s in self._services.values())

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if peer(writer.get_extra_info("socket"))[1] not in {0, os.geteuid()}:
                refused = RefusedError(errno.EPERM, "the agent answers only root")
                await _say(writer, refused.answer())
                return
            if len(self._conversations) >= CONVERSATIONS:
                # Its client asks again over a new one.
                oldest = next(iter(self._conversations))
                del self._conversations[oldest]
                oldest.transport.abort()
            self._conversations[writer] = None
            while line := await _line(reader):
                self._conversations[writer] = self._conversations.pop(writer, None)
                self._answering += 1
                try:
                    await _say(writer, await self._answer(line))
                finally:
                    self._answering -= 1
                    self._last = time.monotonic()
        except asyncio.LimitOverrunError:
            refused = RefusedError(errno.EMSGSIZE, f"a line has {LONGEST} bytes at most")
            with contextlib.suppress(ConnectionError):
                await _say(writer, refused.answer())
        except ConnectionError:
            pass
        finally:
            self._conversations.pop(writer, None)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        if self._over:
            # Who was accepted in the last moment would be told what isn't so any more.
            return RefusedError(errno.ESTALE, "this agent ends; the next one knows").answer()
        try:
            request = self._parse(line)
            return await self._service(request).handle(request)
        except RefusedError as error:
            return error.answer()
        except Exception as error:  # noqa: BLE001 - one request's failure is told to who made it
            _log.debug("a request has failed", exc_info=True)
            return RefusedError(errno.EIO, f"{type(error).__name__}: {error}").answer()

    def _service(self, request: dict[str, Any]) -> Service:
        service = self._services.get(str(request.get("service")))
        if service is None:
            raise RefusedError(errno.EINVAL, f'"service" is one of {", ".join(self._services)}')
        return service

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            raise RefusedError(errno.EINVAL, f"a request is a line of JSON: {error}") from error
        match request:
            case {"dialect": int(dialect), "host": [int(device), int(inode)]}:
                if (dialect, [device, inode]) != (DIALECT, self._here):
                    # The networks of this state directory live on another host now,
                    # or pycnm was upgraded: the client starts an agent that fits.
                    self._ending.set()
                    raise RefusedError(errno.ESTALE, "this agent gives way to one that fits")
                return dict(request)
        raise RefusedError(errno.EINVAL, 'a request is an object with its "dialect" and "host"')


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; empty at the end of the conversation, in the midst of a line too."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""


async def _say(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()
