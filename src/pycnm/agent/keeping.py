"""The agent's side of its keeper: started on need, told what to keep, asked what it has."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pycnm.agent.keeper import SOCKET, heard, say, shared
from pycnm.agent.tokens import TOGETHER, Name
from pycnm.kernel.agent import environment

_PATIENCE = 2.0
_SO_SNDBUFFORCE = 32
_ROOM = 1 << 24
"""Bytes that may wait for a keeper that is starting: the names of 10,000 sandboxes."""
_PLACE = 3
"""The descriptor of the connection, in the keeper."""


class Keeping:
    """Sockets that outlive this process.

    All of it is done without waiting, but for `attach`, `recall`, `leave` and `settle`.  A keeper
    that is gone, or doesn't listen, is `lost`: then everything is kept anew by another one.

    Args:
        state_dir: of the agent.
        directory: its descriptor.
    """

    def __init__(self, state_dir: Path, directory: int) -> None:
        self._state_dir = state_dir
        self._directory = directory
        self._stream: socket.socket | None = None
        self._children: list[int] = []
        self._recalled: dict[Name, list[socket.socket]] | None = None
        self._left = False

    def attach(self) -> None:
        """Have a keeper that is there stay, whoever else ends."""
        if self._stream is not None:
            return
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        stream.settimeout(_PATIENCE)
        try:
            stream.connect(f"/proc/self/fd/{self._directory}/{SOCKET}")
        except OSError:
            stream.close()
        else:
            self._have(stream)

    def recall(self) -> dict[Name, list[socket.socket]]:
        """What an earlier agent has left with its keeper; who takes something pops it."""
        if self._recalled is None:
            self._recalled = self._recall()
        return self._recalled

    def _recall(self) -> dict[Name, list[socket.socket]]:
        found: dict[Name, list[socket.socket]] = {}
        self.attach()
        self._say({"recall": True})
        while self._stream is not None:
            try:
                self._stream.settimeout(_PATIENCE)
                message, descriptors = heard(self._stream)
                self._stream.setblocking(False)
                sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                tokens = list(message["kept"])
                found |= shared(tokens, sockets)
            except (OSError, KeyError, ValueError):
                self._let_go()
            else:
                if not tokens:
                    break
        return found

    def keep(self, sockets: Mapping[Name, Sequence[socket.socket]]) -> None:
        """Have sockets kept, as many for each; by a keeper that is started if there is none."""
        if self._stream is None:
            self._start()
        tokens = list(sockets)
        for start in range(0, len(tokens), TOGETHER):
            some = tokens[start : start + TOGETHER]
            descriptors = [each.fileno() for token in some for each in sockets[token]]
            self._say({"keep": some}, descriptors)

    def leave(self, sockets: Mapping[Name, Sequence[socket.socket]]) -> None:
        """Have sockets kept for the next agent, which comes soon if it ever does."""
        self.keep(sockets)
        self.settle()
        self._left = True

    def drop(self, tokens: Iterable[Name]) -> None:
        """Have sockets kept no longer."""
        gone = list(tokens)
        for start in range(0, len(gone), TOGETHER):
            self._say({"drop": gone[start : start + TOGETHER]})

    def settle(self) -> None:
        """Wait until what was said is done."""
        self._say({"settle": True})
        if self._stream is not None:
            try:
                self._stream.settimeout(_PATIENCE)
                heard(self._stream)
                self._stream.setblocking(False)
            except (OSError, ValueError):
                self._let_go()

    def lost(self) -> bool:
        """Whether nobody keeps anything."""
        if self._stream is not None:
            with contextlib.suppress(BlockingIOError):
                # It says nothing more, but hangs up when it ends.
                with contextlib.suppress(ConnectionError):
                    self._stream.recv(1)
                self._let_go()
        self._children = [pid for pid in self._children if not _reaped(pid)]
        return self._stream is None

    def end(self, *, soon: bool) -> None:
        """Need the keeper no longer.

        Args:
            soon: another agent may want what it has.
        """
        self._say({"end": "soon" if soon or self._left else "now"})
        self._let_go()

    def _start(self) -> None:
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            words = ["-P", "-m", "pycnm.agent.keeper", str(self._state_dir), str(_PLACE)]
            files = [
                (os.POSIX_SPAWN_DUP2, other.fileno(), _PLACE),
                *((os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in range(_PLACE)),
            ]
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, *words],
                    environment(),
                    file_actions=files,
                    setsid=True,
                )
            except OSError:
                own.close()
                return
        self._children.append(pid)
        self._have(own)

    def _have(self, stream: socket.socket) -> None:
        with contextlib.suppress(PermissionError):
            stream.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
        stream.setblocking(False)
        self._stream = stream

    def _say(self, message: dict[str, object], descriptors: Iterable[int] = ()) -> None:
        if self._stream is not None:
            try:
                say(self._stream, message, descriptors)
            except OSError:
                self._let_go()

    def _let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
