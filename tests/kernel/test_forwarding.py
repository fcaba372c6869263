"""A host does not become a router because a network was made on it."""

from __future__ import annotations

import pytest
from features import has
from topology import IMPATIENCE, PATIENCE, inside

PROTOCOLS = {"tcp", "udp", "ping", "tcp6", "ping6"}
LEFT, RIGHT = ("192.0.2.66", "2001:db8:1::66"), ("198.51.100.9", "2001:db8:2::9")


@pytest.fixture
def left(machine, host):
    """A neighbour on one side of the host."""
    far = machine("left")
    host.wire(far, ["192.0.2.1/24", "2001:db8:1::1/64"], ["192.0.2.66/24", "2001:db8:1::66/64"])
    far.route("198.51.100.0/24 via 192.0.2.1", "2001:db8:2::/64 via 2001:db8:1::1")
    return far


@pytest.fixture
def right(machine, host):
    """A neighbour on the other; each believes that the host leads to the other."""
    far = machine("right")
    own, theirs = ["198.51.100.1/24", "2001:db8:2::1/64"], ["198.51.100.9/24", "2001:db8:2::9/64"]
    host.wire(far, own, theirs, interface="eth1")
    far.route("192.0.2.0/24 via 198.51.100.1", "2001:db8:1::/64 via 2001:db8:2::1")
    return far


def passes(source, target, addresses, patience):
    """Which protocols get through the host."""
    four, six = addresses
    with target.serve("80", "53/udp"):
        through = {
            "tcp": source.ask(four, 80, patience=patience),
            "udp": source.ask(four, 53, "udp", patience=patience),
            "ping": source.ping(four, patience),
            "tcp6": source.ask(six, 80, patience=patience),
            "ping6": source.ping(six, patience),
        }
    return {protocol for protocol, answer in through.items() if answer}


def test_what_is_no_router_stays_none(controller, host, left, right):
    assert passes(left, right, RIGHT, IMPATIENCE) == set()
    cnm = controller(host)
    net = cnm.create_network("my_bridge", ipv6=True)
    assert passes(left, right, RIGHT, IMPATIENCE) == set()
    box = cnm.create_sandbox("c2")
    net.connect(box)
    assert passes(left, right, RIGHT, IMPATIENCE) == set()
    assert passes(right, left, LEFT, IMPATIENCE) == set()
    # In the meantime the network itself has its way out on both sides.
    with left.serve("80"), right.serve("80"):
        for address, server in (
            ("192.0.2.66", "left"),
            ("2001:db8:1::66", "left"),
            ("198.51.100.9", "right"),
            ("2001:db8:2::9", "right"),
        ):
            assert inside(box).ask(address, 80).server == server


def test_what_is_a_router_stays_one(controller, host, left, right):
    host.forward()
    assert passes(left, right, RIGHT, PATIENCE) == PROTOCOLS
    cnm = controller(host)
    net = cnm.create_network("my_bridge", ipv6=True)
    net.connect(cnm.create_sandbox("c2"))
    assert passes(left, right, RIGHT, PATIENCE) == PROTOCOLS
    net.delete(force=True)
    assert passes(left, right, RIGHT, PATIENCE) == PROTOCOLS
    assert host.sysctl("net.ipv4.ip_forward") == "1"
    assert host.sysctl("net.ipv6.conf.all.forwarding") == "1"


