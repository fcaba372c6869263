"""The kernel lane: real packets between namespaces that the tests make and remove.

The whole test process gets a network namespace, a mount namespace and an empty
/run/netns of its own.  So nothing of the machine can be touched, several lanes
may run at once, whatever a test forgets is seen, and ends with the process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from topology import CLONE_NEWNET, CLONE_NEWNS, RUN_NETNS, Machine, call, until  # noqa: E402

import pycnm  # noqa: E402

MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
REAPING = 2.0
"""Seconds the kernel may take to reap what is gone already."""


@pytest.fixture(scope="session", autouse=True)
def own_machine():
    """Namespaces for the whole run, so that the tests can't reach the machine's."""
    if os.geteuid() != 0:
        pytest.skip("needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own")
    call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    call("mount", b"", b"/", b"none", MS_REC | MS_PRIVATE, None)
    RUN_NETNS.mkdir(mode=0o755, parents=True, exist_ok=True)
    call("mount", b"tmpfs", str(RUN_NETNS).encode(), b"tmpfs", 0, b"mode=755")


@pytest.fixture(autouse=True)
def as_found(own_machine, tmp_path):
    """What a test takes it gives back: the machine and the process are as they were."""
    before = surroundings()
    yield
    dismiss_agents(tmp_path)
    gc.collect()
    until(lambda: not _new(before), REAPING)
    new = _new(before)
    _sweep(new)
    assert not new, "left behind"


def _new(before):
    """What is there now and wasn't before, by kind."""
    now = surroundings()
    different = {kind: now[kind] - before[kind] for kind in now}
    return {kind: sorted(things) for kind, things in different.items() if things}


def surroundings():
    """Everything around a test that it could leave something in."""
    return {
        "interfaces": _interfaces(),
        "tables": _tables(),
        "namespaces": Counter(os.listdir(RUN_NETNS)),
        "mounts": Counter(
            line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "processes": _processes(),
        "descriptors": _descriptors(),
        "threads": Counter(thread.name for thread in threading.enumerate()),
    }


def _interfaces():
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return Counter(line.partition(":")[0].strip() for line in lines)


def _tables():
    shown = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return Counter(shown.stdout.splitlines())


def _processes():
    """Processes that see our mounts: what was started here, children or not."""
    mounts = os.readlink("/proc/self/ns/mnt")
    found = Counter()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                ours = _parent(process) == os.getpid()
                if ours or os.readlink(process / "ns/mnt") == mounts:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    found[f"{process.name} {b' '.join(words).decode()}"] += 1
    return found


def _parent(process):
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _descriptors():
    found = Counter()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[os.readlink(f"/proc/self/fd/{entry}")] += 1
    return found


def _sweep(new):
    """Remove what one test left, so that it isn't held against the next."""
    for words in new.get("processes", ()):
        with contextlib.suppress(OSError):
            os.kill(int(words.split()[0]), signal.SIGKILL)
    for name in new.get("namespaces", ()):
        with contextlib.suppress(OSError):
            call("umount2", str(RUN_NETNS / name).encode(), 2)
        with contextlib.suppress(OSError):
            (RUN_NETNS / name).unlink()


# Agents


def agents(directory):
    """The process ids of agents whose state directories are under a directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if "pycnm.agent" in words and any(str(directory) in word for word in words):
                    found.append(int(process.name))
    return found


def held_by(agent):
    """The ports that sockets of an agent are bound to, in the kernel's digits."""
    process, found = Path("/proc", str(agent)), []
    with contextlib.suppress(OSError):
        own = {os.readlink(entry) for entry in (process / "fd").iterdir()}
        for kind in ("tcp", "tcp6", "udp", "udp6"):
            for line in (process / "net" / kind).read_text().splitlines()[1:]:
                words = line.split()
                if f"socket:[{words[9]}]" in own:
                    found.append(f"{words[1]}/{kind}")
    return found


def dismiss_agents(directory):
    """End the agents of a test, which linger for a while; they must hold nothing."""
    ports = {agent: held_by(agent) for agent in agents(directory)}
    for agent in ports:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, signal.SIGTERM)
    until(lambda: not agents(directory), REAPING)
    assert not any(ports.values()), f"agents still hold ports: {ports}"


# What tests are made of


@pytest.fixture
def machine(as_found):
    """Makes machines: `machine("h1")`."""
    machines = []

    def make(name):
        machines.append(Machine(name))
        return machines[-1]

    yield make
    for each in machines:
        each.remove()


@pytest.fixture
def controller(machine, tmp_path):
    """Opens controllers: `controller(host)`; they leave the host as they found it."""
    opened, homes = [], {}

    def open_one(host, state="state", **options):
        directory = tmp_path / state
        homes.setdefault(directory, {}).setdefault(host, host.picture())
        opened.append(pycnm.Controller(directory, host=host.name, **options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
    for directory, hosts in homes.items():
        host, before = hosts.popitem()
        clear(directory, host)
        until(lambda host=host, before=before: host.picture() == before, REAPING)
        assert host.picture() == before


def clear(directory, host):
    """Delete everything a state directory records, with the library itself."""
    with pycnm.Controller(directory, host=host.name) as cnm:
        assert cnm.troubles == []
        for sandbox in cnm.sandboxes():
            sandbox.delete()
        for network in cnm.networks():
            for endpoint in network.endpoints:
                endpoint.delete()
            if network.name not in {"bridge", "host", "none"}:
                network.delete()
        assert cnm.check() == []


@pytest.fixture
def host(machine):
    """A host; with `outside` or `cnm` it has 192.0.2.1 and 2001:db8::1 on eth0."""
    return machine("h1")


@pytest.fixture
def outside(machine, host):
    """The neighbour of the host: 192.0.2.66 and 2001:db8::66."""
    far = machine("outside")
    host.wire(far, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.66/24", "2001:db8::66/64"])
    return far


@pytest.fixture
def cnm(controller, host, outside):
    """A controller of the host."""
    return controller(host)
