"""Names inside sandboxes go on being answered, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from agent_support import alive
from names_support import RESOLVER, addresses, gone, join, query, steady
from surroundings import agents, keepers
from topology import IMPATIENCE, Place, inside, until

from pycnm.agent.keeper import SOCKET
from pycnm.agent.kept import Kept
from pycnm.kernel import agent as client

LONG = 2.0
EPOLL = {"232", "281", "22"}
"""The numbers of epoll_wait and epoll_pwait on x86-64, and of the latter on aarch64."""
SOURCE = str(Path(client.__file__).parents[2])

CONNECT = """
import sys, pycnm
with pycnm.Controller(sys.argv[1], host=sys.argv[2]) as cnm:
    network = cnm.create_network("blue", subnet="10.1.0.0/24", internal=True)
    for name in ("c1", "db"):
        network.connect(cnm.create_sandbox(name))
"""


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.1.0.0/24", internal=True)


@pytest.fixture
def c1(cnm, blue, state):
    sandbox = join(cnm, "c1", blue)
    assert addresses(sandbox, "c1") == ["10.1.0.2"]
    assert until((state / SOCKET).exists)
    return sandbox


def kill(pids, number=signal.SIGKILL):
    """End processes, and wait until they have."""
    for pid in pids:
        os.kill(pid, number)
    assert until(lambda: not any(alive(pid) for pid in pids))


def kill_at_rest(pid):
    """End an agent that waits for queries and has none in its hands: that one would go with it."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        assert until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text())
        number, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
        if number in EPOLL:
            kill([pid])
            return
        os.kill(pid, signal.SIGCONT)


def another(directory, pids, sandbox):
    """Wait for others than these, and an answer; who they are."""
    assert until(lambda: [pid for pid in agents(directory) if pid not in pids], 15)
    assert addresses(sandbox, sandbox.name, patience=15)
    return agents(directory)


def test_the_port_inside_is_free_when_it_was_let_go(cnm, blue, c1, state):
    """The keeper has the sockets, too, and may be late to close them."""
    before = c1.explain()
    (keeper,) = keepers(state)
    os.kill(keeper, signal.SIGSTOP)
    later = threading.Timer(0.5, os.kill, [keeper, signal.SIGCONT])
    later.start()
    blue.disconnect(c1)
    blue.connect(c1)
    later.join()
    assert str(c1.explain()) == str(before)
    assert addresses(c1, "c1") == ["10.1.0.2"]


def test_no_query_that_waits_is_lost_when_the_agent_is_killed(c1, state):
    with steady(c1, "c1") as flow:
        for _ in range(3):
            time.sleep(1)
            before = agents(state)
            kill(before)
            another(state, before, c1)
        time.sleep(1)
    # What an agent had read when it was killed went with it, one query at most each time.
    assert flow.sent > 200
    # Where it takes seconds until the next one runs, what waits outgrows the socket's buffer.
    assert flow.answered >= flow.sent - 3 or flow.worst > LONG
    assert len(keepers(state)) == 1


def test_changes_made_while_no_agent_lives_are_seen(cnm, blue, c1, state):
    (before,) = agents(state)
    os.kill(before, signal.SIGKILL)
    db = join(cnm, "db", blue)
    assert addresses(c1, "db") == ["10.1.0.3"]
    assert addresses(db, "c1") == ["10.1.0.2"]
    os.kill(another(state, [before], c1)[0], signal.SIGKILL)
    blue.disconnect(db)
    assert addresses(c1, "db") == "NXDOMAIN"


def test_another_keeper_takes_the_place_of_one_that_is_killed(c1, state):
    with steady(c1, "c1") as flow:
        for _ in range(2):
            first = keepers(state)
            kill(first)
            assert until(lambda first=first: keepers(state) not in ([], first))
            time.sleep(0.5)
            before = agents(state)
            for agent in before:
                kill_at_rest(agent)
            another(state, before, c1)
    assert flow.answered == flow.sent


def test_both_are_killed_and_somebody_asks(cnm, blue, c1, state):
    kill(keepers(state) + agents(state))
    db = join(cnm, "db", blue)
    assert addresses(c1, "db") == ["10.1.0.3"]
    assert addresses(db, "c1") == ["10.1.0.2"]


def test_an_agent_that_watches_takes_over_and_gives_back(c1, state, host):
    before = agents(state)
    with steady(c1, "c1") as flow:
        with Kept(state, host.key):
            after = another(state, before, c1)
            assert until(lambda: not any(alive(pid) for pid in before))
            time.sleep(1)
        another(state, after, c1)
        assert until(lambda: not any(alive(pid) for pid in after))
        time.sleep(1)
    assert flow.answered == flow.sent


