"""The agent sees what somebody takes away, and puts it back, without being asked."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from agent_support import alive, refusal
from drifting import HARMS, Life
from surroundings import agents
from topology import until

from pycnm.agent.kept import Kept
from pycnm.kernel import agent as client

SOURCE = str(Path(client.__file__).parents[2])
# What the kernel doesn't tell anybody of.
UNHEARD = {
    "host end, IPv6 on",
    "route_localnet",
    "accept_ra",
    "the files",
    "the hosts file",
    "where ip netns finds the files",
}


class Watcher:
    """An agent that watches, and what it says."""

    def __init__(self, host, directory):
        argv = [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(directory)]
        self.process = host.popen(
            *argv,
            "--watch",
            "--foreground",
            "--until-eof",
            env={"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.said = []
        self._reader = threading.Thread(target=self._read, name="test-watcher", daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line)

    def serves(self):
        return until(lambda: any("is served" in line for line in self.said), 20.0)

    def end(self, how=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        code = self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stderr.close()
        return code

    def ticks(self):
        """How much it has worked, in hundredths of a second; and how often it was woken."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        woken = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            (count,) = [
                line for line in status.read_text().splitlines() if line.startswith("voluntary")
            ]
            woken += int(count.split()[1])
        return int(stat[11]) + int(stat[12]), woken


@pytest.fixture
def life(cnm, host, outside, tmp_path):
    return Life(cnm, host, outside, tmp_path)


@pytest.fixture
def watch(life, host, tmp_path):
    started = []

    def start():
        started.append(Watcher(host, tmp_path / "state"))
        return started[-1]

    yield start
    for each in started:
        each.end()
    # One that was killed has left its ports.
    life.cnm.reconcile()


def quiet(watcher):
    """Wait until it has nothing to do."""

    def rests():
        before = watcher.ticks()[0]
        time.sleep(0.3)
        return watcher.ticks()[0] == before

    return until(rests, 20.0)


def put_back(watcher):
    return [line for line in watcher.said if "put back" in line]


def heals(life, script):
    """Something is put back within seconds; generously, on a busy machine."""
    life.harm(script)
    until(lambda: life.cnm.check() == [], 10.0)
    assert (life.cnm.check(), life.works()) == ([], [])


def test_whatever_the_kernel_tells_of_is_put_back(life, watch):
    watcher = watch()
    assert watcher.serves()
    late = {}
    for name, (script, _) in HARMS.items():
        if name not in UNHEARD:
            assert quiet(watcher)
            told = len(put_back(watcher))
            life.harm(script)
            if not until(lambda told=told: len(put_back(watcher)) > told, 5.0):
                late[name] = watcher.said[-3:]
            if not until(lambda: life.cnm.check() == [], 5.0):
                late[name] = life.cnm.check()
                life.cnm.reconcile()
    assert late == {}
    assert life.works() == []


def test_idle_it_sleeps(life, watch):
    watcher = watch()
    assert watcher.serves()
    assert quiet(watcher)
    before = watcher.ticks()
    time.sleep(4)
    worked, woken = (now - then for now, then in zip(watcher.ticks(), before, strict=True))
    assert worked <= 2
    # The server looks once a second whether its socket is there.
    assert woken <= 10


def test_what_pycnm_does_itself_is_no_drift(life, watch):
    watcher = watch()
    assert watcher.serves()
    for number in range(12):
        with life.cnm.create_sandbox(f"x{number}") as box, life.cnm.create_network("other") as net:
            end = net.connect(box, publish=[f"{9000 + number}:90"])
            life.net.connect(box)
            end.configure(aliases=["a"])
            net.configure(options={"com.docker.network.driver.mtu": "1400"})
            life.net.disconnect(box)
    assert quiet(watcher)
    assert put_back(watcher) == []
    assert life.cnm.check() == []


def test_killed_the_next_one_looks_at_everything(life, watch, host):
    first = watch()
    assert first.serves()
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    life.harm("nft flush ruleset; ip link del {veth}; ip -n c1 addr flush dev eth0")
    assert refusal(host, "8080/tcp") == ""
    second = watch()
    assert until(lambda: life.cnm.check() == [], 10.0)
    assert refusal(host, "8080/tcp") == "EADDRINUSE"
    assert life.works() == []
    assert until(lambda: put_back(second))


