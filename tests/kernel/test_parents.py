"""Parents that go down, vanish, are renamed or moved: check says so; all is had back with them."""

from __future__ import annotations

import subprocess

import pytest
from hosts import clear
from lan import LAN, ROUTER, on
from test_watch import Watcher
from topology import IMPATIENCE, inside, until

import pycnm
from pycnm import Macvlan

GONE = (
    "eth0, which networks sit on, is gone: it was deleted, renamed or moved; what sat on it can be "
    "had back when it is there again"
)


@pytest.fixture
def lan(host, router, tmp_path):
    """A controller of the host, whose interface isn't what it was in the end."""
    with pycnm.Controller(tmp_path / "state", host=host.name, dns=False) as cnm:
        yield cnm
    clear(tmp_path / "state", host)
    assert host.interfaces() == ["eth0", "lo"]
    assert [route for route in host.routes() if route["dev"] != "eth0"] == []


@pytest.fixture
def net(lan):
    """A network on eth0 that the host has access to."""
    found = lan.create_network("lan", Macvlan(parent="eth0", host_access=True), **LAN)
    lan.create_network("other", "macvlan", parent="eth0", subnet="192.168.7.0/24")
    return found


@pytest.fixture
def c1(lan, net):
    """A sandbox on it."""
    ((place, _),) = on(lan, net, "c1")
    assert place.ping(ROUTER)
    return place


def works(host, c1):
    return c1.ping(ROUTER) and host.ping("192.168.0.3") and c1.addresses("eth0")


def test_it_goes_down(lan, host, net, c1):
    host.batch("link set eth0 down")
    words = "eth0, which networks sit on, is down: `ip link set eth0 up`"
    assert lan.check() == [words]
    assert net.check() == [words]
    assert not c1.ping(ROUTER, patience=IMPATIENCE)
    with pytest.raises(pycnm.CleanupError) as caught:
        lan.reconcile()
    assert words in str(caught.value.exceptions)
    # It isn't ours to take up.
    assert "UP" not in host.link("eth0")["flags"]
    host.batch("link set eth0 up")
    assert lan.check() == []
    assert until(lambda: works(host, c1))


def test_it_is_renamed(lan, host, net, c1):
    host.batch("link set eth0 down", "link set eth0 name wan0", "link set wan0 up")
    assert lan.check() == [GONE]
    # What sits on it stays there.
    assert until(lambda: works(host, c1))
    with pytest.raises(pycnm.CleanupError):
        lan.reconcile()
    with pytest.raises(pycnm.KernelError, match="there is no interface eth0"):
        net.connect(lan.create_sandbox("c2"))
    host.batch("link set wan0 down", "link set wan0 name eth0", "link set eth0 up")
    assert lan.check() == []
    net.connect("c2")
    assert until(lambda: works(host, c1))


def test_it_vanishes_and_comes_back(lan, host, router, net, c1):
    host.batch("link del eth0")
    found = lan.check()
    assert found[0] == GONE
    assert any("the interface eth0 in /run/netns/c1 is gone" in words for words in found)
    with pytest.raises(pycnm.CleanupError) as caught:
        lan.reconcile()
    assert "there is no interface eth0" in str(caught.value.exceptions)
    host.wire(router, ["192.168.0.100/24"], [f"{ROUTER}/24"])
    done = lan.reconcile()
    assert any("type macvlan" in words for words in done)
    assert lan.check() == []
    assert until(lambda: works(host, c1))


def test_it_is_moved_and_comes_back(lan, host, router, net, c1, machine):
    away = machine("away")
    host.batch("link set eth0 netns away")
    assert lan.check() == [GONE]
    away.batch("link set eth0 netns h1")
    host.batch("address add 192.168.0.100/24 dev eth0", "link set eth0 up")
    assert lan.check() == []
    assert until(lambda: works(host, c1))


def test_another_one_is_there_in_its_place(lan, host, router, net, c1, machine):
    """What sits on the one that was moved is made anew on the one that came."""
    away, second = machine("away"), machine("second")
    host.batch("link set eth0 netns away")
    host.wire(second, ["192.168.0.100/24"], ["192.168.0.77/24"])
    assert "eth0 in /run/netns/c1 sits on another interface than eth0" in lan.check()
    assert not c1.ping("192.168.0.77", patience=IMPATIENCE)
    lan.reconcile()
    assert lan.check() == []
    assert c1.ping("192.168.0.77")
    away.batch("link del eth0")
    assert lan.check() == []


def test_what_stands_for_a_parent_is_made_again(lan, host, router):
    net = lan.create_network("apart", "macvlan", subnet="10.77.0.0/24")
    (c1, _), (_, end) = on(lan, net, "c1", "c2")
    host.batch(f"link del {net.interface}")
    assert f"the interface {net.interface} is gone" in lan.check()
    assert f"the interface {net.interface} is gone" in net.check()
    net.reconcile()
    assert lan.check() == []
    assert c1.ping(end.ip)


def test_a_network_leaves_what_others_sit_on(lan, host):
    """The interface that stands for a parent goes with the last network on it."""
    net = lan.create_network("one", "macvlan", subnet="10.77.0.0/24")
    name = net.interface
    two = lan.create_network("two", "macvlan", parent=name, subnet="10.78.0.0/24")
    net.delete()
    assert name in host.interfaces()
    (c1, _), (_, end) = on(lan, two, "c1", "c2")
    assert c1.ping(end.ip)
    lan.sandbox("c1").delete()
    lan.sandbox("c2").delete()
    two.delete()
    assert name not in host.interfaces()


def test_the_agent_has_it_back_when_it_is(lan, host, router, net, c1, tmp_path):
    watcher = Watcher(host, tmp_path / "state")
    try:
        assert watcher.serves()
        host.batch("link del eth0")
        assert until(lambda: any("eth0" in line for line in watcher.said[1:]))
        plug_in(host, router)
        assert until(lambda: lan.check() == [] and works(host, c1), 20), watcher.said
    finally:
        watcher.end()


@pytest.fixture
def reboot(lan, host, net, c1, machine):
    """Pulls the plug: all but the state directory is gone; then there is a host again."""
    lan.close()
    subprocess.run(["ip", "netns", "del", "c1"], check=True)
    host.remove()
    return machine("h1")


def plug_in(host, router):
    until(lambda: "eth0" not in router.interfaces())
    host.wire(router, ["192.168.0.100/24"], [f"{ROUTER}/24"])


def test_after_a_reboot(reboot, router, tmp_path):
    plug_in(reboot, router)
    with pycnm.Controller(tmp_path / "state", host="h1", dns=False) as cnm:
        cnm.sandbox("c1").start()
        assert cnm.check() == []
        assert until(lambda: works(reboot, inside(cnm.sandbox("c1"))))


def test_after_a_reboot_that_it_came_after(reboot, router, tmp_path):
    with pycnm.Controller(tmp_path / "state", host="h1", dns=False) as cnm:
        assert GONE in cnm.check()
        with pytest.raises(pycnm.KernelError, match="there is no interface eth0"):
            cnm.sandbox("c1").start()
        plug_in(reboot, router)
        cnm.reconcile()
        cnm.sandbox("c1").start()
        assert cnm.check() == []
        assert until(lambda: works(reboot, inside(cnm.sandbox("c1"))))
