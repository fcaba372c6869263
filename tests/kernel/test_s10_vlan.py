"""S10: macvlan on a VLAN of the host's interface, made and removed with its networks."""

from __future__ import annotations

import errno

import pytest
from hosts import clear
from lan import mac, on, way_out
from topology import IMPATIENCE, inside, until

import pycnm
from pycnm import Ipvlan, Macvlan

pytestmark = pytest.mark.needs("vlan")

ROUTER = "192.168.10.1"
TEN = {"subnet": "192.168.10.0/24", "gateway": ROUTER}


@pytest.fixture
def router(machine, host):
    """A machine at the other end of a trunk: 192.168.10.1 on VLAN 10."""
    found = machine("router")
    host.wire(found, ["192.168.0.100/24"], ["192.168.0.1/24"])
    found.batch(
        "link add link eth0 name eth0.10 type vlan id 10",
        f"address add {ROUTER}/24 dev eth0.10",
        "link set eth0.10 up",
    )
    return found


@pytest.fixture
def twenty(machine, router):
    """A machine on VLAN 20 of the same trunk, with an address of VLAN 10's network."""
    found = machine("twenty")
    router.batch("link add link eth0 name eth0.20 type vlan id 20", "link set eth0.20 netns twenty")
    found.batch("address add 192.168.10.66/24 dev eth0.20", "link set eth0.20 up")
    return found


def test_frames_carry_the_tag_and_nobody_else_sees_them(lan, host, router, twenty):
    net = lan.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    ((c1, end),) = on(lan, net, "c1")
    assert way_out(c1) == (ROUTER, "eth0")
    with router.capture("eth0", "vlan") as trunk, twenty.capture("eth0.20") as other:
        assert c1.ping(ROUTER)
        assert not c1.ping("192.168.10.66", patience=IMPATIENCE)
        pattern = (
            rf"{mac(end)} > \S+, ethertype 802\.1Q .*vlan 10, .*{end.ip} > {ROUTER}: ICMP echo"
        )
        assert trunk.find(pattern)
    assert not [line for line in trunk.lines if mac(end) in line and "vlan 10," not in line]
    assert not [line for line in other.lines if mac(end) in line]
    assert lan.check() == []


def test_made_with_the_first_network_and_gone_with_the_last(lan, host, router):
    before = host.picture()
    one = lan.create_network("one", "macvlan", parent="eth0.10", **TEN)
    link = host.link("eth0.10")
    assert (link["link"], link["linkinfo"]["info_data"]["id"]) == ("eth0", 10)
    assert host.addresses("eth0.10", 6) == []
    assert "ip link add link eth0 name eth0.10" in str(one.explain())
    two = lan.create_network("two", "macvlan", parent="eth0.10", subnet="192.168.11.0/24")
    (c2, _), *_ = on(lan, two, "c2", ip="192.168.11.9")
    one.delete()
    assert "eth0.10" in host.interfaces()
    c2.batch("address add 192.168.10.9/24 dev eth0")
    assert c2.ping(ROUTER)
    two.delete(force=True)
    assert "eth0.10" not in host.interfaces()
    assert host.picture() == before


def test_one_that_is_there_is_used_and_stays(lan, host, router):
    host.batch("link add link eth0 name eth0.10 type vlan id 10", "link set eth0.10 up")
    net = lan.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    ((c1, _),) = on(lan, net, "c1")
    assert c1.ping(ROUTER)
    net.delete(force=True)
    assert "eth0.10" in host.interfaces()
    host.batch("link del eth0.10")


def test_vlans_of_one_interface_are_apart(lan, host, router, twenty):
    ten = lan.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    other = lan.create_network("twenty", "macvlan", parent="eth0.20", subnet="192.168.20.0/24")
    (c1, first), *_ = on(lan, ten, "c1")
    ((c2, _),) = on(lan, other, "c2")
    c2.batch("address add 192.168.10.77/24 dev eth0")
    assert not c2.ping(first.ip, patience=IMPATIENCE)
    assert c2.ping("192.168.10.66")
    assert c1.ping(ROUTER)


