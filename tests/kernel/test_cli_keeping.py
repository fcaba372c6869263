"""`cnm explain`, `check`, `reconcile`, `agent`, published ports, and completion in bash."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from shell import Shell
from topology import Place


@pytest.fixture
def shell(cnm, host, tmp_path):
    """The command; what it makes is removed, and the host is as it was."""
    assert cnm.sandboxes() == []
    return Shell(tmp_path / "state", host)


@pytest.fixture
def my_bridge(shell):
    """Its id."""
    return shell("network", "create", "--subnet=10.20.30.0/24", "my_bridge").strip()


@pytest.fixture
def web(shell, my_bridge):
    """A sandbox on it that answers at port 80, published at 8080."""
    shell("sandbox", "create", "web")
    assert shell("network", "connect", "-p", "8080:80", my_bridge, "web") == ""
    place = Place("/run/netns/web")
    with place.serve(80, "53/udp"):
        yield place


# Ports


@pytest.mark.usefixtures("web")
def test_a_published_port_is_reached_from_outside(shell, host, outside):
    assert outside.ask("192.0.2.1", 8080).server == "web"
    assert host.ask("127.0.0.1", 8080).server == "web"
    shown = shell.inspect("sandbox", "web")["Networks"]["my_bridge"]["Ports"]
    assert {"HostIp": "0.0.0.0", "HostPort": "8080"} in shown["80/tcp"]


@pytest.mark.usefixtures("my_bridge")
def test_run_publishes_and_a_second_taker_is_told_who_has_it(shell, outside):
    words = ("--net", "my_bridge", "-p", "8080:80", "-p8053:53/udp")
    with shell.running("run", "--rm", "--name", "web", *words, "sh", "-c", "echo up; cat"):
        with Place("/run/netns/web").serve(80, "53/udp"):
            assert outside.ask("192.0.2.1", 8080).server == "web"
            assert outside.ask("192.0.2.1", 8053, "udp").server == "web"
        sentence = shell.fails("run", "--name", "two", *words, "true", status=125)
        assert re.search("(8080|8053).* endpoint web ", sentence)
        assert shell.sandboxes() == ["web"]


@pytest.mark.usefixtures("my_bridge")
def test_a_foreign_holder_is_named(shell, host):
    shell("sandbox", "create", "web")
    with host.serve(9000):
        sentence = shell.fails("network", "connect", "-p", "9000:80", "my_bridge", "web")
    assert "9000" in sentence
    assert re.search(r"python|pytest|process", sentence)
    assert shell.inspect("network", "my_bridge")["Containers"] == {}


@pytest.mark.usefixtures("web")
def test_published_and_unpublished_live(shell, outside):
    made = shell("network", "publish", "my_bridge", "web", "9090:80", "53:53/udp").split()
    assert sorted(made) == ["0.0.0.0:53->53/udp", "0.0.0.0:9090->80/tcp"]
    assert outside.ask("192.0.2.1", 9090).server == "web"
    assert outside.ask("192.0.2.1", 53, "udp").server == "web"
    shell("network", "unpublish", "my_bridge", "web", "9090:80", "53:53/udp")
    assert outside.ask("192.0.2.1", 9090, patience=0.3) is None
    assert outside.ask("192.0.2.1", 8080).server == "web"
    (random,) = shell("network", "publish", "my_bridge", "web", "80").split()
    port = int(re.fullmatch(r"0\.0\.0\.0:(\d+)->80/tcp", random)[1])
    assert outside.ask("192.0.2.1", port).server == "web"
    assert "8080" in shell.fails("network", "publish", "my_bridge", "web", "8080:81")


# The agent


@pytest.mark.usefixtures("my_bridge")
def test_the_agent_in_the_foreground(shell, outside):
    with shell.popen("agent") as agent:
        assert re.fullmatch(r"cnm agent: .* is served\n", agent.stderr.readline())
        shell("sandbox", "create", "web")
        shell("network", "connect", "-p", "8080:80", "my_bridge", "web")
        with Place("/run/netns/web").serve(80):
            assert outside.ask("192.0.2.1", 8080).server == "web"
        own = Path(f"/proc/{agent.pid}/ns/net").stat().st_ino
        assert own == Path("/run/netns/h1").stat().st_ino
        shell("sandbox", "rm", "web")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait() == 0
        assert agent.stdout.read() == ""


# Seeing it, and putting it back


def test_explain_shows_the_commands(shell, my_bridge):
    shell("run", "--name", "c2", "--net", "my_bridge", "true")
    network = shell("explain", "my_bridge")
    assert f"ip address add 10.20.30.1/24 dev br-{my_bridge[:12]}" in network
    assert shell("explain", "network", my_bridge[:12]) == network
    sandbox = shell("explain", "c2")
    assert "ip netns add c2\n" in sandbox
    assert "ip -n c2 route add default via 10.20.30.1 dev eth0\n" in sandbox
    assert shell("explain", "sandbox", "c2") == sandbox
    endpoint = shell("explain", "endpoint", "c2")
    assert "ip -n c2 address add 10.20.30.2/24 dev eth0" in endpoint
    assert shell("explain", "my_bridge/c2") == endpoint
    assert shell("explain", "endpoint", "my_bridge/c2") == endpoint
    assert shell("explain", "bridge") == ""


def test_explain_asks_which_one_is_meant(shell, my_bridge):
    shell("run", "--name", "my_bridge", "--net", "my_bridge", "true")
    assert "cnm explain network my_bridge" in shell.fails("explain", "my_bridge")
    shell("sandbox", "create", my_bridge[:3])
    assert "ip netns add" in shell("explain", my_bridge[:3])
    shell("network", "connect", "bridge", "my_bridge")
    sentence = shell.fails("explain", "endpoint", "my_bridge")
    assert "bridge/my_bridge, my_bridge/my_bridge" in sentence


def test_check_and_reconcile(shell, host, my_bridge):
    shell("run", "--name", "c2", "--net", "my_bridge", "true")
    assert shell("check") == ""
    assert shell("reconcile") == ""
    host.batch(f"link del br-{my_bridge[:12]}")
    done = shell.do("check")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"br-{my_bridge[:12]}" in done.stdout
    listed = shell.do("check", "--format", "json")
    assert json.loads(listed.stdout) == done.stdout.splitlines()
    assert f"ip link add name br-{my_bridge[:12]}" in shell("reconcile")
    assert shell("check") == ""
    assert json.loads(shell("reconcile", "--format", "json")) == []
    host.batch(f"link del br-{my_bridge[:12]}", f"link add br-{my_bridge[:12]} type bridge")
    told = shell.do("reconcile")
    assert told.returncode == 1
    assert f"br-{my_bridge[:12]} that pycnm didn't make is there" in told.stderr
    host.batch(f"link del br-{my_bridge[:12]}")
    shell("reconcile")
    assert "1 received" in shell("exec", "c2", "ping", "-c1", "10.20.30.1")


# Completion

COMPLETE = """
source "$1"
cnm() { "${CNM[@]}" "$@"; }
complete -p cnm
COMP_LINE="$2" COMP_POINT=${#2} COMP_TYPE=9 COMP_KEY=9
_cnm cnm "" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.usefixtures("my_bridge")
def test_bash_completes_names_by_the_script(shell, tmp_path):
    """In a bash of its own, with the variables that readline sets."""
    script = tmp_path / "completion"
    script.write_text(shell("completion", "bash"))
    command = tmp_path / "cnm"
    command.write_text(f'#!/bin/sh\nexec {" ".join(shell.argv)} "$@"\n')
    command.chmod(0o755)
    shell("sandbox", "create", "c2")

    def offered(line):
        done = subprocess.run(
            [
                "bash",
                "--norc",
                "-c",
                COMPLETE,
                "bash",
                str(script),
                line.replace("cnm", "./cnm", 1),
            ],
            env=shell.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        defined, *words = done.stdout.splitlines()
        assert defined == "complete -F _cnm cnm"
        return [word for word in words if word]

    assert offered("cnm network inspect my") == ["my_bridge"]
    assert offered("cnm network connect my_bridge ") == ["c2"]
    assert offered("cnm run --rm --net=my") == ["my_bridge"]
    assert offered("cnm run --net m") == ["my_bridge"]
    assert offered("cnm exec ") == ["c2"]
    assert offered("cnm explain ") == [
        *("network", "sandbox", "endpoint"),
        *("bridge", "host", "none", "my_bridge", "c2"),
    ]
    assert offered("cnm explain network my") == ["my_bridge"]
    assert offered("cnm network cr") == ["create"]
    assert offered("cnm network ls --filter dri") == ["driver="]
    assert offered("cnm exec c2 -- l") == []
