"""The agent: other programs don't get published ports, whatever happens to it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_support import Client, after, alive, hold, occupied, port, refusal
from surroundings import agents, held_by
from topology import IMPATIENCE, inside, until

from pycnm.errors import InvalidArgumentError, KernelError, PortInUseError, StoreError
from pycnm.kernel import agent as client
from pycnm.kernel import occupants
from pycnm.kernel.holding import Holder
from pycnm.kernel.linux import LinuxKernel
from pycnm.plan.rules import Entry

SOURCE = str(Path(client.__file__).parents[2])

HOLD = """
import sys
from pathlib import Path
from pycnm.kernel.agent import Agent
from pycnm.kernel.holding import HeldPort, Holder

def hold():
    Holder(Agent(Path(sys.argv[1]))).hold([HeldPort("tcp", "0.0.0.0", int(sys.argv[2]))])()
"""

HOLD_TOGETHER = f"""{HOLD}
sys.stdin.read()
hold()
"""

HOLD_WITH_OWN_HANDLER = f"""{HOLD}
import os, signal

def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

def descriptors():
    return sorted(os.listdir("/proc/self/fd"))

before = descriptors()
handler = {{"reap": reap, "ignore": signal.SIG_IGN, "default": signal.SIG_DFL}}[sys.argv[3]]
signal.signal(signal.SIGCHLD, handler)
hold()
assert signal.getsignal(signal.SIGCHLD) is handler
assert descriptors() == before
try:
    left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
except ChildProcessError:
    left = None
assert left is None, left
"""

HOLD_FROM_A_STRANGE_PLACE = f"""{HOLD}
from pycnm.kernel import agent

sys.path.append(sys.argv[3])
agent.__file__ = sys.argv[3] + "/pycnm/kernel/agent.py"
agent.Path.resolve = Path.absolute
hold()
"""

ASK_AS_NOBODY = """
import contextlib, json, os, socket, sys
from pycnm.kernel.agent import DIALECT, namespace

