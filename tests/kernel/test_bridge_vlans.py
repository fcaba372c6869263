"""VLANs on bridges: sandboxes that are apart on one network, and on tagged VLANs of the LAN."""

from __future__ import annotations

import json

import pytest
from lan import mac, on, way_out
from shell import Shell
from topology import inside, until

import pycnm
from pycnm import Bridge

NAME = "com.docker.network.bridge.name"


def members(host, link):
    """The VLANs of a port, or of a bridge, as bridge(8) shows them: their numbers and flags."""
    found = json.loads(host.run("bridge", "-j", "vlan", "show", "dev", link))
    return {each["vlan"]: each.get("flags", []) for port in found for each in port["vlans"]}


def only(number):
    return {number: ["PVID", "Egress Untagged"]}


def reaches(place, other, patience=0.5):
    return place.ping(other.addresses("eth0")[0].partition("/")[0], patience)


@pytest.mark.needs("bridge_vlan")
def test_vlans_of_a_network_are_apart(cnm, host, outside):
    before = host.picture()
    net = cnm.create_network("n", Bridge(vlan=10), ipv6=True)
    (c1, one), (c2, _) = on(cnm, net, "c1", "c2")
    (c3, three), (c4, _) = on(cnm, net, "c3", "c4", vlan=20)
    assert members(host, net.interface) == only(10)
    assert [members(host, end.host_interface) for end in (one, three)] == [only(10), only(20)]
    assert reaches(c1, c2, 5)
    assert reaches(c3, c4, 5)
    with host.capture(one.host_interface) as seen:
        assert not reaches(c1, c3)
        assert not reaches(c3, c1)
        assert not c3.ping(str(net.gateways[0]), 0.5)
        # Not a frame of theirs comes by.
        assert not seen.find(mac(three), patience=0.5)
    # The host and the outside are in the network's own, where the gateway is.
    assert way_out(c1) == (str(net.gateways[0]), "eth0")
    assert way_out(c3) is None
    assert way_out(c3, 6) is None
    assert c1.ping("192.0.2.66")
    assert host.ping(str(one.ip))
    assert not host.ping(str(three.ip), 0.5)
    assert cnm.check() == []
    three.configure(vlan=None)
    assert until(lambda: reaches(c3, c1))
    assert way_out(c3) == (str(net.gateways[0]), "eth0")
    assert not reaches(c3, c4)
    for name in ("c1", "c2", "c3", "c4"):
        cnm.sandbox(name).delete()
    net.delete()
    assert until(lambda: host.picture() == before)


@pytest.mark.needs("bridge_vlan")
def test_a_tag_of_a_sandbox_leads_nowhere(cnm, host):
    net = cnm.create_network("n", Bridge(vlan=10))
    ((c1, _),) = on(cnm, net, "c1")
    ((_, three),) = on(cnm, net, "c3", vlan=20)
    c1.batch(
        "link add link eth0 name eth0.20 type vlan id 20",
        f"address add {three.ip}/32 dev lo",
        "link set eth0.20 up",
    )
    with host.capture(three.host_interface, "arp") as seen:
        c1.batch("address flush dev eth0", f"address add {three.ip + 7}/16 dev eth0.20")
        assert not c1.ping(str(three.ip + 1), 0.5)
        assert not seen.find("who-has", patience=0.5)
    c1.batch("link del eth0.20", f"address del {three.ip}/32 dev lo")
    cnm.reconcile()


@pytest.mark.needs("bridge_vlan")
def test_what_is_changed_is_put_back(cnm, host):
    net = cnm.create_network("n", Bridge(vlan=10))
    ((c1, end), (c2, _)) = on(cnm, net, "c1", "c2")
    port = end.host_interface
    host.run("bridge", "vlan", "del", "dev", port, "vid", "10")
    host.run("bridge", "vlan", "del", "dev", net.interface, "vid", "10", "self")
    assert cnm.check() == [
        f"{net.interface} isn't in VLAN 10 alone, without tags",
        f"{port} isn't in VLAN 10 alone, without tags",
    ]
    assert not reaches(c1, c2)
    cnm.reconcile()
    assert (members(host, port), members(host, net.interface)) == (only(10), only(10))
    assert reaches(c1, c2, 5)
    host.run("bridge", "vlan", "add", "dev", port, "vid", "20")
    assert cnm.check() == [f"{port} isn't in VLAN 10 alone, without tags"]
    cnm.reconcile()
    assert members(host, port) == only(10)
    host.batch(f"link set {net.interface} type bridge vlan_filtering 0")
    assert any("vlan_filtering 0, not 1" in words for words in cnm.check())
    cnm.reconcile()
    assert cnm.check() == []
    host.batch(f"link del {net.interface}")
    cnm.reconcile()
    assert cnm.check() == []
    assert until(lambda: reaches(c1, c2))


@pytest.fixture
def trunk(machine, host):
    """A router at the other end of a trunk, which is in VLANs 10 and 20 with their tags."""
    router = machine("router")
    host.wire(router, [], [])
    router.batch(
        *(f"link add link eth0 name eth0.{n} type vlan id {n}" for n in (10, 20)),
        *(f"address add 10.{n}.0.1/24 dev eth0.{n}" for n in (10, 20)),
        *(f"link set eth0.{n} up" for n in (10, 20)),
    )
    return router


