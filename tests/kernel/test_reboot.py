"""The host comes up anew: a new namespace with the same state directory."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from surroundings import agents
from topology import RUN_NETNS, inside

import pycnm

MACHINES = {"h1", "h2", "outside"}


@pytest.fixture
def life(controller, host):
    """What is known of a host with networks and sandboxes that ran for a while."""
    cnm = controller(host)
    red = cnm.create_network("red", subnet=["10.1.0.0/24", "fd00:1::/64"], labels={"keep": "me"})
    name = {"com.docker.network.bridge.name": "lan0"}
    cnm.create_network("inner", subnet="10.2.0.0/24", internal=True, options=name)
    c1, c2, c3 = (cnm.create_sandbox(name) for name in ("c1", "c2", "c3"))
    red.connect(c1)
    red.connect(c2, ip="10.1.0.77", mac="02:00:00:00:00:07")
    red.connect(c3)
    cnm.network("bridge").connect(c1)
    c1.run(["true"])
    networks = {net.name: net.id for net in cnm.networks()}
    cnm.close()
    return networks


@pytest.fixture
def reboot(life, machine, host, tmp_path):
    """Pulls the plug: all but the state directory is gone; then there is a host again."""

    def again(name="h1"):
        for agent in agents(tmp_path):
            os.kill(agent, signal.SIGKILL)
        for path in RUN_NETNS.iterdir():
            if path.name not in MACHINES:
                subprocess.run(["ip", "netns", "del", path.name], check=True)
        host.remove()
        return machine(name)

    return again


def test_the_networks_are_there_again(life, reboot, controller, machine):
    host = reboot()
    outside = machine("outside")
    host.wire(outside, ["192.0.2.1/24"], ["192.0.2.66/24"])
    assert host.interfaces() == ["eth0", "lo"]
    cnm = controller(host)
    assert cnm.troubles == []
    assert cnm.check() == []
    assert {net.name: net.id for net in cnm.networks()} == life
    assert host.addresses(f"br-{life['red'][:12]}") == ["10.1.0.1/24"]
    assert "fd00:1::1/64" in host.addresses(f"br-{life['red'][:12]}", 6)
    assert host.addresses("lan0") == ["10.2.0.1/24"]
    assert "cnm0" not in host.interfaces()
    assert cnm.network("red").labels == {"keep": "me"}
    box = cnm.create_sandbox("new")
    cnm.network("red").connect(box)
    with outside.serve("80"):
        assert inside(box).ask("192.0.2.66", 80).peer == "192.0.2.1"


def test_the_sandboxes_are_gone(reboot, controller, tmp_path):
    cnm = controller(reboot())
    assert cnm.sandboxes() == []
    assert sorted(path.name for path in RUN_NETNS.iterdir()) == ["h1"]
    assert list((tmp_path / "state/sandboxes").glob("*")) == []
    with pytest.raises(pycnm.NotFoundError):
        cnm.sandbox("c1")


def test_addresses_are_kept_for_their_names(reboot, controller):
    cnm = controller(reboot())
    red = cnm.network("red")
    for name, address in (("new", "10.1.0.4/24"), ("c3", "10.1.0.3/24"), ("c1", "10.1.0.2/24")):
        box = cnm.create_sandbox(name)
        red.connect(box)
        assert inside(box).addresses("eth0") == [address]
    box = cnm.create_sandbox("c2")
    red.connect(box)
    assert inside(box).addresses("eth0") == ["10.1.0.77/24"]
    assert inside(box).link("eth0")["address"] == "02:00:00:00:00:07"
    assert inside(box).ping("10.1.0.3")


def test_a_network_whose_endpoints_only_wait_can_be_deleted(reboot, controller):
    host = reboot()
    cnm = controller(host)
    cnm.network("red").delete()
    assert [net.name for net in cnm.networks()] == ["bridge", "host", "none", "inner"]
    cnm.create_network("other", subnet="10.1.0.0/24")


def test_the_host_may_have_another_name(life, reboot, controller):
    host = reboot("h2")
    cnm = controller(host)
    assert cnm.check() == []
    assert f"br-{life['red'][:12]}" in host.interfaces()


def test_and_again(reboot, controller, machine):
    first = reboot()
    controller(first).close()
    first.remove()
    cnm = controller(machine("h1"))
    assert cnm.check() == []
    assert [net.name for net in cnm.networks()] == ["bridge", "host", "none", "red", "inner"]


def test_what_is_in_the_way_in_the_new_life_is_told(life, reboot, controller):
    """Somebody else's lan0 isn't touched; everything else starts; then ours is made."""
    host = reboot()
    empty = host.picture()
    host.batch("link add lan0 type bridge")
    try:
        before = host.link("lan0")
        cnm = controller(host, before=empty)
        assert any("lan0" in trouble for trouble in cnm.troubles)
        assert any("lan0" in trouble for trouble in cnm.check())
        assert host.addresses(f"br-{life['red'][:12]}") == ["10.1.0.1/24"]
        assert host.addresses("lan0") == []
        assert host.link("lan0") == before
    finally:
        host.batch("link del lan0")
    cnm.reconcile()
    assert cnm.check() == []
    assert host.addresses("lan0") == ["10.2.0.1/24"]


# The state directory belongs to one host


def test_another_host_is_refused_while_the_first_one_lives(controller, machine, host, tmp_path):
    controller(host).create_network("red")
    other = machine("h2")
    before = other.picture(), host.picture()
    with pytest.raises(pycnm.InUseError, match="/run/netns/h1"):
        pycnm.Controller(tmp_path / "state", host="h2")
    with pytest.raises(pycnm.InUseError, match="/run/netns/h1"):
        pycnm.Controller(tmp_path / "state")
    assert (other.picture(), host.picture()) == before
    assert controller(host).check() == []


def test_the_same_host_by_another_reference_is_the_same(controller, host, tmp_path):
    red = controller(host).create_network("red")
    with host.popen("sleep", "100") as process:
        for reference in (Path(host.key), process.pid, f"/proc/{process.pid}/ns/net"):
            with pycnm.Controller(tmp_path / "state", host=reference) as cnm:
                assert cnm.network("red") == red
                assert cnm.check() == []
        process.kill()
    assert controller(host).network("red") == red


def test_a_host_that_is_not_there(tmp_path):
    for reference in ("nobody", 2**22 + 1, "/run/nothing", "/etc/hosts"):
        with pytest.raises(pycnm.NotFoundError, match="ip netns"):
            pycnm.Controller(tmp_path / "state", host=reference)
    for reference in ("", b"h1", 1.5, True, ["h1"], "h\0"):
        with pytest.raises(pycnm.InvalidArgumentError):
            pycnm.Controller(tmp_path / "state", host=reference)
    assert list(tmp_path.iterdir()) == []


def test_two_hosts_side_by_side(controller, machine, host):
    """Two machines on one kernel, with the same names and the same subnets."""
    hosts = host, machine("h2")
    boxes = []
    for number, each in enumerate(hosts):
        cnm = controller(each, state=f"state{number}")
        net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
        boxes.append(cnm.create_sandbox("c2"))
        net.connect(boxes[-1])
        assert each.interfaces() == sorted(
            ["lo", f"br-{net.id[:12]}", *(endpoint.host_interface for endpoint in net.endpoints)]
        )
    assert boxes[0].key != boxes[1].key
    for box in boxes:
        assert inside(box).addresses("eth0") == ["10.20.30.2/24"]
        assert inside(box).ping("10.20.30.1")
    boxes[0].delete()
    assert inside(boxes[1]).ping("10.20.30.1")
