"""What other users of the machine may try on files, sockets and names of root's."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from surroundings import agents, dismiss_agents, keepers
from topology import RUN_NETNS, inside, until

import pycnm

NOBODY = 65534
WRITABLE = stat.S_IWGRP | stat.S_IWOTH
READABLE = stat.S_IRGRP | stat.S_IROTH


@pytest.fixture
def home(tmp_path):
    """A directory that everybody may get to, as /var/lib is."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to("/tmp") and directory.name != "tmp":  # noqa: S108
            directory.chmod(0o755)
    yield tmp_path
    dismiss_agents(tmp_path)


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


BECOME_NOBODY = f"""
import json, os, socket, sys
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
"""


def as_nobody(script, *words):
    """What a Python script comes to that has given up all rights."""
    argv = [sys.executable, "-c", BECOME_NOBODY + script, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)


def use(cnm):
    """A little of everything that makes files; the sandbox."""
    net = cnm.create_network("n")
    box = cnm.create_sandbox("c2")
    net.connect(box, publish=["8080:80"])
    box.run(["true"], check=True)
    return box


# A state directory that isn't root's alone


def of_somebody_else(directory):
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)


def writable_for_all(directory):
    directory.mkdir()
    directory.chmod(0o777)


def writable_for_a_group(directory):
    directory.mkdir()
    directory.chmod(0o770)


def a_link_of_somebody_elses(directory):
    """In /tmp anybody may make one, and have it lead to a directory of root's."""
    target = directory.with_name("roots-own")
    target.mkdir(mode=0o700)
    directory.symlink_to(target)
    os.lchown(directory, NOBODY, NOBODY)


def a_link_to_somebody_elses(directory):
    target = directory.with_name("theirs")
    of_somebody_else(target)
    directory.symlink_to(target)


