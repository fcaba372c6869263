"""A state directory whose disk is full: every change is refused, and nothing is lost."""

from __future__ import annotations

import errno
import os

import pytest
from surroundings import dismiss_agents
from topology import call, differences

import pycnm

KIB = 1024
TIMES = 20
SMALLER = {"com.docker.network.driver.mtu": "1400"}
CHANGES = {
    "create network": lambda cnm: cnm.create_network("another"),
    "create sandbox": lambda cnm: cnm.create_sandbox("another"),
    "connect": lambda cnm: cnm.network("n").connect("d", publish=["9090:90"]),
    "publish": lambda cnm: cnm.network("n").endpoints[0].publish("9091:91"),
    "configure": lambda cnm: cnm.network("n").configure(options=SMALLER),
}


@pytest.fixture
def small(as_found, tmp_path):
    """A state directory on a disk of its own."""
    directory = tmp_path / "state"
    directory.mkdir()
    call("mount", b"tmpfs", str(directory).encode(), b"tmpfs", 0, b"size=16m,mode=700")
    yield directory
    dismiss_agents(tmp_path)
    call("umount2", str(directory).encode(), 0)


def fill(directory):
    """Leave no byte free; the file that takes them."""
    ballast = directory / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(OSError) as full:
            while True:
                os.write(descriptor, bytes(KIB))
        assert full.value.errno == errno.ENOSPC
    finally:
        os.close(descriptor)
    return ballast


def test_on_a_full_disk_nothing_changes(small, host, outside, controller, tally):
    cnm = controller(host)
    net = cnm.create_network("n", subnet=["10.9.0.0/24", "fd00:9::/64"])
    net.connect(cnm.create_sandbox("c"), publish=["8080:80"])
    cnm.create_sandbox("d")
    before = host.picture()
    ballast = fill(small)
    for name, change in CHANGES.items():
        for _ in range(TIMES):
            with pytest.raises(pycnm.StoreError, match="full"):
                change(cnm)
        assert list(differences(host.picture(), before)) == []
        tally("full disk", name, refused=TIMES)
    ballast.unlink()
    assert cnm.check() == []
    for change in CHANGES.values():
        change(cnm)
    assert cnm.check() == []
