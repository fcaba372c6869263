"""A network given another configuration, with packets on it."""

from __future__ import annotations

import socket

import pytest
from topology import inside

import pycnm

MTU = "com.docker.network.driver.mtu"
ICC = "com.docker.network.bridge.enable_icc"


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge", subnet="10.20.30.0/24")


@pytest.fixture
def pair(cnm, net):
    boxes = [cnm.create_sandbox(name) for name in ("c2", "c3")]
    for box in boxes:
        net.connect(box, publish=["8080:80"] if box.name == "c3" else ())
    return [inside(box) for box in boxes]


def mtu(place, interface):
    return place.link(interface)["mtu"]


def test_the_mtu_changes_under_an_open_connection(cnm, net, pair, host, outside):
    c2, c3 = pair
    with c3.serve(80), outside.connect("192.0.2.1", 8080) as client:
        client.sendall(b"before\n")
        indexes = [each.host_interface for each in net.endpoints]
        numbers = [host.link(name)["ifindex"] for name in indexes]
        net.configure(options={MTU: "1300"})
        client.sendall(b"after\n")
        assert client.recv(100)
        assert [host.link(name)["ifindex"] for name in indexes] == numbers
    assert [mtu(c2, "eth0"), mtu(c3, "eth0"), mtu(host, f"br-{net.id[:12]}")] == [1300] * 3
    assert [mtu(host, name) for name in indexes] == [1300] * 2
    with c2.socket(kind=socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        probe.sendto(bytes(1272), ("10.20.30.3", 9))
        with pytest.raises(OSError, match="too long"):
            probe.sendto(bytes(1273), ("10.20.30.3", 9))
    assert cnm.check() == []
    net.configure(options={MTU: None})
    assert [mtu(c2, "eth0"), mtu(host, indexes[0])] == [1500] * 2
    assert cnm.check() == []


def test_sandboxes_are_kept_apart_and_let_together_live(cnm, net, pair):
    c2, c3 = pair
    assert c2.ping("10.20.30.3")
    net.configure(options={ICC: "false"})
    assert not c2.ping("10.20.30.3", patience=1)
    assert c3.ping("10.20.30.1")
    assert cnm.check() == []
    net.configure(options={ICC: "true"})
    assert c2.ping("10.20.30.3")
    assert cnm.check() == []


def test_another_subnet_before_anybody_is_there(cnm, net, host):
    name = f"br-{net.id[:12]}"
    net.configure(subnet=["10.20.31.0/24", "fd00:31::/64"], gateway="10.20.31.254")
    assert host.addresses(name) == ["10.20.31.254/24"]
    assert "fd00:31::1/64" in host.addresses(name, 6)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    assert inside(box).ping("10.20.31.254")
    assert inside(box).ping("fd00:31::1")
    with pytest.raises(pycnm.InUseError, match="c2"):
        net.configure(subnet="10.20.30.0/24")
    box.delete()
    net.configure(ipv6=False, subnet="10.20.30.0/24")
    assert host.addresses(name) == ["10.20.30.1/24"]
    assert host.addresses(name, 6) == []
    assert cnm.check() == []


def test_an_endpoint_has_another_address_and_stays_where_it_is(cnm, net, pair, host, outside):
    c2, c3 = pair
    end = next(each for each in net.endpoints if each.name == "c2")
    number = c2.link("eth0")["ifindex"]
    end.configure(ip="10.20.30.77")
    assert c2.addresses("eth0") == ["10.20.30.77/24"]
    assert c2.link("eth0")["ifindex"] == number
    assert c2.link("eth0")["address"] == "02:42:0a:14:1e:4d"
    assert c3.ping("10.20.30.77")
    assert not c3.ping("10.20.30.2", patience=1)
    assert c2.ping("192.0.2.66")
    assert cnm.check() == []
    # The guard has followed: the old address is somebody else's now.
    c2.ip("address", "add", "10.20.30.2/24", "dev", "eth0")
    c2.route("10.20.30.3/32 dev eth0 src 10.20.30.2")
    assert not c2.ping("10.20.30.3", patience=1)


def test_an_endpoint_has_another_mac(cnm, net, pair):
    c2, c3 = pair
    assert c3.ping("10.20.30.2")
    end = next(each for each in net.endpoints if each.name == "c2")
    end.configure(mac="02:42:00:00:00:09")
    assert c2.link("eth0")["address"] == "02:42:00:00:00:09"
    assert c2.ping("10.20.30.3")
    assert c3.ping("10.20.30.2")
    assert cnm.check() == []
