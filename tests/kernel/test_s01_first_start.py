"""S1: the first start on a new state directory."""

from __future__ import annotations

import re

import pytest
from topology import inside, until


def test_there_are_bridge_host_and_none(cnm):
    listing = [(net.id[:12], net.name, net.driver, net.scope) for net in cnm.networks()]
    assert [row[1:] for row in listing] == [
        ("bridge", "bridge", "local"),
        ("host", "host", "local"),
        ("none", "null", "local"),
    ]
    assert all(re.fullmatch(r"[0-9a-f]{12}", row[0]) for row in listing)
    assert len({row[0] for row in listing}) == 3
    assert cnm.sandboxes() == []


def test_opening_makes_nothing_in_the_kernel(controller, host, outside):
    before = host.picture()
    cnm = controller(host)
    assert [str(subnet) for subnet in cnm.network("bridge").subnets] == ["172.17.0.0/16"]
    assert host.picture() == before


def test_the_networks_are_the_same_at_the_next_start(controller, host):
    first = [net.id for net in controller(host).networks()]
    assert [net.id for net in controller(host).networks()] == first


def test_cnm0_comes_with_the_first_endpoint_and_goes_with_the_last(cnm, host):
    before = host.interfaces()
    bridge = cnm.network("bridge")
    c1, c2 = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    assert host.interfaces() == before
    bridge.connect(c1)
    assert host.addresses("cnm0") == ["172.17.0.1/16"]
    assert host.link("cnm0")["linkinfo"]["info_kind"] == "bridge"
    bridge.connect(c2)
    bridge.disconnect(c1)
    assert "cnm0" in host.interfaces()
    bridge.disconnect(c2)
    assert until(lambda: host.interfaces() == before)
    assert host.tables() == []
    bridge.connect(c1)
    assert host.addresses("cnm0") == ["172.17.0.1/16"]
    c1.delete()
    assert until(lambda: host.interfaces() == before)


@pytest.mark.parametrize(
    ("taken", "first"),
    [
        ("172.17.0.0/16", "172.18.0.1/16"),
        ("172.17.255.0/24", "172.18.0.1/16"),
        ("172.16.0.0/13", "172.24.0.1/16"),
        ("172.16.0.0/12", "192.168.0.1/20"),
    ],
)
def test_the_default_pool_clashes_with_no_route_of_the_host(
    controller, machine, host, taken, first
):
    network, _, length = taken.partition("/")
    own = f"{network[:-1]}9/{length}"
    host.wire(machine("outside"), [own], [])
    cnm = controller(host)
    c1 = cnm.create_sandbox("c1")
    cnm.network("bridge").connect(c1)
    assert host.addresses("cnm0") == [first]
    assert inside(c1).ping(first.partition("/")[0])


def test_a_route_that_came_after_the_first_start_is_respected_too(controller, host, outside):
    """The bridge is made with its first endpoint, so that is when the clash would happen."""
    cnm = controller(host)
    outside.batch("address add 172.17.0.9/16 dev eth0")
    host.batch("address add 172.17.0.8/16 dev eth0")
    try:
        cnm.network("bridge").connect(cnm.create_sandbox("c1"))
        assert host.addresses("cnm0") == ["172.18.0.1/16"]
        assert host.ping("172.17.0.9")
    finally:
        host.batch("address del 172.17.0.8/16 dev eth0")
