"""Who may do what: the permission bits are enforced, and show what is enforced."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest
from lives import BINDINGS

NOBODY, GROUP = 65534, 4321
NET = "networks/net"


def try_as(tree, script, *, groups=()):
    """What became of a script of somebody who isn't root."""
    return subprocess.run(
        ["bash", "-c", script], cwd="/", env={"R": str(tree.root), "PATH": os.environ["PATH"]},
        user=NOBODY, group=NOBODY, extra_groups=list(groups),
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


@pytest.fixture(params=BINDINGS)
def open_to(request, mount, tmp_path):
    """Mounts a tree that anybody may get to; for a group, if one is given."""

    def start(*options):
        made = mount(request.param, *options)
        for directory in (tmp_path, *tmp_path.parents):
            if directory.is_relative_to("/tmp") and directory.name != "tmp":  # noqa: S108
                directory.chmod(0o755)
        made.mkdir(NET)
        made.mkdir("sandboxes/c2")
        return made

    return start


WRITES = {
    "write": f"echo 1400 > $R/{NET}/mtu",
    "add": f"echo 80:80 >> $R/{NET}/mtu",
    "spec": f"echo '{{}}' > $R/{NET}/spec",
    "label": f"echo 1 > $R/{NET}/labels/a",
    "make": "mkdir $R/networks/mine",
    "sandbox": "mkdir $R/sandboxes/mine",
    "connect": "mkdir $R/sandboxes/c2/endpoints/net",
    "link": f"ln -s ../../../sandboxes/c2 $R/{NET}/endpoints/c2",
    "rename": f"mv $R/{NET} $R/networks/mine",
    "remove": f"rmdir $R/{NET}",
    "read-only": f"echo x > $R/{NET}/id",
}


def test_others_read(open_to):
    tree = open_to()
    script = f"ls -l $R/networks && cat $R/{NET}/subnet $R/{NET}/inspect $R/last_error"
    done = try_as(tree, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "net" in done.stdout


@pytest.mark.parametrize("words", ["cat $R/apply", "exec 3<>$R/sandboxes/clone",
                                   "echo '{}' > $R/apply", "[ -w $R/networks ]",
                                   "[ -r $R/apply ]", "truncate -s 0 $R/error_log"])  # fmt: skip
def test_what_is_only_for_root(open_to, words):
    tree = open_to()
    assert try_as(tree, words).returncode != 0
    assert "ok" in tree.read("last_error")
    assert not [name for name in tree.listdir("sandboxes") if name.startswith("clone-")]


def test_others_change_nothing(open_to):
    tree = open_to()
    before = tree.read(f"{NET}/spec"), tree.listdir("networks"), tree.listdir("sandboxes")
    for script in WRITES.values():
        done = try_as(tree, script, groups=[GROUP])
        assert done.returncode == 1, script
        assert "Permission denied" in done.stderr
    assert (tree.read(f"{NET}/spec"), tree.listdir("networks"), tree.listdir("sandboxes")) == before


ALLOWED = [
    f"echo 1400 > $R/{NET}/mtu",
    "mkdir $R/networks/other",
    "rmdir $R/networks/other",
    "mkdir $R/sandboxes/c2/endpoints/net",
    f"rm $R/{NET}/endpoints/c2",
    f"echo a > $R/{NET}/labels/a && rm $R/{NET}/labels/a",
]


def test_a_group_may_be_given_the_right(open_to):
    tree = open_to(f"gid={GROUP}")
    for script in ALLOWED:
        refused = try_as(tree, script)
        assert (refused.returncode, "Permission denied" in refused.stderr) == (1, True), script
        done = try_as(tree, script, groups=[GROUP])
        assert (done.returncode, done.stderr) == (0, ""), script
    assert tree.read(f"{NET}/mtu") == "1400\n"
    done = try_as(tree, f"echo x > $R/{NET}/id", groups=[GROUP])
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("words", "mode", "gid"), [((), 0o644, 0), ((f"gid={GROUP}",), 0o664, GROUP)]
)
def test_what_is_enforced_is_shown(open_to, words, mode, gid):
    tree = open_to(*words)
    status = os.stat(tree / NET / "mtu")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, 0, gid)
    assert stat.S_IMODE(os.stat(tree / NET / "id").st_mode) == 0o444
    assert stat.S_IMODE(os.stat(tree / "networks").st_mode) == mode | 0o111


def test_root_neither_writes_what_is_read_only(open_to, refused):
    tree = open_to()
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_APPEND | os.O_WRONLY):
        with refused(13):
            os.open(tree / NET / "id", flags)
