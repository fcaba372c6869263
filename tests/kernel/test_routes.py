"""Static routes of networks and endpoints: where packets go, and come back."""

from __future__ import annotations

import re

import pytest
from lan import FAR, LAN, ROUTER, on
from topology import inside, until

import pycnm
from pycnm import Bridge, Macvlan

BEHIND = f"203.0.113.0/24 via {ROUTER}"
ROUTED = Bridge(gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")
AWAY4, AWAY6 = "198.51.100.7", "2001:db8:7::7"


def static(place, family=4):
    """The routes of a sandbox that lead over a next hop, but the default ones."""
    found = [each for each in place.routes(family) if "gateway" in each]
    return {each["dst"]: each["gateway"] for each in found if each["dst"] != "default"}


# On a wire, behind a router


@pytest.fixture
def wire(lan):
    """A network on the wire, which leads nowhere by itself."""
    return lan.create_network(
        "n",
        Macvlan(parent="eth0"),
        subnet=[LAN["subnet"], "fd00:9::/64"],
        aux_addresses={"router": ROUTER, "router6": "fd00:9::1"},
    )


def test_what_is_behind_a_router_is_reached_by_the_network_s_route(lan, wire):
    ((box, end),) = on(lan, wire, "c2")
    assert not box.ping(FAR, patience=0.3)
    wire.configure(routes=[BEHIND])
    assert wire.routes == [BEHIND]
    assert box.ping(FAR)
    assert static(box) == {"203.0.113.0/24": ROUTER}
    # Who comes later has it, too.
    ((later, _),) = on(lan, wire, "c3")
    assert later.ping(FAR)
    # In the order in which a person types it; the endpoint's own plan has none of it.
    assert f"ip -n c2 route add 203.0.113.0/24 via {ROUTER} dev eth0 metric 1024" in str(
        lan.sandbox("c2").explain()
    )
    assert "203.0.113" not in str(end.explain())
    wire.configure(routes=[])
    assert static(box) == static(later) == {}
    assert not box.ping(FAR, patience=0.3)
    assert lan.check() == []


def test_an_endpoint_s_own_route_live(lan, wire):
    (box, end), (other, _) = on(lan, wire, "c2", "c3")
    end.configure(routes=[BEHIND])
    assert end.routes == end.inspect()["Routes"] == [BEHIND]
    assert box.ping(FAR)
    assert static(other) == {}
    # It goes before the network's to the same place.
    wire.configure(routes=["203.0.113.0/24 via 192.168.0.9"])
    assert static(box) == {"203.0.113.0/24": ROUTER}
    assert static(other) == {"203.0.113.0/24": "192.168.0.9"}
    # A better one of two, and the other one when that is taken away.
    end.configure(routes=[f"{BEHIND} metric 20", "203.0.113.0/24 via 192.168.0.9 metric 10"])
    wire.configure(routes=[])
    assert not box.ping(FAR, patience=0.3)
    end.configure(routes=[f"{BEHIND} metric 20"])
    assert box.ping(FAR)
    assert lan.check() == []
    end.configure(ip="192.168.0.77")
    assert box.ping(FAR)
    end.leave()
    end.join("c2")
    assert box.ping(FAR)
    assert lan.check() == []


def test_on_the_wire_itself_and_in_ipv6(lan, wire, router):
    router.batch("address add 198.51.100.1/32 dev eth0", f"address add {AWAY6}/128 dev lo nodad")
    ((box, _),) = on(lan, wire, "c2", routes=["198.51.100.0/24", f"{AWAY6}/128 via fd00:9::1"])
    with router.capture("eth0", "arp") as frames:
        assert box.ping("198.51.100.1")
        assert frames.find(r"who-has 198\.51\.100\.1 tell 192\.168\.0\.\d+")
    assert box.ping(AWAY6)
    assert static(box, 6) == {AWAY6: "fd00:9::1"}


def test_what_somebody_takes_away_is_missed_and_put_back(lan, wire):
    wire.configure(routes=[f"{BEHIND} metric 7", "2001:db8:7::/64 via fd00:9::1"])
    ((box, _),) = on(lan, wire, "c2")
    box.batch(f"route del 203.0.113.0/24 via {ROUTER}", "route del 2001:db8:7::/64")
    assert lan.check() == [
        f"the route to 203.0.113.0/24 via {ROUTER} metric 7 dev eth0 in {box.key} is gone",
        f"the route to 2001:db8:7::/64 via fd00:9::1 metric 1024 dev eth0 in {box.key} is gone",
    ]
    lan.reconcile()
    assert lan.check() == []
    # One with another metric isn't it.
    box.batch(f"route del 203.0.113.0/24 via {ROUTER}", f"route add {BEHIND} metric 8")
    assert len(lan.check()) == 1
    lan.reconcile()
    box.batch(f"route del {BEHIND} metric 8")
    assert lan.check() == []
    # With the link down all of them go.
    box.batch("link set eth0 down")
    assert lan.reconcile()
    assert lan.check() == []
    assert box.ping(FAR)


# On bridges


@pytest.fixture
def away(host, outside):
    """Addresses outside that the host has routes to; it knows the way back."""
    outside.batch(f"address add {AWAY4}/32 dev lo", f"address add {AWAY6}/128 dev lo nodad")
    host.route("198.51.100.0/24 via 192.0.2.66", "2001:db8:7::/64 via 2001:db8::66")
    for number in (1, 2):
        outside.route(f"10.{number}.0.0/24 via 192.0.2.1", f"fd00:{number}::/64 via 2001:db8::1")
    return outside


@pytest.fixture
def networks(cnm):
    """Two whose packets go out under the addresses that they have."""
    return [
        cnm.create_network(name, ROUTED, subnet=[f"10.{number}.0.0/24", f"fd00:{number}::/64"])
        for number, name in ((1, "blue"), (2, "red"))
    ]


def test_one_of_two_networks_leads_there(away, cnm, networks):
    """And a port of the other one is answered the way it came, though there is a route."""
    blue, red = networks
    box = cnm.create_sandbox("c1")
    blue.connect(box, publish=["80"])
    assert red.connect(box).routes == []
    place = inside(box)
    with away.serve("80"):
        assert place.ask("192.0.2.66", 80).peer == "10.1.0.2"
        assert place.ask(AWAY4, 80).peer == "10.1.0.2"
        red.configure(routes=["198.51.100.0/24 via 10.2.0.1", "2001:db8:7::/64 via fd00:2::1"])
        assert place.ask("192.0.2.66", 80).peer == "10.1.0.2"
        assert place.ask(AWAY4, 80).peer == "10.2.0.2"
        assert place.ask(AWAY6, 80).peer == "fd00:2::2"
    with place.serve("80"):
        assert away.ask("10.1.0.2", 80, source=(AWAY4, 0)).server == "c1"
        assert away.ask("fd00:1::2", 80, source=(AWAY6, 0)).server == "c1"
    assert cnm.check() == []
    red.disconnect(box)
    with away.serve("80"):
        assert place.ask(AWAY4, 80).peer == "10.1.0.2"
    assert static(place) == static(place, 6) == {}
    blue.disconnect(box)
    assert place.ip("rule") == inside(cnm.create_sandbox("c9")).ip("rule")


def test_who_is_there_himself_uses_no_route_to_it(cnm, networks):
    blue, red = networks
    blue.configure(routes=["10.2.0.0/24 via 10.1.0.9"])
    box = cnm.create_sandbox("c1")
    blue.connect(box)
    assert static(inside(box)) == {"10.2.0.0/24": "10.1.0.9"}
    red.connect(box)
    ((other, _),) = on(cnm, red, "c2")
    assert inside(box).ping("10.2.0.3")
    assert other.ping("10.2.0.2")
    assert cnm.check() == []
    red.disconnect(box)
    assert static(inside(box)) == {"10.2.0.0/24": "10.1.0.9"}
    assert cnm.check() == []


def test_a_neighbour_is_answered_directly_on_a_network_that_isn_t_the_first_choice(cnm, networks):
    """By way of the gateway it would have come with a lower TTL."""
    blue, red = networks
    box = cnm.create_sandbox("c1")
    blue.connect(box)
    red.connect(box)
    ((other, _),) = on(cnm, red, "c2")
    for address in ("10.2.0.2", "fd00:2::2"):
        assert re.search(r"ttl=64\b", other.run("ping", "-nc1", address))


def test_what_cannot_be_is_refused_and_leaves_nothing(cnm, host):
    before = host.picture()
    with pytest.raises(pycnm.OutOfSubnetError, match=r"choose one from 10\.1\.0\.1 to"):
        cnm.create_network("n", subnet="10.1.0.0/24", routes=["10.9.0.0/16 via 10.2.0.1"])
    with pytest.raises(pycnm.InvalidArgumentError, match="has no IPv6 subnet"):
        cnm.create_network("n", subnet="10.1.0.0/24", routes=["fd00:9::/48 via fd00::1"])
    assert host.picture() == before
    net = cnm.create_network("n", subnet="10.1.0.0/24")
    for routes in (["10.1.0.0/25 via 10.1.0.9"], ["10.9.0.0/16 via 10.1.0.2"], ["0.0.0.0/0"]):
        with pytest.raises(pycnm.InvalidArgumentError):
            net.connect(cnm.create_sandbox("c1"), ip="10.1.0.2", routes=routes)
        assert cnm.sandbox("c1").endpoints == []
        cnm.sandbox("c1").delete()
    for name, netns in (("none", None), ("host", "host")):
        with pytest.raises(pycnm.NotSupportedError, match="have no interface of their own"):
            cnm.network(name).connect(
                cnm.create_sandbox("c1", netns=netns), routes=["10.9.0.0/16 via 10.1.0.1"]
            )
        cnm.sandbox("c1").delete()
    with pytest.raises(pycnm.NotPermittedError):
        cnm.network("bridge").configure(routes=["10.9.0.0/16"])
    net.configure(routes=["10.9.0.0/16 via 10.1.0.9"])
    with pytest.raises(pycnm.OutOfSubnetError):
        net.configure(subnet="10.5.0.0/24")
    net.configure(subnet="10.5.0.0/24", routes=["10.9.0.0/16 via 10.5.0.9"])
    assert str(net.subnets[0]) == "10.5.0.0/24"
    assert net.inspect()["Routes"] == ["10.9.0.0/16 via 10.5.0.9"]


def test_after_its_namespace_went(away, cnm, networks):
    blue, red = networks
    box = cnm.create_sandbox("c1")
    blue.connect(box)
    red.connect(box, routes=["198.51.100.0/24 via 10.2.0.1"])
    away.run("ip", "netns", "del", "c1")
    until(lambda: box.state == "down")
    box.start()
    with away.serve("80"):
        assert inside(box).ask(AWAY4, 80).peer == "10.2.0.2"
    assert cnm.check() == []


@pytest.mark.needs("ipvlan")
def test_on_ipvlan(lan):
    net = lan.create_network(
        "n",
        pycnm.Ipvlan(parent="eth0"),
        subnet=LAN["subnet"],
        aux_addresses={"router": ROUTER},
        routes=[BEHIND],
    )
    ((box, _),) = on(lan, net, "c2")
    assert box.ping(FAR)
