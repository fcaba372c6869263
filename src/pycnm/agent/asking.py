"""One question to one server, by datagram or stream; what doesn't answer it is ignored."""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import os
import random
import socket
from collections.abc import Callable
from typing import Literal

from pycnm.agent.room import Room
from pycnm.dns import upstream
from pycnm.dns.query import TC, Query

PATIENCE = 4.0
"""Seconds for one server."""

Opener = Callable[[socket.AddressFamily, socket.SocketKind], socket.socket]
"""Makes a socket in the namespace from which a server is asked."""

_PORT = 53
_AT_ONCE = 32
_CHANCE = random.SystemRandom()


async def ask(
    server: str, query: Query, transport: Literal["udp", "tcp"], opener: Opener, room: Room
) -> bytes:
    """The reply of a server; its rcode may be any.

    Args:
        server: its address, with a zone if it is link-local.
        query: the question.
        transport: how.
        opener: makes the socket: a new one each time, so on a port that nobody can guess.
        room: for the socket.

    Raises:
        OSError: it can't be asked, or hangs up; TimeoutError: it doesn't answer.
    """
    async with asyncio.timeout(PATIENCE):
        if transport == "udp":
            reply = await _by_datagram(server, query, opener, room)
            if reply is not None:
                return reply
        # It doesn't keep the case of a name, which tells its replies from forged ones:
        # by stream nobody else can answer.
        reply = await _by_stream(server, query, opener, room)
        return reply if transport == "tcp" else _cut(reply, query)


async def _by_datagram(server: str, query: Query, opener: Opener, room: Room) -> bytes | None:
    loop = asyncio.get_running_loop()
    request = upstream.request(query, _CHANCE.getrandbits(16), _CHANCE)
    found: asyncio.Future[bytes | None] = loop.create_future()
    family, place = _place(server)
    with room.one(), opener(family, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        # Connected: the kernel drops what comes from elsewhere, and tells of who isn't there.
        client.connect(place)

        def readable() -> None:
            for _ in range(_AT_ONCE):
                try:
                    reply = client.recv(upstream.LONGEST)
                except BlockingIOError:
                    return
                except OSError as error:
                    if not found.done():
                        found.set_exception(error)
                    return
                if upstream.fits(reply, request, cased=False) and not found.done():
                    found.set_result(reply if upstream.fits(reply, request) else None)
                    return

        # By number: asyncio would have a socket described, which asks the kernel twice.
        number = client.fileno()
        loop.add_reader(number, readable)
        try:
            client.send(request.data)
            return await found
        finally:
            loop.remove_reader(number)


async def _by_stream(server: str, query: Query, opener: Opener, room: Room) -> bytes:
    loop = asyncio.get_running_loop()
    request = upstream.request(query, _CHANCE.getrandbits(16), _CHANCE)
    family, place = _place(server)
    with room.one(), opener(family, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, place)
        await loop.sock_sendall(client, len(request.data).to_bytes(2) + request.data)
        while True:
            length = int.from_bytes(await _exactly(client, 2))
            reply = await _exactly(client, length)
            if upstream.fits(reply, request, cased=False):
                return reply


def _cut(reply: bytes, query: Query) -> bytes:
    """A reply that came by stream, for a client that asked by datagram."""
    if len(reply) <= query.size:
        return reply
    flags = int.from_bytes(reply[2:4]) | TC
    return b"".join(
        (reply[:2], flags.to_bytes(2), b"\0\1\0\0\0\0\0\0", reply[12 : 12 + len(query.question)])
    )


async def _exactly(client: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < length:
        piece = await loop.sock_recv(client, length - len(data))
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        data += piece
    return bytes(data)


def _place(server: str) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    """How a server is reached; a zone is the name or number of an interface of the host.

    Raises:
        OSError: there is no such address or interface.
    """
    try:
        version = _version(server)
    except ValueError as error:
        raise OSError(errno.EADDRNOTAVAIL, str(error)) from error
    if version == 4:  # noqa: PLR2004 - the version of IP
        return socket.AF_INET, (server, _PORT)
    bare, _, zone = server.partition("%")
    number = int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0
    return socket.AF_INET6, (bare, _PORT, 0, number)


@functools.lru_cache(maxsize=64)
def _version(server: str) -> int:
    """The version of IP of an address; few are asked, and often."""
    return ipaddress.ip_address(server).version
