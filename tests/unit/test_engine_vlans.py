"""VLANs of networks and endpoints: given, changed, refused, where a kernel has none."""

from __future__ import annotations

import attrs
import pytest
from clearing import cleared

import pycnm
from pycnm import Bridge
from pycnm.plan.links import Link, Up
from pycnm.plan.operation import HOST
from pycnm.plan.vlans import VLANMember
from pycnm.plan.wires import Wire
from pycnm.testing import FakeKernel

TRUNK = (
    Link(HOST, "br0", "bridge", (("vlan_filtering", 1),)),
    Link(HOST, "eth1", "dummy"),
    Wire(HOST, "eth1", "br0"),
    Up(HOST, "br0"),
)


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def cnm(kernel, tmp_path):
    with cleared(kernel, tmp_path, TRUNK[:2]) as found:
        yield found


@pytest.fixture
def net(cnm):
    return cnm.create_network("n", Bridge(vlan=10), subnet="10.9.0.0/24", ipv6=True)


def vlan(kernel, end, number):
    return kernel.check([VLANMember(HOST, end.host_interface, number, "x")]) == []


def test_an_endpoint_is_where_its_network_is_or_elsewhere(cnm, kernel, net):
    one = net.connect(cnm.create_sandbox("c1"))
    two = net.connect(cnm.create_sandbox("c2"), vlan=20)
    three = net.connect(cnm.create_sandbox("c3"), options={"vlan": "20"})
    assert [end.vlan for end in (one, two, three)] == [None, 20, 20]
    assert [vlan(kernel, *each) for each in ((one, 10), (two, 20), (three, 20))] == [True] * 3
    # Who is elsewhere has no way out, as the host isn't there.
    assert [str(end.gateway) for end in (one, two)] == ["10.9.0.1", "None"]
    assert two.inspect()["DriverOpts"] == {"vlan": "20"}


def test_it_changes_live(cnm, kernel, net):
    end = net.connect(cnm.create_sandbox("c1"))
    end.configure(vlan=20)
    assert (end.vlan, str(end.gateway), vlan(kernel, end, 20)) == (20, "None", True)
    end.configure(aliases=["web"])
    assert end.vlan == 20
    end.configure(vlan=None)
    assert (end.vlan, str(end.gateway), vlan(kernel, end, 10)) == (None, "10.9.0.1", True)


def test_no_port_of_the_host_leads_elsewhere(cnm, net):
    words = "endpoint c1 is in VLAN 20 of network n, where the host isn't"
    box = cnm.create_sandbox("c1")
    with pytest.raises(pycnm.NotSupportedError, match=words):
        net.connect(box, vlan=20, publish=["8080:80"])
    end = net.connect(box, publish=["8080:80"])
    with pytest.raises(pycnm.NotSupportedError, match=words):
        end.configure(vlan=20)
    end.unpublish("8080:80")
    end.configure(vlan=20)
    with pytest.raises(pycnm.NotSupportedError, match=words):
        end.publish("8080:80")


def test_the_network_changes_only_without_endpoints(cnm, kernel, net):
    net.connect(cnm.create_sandbox("c1"))
    for number in ("30", None):
        with pytest.raises(pycnm.InUseError):
            net.configure(options={"vlan": number})
    net.disconnect("c1")
    net.configure(options={"vlan": "30"})
    assert kernel.check([VLANMember(HOST, net.interface, 30)]) == []
    net.configure(options={"vlan": None})
    assert "vlan_filtering" not in str(net.explain())
    loose = net.create_endpoint("e")
    with pytest.raises(pycnm.InvalidArgumentError, match="network n keeps no VLANs apart"):
        loose.configure(vlan=20)
    loose.delete()


def test_an_endpoint_that_waits_keeps_its_network_from_having_none(cnm, net):
    loose = net.create_endpoint("e", vlan=20)
    with pytest.raises(pycnm.InvalidArgumentError, match="keeps no VLANs apart"):
        net.configure(options={"vlan": None})
    loose.delete()


@pytest.mark.parametrize("number", [4095, "x", -1, True, "1.5"])
def test_what_is_no_vlan(cnm, net, number):
    with pytest.raises(pycnm.InvalidArgumentError, match="vlan"):
        net.connect(cnm.create_sandbox("c1"), vlan=number)


def test_networks_on_a_trunk(cnm, kernel):
    kernel.others_do(*TRUNK, VLANMember(HOST, "eth1", 0, "br0"))

    def on(number, external="eth1"):
        return Bridge(bridge_name="br0", external=external, vlan=number)

    one = cnm.create_network("one", on(10), subnet="10.10.0.0/24", gateway="10.10.0.1")
    two = cnm.create_network("two", on(20), subnet="10.20.0.0/24", gateway="10.20.0.1")
    box = cnm.create_sandbox("c1")
    ends = one.connect(box), two.connect(box)
    assert [vlan(kernel, *each) for each in zip(ends, (10, 20), strict=True)] == [True, True]
    for driver in (on(20), on(None)):
        with pytest.raises(pycnm.AlreadyExistsError, match="same bridge name"):
            cnm.create_network("three", driver, subnet="10.30.0.0/24")
    kernel.others_undo(VLANMember(HOST, "eth1", 0, "br0"))
    assert "eth1 isn't in VLAN 10 of br0: `bridge vlan add dev eth1 vid 10`" in one.check()
    kernel.others_do(VLANMember(HOST, "eth1", 0, "br0"))
    two.disconnect(box)
    two.delete()
    assert vlan(kernel, ends[0], 10)


def test_a_bridge_of_others_that_keeps_them_apart_since(cnm, kernel):
    plain = attrs.evolve(TRUNK[0], options=())
    kernel.others_do(plain, *TRUNK[1:])
    driver = Bridge(bridge_name="br0", external="eth1")
    net = cnm.create_network("n", driver, subnet="10.9.0.0/24")
    with pytest.raises(pycnm.InvalidArgumentError, match="br0 doesn't keep VLANs apart"):
        net.configure(options={"vlan": "10"})
    kernel.others_undo(plain)
    kernel.others_do(*TRUNK[:1], *TRUNK[2:], VLANMember(HOST, "eth1", 10, "br0"))
    net.configure(options={"vlan": "10"})
    assert "in VLAN 10" in str(net.explain())


def test_where_bridges_keep_no_vlans_apart(tmp_path):
    kernel = FakeKernel(lacking={"bridge_vlan"})
    with pycnm.Controller(tmp_path / "state", kernel=kernel, dns=False) as cnm:
        words = "which the option vlan needs: leave it out.*CONFIG_BRIDGE_VLAN_FILTERING"
        before = kernel.listing()
        with pytest.raises(pycnm.NotSupportedError, match=words):
            cnm.create_network("n", Bridge(vlan=10))
        assert kernel.listing() == before
        net = cnm.create_network("n")
        with pytest.raises(pycnm.NotSupportedError, match=words):
            net.configure(options={"vlan": "10"})
        (part,) = [part for part in cnm.kernel_parts() if part.name == "bridge_vlan"]
        assert not part.present
        assert "a bridge network and its endpoints can have no vlan" in str(part)
