"""The command cnmfs from its start to its end, on a real kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest
from lives import PATIENCE
from topology import until


def connect(root):
    (root / "networks/net").mkdir()
    (root / "sandboxes/c2").mkdir()
    (root / "sandboxes/c2/endpoints/net").mkdir()
    return (root / "sandboxes/c2/endpoints/net/ip").read_text()


def test_it_returns_when_the_tree_can_be_used(life):
    root = life.start()
    assert sorted(os.listdir(root / "networks")) == ["bridge", "host", "none"]
    ip = connect(root)
    assert ip.strip() in (root / "sandboxes/c2/interfaces").read_text()
    life.end(root)
    assert not life.mounted()
    # Networks stay.
    with life.controller() as cnm:
        assert cnm.network("net").endpoints[0].sandbox.name == "c2"
    assert (life.start() / "sandboxes/c2/endpoints/net/ip").read_text() == ip


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, "fusermount"])
def test_it_stays_in_the_foreground_until_its_end(life, end):
    root = life.root()
    with subprocess.Popen([*life.words(root), "-f"], stderr=subprocess.PIPE) as process:
        assert until((root / "networks").is_dir, PATIENCE)
        assert process.poll() is None
        if end == "fusermount":
            subprocess.run(["fusermount", "-u", root], check=True)
        else:
            process.send_signal(end)
        assert process.wait(PATIENCE) == 0
        assert b"Traceback" not in process.stderr.read()
    assert not life.mounted()
    assert os.listdir(root) == []


def test_one_that_was_killed_is_replaced(life):
    root = life.start()
    ip = connect(root)
    (pid,) = life.pids()
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not life.pids(), PATIENCE)
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(root)
    life.start()
    assert (root / "sandboxes/c2/endpoints/net/ip").read_text() == ip
    assert (root / "networks/net/check").read_text() == ""


def test_what_can_t_be_mounted_is_said_in_a_line(life):
    file = life.directory / "file"
    file.touch()
    for words in (
        life.words(life.directory / "nowhere"),
        life.words(file),
        life.words(life.root(), "colour=red"),
        life.words(life.root(), "gid=nobodys"),
        life.words(life.root(), "binding=other"),
    ):
        for more in ([], ["-f"]):
            done = subprocess.run(
                [*words, *more], capture_output=True, text=True, check=False, timeout=PATIENCE
            )
            assert (done.returncode, done.stdout) == (1, ""), words
            assert done.stderr.startswith("cnmfs: ")
            assert done.stderr.count("\n") == 1
    assert not life.pids()


def test_two_mounts_and_the_api_agree(life):
    first, second = life.start("first"), life.start("second")
    ip = connect(first)
    assert (second / "sandboxes/c2/endpoints/net/ip").read_text() == ip
    (second / "networks/net/mtu").write_text("1400\n")
    assert (first / "networks/net/mtu").read_text() == "1400\n"
    with life.controller() as cnm:
        assert cnm.network("net").options["com.docker.network.driver.mtu"] == "1400"
        cnm.create_network("web")
        assert (first / "networks/web/driver").read_text() == "bridge\n"
        assert "web" in os.listdir(second / "networks")
        os.rmdir(second / "networks/web")
        assert "web" not in [network.name for network in cnm.networks()]
    assert "web" not in os.listdir(first / "networks")


LOOKS = [
    "tar c networks sandboxes drivers | tar t | wc -l",
    "cp -r sandboxes $T/copy",
    "grep -r '' networks sandboxes | wc -l",
    "find networks sandboxes -ls",
    "diff -r networks/net sandboxes/c2/endpoints/net/network",
]


def test_everything_can_be_read_and_nothing_changes(life):
    root = life.start()
    connect(root)
    spec = (root / "networks/net/spec").read_text()
    explain = (root / "sandboxes/c2/explain").read_text()
    for script in LOOKS:
        done = subprocess.run(
            ["bash", "-c", script], cwd=root, capture_output=True, text=True, check=False,
            timeout=PATIENCE, env={**os.environ, "T": str(life.directory)},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), script
    assert (life.directory / "copy/c2/endpoints/net/stats").is_dir()
    assert (root / "networks/net/spec").read_text() == spec
    assert (root / "sandboxes/c2/explain").read_text() == explain


def test_readers_don_t_keep_others_waiting(life):
    root = life.start()
    ip = connect(root)
    stop = threading.Event()
    counts = []

    def read():
        count = 0
        while not stop.is_set():
            assert (root / "sandboxes/c2/endpoints/net/ip").read_text() == ip
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        begin = time.monotonic()
        subprocess.run(["ls", root / "networks"], check=True, capture_output=True, timeout=PATIENCE)
        assert time.monotonic() - begin < 2
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert min(counts) > 0


def test_a_slow_change_holds_nobody_else(life):
    root = life.start()
    connect(root)
    ready = threading.Event()

    def make():
        for number in range(8):
            (root / f"sandboxes/s{number}").mkdir()
            (root / f"sandboxes/s{number}/endpoints/net").mkdir()
            ready.set()

    thread = threading.Thread(target=make)
    thread.start()
    ready.wait(PATIENCE)
    slowest = 0.0
    while thread.is_alive():
        begin = time.monotonic()
        (root / "networks/net/subnet").read_text()
        slowest = max(slowest, time.monotonic() - begin)
    thread.join()
    assert slowest < 2