ports = [["tcp", "0.0.0.0", 8080]]
head = {"service": "ports", "dialect": DIALECT, "host": namespace("self")}
os.chdir(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as stream:
    try:
        stream.connect("agent.sock")
        with contextlib.suppress(ConnectionError):
            stream.sendall(json.dumps(head | {"do": "release", "ports": ports}).encode() + b"\\n")
        print(stream.recv(1000).decode())
    except OSError as error:
        print(error)
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def ports(home, host):
    """A client in the host, and no agent afterwards."""
    one = Client(home, host)
    yield one
    for pid in agents(home):
        os.kill(pid, signal.SIGTERM)
    assert one.ended()


def launch(home, *options, **how):
    """The agent as a person starts it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(home), *options],
        env={"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
        **how,
    )


# Ports


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("8080/tcp", "8080/tcp"),
        ("8080/udp", "8080/udp"),
        ("[::]:8080/tcp", "[::]:8080/tcp"),
        ("[::]:8080/udp", "[::]:8080/udp"),
        ("8080/tcp", "127.0.0.1:8080/tcp"),
        ("127.0.0.1:8080/tcp", "8080/tcp"),
        ("127.0.0.1:8080/udp", "127.0.0.1:8080/udp"),
        ("[::]:8080/tcp", "[::1]:8080/tcp"),
        ("[::1]:8080/udp", "[::]:8080/udp"),
        ("80/tcp", "80/tcp"),
    ],
)
def test_another_program_gets_eaddrinuse(ports, host, held, wanted):
    assert refusal(host, wanted) == ""
    ports.hold(held)
    assert refusal(host, wanted) == "EADDRINUSE"
    ports.release(held)
    assert refusal(host, wanted) == ""


def test_nothing_else_is_taken(ports, host):
    ports.hold("8080/tcp", "127.0.0.1:53/udp", "[::]:443/tcp")
    others = [
        "[::]:8080/tcp",
        "8080/udp",
        "8081/tcp",
        "127.0.0.2:53/udp",
        "443/tcp",
        "[::]:443/udp",
    ]
    assert [refusal(host, text) for text in others] == [""] * len(others)


def test_repeating_is_fine(ports, host):
    ports.hold("8080/tcp", "8080/tcp")
    ports.hold("8080/tcp", "8081/tcp")
    assert len(held_by(ports.agent())) == 2
    ports.release("8080/tcp")
    ports.release("8080/tcp", "9999/udp")
    assert ports.holds("8080/tcp", "8081/tcp") == ["8081/tcp"]
    assert refusal(host, "8080/tcp") == ""


def test_no_packet_ever_comes_to_it(ports, host):
    ports.hold("8080/tcp", "8080/udp")
    with pytest.raises(TimeoutError):
        host.connect("127.0.0.1", 8080, patience=IMPATIENCE)
    with host.connect("127.0.0.1", 8080, "udp") as sender:
        sender.send(b"hello")
    tables = [host.do(Path("/proc/thread-self/net", kind).read_text) for kind in ("tcp", "udp")]
    queues = [
        line.split()[4] for table in tables for line in table.splitlines() if ":1F90 0" in line
    ]
    assert queues == ["00000000:00000000"] * 2


def test_who_tries_localhost_by_ipv6_first_is_refused_at_once(ports, host):
    ports.hold("[::]:8080/tcp")
    with pytest.raises(ConnectionRefusedError):
        host.connect("::1", 8080, patience=IMPATIENCE)


def test_connections_that_linger_are_not_in_the_way(ports, host):
    def serve_one_and_hang_up():
        with (
            socket.create_server(("::", 8080), family=socket.AF_INET6) as server,
            socket.create_connection(("::1", 8080)) as caller,
        ):
            server.accept()[0].close()
            caller.recv(1)

    host.do(serve_one_and_hang_up)
    assert "8080" in host.run("ss", "-6tan", "state", "time-wait")
    ports.hold("[::]:8080/tcp")
    assert refusal(host, "[::]:8080/tcp") == "EADDRINUSE"


def test_five_hundred_ports(ports):
    texts = [f"{number}/tcp" for number in range(20000, 20500)]
    ports.hold("30000/tcp")
    ports.hold(*texts)
    assert until(lambda: len(held_by(ports.agent())) == 501)
    ports.release(*texts)
    assert held_by(ports.agent()) == ["00000000:7530/tcp"]


# Ports that can't be had


def named(host, pid):
    name = host.do(Path(f"/proc/{pid}/comm").read_text).strip()
    return f"process {pid} ({name})"


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ("8080/tcp", "8080/tcp"),
        ("127.0.0.1:8080/tcp", "8080/tcp"),
        ("8080/udp", "127.0.0.1:8080/udp"),
        ("[::1]:8080/tcp", "[::]:8080/tcp"),
        ("[::]:8080/udp", "[::]:8080/udp"),
        ("[::]:8080/tcp", "8080/tcp"),
        ("[::]:8080/udp", "127.0.0.1:8080/udp"),
    ],
)
def test_who_has_a_port_is_named(ports, host, taken, wanted):
    with occupied(host, taken) as pid:
        with pytest.raises(PortInUseError) as caught:
            ports.hold(wanted)
        assert caught.value.holder == named(host, pid)
        assert caught.value.port == 8080
        assert named(host, pid) in str(caught.value)
        assert wanted in str(caught.value) or f"0.0.0.0:{wanted}" in str(caught.value)
    ports.hold(wanted)
    assert ports.holds(wanted) == [wanted]


def test_of_two_programs_the_one_in_the_way_is_named(ports, host):
    with occupied(host, "127.0.0.2:8080/tcp"), occupied(host, "127.0.0.1:8080/tcp") as pid:
        with pytest.raises(PortInUseError) as caught:
            ports.hold("127.0.0.1:8080/tcp")
        assert caught.value.holder == named(host, pid)


def test_a_program_that_does_not_listen_is_not_confused_with_another(ports, host):
    with host.socket() as silent:
        silent.bind(("127.0.0.1", 8080))
        with pytest.raises(PortInUseError) as caught:
            ports.hold("8080/tcp")
    assert caught.value.holder == occupants.UNSEEN


def test_all_or_nothing(ports, host):
    ports.hold("8000/tcp")
    with occupied(host, "8003/tcp"), pytest.raises(PortInUseError) as caught:
        ports.hold("8000/tcp", "8001/tcp", "8002/udp", "8003/tcp", "8004/tcp")
    assert caught.value.port == 8003
    assert held_by(ports.agent()) == ["00000000:1F40/tcp"]
    assert [refusal(host, text) for text in ("8001/tcp", "8002/udp", "8004/tcp")] == [""] * 3


@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        ("192.0.2.77:80/tcp", "no address of this host; publish on one it has, or on 0.0.0.0"),
        ("[2001:db8::77]:80/udp", "no address of this host; publish on one it has, or on ::"),
    ],
)
def test_an_address_the_host_does_not_have(ports, wanted, advice):
    with pytest.raises(KernelError, match=advice) as caught:
        ports.hold("8080/tcp", wanted)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert held_by(ports.agent()) == []


@pytest.mark.needs("sctp")
def test_sctp_is_held(ports):
    ports.hold("8080/sctp")
    assert ports.holds("8080/sctp") == ["8080/sctp"]


@pytest.mark.lacks("sctp")
def test_where_there_is_no_sctp_the_missing_module_is_named(ports):
    with pytest.raises(KernelError, match="modprobe sctp"):
        ports.hold("8080/sctp")
    assert ports.holds("8080/sctp") == []


def test_a_limit_of_open_files(ports, host, home):
    agent = [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(home)]
    host.run("env", f"PYTHONPATH={SOURCE}", "prlimit", "--nofile=300:300", *agent)
    assert until(lambda: ports.ask("list") is not None)
    texts = [f"{number}/tcp" for number in range(20000, 20300)]
    with pytest.raises(KernelError, match="RLIMIT_NOFILE"):
        ports.hold(*texts)
    assert ports.holds(*texts) == []
    ports.hold("20000/tcp")
    assert ports.holds(*texts) == ["20000/tcp"]


# Published ports


@pytest.fixture
def web(cnm):
    """A sandbox that serves, published on the host's ports 8080 and 8053."""
    network = cnm.create_network("net1", subnet="10.20.30.0/24")
    sandbox = cnm.create_sandbox("web")
    with inside(sandbox).serve(80, "53/udp"):
        network.connect(sandbox, publish=["8080:80", "8053:53/udp"])
        yield network, sandbox


def test_published_ports_outlive_the_agent_and_the_next_takes_them_back(
    web, cnm, host, outside, tmp_path
):
    network, _ = web
    state = Client(tmp_path / "state", host)
    wanted = ["8080/tcp", "8053/udp"]
    assert [refusal(host, text) for text in wanted] == ["EADDRINUSE"] * 2
    assert outside.ask("192.0.2.1", 8080).server == "web"
    state.kill()
    assert [refusal(host, text) for text in wanted] == ["", ""]
    assert outside.ask("192.0.2.1", 8080).server == "web"
    assert outside.ask("192.0.2.1", 8053, "udp").server == "web"
    assert len(cnm.check()) == 2

    other = cnm.create_sandbox("other")
    network.connect(other, publish=["8081:81"])
    assert [refusal(host, text) for text in [*wanted, "8081/tcp"]] == ["EADDRINUSE"] * 3
    assert cnm.check() == []
    assert outside.ask("192.0.2.1", 8080).server == "web"


def test_repair_takes_them_back_too(web, cnm, host, tmp_path):
    del web
    Client(tmp_path / "state", host).kill()
    assert len(cnm.reconcile()) == 2
    assert [refusal(host, text) for text in ("8080/tcp", "8053/udp")] == ["EADDRINUSE"] * 2


def test_a_port_that_was_taken_meanwhile_is_a_trouble_and_not_the_end(web, cnm, host, tmp_path):
    network, _ = web
    state = Client(tmp_path / "state", host)
    state.kill()
    with occupied(host, "8080/tcp") as pid:
        network.connect(cnm.create_sandbox("other"), publish=["8081:81"])
        answer = state.ask("list")
        assert [trouble[:3] for trouble in answer["troubles"]] == [["tcp", "0.0.0.0", 8080]]
        assert sorted(held[2] for held in answer["ports"]) == [8053, 8081]
        (words,) = cnm.check()
        assert f"8080/tcp isn't held by the agent; {named(host, pid)} has it" in words
    assert until(lambda: cnm.check() == []), "it is taken back as soon as it is free"


def test_the_agent_of_unpublished_ports_ends(web, tmp_path, host):
    network, sandbox = web
    assert agents(tmp_path)
    network.disconnect(sandbox)
    assert held_by(Client(tmp_path / "state", host).agent()) == []
    assert Client(tmp_path / "state", host).ended()
    network.connect(sandbox, publish=["8080:80"])
    assert refusal(host, "8080/tcp") == "EADDRINUSE"


@pytest.mark.parametrize(
    ("column", "answer"), [("leaving", ""), ("arriving", "EADDRINUSE")], ids=["leaving", "arriving"]
)
def test_of_ports_under_way_those_that_arrive_are_taken_back(web, host, tmp_path, column, answer):
    del web
    state = Client(tmp_path / "state", host)
    state.kill()
    mark(tmp_path / "state/cnm.db", column, "1")
    state.hold("9000/tcp")
    assert refusal(host, "8080/tcp") == answer
    state.release("9000/tcp")
    mark(tmp_path / "state/cnm.db", column, "NULL")
    state.hold("8080/tcp", "8053/udp")


def mark(database, column, value):
    """Have a change under way that makes or deletes every published port."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"UPDATE ports SET {column} = {value}")  # noqa: S608 - our own words


# One agent, whoever starts it


def test_threads_that_start_it_at_once_get_one(home, host, ports):
    alone = Holder(client.Agent(home))
    holders = [alone] * 4 + [Holder(client.Agent(home)) for _ in range(4)]

    def ask(number):
        host.do(lambda: hold(holders[number], f"{8000 + number}/tcp"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert until(lambda: len(agents(home)) == 1), "those who were too late end"
    assert len(held_by(ports.agent())) == 8


def test_processes_that_start_it_at_once_get_one(home, host, ports):
    started = [
        host.popen(
            *(sys.executable, "-W", "error", "-c", HOLD_TOGETHER, str(home), str(8000 + number)),
            env={"PYTHONPATH": SOURCE},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(5)
    ]
    for process in started:
        process.stdin.close()
    for process in started:
        with process:
            assert process.stderr.read() == b""
        assert process.returncode == 0
    assert until(lambda: len(agents(home)) == 1), "those who were too late end"
    assert until(lambda: len(held_by(ports.agent())) == 5)


def test_one_that_was_killed_is_started_again(ports):
    for number in range(8000, 8004):
        ports.hold(f"{number}/tcp")
        ports.kill()
    assert ports.holds("8000/tcp") == []
    ports.release("8000/tcp")
    ports.hold("8000/tcp")
    assert ports.holds("8000/tcp") == ["8000/tcp"]


def test_a_request_survives_that_the_agent_is_killed_over_it(ports):
    ports.hold("8080/tcp")
    pid = ports.agent()
    os.kill(pid, signal.SIGSTOP)
    asking = threading.Thread(target=ports.hold, args=["8081/tcp"])
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    os.kill(pid, signal.SIGKILL)
    asking.join()
    assert ports.agent() != pid
    assert ports.holds("8081/tcp") == ["8081/tcp"]


def test_a_second_one_ends_at_once(ports, home, host):
    ports.hold("8080/tcp")
    first = ports.agent()
    read, write = os.pipe()
    with open(read, "rb") as ready:
        done = host.do(lambda: launch(home, "--ready-fd", str(write), pass_fds=[write]))
        os.close(write)
        assert ready.read() == client.READY
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert until(lambda: agents(home) == [first])
    seen = host.do(lambda: launch(home, "--foreground"))
    assert seen.returncode == 0
    assert f"process {first} serves it already" in seen.stderr
    assert held_by(first) == ["00000000:1F90/tcp"]


def test_one_in_another_host_gives_way(ports, home, host, machine):
    ports.hold("8080/tcp")
    other = Client(home, machine("h2"))
    other.hold("8080/tcp")
    assert refusal(other.host, "8080/tcp") == "EADDRINUSE"
    assert refusal(host, "8080/tcp") == ""
    assert until(lambda: len(agents(home)) == 1)
    assert Path(f"/proc/{other.agent()}/ns/net").stat().st_ino == Path(other.host.key).stat().st_ino


def test_ports_asked_for_just_before_a_failure_are_let_go(ports, home, host):
    """The agent may be at work on them still when they are to be released."""
    kernel = LinuxKernel(host.key, home)
    ports.hold("8080/tcp")
    wanted = [port(f"{number}/tcp") for number in range(20000, 20500)]
    with pytest.raises(InvalidArgumentError, match="no set of ours"):
        kernel.run((), [*wanted, Entry("nosuch", ("br0",))])
    assert len(held_by(ports.agent())) == 1
    kernel.close()


def test_it_is_born_in_the_host_whichever_thread_asks(home, host):
    kernel = LinuxKernel(host.key, home)
    home.mkdir(mode=0o700)
    free = threading.Event()
    wanted = port("8080/tcp")
    # Sockets of the host are kept, so that nothing leads the next worker there.
    kernel.check([wanted])
    busy = threading.Thread(target=kernel.inside, args=["", free.wait])
    busy.start()
    try:
        kernel.run((), [wanted])
    finally:
        free.set()
        busy.join()
    assert kernel.check([wanted]) == []
    assert refusal(host, "8080/tcp") == "EADDRINUSE"
    kernel.run([wanted], ())
    kernel.close()


# Its end


def test_it_ends_by_itself_after_a_while(ports, home):
    ports.hold("8080/tcp")
    pid = ports.agent()
    assert after(4.5, lambda: alive(pid)), "it holds something"
    ports.release("8080/tcp")
    assert after(2.0, lambda: alive(pid)), "it lingers"
    ports.hold("8080/tcp")
    assert ports.agent() == pid
    ports.release("8080/tcp")
    assert ports.ended()
    assert [path.name for path in home.iterdir()] == ["agent.lock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(ports, home, host, number):
    host.do(lambda: blocked(number, lambda: hold(ports.holder, "8080/tcp")))
    ports.kill(number)
    # Another one may come and go on with it.
    assert refusal(host, "8080/tcp") == "EADDRINUSE"
    assert until(lambda: [path.name for path in home.iterdir()] == ["agent.lock"])
    assert refusal(host, "8080/tcp") == ""
    assert ports.holds("8080/tcp") == []


def blocked(number, work):
    """What `work` returns, called with a signal blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        return work()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_it_ends_with_its_state_directory(ports, home, host):
    ports.hold("8080/tcp")
    (home / "agent.sock").unlink()
    (home / "agent.lock").unlink()
    home.rmdir()
    assert ports.ended()
    assert refusal(host, "8080/tcp") == ""
    with pytest.raises(StoreError, match="can't be used"):
        ports.hold("8080/tcp")


def test_it_follows_a_state_directory_that_is_moved(ports, home, host):
    ports.hold("8080/tcp")
    moved = Client(home.rename(home.with_name("moved")), host)
    assert moved.holds("8080/tcp") == ["8080/tcp"]
    moved.release("8080/tcp")
    assert ports.ended()


def test_it_ends_with_its_host(controller, machine, tmp_path):
    gone = machine("h3")
    cnm = controller(gone)
    network = cnm.create_network("net1", subnet="10.20.30.0/24")
    sandbox = cnm.create_sandbox("web")
    network.connect(sandbox, publish=["8080:80"])
    pid = Client(tmp_path / "state", gone).agent()
    assert after(1.5, lambda: alive(pid))
    key = Path(gone.key)
    aside = key.with_name("aside")
    aside.touch()
    subprocess.run(["mount", "--bind", str(key), str(aside)], check=True)
    subprocess.run(["umount", "-l", str(key)], check=True)
    try:
        assert until(lambda: not alive(pid))
    finally:
        subprocess.run(["mount", "--bind", str(aside), str(key)], check=True)
        subprocess.run(["umount", "-l", str(aside)], check=True)
        aside.unlink()
    assert len(cnm.reconcile()) == 1


# What it is


def test_it_is_a_quiet_process_with_few_rights(ports, home):
    (read, write), before = os.pipe(), os.umask(0)
    os.set_inheritable(write, True)  # as careless programs do
    try:
        ports.hold("8080/tcp")
    finally:
        os.umask(before)
        os.close(read)
        os.close(write)
    process = Path("/proc", str(ports.agent()))
    status = dict(
        line.split(":\t", 1)
        for line in (process / "status").read_text().splitlines()
        if ":\t" in line
    )
    rights = 1 << 1 | 1 << 10 | 1 << 12 | 1 << 19 | 1 << 21
    assert status["Name"] == "cnm-agent"
    assert status["Umask"] == "0077"
    assert int(status["CapEff"], 16) | rights == rights
    assert int(status["CapPrm"], 16) | rights == rights
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["SigBlk"].strip("0") == ""
    assert str((process / "cwd").readlink()) == "/"
    leader, terminal = (process / "stat").read_text().rpartition(")")[2].split()[3:5]
    assert (int(leader) != ports.agent(), terminal) == (True, "0")
    variables = (process / "environ").read_bytes().split(b"\0")
    assert {text.partition(b"=")[0] for text in variables if text} == {b"PATH", b"PYTHONPATH"}
    limits = (process / "limits").read_text()
    assert len(set(re.search(r"Max open files\s+(\d+)\s+(\d+)", limits).groups())) == 1
    links = descriptors(process)
    assert [links.pop(number) for number in ("0", "1", "2")] == ["/dev/null"] * 3
    rest = {link.partition(":")[0] for link in links.values()}
    assert rest == {str(home), str(home / "agent.lock"), "socket", "anon_inode"}


def descriptors(process):
    """What each descriptor of a process leads to; the last conversation may be closing yet."""
    found = {}
    for entry in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = str(entry.readlink())
    return found


def test_it_is_private(ports, home):
    before = os.umask(0)
    try:
        ports.hold("8080/tcp")
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in home.iterdir()} == {
        "agent.sock": "0o600",
        "agent.lock": "0o600",
    }
    names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()]
    assert not [name for name in names if name.startswith("@") and "cnm" in name]