def test_one_at_a_time_and_the_next_takes_over(life, watch, tmp_path):
    (holder,) = agents(tmp_path)
    first = watch()
    assert first.serves()
    assert not alive(holder)
    second = watch()
    time.sleep(1)
    assert second.said == []
    heals(life, "ip link del {veth}")
    assert second.said == []
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert second.serves()
    heals(life, "ip link del {veth}")


def test_ports_are_held_when_it_has_ended(life, watch, host, tmp_path):
    watcher = watch()
    assert watcher.serves()
    assert agents(tmp_path) == [watcher.pid]
    watcher.process.stdin.close()
    assert watcher.process.wait() == 0
    assert refusal(host, "8080/tcp") == "EADDRINUSE"
    assert life.cnm.check() == []


def test_what_it_cannot_put_back_is_not_tried_in_a_spin(life, watch):
    watcher = watch()
    assert watcher.serves()
    life.harm("ip link set {veth} name foo down; ip link add {veth} type bridge; ip link del foo")
    assert until(lambda: any("didn't make" in line for line in watcher.said), 5.0)
    time.sleep(2)
    assert quiet(watcher)
    before = watcher.ticks()
    tries = len([line for line in watcher.said if "didn't make" in line])
    time.sleep(3)
    assert watcher.ticks()[0] - before[0] <= 10
    assert len([line for line in watcher.said if "didn't make" in line]) <= tries + 2
    assert life.works() != []
    # Everything else goes on.
    life.harm("nft flush ruleset")
    assert until(lambda: not any("inet cnm" in told for told in life.cnm.check()), 10.0)
    life.harm("ip link del {veth}")
    assert until(lambda: life.cnm.check() == [], 15.0)
    assert life.works() == []


def test_a_storm_of_others(life, watch, host):
    """A thousand links come and go; and the kernel has more to say than anybody can hear."""
    watcher = watch()
    assert watcher.serves()
    assert quiet(watcher)
    before = watcher.ticks()[0]
    storm = [f"link add f{number} group 77 type bridge" for number in range(1000)]
    host.batch(*storm)
    assert quiet(watcher)
    assert watcher.ticks()[0] - before < 300
    assert put_back(watcher) == []
    heals(life, "ip link del {veth}")
    watcher.process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        host.batch("link set group 77 up", "link set group 77 down")
    life.harm("ip -n c2 addr flush dev eth0; nft flush ruleset")
    watcher.process.send_signal(signal.SIGCONT)
    assert until(lambda: life.cnm.check() == [], 20.0)
    host.batch("link del group 77")
    assert life.works() == []


def test_nobody_misses_it_while_one_gives_way_to_another(life, watch):
    """To the one that watches, and from it to one that doesn't.

    Nothing is told to be amiss, and no port that is published is free.
    """
    found, taken, over = [], [], threading.Event()

    def look():
        while not over.is_set():
            found.append(life.cnm.check())

    def try_to_have_it():
        while not over.is_set():
            with socket.socket() as one, contextlib.suppress(OSError):
                one.bind(("0.0.0.0", 8080))
                taken.append(time.monotonic())

    threads = [
        threading.Thread(target=look),
        threading.Thread(target=life.host.do, args=(try_to_have_it,)),
    ]
    for each in threads:
        each.start()
    try:
        for _ in range(4):
            watcher = watch()
            assert watcher.serves()
            watcher.end()
    finally:
        over.set()
        for each in threads:
            each.join()
    assert len(found) > 20
    assert [each for each in found if each] == []
    assert taken == []


def test_kept_by_a_program_it_is_back_when_it_was_killed(life, host, tmp_path):
    def watchers():
        return [
            pid
            for pid in agents(tmp_path)
            if b"--watch" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with Kept(tmp_path / "state", host.name), Kept(tmp_path / "state", host.name):
            assert until(lambda: len(watchers()) == 2, 10.0)
            heals(life, "ip link del {veth}")
            before = watchers()
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert until(lambda: len(watchers()) == 2 and not {*watchers()} & {*before}, 10.0)
            assert until(lambda: life.cnm.check() == [], 10.0)
            heals(life, "nft flush ruleset")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert watchers() == []
    assert life.cnm.check() == []
