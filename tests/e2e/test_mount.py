"""Mounted by mount(8), by a line of fstab(5), and by systemd's unit."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tours
from lives import PATIENCE
from topology import call, until

SBIN = "/usr/local/sbin"
UNIT = tours.ROOT / "packaging/systemd/cnmfs@.service"
WORDS = "defaults,nofail,_netdev,noauto,users,noatime,x-systemd.automount,x-systemd.requires=a"


@pytest.fixture
def program(life):
    """Installs the command cnmfs where mount(8) and systemd find it; they don't use $PATH."""
    assert not Path(sys.executable).is_relative_to(SBIN)
    Path(SBIN).mkdir(parents=True, exist_ok=True)
    call("mount", b"tmpfs", SBIN.encode(), b"tmpfs", 0, b"mode=755")
    tours.with_command(life.directory)
    shutil.copy(life.directory / "bin/cnmfs", SBIN)
    yield f"{SBIN}/cnmfs"
    life.end()
    call("umount2", SBIN.encode(), 0)


def run(*words, status=0):
    """What a program says; it must end as expected."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == status, (words, done)
    return done.stdout + done.stderr


def shown(root):
    """Source, type and options of a mount."""
    return run("findmnt", "-nro", "SOURCE,FSTYPE,OPTIONS", str(root)).split()


def test_mount(life, program):
    root = life.root()
    run("mount", "-t", "fuse.cnmfs", "none", str(root), "-o", f"gid=12,{life.options}")
    # It could be used as soon as mount was back.
    (root / "networks/net").mkdir()
    assert (root / "networks/net/mtu").stat().st_gid == 12
    source, kind, options = shown(root)
    assert (source, kind) == ("cnmfs", "fuse.cnmfs")
    assert {"rw", "allow_other"} <= set(options.split(","))
    run("umount", str(root))
    assert until(lambda: not life.pids(root), PATIENCE)
    # It may be anywhere, if it is given with its path.
    run("mount", "-t", "fuse", f"{life.directory}/bin/cnmfs#any", str(root), "-o", life.options)
    assert (root / "networks/net").is_dir()
    run("umount", str(root))


def test_what_mount_can_t_do_it_says(life, program):
    words = run("mount", "-t", "fuse.cnmfs", "none", str(life.root()), "-o", "colour=red", status=1)
    assert words.startswith("cnmfs: unknown mount option colour=red; there are gid=GROUP")
    assert not life.mounted()


def test_a_line_of_fstab(life, program):
    root, fstab = life.root(), life.directory / "fstab"
    fstab.write_text(f"none {root} fuse.cnmfs ro,{life.options},{WORDS} 0 0\n")
    run("mount", "--fstab", str(fstab), str(root))
    assert os.listdir(root / "sandboxes") == []
    assert "ro" in shown(root)[2].split(",")
    with pytest.raises(OSError, match="Read-only"):
        (root / "sandboxes/c2").mkdir()
    run("umount", str(root))
    assert until(lambda: not life.pids(root), PATIENCE)


def test_the_line_of_the_documentation(life, program):
    page = (tours.ROOT / "docs/howto/mount-the-tree.md").read_text()
    (line,) = re.findall(r"^none  /mnt/cnm .*$", page, re.MULTILINE)
    root, fstab = life.root(), life.directory / "fstab"
    fstab.write_text(line.replace("/mnt/cnm", str(root)).replace("gid", f"{life.options},gid"))
    run("mount", "--fstab", str(fstab), str(root))
    (root / "networks/net").mkdir()
    run("umount", str(root))


# The unit


def setting(name):
    """The last value that the unit has for a setting."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)[-1]


@contextlib.contextmanager
def manager(address):
    """Whoever listens to what services tell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address.replace("@", "\0"))
        ear.settimeout(PATIENCE)
        yield ear


def started(life, program, environment):
    """The program of the unit, as systemd starts it."""
    assert (setting("Type"), setting("KillMode")) == ("notify", "process")
    command = setting("ExecStart").replace("${OPTIONS}", life.options)
    words = shlex.split(command.replace("%f", str(life.root())))
    assert words[0] == Path(program).name
    return subprocess.Popen([program, *words[1:]], env={**os.environ, **environment})


def test_the_unit_is_valid(life, program):
    (life.directory / UNIT.name).write_text(UNIT.read_text())
    unit = str(life.directory / "cnmfs@srv-cnm.service")
    assert run("systemd-analyze", "verify", unit) == ""


def test_the_unit_has_no_mounts_of_its_own():
    hides = {"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts",
             "ReadOnlyPaths", "InaccessiblePaths", "ProtectKernelTunables", "RootDirectory",
             "MountFlags", "DynamicUser", "TemporaryFileSystem", "BindPaths"}  # fmt: skip
    names = re.findall(r"^(\w+)=", UNIT.read_text(), re.MULTILINE)
    assert "ExecStart" in names
    assert not hides & set(names)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_service_says_when_it_is_ready(life, program, kind):
    address = f"@cnmfs-{os.getpid()}" if kind == "abstract" else f"{life.directory}/notify"
    with manager(address) as ear, started(life, program, {"NOTIFY_SOCKET": address}) as process:
        assert ear.recv(64) == b"READY=1"
        assert os.listdir(life.root() / "sandboxes") == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not life.mounted()


def test_a_service_that_was_killed_starts_again(life, program):
    address = f"{life.directory}/notify"
    with manager(address) as ear:
        with started(life, program, {"NOTIFY_SOCKET": address}) as process:
            assert ear.recv(64) == b"READY=1"
            (life.root() / "networks/net").mkdir()
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
        with started(life, program, {"NOTIFY_SOCKET": address}) as process:
            assert ear.recv(64) == b"READY=1"
            assert (life.root() / "networks/net/check").read_text() == ""
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0


def test_a_manager_that_isn_t_listening_is_no_failure(life, program):
    with started(life, program, {"NOTIFY_SOCKET": "/nowhere"}) as process:
        assert until((life.root() / "networks").is_dir, PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
