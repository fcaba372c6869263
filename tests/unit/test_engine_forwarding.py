"""Somebody makes a router of the host after networks were made on it."""

from __future__ import annotations

import re

import pytest

import pycnm
from pycnm.plan.links import Link, Sysctl
from pycnm.plan.operation import HOST, Features
from pycnm.testing import FakeKernel

ROUTER4 = Sysctl(HOST, "net.ipv4.ip_forward", "1", before="0")
ROUTER6 = Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1", before="0")
FORWARDS = Sysctl(HOST, "net/ipv4/conf/eth0/forwarding", "1", before="0")


def opened(kernel):
    """The interfaces that lead to networks of ours only."""
    found = re.findall(r'element inet cnm (opened[46]) { "(\w+)" }', kernel.listing())
    return sorted(found)


def test_what_the_listing_is_searched_for(cnm, kernel):
    cnm.create_network("front", ipv6=True)
    assert opened(kernel) == [("opened4", "eth0"), ("opened6", "eth0")]


@pytest.mark.parametrize(
    ("switch", "left"),
    [(ROUTER4, [("opened6", "eth0")]), (ROUTER6, [("opened4", "eth0")])],
    ids=["ipv4", "ipv6"],
)
def test_it_is_told_and_reconcile_restricts_it_no_longer(cnm, kernel, switch, left):
    net = cnm.create_network("front", ipv6=True)
    empty = kernel.listing()
    kernel.others_do(switch)
    (told,) = cnm.check()
    assert told.startswith(f"{switch.key} was switched on since networks were made, and what comes")
    assert "from eth0 is still led to networks of pycnm only; `cnm reconcile` lets it" in told
    cnm.reconcile()
    assert cnm.check() == []
    assert opened(kernel) == left
    # It is a host like any other again.
    kernel.others_undo(switch)
    cnm.reconcile()
    assert cnm.check() == []
    assert kernel.listing() == empty
    net.delete()


@pytest.mark.parametrize("reconcile", [True, False], ids=["reconciled", "not-reconciled"])
def test_it_stays_a_router_without_our_networks(cnm, kernel, reconcile):
    others = FakeKernel()
    others.others_do(ROUTER4, ROUTER6)
    net = cnm.create_network("front", ipv6=True)
    kernel.others_do(ROUTER4, ROUTER6)
    if reconcile:
        cnm.reconcile()
    net.delete()
    assert kernel.listing() == others.listing()


def test_what_is_off_on_a_router_stays_restricted(cnm, kernel):
    kernel.others_do(ROUTER4)
    kernel.others_undo(FORWARDS)
    before = kernel.listing()
    net = cnm.create_network("front")
    assert cnm.check() == []
    cnm.reconcile()
    assert opened(kernel) == [("opened4", "eth0")]
    net.delete()
    assert kernel.listing() == before


def test_what_we_switched_on_for_all_tells_nothing(tmp_path):
    """An older kernel has one switch for IPv6, and it is ours."""
    kernel = FakeKernel(Features(force_forwarding=False))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        cnm.create_network("front", ipv6=True)
        assert cnm.check() == []
        cnm.reconcile()
        assert opened(kernel) == [("opened4", "eth0"), ("opened6", "eth0")]


def test_where_we_switched_it_on_for_all_reconcile_restricts_what_comes_later(tmp_path):
    kernel = FakeKernel(Features(force_forwarding=False))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        before = kernel.listing()
        net = cnm.create_network("front", ipv6=True)
        kernel.others_do(Link(HOST, "eth1", "dummy"))
        cnm.reconcile()
        assert [name for family, name in opened(kernel) if family == "opened6"] == ["eth0", "eth1"]
        assert cnm.check() == []
        net.delete()
        kernel.others_undo(Link(HOST, "eth1", "dummy"))
        assert kernel.listing() == before


def test_after_a_reboot_as_a_router(cnm, kernel, tmp_path):
    cnm.create_network("front", ipv6=True)
    cnm.close()
    again = FakeKernel()
    again.others_do(ROUTER4, ROUTER6, Link(HOST, "eth1", "dummy"))
    with pycnm.Controller(tmp_path, kernel=again) as later:
        assert later.check() == []
        assert opened(again) == []
