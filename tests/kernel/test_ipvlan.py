"""ipvlan: sandboxes with the MAC of the host's interface, on its wire or behind it."""

from __future__ import annotations

import errno

import pytest
from lan import FAR, LAN, ROUTER, on, way_out
from topology import IMPATIENCE

import pycnm
from pycnm import Ipvlan

pytestmark = pytest.mark.needs("ipvlan")

OWN = "192.168.0.100"


def test_on_the_wire_with_the_mac_of_the_parent(lan, host, router):
    before = host.picture()
    net = lan.create_network("lan", "ipvlan", parent="eth0", **LAN)
    (c1, end), (_, other) = on(lan, net, "c1", "c2")
    assert end.mac is None
    assert way_out(c1) == (ROUTER, "eth0")
    own = host.link("eth0")["address"]
    with router.capture("eth0", "icmp") as seen:
        assert c1.ping(FAR)
        assert seen.find(rf"{own} > \S+, .* {end.ip} > {FAR}: ICMP echo")
    assert c1.ping(other.ip)
    assert not host.ping(end.ip, patience=IMPATIENCE)
    assert host.picture() == before
    assert lan.check() == []


def test_both_families(lan, router):
    net = lan.create_network(
        "lan", "ipvlan", parent="eth0",
        subnet=["192.168.0.0/24", "fd00:9::/64"], gateway=[ROUTER, "fd00:9::1"],
    )  # fmt: skip
    ((c1, _),) = on(lan, net, "c1")
    assert c1.ping("fd00:9::1")
    assert way_out(c1, 6) == ("fd00:9::1", "eth0")


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_behind_the_parent(lan, host, router, mode):
    """It routes; others know the way over the host, and no subnet has a gateway."""
    net = lan.create_network(
        "routed", Ipvlan(parent="eth0", mode=mode), subnet=["10.50.0.0/29", "10.51.0.0/24"]
    )
    boxes = on(lan, net, "c1", "c2", "c3", "c4", "c5", "c6")
    (c1, _), (c7, end) = boxes[0], *on(lan, net, "c7")
    assert str(end.ip) == "10.51.0.1"
    assert way_out(c1) == (None, "eth0")
    # From one subnet to the other there is no hop between.
    assert c1.ping(end.ip)
    router.route(f"10.50.0.0/24 via {OWN}", f"10.51.0.0/24 via {OWN}")
    host.route(f"default via {ROUTER}")
    assert c1.ping(ROUTER)
    assert c7.ping(FAR)
    assert router.ping(end.ip)
    # There is no broadcast to be heard.
    assert "NOARP" in c1.link("eth0")["flags"]
    host.batch("route del default")


@pytest.mark.parametrize("flag", ["private", "vepa"])
def test_flags(lan, router, flag):
    net = lan.create_network("lan", Ipvlan(parent="eth0", flag=flag), **LAN)
    (c1, _), (_, end) = on(lan, net, "c1", "c2")
    assert c1.ping(ROUTER)
    assert not c1.ping(end.ip, patience=IMPATIENCE)
    assert lan.check() == []


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_the_host_reaches_them(lan, host, router, mode):
    before = host.picture()
    net = lan.create_network(
        "lan", Ipvlan(parent="eth0", mode=mode, host_access=True), subnet="10.50.0.0/24"
    )
    ((c1, end),) = on(lan, net, "c1")
    assert host.ping(end.ip)
    with host.serve("80"):
        (address,) = [text for pool in net.spec.pools for _, text in pool.aux]
        assert c1.ask(address, 80).peer == str(end.ip)
    assert lan.check() == []
    net.delete(force=True)
    assert host.picture() == before


def test_a_parent_has_one_network(lan, router):
    lan.create_network("lan", "ipvlan", parent="eth0", **LAN)
    for driver in ("ipvlan", "macvlan"):
        with pytest.raises(pycnm.InUseError, match="lan is already using parent interface eth0"):
            lan.create_network("other", driver, parent="eth0")


def test_a_mac_can_t_be_chosen(lan):
    net = lan.create_network("lan", "ipvlan", parent="eth0", **LAN)
    words = "ipvlan interfaces do not support custom mac address assignment"
    with pytest.raises(pycnm.NotSupportedError, match=words) as caught:
        net.connect(lan.create_sandbox("c1"), mac="02:00:00:00:00:77")
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_without_a_parent_it_is_internal(lan, host, router, mode):
    net = lan.create_network("apart", Ipvlan(mode=mode), subnet="10.77.0.0/24")
    assert net.internal
    (c1, _), (_, end) = on(lan, net, "c1", "c2")
    assert c1.ping(end.ip)
    assert way_out(c1) is None
    assert not c1.ping(ROUTER, patience=IMPATIENCE)
    assert host.link(f"di-{net.id[:12]}")["linkinfo"]["info_kind"] in {"dummy", "ifb"}


def test_a_sandbox_that_went_gives_its_address_back_at_once(lan, router):
    """Though a process stays in it: the kernel lets nobody else have it meanwhile."""
    net = lan.create_network("lan", "ipvlan", parent="eth0", **LAN)
    box = lan.create_sandbox("c1")
    end = net.connect(box)
    address = str(end.ip)
    with box.popen(["sleep", "60"]) as stays:
        try:
            box.delete()
            ((c2, again),) = on(lan, net, "c2")
            assert str(again.ip) == address
            assert c2.ping(ROUTER)
        finally:
            stays.kill()


def test_put_back(lan, host, router):
    net = lan.create_network("lan", Ipvlan(parent="eth0", host_access=True), **LAN)
    ((c1, end),) = on(lan, net, "c1")
    c1.batch("link del eth0")
    host.batch(f"link del ih-{net.id[:12]}")
    lan.reconcile()
    assert lan.check() == []
    assert c1.ping(ROUTER)
    assert host.ping(end.ip)
    c1.batch("link set eth0 type ipvlan mode l3")
    assert any("has mode 1, not l2" in words for words in lan.check())
    lan.reconcile()
    assert lan.check() == []
    assert c1.ping(ROUTER)


def test_wrong(lan):
    with pytest.raises(pycnm.InvalidArgumentError, match="in mode l3 there is no gateway"):
        lan.create_network("bad", Ipvlan(parent="eth0", mode="l3"), **LAN)
    with pytest.raises(pycnm.InvalidArgumentError, match="not a valid ipvlan parent link"):
        lan.create_network("bad", Ipvlan(parent="lo"))
