"""The service that answers names to programs of the host, on an address that a person chose.

It asks nobody else: what pycnm doesn't know doesn't exist.  So it is no way out for
anyone, and a resolver of the host that sends it the names of networks gets no loop.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from typing import Any, NamedTuple

from pycnm.agent import recorded
from pycnm.agent.datagrams import Datagrams
from pycnm.agent.desk import Books, Desk
from pycnm.agent.forwarding import Way
from pycnm.agent.room import Room
from pycnm.agent.service import RefusedError
from pycnm.agent.streams import MOST, Streams
from pycnm.engine.naming import Naming
from pycnm.errors import InvalidArgumentError

_WHERE = re.compile(
    r"(\[(?P<bracketed>[^][]+)\]|(?P<plain>[^][:]+))(:(?P<port>[0-9]{1,5}))?", re.ASCII
)
_PORT = 53
_HIGHEST = 65535
_QUEUE = 64


class Where(NamedTuple):
    """Where to listen."""

    address: str
    port: int

    @classmethod
    def of(cls, text: str) -> Where:
        """The place that `127.0.0.54`, `127.0.0.54:5353`, `::1` or `[::1]:5353` names.

        Raises:
            InvalidArgumentError: it names none, or all addresses: an answer would come
                from another one than was asked.
        """
        match = _WHERE.fullmatch(text)
        address = match["bracketed"] or match["plain"] if match else text
        port = int(match["port"] or _PORT) if match else _PORT
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            found = None
        if found is not None and (found.is_unspecified or found.is_multicast):
            raise InvalidArgumentError(
                f"names can't be answered on {text}: name one address of the host, "
                "such as 127.0.0.54"
            )
        if found is not None and 1 <= port <= _HIGHEST:
            return cls(address, port)
        raise InvalidArgumentError(
            f"{text!r} is no place to answer names: give ADDRESS or ADDRESS:PORT, such as "
            "127.0.0.54 or [::1]:5353"
        )

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else ":".join(map(str, self))

    def open(self) -> tuple[socket.socket, socket.socket]:
        """Sockets there: for datagrams, and listening for streams.

        Raises:
            OSError: EADDRINUSE and whatever else bind(2) knows.
        """
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        bare, _, zone = self.address.partition("%")
        where: tuple[Any, ...] = (bare, self.port)
        if zone:
            where += (0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone))
        opened: list[socket.socket] = []
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                opened.append(socket.socket(family, kind | socket.SOCK_NONBLOCK))
                if kind == socket.SOCK_STREAM:
                    opened[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened[-1].bind(where)
            opened[1].listen(_QUEUE)
        except BaseException:
            for each in opened:
                each.close()
            raise
        return opened[0], opened[1]


class Listening:
    """Answers what comes to a pair of sockets, by all networks of a state directory.

    Args:
        directory: its descriptor.
        pair: the sockets, which are closed in the end.
    """

    name = "listening"

    def __init__(self, directory: int, pair: tuple[socket.socket, socket.socket]) -> None:
        self._directory = directory
        self._pair = pair

    async def start(self) -> None:
        """Begin to answer."""
        self._reader = recorded.reader(self._directory)
        naming, room = Naming(self._reader), Room(MOST)
        books = Books(naming)
        desk = Desk(books, naming.everything, lambda _: Way(None, socket.socket), room)
        datagrams = Datagrams(books)
        datagrams.begin(self._pair[0], desk)
        self._parts = (desk, datagrams, Streams(self._pair[1], desk, room))

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Nothing can be asked of it.

        Raises:
            RefusedError: always.
        """
        del request
        raise RefusedError(errno.EINVAL, "names are asked for by DNS")

    def busy(self) -> bool:
        """It isn't a reason to live."""
        return False

    async def rest(self) -> None:
        """It does nothing of its own accord."""

    async def close(self) -> None:
        """Answer no more."""
        for each in self._parts:
            each.close()
        self._reader.close()
        for holder in self._pair:
            holder.close()
