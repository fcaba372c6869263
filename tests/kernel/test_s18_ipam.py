"""S18: which subnets and addresses networks get, as the kernel has them afterwards."""

from __future__ import annotations

import sys

import pytest
from topology import inside

import pycnm

DOWNWARDS = """
from netaddr import IPNetwork
from pycnm import IPAM
from pycnm.ipam.base import AddressLease, PoolLease

class Downwards(IPAM):
    name = "downwards"
    taken = set()

    def request_pool(self, space, pool=None, subpool=None, options=None, v6=False, *, exclude=()):
        return PoolLease("the-only-one", IPNetwork(options.get("net", "10.99.0.0/24")))

    def release_pool(self, pool_id):
        self.taken.clear()

    def request_address(self, pool_id, address=None, options=None):
        last = int(str(address).split(".")[3]) if address else 254
        while not address and last in self.taken:
            last -= 1
        self.taken.add(last)
        return AddressLease(IPNetwork(f"10.99.0.{last}/24"))

    def release_address(self, pool_id, address):
        self.taken.discard(int(str(address).split("/")[0].split(".")[3]))
"""


def subnet(net):
    return str(net.subnets[0])


def test_the_default_pools_in_their_order(cnm, host):
    """15 of 65536 addresses, one of which is the default network's, then 16 of 4096."""
    nets = [cnm.create_network(f"n{number}") for number in range(30)]
    assert [subnet(net) for net in nets] == [
        *(f"172.{second}.0.0/16" for second in range(18, 32)),
        *(f"192.168.{third}.0/20" for third in range(0, 256, 16)),
    ]
    assert host.addresses(f"br-{nets[0].id[:12]}") == ["172.18.0.1/16"]
    assert host.addresses(f"br-{nets[29].id[:12]}") == ["192.168.240.1/20"]
    before = host.picture()
    with pytest.raises(pycnm.PoolExhaustedError):
        cnm.create_network("one-too-many")
    assert host.picture() == before
    nets[3].delete()
    assert subnet(cnm.create_network("again")) == "172.21.0.0/16"


def test_a_pool_of_a_wanted_size(cnm):
    assert subnet(cnm.create_network("small", subnet="0.0.0.0/28")) == "172.18.0.0/28"
    six = cnm.create_network("six", subnet="::/120", ipv4=False)
    assert subnet(six).startswith("fd")
    assert subnet(six).endswith("/120")


def test_ip_range_and_gateway(cnm, host):
    net = cnm.create_network(
        "n", subnet="10.9.0.0/16", ip_range="10.9.5.0/29", gateway="10.9.255.254"
    )
    assert host.addresses(f"br-{net.id[:12]}") == ["10.9.255.254/16"]
    got = []
    for number in range(8):
        box = cnm.create_sandbox(f"c{number}")
        net.connect(box)
        got += inside(box).addresses("eth0")
    # Within the range the first and the last are addresses like any other.
    assert got == [f"10.9.5.{last}/16" for last in range(8)]
    full = cnm.create_sandbox("full")
    before = host.picture()
    with pytest.raises(pycnm.PoolExhaustedError):
        net.connect(full)
    assert host.picture() == before
    assert inside(full).interfaces() == ["lo"]
    net.connect(full, ip="10.9.77.7")
    assert inside(full).addresses("eth0") == ["10.9.77.7/16"]
    assert inside(full).routes()[0]["gateway"] == "10.9.255.254"


def test_the_gateway_comes_from_the_range_too(cnm, host):
    net = cnm.create_network("n", subnet="10.9.0.0/16", ip_range="10.9.5.0/24")
    assert host.addresses(f"br-{net.id[:12]}") == ["10.9.5.0/16"]


def test_reserved_addresses_are_given_to_nobody(cnm):
    aux = {"a": "10.9.0.2", "b": "10.9.0.4"}
    net = cnm.create_network("n", subnet="10.9.0.0/29", aux_addresses=aux)
    got = []
    for number in range(3):
        box = cnm.create_sandbox(f"c{number}")
        net.connect(box)
        got += inside(box).addresses("eth0")
    # .0 and .7 are the network and its broadcast, .1 is the gateway.
    assert got == ["10.9.0.3/29", "10.9.0.5/29", "10.9.0.6/29"]
    last = cnm.create_sandbox("last")
    with pytest.raises(pycnm.PoolExhaustedError):
        net.connect(last)
    with pytest.raises(pycnm.AddressInUseError):
        net.connect(last, ip="10.9.0.4")


def test_release_and_reuse(cnm):
    net = cnm.create_network("n", subnet="10.9.0.0/29")
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(6)]
    for box in boxes[:5]:
        net.connect(box)
    net.disconnect(boxes[1])
    boxes[3].delete()
    for box, address in ((boxes[1], "10.9.0.3/29"), (boxes[5], "10.9.0.5/29")):
        net.connect(box)
        assert inside(box).addresses("eth0") == [address]
    assert inside(boxes[1]).ping("10.9.0.5")


def test_a_failed_connect_gives_its_address_back(cnm, host):
    net = cnm.create_network("n", subnet="10.9.0.0/29")
    box = cnm.create_sandbox("c1")
    inside(box).batch("link add eth0 type bridge")
    with pytest.raises(pycnm.CNMError):
        net.connect(box)
    inside(box).batch("link del eth0")
    net.connect(box)
    assert inside(box).addresses("eth0") == ["10.9.0.2/29"]


def test_a_driver_of_ones_own_from_another_package(cnm, host, tmp_path, monkeypatch):
    """A package somebody else installed registers an IPAM; a network uses it by name."""
    (tmp_path / "downwards.py").write_text(DOWNWARDS)
    information = tmp_path / "downwards-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: downwards\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[pycnm.ipam]\ndownwards = downwards:Downwards\n")
    with pytest.raises(pycnm.NotFoundError, match="downwards"):
        cnm.create_network("n", ipam="downwards")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "downwards", raising=False)
    net = cnm.create_network("n", ipam="downwards")
    assert host.addresses(f"br-{net.id[:12]}") == ["10.99.0.254/24"]
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(3)]
    for box, address in zip(boxes, ("10.99.0.253", "10.99.0.252", "10.99.0.251"), strict=True):
        net.connect(box)
        assert inside(box).addresses("eth0") == [f"{address}/24"]
        assert inside(box).ping("10.99.0.253")
    net.disconnect(boxes[0])
    net.connect(boxes[0])
    assert inside(boxes[0]).addresses("eth0") == ["10.99.0.253/24"]
    assert net.inspect()["IPAM"]["Driver"] == "downwards"
    net.delete(force=True)


def test_the_null_driver_gives_no_addresses(cnm, host):
    with pytest.raises(pycnm.InvalidArgumentError):
        cnm.create_network("n", ipam="null")
    with pytest.raises(pycnm.NotFoundError, match="nonesuch"):
        cnm.create_network("n", ipam="nonesuch")
    assert host.interfaces() == ["eth0", "lo"]
