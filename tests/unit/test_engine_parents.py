"""What networks sit on: made with the first of them, shared, and gone with the last."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from clearing import cleared

import pycnm
from pycnm import Ipvlan, Macvlan
from pycnm.plan.links import Address, Link, Up
from pycnm.plan.operation import HOST
from pycnm.testing import FailingKernel, FakeKernel

ETH1 = Link(HOST, "eth1", "dummy")
VLAN = Link(HOST, "eth0.10", "vlan", (("id", 10),), parent="eth0")


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def cnm(kernel, tmp_path):
    with cleared(kernel, tmp_path) as found:
        yield found


def links(kernel):
    """The names of the links of the host that are ours."""
    lines = kernel.listing().splitlines()
    return sorted(
        line.split()[2] for line in lines if line.startswith("host link") and "cnm:" in line
    )


def test_shared_by_networks_of_either_mode(cnm, kernel):
    one = cnm.create_network("one", "macvlan", parent="eth0.10")
    two = cnm.create_network("two", Macvlan(parent="eth0.10", mode="private"))
    assert links(kernel) == ["eth0.10"]
    assert str(one.explain()) == str(two.explain())
    one.delete()
    assert links(kernel) == ["eth0.10"]
    assert cnm.check() == []
    two.delete()
    assert links(kernel) == []


def test_one_that_is_there_is_nobodys(cnm, kernel):
    kernel.others_do(VLAN, Up(HOST, "eth0.10"))
    net = cnm.create_network("one", "macvlan", parent="eth0.10")
    net.delete()
    assert links(kernel) == []
    kernel.others_undo(VLAN)


def test_moved_with_the_configuration(cnm, kernel):
    net = cnm.create_network("net", "macvlan", parent="eth0.10", options={"host_access": "true"})
    shim = f"mh-{net.id[:12]}"
    assert links(kernel) == ["eth0.10", shim]
    net.configure(parent="eth0.20")
    assert links(kernel) == ["eth0.20", shim]
    assert cnm.check() == []
    net.configure(options={"parent": "eth0.30", "host_access": None})
    assert links(kernel) == ["eth0.30"]
    net.configure(parent=None)
    assert links(kernel) == [f"dm-{net.id[:12]}"]
    net.configure(driver=Ipvlan(parent="eth0.10"))
    assert links(kernel) == ["eth0.10"]
    net.configure(driver="bridge")
    assert links(kernel) == [f"br-{net.id[:12]}"]


def test_the_driver_s_own_gateway_goes_with_it(cnm):
    net = cnm.create_network("net", subnet="10.20.30.0/24")
    net.configure(driver="macvlan", parent="eth0")
    assert net.gateways == []
    net.configure(gateway="10.20.30.7")
    net.configure(options={"macvlan_mode": "private"})
    assert [str(each) for each in net.gateways] == ["10.20.30.7"]
    net.configure(driver="ipvlan", parent="eth0")
    # One that was given stays.
    assert [str(each) for each in net.gateways] == ["10.20.30.7"]


def test_what_is_written_back_changes_nothing(cnm):
    """A gateway that was chosen, given as it is, is no other one."""
    net = cnm.create_network("net", subnet="10.20.30.0/24")
    net.connect(cnm.create_sandbox("c1"))
    net.configure(gateway="10.20.30.1", subnet="10.20.30.0/24")
    net.configure(labels={"a": "b"})


def test_the_host_s_addresses_are_given_back_with_the_network(cnm):
    for _ in range(2):
        net = cnm.create_network(
            "net", Macvlan(parent="eth0", host_access=True), subnet="10.20.30.0/24"
        )
        assert [pool.aux for pool in net.spec.pools] == [(("host", "10.20.30.1"),)]
        assert str(net.connect(cnm.create_sandbox("c1")).ip) == "10.20.30.2"
        cnm.sandbox("c1").delete()
        net.delete()


def test_subnets_of_one_family_are_filled_one_after_the_other(cnm):
    net = cnm.create_network(
        "net", "macvlan", parent="eth0",
        subnet=["10.1.0.0/30", "10.2.0.0/24"], gateway=["10.1.0.1", "10.2.0.254"],
    )  # fmt: skip
    ends = [net.connect(cnm.create_sandbox(name)) for name in ("c1", "c2")]
    assert [str(end.ip) for end in ends] == ["10.1.0.2", "10.2.0.1"]
    assert [str(end.gateway) for end in ends] == ["10.1.0.1", "10.2.0.254"]
    # Moved to the other subnet, it has the other gateway.
    net.disconnect("c1")
    ends[1].configure(ip="10.1.0.2")
    assert str(ends[1].gateway) == "10.1.0.1"
    assert "via 10.1.0.1" in str(cnm.sandbox("c2").explain())
    assert str(net.connect("c1").ip) == "10.2.0.1"
    with pytest.raises(pycnm.AddressInUseError):
        net.connect(cnm.create_sandbox("c3"), ip="10.1.0.2")


def test_a_network_that_can_t_be_made_leaves_nothing(tmp_path):
    """Whatever step fails, of the VLAN's as of the network's."""
    for step in range(1, 30):
        kernel = FakeKernel()
        before = kernel.listing()
        failing = FailingKernel(kernel, step)
        with pycnm.Controller(tmp_path / str(step), kernel=failing, dns=False) as cnm:
            try:
                net = cnm.create_network("net", Macvlan(parent="eth0.10", host_access=True))
                net.connect(cnm.create_sandbox("c1"))
            except pycnm.KernelError:
                failed = True
            else:
                failed = False
            assert cnm.check() == []
            for each in [*cnm.sandboxes(), *(n for n in cnm.networks() if n.name == "net")]:
                each.delete()
        assert kernel.listing() == before, step
        if not failed:
            break
    assert step > 10


def test_a_record_that_was_damaged_is_planned_again(cnm, kernel, tmp_path):
    net = cnm.create_network("net", "macvlan", parent="eth0.10")
    net.connect(cnm.create_sandbox("c1"))
    with sqlite3.connect(tmp_path / "state" / "cnm.db") as db:
        db.execute('UPDATE operations SET body = \'x\' WHERE body LIKE \'["Link","","eth0.10"%\'')
    db.close()
    assert any("part of the plan of parent:eth0" in words for words in cnm.check())
    cnm.reconcile()
    assert cnm.check() == []
    assert links(kernel) == ["eth0.10"]


def test_a_reboot_makes_it_again(tmp_path):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path / "state", kernel=kernel, dns=False) as cnm:
        net = cnm.create_network("net", Macvlan(parent="eth0.10", host_access=True))
        inner = cnm.create_network("inner", "ipvlan")
        net.connect(cnm.create_sandbox("c1"))
        made = sorted(["eth0.10", f"mh-{net.id[:12]}", inner.interface])
        assert links(kernel) == made
    again = FakeKernel()
    with pycnm.Controller(tmp_path / "state", kernel=again, dns=False) as cnm:
        assert links(again) == made
        cnm.sandbox("c1").start()
        assert cnm.check() == []


def test_what_the_kernel_lacks_is_said_before_anything_is_made(tmp_path):
    kernel = FakeKernel(lacking={"ipvlan", "vlan", "dummy", "ifb"})
    before = kernel.listing()
    with pycnm.Controller(tmp_path / "state", kernel=kernel, dns=False) as cnm:
        for wishes, words in (
            ({"driver": "ipvlan", "parent": "eth0"}, "modprobe ipvlan"),
            ({"driver": "macvlan", "parent": "eth0.10"}, "modprobe 8021q"),
            ({"driver": "macvlan"}, "modprobe dummy"),
        ):
            with pytest.raises(pycnm.NotSupportedError, match=words) as caught:
                cnm.create_network("net", **wishes)
            assert caught.value.errno == errno.EOPNOTSUPP
        net = cnm.create_network("net")
        with pytest.raises(pycnm.NotSupportedError, match="modprobe ipvlan"):
            net.configure(driver="ipvlan", parent="eth0")
        net.delete()
    assert kernel.listing() == before


def test_without_dummies_something_else_stands_for_a_parent(tmp_path):
    kernel = FakeKernel(lacking={"dummy"})
    with pycnm.Controller(tmp_path / "state", kernel=kernel, dns=False) as cnm:
        net = cnm.create_network("net", "macvlan")
        assert "type ifb" in str(net.explain())


def test_a_sandbox_in_passthru_is_alone(cnm):
    net = cnm.create_network("net", Macvlan(parent="eth0", mode="passthru"))
    net.create_endpoint("waiting")
    with pytest.raises(pycnm.InUseError, match="takes 1 endpoint, and has as many: in mode passt"):
        net.connect(cnm.create_sandbox("c1"))


def test_the_parent_of_another_host_s_network_is_somebody_else_s(kernel, tmp_path):
    """Two state directories on one host: what the one made, the other leaves."""
    with (
        pycnm.Controller(tmp_path / "one", kernel=kernel, dns=False) as one,
        pycnm.Controller(tmp_path / "two", kernel=kernel, dns=False) as two,
    ):
        first = one.create_network("net", "macvlan", parent="eth0.10")
        second = two.create_network("net", "macvlan", parent="eth0.10")
        second.delete()
        assert links(kernel) == ["eth0.10"]
        first.delete()
        assert links(kernel) == []


def test_a_check_says_a_common_trouble_once(cnm, kernel):
    kernel.others_do(ETH1, Address(HOST, "eth1", "192.0.2.99/24"), Up(HOST, "eth1"))
    for number in range(3):
        cnm.create_network(f"net{number}", "macvlan", parent=f"eth1.{number + 1}")
    kernel.others_undo(Up(HOST, "eth1"))
    assert [words for words in cnm.check() if words.startswith("eth1,")] == [
        "eth1, which networks sit on, is down: `ip link set eth1 up`"
    ]
    kernel.others_do(Up(HOST, "eth1"))
    cnm.reconcile()
    for number in range(3):
        cnm.network(f"net{number}").delete()
    kernel.others_undo(ETH1)
