"""The options of a mount."""

from __future__ import annotations

import grp
from pathlib import Path

import pytest

from cnmfs import options
from cnmfs.options import Options
from pycnm import InvalidArgumentError


def test_none():
    assert options.read([], {}) == options.read([""], {}) == Options()
    assert Options().state_dir == Path("/var/lib/cnm")


def test_all_of_them():
    found = options.read(["gid=12,rmrf,nowatch", "ro,state_dir=/s,host=h1", "binding=fusepy"])
    assert found == Options(
        state_dir=Path("/s"), host="h1", gid=12, rmrf=True, ro=True, watch=False, binding="fusepy"
    )


def test_a_group_by_its_name():
    group = grp.getgrall()[-1]
    assert options.read([f"gid={group.gr_name}"]).gid == group.gr_gid
    with pytest.raises(InvalidArgumentError, match="no such group"):
        options.read(["gid=nobodys"])


def test_the_state_directory_may_be_relative(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert options.read(["state_dir=s"]).state_dir == tmp_path / "s"


def test_what_the_environment_names_and_options_override():
    environment = {"CNM_STATE_DIR": "/s", "CNM_HOST": "h1"}
    assert options.read([], environment) == Options(state_dir=Path("/s"), host="h1")
    found = options.read(["state_dir=/t,host=17"], environment)
    assert found == Options(state_dir=Path("/t"), host=17)
    assert options.read([], {"CNM_STATE_DIR": "", "CNM_HOST": ""}) == Options()


# What mount(8) and mount.fuse3 pass on of a line of fstab(5), and what `cnmfs -o` may be given.
WORDS = [
    "rw,dev,suid",
    "rw,noexec,nosuid,nodev",
    "rw,nosuid,nodev,noexec,_netdev,nofail,defaults,auto,noauto,x-systemd.automount",
    "user,users,nouser,owner,group",
    "noatime,relatime,strictatime,lazytime,nodiratime,sync,dirsync",
    "allow_other,default_permissions",
]


@pytest.mark.parametrize("text", WORDS)
def test_words_of_mount_are_ignored(text):
    assert options.read([text]) == Options()


@pytest.mark.parametrize("text", ["colour", "colour=red", "rmrf,rmfr", "binding=other"])
def test_unknown_ones_are_refused(text):
    with pytest.raises(InvalidArgumentError, match="unknown mount option"):
        options.read([text])
