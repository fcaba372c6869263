"""What files say of the kernel, and what they put back, on a real one."""

from __future__ import annotations

import os
import select
import subprocess

import pytest
from lives import PATIENCE
from topology import until

NET, BOX = "networks/net", "sandboxes/c2"
END = f"{BOX}/endpoints/net"


def connect(root):
    (root / NET).mkdir()
    (root / f"{NET}/subnet").write_text("10.20.30.0/24\n")
    (root / BOX).mkdir()
    (root / END).mkdir()


def read(root, path):
    return (root / path).read_text().strip()


def test_what_was_taken_away_is_put_back_by_a_state(life):
    root = life.start("mnt", "nowatch")
    connect(root)
    for directory in (NET, BOX, END):
        assert read(root, f"{directory}/state") == "up"
        assert read(root, f"{directory}/check") == ""
    assert read(root, f"{END}/carrier") == "1"
    bridge, outer = read(root, f"{NET}/interface"), read(root, f"{END}/host_interface")
    life.host.run("ip", "link", "set", outer, "down")
    assert until(lambda: read(root, f"{END}/carrier") == "0", PATIENCE)
    assert read(root, f"{END}/state") == "error"
    assert outer in read(root, f"{END}/check")
    (root / f"{END}/state").write_text("up\n")
    assert read(root, f"{END}/state") == "up"
    assert until(lambda: read(root, f"{END}/carrier") == "1", PATIENCE)
    life.host.run("ip", "link", "del", bridge)
    assert read(root, f"{NET}/state") == "error"
    (root / f"{NET}/state").write_text("up\n")
    assert read(root, f"{NET}/state") == "up"
    assert life.box("c2").ping("10.20.30.1")


# libfuse 2, through fusepy, has no poll.
@pytest.mark.parametrize("life", ["mfusepy"], indirect=True)
@pytest.mark.parametrize("where", ["outside", "inside"])
def test_who_polls_a_carrier_hears_of_it(life, where):
    root = life.start("mnt", "nowatch")
    connect(root)
    # Inside, its other end goes down: nothing that the host itself is told of in words.
    place, name = {
        "outside": (life.host, read(root, f"{END}/host_interface")),
        "inside": (life.box("c2"), "eth0"),
    }[where]
    with (root / f"{END}/carrier").open("rb", buffering=0) as stream:
        assert stream.read() == b"1\n"
        poll = select.poll()
        poll.register(stream, select.POLLPRI)
        assert poll.poll(0) == []
        place.run("ip", "link", "set", name, "down")
        assert [events for _, events in poll.poll(PATIENCE * 1000)] == [
            select.POLLPRI | select.POLLERR
        ]
        assert os.pread(stream.fileno(), 10, 0) == b"0\n"


def test_a_sandbox_that_is_down_is_started(life):
    root = life.start()
    connect(root)
    ip = read(root, f"{END}/ip")
    subprocess.run(["ip", "netns", "delete", "c2"], check=True)
    assert read(root, f"{BOX}/state") == "down"
    (root / f"{BOX}/state").write_text("up\n")
    assert read(root, f"{BOX}/state") == "up"
    assert f"{ip}/24" in life.box("c2").addresses("eth0")


def test_how_much_a_network_is_used(life):
    root = life.start()
    connect(root)
    before = dict(line.split() for line in read(root, f"{NET}/stats").splitlines())
    assert (before["endpoints"], before["addresses_free"]) == ("1", "252")
    assert life.box("c2").ping("10.20.30.1")
    after = dict(line.split() for line in read(root, f"{NET}/stats").splitlines())
    assert int(after["rx_packets"]) > int(before["rx_packets"])
    shown = life.box("c2").ip("-s", "link", "show", "eth0")[0]["stats64"]["rx"]["packets"]
    assert int(read(root, f"{END}/stats/rx_packets")) >= shown > 0
