"""A sandbox that leads others from one network to another, and out: where packets go, and can't."""

from __future__ import annotations

import re

import pytest
from lan import FAR, LAN, ROUTER, on
from topology import IMPATIENCE, RUN_NETNS, Place, inside

import pycnm
from pycnm import Bridge, Macvlan

ISOLATED = Bridge(gateway_mode_ipv4="isolated", gateway_mode_ipv6="isolated")


def network(cnm, number, driver="bridge", **how):
    """A network whose default routes lead to its address .254."""
    return cnm.create_network(
        f"net{number}",
        driver,
        subnet=[f"10.{number}.0.0/24", f"fd00:{number}::/64"],
        aux_addresses={
            "DefaultGatewayIPv4": f"10.{number}.0.254",
            "DefaultGatewayIPv6": f"fd00:{number}::fe",
        },
        **how,
    )


def router_on(cnm, *networks, name="r"):
    """A sandbox that is the gateway of networks."""
    box = cnm.create_sandbox(name)
    for each in networks:
        four, six = each.spec.pools
        each.connect(box, ip=four.aux[0][1], ip6=six.aux[0][1], forwarding=True)
    return box


def hops(place, address, family=4):
    """The TTL that an answer comes with; None without one."""
    if not place.ping(address):
        return None
    found = re.search(r"ttl=(\d+)", place.run("ping", "-nc1", address))
    return int(found[1])


@pytest.mark.parametrize(
    ("driver", "how"),
    [("bridge", {}), (Bridge(inhibit_ipv4=True), {}), ("bridge", {"internal": True}),
     (ISOLATED, {"internal": True})],
    ids=["bridge", "inhibited", "internal", "isolated"],
)  # fmt: skip
def test_two_networks_with_a_router_between(cnm, host, driver, how):
    nets = [network(cnm, 1, driver, **how), network(cnm, 2)]
    router_on(cnm, *nets)
    ((one, end),) = on(cnm, nets[0], "c1", ip="10.1.0.2", ip6="fd00:1::2")
    ((two, _),) = on(cnm, nets[1], "c2")
    assert str(end.gateway) == "10.1.0.254"
    with two.serve("80", "53/udp"):
        for port in ((80, "tcp"), (53, "udp")):
            answer = one.ask("10.2.0.2", *port)
            assert (answer.server, answer.peer) == ("c2", "10.1.0.2")
        assert one.ask("fd00:2::2", 80).peer == "fd00:1::2"
    # One router is between.
    assert hops(one, "10.2.0.2") == hops(two, "10.1.0.2") == 63
    assert hops(one, "fd00:2::2") == hops(two, "fd00:1::2") == 63
    # And it says so itself.
    for far, near, words in (
        ("10.2.0.2", "10.1.0.254", "Time to live exceeded"),
        ("fd00:2::2", "fd00:1::fe", "Hop limit"),
    ):
        said = one.run("sh", "-c", f"ping -nc1 -t1 -W2 {far} || true")
        assert re.search(rf"From {near}:? .*{words}", said), said
    # Whoever is on a network only still reaches the router at all of its addresses.
    assert hops(one, "10.2.0.254") == 64
    assert cnm.check() == []


def test_it_is_switched_on_and_off_live(cnm):
    nets = [network(cnm, 1), network(cnm, 2)]
    box = cnm.create_sandbox("r")
    ends = [each.connect(box) for each in nets]
    ((one, end),) = on(cnm, nets[0], "c1", routes=["10.2.0.0/24 via 10.1.0.2"])
    on(cnm, nets[1], "c2", routes=["10.1.0.0/24 via 10.2.0.2"])
    place = inside(box)
    before = place.settings()
    # What root inside does changes nothing.
    place.set_sysctl(net__ipv4__ip_forward=1)
    assert hops(one, "10.2.0.3") is None
    place.set_sysctl(net__ipv4__ip_forward=0)
    ends[0].configure(forwarding=True)
    assert ends[0].forwarding
    assert not one.ping("10.2.0.3", patience=IMPATIENCE)
    ends[1].configure(forwarding=True)
    assert hops(one, "10.2.0.3") == 63
    assert cnm.check() == []
    place.set_sysctl(net__ipv4__conf__eth0__forwarding=0)
    assert cnm.check() == [f"net/ipv4/conf/eth0/forwarding in {place.key} is 0, not 1"]
    cnm.reconcile()
    assert hops(one, "10.2.0.3") == 63
    # At its addresses it answers for itself; as the gateway it has another one.
    for each in ends:
        each.configure(forwarding=False)
    assert not one.ping("10.2.0.3", patience=IMPATIENCE)
    assert place.settings() == before
    assert end.sandbox.endpoints
    assert cnm.check() == []


def test_the_address_of_the_gateway_is_for_one_that_forwards(cnm):
    net = network(cnm, 1)
    with pytest.raises(pycnm.AddressInUseError, match="set aside for the gateway of network net1"):
        net.connect(cnm.create_sandbox("c1"), ip="10.1.0.254")
    ((box, end),) = on(cnm, net, "r", forwarding=True)
    assert str(end.gateway) == "10.1.0.254"
    end.configure(ip="10.1.0.254", ip6="fd00:1::fe")
    # Itself it goes out by the host.
    assert str(end.gateway) == "10.1.0.1"
    assert box.ping("192.0.2.66")
    assert str(end.mac).replace("-", ":").lower() == "02:42:0a:01:00:fe"
    with pytest.raises(pycnm.AddressInUseError, match="is endpoint r's, the gateway of network"):
        net.connect("c1", ip="10.1.0.254", forwarding=True)
    with pytest.raises(pycnm.AddressInUseError, match="with `forwarding` only"):
        end.configure(forwarding=False)
    net.disconnect("r")
    # It is still set aside, and another one's to have.
    assert net.usage()[net.subnets[0]].ips_in_use == 4
    assert str(net.connect("c1", ip="10.1.0.254", forwarding=True).ip) == "10.1.0.254"
    assert cnm.check() == []


