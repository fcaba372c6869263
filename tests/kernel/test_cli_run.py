"""`cnm run` and `cnm exec`: a command inside, with the caller's terminal and signals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell import Shell
from surroundings import catches
from topology import Place, until

# Says what it is sent, and ends with 7 at the second signal of a kind, or at SIGTERM.
LISTENER = """
import os, signal, sys
def arrived(number, frame):
    os.write(1, b"%d\\n" % number)
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (1, 2, 3, 10, 12, 15):
    signal.signal(number, arrived)
print("up", flush=True)
while True:
    signal.pause()
"""
# Starts what it is given with hangups and interrupts ignored, as nohup(1) and `&` do.
IGNORER = """
import os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
for number in (signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
os.execvp(sys.argv[1], sys.argv[1:])
"""
LISTEN = [sys.executable, "-S", "-c", LISTENER]


@pytest.fixture
def shell(controller, host, tmp_path):
    """The command; what it makes is removed, and the host is as it was."""
    controller(host)
    return Shell(tmp_path / "state", host)


@pytest.fixture
def quiet(shell):
    """The command, for when it is interrupted: then Python warns of what it left open."""
    shell.argv = [word for word in shell.argv if word not in {"-W", "default"}]
    return shell


@pytest.fixture
def my_bridge(shell):
    """Its id."""
    return shell("network", "create", "--subnet=10.20.30.0/24", "my_bridge").strip()


def addresses(shown):
    """The IPv4 addresses, but for lo's, that `ip -json address` shows."""
    infos = [info for link in json.loads(shown) for info in link["addr_info"]]
    return [f"{i['local']}/{i['prefixlen']}" for i in infos if i["family"] == "inet"][1:]


# S2, S3, S4


def test_the_default_network_is_bridge(shell):
    script = "ip -brief link; ip -4 -brief address; ip route"
    shown = shell("run", "--rm", "--name", "c1", "--", "sh", "-c", script)
    assert re.search(r"^eth0\S* .* 02:42:ac:11:00:02 ", shown, re.MULTILINE)
    assert re.search(r"^eth0\S* +\w+ +172\.17\.0\.2/16", shown, re.MULTILINE)
    assert "default via 172.17.0.1 dev eth0" in shown
    assert "172.17.0.0/16 dev eth0" in shown
    assert shell.sandboxes() == []


def test_none_has_only_lo(shell):
    shown = json.loads(shell("run", "--rm", "--net", "none", "ip", "-json", "address"))
    assert [link["ifname"] for link in shown] == ["lo"]


def test_two_on_host_share_its_ports(shell, host):
    before = host.picture()
    listen = 'import socket,time; s=socket.create_server(("",80)); print("up",flush=True)'
    python = ("--net=host", "--", sys.executable, "-S", "-c")
    with shell.running("run", "--rm", "--name=a", *python, f"{listen}; time.sleep(99)") as first:
        second = shell.do("run", "--rm", "--name=b", *python, listen)
        assert second.returncode == 1
        assert "Address already in use" in second.stderr
        shown = json.loads(shell("exec", "a", "ip", "-json", "link"))
        assert [link["ifname"] for link in shown] == host.interfaces()
        first.terminate()
        assert first.wait() == 128 + signal.SIGTERM
    assert shell.sandboxes() == []
    assert host.picture() == before


# S5, S6, S19


@pytest.mark.usefixtures("my_bridge")
def test_c2_and_c3_as_in_the_notes(shell):
    with shell.running("run", "-it", "--name", "c3", "--net", "my_bridge", *LISTEN):
        ping = shell("run", "--rm", "--name", "c2", "--net", "my_bridge", "ping", "-c1", "c3")
        assert "1 received" in ping
        assert "10.20.30.2" in ping
        assert "1 received" in shell("exec", "c3", "--", "ping", "-c1", "10.20.30.1")


@pytest.mark.usefixtures("my_bridge")
def test_several_networks(shell):
    shell("network", "create", "--subnet", "10.40.0.0/24", "--subnet", "fd00:40::/64", "blue")
    shell("network", "create", "--subnet", "10.50.0.0/24", "green")
    long = (
        "name=blue,ip=10.40.0.77,ip6=fd00:40::77,alias=db,alias=sql,gw-priority=5,rate=9mbit,"
        "route=10.60.0.0/16 via 10.40.0.9"
    )
    shell(
        *("run", "--name", "c2", "--net", "my_bridge", "--ip", "10.20.30.9", "--net", long),
        *("--network", "name=green,interface=lan0,mac-address=02:00:00:00:00:07"),
        *("--network-alias", "web", "--mac-address=02:00:00:00:00:09", "true"),
    )
    found = shell.inspect("sandbox", "c2")["Networks"]
    assert list(found) == ["my_bridge", "blue", "green"]
    assert found["my_bridge"]["IPAddress"] == "10.20.30.9"
    assert found["blue"]["Routes"] == ["10.60.0.0/16 via 10.40.0.9"]
    assert [each["Rate"] for each in found.values()] == ["", "9mbit", ""]
    assert found["my_bridge"]["MacAddress"] == "02:00:00:00:00:09"
    assert found["my_bridge"]["Aliases"] == ["web"]
    assert found["blue"]["GlobalIPv6Address"] == "fd00:40::77"
    assert (found["blue"]["Aliases"], found["blue"]["GwPriority"]) == (["db", "sql"], 5)
    assert (found["green"]["Interface"], found["green"]["IPAddress"]) == ("lan0", "10.50.0.2")
    default = [r for r in Place("/run/netns/c2").routes() if r["dst"] == "default"]
    assert [route["gateway"] for route in default] == ["10.40.0.1"]


@pytest.mark.usefixtures("my_bridge")
def test_it_stays_without_rm_and_others_run_commands_in_it(shell):
    shell("run", "--name", "c2", "--net", "my_bridge", "-h", "web1", "--label", "a=b", "true")
    assert shell.inspect("sandbox", "c2")["Hostname"] == "web1"
    assert addresses(shell("exec", "c2", "ip", "-json", "address")) == ["10.20.30.2/24"]
    assert shell("exec", "c2", "--", "sh", "-c", "echo $1", "-", "--help") == "--help\n"
    assert "10.20.30.2\tweb1 c2\n" in shell("exec", "c2", "cat", "/etc/hosts")
    assert shell("exec", "c2", "getent", "hosts", "web1.my_bridge").split()[0] == "10.20.30.2"
    assert shell("resolve", "WEB1") == "10.20.30.2\n"
    assert "nobody is called web2" in shell.fails("resolve", "web2", status=1)
    assert shell("sandbox", "rm", "c2") == "c2\n"


def test_a_name_is_made_up(shell):
    shell("run", "true")
    (name,) = shell.sandboxes()
    assert re.fullmatch("run-[0-9a-f]{8}", name)


# What the command is given


def test_stdin_and_environment_are_the_callers(shell):
    shown = shell("run", "--rm", "-i", "sh", "-c", "cat; echo $COLOUR; pwd", text="spoken\n",
                  env={"COLOUR": "red"}, cwd="/usr")  # fmt: skip
    assert shown == "spoken\nred\n/usr\n"


def test_flags_after_the_command_are_its_own(shell):
    assert shell("run", "--rm", "--", "echo", "--rm", "--", "-x") == "--rm -- -x\n"
    assert shell("run", "--rm", "echo", "--rm", "--", "-x") == "--rm -- -x\n"


def test_signals_are_as_the_caller_has_them(shell):
    """No signal blocked, and those ignored that the caller ignores: not Python's."""
    script = "grep -E 'SigBlk|SigIgn' /proc/self/status"
    here = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shell("run", "--rm", "sh", "-c", script) == here
    outer = [sys.executable, "-c", IGNORER]
    plain = [*outer, "sh", "-c", script]
    ignored = subprocess.run(plain, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        [*outer, *shell.argv, "run", "--rm", "sh", "-c", script],
        env=shell.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ignored
    assert ignored != here


def test_it_holds_nothing_open_and_needs_nothing_of_ours(shell):
    """Other commands go on, and change its sandbox, while it runs."""
    with shell.running("run", "--rm", "--name", "c2", *LISTEN) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (command,) = children
        descriptors = {str(each.readlink()) for each in Path(f"/proc/{command}/fd").iterdir()}
        assert not any("cnm.db" in each or "netlink" in each for each in descriptors)
        own = [str(each.readlink()) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not any("cnm.db" in each for each in own)
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1
        shell("sandbox", "rm", "c2")
        process.terminate()
        assert process.wait() == 7
        assert process.stderr.read() == ""


# What becomes of it


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
    ],
)
def test_the_status_is_the_commands(shell, words, status):
    done = shell.do("run", "--rm", "--", *words)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
    shell("sandbox", "create", "c1")
    assert shell.do("exec", "c1", *words).returncode == status
    assert shell.sandboxes() == ["c1"]


@pytest.mark.parametrize(
    ("command", "status"),
    [("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126), ("/etc", 126)],
)
def test_a_command_that_cannot_be_started_leaves_nothing(shell, host, command, status):
    before = host.picture()
    sentence = shell.fails("run", command, status=status)
    assert repr(command) in sentence
    assert shell.sandboxes() == []
    assert until(lambda: host.picture() == before)
    assert shell.fails("run", "--detach", command, status=status) == sentence
    shell("sandbox", "create", "c1")
    assert shell.fails("exec", "c1", command, status=status) == sentence


@pytest.mark.usefixtures("my_bridge")
def test_a_network_that_refuses_it_leaves_nothing(shell):
    with shell.running("run", "--rm", "--name", "c3", "--net", "my_bridge", *LISTEN):
        words = ("--net", "bridge", "--net", "name=my_bridge,ip=10.20.30.2", "true")
        assert "10.20.30.2" in shell.fails("run", "--name", "c2", *words, status=125)
        assert shell.sandboxes() == ["c3"]
        assert "c3" in shell.fails("run", "--name", "c3", "true", status=125)


# Signals


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]
)
def test_what_is_sent_to_us_is_passed_on_once(shell, number):
    with shell.running("run", "--rm", *LISTEN) as process:
        process.send_signal(number)
        assert process.stdout.readline() == f"{int(number)}\n"
        process.terminate()
        assert process.stdout.read() == "15\n"
        assert process.wait() == 7
        assert process.stderr.read() == ""
    assert shell.sandboxes() == []


def test_sigterm_ends_what_does_not_catch_it(shell):
    with shell.running("run", "--rm", "sh", "-c", "echo up; exec sleep 99") as process:
        process.terminate()
        assert process.wait() == 143
    assert shell.sandboxes() == []


def test_a_signal_to_exec_is_passed_on(shell):
    shell("sandbox", "create", "c1")
    with shell.running("exec", "c1", *LISTEN) as process:
        process.terminate()
        assert process.wait() == 7


class Terminal:
    """A process with a terminal of its own, and what it shows."""

    def __init__(self, shell, *words):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(shell.argv[0], [*shell.argv, *words], shell.environment)  # noqa: S606
        self.shown = ""

    def expect(self, text):
        while text not in self.shown:
            self.shown += os.read(self.descriptor, 4096).decode()
        _, _, self.shown = self.shown.partition(text)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def end(self):
        """The exit status, and what was shown last."""
        while True:
            try:
                self.shown += os.read(self.descriptor, 4096).decode()
            except OSError:
                break
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.shown


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_terminal_is_the_commands(shell):
    script = "test -t 0 && test -t 1 && echo up; read line; echo got $line; stty size"
    terminal = Terminal(shell, "run", "--rm", "-it", "sh", "-c", script)
    terminal.expect("up\r\n")
    terminal.type("hello\n")
    terminal.expect("got hello\r\n")
    status, shown = terminal.end()
    assert status == 0
    assert re.search(r"\d+ \d+", shown)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_interrupt_key_reaches_the_command(shell):
    terminal = Terminal(shell, "run", "--rm", *LISTEN)
    terminal.expect("up\r\n")
    for _ in range(3):
        terminal.type("\x03")
        terminal.expect("2\r\n")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end()[0] == 7
    assert shell.sandboxes() == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_the_terminal_sends_is_not_sent_again(shell):
    """A command in a group of its own doesn't get it from the terminal, nor from us."""
    alone = [*LISTEN[:-1], f"import os; os.setpgid(0, 0); {LISTENER.lstrip()}"]
    terminal = Terminal(shell, "run", "--rm", *alone)
    terminal.expect("up\r\n")
    terminal.type("\x03")
    terminal.expect("^C")
    os.kill(terminal.pid, signal.SIGTERM)
    status, shown = terminal.end()
    assert (status, shown) == (7, "15\r\n")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_interrupt_key_ends_what_does_not_catch_it(shell):
    terminal = Terminal(shell, "run", "--rm", "sh", "-c", "echo up; exec sleep 99")
    terminal.expect("up\r\n")
    terminal.type("\x03")
    status, shown = terminal.end()
    assert status == 130
    assert "Traceback" not in shown
    assert shell.sandboxes() == []


def begun(process):
    """Wait until a command understands signals."""
    assert until(lambda: catches(process.pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment_nothing_stays(quiet, number):
    """While it is made, too: to the group, as the terminal does it."""
    for step in range(9):
        words = ("run", "--rm", "--name", "c2", "sleep", "99")
        with quiet.popen(*words, start_new_session=True) as process:
            begun(process)
            time.sleep(step * 0.018)
            os.killpg(process.pid, number)
            assert process.stderr.read() == "", step
        # Python may remember an interruption, and die of it in the end (main.c, exit_sigint).
        assert process.returncode in {128 + number, -signal.SIGINT}, step
        assert quiet.sandboxes() == [], step
    assert quiet("check") == ""


@pytest.mark.parametrize("words", [("network", "create", "red"), ("sandbox", "create", "c1")])
def test_interrupted_while_something_is_made(quiet, words):
    """It is there, or it isn't, and nothing is in between."""
    kind, _, name = words
    for step in range(6):
        with quiet.popen(*words) as process:
            begun(process)
            time.sleep(step * 0.018)
            process.send_signal(signal.SIGINT)
            output, complaint = process.communicate()
            assert complaint == "", step
        # Once it is through, Python leaves the signal to the kernel.
        assert process.returncode in {130, 0, -signal.SIGINT}, step
        if output:
            assert name in quiet(kind, "ls")
        quiet(kind, "rm", "--force", name)
    assert quiet("check") == ""


# In the background


@pytest.mark.usefixtures("my_bridge")
def test_detached_it_goes_on_and_stays(shell):
    script = "sleep 0.5; echo heard; sleep 99"
    words = ("--name", "c3", "--net", "my_bridge", "sh", "-c", script)
    identity = shell("run", "--detach", *words).strip()
    assert shell.inspect("sandbox", "c3")["Id"] == identity
    assert "1 received" in shell("run", "--rm", "--net", "my_bridge", "ping", "-c1", "c3")
    pids = subprocess.run(
        ["ip", "netns", "pids", "c3"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(pids) == 2
    for pid in pids:
        assert Path(f"/proc/{pid}/fd/1").readlink() == Path("/dev/null")
        # It is the leader of a session of its own, or that one's child.
        assert os.getsid(int(pid)) in map(int, pids)
        os.kill(int(pid), signal.SIGKILL)
    assert shell.sandboxes() == ["c3"]


def test_detached_with_rm_it_goes_with_the_command(shell):
    shell("run", "-d", "--rm", "--name", "c3", "sleep", "1")
    assert shell.sandboxes() == ["c3"]
    # Whoever waits for it has let go of the terminal, too.
    sleeper = ["ip", "netns", "pids", "c3"]
    (pid,) = subprocess.run(sleeper, capture_output=True, text=True, check=True).stdout.split()
    (parent,) = re.findall(r"PPid:\t(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert os.getsid(int(parent)) == int(parent) != os.getsid(0)
    assert Path(f"/proc/{parent}/fd/2").readlink() == Path("/dev/null")
    assert until(lambda: shell.sandboxes() == [])


def test_detached_failures_are_told(shell):
    assert "nowhere" in shell.fails("run", "-d", "--net", "nowhere", "true", status=125)
    assert shell.sandboxes() == []
