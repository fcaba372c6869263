"""The keeper: a small process that has a second hold on what answers sandboxes.

A socket that somebody holds goes on taking queries.  So when the agent is killed,
none is lost: the keeper starts another agent, which gets the sockets from here and
answers what has waited in them.  What holds ports of the host is here only from one
agent to the next.  It does nothing else, and ends when no agent needs it any more.

It speaks over `keeper.sock` in the state directory, one JSON object a message:

- from an agent: `keep` tokens, with their sockets; `drop` tokens; `recall`; `end`, which
  is "now" if nothing is left to be kept, and "soon" if another agent may come.
- to an agent that recalls: `{"kept": [token, ...]}`, with the sockets of each as
  SCM_RIGHTS (unix(7)), as many for each; the last such message has no token.

Started with `python -m pycnm.agent.keeper STATE-DIRECTORY DESCRIPTOR`, where the
descriptor is a connection to the agent that starts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pycnm.agent.tokens import PER_TOKEN, TOGETHER, Name
from pycnm.kernel import rights

SOCKET = "keeper.sock"
T = TypeVar("T")

_SOON = 1.0
"""Seconds in which another agent may come after one that has ended in peace."""
_TRIES = 8
_PATIENCE = 2.0
"""Seconds for an agent that doesn't read."""
_UCRED = struct.Struct("3i")
_QUEUE = 16
_LONGEST = 1 << 18


class Keeper:
    """What is kept, and for whom.

    Args:
        state_dir: of the agent.
        first: a connection to the agent that has started this.
    """

    def __init__(self, state_dir: Path, first: socket.socket) -> None:
        self._state_dir = state_dir
        self._directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kept: dict[Name, list[int]] = {}
        self._agents = {first.fileno(): first}
        self._listener = self._listen()
        self._identity = self._found()
        self._poll = select.poll()
        for stream in (first, self._listener):
            self._poll.register(stream, select.POLLIN)
        self._due: float | None = None
        """When an agent is started if none has come."""
        self._left = _TRIES

    def run(self) -> None:
        """Keep, until nobody needs it."""
        try:
            while self._agents or self._awaited():
                for descriptor, _ in self._poll.poll(self._patience()):
                    if descriptor == self._listener.fileno():
                        self._welcome()
                    elif descriptor in self._agents:
                        self._hear(self._agents[descriptor])
        finally:
            # Who finds no keeper any more may want the ports.
            self._drop(list(self._kept))
            if self._found() == self._identity:
                os.unlink(SOCKET, dir_fd=self._directory)

    def _listen(self) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=self._directory)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        # By descriptor: the path may be longer than sun_path takes.
        listener.bind(f"/proc/self/fd/{self._directory}/{SOCKET}")
        listener.listen(_QUEUE)
        return listener

    def _found(self) -> tuple[int, int] | None:
        try:
            status = os.stat(SOCKET, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _patience(self) -> float | None:
        """Milliseconds until something has to be done; None if nothing has."""
        if self._agents or self._due is None:
            return None
        return max(0.0, self._due - time.monotonic()) * 1000

    def _awaited(self) -> bool:
        """Whether an agent may still come; one is started when it is time for it."""
        if self._due is None or not self._kept or self._found() != self._identity:
            return False
        if time.monotonic() >= self._due:
            if not self._left:
                return False
            self._left -= 1
            self._start()
            # One that can't run isn't tried all the time.
            self._due = time.monotonic() + 2.0 ** (_TRIES - self._left)
        return True

    def _start(self) -> None:
        """Start an agent, which goes on in a process of its own."""
        words = [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(self._state_dir)]
        with contextlib.suppress(OSError):
            os.waitpid(os.posix_spawn(sys.executable, words, os.environ), 0)

    def _welcome(self) -> None:
        try:
            agent, _ = self._listener.accept()
            agent.settimeout(_PATIENCE)
            credentials = agent.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return
        if _UCRED.unpack(credentials)[1] not in {0, os.geteuid()}:
            agent.close()
            return
        self._agents[agent.fileno()] = agent
        self._poll.register(agent, select.POLLIN)
        self._due, self._left = None, _TRIES

    def _hear(self, agent: socket.socket) -> None:
        try:
            message, descriptors = heard(agent)
        except (OSError, ValueError):
            message, descriptors = {}, []
        match message:
            case {"keep": tokens}:
                for token, own in shared(tokens, descriptors):
                    self._drop([token])
                    self._kept[token] = own
            case {"drop": tokens}:
                self._drop(tokens)
            case {"recall": _}:
                self._tell(agent)
            case {"settle": _}:
                self._say(agent, {"settled": True})
            case {"end": "now"}:
                self._part(agent, None)
            case {"end": _}:
                # One that is started now would be in the way of the one that comes.
                self._left = 0
                self._part(agent, time.monotonic() + _SOON)
            case _:
                self._left = _TRIES
                self._part(agent, time.monotonic())

    def _tell(self, agent: socket.socket) -> None:
        try:
            for each in {len(own) for own in self._kept.values()}:
                tokens = [token for token, own in self._kept.items() if len(own) == each]
                for start in range(0, len(tokens), TOGETHER):
                    some = tokens[start : start + TOGETHER]
                    say(agent, {"kept": some}, [fd for token in some for fd in self._kept[token]])
        except OSError:
            self._part(agent, time.monotonic())
        else:
            self._say(agent, {"kept": []})

    def _say(self, agent: socket.socket, message: dict[str, Any]) -> None:
        try:
            say(agent, message)
        except OSError:
            self._part(agent, time.monotonic())

    def _drop(self, tokens: Iterable[Iterable[Any]]) -> None:
        for token in tokens:
            for descriptor in self._kept.pop(tuple(token), ()):
                os.close(descriptor)

    def _part(self, agent: socket.socket, due: float | None) -> None:
        del self._agents[agent.fileno()]
        self._poll.unregister(agent)
        agent.close()
        self._due = due


def shared(tokens: list[list[str | int]], items: list[T]) -> Iterator[tuple[Name, list[T]]]:
    """Tokens of a message, each with its own of what came with it.

    Raises:
        ValueError: something is missing, as where there are too many open files.
    """
    each, rest = divmod(len(items), max(len(tokens), 1))
    if rest:
        raise ValueError(f"{len(items)} sockets for {len(tokens)} tokens")
    for number, token in enumerate(tokens):
        yield tuple(token), items[number * each : (number + 1) * each]


def say(stream: socket.socket, message: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
    """Send a message, with descriptors.

    Raises:
        OSError: it can't be sent.
    """
    socket.send_fds(stream, [json.dumps(message).encode()], list(descriptors))


def heard(stream: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message, with its descriptors; an empty one at the end of the conversation.

    Raises:
        OSError: there is none.
        ValueError: it makes no sense.
    """
    room = socket.CMSG_SPACE(PER_TOKEN * TOGETHER * 4)
    data, extra, _, _ = stream.recvmsg(_LONGEST, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = [
        int.from_bytes(body[start : start + 4], sys.byteorder)
        for _, kind, body in extra
        if kind == socket.SCM_RIGHTS
        for start in range(0, len(body), 4)
    ]
    return dict(json.loads(data or b"{}")), descriptors


def main() -> None:
    """Keep what the agent that has started this hands over."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("cnm-keeper")
    os.chdir("/")
    os.umask(0o177)
    rights.keep(rights.CAP_DAC_OVERRIDE)  # the state directory may lie in another user's
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Keeper(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))).run()


if __name__ == "__main__":
    main()