@pytest.mark.parametrize(
    ("mode", "told"), [(0o666, "answers only root"), (0o600, "Permission denied")]
)
def test_another_user_is_refused(ports, home, mode, told):
    ports.hold("8080/tcp")
    home.chmod(0o755)
    (home / "agent.sock").chmod(mode)
    argv = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-c", ASK_AS_NOBODY, str(home)]
    assert told in ports.host.run(*argv)
    assert ports.holds("8080/tcp") == ["8080/tcp"]


def test_hostile_input_changes_nothing(ports, home):
    ports.hold("8080/tcp")
    pid = ports.agent()
    directory = os.open(home, os.O_RDONLY)
    lines = [b"\n", b"{}\n", b"[" * 100_000 + b"\n", os.urandom(1000) + b"\n", b"x" * 9_000_000]
    for line in lines:
        with client.connect(directory, 5.0) as stream, contextlib.suppress(ConnectionError):
            stream.sendall(line)
            stream.recv(1000)
    os.close(directory)
    for asked in (5, [[]], [["tcp", "0.0.0.0", 99999]], [["tcp", "$(reboot)", 1]]):
        assert ports.ask("hold", ports=asked)["error"] == errno.EINVAL
    assert ports.agent() == pid
    assert held_by(pid) == ["00000000:1F90/tcp"]