def tagged(router, number, box, address):
    """Whether the frames of a sandbox come with a tag, and are answered."""
    with router.capture("eth0", "icmp or (vlan and icmp)") as seen:
        assert box.ping(address)
        return bool(seen.find(rf"vlan {number}, .*ICMP echo request"))


@pytest.mark.needs("bridge_vlan", "vlan")
def test_a_wire_of_its_own_is_a_trunk(controller, host, trunk):
    cnm = controller(host)
    net = cnm.create_network(
        "n", Bridge(external="eth0", vlan=10), subnet="10.10.0.0/24", gateway="10.10.0.1"
    )
    assert set(members(host, "eth0")) == set(range(1, 4095)) or len(members(host, "eth0")) == 1
    ((c1, _),) = on(cnm, net, "c1")
    assert tagged(trunk, 10, c1, "10.10.0.1")
    ((c2, _),) = on(cnm, net, "c2", vlan=20)
    c2.run("ip", "address", "show")
    with trunk.capture("eth0") as seen:
        c2.ping("10.10.0.77", 0.5)
        assert seen.find(r"vlan 20, .*who-has 10\.10\.0\.77")
    assert cnm.check() == []
    assert not members(host, net.interface)


@pytest.mark.needs("bridge_vlan", "vlan")
def test_networks_on_vlans_of_the_lan_by_a_bridge_that_is_there(controller, host, trunk):
    host.batch(
        "link add br0 type bridge vlan_filtering 1",
        "link set eth0 master br0",
        "link set br0 up",
    )
    host.run("bridge", "vlan", "add", "dev", "eth0", "vid", "10")
    cnm, before = controller(host), (host.picture(), members(host, "eth0"))

    def create(number, **how):
        driver = Bridge(bridge_name="br0", external="eth0", vlan=number)
        wishes = {"subnet": f"10.{number}.0.0/24", "gateway": f"10.{number}.0.1"}
        return cnm.create_network(f"n{number}", driver, **wishes, **how)

    with pytest.raises(pycnm.KernelError, match="eth0 isn't in VLAN 20 of br0: `bridge vlan add"):
        create(20)
    host.run("bridge", "vlan", "add", "dev", "eth0", "vid", "20")
    ten, twenty = create(10), create(20)
    ((c1, one),) = on(cnm, ten, "c1")
    ((c2, two),) = on(cnm, twenty, "c2")
    assert [members(host, end.host_interface) for end in (one, two)] == [only(10), only(20)]
    assert tagged(trunk, 10, c1, "10.10.0.1")
    assert tagged(trunk, 20, c2, "10.20.0.1")
    # The router sees each under its own MAC, in its own VLAN.
    neighbours = trunk.ip("neigh", "show", "dev", "eth0.20")
    assert mac(two) in [each.get("lladdr") for each in neighbours]
    assert cnm.check() == []
    host.batch("link del br0")
    assert any(words.startswith("br0, the bridge of a network, is gone") for words in cnm.check())
    host.batch(
        "link add br0 type bridge vlan_filtering 1",
        "link set eth0 master br0",
        "link set br0 up",
    )
    for number in ("10", "20"):
        host.run("bridge", "vlan", "add", "dev", "eth0", "vid", number)
    cnm.reconcile()
    assert cnm.check() == []
    assert until(lambda: c1.ping("10.10.0.1") and c2.ping("10.20.0.1"))
    for each in ("c1", "c2"):
        cnm.sandbox(each).delete()
    twenty.delete()
    ten.delete()
    host.run("bridge", "vlan", "del", "dev", "eth0", "vid", "20")
    assert members(host, "eth0") == before[1]


@pytest.mark.needs("bridge_vlan")
def test_as_a_docker_user_types_it(cnm, host, tmp_path):
    shell = Shell(tmp_path / "state", host)
    shell("network", "create", "-o", "vlan=10", "n")
    for name, words in (("c1", []), ("c2", ["--driver-opt", "vlan=20"])):
        shell("sandbox", "create", name)
        shell("network", "connect", *words, "n", name)
    (found,) = json.loads(shell("network", "inspect", "n"))
    assert found["Options"] == {"vlan": "10"}
    assert cnm.sandbox("c2").endpoints[0].vlan == 20
    one, two = (inside(cnm.sandbox(name)) for name in ("c1", "c2"))
    assert not reaches(one, two)
    assert "vid 10 pvid untagged self" in shell("explain", "network", "n")


@pytest.mark.lacks("bridge_vlan")
def test_a_kernel_without(cnm, host, tmp_path):
    before = host.picture()
    with pytest.raises(pycnm.NotSupportedError, match="CONFIG_BRIDGE_VLAN_FILTERING"):
        cnm.create_network("n", Bridge(vlan=10))
    assert host.picture() == before
    (part,) = [part for part in cnm.kernel_parts() if part.name == "bridge_vlan"]
    assert not part.present
    assert "bridge_vlan: no; a bridge network" in Shell(tmp_path / "state", host)("info")