def test_what_becomes_a_router_later_is_one(controller, host, left, right):
    """As when dockerd is started after us: what goes where is no longer ours to say."""
    before = host.settings()
    cnm = controller(host)
    net = cnm.create_network("my_bridge", ipv6=True)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    assert passes(left, right, RIGHT, IMPATIENCE) == set()
    host.forward()
    try:
        told = [words.partition(" was switched on")[0] for words in cnm.check()]
        # Without a switch of each interface, that for all was thrown by us.
        thrown = ["net.ipv6.conf.all.forwarding"] if has("force_forwarding") else []
        assert told == ["net.ipv4.ip_forward", *thrown]
        cnm.reconcile()
        assert cnm.check() == []
        assert passes(left, right, RIGHT, PATIENCE) >= {"tcp", "udp", "ping"}
        if thrown:
            assert passes(left, right, RIGHT, PATIENCE) == PROTOCOLS
        with left.serve("80"):
            assert inside(box).ask("192.0.2.66", 80).peer == "192.0.2.1"
        net.delete(force=True)
        assert passes(left, right, RIGHT, PATIENCE) >= {"tcp", "udp", "ping"}
    finally:
        host.set_sysctl(net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0)
    assert host.settings() == before


def test_nothing_is_switched_on_for_all_interfaces(controller, host, left, right):
    cnm = controller(host)
    cnm.create_network("my_bridge", ipv6=True).connect(cnm.create_sandbox("c2"))
    keys = ["net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding"]
    if has("force_forwarding"):
        keys += ["net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"]
    assert {host.sysctl(key) for key in keys} == {"0"}
    assert host.sysctl("net/ipv4/conf/eth0/forwarding") == "1"


def test_it_comes_back_to_what_it_was_with_the_last_network(controller, host, left, right):
    host.set_sysctl(net__ipv4__conf__eth1__forwarding=1)
    before = host.settings()
    cnm = controller(host)
    one = cnm.create_network("one", ipv6=True)
    two = cnm.create_network("two", ipv6=True)
    assert host.settings() != before
    one.delete()
    box = cnm.create_sandbox("c2")
    two.connect(box)
    with left.serve("80"):
        assert inside(box).ask("192.0.2.66", 80).peer == "192.0.2.1"
    two.delete(force=True)
    assert host.settings() == before
    assert host.settings()["/proc/sys/net/ipv4/conf/eth1/forwarding"] == "1\n"


def test_an_internal_network_needs_none(controller, host, left, right):
    before = host.settings()
    cnm = controller(host)
    net = cnm.create_network("inner", internal=True, ipv6=True)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    own = {key: value for key, value in host.settings().items() if key in before}
    assert own == before


def test_an_interface_that_came_later_is_opened_by_reconcile(controller, machine, host, left):
    cnm = controller(host)
    net = cnm.create_network("my_bridge", ipv6=True)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    late = machine("late")
    own, theirs = ["203.0.113.1/24", "2001:db8:3::1/64"], ["203.0.113.9/24", "2001:db8:3::9/64"]
    host.wire(late, own, theirs, interface="eth2")
    late.route("2001:db8:1::/64 via 2001:db8:3::1", "192.0.2.0/24 via 203.0.113.1")
    left.route("2001:db8:3::/64 via 2001:db8:1::1", "203.0.113.0/24 via 192.0.2.1")
    try:
        cnm.reconcile()
        with late.serve("80"):
            assert inside(box).ask("203.0.113.9", 80).peer == "203.0.113.1"
            assert inside(box).ask("2001:db8:3::9", 80).peer == "2001:db8:3::1"
        # It leads to the network, and to nobody else.
        addresses = ("203.0.113.9", "2001:db8:3::9")
        assert passes(left, late, addresses, IMPATIENCE) == set()
        assert passes(late, left, LEFT, IMPATIENCE) == set()
    finally:
        host.batch("link del eth2")


def test_an_interface_that_went_is_no_trouble(controller, machine, host, left, right):
    cnm = controller(host)
    net = cnm.create_network("my_bridge", ipv6=True)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    late = machine("late")
    host.wire(late, ["203.0.113.1/24"], ["203.0.113.9/24"], interface="eth2")
    other = cnm.create_network("other", ipv6=True)
    host.batch("link del eth2")
    assert cnm.check() == []
    other.delete()
    with left.serve("80"):
        assert inside(box).ask("192.0.2.66", 80)
