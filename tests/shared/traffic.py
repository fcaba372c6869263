"""What goes over the wires: servers that say whom they see, and frames as tcpdump shows them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import socket
import threading
import time
from typing import NamedTuple

SLOWNESS = float(os.environ.get("PYCNM_TESTS_SLOWNESS", "1"))
"""How many times longer things may take; an emulated machine needs it."""
PATIENCE = 5.0 * SLOWNESS**2
"""Seconds to wait for what should happen; a busy machine may need them, emulated or not."""
IMPATIENCE = 0.3 * SLOWNESS
"""Seconds to wait for what should not."""


def until(question, patience=PATIENCE):
    """The first true answer to `question`, or the last one when patience is at an end."""
    deadline = time.monotonic() + patience
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return answer


class Answer(NamedTuple):
    """What a `Server` told a client: its own label, and whom it sees at the other end."""

    server: str
    peer: str
    peer_port: int


class Serving:
    """Sockets that are looked after by a thread while a block runs."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._wake, waker = socket.socketpair()
        self._on(waker, None)
        self._thread = threading.Thread(target=self._run, name="test-server", daemon=True)

    def _on(self, listener, work):
        """Have `work` called with a socket when there is something to read."""
        self._selector.register(listener, selectors.EVENT_READ, work)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._wake.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                with contextlib.suppress(OSError):
                    key.data(key.fileobj)


class Server(Serving):
    """Answers every line and every datagram with whom it comes from."""

    def __init__(self, place, label, ports):
        super().__init__()
        self._label = label
        for port in ports:
            number, _, protocol = str(port).partition("/")
            kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
            for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                self._listen(place.socket(family, kind), everywhere, int(number))

    def _listen(self, listener, everywhere, port):
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((everywhere, port))
        if listener.type == socket.SOCK_STREAM:
            listener.listen()
            self._on(listener, self._accept)
        else:
            self._on(listener, self._datagram)

    def _accept(self, listener):
        connection, _ = listener.accept()
        self._on(connection, self._line)

    def _line(self, connection):
        try:
            if connection.recv(4096):
                connection.sendall(self._answer(connection.getpeername()))
                return
        except ConnectionError:
            pass
        self._selector.unregister(connection)
        connection.close()

    def _datagram(self, listener):
        _, peer = listener.recvfrom(4096)
        listener.sendto(self._answer(peer), peer)

    def _answer(self, peer):
        return json.dumps([self._label, peer[0], peer[1]]).encode() + b"\n"


def ask_again(client):
    """What a `Server` answers on a socket that is connected to it."""
    client.sendall(b"?\n")
    data = b""
    while not data.endswith(b"\n"):
        piece = client.recv(4096)
        if not piece:
            raise ConnectionResetError
        data += piece
    return Answer(*json.loads(data))


class Capture:
    """Frames as lines of text."""

    def __init__(self):
        self.lines = []

    def read(self, stream):
        for line in stream:
            self.lines.append(line)

    def find(self, pattern, patience=PATIENCE):
        """The match of a regular expression in the first line that has one."""

        def look():
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        return until(look, patience)
