"""Many at once: threads, processes, and two attaches that don't wait for each other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from topology import RUN_NETNS, inside

import pycnm
from pycnm.kernel import rtnl
from pycnm.kernel.linux import LinuxKernel
from pycnm.kernel.netlink import NETLINK_ROUTE, Socket

ROUNDS = """
import json, sys, pycnm
directory, host, who = sys.argv[1:]
made, refused = [], 0
with pycnm.Controller(directory, host=host) as cnm:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        cnm.create_network("raced", subnet="10.77.0.0/24")
        won = True
    except pycnm.AlreadyExistsError:
        won = False
    net = cnm.network("my_bridge")
    for turn in range(6):
        box = cnm.create_sandbox(f"{who}-{turn}")
        endpoint = net.connect(box)
        if turn % 2:
            box.delete()
        else:
            made.append([box.name, str(endpoint.ip)])
print(json.dumps([won, made]), flush=True)
"""


def test_threads_on_one_controller(cnm, host):
    nets = [cnm.create_network(f"n{number}", subnet=f"10.{number}.0.0/24") for number in (1, 2)]

    def work(number):
        box = cnm.create_sandbox(f"c{number}")
        for net in nets:
            net.connect(box)
        if number % 3 == 0:
            nets[0].disconnect(box)
            nets[0].connect(box)
        return box

    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(work, range(16)))
    everything = [
        address
        for box in boxes
        for interface in ("eth0", "eth1")
        for address in inside(box).addresses(interface)
    ]
    assert sorted(everything) == sorted(
        f"10.{net}.0.{last}/24" for net in (1, 2) for last in range(2, 18)
    )
    for net in nets:
        ports = host.ip("link", "show", "master", f"br-{net.id[:12]}")
        assert len(ports) == 16
    assert inside(boxes[0]).ping("10.1.0.17")
    assert inside(boxes[0]).ping("10.2.0.17")
    assert cnm.check() == []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda box: box.delete(), boxes))
    assert [net.endpoints for net in nets] == [[], []]


def test_processes_on_one_state_directory(cnm, host, tmp_path):
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    environment = {"PYTHONPATH": str(Path(pycnm.__file__).parents[1]), "PATH": os.environ["PATH"]}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    state = str(tmp_path / "state")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ROUNDS, state, host.name, who], env=environment, **pipes
        )
        for who in ("a", "b", "c")
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outcomes = [json.loads(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(won for won, _ in outcomes) == [False, False, True]
    made = dict(pair for _, pairs in outcomes for pair in pairs)
    assert len(made) == len(set(made.values())) == 9
    for name, address in made.items():
        assert inside(cnm.sandbox(name)).addresses("eth0") == [f"{address}/24"]
    assert {box.name for box in cnm.sandboxes()} == set(made)
    assert len(host.ip("link", "show", "master", f"br-{net.id[:12]}")) == 9
    assert inside(cnm.sandbox("a-0")).ping(made["c-4"])
    assert cnm.check() == []


def test_one_of_many_gets_a_name_an_address_a_subnet(cnm, host):
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(4)]

    def race(attempts):
        start, outcomes = threading.Barrier(len(attempts)), []

        def run(attempt):
            start.wait()
            try:
                attempt()
            except pycnm.CNMError as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append("done")

        threads = [threading.Thread(target=run, args=[attempt]) for attempt in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Counter(outcomes)

    assert race([lambda: cnm.create_network("one")] * 4) == {"done": 1, "AlreadyExistsError": 3}
    assert race([lambda: cnm.create_sandbox("one")] * 4) == {"done": 1, "AlreadyExistsError": 3}
    assert race(
        [lambda n=n: cnm.create_network(f"s{n}", subnet="10.9.0.0/24") for n in range(4)]
    ) == {"done": 1, "PoolOverlapError": 3}
    assert race([lambda box=box: net.connect(box, ip="10.20.30.9") for box in boxes]) == {
        "done": 1,
        "AddressInUseError": 3,
    }
    (lucky,) = [box for box in boxes if box.endpoints]
    assert inside(lucky).addresses("eth0") == ["10.20.30.9/24"]
    assert race([lambda: net.disconnect(lucky)] * 4) == {"done": 1, "NotFoundError": 3}
    assert inside(lucky).interfaces() == ["lo"]
    assert cnm.check() == []


def test_one_sandbox_to_many_networks_at_once(cnm):
    nets = [cnm.create_network(f"n{number}", subnet=f"10.{number}.0.0/24") for number in range(6)]
    box = cnm.create_sandbox("c2")
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda net: net.connect(box).interface, nets))
    assert sorted(names) == [f"eth{number}" for number in range(6)]
    assert inside(box).interfaces() == sorted([*names, "lo"])
    (default,) = [route for route in inside(box).routes() if route["dst"] == "default"]
    assert default["gateway"] == "10.0.0.1"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda net: net.disconnect(box), nets))
    assert inside(box).interfaces() == ["lo"]


def test_connect_against_delete(cnm, host):
    """Whoever is first, nothing half-made stays."""
    for turn in range(8):
        net, box = cnm.create_network("n"), cnm.create_sandbox("c")
        start, caught = threading.Barrier(3), []

        def attempt(work, start=start, caught=caught):
            start.wait()
            try:
                work()
            except (pycnm.NotFoundError, pycnm.InUseError) as error:
                caught.append(error)

        works = [lambda net=net, box=box: net.connect(box), box.delete, net.delete]
        threads = [threading.Thread(target=attempt, args=[work]) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cnm.sandboxes() == [], turn
        if "n" in [each.name for each in cnm.networks()]:
            net.delete()
        assert cnm.check() == []


class Meeting(LinuxKernel):
    """A kernel in whose `run` the wanted number of callers must meet."""

    def __init__(self, host, directory):
        super().__init__(host.key, directory)
        self.barrier = None

    def run(self, undo, do):
        if self.barrier is not None:
            self.barrier.wait()
        super().run(undo, do)


@pytest.mark.parametrize("networks", [1, 2])
def test_two_attaches_overlap(controller, host, tmp_path, networks):
    """Each is in the middle of its kernel work while the other is; neither gets out alone."""
    (tmp_path / "state").mkdir(mode=0o700)
    kernel = Meeting(host, tmp_path / "state")
    cnm = controller(host, kernel=kernel)
    nets = [cnm.create_network(f"n{number}") for number in range(networks)]
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(2)]
    kernel.barrier = threading.Barrier(2, timeout=10)
    with ThreadPoolExecutor(2) as pool:
        endpoints = list(pool.map(lambda n: nets[n % networks].connect(boxes[n]), range(2)))
    kernel.barrier = None
    for endpoint, box in zip(endpoints, boxes, strict=True):
        assert inside(box).addresses("eth0")[0].startswith(str(endpoint.ip))


def test_a_child_of_fork_may_go_on(cnm, host, tmp_path):
    """os.fork in the middle of a program that has a Controller open."""
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    net.connect(cnm.create_sandbox("before"))
    program = (
        "import os, sys, pycnm\n"
        "cnm = pycnm.Controller(sys.argv[1], host=sys.argv[2])\n"
        "net = cnm.network('my_bridge')\n"
        "net.connect(cnm.create_sandbox('parent'))\n"
        "child = os.fork()\n"
        "name = 'parent2' if child else 'child'\n"
        "net.connect(cnm.create_sandbox(name))\n"
        "code = os.waitpid(child, 0)[1] if child else 0\n"
        "cnm.close() if child else None\n"
        "os._exit(bool(code))\n"
    )
    environment = {"PYTHONPATH": str(Path(pycnm.__file__).parents[1]), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", program, str(tmp_path / "state"), host.name]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            assert process.wait(timeout=20) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    names = {box.name for box in cnm.sandboxes()}
    assert names == {"before", "parent", "parent2", "child"}
    assert {path.name for path in RUN_NETNS.iterdir()} >= names
    assert inside(cnm.sandbox("child")).ping("10.20.30.2")
    assert cnm.check() == []


HAMMER = """
import ctypes
from pycnm.kernel import rtnl
from pycnm.kernel.netlink import NETLINK_ROUTE, Socket
ctypes.CDLL(None).unshare(0x40000000)
with Socket(NETLINK_ROUTE) as connection:
    print("ready", flush=True)
    while True:
        connection.request([rtnl.set_link("lo", up=up) for up in 20 * [True, False]])
"""


def test_frames_pass_as_soon_as_connect_returns_however_busy_the_kernel_is(cnm, host):
    """The kernel takes note of a carrier in a thread of its own, which waits for a lock.

    What is sent before that is lost, and an address that nobody seems to have is
    asked for again only after a second.
    """
    environment = {"PYTHONPATH": str(Path(pycnm.__file__).parents[1])}
    command = [sys.executable, "-c", HAMMER]
    busy = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for process in busy:
            assert process.stdout.readline() == b"ready\n"
        for _ in range(60):
            # Ports of a bridge carry nothing before the first of them is up.
            net = cnm.create_network("net", subnet="10.20.30.0/24")
            box = cnm.create_sandbox("c2")
            port = net.connect(box).host_interface
            links = host.do(all_links)
            assert [links[name].carries for name in (port, f"br-{net.id[:12]}")] == [True, True]
            box.delete()
            net.delete()
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def all_links():
    """Every link by its name; asked about all at once, the kernel doesn't look at any."""
    with Socket(NETLINK_ROUTE) as connection:
        states = map(rtnl.link_state, connection.dump(rtnl.get_links()))
        return {state.name: state for state in states}
