"""What is around a test, and whether it is the same afterwards."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from topology import CLONE_NEWNET, CLONE_NEWNS, RUN_NETNS, call, until
from traffic import PATIENCE

MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
REAPING = 0.4 * PATIENCE
"""Seconds the kernel may take to reap what is gone already."""


@functools.cache
def own_namespaces():
    """A network namespace, mounts, an empty /run/netns and an /etc for this process, for good.

    Once, though several directories of tests ask for it: overlays can't be piled up.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts so what it has in the background; what is tested inherits it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    call("mount", b"", b"/", b"none", MS_REC | MS_PRIVATE, None)
    RUN_NETNS.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = str(RUN_NETNS).encode()
    # What is written to /etc goes to a place that the second mount hides.
    call("mount", b"tmpfs", place, b"tmpfs", 0, b"mode=755")
    for name in ("upper", "work"):
        (RUN_NETNS / name).mkdir()
    layers = b"lowerdir=/etc,upperdir=%b/upper,workdir=%b/work" % (place, place)
    call("mount", b"overlay", b"/etc", b"overlay", 0, layers)
    call("mount", b"tmpfs", place, b"tmpfs", 0, b"mode=755")


@contextlib.contextmanager
def as_they_were(directory):
    """A block that leaves nothing behind.

    Args:
        directory: where the state directories of the block are.
    """
    before = surroundings()
    yield
    dismiss_agents(directory)
    gc.collect()
    until(lambda: not _new(before), REAPING)
    new = _new(before)
    _sweep(new)
    assert not new, f"left behind: {new}"


def _new(before):
    """What is there now and wasn't before, by kind."""
    now = surroundings()
    different = {kind: now[kind] - before[kind] for kind in now}
    return {kind: sorted(things) for kind, things in different.items() if things}


def surroundings():
    """Everything around a test that it could leave something in, counted."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    devices = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "interfaces": Counter(line.partition(":")[0].strip() for line in devices),
        "tables": Counter(tables.stdout.splitlines()),
        "namespaces": Counter(path.name for path in RUN_NETNS.iterdir()),
        "files of namespaces": Counter(_files_of_namespaces()),
        "mounts": Counter(line.split()[4] for line in mounts),
        "processes": _processes(),
        "descriptors": _descriptors(),
        "threads": Counter(thread.name for thread in threading.enumerate()),
    }


def _files_of_namespaces():
    """What ip-netns(8) binds over /etc; the machine's own may come and go below the overlay."""
    for start in Path("/etc").glob("netns*"):
        for place, _, files in os.walk(start):
            yield place
            yield from (f"{place}/{name}" for name in files)


def _processes():
    """Processes that see our mounts: what was started here, children or not."""
    mounts = os.readlink("/proc/self/ns/mnt")
    found = Counter()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                if _parent(process) == os.getpid() or os.readlink(process / "ns/mnt") == mounts:
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


def catches(pid, number=signal.SIGTERM):
    """Whether a process handles a signal, which Python doesn't from its start on."""
    status = ""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
    caught = re.search(r"SigCgt:\t(\w+)", status)
    return caught is not None and bool(int(caught[1], 16) >> number - 1 & 1)


# Agents


def agents(directory):
    """The process ids of agents whose state directories are under a directory."""
    return _running("pycnm.agent", directory)


def keepers(directory):
    """The process ids of their keepers."""
    return _running("pycnm.agent.keeper", directory)


def _running(module, directory):
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if module in words and any(str(directory) in word for word in words):
                    found.append(int(process.name))
    return found


def rests(agent):
    """Whether an agent has opened the database, from which it answers names, and now waits."""

    def worked():
        return [task.read_text().split()[0] for task in process.glob("task/*/schedstat")]

    process, files = Path("/proc", str(agent)), set()
    with contextlib.suppress(OSError):
        for entry in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):
                files.add((process / "fd" / entry).readlink().name)
        before = worked()
        time.sleep(0.1)
        return "cnm.db" in files and worked() == before
    return False


def held_by(agent):
    """The ports that sockets of an agent are bound to, in the kernel's digits."""
    process, own, found = Path("/proc", str(agent)), set(), []
    with contextlib.suppress(OSError):
        for entry in os.listdir(process / "fd"):
            # One may be closed in the meantime.
            with contextlib.suppress(OSError):
                own.add(os.readlink(process / "fd" / entry))
        for kind in ("tcp", "tcp6", "udp", "udp6"):
            for line in (process / "net" / kind).read_text().splitlines()[1:]:
                words = line.split()
                if f"socket:[{words[9]}]" in own:
                    found.append(f"{words[1]}/{kind}")
    return found


def dismiss_agents(directory, *, holding=False):
    """End the agents of a test, which linger for a while.

    Args:
        holding: they may hold ports; otherwise they must not.  Then their keepers stay
            for a moment.
    """
    ports = {agent: held_by(agent) for agent in agents(directory)}
    told = set()

    def gone():
        # One that isn't ready to be told dies of it, and its keeper starts another later.
        for agent in {*filter(catches, agents(directory))} - told:
            told.add(agent)
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent, signal.SIGTERM)
        # Who forks while one looks isn't seen.
        kinds = (agents,) if holding else (agents, keepers)
        return not any(of(directory) for of in kinds for _ in range(2))

    until(gone, 2 * REAPING)
    assert holding or not any(ports.values()), f"agents still hold ports: {ports}"
