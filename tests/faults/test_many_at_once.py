"""Eight processes, one of them with eight threads, at one state directory, doing anything.

Nobody waits for ever, nothing is given twice, and nothing is left; not even when
one of them is killed every second.  `--all` has them at it for five minutes each.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from topology import inside

import pycnm
from pycnm.kernel.linux import LinuxKernel

BUSY = Path(__file__).parent / "busy.py"
PROCESSES, THREADS = 8, 8
PATIENCE = 60
"""Seconds after its end in which a process has to have done what it was at."""


class Crowd:
    """The processes."""

    def __init__(self, directory, host, seconds, seed):
        self.words = [str(directory), host.name]
        self.until = time.monotonic() + seconds
        self.seeds = iter(range(seed, seed + 10_000))
        self.running = [self.start(THREADS), *(self.start(1) for _ in range(PROCESSES - 1))]

    def start(self, threads):
        words = [
            *self.words,
            str(next(self.seeds)),
            str(self.until - time.monotonic()),
            str(threads),
        ]
        environment = {
            "PYTHONPATH": str(Path(pycnm.__file__).parents[1]), "PATH": os.environ["PATH"],
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, str(BUSY), *words],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        process.threads = threads
        return process

    def kill_one(self, dice):
        """One of them dies, wherever it is just now, and another one comes."""
        at = dice.randrange(len(self.running))
        gone = self.running[at]
        gone.kill()
        gone.communicate()
        self.running[at] = self.start(gone.threads)

    def end(self):
        """What all of them say, added up; none of them may be late."""
        said = Counter()
        for process in self.running:
            try:
                rest = self.until + PATIENCE - time.monotonic()
                output, complaints = process.communicate(timeout=max(1, rest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGUSR1)
                time.sleep(1)
                process.kill()
                _, complaints = process.communicate()
                pytest.fail(f"somebody waits for ever:\n{complaints}")
            assert process.returncode == 0, complaints
            found = json.loads(output.splitlines()[-1])
            assert found["errors"] == [], "\n".join(found["errors"])
            said["changes"] += found.get("changes", 0)
            said["refusals"] += found.get("refusals", 0)
            said["slowest"] = max(said["slowest"], found["slowest"])
        return said

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.communicate()


def nothing_twice(cnm, host):
    """Each thing has one holder, as the kernel sees it; and it sees what is recorded."""
    macs, addresses, ports = [], [], []
    for box in cnm.sandboxes():
        place = inside(box)
        names = {end.interface: end for end in box.endpoints}
        assert place.interfaces() == sorted([*names, "lo"])
        for link in place.ip("address"):
            if link["ifname"] == "lo":
                continue
            end = names[link["ifname"]]
            found = {info["local"] for info in link["addr_info"] if info["scope"] == "global"}
            assert found == {str(address) for address in (end.ip, end.ip6) if address is not None}
            assert link["address"] == str(end.mac)
            macs.append((end.network.id, link["address"]))
            addresses += found
    for network in cnm.networks(type="custom"):
        joined = [end.host_interface for end in network.endpoints if end.host_interface]
        links = host.ip("link", "show", "master", network.interface)
        assert sorted(link["ifname"] for link in links) == sorted(joined)
        for end in network.endpoints:
            ports += [(b.protocol, str(b.host_address), b.host_port) for b in end.ports]
    for each in (macs, addresses, ports):
        assert len(each) == len(set(each))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "killed"])
def test_many_at_once(cnm, host, tmp_path, tally, exhaustive, killed):
    seconds = 300 if exhaustive else 25 if killed else 35
    seed = time.time_ns() if exhaustive else 1
    crowd = Crowd(tmp_path / "state", host, seconds, seed)
    deaths = 0
    try:
        dice = random.Random(seed)  # noqa: S311 - not a secret
        while killed and time.monotonic() < crowd.until - 2:
            time.sleep(1)
            crowd.kill_one(dice)
            deaths += 1
        said = crowd.end()
    finally:
        crowd.close()
    # The last to die is taken back by whoever comes next.
    with pycnm.Controller(tmp_path / "state", host=host.name) as late:
        assert late.troubles == []
    assert cnm.check() == []
    nothing_twice(cnm, host)
    assert said["changes"] > 100
    name = "8 processes and 8 threads" + (", one killed each second" if killed else "")
    tally(
        "many at once", name, seconds=seconds, deaths=deaths, changes=said["changes"],
        refusals=said["refusals"], slowest_s=round(said["slowest"], 2),
    )  # fmt: skip


class Timed(LinuxKernel):
    """A kernel that remembers when it was at work."""

    def __init__(self, host, directory):
        super().__init__(host.key, directory)
        self.spans = []

    def run(self, undo, do):
        begun = time.perf_counter()
        super().run(undo, do)
        self.spans.append((threading.get_ident(), begun, time.perf_counter()))


def test_attaches_to_two_networks_overlap(controller, host, tmp_path, tally):
    """Two threads attach, each to its own network: how much of it goes on at once."""
    (tmp_path / "state").mkdir(mode=0o700)
    kernel = Timed(host, tmp_path / "state")
    cnm = controller(host, kernel=kernel)
    nets = [cnm.create_network(f"n{number}") for number in range(2)]
    boxes = [[cnm.create_sandbox(f"c{n}-{number}") for number in range(40)] for n in range(2)]
    kernel.spans.clear()
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: [nets[n].connect(box) for box in boxes[n]], range(2)))
    together = time.perf_counter() - begun
    one, other = ([span[1:] for span in kernel.spans if span[0] == who]
                  for who in dict.fromkeys(span[0] for span in kernel.spans))  # fmt: skip
    both = sum(
        max(0.0, min(end, finish) - max(start, begin))
        for start, end in one
        for begin, finish in other
    )
    assert both > 0
    work = sum(end - start for _, start, end in kernel.spans)
    tally(
        "many at once: two attaches overlap", "40 attaches to each of two networks",
        elapsed_ms=together * 1000, kernel_ms=work * 1000, at_once_ms=both * 1000,
    )  # fmt: skip
