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
        "ip -n c3 route add default via 172.18.0.1 dev eth1 table 1675484637",
        "ip -n c3 -6 route add default via fd00:20:30::1 dev eth0",
    ]


def test_priority_goes_before_everything():
    first = attrs.evolve(OTHER, gateway_priority=1)
    assert routes(attached(DUAL, "a"), attached(first, "b")) == [
        "ip -n c3 route add default via 172.18.0.1 dev eth1",
        "ip -n c3 rule add from 10.20.30.3 table 1676603118",
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