def test_the_host_reaches_them_there(lan, host, router):
    net = lan.create_network("ten", Macvlan(parent="eth0.10", host_access=True), **TEN)
    ((c1, end),) = on(lan, net, "c1")
    assert host.ping(end.ip)
    assert c1.ping(ROUTER)


def test_the_network_moves_to_another_vlan(lan, host, router):
    net = lan.create_network("net", "macvlan", parent="eth0.20", **TEN)
    net.configure(parent="eth0.10")
    assert "eth0.20" not in host.interfaces()
    ((c1, _),) = on(lan, net, "c1")
    assert c1.ping(ROUTER)


def test_refused(lan, host):
    before = host.picture()
    host.batch("link set eth0 down")
    with pytest.raises(pycnm.KernelError, match=r"ip link set eth0\.10 up.*is down") as caught:
        lan.create_network("bad", "macvlan", parent="eth0.10")
    assert caught.value.errno == errno.ENETDOWN
    assert "eth0.10" not in host.interfaces()
    host.batch("link set eth0 up")
    # Somebody has that VLAN under another name.
    host.batch("link add link eth0 name ten type vlan id 10")
    with pytest.raises(pycnm.CNMError) as caught:
        lan.create_network("bad", "macvlan", parent="eth0.10")
    assert caught.value.errno == errno.EEXIST
    assert "there is one like it under another name" in str(caught.value)
    host.batch("link del ten")
    assert until(lambda: host.picture() == before)


@pytest.mark.needs("ipvlan")
def test_ipvlan_on_a_vlan(lan, host, router):
    net = lan.create_network("ten", Ipvlan(parent="eth0.10"), **TEN)
    ((c1, _),) = on(lan, net, "c1")
    with router.capture("eth0", "vlan") as trunk:
        assert c1.ping(ROUTER)
        assert trunk.find(rf"{host.link('eth0')['address']} > \S+, ethertype 802\.1Q .*vlan 10,")


# Gone and back


@pytest.fixture
def own(host, router, tmp_path):
    """A controller of the host, whose interface isn't what it was in the end."""
    with pycnm.Controller(tmp_path / "state", host=host.name, dns=False) as cnm:
        yield cnm
    clear(tmp_path / "state", host)
    assert host.interfaces() == ["eth0", "lo"]


def test_deleted_and_had_back(own, host, router):
    net = own.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    ((c1, _),) = on(own, net, "c1")
    host.batch("link del eth0.10")
    assert "the interface eth0.10 is gone" in own.check()
    own.reconcile()
    assert own.check() == []
    assert c1.ping(ROUTER)


def test_what_it_is_of_goes_down_and_up(own, host, router):
    net = own.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    ((c1, _),) = on(own, net, "c1")
    host.batch("link set eth0 down")
    assert own.check() == [
        "eth0, which networks sit on, is down: `ip link set eth0 up`",
        "eth0.10 is down",
    ]
    host.batch("link set eth0 up")
    assert own.check() == []
    assert until(lambda: c1.ping(ROUTER))


def test_what_it_is_of_vanishes_and_comes_back(own, host, router):
    net = own.create_network("ten", "macvlan", parent="eth0.10", **TEN)
    on(own, net, "c1")
    host.batch("link del eth0")
    with pytest.raises(pycnm.CleanupError):
        own.reconcile()
    until(lambda: "eth0" not in router.interfaces())
    host.wire(router, ["192.168.0.100/24"], ["192.168.0.1/24"])
    router.batch(
        "link add link eth0 name eth0.10 type vlan id 10",
        f"address add {ROUTER}/24 dev eth0.10",
        "link set eth0.10 up",
    )
    own.reconcile()
    assert own.check() == []
    assert until(lambda: inside(own.sandbox("c1")).ping(ROUTER))
