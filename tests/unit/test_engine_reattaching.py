"""An endpoint given other addresses, names or a priority."""

from __future__ import annotations

import pytest
from netaddr import IPAddress

from pycnm.errors import (
    AddressInUseError,
    InUseError,
    InvalidArgumentError,
    KernelError,
    OutOfSubnetError,
)
from pycnm.testing import FailingKernel, FakeKernel


@pytest.fixture
def kernel():
    return FailingKernel(FakeKernel())


@pytest.fixture
def cnm(cnm):
    yield cnm
    assert cnm.check() == []


@pytest.fixture
def net(cnm):
    return cnm.create_network("net", subnet=["10.20.30.0/24", "fd00::/64"])


@pytest.fixture
def ends(cnm, net):
    return [net.connect(cnm.create_sandbox(name)) for name in ("c2", "c3")]


def test_another_address(cnm, net, ends):
    end, other = ends
    old = end.mac
    end.configure(ip="10.20.30.77", ip6="fd00::77")
    assert (end.ip, end.ip6) == (IPAddress("10.20.30.77"), IPAddress("fd00::77"))
    assert end.mac != old
    plan = str(end.explain())
    assert "10.20.30.77/24" in plan
    assert "fd00::77/64" in plan
    assert "10.20.30.2" not in plan
    assert "ip saddr 10.20.30.77 accept" in plan
    # What it had is free again, and what it has is taken.
    assert net.connect(cnm.create_sandbox("c4"), ip="10.20.30.2", ip6="fd00::2").ip
    with pytest.raises(AddressInUseError):
        other.configure(ip="10.20.30.77")


def test_another_mac(cnm, ends):
    end, other = ends
    end.configure(mac="02:42:00:00:00:09")
    assert str(end.mac) == "02:42:00:00:00:09"
    assert "address 02:42:00:00:00:09" in str(end.explain())
    with pytest.raises(AddressInUseError, match="02:42:00:00:00:09"):
        other.configure(mac="02:42:00:00:00:09")
    # One that was chosen stays, whatever the address is.
    end.configure(ip="10.20.30.88")
    assert end.ip == IPAddress("10.20.30.88")
    assert str(end.mac) == "02:42:00:00:00:09"


def test_names_and_priority(cnm, ends):
    end, _ = ends
    end.configure(aliases=["web", "www"], gateway_priority=7)
    assert end.aliases == ["web", "www"]
    assert end.inspect()["GwPriority"] == 7
    end.configure(aliases=[])
    assert end.aliases == []
    assert end.inspect()["GwPriority"] == 7


def test_the_default_route_follows_the_priority(cnm, net, ends, kernel):
    second = cnm.create_network("second", subnet="10.9.0.0/24").connect("c2")
    assert "0.0.0.0/0 via 10.20.30.1" in kernel._kernel.listing()
    second.configure(gateway_priority=1)
    assert "0.0.0.0/0 via 10.9.0.1" in kernel._kernel.listing()


def test_who_follows_is_told(cnm, ends):
    (*_, last) = cnm.events()
    ends[0].configure(ip="10.20.30.77")
    ends[0].configure(ip="10.20.30.77")
    (event,) = cnm.events(since=last)
    assert (event.type, event.action, event.id) == ("endpoint", "update", ends[0].id)
    assert dict(event.attributes)["network"] == "net"


def test_before_it_is_joined(cnm, net):
    end = net.create_endpoint("early")
    end.configure(ip="10.20.30.50", aliases=["a"])
    assert end.ip == IPAddress("10.20.30.50")
    end.join(cnm.create_sandbox("c2"))
    assert "10.20.30.50/24" in str(end.explain())


def test_nothing_changed_is_nothing_done(ends, kernel):
    before, plan = kernel._kernel.listing(), ends[0].explain()
    ends[0].configure()
    ends[0].configure(ip=ends[0].ip, mac=ends[0].mac, aliases=())
    assert (kernel._kernel.listing(), ends[0].explain()) == (before, plan)


def test_published_ports_lead_where_they_led(ends):
    end, _ = ends
    end.publish("8080:80")
    with pytest.raises(InUseError, match="unpublish"):
        end.configure(ip="10.20.30.99")
    end.configure(mac="02:42:00:00:00:09", aliases=["web"])
    assert len(end.ports) == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"colour": "red"}, InvalidArgumentError),
        ({"ip": "nonsense"}, InvalidArgumentError),
        ({"ip": "10.9.9.9"}, OutOfSubnetError),
        ({"ip": "10.20.30.1"}, AddressInUseError),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, InvalidArgumentError),
        ({"aliases": "web"}, InvalidArgumentError),
        ({"gateway_priority": "high"}, InvalidArgumentError),
    ],
    ids=str,
)
def test_what_is_refused_changes_nothing(ends, kernel, changes, error):
    before, told = kernel._kernel.listing(), ends[0].inspect()
    with pytest.raises(error):
        ends[0].configure(**changes)
    assert (kernel._kernel.listing(), ends[0].inspect()) == (before, told)


def test_failed_at_every_step_it_is_as_it_was(cnm, net, ends, kernel):
    end = ends[0]
    before, told = kernel._kernel.listing(), end.inspect()
    for step in range(1, 100):
        kernel.arm(step)
        try:
            end.configure(ip="10.20.30.77", ip6="fd00::77", gateway_priority=3)
        except KernelError:
            kernel.arm(0)
            assert (kernel._kernel.listing(), end.inspect()) == (before, told), step
            continue
        break
    kernel.arm(0)
    assert step > 3
    assert end.ip == IPAddress("10.20.30.77")
    # Nothing that was leased in vain is lost, and the old address is free.
    for last in (2, *range(4, 77), *range(78, 255)):
        net.create_endpoint(f"e{last}", ip=f"10.20.30.{last}")