def test_one_that_hangs_is_named(ports, monkeypatch):
    ports.hold("8080/tcp")
    pid = ports.agent()
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(client, "_PATIENCE", 0.3)
    try:
        with pytest.raises(StoreError, match=f"process {pid}.*doesn't answer"):
            ports.hold("8081/tcp")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_why_it_cannot_run_is_told(ports, home, host):
    (home / "agent.sock").mkdir()
    with pytest.raises(StoreError, match=r"can't run: .* can't be served: Is a directory"):
        ports.hold("8080/tcp")
    (home / "agent.sock").rmdir()
    done = host.do(lambda: launch(home / "nowhere", "--foreground"))
    assert done.returncode == 1
    assert "nowhere can't be served: No such file or directory" in done.stderr


@pytest.mark.parametrize("executable", ["", "/nowhere/python"])
def test_a_program_that_does_not_know_its_python(ports, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(StoreError, match=r"can't be started .* must name this Python"):
        ports.hold("8080/tcp")


@pytest.mark.parametrize("broken", ["exit(3)", "raise ImportError('no such thing')"])
def test_why_its_program_fails_is_told(ports, tmp_path, monkeypatch, broken):
    (tmp_path / "sqlite3.py").write_text(broken)
    places = client.environment()["PYTHONPATH"]
    changed = {"PYTHONPATH": f"{tmp_path}:{places}"}
    monkeypatch.setattr(client, "environment", lambda: changed)
    reason = "no such thing" if "Import" in broken else "no reason"
    with pytest.raises(StoreError, match=f"can't run: .*{reason}"):
        ports.hold("8080/tcp")


def test_in_the_foreground_it_says_what_it_does(ports, home, host):
    argv = [sys.executable, "-P", "-m", "pycnm.agent", "--state-dir", str(home), "--foreground"]
    with host.popen(
        *argv, env={"PYTHONPATH": SOURCE}, stderr=subprocess.PIPE, text=True
    ) as process:
        # There is no database here, which its services say first.
        first, second, third = (process.stderr.readline() for _ in range(3))
        assert "can't be read" in first
        assert "can't be read" in second
        assert "is served" in third
        ports.hold("[::]:8080/tcp")
        assert ports.agent() == process.pid
        ports.release("[::]:8080/tcp")
        process.terminate()
        told = process.stderr.read()
    assert "[::]:8080/tcp is held" in told
    assert "[::]:8080/tcp is released" in told
    assert process.returncode == 0


@pytest.mark.parametrize("handler", ["default", "ignore", "reap"])
def test_a_program_with_warnings_as_errors_and_a_handler_of_its_own(home, host, ports, handler):
    argv = [sys.executable, "-X", "dev", "-W", "error", "-c", HOLD_WITH_OWN_HANDLER]
    with host.popen(
        *(*argv, str(home), "8080", handler),
        env={"PYTHONPATH": SOURCE},
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr.read() == ""
    assert program.returncode == 0
    assert ports.holds("8080/tcp") == ["8080/tcp"]


@pytest.mark.usefixtures("ports")
def test_a_package_with_the_name_of_a_standard_module_is_no_trouble(host, home, tmp_path):
    (tmp_path / "pycnm").symlink_to(Path(SOURCE, "pycnm"))
    (tmp_path / "asyncio.py").write_text("raise SyntaxError('from another age')")
    argv = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-c", HOLD_FROM_A_STRANGE_PLACE]
    host.run(*argv, str(home), "8080", str(tmp_path))
    assert refusal(host, "8080/tcp") == "EADDRINUSE"
