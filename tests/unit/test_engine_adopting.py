"""Bridges of others: found, used, kept from us; all as it was when the network is gone."""

from __future__ import annotations

import pytest
from clearing import cleared

import pycnm
from pycnm import Bridge
from pycnm.plan.links import Address, Link, Sysctl, Up
from pycnm.plan.operation import HOST, Features
from pycnm.plan.rules import Entry
from pycnm.plan.wires import Wire
from pycnm.testing import FailingKernel, FakeKernel

THEIRS = Link(HOST, "virbr0", "bridge")
ADDRESS = Address(HOST, "virbr0", "192.168.122.1/24")
UP = Up(HOST, "virbr0")
ON_IT = Bridge(bridge_name="virbr0")
NAME = "com.docker.network.bridge.name"
FORWARDING = "net/ipv4/conf/virbr0/forwarding"


@pytest.fixture(params=[Features(), Features(force_forwarding=False)], ids=["new", "old"])
def kernel(request):
    return FakeKernel(request.param)


@pytest.fixture
def cnm(kernel, tmp_path):
    kernel.others_do(THEIRS, ADDRESS, UP)
    with cleared(kernel, tmp_path) as found:
        yield found


def setting(kernel, key=FORWARDING):
    """What a setting is."""
    (found,) = [value for value in "01" if not kernel.check([Sysctl(HOST, key, value, "virbr0")])]
    return found


def opened(kernel):
    """Whether packets from it are led to networks of ours only."""
    found = [not kernel.check([Entry(f"opened{version}", ("virbr0",))]) for version in (4, 6)]
    assert len({*found}) == 1
    return found[0]


def test_it_is_used_as_it_is(cnm, kernel):
    net = cnm.create_network("n", ON_IT)
    assert [str(each) for each in net.subnets] == ["192.168.122.0/24"]
    assert [str(each) for each in net.gateways] == ["192.168.122.1"]
    assert net.interface == "virbr0"
    end = net.connect(cnm.create_sandbox("c1"))
    assert str(end.ip) == "192.168.122.2"
    assert kernel.check([THEIRS, ADDRESS, UP]) == []
    assert setting(kernel) == "1"


def test_its_subnet_may_be_said(cnm):
    """It is no collision, though the host reaches it directly."""
    net = cnm.create_network("n", ON_IT, subnet="192.168.122.0/24")
    assert str(net.connect(cnm.create_sandbox("c1")).ip) == "192.168.122.2"


def test_with_ipv6(cnm, kernel):
    kernel.others_do(Address(HOST, "virbr0", "fd00:122::1/64"))
    net = cnm.create_network("n", ON_IT, ipv6=True)
    assert [str(each) for each in net.gateways] == ["192.168.122.1", "fd00:122::1"]
    net.delete()
    kernel.others_undo(Address(HOST, "virbr0", "fd00:122::1/64"))


def test_one_that_has_another_length_is_refused(cnm, kernel):
    before = kernel.listing()
    with pytest.raises(pycnm.PoolOverlapError, match=r"virbr0 has the address 192.168.122.1/24"):
        cnm.create_network("n", ON_IT, subnet="192.168.0.0/16")
    assert kernel.listing() == before


def test_what_is_no_bridge_is_refused(cnm):
    with pytest.raises(pycnm.AlreadyExistsError, match="existing interface eth0 is not a bridge"):
        cnm.create_network("n", Bridge(bridge_name="eth0"))


def test_two_networks_cannot_have_the_same(cnm):
    cnm.create_network("n", ON_IT)
    for wishes in ({}, {"subnet": "10.99.0.0/24"}):
        with pytest.raises(pycnm.AlreadyExistsError, match="networks have same bridge name"):
            cnm.create_network("m", ON_IT, **wishes)


def test_that_of_another_state_directory_is_refused(cnm, kernel, tmp_path):
    cnm.create_network("n", ON_IT)
    with pycnm.Controller(tmp_path / "other", kernel=kernel, dns=False) as other:
        with pytest.raises(pycnm.InUseError, match="virbr0 is the bridge of a network in another"):
            other.create_network("m", ON_IT)
        own = cnm.create_network("o", Bridge(bridge_name="br-own"))
        with pytest.raises(pycnm.KernelError, match="br-own that pycnm didn't make is there"):
            other.create_network("m", Bridge(bridge_name="br-own"))
        own.delete()


