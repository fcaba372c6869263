"""What the tests of the agent share: ports asked for in a host, and others who want them."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from surroundings import agents
from topology import until

from pycnm.kernel import agent as client
from pycnm.kernel.holding import Holder
from pycnm.plan.ports import HeldPort

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

_OCCUPY = """
import socket, sys
family, kind, address, port = sys.argv[1:]
taker = socket.socket(int(family), int(kind))
taker.bind((address, int(port)))
if taker.type == socket.SOCK_STREAM:
    taker.listen()
print("bound", flush=True)
sys.stdin.read()
"""


def port(text):
    """The port that `8080/tcp`, `192.0.2.1:53/udp` or `[::]:80/tcp` names."""
    place, _, protocol = text.partition("/")
    address, _, number = place.rpartition(":")
    return HeldPort(protocol, address.strip("[]") or "0.0.0.0", int(number))


def hold(holder, *ports):
    """Have ports held, and wait for it."""
    wait = holder.hold([port(text) for text in ports])
    wait()


def release(holder, *ports):
    """Have ports released, and wait for it."""
    wait = holder.release([port(text) for text in ports])
    wait()


class Client:
    """Asks the agent of a state directory for ports, from inside a host."""

    def __init__(self, directory, host):
        directory.mkdir(mode=0o700, exist_ok=True)
        self.directory = directory
        self.host = host
        self.holder = Holder(client.Agent(directory))

    def hold(self, *ports):
        self.host.do(lambda: hold(self.holder, *ports))

    def release(self, *ports):
        self.host.do(lambda: release(self.holder, *ports))

    def holds(self, *ports):
        """Those of the ports that are held."""
        return self.host.do(lambda: [text for text in ports if self.holder.holds(port(text))])

    def ask(self, verb, **more):
        """What the agent answers; None if there is none."""
        agent = client.Agent(self.directory)
        return self.host.do(lambda: agent.ask("ports", {"do": verb, **more}, start=False))

    def agent(self):
        """The process of the agent; there must be just one."""
        (found,) = agents(self.directory)
        return found

    def kill(self, number=signal.SIGKILL):
        """End the agent, and wait until it has."""
        pid = self.agent()
        os.kill(pid, number)
        assert until(lambda: not alive(pid)), f"agent {pid} doesn't end"

    def ended(self, patience=10.0):
        """Whether no agent is left within some seconds."""
        return until(lambda: not agents(self.directory), patience)


def alive(pid):
    """Whether a process runs: not a zombie either."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def refusal(host, text):
    """How binding a port as servers do is refused: the name of an errno, or nothing."""
    wanted = port(text)
    family = socket.AF_INET6 if ":" in wanted.address else socket.AF_INET
    with host.socket(family, KINDS[wanted.protocol]) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if wanted.protocol == "tcp":
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((wanted.address, wanted.port))
            if wanted.protocol == "tcp":
                server.listen()
        except OSError as error:
            return errno.errorcode[error.errno]
    return ""


@contextlib.contextmanager
def occupied(host, text):
    """A program that has a port; its process id."""
    wanted = port(text)
    family = FAMILIES[6 if ":" in wanted.address else 4]
    words = (int(family), int(KINDS[wanted.protocol]), wanted.address, wanted.port)
    argv = [sys.executable, "-c", _OCCUPY, *(str(word) for word in words)]
    with host.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"bound\n"
        yield process.pid


def after(seconds, question):
    """Whether something is still so after some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not question():
            return False
        time.sleep(0.05)
    return True
