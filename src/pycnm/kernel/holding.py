"""Ports of the host held by the agent's sockets: the client side.

The agent is one process per state directory (`pycnm.agent`).  It is started
when a port is to be held and nobody serves the socket; it ends by itself.
Requests and answers are JSON, one object a line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycnm.errors import KernelError, PortInUseError, StoreError
from pycnm.kernel import occupants
from pycnm.kernel.session import REALISATIONS, LinuxSession
from pycnm.plan.ports import HeldPort

SOCKET = "agent.sock"
_PATIENCE = 10.0


class Holder:
    """Speaks to the agent of one state directory.

    `PortInUseError` for a port that is taken names the process that has it.
    """

    def __init__(self, state_dir: Path | None) -> None:
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._stream: socket.socket | None = None

    def hold(self, ports: Sequence[HeldPort]) -> None:
        """Have every port bound, or none of them.

        Raises:
            PortInUseError: one of them is taken; `holder` says by whom.
        """
        answer = self._ask({"do": "hold", "ports": _plain(ports)}, start=True)
        if not answer or "error" not in answer:
            return
        protocol, address, port = answer.get("port") or _plain(ports)[0]
        fact = HeldPort(protocol, address, port)
        code = int(answer["error"])
        if code != errno.EADDRINUSE:
            raise KernelError(str(fact), code, _advice(code, address))
        holder = occupants.of_port(protocol, port) or "a program that has just ended"
        shown = f"[{address}]" if ":" in address else address
        raise PortInUseError(
            f"port {shown}:{port}/{protocol} of the host is taken by {holder}; "
            "stop it, or publish on another port",
            holder,
            port,
        )

    def release(self, ports: Sequence[HeldPort]) -> None:
        """Have the ports closed; a dead agent holds nothing."""
        self._ask({"do": "release", "ports": _plain(ports)}, start=False)

    def holds(self, port: HeldPort) -> bool:
        """Whether the agent has a socket bound to the port."""
        answer = self._ask({"do": "list"}, start=False)
        return bool(answer) and _plain([port])[0] in answer.get("ports", [])

    def close(self) -> None:
        """Hang up; the agent stays while it holds something."""
        with self._lock:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _ask(self, request: dict[str, Any], *, start: bool) -> dict[str, Any]:
        line = json.dumps({"service": "ports", **request}).encode() + b"\n"
        with self._lock:
            for _ in range(3):
                try:
                    if self._stream is None:
                        self._stream = self._connect(start=start)
                    if self._stream is None:
                        return {}
                    self._stream.sendall(line)
                    answer = self._read(self._stream)
                    if answer:
                        return dict(json.loads(answer))
                except (ConnectionError, TimeoutError):
                    pass
                # It ended, or was killed, since we spoke last; what it held is
                # recorded, and the next one takes it back.
                self._hang_up()
        raise StoreError(
            f"the agent of {self._state_dir} doesn't answer; `cnm agent` shows why it can't run"
        )

    @staticmethod
    def _read(stream: socket.socket) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            piece = stream.recv(1 << 16)
            if not piece:
                return b""
            data += piece
        return data

    def _connect(self, *, start: bool) -> socket.socket | None:
        if self._state_dir is None:
            raise StoreError("no agent without a state directory")
        deadline = time.monotonic() + _PATIENCE
        started = False
        directory = os.open(self._state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            while True:
                stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                stream.settimeout(_PATIENCE)
                try:
                    # By descriptor: the path may be longer than sun_path takes.
                    stream.connect(f"/proc/self/fd/{directory}/{SOCKET}")
                except (FileNotFoundError, ConnectionRefusedError):
                    stream.close()
                except BaseException:
                    stream.close()
                    raise
                else:
                    return stream
                if not start or time.monotonic() > deadline:
                    return None
                if not started:
                    self._start()
                    started = True
                else:
                    time.sleep(0.005)
        finally:
            os.close(directory)

    def _start(self) -> None:
        """Start the agent in the namespace of this thread and wait until it listens."""
        ready, told = os.pipe()
        try:
            command = [sys.executable, "-m", "pycnm.agent", "--state-dir", str(self._state_dir)]
            with contextlib.suppress(OSError):
                # It daemonises: what is waited for is only its first process.
                subprocess.run(  # noqa: S603 - our own module, no shell
                    [*command, "--ready-fd", str(told)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[told],
                    cwd="/",
                    env=_environment(),
                    check=False,
                )
            os.close(told)
            told = -1
            os.read(ready, 1)
        finally:
            os.close(ready)
            if told >= 0:
                os.close(told)


def _environment() -> dict[str, str]:
    """What the agent needs to find this very package, and nothing more."""
    package = str(Path(__file__).resolve().parents[2])
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": package}


def _plain(ports: Sequence[HeldPort]) -> list[list[Any]]:
    return [[port.protocol, port.address, port.port] for port in ports]


def _advice(code: int, address: str) -> str:
    if code == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this host; publish on one it has, or on 0.0.0.0"
    if code in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}:
        return "this kernel lacks the protocol (module sctp)"
    if code == errno.EMFILE:
        return "the agent has reached its limit of open files (RLIMIT_NOFILE)"
    return os.strerror(code)


class _HeldPorts:
    def add(self, session: LinuxSession, fact: HeldPort) -> None:
        session.queue_port(fact)

    def remove(self, session: LinuxSession, fact: HeldPort) -> None:
        session.release_port(fact)

    def differs(self, session: LinuxSession, fact: HeldPort) -> str | None:
        if session.holds_port(fact):
            return None
        return f"port {fact.address}:{fact.port}/{fact.protocol} isn't held by the agent"


REALISATIONS[HeldPort] = _HeldPorts()