def test_the_program_that_made_it_may_be_gone(machine, controller, state):
    h2 = machine("h2")
    before = h2.picture()
    h2.run("env", f"PYTHONPATH={SOURCE}", sys.executable, "-c", CONNECT, str(state), "h2")
    c1 = Place("/run/netns/c1", "c1")
    answer = c1.run("dig", "+short", "+tries=1", f"@{RESOLVER}", "db")
    assert answer.split() == ["10.1.0.3"]
    controller(h2, before=before)


def test_the_host_restarts_a_program_that_is_stopped_meanwhile(c1, state):
    """SIGSTOP, as a debugger does it: what waits is answered later."""
    (pid,) = agents(state)
    with inside(c1).connect(RESOLVER, 53, "udp", patience=IMPATIENCE) as asker:
        os.kill(pid, signal.SIGSTOP)
        asker.send(query("c1").to_wire())
        with pytest.raises(TimeoutError):
            asker.recv(4096)
        os.kill(pid, signal.SIGCONT)
        asker.settimeout(5)
        assert asker.recv(4096)


# Namespaces


def test_a_namespace_is_not_kept_by_who_answers_in_it(cnm, blue, c1, state, host):
    host.run("ip", "netns", "add", "guest")
    host.run("ip", "-n", "guest", "link", "set", "lo", "up")
    guest = cnm.create_sandbox("guest", netns="guest")
    blue.connect(guest)
    assert addresses(guest, "c1") == ["10.1.0.2"]
    device = next(e for e in blue.endpoints if e.sandbox == guest).host_interface
    assert device in host.interfaces()
    host.run("ip", "netns", "del", "guest")
    assert until(lambda: device not in host.interfaces())
    assert addresses(c1, "c1") == ["10.1.0.2"]
    guest.delete()


def test_one_that_ends_with_its_process_either(cnm, blue, c1, host):
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 1000"],
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        guest = cnm.create_sandbox("guest", netns=process.pid)
        blue.connect(guest)
        assert addresses(guest, "c1") == ["10.1.0.2"]
        device = next(e for e in blue.endpoints if e.sandbox == guest).host_interface
        process.kill()
    assert until(lambda: device not in host.interfaces())
    guest.delete()


def test_no_thread_of_it_stays_inside(cnm, blue, c1, state, host):
    (pid,) = agents(state)
    own = os.stat(host.key).st_ino
    for task in Path(f"/proc/{pid}/task").iterdir():
        assert (task / "ns/net").stat().st_ino == own


# The end


def test_both_end_when_nothing_is_left_to_do(cnm, blue, c1, state):
    db = join(cnm, "db", blue)
    for sandbox in (c1, db):
        blue.disconnect(sandbox)
    assert until(lambda: not agents(state) and not keepers(state), 15)
    assert not (state / SOCKET).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_end_when_told_to(cnm, c1, state, number):
    kill(agents(state), number)
    assert gone(state)
    assert not (state / SOCKET).exists()
    assert len(cnm.reconcile()) == 1
    assert addresses(c1, "c1") == ["10.1.0.2"]


def test_a_keeper_whose_place_is_taken_ends(cnm, blue, c1, state):
    (state / SOCKET).unlink()
    kill(agents(state))
    assert gone(state)
    db = join(cnm, "db", blue)
    assert addresses(c1, "db") == addresses(db, "db") == ["10.1.0.3"]


def test_many_at_once(cnm, blue, c1, state):
    """Connected by eight threads while the agent is killed: each is answered in the end."""
    names = [f"m{number}" for number in range(16)]
    failed = []

    def connect(some):
        for name in some:
            try:
                blue.connect(cnm.create_sandbox(name))
            except Exception as error:  # noqa: BLE001 - told of below
                failed.append(error)

    threads = [threading.Thread(target=connect, args=[names[n::4]]) for n in range(4)]
    for thread in threads:
        thread.start()
    for pid in agents(state):
        os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert failed == []
    for name in names:
        assert addresses(cnm.sandbox(name), "c1") == ["10.1.0.2"]
        assert len(addresses(c1, name)) == 1


def test_the_keeper_is_a_quiet_process_with_one_right(c1, state):
    (pid,) = keepers(state)
    process = Path("/proc", str(pid))
    status = dict(
        line.split(":\t", 1)
        for line in (process / "status").read_text().splitlines()
        if ":\t" in line
    )
    assert status["Name"] == "cnm-keeper"
    assert (state / SOCKET).stat().st_mode & 0o777 == 0o600
    assert int(status["CapPrm"], 16) | 1 << 1 == 1 << 1
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["SigBlk"].strip("0") == ""
    assert str((process / "cwd").readlink()) == "/"
    variables = (process / "environ").read_bytes().split(b"\0")
    assert {text.partition(b"=")[0] for text in variables if text} == {b"PATH", b"PYTHONPATH"}
    links = {entry.name: str(entry.readlink()) for entry in (process / "fd").iterdir()}
    assert [links.pop(number) for number in ("0", "1", "2")] == ["/dev/null"] * 3
    assert {link.partition(":")[0] for link in links.values()} == {str(state), "socket"}
