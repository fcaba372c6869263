"""Who waits for a change hears of it, whoever made it, and reads what it has become."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from topology import until

NET, END = "networks/net", "sandboxes/c2/endpoints/net"
PATIENCE = 20
CHANGED = select.POLLPRI | select.POLLERR


@pytest.fixture(scope="module")
def made(shared):
    shared.mkdir(NET)
    shared.write(f"{NET}/subnet", "10.20.30.0/24")
    shared.mkdir("sandboxes/c2")
    shared.mkdir(END)
    return shared


@pytest.fixture
def elsewhere(made):
    """A controller of the same state directory, in another process than the mount."""
    with made.elsewhere() as cnm:
        yield cnm


# libfuse 2, through fusepy, has no poll: the kernel says that everything is always readable.
polled = pytest.mark.parametrize("shared", ["mfusepy"], indirect=True)


def label(cnm, value):
    cnm.network("net").configure(labels={"n": str(value)})


def waits(descriptor, events, patience=PATIENCE):
    poll = select.poll()
    poll.register(descriptor, events)
    found = poll.poll(patience * 1000)
    return found[0][1] if found else 0


@polled
@pytest.mark.parametrize("file", [f"{NET}/inspect", f"{NET}/labels/n", "networks.json"])
def test_poll_of_a_value(made, elsewhere, file):
    label(elsewhere, 1)
    with open(made / file, "rb", buffering=0) as stream:
        before = stream.read()
        assert waits(stream, CHANGED, 0) == 0
        assert waits(stream, select.POLLIN, 0) == select.POLLIN
        threading.Timer(0.2, label, [elsewhere, 2]).start()
        assert waits(stream, CHANGED) == CHANGED
        # As in sysfs: from the beginning it is read anew, and then there is no news.
        assert os.pread(stream.fileno(), 1 << 16, 0) == before.replace(b"1", b"2") or (
            b'"n": "2"' in os.pread(stream.fileno(), 1 << 16, 0)
        )
        assert waits(stream, CHANGED, 0) == 0


@polled
def test_poll_of_what_is_deleted(made, elsewhere):
    made.mkdir("networks/gone")
    with open(made / "networks/gone/inspect", "rb", buffering=0) as stream:
        stream.read()
        threading.Timer(0.2, elsewhere.network("gone").delete).start()
        assert waits(stream, CHANGED) == CHANGED


@polled
def test_many_poll_at_once(made, elsewhere):
    streams = [open(made / NET / "inspect", "rb", buffering=0) for _ in range(100)]  # noqa: SIM115
    try:
        epoll = select.epoll()
        for stream in streams:
            stream.read()
            epoll.register(stream, select.EPOLLPRI)
        assert epoll.poll(0) == []
        label(elsewhere, time.time_ns())
        heard = set()
        end = time.monotonic() + PATIENCE
        while len(heard) < 100 and time.monotonic() < end:
            for descriptor, _ in epoll.poll(1):
                heard.add(descriptor)
                epoll.unregister(descriptor)
        assert len(heard) == 100
        epoll.close()
    finally:
        for stream in streams:
            stream.close()


@polled
def test_poll_of_events(made, elsewhere):
    with open(made / "events", "rb", buffering=0) as stream:
        while stream.read(1 << 20):
            pass
        assert waits(stream, select.POLLIN, 0) == 0
        threading.Timer(0.2, label, [elsewhere, time.time_ns()]).start()
        assert waits(stream, select.POLLIN) == select.POLLIN
        assert json.loads(stream.read(1 << 20))["Action"] == "update"
        assert waits(stream, select.POLLIN, 0) == 0


def test_a_pipe_of_events(made, elsewhere):
    assert "events_pipe" not in made.listdir("")
    script = 'exec <events_pipe; echo ready >&2; read -r a; read -r b; echo "$a"; echo "$b"'
    with subprocess.Popen(
        ["bash", "-c", script], cwd=made.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr.readline() == "ready\n"
        label(elsewhere, time.time_ns())
        made.write(f"{NET}/labels/m", str(time.time_ns()))
        output, _ = process.communicate(timeout=PATIENCE)
    told = [json.loads(line) for line in output.splitlines()]
    assert [each["Action"] for each in told] == ["update", "update"]


def test_a_pipe_that_must_not_wait(made):
    descriptor = os.open(made / "events_pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_readers_that_wait_are_interrupted(made):
    with subprocess.Popen(["cat", made / "events_pipe"]) as process:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGINT


def test_so_many_wait_that_more_are_refused(made):
    def read():
        descriptor = os.open(made / "events_pipe", os.O_RDONLY)
        opened.append(descriptor)
        try:
            found.append(len(os.read(descriptor, 10)))
        except OSError as error:
            found.append(error.errno)
        finally:
            os.close(descriptor)

    found, opened = [], []
    threads = [threading.Thread(target=read) for _ in range(208)]
    for thread in threads[:200]:
        thread.start()
    # Who opens waits for a moment, too: then it isn't only readers who wait.
    assert until(lambda: len(opened) == 200, PATIENCE)
    time.sleep(0.5)
    assert found == []
    for thread in threads[200:]:
        thread.start()
    assert until(lambda: len(found) == 8, PATIENCE)
    assert found == [errno.EAGAIN] * 8
    # The mount lives.
    assert made.read(f"{END}/ip") == "10.20.30.2\n"
    assert "net" in made.listdir("networks")
    with made.elsewhere() as cnm:
        label(cnm, time.time_ns())
    for thread in threads:
        thread.join(PATIENCE)
    assert found[8:] == [10] * 200


def notices(directory, work, wanted):
    """Whether inotifywait(1) tells of a directory, meanwhile, what is wanted."""
    words = ["inotifywait", "-m", "--format", "%e %f", directory]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            while "established" not in process.stderr.readline():
                assert process.poll() is None
            work()
            timer = threading.Timer(PATIENCE, process.kill)
            timer.start()
            found = any(line.strip() == wanted for line in process.stdout)
            timer.cancel()
            return found
        finally:
            process.kill()


@pytest.mark.parametrize("directory", ["", NET, "sandboxes/c2", END])
def test_inotify_of_what_is_changed_elsewhere(made, elsewhere, directory):
    def work():
        elsewhere.sandbox("c2").endpoints[0].configure(aliases=[f"n{time.time_ns()}"])

    file = "inspect" if directory else "events"
    assert notices(made / directory, work, f"MODIFY {file}")


def test_telling_leaves_no_trace(made, elsewhere):
    made.write("error_log", "\n")
    for number in range(50):
        label(elsewhere, f"x{number}")
    time.sleep(0.5)
    assert made.read("error_log") == ""
    assert made.read("last_error") == "ok\n"


# Of a program that doesn't ask how long a file is before it has the kernel copy it.
SENDFILE = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
while os.sendfile(1, descriptor, None, 1 << 20):
    pass
"""


