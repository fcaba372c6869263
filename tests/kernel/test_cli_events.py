"""`cnm events`: what other commands do is shown as it happens."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import pytest
from shell import PATIENCE, Shell


@pytest.fixture
def shell(cnm, host, tmp_path):
    """The command; what it makes is removed, and the host is as it was."""
    assert cnm.sandboxes() == []
    return Shell(tmp_path / "state", host)


def work(shell):
    """Something of everything; the id of the network."""
    net = shell("network", "create", "my_bridge").strip()
    shell("run", "--rm", "--name", "c2", "--net", "my_bridge", "-p", "8080:80", "true")
    shell("network", "rm", "my_bridge")
    return net


DONE = [
    "network create",
    "sandbox create",
    "network connect",
    "endpoint publish",
    "endpoint unpublish",
    "network disconnect",
    "sandbox destroy",
    "network destroy",
]


def test_what_has_happened(shell):
    net = work(shell)
    lines = shell("events", "--until", "now").splitlines()
    assert [" ".join(line.split()[1:3]) for line in lines] == DONE
    assert lines[0].endswith(f" {net} (name=my_bridge, type=bridge)")
    words = ("events", "--since=1h", "--until=now", "--format=json", "--filter=type=network")
    found = [json.loads(line) for line in shell(*words, "-f", "event=connect").splitlines()]
    assert [(each["Action"], each["Actor"]["ID"]) for each in found] == [("connect", net)]
    assert "--until" in shell("events", "--help")
    assert "invalid filter" in shell.fails("events", "--filter", "colour=blue")
    assert "invalid since" in shell.fails("events", "--since", "yesterday")


def test_what_happens_is_followed_until_interrupted(shell):
    shell("network", "create", "early")
    with shell.popen("events", "--format", "json") as follower:
        # The follower shows nothing of before, so it has to be there first.
        wait_until_it_follows(follower.pid)
        work(shell)
        found = [json.loads(follower.stdout.readline()) for _ in DONE]
        assert [f"{each['Type']} {each['Action']}" for each in found] == DONE
        begun = time.monotonic()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE) == 130
        assert time.monotonic() - begun < 5
        assert (follower.stdout.read(), follower.stderr.read()) == ("", "")
    shell("network", "rm", "early")


def wait_until_it_follows(pid):
    """Wait until a process has begun to follow."""
    deadline = time.monotonic() + PATIENCE
    while "anon_inode:inotify" not in open_files(pid):
        assert time.monotonic() < deadline, "it follows nothing"
        time.sleep(0.01)


def open_files(pid):
    """What a process has open."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(path.readlink()))
    return found
