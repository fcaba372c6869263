"""Which endpoint gives a sandbox its default route, and the routes that follow."""

from __future__ import annotations

import attrs
import pytest

from pycnm.drivers.routing import Attachment, in_order, own_table, plan_routes
from pycnm.spec.objects import EndpointSpec, NetworkSpec

BOX = "/run/netns/c3"
NET = NetworkSpec("0" * 64, "my_bridge", "bridge")
END = EndpointSpec(
    "e" * 64, "c3", NET.id, ip="10.20.30.3/24", interface="eth0", gateway="10.20.30.1"
)
DUAL = attrs.evolve(END, ip6="fd00:20:30::3/64", gateway6="fd00:20:30::1")
OTHER = attrs.evolve(END, id="d" * 64, ip="172.18.0.5/16", gateway="172.18.0.1", interface="eth1")
INSIDE = attrs.evolve(END, id="a" * 64, ip="10.9.0.2/24", gateway=None, interface="eth2")


def attached(endpoint, name="net", **network):
    return Attachment(endpoint, attrs.evolve(NET, name=name, **network))


def routes(*attachments):
    return str(plan_routes(BOX, attachments)).splitlines()


def test_one_network():
    assert routes(attached(DUAL)) == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 -6 route add default via fd00:20:30::1 dev eth0",
    ]


def test_no_network_leads_outside():
    assert routes() == routes(attached(INSIDE, internal=True)) == []


def test_what_isn_t_chosen_is_answered_the_way_it_came():
    assert routes(attached(OTHER, "b"), attached(DUAL, "a"), attached(INSIDE, "c")) == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 rule add from 172.18.0.5 table 1675484637",
        "ip -n c3 route add 172.18.0.0/16 dev eth1 table 1675484637",
        "ip -n c3 route add default via 172.18.0.1 dev eth1 table 1675484637",
        "ip -n c3 -6 route add default via fd00:20:30::1 dev eth0",
    ]


def test_priority_goes_before_everything():
    first = attrs.evolve(OTHER, gateway_priority=1)
    assert routes(attached(DUAL, "a"), attached(first, "b")) == [
        "ip -n c3 route add default via 172.18.0.1 dev eth1",
        "ip -n c3 rule add from 10.20.30.3 table 1676603118",
        "ip -n c3 route add 10.20.30.0/24 dev eth0 table 1676603118",
        "ip -n c3 route add default via 10.20.30.1 dev eth0 table 1676603118",
        "ip -n c3 -6 route add default via fd00:20:30::1 dev eth0",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (attached(attrs.evolve(END, gateway_priority=-1)), attached(END)),
        (attached(END, "a", internal=True), attached(END, "b")),
        (attached(END, "a"), attached(DUAL, "b")),
        (attached(END, "b"), attached(END, "a")),
    ],
    ids=["lower-priority", "internal", "one-family", "name"],
)
def test_who_comes_second(first, second):
    assert in_order([first, second]) == in_order([second, first]) == [second, first]


def test_a_table_of_its_own():
    """Stable, and beyond those that people number themselves."""
    assert own_table(END) == 0x63EEEEEE
    assert own_table(attrs.evolve(END, id="0" * 64)) == 0x63000000


# Static routes

VIA = "10.8.0.0/16 via 10.20.30.5"


def test_static_routes_of_a_network_and_an_endpoint():
    own = attrs.evolve(DUAL, routes=[VIA + " metric 7", "fd00:8::/48 via fd00:20:30::5"])
    assert routes(attached(own, routes=[VIA, "192.0.2.7/32"])) == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 route add 10.8.0.0/16 via 10.20.30.5 dev eth0 metric 1024",
        "ip -n c3 route add 192.0.2.7/32 dev eth0 metric 1024",
        "ip -n c3 route add 10.8.0.0/16 via 10.20.30.5 dev eth0 metric 7",
        "ip -n c3 -6 route add default via fd00:20:30::1 dev eth0",
        "ip -n c3 -6 route add fd00:8::/48 via fd00:20:30::5 dev eth0 metric 1024",
    ]


def test_an_endpoint_s_own_goes_before_the_network_s():
    own = attrs.evolve(END, routes=["10.8.0.0/16 via 10.20.30.6"])
    assert routes(attached(own, routes=[VIA]))[1:] == [
        "ip -n c3 route add 10.8.0.0/16 via 10.20.30.6 dev eth0 metric 1024"
    ]


@pytest.mark.parametrize(
    "endpoint",
    [
        attrs.evolve(END, ip="10.20.30.5/24"),
        attrs.evolve(END, ip="10.20.31.3/24"),
        attrs.evolve(END, ip="10.8.0.2/16"),
        attrs.evolve(DUAL, ip=None),
    ],
    ids=["the-next-hop", "no-neighbour-of-it", "in-the-destination", "of-the-other-family"],
)
def test_who_has_no_route_of_his_network(endpoint):
    assert not [line for line in routes(attached(endpoint, routes=[VIA])) if "10.8.0.0" in line]


def test_static_routes_of_two_networks():
    """Each is answered the way it came, whoever has the route."""
    second = attrs.evolve(INSIDE, routes=["10.8.0.0/16 via 10.9.0.5"])
    first = attached(END, "a", routes=[VIA])
    assert routes(first, attached(second, "b", internal=True)) == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 route add 10.8.0.0/16 via 10.20.30.5 dev eth0 metric 1024",
        "ip -n c3 rule add from 10.9.0.2 table 1672129194",
        "ip -n c3 route add 10.9.0.0/24 dev eth2 table 1672129194",
        "ip -n c3 route add 10.8.0.0/16 via 10.9.0.5 dev eth2 table 1672129194 metric 1024",
    ]
    # What is only the second's may be a part of what the first one's default route is for.
    assert routes(attached(END, "a"), attached(second, "b", internal=True)) == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 route add 10.8.0.0/16 via 10.9.0.5 dev eth2 metric 1024",
        "ip -n c3 rule add from 10.20.30.3 table 1676603118",
        "ip -n c3 route add 10.20.30.0/24 dev eth0 table 1676603118",
        "ip -n c3 route add default via 10.20.30.1 dev eth0 table 1676603118",
    ]


def test_a_router_has_neighbours_on_both_networks():
    first = attrs.evolve(DUAL, forwarding=True)
    second = attrs.evolve(OTHER, forwarding=True)
    assert routes(attached(first, "a"), attached(second, "b"))[:5] == [
        "ip -n c3 route add default via 10.20.30.1 dev eth0",
        "ip -n c3 rule add from 172.18.0.5 table 1675484637",
        "ip -n c3 route add 172.18.0.0/16 dev eth1 table 1675484637",
        "ip -n c3 route add 10.20.30.0/24 dev eth0 table 1675484637",
        "ip -n c3 route add default via 172.18.0.1 dev eth1 table 1675484637",
    ]
    # Who doesn't forward may not send there what is from elsewhere.
    alone = routes(attached(DUAL, "a"), attached(second, "b"))
    assert "ip -n c3 route add 10.20.30.0/24 dev eth0 table 1675484637" not in alone
