"""Files that are about several objects, or make and mend whole ones."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import time

import pytest

NET, END = "networks/net", "sandboxes/c2/endpoints/net"
PATIENCE = 20

DOCUMENT = {
    "networks": {
        "net": {"subnet": "10.20.30.0/24", "labels": {"team": "web"}},
        "back": {"subnet": ["10.21.0.0/24"], "internal": True},
    },
    "sandboxes": {
        "c2": {
            "labels": {"a": "1"},
            "endpoints": {
                "net": {"ip": "10.20.30.7", "publish": ["8080:80"], "aliases": ["www"]},
                "back": {},
            },
        },
        "c3": {"endpoints": {"back": {}}},
    },
}


def everything(fs):
    """All that was made, as it says itself."""
    kept = {}
    for kind in ("networks", "sandboxes"):
        for name in fs.listdir(kind):
            kept[f"{kind}/{name}"] = fs.read(f"{kind}/{name}/inspect")
    return kept


def test_apply_makes_all_of_it(fs):
    fs.write("apply", json.dumps(DOCUMENT))
    assert fs.read(f"{NET}/subnet") == "10.20.30.0/24\n"
    assert fs.read("networks/back/internal") == "1\n"
    assert fs.read(f"{END}/ip") == "10.20.30.7\n"
    assert fs.read(f"{END}/publish") == "0.0.0.0:8080:80\n"
    assert fs.listdir("sandboxes/c2/endpoints") == ["back", "net"]
    assert fs.read("sandboxes/c3/endpoints/back/ip") == "10.21.0.2\n" or (
        fs.read("sandboxes/c3/endpoints/back/ip") == "10.21.0.3\n"
    )
    # Once more, with changes: what is there is changed, and what isn't named is left alone.
    fs.write("apply", json.dumps({
        "networks": {"net": {"labels": {"team": "db"}}},
        "sandboxes": {"c2": {"endpoints": {"net": {"aliases": ["w"], "publish": ["9090:90"]}}}},
    }))  # fmt: skip
    assert fs.read(f"{NET}/labels/team") == "db\n"
    assert fs.read(f"{END}/aliases") == "w\n"
    assert fs.read(f"{END}/publish") == "0.0.0.0:9090:90\n"
    assert fs.read(f"{NET}/subnet") == "10.20.30.0/24\n"
    assert fs.read("last_error") == "ok\n"


WRONG = {
    "no JSON": ("{]", errno.EINVAL),
    "no object": ("[]", errno.EINVAL),
    "an unknown kind": ({"routes": {}}, errno.EINVAL),
    "a network that is none": ({"networks": {"new": 1}}, errno.EINVAL),
    "an unknown setting": ({"networks": {"new": {"colour": "red"}}}, errno.EINVAL),
    "a bad value": ({"networks": {"new": {}, "newer": {"subnet": "nonsense"}}}, errno.EINVAL),
    "a bad name": ({"networks": {"new": {}, "bad name": {}}}, errno.EINVAL),
    "a taken subnet": (
        {"networks": {"new": {}, "newer": {"subnet": "10.20.30.0/25"}}}, errno.EADDRINUSE),
    "a change, then a bad value": (
        {"networks": {"net": {"labels": {"x": "1"}}, "new": {"gateway": "x"}}}, errno.EINVAL),
    "a network that isn't there": (
        {"networks": {"new": {}}, "sandboxes": {"c9": {"endpoints": {"none-such": {}}}}},
        errno.ENOENT),
    "an unknown setting of a sandbox": ({"sandboxes": {"c9": {"colour": 1}}}, errno.EINVAL),
    "an unknown setting of an endpoint": (
        {"sandboxes": {"c9": {"endpoints": {"net": {"colour": 1}}}}}, errno.EINVAL),
    "a taken address": (
        {"sandboxes": {"c9": {"endpoints": {"net": {"ip": "10.20.30.7"}}}}}, errno.EADDRINUSE),
    "a taken port": (
        {"sandboxes": {
            "c2": {"endpoints": {"net": {"aliases": ["x"], "publish": ["1:1"]}}},
            "c9": {"endpoints": {"net": {"publish": ["1:1"]}}}}}, errno.EADDRINUSE),
    "a sandbox that can't be changed": ({"sandboxes": {"c2": {"labels": {}}}}, errno.EBUSY),
    "an endpoint that can't be changed": (
        {"sandboxes": {"c2": {"endpoints": {"net": {"interface": "eth7"}}}}}, errno.EINVAL),
    "ports that are none": (
        {"sandboxes": {"c2": {"endpoints": {"net": {"aliases": ["x"], "publish": "80:80"}}}}},
        errno.EINVAL),
}  # fmt: skip


@pytest.fixture(scope="module")
def applied(shared):
    shared.write("apply", json.dumps(DOCUMENT))
    return shared


@pytest.mark.parametrize("case", WRONG)
def test_apply_of_what_can_t_be_changes_nothing(applied, refused, case):
    document, code = WRONG[case]
    before = everything(applied)
    with refused(code):
        applied.write("apply", document if isinstance(document, str) else json.dumps(document))
    assert everything(applied) == before
    assert errno.errorcode[code] in applied.read("last_error")


def test_apply_can_only_be_written(applied, refused):
    with refused(errno.EACCES):
        applied.read("apply")
    # cp, which reads everything, passes it over with an error, and grep too.
    assert "apply" in applied.listdir("")


def test_all_of_a_kind(applied):
    networks = json.loads(applied.read("networks.json"))
    assert {each["Name"] for each in networks} == set(applied.listdir("networks"))
    for each in networks:
        assert each == json.loads(applied.read(f"networks/{each['Name']}/inspect"))
    boxes = json.loads(applied.read("sandboxes.json"))
    assert {each["Name"] for each in boxes} == set(applied.listdir("sandboxes"))


def test_what_a_driver_can(applied):
    assert applied.read("drivers/bridge/capabilities") == "publish rate forwarding subnets\n"
    assert applied.read("drivers/null/capabilities") == "single\n"


def test_a_state_is_up(applied, refused):
    for directory in (NET, END):
        assert applied.read(f"{directory}/state") == "up\n"
        applied.write(f"{directory}/state", "up\n")
        with refused(errno.EINVAL):
            applied.write(f"{directory}/state", "down\n")


def clones(fs):
    return [name for name in fs.listdir("sandboxes") if name.startswith("clone-")]


def test_a_sandbox_for_as_long_as_a_file_is_open(applied, refused):
    assert "clone" not in applied.listdir("sandboxes")
    script = """
        exec 3<>sandboxes/clone; read -r name <&3; mkdir sandboxes/$name/endpoints/net
        cat sandboxes/$name/endpoints/net/gateway
    """
    done = subprocess.run(
        ["bash", "-ec", script], cwd=applied.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "10.20.30.1\n", "")
    gone(applied)
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with refused(errno.EACCES):
            os.open(applied / "sandboxes/clone", flags)
    assert clones(applied) == []
    with refused(errno.EEXIST):
        applied.mkdir("sandboxes/clone")


def gone(fs):
    """The kernel tells of the last close a little later."""
    end = time.monotonic() + PATIENCE
    while clones(fs):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_clone_goes_with_the_mount(mount, how):
    tree = mount("mfusepy")
    descriptor = os.open(tree / "sandboxes/clone", os.O_RDWR)
    try:
        assert os.read(descriptor, 100).decode().strip() in clones(tree)
        tree.process.send_signal(how)
        tree.process.wait(PATIENCE)
        subprocess.run(["umount", "-l", tree.root], capture_output=True, check=False)
        tree.start()
        assert clones(tree) == []
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
