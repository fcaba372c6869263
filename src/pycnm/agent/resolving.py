"""Everything that answers sandboxes; loaded when the first one is to be answered."""

from __future__ import annotations

import errno
import os
import socket
from functools import partial

from pycnm.agent import recorded
from pycnm.agent.datagrams import Datagrams
from pycnm.agent.desk import Books, Desk
from pycnm.agent.forwarding import Way
from pycnm.agent.inside import Inside
from pycnm.agent.room import Room
from pycnm.agent.streams import Streams
from pycnm.agent.tokens import Pair, Token
from pycnm.agent.upstreams import HostServers
from pycnm.dns.resolvconf import RESOLVER
from pycnm.dns.view import View
from pycnm.engine.naming import Naming


class Resolving:
    """Answers sandboxes, by what a state directory records.

    Args:
        directory: its descriptor.
        host: the path of the host's namespace, if it isn't the machine's own.
        inside: opens sockets in the namespaces of sandboxes.
        room: for sockets that come and go.

    Raises:
        sqlite3.Error: the database can't be opened.
    """

    def __init__(self, directory: int, host: str, inside: Inside, room: Room) -> None:
        self._reader = recorded.reader(directory)
        self._naming = Naming(self._reader)
        self._books = Books(self._naming)
        self._host = HostServers(host)
        self._inside = inside
        self._room = room
        self._datagrams = Datagrams(self._books)
        self._answered: dict[str, tuple[socket.socket, Desk, Streams]] = {}

    def begin(self, token: Token, pair: Pair) -> None:
        """Answer what comes to the sockets of a sandbox; they stay the caller's."""
        view = partial(self._naming.view, token.sandbox)
        desk = Desk(self._books, view, partial(self._way, token), self._room)
        self._datagrams.begin(pair[0], desk)
        self._answered[token.sandbox] = pair[0], desk, Streams(pair[1], desk, self._room)

    def end(self, sandbox: str) -> None:
        """Answer a sandbox no more."""
        if sandbox in self._answered:
            holder, desk, streams = self._answered.pop(sandbox)
            self._datagrams.end(holder)
            desk.close()
            streams.close()
        self._naming.forget(sandbox)

    def close(self) -> None:
        """Answer nobody any more."""
        for sandbox in list(self._answered):
            self.end(sandbox)
        self._datagrams.close()
        self._reader.close()

    def _way(self, token: Token, view: View) -> Way:
        """Whom a sandbox may ask, and from where."""
        if servers := [server for server in view.servers if server != RESOLVER]:
            return Way(servers, partial(self._within, token))
        if view.internal:
            return Way(None, socket.socket)
        return Way(self._host.now(), socket.socket)

    def _within(
        self, token: Token, family: socket.AddressFamily, kind: socket.SocketKind
    ) -> socket.socket:
        if token.sandbox not in self._answered:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        wanted = token.device, token.inode
        return self._inside.call(token.key, partial(socket.socket, family, kind), wanted)