def test_another_network_comes_and_goes_beside_it(cnm, kernel):
    """Packets are forwarded from it as one of ours, not as one of the host's."""
    other = cnm.create_network("other", ipv6=True)
    assert opened(kernel)
    net = cnm.create_network("n", ON_IT, subnet=["192.168.122.0/24", "fd00:122::/64"])
    assert not opened(kernel)
    assert (setting(kernel), cnm.check()) == ("1", [])
    cnm.reconcile()
    assert not opened(kernel)
    other.delete()
    assert (setting(kernel), cnm.check()) == ("1", [])
    net.delete()
    assert setting(kernel) == "0"


def test_when_it_is_gone_another_network_is_reached_from_it_again(cnm, kernel):
    cnm.create_network("other", ipv6=True)
    before = kernel.listing()
    net = cnm.create_network("n", ON_IT, subnet=["192.168.122.0/24", "fd00:122::/64"])
    assert not opened(kernel)
    net.configure(options={NAME: None})
    assert opened(kernel)
    net.configure(options={NAME: "virbr0"})
    assert not opened(kernel)
    net.delete()
    assert opened(kernel)
    assert kernel.listing() == before
    cnm.reconcile()
    assert kernel.listing() == before


def test_it_vanishes_and_comes_back(cnm, kernel):
    net = cnm.create_network("n", ON_IT)
    net.connect(cnm.create_sandbox("c1"))
    kernel.others_undo(THEIRS)
    words = cnm.check()
    assert words[0].startswith("virbr0, the bridge of a network, is gone: it was deleted")
    with pytest.raises(pycnm.CleanupError):
        cnm.reconcile()
    # It isn't ours to make.
    assert kernel.interface("virbr0") is None
    kernel.others_do(THEIRS, UP)
    assert "virbr0 doesn't have the address 192.168.122.1/24 any more" in " ".join(cnm.check())
    kernel.others_do(ADDRESS)
    cnm.reconcile()
    assert cnm.check() == []
    assert setting(kernel) == "1"


def test_one_that_is_gone_is_no_obstacle_to_deletion(cnm, kernel):
    net = cnm.create_network("n", ON_IT)
    kernel.others_undo(THEIRS)
    net.delete()
    kernel.others_do(THEIRS, ADDRESS, UP)


def test_it_goes_down(cnm, kernel):
    cnm.create_network("n", ON_IT)
    kernel.others_undo(UP)
    assert cnm.check() == ["virbr0, the bridge of a network, is down: `ip link set virbr0 up`"]
    kernel.others_do(UP)


def test_a_network_is_put_on_it_and_taken_off(cnm, kernel):
    net = cnm.create_network("n")
    own = net.interface
    net.configure(options={NAME: "virbr0"}, subnet=None)
    assert [str(each) for each in net.gateways] == ["192.168.122.1"]
    assert kernel.interface(own) is None
    net.configure(labels={"a": "b"})
    assert setting(kernel) == "1"
    net.configure(options={NAME: None}, subnet="10.99.0.0/24")
    assert net.interface == own
    # What comes from it is led to the network, as from any interface.
    assert kernel.check([Entry("opened4", ("virbr0",))]) == []
    assert kernel.interface("virbr0").alias == ""


def test_on_a_wire(cnm, kernel):
    kernel.others_do(Link(HOST, "eth1", "dummy"), Wire(HOST, "eth1", "virbr0"))
    before = kernel.listing()
    wired = Bridge(bridge_name="virbr0", external="eth1")
    net = cnm.create_network("n", wired, gateway="192.168.122.254", subnet="192.168.122.0/24")
    end = net.connect(cnm.create_sandbox("c1"))
    assert (str(end.ip), str(end.gateway)) == ("192.168.122.2", "192.168.122.254")
    assert setting(kernel) == "0"
    cnm.sandbox("c1").delete()
    net.delete()
    assert kernel.listing() == before
    with pytest.raises(pycnm.KernelError, match="eth0 is no port of virbr0"):
        cnm.create_network("n", Bridge(bridge_name="virbr0", external="eth0"))
    kernel.others_undo(Link(HOST, "eth1", "dummy"))


@pytest.mark.parametrize("step", range(1, 14))
def test_nothing_is_left_of_what_was_refused(kernel, tmp_path, step):
    kernel.others_do(THEIRS, UP)
    before, failing = kernel.listing(), FailingKernel(kernel, step)
    with pycnm.Controller(tmp_path / "state", kernel=failing, dns=False) as cnm:
        with pytest.raises(pycnm.KernelError, match="this was to fail"):
            cnm.create_network("n", ON_IT, subnet="10.99.0.0/24")
        assert kernel.listing() == before
