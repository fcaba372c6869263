"""What the networks of a host share, as a person would type it."""

from __future__ import annotations

import attrs

from pycnm.drivers.hosting import (
    departed,
    overtaken,
    plan_forwarding4,
    plan_forwarding6,
    plan_rules,
)
from pycnm.plan.host import HostFacts, Uplinks
from pycnm.plan.operation import Features, Plan
from pycnm.plan.rules import Skeleton

OLD = Features(early_guard=False, force_forwarding=False)
UPLINKS = Uplinks(("eth0", "eth1"), ("eth0", "eth1"), ("eth0", "eth1"), ("eth1",))


def text(plan):
    return "".join(f"{operation}\n" for operation in plan)


def test_rules_take_the_hosts_ephemeral_ports():
    assert plan_rules(HostFacts(ephemeral=(40000, 40999)), "cnm").operations == (
        Skeleton("cnm", 40000, 40999),
    )


def test_forwarding_is_switched_on_where_it_is_off():
    assert text(plan_forwarding4(UPLINKS)) == (
        "nft 'add element inet cnm opened4 { \"eth0\" }'\n"
        "sysctl -w net.ipv4.conf.eth0.forwarding=1\n"
        "nft 'add element inet cnm opened4 { \"eth1\" }'\n"
        "sysctl -w net.ipv4.conf.eth1.forwarding=1\n"
    )
    assert text(plan_forwarding6(UPLINKS, Features())) == (
        "nft 'add element inet cnm opened6 { \"eth0\" }'\n"
        "sysctl -w net.ipv6.conf.eth0.force_forwarding=1\n"
        "nft 'add element inet cnm opened6 { \"eth1\" }'\n"
        "sysctl -w net.ipv6.conf.eth1.force_forwarding=1\n"
    )


def test_forwarding_everywhere_costs_nobody_router_advertisements():
    assert text(plan_forwarding6(UPLINKS, OLD)) == (
        "nft 'add element inet cnm opened6 { \"eth0\" }'\n"
        "nft 'add element inet cnm opened6 { \"eth1\" }'\n"
        "sysctl -w net.ipv6.conf.eth1.accept_ra=2\n"
        "sysctl -w net.ipv6.conf.all.forwarding=1\n"
    )


def test_a_host_that_forwards_is_left_as_it_is():
    assert text(plan_forwarding4(Uplinks())) == ""
    assert text(plan_forwarding6(Uplinks(forwards6=True), OLD)) == ""
    assert text(plan_forwarding6(UPLINKS, Features(ipv6=False))) == ""


def test_the_switch_for_all_is_ours_if_it_was_us_who_threw_it():
    known = plan_forwarding6(Uplinks(("eth0",), not_forwarding6=("eth0",)), OLD)
    later = attrs.evolve(UPLINKS, forwards6=True)
    assert plan_forwarding6(later, OLD) == Plan()
    assert plan_forwarding6(later, OLD, known) == plan_forwarding6(UPLINKS, OLD)
    assert plan_forwarding6(later, Features(), known) == Plan()


def test_what_is_switched_on_for_all_is_opened_by_others():
    plans = [*plan_forwarding4(UPLINKS), *plan_forwarding6(UPLINKS, Features())]
    assert len(overtaken(plans, UPLINKS)) == 0
    assert overtaken(plans, Uplinks(forwards4=True)) == plan_forwarding4(UPLINKS)
    assert overtaken(plans, Uplinks(forwards6=True)) == plan_forwarding6(UPLINKS, Features())
    # What was off by itself, on a router, or switched on for all by us.
    router = Uplinks(not_forwarding4=("eth0",), forwards4=True)
    ours = [*plan_forwarding4(router), *plan_forwarding6(UPLINKS, OLD)]
    assert len(overtaken(ours, Uplinks(forwards4=True, forwards6=True))) == 0


def test_what_went_is_forgotten():
    plans = plan_forwarding4(UPLINKS) + plan_forwarding6(UPLINKS, OLD)
    assert len(departed(plans, UPLINKS)) == 0
    gone = text(departed(plans, Uplinks(("eth0",))))
    assert "eth1" in gone
    assert "eth0" not in gone
    assert "net.ipv6.conf.all" not in gone
