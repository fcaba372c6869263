"""S4: a sandbox on the default network, as the notes show it."""

from __future__ import annotations

import pytest
from topology import inside, until


@pytest.fixture
def c1(cnm):
    sandbox = cnm.create_sandbox("c1")
    cnm.network("bridge").connect(sandbox)
    return sandbox


def test_inside_is_eth0_with_its_address_and_routes(c1):
    box = inside(c1)
    assert box.interfaces() == ["eth0", "lo"]
    assert box.addresses("eth0") == ["172.17.0.2/16"]
    eth0 = box.link("eth0")
    assert eth0["address"] == "02:42:ac:11:00:02"
    assert eth0["mtu"] == 1500
    assert until(lambda: box.link("eth0")["operstate"] == "UP")
    assert [line.split() for line in box.run("ip", "route").splitlines()] == [
        ["default", "via", "172.17.0.1", "dev", "eth0"],
        ["172.17.0.0/16", "dev", "eth0", "proto", "kernel", "scope", "link", "src", "172.17.0.2"],
    ]


def test_outside_is_a_veth_whose_master_is_cnm0(c1, host):
    (endpoint,) = c1.endpoints
    port = host.link(endpoint.host_interface)
    assert port["linkinfo"]["info_kind"] == "veth"
    assert port["master"] == "cnm0"
    assert until(lambda: host.link(port["ifname"])["operstate"] == "UP")
    # Each end knows the other's index: these two are one pair.
    eth0 = inside(c1).link("eth0")
    assert (port["link_index"], eth0["link_index"]) == (eth0["ifindex"], port["ifindex"])
    assert [link["ifname"] for link in host.ip("link", "show", "master", "cnm0")] == [
        endpoint.host_interface
    ]


def test_the_handle_says_what_the_kernel_says(c1, host):
    (endpoint,) = c1.endpoints
    assert f"{endpoint.ip}/16" in inside(c1).addresses(endpoint.interface)
    assert str(endpoint.mac).replace("-", ":").lower() == "02:42:ac:11:00:02"
    assert f"{endpoint.gateway}/16" in host.addresses("cnm0")
    assert endpoint.host_interface in host.interfaces()


def test_it_and_the_host_reach_each_other(c1, host):
    assert inside(c1).ping("172.17.0.1")
    assert host.ping("172.17.0.2")


def test_the_bridge_keeps_its_mac_when_ports_come(c1, cnm, host):
    before = host.link("cnm0")["address"]
    for name in ("c2", "c3", "c4"):
        cnm.network("bridge").connect(cnm.create_sandbox(name))
    assert host.link("cnm0")["address"] == before
    assert len(host.ip("link", "show", "master", "cnm0")) == 4


def test_neighbours_are_told_of_a_new_address(c1, cnm):
    c2 = cnm.create_sandbox("c2")
    with inside(c1).capture("eth0", "arp") as seen:
        cnm.network("bridge").connect(c2)
        told = r"02:42:ac:11:00:03 > ff:ff:ff:ff:ff:ff.* 172\.17\.0\.3 tell 172\.17\.0\.3"
        assert seen.find(told), seen.lines


def test_the_lowest_free_address_is_given_again(c1, cnm):
    bridge = cnm.network("bridge")
    for name, address in (("c2", "172.17.0.3/16"), ("c3", "172.17.0.4/16")):
        box = cnm.create_sandbox(name)
        bridge.connect(box)
        assert inside(box).addresses("eth0") == [address]
    bridge.disconnect("c2")
    c4 = cnm.create_sandbox("c4")
    bridge.connect(c4)
    assert inside(c4).addresses("eth0") == ["172.17.0.3/16"]
    assert inside(c4).ping("172.17.0.4")