@pytest.mark.parametrize(
    "plant",
    [
        of_somebody_else,
        writable_for_all,
        writable_for_a_group,
        a_link_of_somebody_elses,
        a_link_to_somebody_elses,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_directory_that_others_could_change_is_refused(host, home, tally, plant):
    """Its plans would be carried out, and its files written, as root."""
    directory = home / "state"
    plant(directory)
    with pytest.raises(pycnm.PermissionDeniedError, match="state directory"):
        pycnm.Controller(directory, host=host.name)
    assert list(directory.iterdir()) == []
    tally("attacks", "state directories", made=1, through=0)


def test_a_link_of_roots_own_is_fine(host, home):
    (home / "elsewhere").mkdir(mode=0o700)
    (home / "state").symlink_to(home / "elsewhere")
    with pycnm.Controller(home / "state", host=host.name):
        assert (home / "elsewhere" / "cnm.db").exists()


# What is made, whatever the caller's umask


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_nothing_that_is_made_is_anybody_elses(host, home, tally, mask):
    place = home / "a" / "b"
    with umask(mask), pycnm.Controller(place / "state", host=host.name) as cnm:
        box = use(cnm)
        modes = {path: path.lstat().st_mode for path in (home / "a").rglob("*")}
        assert len(modes) > 9
        assert [path for path, mode in modes.items() if mode & WRITABLE] == []
        assert stat.S_IMODE((place / "state").stat().st_mode) == 0o700
        secret = [path for path in (place / "state").iterdir() if path.name != "sandboxes"]
        assert [path for path in secret if path.lstat().st_mode & READABLE] == []
        key = Path(box.key).lstat()
        assert (key.st_uid, key.st_mode & WRITABLE) == (0, 0)
        tally("attacks", "files made", made=len(modes), through=0)
        cnm.network("n").delete(force=True)
        box.delete()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_the_files_of_a_sandbox_are_read_by_all_in_it_and_written_by_none(host, home, tally, mask):
    with umask(mask), pycnm.Controller(home / "state", host=host.name) as cnm:
        box = use(cnm)
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "capture_output": True}
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            box.run(["test", "-r", path], check=True, **nobody)
            script = f"echo 203.0.113.9 bank >> {path} || cp /dev/null {path} || rm -f {path}"
            assert box.run(["sh", "-c", script], **nobody).returncode != 0
            assert "bank" not in box.run(["cat", path], capture_output=True, text=True).stdout
        tally("attacks", "hosts and resolv.conf", made=6, through=0)
        cnm.network("n").delete(force=True)
        box.delete()


# From outside the directory

READ = "open(sys.argv[1], 'rb').read()"
WRITE = "open(sys.argv[1], 'ab')"
LIST = "os.listdir(sys.argv[1])"
PLANT = "os.symlink('/etc/shadow', sys.argv[1] + '/sandboxes/x')"
CALL = """
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
print(client.recv(4096).decode())
"""


def test_nobody_gets_at_a_state_directory(host, home, tally):
    state = home / "state"
    with pycnm.Controller(state, host=host.name) as cnm:
        box = use(cnm)
        tries = [(CALL, state / "agent.sock"), (LIST, state), (PLANT, state)]
        tries += [(way, state / name) for name in ("cnm.db", "cnm.db-wal", "locks", "agent.lock")
                  for way in (READ, WRITE)]  # fmt: skip
        # As root has made it, and as a careless administrator may have left it.
        done = [as_nobody(*words) for words in tries]
        state.chmod(0o755)
        done += [as_nobody(*words) for words in tries if words[0] is not LIST]
        assert all("Permission denied" in each.stderr for each in done), done
        # The last line: whoever it is that has got to the socket is asked for.
        (state / "agent.sock").chmod(0o666)
        told = as_nobody(CALL, state / "agent.sock").stdout
        assert "the agent answers only root" in told
        tally("attacks", "by another user", made=len(done) + 1, through=0)
        state.chmod(0o700)
        cnm.network("n").delete(force=True)
        box.delete()


def test_nothing_listens_but_a_socket_with_a_path(host, home, tally):
    """A name without a path would be seen from every sandbox that shares the host's namespace."""
    with pycnm.Controller(home / "state", host=host.name) as cnm:
        box = use(cnm)
        (agent,) = agents(home)
        # The agent starts it when it has answered.
        assert until((home / "state/keeper.sock").exists)
        ours = [agent, *keepers(home)]
        own = {
            os.readlink(entry) for pid in ours for entry in Path("/proc", str(pid), "fd").iterdir()
        }
        lines = Path("/proc", str(agent), "net/unix").read_text().splitlines()[1:]
        paths = [line.split()[7:] for line in lines if f"socket:[{line.split()[6]}]" in own]
        # Connections to them bear their paths, too.
        named = sorted({path for (path,) in filter(None, paths)})
        assert [Path(path).name for path in named] == ["agent.sock", "keeper.sock"]
        # The ports that are published, and no other.
        assert {port for _, port in host.bound()} <= {"00000000:1F90"}
        tally("attacks", "sockets", made=len(own), through=0)
        cnm.network("n").delete(force=True)
        box.delete()


# Names under /run/netns


@pytest.mark.parametrize("target", ["file", "namespace", "nothing"])
def test_a_planted_name_is_neither_followed_nor_removed(home, machine, tally, target):
    """Here the host is the machine itself, whose names these are to give."""
    precious = home / "precious"
    if target == "file":
        precious.write_text("precious\n")
    elif target == "namespace":
        precious = RUN_NETNS / machine("other").name
    before = precious.lstat() if target != "nothing" else None
    planted = RUN_NETNS / "c2"
    planted.symlink_to(precious)
    try:
        with pycnm.Controller(home / "state") as cnm:
            with pytest.raises(pycnm.CNMError):
                cnm.create_sandbox("c2")
            assert cnm.sandboxes() == []
        assert planted.is_symlink()
        assert (precious.lstat() if before else None) == before
        assert before is not None or not precious.exists()
    finally:
        planted.unlink()
    tally("attacks", "names of namespaces", made=1, through=0)


# What is run


def test_no_program_is_run_but_the_agent(host, home, tally):
    """So neither PATH nor a shell can be made use of (R-EXEC)."""
    script = f"""
import pycnm
with pycnm.Controller({str(home / "state")!r}, host={host.name!r}) as cnm:
    net = cnm.create_network("n", ipv6=True)
    box = cnm.create_sandbox("c2")
    net.connect(box, publish=["8080:80"]).publish("127.0.0.1:53:53/udp")
    cnm.check(), cnm.reconcile(), net.explain()
    net.delete(force=True)
    box.delete()
"""
    log = home / "log"
    argv = [shutil.which("strace"), "-f", "-qq", "-e", "trace=execve", "-o", log]
    environment = {"PYTHONPATH": str(Path(pycnm.__file__).parents[1]), "PATH": "/nowhere"}
    subprocess.run([*argv, sys.executable, "-c", script], env=environment, check=True)
    runs = [line.split('"')[1] for line in log.read_text().splitlines() if "execve(" in line]
    assert set(runs) == {sys.executable}
    assert len(runs) == 3  # the program itself, the agent and its keeper
    tally("attacks", "programs run", made=len(runs) - 1, through=0)


def test_a_sandbox_gets_no_descriptor_of_ours(host, home):
    with pycnm.Controller(home / "state", host=host.name) as cnm:
        box = use(cnm)
        done = box.run(["ls", "/proc/self/fd"], capture_output=True, text=True, check=True)
        # The last one is the directory that is listed.
        assert done.stdout.split() == ["0", "1", "2", "3"]
        assert inside(box).interfaces() == ["eth0", "lo"]
        cnm.network("n").delete(force=True)
        box.delete()
