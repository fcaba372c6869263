"""The host comes up anew: a new namespace with the same state directory."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from agent_support import occupied
from surroundings import agents
from topology import RUN_NETNS, inside, until

import pycnm
from pycnm.errors import CleanupError

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
    red.connect(c2, ip="10.1.0.77", mac="02:00:00:00:00:07", publish=["8080:80"], aliases=["web"])
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


def test_the_sandboxes_are_down(reboot, controller, tmp_path):
    cnm = controller(reboot())
    assert [(box.name, box.state) for box in cnm.sandboxes()] == [
        ("c1", "down"),
        ("c2", "down"),
        ("c3", "down"),
    ]
    assert sorted(path.name for path in RUN_NETNS.iterdir()) == ["h1"]
    assert list((tmp_path / "state/sandboxes").glob("*")) == []
    box = cnm.sandbox("c1")
    assert box.inspect()["State"] == "down"
    other = cnm.create_network("other")
    for refused in (
        lambda: box.run(["true"]),
        box.routes,
        box.interfaces,
        box.endpoints[0].stats,
        lambda: box.endpoints[0].publish("9000:90"),
        lambda: other.connect(box),
    ):
        with pytest.raises(pycnm.NotFoundError, match="`cnm sandbox start c1`"):
            refused()
    with pytest.raises(pycnm.AlreadyExistsError, match=r"`cnm sandbox start c1`.*sandbox rm c1"):
        cnm.create_sandbox("c1")
    assert box.reconcile() == box.check() == []
    assert cnm.check() == []


def test_started_again_everything_is_as_it_was(reboot, controller, machine, tmp_path):
    host = reboot()
    outside = machine("outside")
    host.wire(outside, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.66/24", "2001:db8::66/64"])
    cnm = controller(host)
    # Nobody else gets what is kept for them.
    new = cnm.create_sandbox("new")
    assert str(cnm.network("red").connect(new).ip) == "10.1.0.4"
    with pytest.raises(pycnm.AddressInUseError):
        cnm.network("inner").connect(new)
        cnm.network("red").create_endpoint("thief", ip="10.1.0.77")
    with pytest.raises(pycnm.PortInUseError, match="endpoint c2 of network red"):
        new.endpoints[0].publish("8080:80")
    assert ("tcp", "00000000:1F90") not in host.bound()
    # The last is the first, and they find each other again.
    for name in ("c3", "c2", "c1"):
        cnm.sandbox(name).start()
        assert cnm.sandbox(name).state == "up"
    assert cnm.check() == []
    c1, c2, c3 = (inside(cnm.sandbox(name)) for name in ("c1", "c2", "c3"))
    assert [c.addresses("eth0") for c in (c1, c2, c3)] == [
        ["10.1.0.2/24"],
        ["10.1.0.77/24"],
        ["10.1.0.3/24"],
    ]
    assert c2.link("eth0")["address"] == "02:00:00:00:00:07"
    assert c1.addresses("eth1") == ["172.17.0.2/16"]
    assert c3.ping("10.1.0.77")
    assert c3.ping("fd00:1::2")
    with c2.serve("80"), outside.serve("90"):
        assert outside.ask("192.0.2.1", 8080).server == "c2"
        assert outside.ask("2001:db8::1", 8080).server == "c2"
        assert c1.ask("192.0.2.66", 90)
    assert "10.1.0.77\tc2 web" in cnm.network("red").names
    assert [str(address) for address in cnm.resolve("web.red")] == ["10.1.0.77", "fd00:1::3"]
    before = host.picture()
    cnm.sandbox("c2").start()
    assert host.picture() == before


def test_deleted_they_give_back_what_was_kept_for_them(reboot, controller):
    cnm = controller(reboot())
    cnm.sandbox("c1").delete()
    cnm.network("red").disconnect("c3")
    cnm.sandbox("c2").endpoints[0].unpublish("8080:80")
    red = cnm.network("red")
    ends = [
        red.connect(cnm.create_sandbox(name), publish=["8080:80"][n:])
        for n, name in enumerate(("c1", "c4"))
    ]
    assert [str(end.ip) for end in ends] == ["10.1.0.2", "10.1.0.3"]
    assert cnm.sandbox("c3").endpoints == []
    cnm.sandbox("c3").start()
    assert inside(cnm.sandbox("c3")).interfaces() == ["lo"]
    assert cnm.check() == []


def test_a_port_that_somebody_took_meanwhile_is_named_and_nothing_is_started(reboot, controller):
    host = reboot()
    cnm = controller(host)
    before = host.picture()
    with occupied(host, "8080/tcp") as pid:
        with pytest.raises(pycnm.PortInUseError, match=f"process {pid}"):
            cnm.sandbox("c2").start()
        assert cnm.sandbox("c2").state == "down"
        assert [path.name for path in RUN_NETNS.iterdir()] == ["h1"]
    assert until(lambda: host.picture() == before)
    cnm.sandbox("c2").start()
    assert cnm.check() == []


def test_what_changes_while_a_sandbox_is_down_is_so_when_it_is_started(reboot, controller):
    cnm = controller(reboot())
    red, end = cnm.network("red"), cnm.sandbox("c3").endpoints[0]
    red.configure(options={"com.docker.network.driver.mtu": "1400"})
    red.rename("blue")
    end.configure(ip="10.1.0.33", aliases=["three"])
    assert cnm.check() == []
    cnm.sandbox("c3").start()
    c3 = inside(cnm.sandbox("c3"))
    assert c3.addresses("eth0") == ["10.1.0.33/24"]
    assert c3.link("eth0")["mtu"] == 1400
    assert cnm.check() == []


def test_a_namespace_that_was_adopted_is_waited_for(controller, machine, host, tmp_path):
    cnm = controller(host)
    theirs = machine("theirs")
    box = cnm.create_sandbox("box", netns="theirs")
    cnm.create_network("red").connect(box)
    theirs.remove()
    assert box.state == "down"
    assert cnm.check() != []
    with pytest.raises(pycnm.NotFoundError, match=r"/run/netns/theirs .* is gone; make it"):
        box.start()
    with pytest.raises(CleanupError):
        cnm.reconcile()
    theirs = machine("theirs")
    box.start()
    assert box.state == "up"
    assert theirs.addresses("eth0") == ["172.18.0.2/16"]
    assert cnm.check() == []


def test_an_adopted_one_after_a_reboot(controller, machine, host, tmp_path):
    cnm = controller(host)
    theirs = machine("theirs")
    boxes = [cnm.create_sandbox("box", netns="theirs")]
    other = machine("other")
    with other.popen("sleep", "100") as process:
        boxes += [cnm.create_sandbox("proc", netns=process.pid)]
        boxes += [cnm.create_sandbox("host", netns="host")]
        for box in boxes[:2]:
            cnm.network("bridge").connect(box)
        process.kill()
    cnm.network("host").connect(boxes[2])
    cnm.close()
    for each in (theirs, other, host):
        each.remove()
    cnm = controller(machine("h1"))
    assert [(box.name, box.state) for box in cnm.sandboxes()] == [
        ("box", "down"),
        ("proc", "down"),
        ("host", "up"),
    ]
    for name, reason in (("box", "is gone; make it"), ("proc", "of a process, /proc/")):
        with pytest.raises(pycnm.NotFoundError, match=reason):
            cnm.sandbox(name).start()
    again = machine("theirs")
    cnm.sandbox("box").start()
    assert again.addresses("eth0") == ["172.17.0.2/16"]
    assert cnm.sandbox("host").run(["true"]).returncode == 0
    assert cnm.check() == []


def test_a_network_whose_endpoints_only_wait_can_be_deleted(reboot, controller):
    host = reboot()
    cnm = controller(host)
    assert cnm.prune() == ["inner"]
    cnm.network("red").delete()
    assert [net.name for net in cnm.networks()] == ["bridge", "host", "none"]
    cnm.create_network("other", subnet="10.1.0.0/24")
    cnm.sandbox("c1").start()
    assert inside(cnm.sandbox("c1")).interfaces() == ["eth1", "lo"]


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


def test_a_stranger_with_the_number_of_the_host_that_is_gone_is_not_taken_for_it(
    reboot, controller, machine
):
    """The kernel gives the numbers of namespaces again, the lowest first."""
    number = Path(RUN_NETNS / "h1").stat().st_ino
    heir = reboot("heir")

    def given_again():
        return number in {Path(each.key).stat().st_ino for each in others}

    others = [heir]
    until(lambda: others.append(machine(f"stranger{len(others)}")) or given_again())
    host = next(each for each in others if Path(each.key).stat().st_ino != number)
    assert controller(host).check() == []
    assert {net.name for net in controller(host).networks()} >= {"inner", "red"}


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