@pytest.mark.parametrize("words", [["busybox", "cat"], ["python3", "-c", SENDFILE]])
def test_what_the_kernel_copies_is_whole(made, elsewhere, words):
    file = made / NET / "labels/n"
    for value in ("x", "y" * 3000, "z" * 10, "ü" * 1000):
        label(elsewhere, value)
        read, write = os.pipe()
        with subprocess.Popen([*words, file], stdout=write):
            os.close(write)
            with open(read, "rb") as stream:
                assert stream.read().decode() == value + "\n"


def test_a_change_that_is_stuck_holds_nobody(made, elsewhere):
    """Somebody keeps the database from being written, as a process that is stopped would."""
    with open(made.directory / "state/write.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            ["bash", "-c", "echo 9000 > mtu"], cwd=made / NET, stderr=subprocess.PIPE
        )
        time.sleep(0.3)
        assert process.poll() is None
        for path in (f"{NET}/mtu", f"{END}/ip", "last_error", "networks.json"):
            made.read(path)
        assert "net" in made.listdir("networks")
        process.send_signal(signal.SIGINT)
        with process:
            assert process.wait(PATIENCE) != 0
    # What has begun comes to its end.
    end = time.monotonic() + PATIENCE
    while made.read(f"{NET}/mtu") != "9000\n":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_tells_of_changes_keeps_no_end_of_the_mount(made):
    """One that had the kernel's end would wait for itself once cnmfs was killed."""
    made.write(f"{NET}/labels/m", str(time.time_ns()))
    tasks = Path(f"/proc/{made.process.pid}/task")

    def children():
        found = []
        for task in tasks.iterdir():
            # A thread may have ended since.
            with contextlib.suppress(OSError):
                found += (task / "children").read_text().split()
        return found

    end = time.monotonic() + PATIENCE
    while not children():
        assert time.monotonic() < end
        time.sleep(0.01)
    for pid in children():
        kept = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
        assert "/dev/fuse" not in kept
