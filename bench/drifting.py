"""How long it takes until what somebody took away is back."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pycnm
from bench.bare import Kernel
from bench.machine import Host
from bench.ours import Pycnm
from bench.table import Table, milliseconds
from bench.times import Times
from pycnm.kernel import nfnetlink
from pycnm.kernel.netlink import NETLINK_NETFILTER, Socket
from pycnm.plan.rules import Guard

SINGLE = "one link deleted"
CHECK, FLUSHED = "check, {} endpoints", "`nft flush ruleset`, {} endpoints"
DELETED, WAITED = "all links deleted, {} endpoints", "another's connect during that, the longest"
AGENT, PROCESSOR = "agent", "processor"
_QUIET = 1.5


class Agent:
    """An agent that watches, and when it last put something back."""

    def __init__(self, ours: Pycnm) -> None:
        self._controller = ours.controller
        self._latest = 0.0
        argv = [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(ours.state)]
        self._process = ours.host.inside(_start, [*argv, "--watch", "--foreground", "--until-eof"])
        self._served = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        self._served.wait()
        self.healed()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            if "is served" in line:
                self._served.set()
            elif "put back" in line:
                self._latest = time.perf_counter()

    def healed(self) -> float:
        """When it last put something back, once all is as it should be and nothing more comes."""
        latest = -1.0
        while latest != self._latest or self._controller.check():
            latest = self._latest
            time.sleep(_QUIET)
        return latest

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def _start(argv: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def measure(ours: Pycnm, kernel: Kernel, times: Times, rounds: int, count: int) -> None:
    """Do harm to so many endpoints, and have it put back by a call, and by the agent."""
    for _ in range(count):
        name = ours.next_name()
        ours.create_sandbox(name)
        ours.connect(name)
    ends = ours.network.endpoints
    harms = {FLUSHED: lambda: _flush(ours.host), DELETED: lambda: _delete(ours.host, ends)}
    for _ in range(rounds):
        with _timed(times, CHECK, ours.name):
            told = ours.controller.check()
        if told:
            raise RuntimeError(told[0])
    for row, harm in harms.items():
        harm()
        with _timed(times, row, ours.name):
            ours.controller.reconcile()
    _alone(ours, kernel, times, ends)
    agent = Agent(ours)
    for number in range(rounds):
        begun = time.perf_counter()
        _delete(ours.host, ends[number % count : number % count + 1])
        times.note(SINGLE, AGENT, 1000 * (agent.healed() - begun))
    for row, harm in harms.items():
        begun = time.perf_counter()
        harm()
        if row == DELETED:
            times.note(WAITED, ours.name, max(_in_the_way(ours)))
        times.note(row, AGENT, 1000 * (agent.healed() - begun))
    agent.close()


@contextlib.contextmanager
def _timed(times: Times, row: str, who: str) -> Iterator[None]:
    """Measure a block, and what of a processor it takes: where others work, that says more."""
    begun = time.process_time()
    with times.of(row, who):
        yield
    times.note(row, f"{who}, {PROCESSOR}", 1000 * (time.process_time() - begun))


def _flush(host: Host) -> None:
    host.run(["nft", "flush", "ruleset"])


def _delete(host: Host, ends: list[pycnm.Endpoint]) -> None:
    # A thousand deletions would take the kernel 16 s, one by one; a group of links goes at once.
    names = [end.host_interface for end in ends]
    host.run(["ip", "-batch", "-"], "".join(f"link set {name} group 77\n" for name in names))
    host.run(["ip", "link", "delete", "group", "77"])


def _in_the_way(ours: Pycnm) -> Iterator[float]:
    """How long others wait for a connect, for some seconds."""
    end = time.perf_counter() + 3
    while (begun := time.perf_counter()) < end:
        name = ours.next_name()
        ours.create_sandbox(name)
        ours.connect(name)
        yield 1000 * (time.perf_counter() - begun)
        ours.delete_sandbox(name)


def _alone(ours: Pycnm, kernel: Kernel, times: Times, ends: list[pycnm.Endpoint]) -> None:
    """What the kernel takes for the same rules, in one batch; and for as many bare links."""
    guards = [each for end in ends for each in end.explain() if isinstance(each, Guard)]
    messages = [message for each in guards for message in nfnetlink.load(each.objects)]
    _flush(ours.host)

    def load() -> None:
        with Socket(NETLINK_NETFILTER) as connection, _timed(times, FLUSHED, kernel.name):
            errors = connection.batch(nfnetlink.begin(), messages, nfnetlink.end())
        if errors:
            raise RuntimeError(str(errors))

    ours.host.inside(load)
    ours.controller.reconcile()
    names = [kernel.next_name() for _ in ends]
    for name in names:
        kernel.create_sandbox(name)
        kernel.prepare(name)
    with _timed(times, DELETED, kernel.name):
        kernel.connect_all(names)
    for name in names:
        kernel.delete_sandbox(name)


def table(times: Times, ours: str, alone: str, count: int) -> Table:
    """The figures."""
    who = (ours, f"{ours}, {PROCESSOR}", AGENT, alone, f"{alone}, {PROCESSOR}")
    rows = [
        (row.format(f"{count:,}"), *(milliseconds(times.median(row, each)) for each in who))
        for row in (CHECK, SINGLE, FLUSHED, DELETED, WAITED)
    ]
    note = (
        "Medians in milliseconds: of a call of `check` or `reconcile`; from the harm until the "
        "agent had put back the last of it; and of the messages that make as many guards, and as "
        "many links with their addresses and routes, sent to the kernel."
    )
    head = ("", "call", "of it, processor", AGENT, "kernel alone", "of it, processor")
    return Table("Drift", head, rows, [note])
