"""How a mount ends while somebody still uses it; and what many attachments leave in the daemon."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lives import PATIENCE
from surroundings import agents
from topology import until

SOON = 6
"""Seconds for an end that takes one or two, on a busy machine."""


def ends_soon(life, root):
    begin = time.monotonic()
    life.end(root)
    assert time.monotonic() - begin < SOON
    assert not life.mounted()


def test_a_copy_in_another_mount_namespace_keeps_nobody(life):
    root = life.start()
    with subprocess.Popen(["unshare", "--mount", "sleep", "1000"]) as holder:
        try:
            mounts = Path(f"/proc/{holder.pid}/mounts")
            own = os.readlink("/proc/self/ns/mnt")
            assert until(lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") != own, PATIENCE)
            assert str(root) in mounts.read_text()
            ends_soon(life, root)
            # What it left is replaced, here, by the next.
            life.start()
            assert "networks" in os.listdir(root)
        finally:
            holder.kill()


def test_a_reader_keeps_nobody(life):
    root = life.start()
    descriptor = os.open(root / "networks/bridge/inspect", os.O_RDONLY)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(["tail", "-f", root / "events"], **quiet) as follower, \
         subprocess.Popen(["sleep", "1000"], cwd=root / "networks") as inside:  # fmt: skip
        try:
            assert until(lambda: str(root) in files_of(follower.pid), PATIENCE)
            ends_soon(life, root)
            with pytest.raises(OSError) as caught:
                os.pread(descriptor, 10, 0)
            assert caught.value.errno in {errno.ENOTCONN, errno.ECONNABORTED}
            assert os.listdir(root) == []
        finally:
            follower.kill()
            inside.kill()
            with contextlib.suppress(OSError):
                os.close(descriptor)


def files_of(pid):
    directory = Path(f"/proc/{pid}/fd")
    return " ".join(str(each.readlink()) for each in directory.iterdir())


def test_a_busy_mount_is_unmounted_when_it_is_free(life):
    root = life.start()
    with (root / "networks/bridge/inspect").open() as busy:
        done = subprocess.run(
            ["fusermount", "-u", root], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "busy" in done.stderr) == (1, True)
        (root / "networks/net").mkdir()
        # Lazily: nobody new gets in, who is in goes on.
        subprocess.run(["fusermount", "-uz", root], check=True)
        assert os.listdir(root) == []
        assert '"Name": "bridge"' in busy.read()
        assert life.pids(root)
    assert until(lambda: not life.pids(root), PATIENCE)
    assert "net" in os.listdir(life.start() / "networks")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_its_end_in_the_middle_of_changes_leaves_nothing_half_done(life, end):
    root = life.start()
    (root / "networks/net").mkdir()
    script = "for n in $(seq 200); do mkdir sandboxes/s$n sandboxes/s$n/endpoints/net; done"
    with subprocess.Popen(["bash", "-c", script], cwd=root, stderr=subprocess.DEVNULL) as busy:
        assert until((root / "sandboxes/s3").exists, PATIENCE)
        (pid,) = life.pids(root)
        os.kill(pid, end)
        assert until(lambda: not life.pids(root), PATIENCE)
        busy.wait(PATIENCE)
    root = life.start()
    made = os.listdir(root / "sandboxes")
    assert 3 <= len(made) < 200
    for name in made:
        # The agent that ended with cnmfs answered names, and the next one takes them up.
        check = root / f"sandboxes/{name}/check"
        assert until(lambda check=check: check.read_text() == "", PATIENCE), check.read_text()
    assert len(life.host.interfaces()) == 2 + sum(
        (root / f"sandboxes/{name}/endpoints/net").exists() for name in made
    )


def daemon(pid):
    """The namespaces of its threads, and how many descriptors it has."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    spaces = {os.readlink(task / "ns" / kind) for task in tasks for kind in ("net", "mnt")}
    return spaces, len(os.listdir(f"/proc/{pid}/fd"))


ATTACH = """
mkdir networks/net $(printf 'sandboxes/s%s ' $(seq $N)) &&
mkdir $(printf 'sandboxes/s%s/endpoints/net ' $(seq $N)) &&
cat sandboxes/*/interfaces | grep -c '"eth0"' &&
rmdir sandboxes/*/endpoints/net && rmdir sandboxes/* networks/net
"""


def near(picture, before):
    return picture[0] == before[0] and picture[1] <= before[1] + 10


def test_a_hundred_attachments_leave_the_daemon_as_it_was(life):
    root = life.start()
    (pid,) = life.pids(root)

    def attach(count):
        done = subprocess.run(
            ["bash", "-c", ATTACH], env={**os.environ, "N": str(count)}, cwd=root,
            capture_output=True, text=True, check=False, timeout=3 * PATIENCE,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{count}\n", "")

    def picture():
        with (root / "networks/bridge/inspect").open():
            return daemon(pid)

    links = Path(f"/proc/{pid}/net/dev").read_text().count(":")
    attach(1)
    before = picture()
    attach(100)
    # Of the database a few connections more or less may be kept open.
    assert until(lambda: near(picture(), before), PATIENCE), (picture(), before)
    for kind in ("net", "mnt"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
    assert Path(f"/proc/{pid}/net/dev").read_text().count(":") == links


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_taken_away_comes_back_while_it_is_mounted(life, host, how):
    """Killed or not, the agent that sees to it ends with the mount, and nothing is left."""
    root = life.start()
    bridge, outer = connected(root)
    gateway = (root / "networks/net/gateway").read_text().split()[0]
    for link in (bridge, outer):
        host.batch(f"link del {link}")
        assert until(lambda link=link: link in host.interfaces(), PATIENCE)
        assert until(lambda: life.box("c1").ping(gateway), PATIENCE)
    assert until(lambda: (root / "networks/net/check").read_text() == "", PATIENCE)
    (root / "sandboxes/c1/endpoints/net").rmdir()
    (root / "sandboxes/c1").rmdir()
    (root / "networks/net").rmdir()
    for pid in life.pids(root):
        os.kill(pid, how)
    assert until(lambda: not agents(life.directory), PATIENCE)
    subprocess.run(["umount", "-l", root], capture_output=True, check=False)
    assert not {bridge, outer} & {*host.interfaces()}


def test_unwatched_it_only_shows_what_is_taken_away(life, host):
    root = life.start("mnt", "nowatch")
    bridge, _ = connected(root)
    host.batch(f"link del {bridge}")
    for pid in agents(life.directory):
        # One answers names, and does nothing else.
        assert b"--watch" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    time.sleep(2)
    assert bridge not in host.interfaces()
    assert (root / "networks/net/state").read_text() == "error\n"
    assert bridge in (root / "networks/net/check").read_text()


def connected(root):
    """The names of a new network's bridge, and of the link to a sandbox on it."""
    for path in ("networks/net", "sandboxes/c1", "sandboxes/c1/endpoints/net"):
        (root / path).mkdir()
    paths = ("networks/net/interface", "sandboxes/c1/endpoints/net/host_interface")
    return [(root / path).read_text().strip() for path in paths]
