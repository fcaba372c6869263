"""Bridge networks on a wire of the host: sandboxes are machines of the LAN."""

from __future__ import annotations

import pytest
from lan import FAR, LAN, ROUTER, mac, on, way_out
from topology import inside
from traffic import until

import pycnm
from pycnm import Bridge

WIRED = Bridge(external="eth0")


@pytest.fixture
def bare(host, router):
    """The host, whose interface on the wire has no addresses."""
    host.batch("address flush dev eth0 scope global")
    return host


@pytest.fixture
def lan(controller, bare):
    """A controller of it."""
    return controller(bare)


def test_sandboxes_are_on_the_wire(lan, bare, router):
    before = bare.picture()
    net = lan.create_network(
        "n", WIRED, subnet=["192.168.0.0/24", "fd00:9::/64"], gateway=[ROUTER, "fd00:9::1"]
    )
    assert bare.link("eth0")["master"] == net.interface
    # The host has no rules for it, and isn't there itself.
    assert ("inet", "cnm") not in bare.tables()
    assert (bare.addresses(net.interface), bare.addresses(net.interface, 6)) == ([], [])
    (one, end), (two, _) = on(lan, net, "c1", "c2")
    assert way_out(one) == (ROUTER, "eth0")
    assert way_out(one, 6) == ("fd00:9::1", "eth0")
    with router.serve("80", "53/udp", label="router"), one.serve("80", "81", label="c1"):
        # Each has the address of its own outside, and is reached at it: by all its ports.
        assert one.ask(ROUTER, 80).peer == str(end.ip)
        assert one.ask("fd00:9::1", 80).peer == str(end.ip6)
        assert one.ping(FAR)
        for place in (router, two):
            assert place.ask(str(end.ip), 81).server == "c1"
            assert place.ask(str(end.ip6), 80).server == "c1"
    neighbours = router.ip("neigh", "show", "to", str(end.ip))
    assert [each["lladdr"] for each in neighbours] == [mac(end)]
    assert lan.check() == []
    assert net.inspect()["Options"] == {"external": "eth0"}
    for name in ("c1", "c2"):
        lan.sandbox(name).delete()
    net.delete()
    assert bare.picture() == before


def test_the_host_is_not_on_the_wire(lan, bare, router):
    """Nobody there gets an answer from it, even for an address that it has elsewhere."""
    net = lan.create_network("n", WIRED, **LAN)
    bare.batch("address add 198.51.100.7/32 dev lo")
    router.route("198.51.100.7 dev eth0")
    assert not router.ping("198.51.100.7", 0.5)
    assert not any("lladdr" in each for each in router.ip("neigh", "show", "to", "198.51.100.7"))
    address = bare.link(net.interface)["address"]
    router.run("ip", "neigh", "replace", "198.51.100.7", "lladdr", address, "dev", "eth0")
    assert not router.ping("198.51.100.7", 0.5)
    bare.batch("address del 198.51.100.7/32 dev lo")


def test_a_sandbox_has_no_other_name_on_the_wire(lan, bare, router):
    """The guard is the same as on any bridge."""
    net = lan.create_network("n", WIRED, **LAN)
    ((box, _),) = on(lan, net, "c1")
    box.batch("address add 192.168.0.77/24 dev eth0")
    router.run("ip", "neigh", "flush", "dev", "eth0")
    assert not router.ping("192.168.0.77", 0.5)


def test_what_is_taken_from_the_wire_is_put_back(lan, bare, router):
    net = lan.create_network("n", WIRED, **LAN)
    ((box, _),) = on(lan, net, "c1")
    bare.batch("link set eth0 nomaster")
    assert net.check() == [f"eth0 is no port of {net.interface}"]
    net.reconcile()
    assert net.check() == []
    bare.batch("link set eth0 down")
    (said,) = net.check()
    assert said.endswith("is down: `ip link set eth0 up`")
    bare.batch("link set eth0 up")
    until(lambda: box.ping(ROUTER))
    assert net.check() == []


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        ("address add 192.168.0.100/24 dev eth0", pycnm.InUseError,
         "eth0 has the address 192.168.0.100, by which the host"),
        ("link del eth0", pycnm.KernelError, "eth0, which is to be a port of br-.* isn't there"),
        ("link add br9 type bridge; link set eth0 master br9", pycnm.InUseError,
         "eth0 is a port already; take it out"),
        ("link add link eth0 name mv0 type macvlan", pycnm.KernelError, "eth0 master br-.*usy"),
    ],
    ids=["addresses", "missing", "port", "parent"],
)  # fmt: skip
def test_what_cannot_be_a_port(controller, bare, prepare, error, message):
    bare.batch(*prepare.split("; "))
    cnm, before = controller(bare), bare.picture()
    with pytest.raises(error, match=message):
        cnm.create_network("n", WIRED, **LAN)
    assert [net.name for net in cnm.networks()] == ["bridge", "host", "none"]
    assert bare.picture() == before


def test_the_host_gets_its_interface_back_when_all_is_deleted_by_force(lan, bare):
    before = bare.picture()
    net = lan.create_network("n", WIRED, **LAN)
    on(lan, net, "c1")
    net.delete(force=True)
    assert bare.link("eth0").get("master") is None
    lan.sandbox("c1").delete()
    assert bare.picture() == before


def test_a_namespace_of_somebody_else_believes_no_router_either(lan, bare, machine):
    theirs = machine("theirs")
    theirs.set_sysctl(net__ipv6__conf__default__accept_ra=1)
    net = lan.create_network("n", WIRED, subnet=["192.168.0.0/24", "fd00:9::/64"])
    box = lan.create_sandbox("c1", netns="theirs")
    net.connect(box)
    assert inside(box).sysctl("net/ipv6/conf/eth0/accept_ra") == "0"