@pytest.mark.parametrize("bare", [Bridge(inhibit_ipv4=True), "macvlan"])
def test_the_gateway_that_the_host_is_not(lan, bare):
    """Where the bridge has no address, or nobody on the wire, a sandbox has the gateway's."""
    driver = Macvlan(parent="eth0") if bare == "macvlan" else bare
    net = lan.create_network("n", driver, subnet="10.1.0.0/24", gateway="10.1.0.9")
    ((box, end),) = on(lan, net, "r", ip="10.1.0.9", forwarding=True)
    assert end.gateway is None
    ((other, it),) = on(lan, net, "c1")
    assert str(it.gateway) == "10.1.0.9"
    box.batch("address add 198.51.100.1/32 dev lo")
    assert hops(other, "198.51.100.1") == 64
    assert lan.check() == []


def test_out_to_the_world_by_a_sandbox_on_the_wire(lan, router):
    """The network itself has no way out, and its addresses are seen outside."""
    net = network(lan, 1, ISOLATED, internal=True)
    wire = lan.create_network("wire", Macvlan(parent="eth0"), **LAN)
    box = router_on(lan, net)
    wire.connect(box, ip="192.168.0.77", forwarding=True)
    router.route("10.1.0.0/24 via 192.168.0.77")
    far = Place(RUN_NETNS / "far")
    ((one, _),) = on(lan, net, "c1", ip="10.1.0.2")
    with far.serve("80"):
        assert one.ask(FAR, 80).peer == "10.1.0.2"
    assert hops(one, FAR) == 62
    # Back as well, whoever begins.
    with one.serve("80"):
        assert far.ask("10.1.0.2", 80).peer == FAR
    # One leg that doesn't forward, and nothing goes either way.
    wire.disconnect(box)
    wire.connect(box, ip="192.168.0.77")
    assert not one.ping(FAR, patience=IMPATIENCE)
    assert inside(box).ping(ROUTER)
    assert lan.check() == []


def test_out_by_a_sandbox_that_masquerades(cnm, outside):
    """As a VPN's or a firewall's does."""
    net = network(cnm, 1, ISOLATED, internal=True)
    box = router_on(cnm, net)
    up = cnm.create_network("up", subnet="10.2.0.0/24")
    up.connect(box, forwarding=True)
    inside(box).run(
        *("nft", "add table ip nat; "),
        "add chain ip nat out { type nat hook postrouting priority 100; }; ",
        "add rule ip nat out oifname eth1 masquerade",
    )
    ((one, _),) = on(cnm, net, "c1")
    with outside.serve("80"):
        assert one.ask("192.0.2.66", 80).peer == "192.0.2.1"
    cnm.sandbox("r").delete()
    assert not one.ping("192.0.2.66", patience=IMPATIENCE)


def test_one_that_forwards_is_none_of_its_neighbours(cnm, host):
    """Neither by IP nor by MAC; what it may not say to them `test_guard` has."""
    nets = [network(cnm, 1), network(cnm, 2)]
    box = inside(router_on(cnm, *nets))
    on(cnm, nets[0], "c1")
    ((two, _),) = on(cnm, nets[1], "c2")
    with two.serve("53/udp"):

        def heard(source):
            return box.ask("10.2.0.2", 53, "udp", source=(source, 0), patience=IMPATIENCE)

        assert heard("10.2.0.254")
        assert heard("10.1.0.254")
        box.batch("address add 10.2.0.1/32 dev eth1", "address add 10.2.0.3/32 dev eth1")
        assert not heard("10.2.0.1")
        assert not heard("10.2.0.3")
        own, bridges = box.link("eth1")["address"], host.link(nets[1].interface)["address"]
        box.batch(f"link set eth1 address {bridges}")
        assert not heard("10.2.0.254")
        assert not heard("10.1.0.254")
        box.batch(f"link set eth1 address {own}", "address del 10.2.0.1/32 dev eth1")
        assert heard("10.2.0.254")


def test_who_cannot_forward(cnm):
    for name, netns in (("none", None), ("host", "host")):
        with pytest.raises(pycnm.NotSupportedError, match="have no packets for others"):
            cnm.network(name).connect(cnm.create_sandbox("c1", netns=netns), forwarding=True)
        cnm.sandbox("c1").delete()
    with pytest.raises(pycnm.InvalidArgumentError, match="should be True or False"):
        cnm.network("bridge").connect(cnm.create_sandbox("c1"), forwarding="yes")


@pytest.mark.needs("ipvlan")
def test_ipvlan_has_no_packets_for_others(lan):
    net = lan.create_network("n", pycnm.Ipvlan(parent="eth0"), subnet=LAN["subnet"])
    with pytest.raises(pycnm.NotSupportedError, match="have no packets for others"):
        net.connect(lan.create_sandbox("c1"), forwarding=True)
