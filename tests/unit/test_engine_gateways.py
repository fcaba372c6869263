"""The address that is set aside for a gateway: whose it is, and that it is never given back."""

from __future__ import annotations

import attrs
import pytest

import pycnm
from pycnm.plan.links import Route, Sysctl
from pycnm.plan.operation import Features
from pycnm.testing import FailingKernel, FakeKernel

AUX = {"DefaultGatewayIPv4": "10.20.30.2", "DefaultGatewayIPv6": "fd00:20::2"}


@pytest.fixture
def kernel():
    return FailingKernel(FakeKernel())


@pytest.fixture
def cnm(tmp_path, kernel):
    with pycnm.Controller(tmp_path / "state", kernel=kernel) as found:
        yield found


@pytest.fixture
def net(cnm):
    return cnm.create_network("n", subnet=["10.20.30.0/24", "fd00:20::/64"], aux_addresses=AUX)


def gateways(cnm, name):
    routes = [each for each in cnm.sandbox(name).explain() if isinstance(each, Route)]
    return [each.gateway for each in routes]


def used(net):
    return [status.ips_in_use for status in net.usage().values()]


def test_it_is_one_endpoint_s_and_stays_the_network_s(cnm, net):
    before = used(net)
    router = cnm.create_sandbox("r")
    end = net.connect(router, ip="10.20.30.2", ip6="fd00:20::2", forwarding=True)
    assert used(net) == before
    net.connect(cnm.create_sandbox("c"))
    assert gateways(cnm, "r") == ["10.20.30.1", "fd00:20::1"]
    assert gateways(cnm, "c") == ["10.20.30.2", "fd00:20::2"]
    with pytest.raises(pycnm.AddressInUseError):
        net.connect(cnm.create_sandbox("s"), ip="10.20.30.2", forwarding=True)
    end.leave()
    end.join(router)
    net.disconnect(router)
    net.disconnect("c")
    assert used(net) == before
    # Nobody gets it by chance.
    assert str(net.connect("c").ip) == "10.20.30.3"
    assert cnm.check() == []


def test_to_it_and_away_from_it(cnm, net):
    before = used(net)
    end = net.connect(cnm.create_sandbox("r"))
    with pytest.raises(pycnm.AddressInUseError, match="with `forwarding` only"):
        end.configure(ip="10.20.30.2")
    end.configure(ip="10.20.30.2", forwarding=True)
    assert gateways(cnm, "r") == ["10.20.30.1", "fd00:20::2"]
    with pytest.raises(pycnm.AddressInUseError, match="with `forwarding` only"):
        end.configure(forwarding=False)
    end.configure(ip="10.20.30.9", forwarding=False)
    assert gateways(cnm, "r") == ["10.20.30.2", "fd00:20::2"]
    net.disconnect("r")
    assert used(net) == before


def test_what_failed_gives_nothing_of_it_back(cnm, net, kernel):
    before = used(net)
    box = cnm.create_sandbox("r")
    kernel.arm(3)
    with pytest.raises(pycnm.KernelError):
        net.connect(box, ip="10.20.30.2", ip6="fd00:20::2", forwarding=True)
    assert used(net) == before
    net.delete()
    again = cnm.create_network("n", subnet="10.20.30.0/24")
    assert str(again.connect(box, ip="10.20.30.2").ip) == "10.20.30.2"


def test_ipv6_of_a_whole_sandbox_where_no_interface_has_it_alone(tmp_path):
    """It is switched off with the last endpoint that forwards."""
    features = attrs.evolve(Features(), force_forwarding=False)
    with pycnm.Controller(tmp_path / "state", kernel=FakeKernel(features=features)) as cnm:
        box = cnm.create_sandbox("r")
        ends = [
            cnm.create_network(f"n{n}", subnet=f"fd00:{n}::/64").connect(box, forwarding=True)
            for n in (1, 2)
        ]

        def switched():
            keys = [each.key for each in box.explain() if isinstance(each, Sysctl)]
            return "net/ipv6/conf/all/forwarding" in keys

        assert switched()
        ends[0].configure(forwarding=False)
        assert switched()
        ends[1].configure(forwarding=False)
        assert not switched()
        assert cnm.check() == []
