"""The agent of a state directory, as its clients see it: found, started on need, asked.

The agent (`pycnm.agent`) is one process per state directory.  It is started
when something is asked of it that must be done, and nobody serves the socket;
it ends by itself.  Requests and answers are JSON, one object a line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pycnm.errors import PermissionDeniedError, StoreError
from pycnm.kernel import netns

SOCKET = "agent.sock"
LOCK, WATCH = "agent.lock", "watch.lock"
"""Locked by the agent, and by the one that watches."""
READY = b"ready\n"
DIALECT = 1
"""Raised when requests change: an agent that speaks another dialect gives way."""

T = TypeVar("T")
_PATIENCE = 30.0
"""Seconds an agent may take to start, or to answer; a machine may be slow, or busy."""
_PAUSE = 0.005
_CREDENTIALS = struct.Struct("3i")


class Agent:
    """Whoever serves a state directory; for any number of threads.

    What it is asked must be repeatable: a request that was cut short is made again.
    """

    def __init__(self, state_dir: Path | None) -> None:
        self._state_dir = state_dir
        self._pid = os.getpid()
        self._starting = threading.Lock()

    def ask(self, service: str, request: dict[str, Any], *, start: bool) -> dict[str, Any] | None:
        """The answer of a service of the agent; None if there is no agent and `start` is false.

        The calling thread must be in the namespace of the host: an agent that
        is started is born there, and one that lives elsewhere gives way.

        Raises:
            PermissionDeniedError: the socket is not the caller's.
            StoreError: the agent can't be started, or doesn't answer.
        """
        return self.asked(service, request, start=start)()

    def asked(
        self, service: str, request: dict[str, Any], *, start: bool
    ) -> Callable[[], dict[str, Any] | None]:
        """Ask, and go on: what is returned waits for the answer, and raises, as `ask` does."""
        head = {"service": service, "dialect": DIALECT, "host": namespace("thread-self")}
        line = json.dumps({**head, **request}).encode() + b"\n"
        deadline = time.monotonic() + _PATIENCE
        first = self._said(line, deadline, start=start)

        def wait() -> dict[str, Any] | None:
            stream = first
            while stream is not None:
                with stream:
                    answer = self._heard(stream)
                # One that ends, or was killed, meanwhile is no failure: the next one
                # takes over what is recorded.
                if answer is not None and answer.get("error") != errno.ESTALE:
                    return answer
                time.sleep(_PAUSE)
                if time.monotonic() >= deadline:
                    raise self._fleeting()
                stream = self._said(line, deadline, start=start)
            return None

        return wait

    def _said(self, line: bytes, deadline: float, *, start: bool) -> socket.socket | None:
        """A connection on which the agent was sent a line; None if there is no agent."""
        stream = self._reach(deadline, start=start)
        if stream is not None:
            try:
                # It may have refused before it has read everything.
                with contextlib.suppress(ConnectionError):
                    stream.sendall(line)
            except BaseException as error:
                with stream:
                    if isinstance(error, TimeoutError):
                        raise self._silent(stream) from error
                if isinstance(error, OSError):
                    raise self._unreachable(error) from error
                raise
        return stream

    def _heard(self, stream: socket.socket) -> dict[str, Any] | None:
        """What the agent answers; None if it hung up."""
        data = b""
        try:
            while not data.endswith(b"\n"):
                piece = stream.recv(1 << 16)
                if not piece:
                    return None
                data += piece
            return dict(json.loads(data))
        except ConnectionError:
            return None
        except (TimeoutError, ValueError) as error:
            raise self._silent(stream) from error
        except OSError as error:
            raise self._unreachable(error) from error

    def _silent(self, stream: socket.socket) -> StoreError:
        return StoreError(
            f"the agent of {self._state_dir} (process {peer(stream)[0]}) doesn't answer; "
            "kill it, and the next one takes over"
        )

    def _unreachable(self, error: OSError) -> StoreError:
        return StoreError(f"the agent of {self._state_dir} can't be reached: {error.strerror}")

    def _reach(self, deadline: float, *, start: bool) -> socket.socket | None:
        """A connection to the agent; one is started if need be, by one thread for all.

        Where one gives way to another there is none for a moment; that is waited for.
        """
        while (stream := self._connect()) is None:
            if not start:
                if time.monotonic() > deadline or not self._changes():
                    return None
                time.sleep(_PAUSE)
                continue
            if time.monotonic() > deadline:
                raise self._fleeting()
            if self._pid != os.getpid():
                # After fork(2) the lock may be that of a thread that isn't here.
                self._pid, self._starting = os.getpid(), threading.Lock()
            with self._starting:
                stream = self._connect()
                if stream is not None:
                    break
                self._start()
        return stream

    def _changes(self) -> bool:
        """Whether an agent begins or ends."""
        return self._in_directory(
            lambda directory: any(_is_locked(name, directory) for name in (LOCK, WATCH))
        )

    def _fleeting(self) -> StoreError:
        return StoreError(
            f"the agent of {self._state_dir} ends as soon as it has started; "
            "`cnm agent` shows why it can't run"
        )

    def _connect(self) -> socket.socket | None:
        return self._in_directory(lambda directory: connect(directory, _PATIENCE))

    def _in_directory(self, work: Callable[[int], T]) -> T:
        """What `work` returns, given the state directory."""
        if self._state_dir is None:
            raise StoreError("no agent without a state directory; give the Controller one")
        try:
            directory = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(
                f"the state directory {self._state_dir} can't be used: {error.strerror}"
            ) from error
        try:
            return work(directory)
        except PermissionError as error:
            raise PermissionDeniedError(
                f"not allowed to speak to the agent of {self._state_dir}; run as root"
            ) from error
        except OSError as error:
            raise self._unreachable(error) from error
        finally:
            os.close(directory)

    def _start(self) -> None:
        """Start the agent in the namespace of this thread, and wait until it is ready."""
        try:
            ready, told = os.pipe()
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            pid = _spawn(["--state-dir", str(self._state_dir), "--ready-fd", "2"], told)
            os.close(told)
            told = -1
            words = _hear(ready)
            if not words.endswith(READY):
                # It may hang; once it has forked, this only ends what waits to be reaped.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the agent can't be started ({error}): sys.executable is "
                f"{sys.executable!r}, and must name this Python"
            ) from error
        finally:
            os.close(ready)
            if told >= 0:
                os.close(told)
        if not words.endswith(READY):
            lines = words.decode(errors="replace").split("\n")
            reason = next((text for text in reversed(lines) if text.strip()), "it gave no reason")
            raise StoreError(f"the agent of {self._state_dir} can't run: {reason.strip()}")


def namespace(process: str) -> list[int]:
    """What tells the network namespace of a process (or "thread-self") from others."""
    return list(netns.identity(f"/proc/{process}/ns/net") or ())


def peer(stream: socket.socket) -> tuple[int, int]:
    """The process at the other end of a connection, and its user (unix(7), SO_PEERCRED)."""
    found = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(found)
    return pid, uid


def connect(directory: int, patience: float) -> socket.socket | None:
    """A connection to the agent of an open directory; None if nobody serves it."""
    deadline = time.monotonic() + patience
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        stream.settimeout(patience)
        while True:
            try:
                # By descriptor: the path may be longer than sun_path takes.
                stream.connect(f"/proc/self/fd/{directory}/{SOCKET}")
            except BlockingIOError:
                # So many are in the queue that there is no place for another.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return stream
    except (FileNotFoundError, ConnectionError):
        stream.close()
        return None
    except BaseException:
        stream.close()
        raise


def _is_locked(name: str, directory: int) -> bool:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        # Let go of with the descriptor; who wants it meanwhile tries again, or waits.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _spawn(arguments: list[str], told: int) -> int:
    """Start the agent's program with `told` as its stderr; its pid.

    By posix_spawn(3): it costs the same however big the caller is, leaves its
    signal handlers alone, and starts in the network namespace of this very thread.
    """
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "pycnm.agent", *arguments],
        environment(),
        # What interrupts the caller from a terminal is not for who serves others too.
        setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, told, 2),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ],
    )


def watcher(state_dir: Path) -> subprocess.Popen[bytes]:
    """An agent that watches the host whose namespace this thread is in; it ends with its stdin."""
    options = ["--state-dir", str(state_dir), "--watch", "--foreground", "--until-eof"]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pycnm.agent", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
    )


def environment() -> dict[str, str]:
    """What a process of the agent needs to find this very package, and nothing more.

    The standard library goes first: among the packages there may be one with
    the name of a module of it.
    """
    package = Path(__file__).resolve().parents[2]
    places = [str(Path(os.__file__).resolve().parent), str(package)]
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": os.pathsep.join(places)}


def _hear(ready: int) -> bytes:
    """What the agent says until it is ready, has ended, or patience has."""
    deadline = time.monotonic() + _PATIENCE
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    words = b""
    while not words.endswith(READY):
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return words + b"it hasn't become ready in time\n"
        piece = os.read(ready, 1 << 16)
        if not piece:
            break
        words += piece
    return words
