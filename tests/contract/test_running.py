"""Plans as a whole: all or nothing, as much as possible, in order; what goes takes along."""

from __future__ import annotations

import errno

import attrs
import pytest
from topology import until

from pycnm.errors import CleanupError, CNMError, KernelError
from pycnm.plan.links import Address, Link, Namespace, Route, Rule, Sysctl, Up, Veth
from pycnm.plan.operation import HOST
from pycnm.plan.ports import HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton
from pycnm.testing import FailingKernel

BOX = "/run/netns/box"
MAC = "02:42:0a:14:1e:02"
REFUSED = Up(HOST, "eth9")
BRIDGE = Link(HOST, "br0", "bridge", mac="02:42:00:00:00:01", group=0x63, alias="cnm:net")
NETWORK = (
    Skeleton("cnm:test"),
    Entry("icc", ("br0", "br0"), ("accept",)),
    Entry("egress", ("br0",), ("jump from_nat",)),
    BRIDGE,
    Sysctl(HOST, "net/ipv4/conf/br0/forwarding", "1", link="br0"),
    Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1", before="0"),
    Address(HOST, "br0", "10.20.30.1/24"),
    Address(HOST, "br0", "fd00::1/64"),
    Up(HOST, "br0"),
)
SANDBOX = (
    Namespace(BOX),
    Sysctl(BOX, "net.ipv6.conf.default.disable_ipv6", "1"),
    Up(BOX, "lo"),
)
VETH = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, mtu=1400, group=0x63, alias="cnm:end")
ENDPOINT = (
    HeldPort("tcp", "0.0.0.0", 8080),
    Entry("publish4", ("tcp", 8080), ("10.20.30.2", 80)),
    # Not every kernel takes the guard first.
    VETH,
    Guard("veth0", MAC, ("10.20.30.2",), ("fd00::2",)),
    Sysctl(HOST, "net/ipv6/conf/veth0/disable_ipv6", "1", "veth0"),
    Up(HOST, "veth0"),
    Sysctl(BOX, "net/ipv6/conf/eth0/disable_ipv6", "0", "eth0"),
    Address(BOX, "eth0", "10.20.30.2/24"),
    Address(BOX, "eth0", "fd00::2/64"),
    Up(BOX, "eth0"),
    Route(BOX, "0.0.0.0/0", "10.20.30.1", "eth0"),
    Route(BOX, "::/0", "fd00::1", "eth0"),
    Route(BOX, "0.0.0.0/0", "10.20.30.1", "eth0", table=7),
    Rule(BOX, "10.20.30.2", 7),
)
EVERYTHING = (*NETWORK, *SANDBOX, *ENDPOINT)


def test_everything_and_back(world):
    before = world.snapshot()
    world.kernel.run((), EVERYTHING)
    assert world.kernel.check(EVERYTHING) == []
    during = world.snapshot()
    world.kernel.run((), EVERYTHING)
    assert world.settled(during)
    world.kernel.run(EVERYTHING, ())
    assert world.settled(before)
    assert [operation for operation, _ in world.kernel.check(EVERYTHING)] == list(EVERYTHING)


def test_a_failure_at_every_step_of_doing(world):
    before = world.snapshot()
    for step in range(1, len(EVERYTHING) + 1):
        failing = FailingKernel(world.kernel, fail_at=step)
        with pytest.raises(KernelError, match="this was to fail") as caught:
            failing.run((), EVERYTHING)
        assert not hasattr(caught.value, "__notes__")
        assert world.settled(before), step


def test_a_failure_at_every_step_of_undoing(world):
    """What had been undone is there again, what goes along with a link included."""
    world.kernel.run((), EVERYTHING)
    before = world.snapshot()
    counting = FailingKernel(world.kernel)
    counting.run(ENDPOINT, ())
    counting.run((), ENDPOINT)
    steps = counting.steps - len(ENDPOINT)
    assert 0 < steps < len(ENDPOINT)
    assert world.settled(before)
    for step in range(1, steps + 1):
        failing = FailingKernel(world.kernel, fail_at=step)
        with pytest.raises(KernelError, match="this was to fail"):
            failing.run(ENDPOINT, ())
        assert world.settled(before), step
        assert world.kernel.check(EVERYTHING) == [], step


def test_a_failure_after_undoing(world):
    """The kernel itself refuses, at the end, what was to come in place of the old."""
    world.kernel.run((), EVERYTHING)
    before = world.snapshot()
    with pytest.raises(KernelError):
        world.kernel.run(ENDPOINT, [Address(HOST, "br0", "10.20.31.1/24"), REFUSED])
    assert world.settled(before)
    assert world.kernel.check(EVERYTHING) == []


def test_a_link_that_is_amended_keeps_what_it_has(world):
    """Its addresses, its ports, its peer: it isn't made anew."""
    slower = attrs.evolve(VETH, mtu=1300)
    changed = [slower if operation is VETH else operation for operation in EVERYTHING]
    world.kernel.run((), EVERYTHING)
    before = world.snapshot()
    counting = FailingKernel(world.kernel)
    counting.run(EVERYTHING, changed)
    assert counting.steps == 1
    assert world.kernel.check(changed) == []
    assert [operation for operation, _ in world.kernel.check(EVERYTHING)] == [VETH]
    # The other way round, and with a failure after it.
    world.kernel.attempt(changed, EVERYTHING)
    assert world.settled(before)
    with pytest.raises(KernelError):
        world.kernel.run(EVERYTHING, [*changed, REFUSED])
    assert world.settled(before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_any_error_is_taken_back(world, error):
    before = world.snapshot()
    with pytest.raises(error):
        FailingKernel(world.kernel, 20, error()).run((), EVERYTHING)
    assert world.settled(before)


def test_an_attempt_goes_on(world):
    operations = [*NETWORK, REFUSED, *SANDBOX, Address(HOST, "eth9", "10.0.0.1/8"), *ENDPOINT]
    with pytest.raises(CleanupError) as caught:
        world.kernel.attempt((), operations)
    assert [error.errno for error in caught.value.exceptions] == [errno.ENODEV, errno.ENODEV]
    assert world.kernel.check(EVERYTHING) == []


def test_an_attempt_to_undo_goes_on(world):
    before = world.snapshot()
    world.kernel.run((), EVERYTHING)
    failing = FailingKernel(world.kernel, 3)
    # Whatever failed in one go is tried again, step by step.
    failing.attempt(EVERYTHING, ())
    assert world.settled(before)


def test_an_attempt_minds_no_namespace_that_is_gone(world):
    """What was recorded for it can't be done, and needn't be undone."""
    world.kernel.run((), NETWORK)
    before = world.snapshot()
    world.kernel.attempt(ENDPOINT[4:], ())
    assert world.settled(before)
    world.kernel.attempt((), [Up("/run/netns/gone", "lo")])


def test_in_order(world):
    """Each needs the one before it."""
    steps = [
        BRIDGE,
        Address(HOST, "br0", "10.20.30.1/24"),
        Up(HOST, "br0"),
        Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0"),
    ]
    before = world.snapshot()
    with pytest.raises(CNMError):
        world.kernel.run((), list(reversed(steps)))
    assert world.settled(before)
    world.kernel.run((), steps)
    assert world.kernel.check(steps) == []


def test_old_for_new_in_one_change(world):
    """The new default route takes the place of the old one, which goes first."""
    old = Route(BOX, "0.0.0.0/0", "10.20.30.1", "eth0")
    new = Route(BOX, "0.0.0.0/0", "10.20.30.3", "eth0")
    world.kernel.run((), EVERYTHING)
    world.kernel.run([old], [new])
    assert world.kernel.check([new]) == []
    assert [op for op, _ in world.kernel.check([old])] == [old]


def test_a_pair_is_born_where_it_belongs(world):
    world.kernel.run((), [BRIDGE, *SANDBOX, VETH])
    facts = [
        VETH,
        Link(HOST, "veth0", "veth", mtu=1400, group=0x63, alias="cnm:end", master="br0"),
        Link(BOX, "eth0", "veth", mac=MAC, mtu=1400),
    ]
    assert world.kernel.check(facts) == []
    assert world.kernel.check([Link(HOST, "eth0", "veth"), Link(BOX, "veth0", "veth")]) != []
    down = [
        (Up(HOST, "veth0"), "veth0 is down"),
        (Up(BOX, "eth0"), f"eth0 in {BOX} is down"),
    ]
    assert world.kernel.check([up for up, _ in down]) == down


def test_a_namespace_takes_its_pairs_along(world):
    world.kernel.run((), EVERYTHING)
    world.kernel.run([Namespace(BOX)], ())
    gone = [VETH, Address(BOX, "eth0", "10.20.30.2/24"), Up(HOST, "veth0")]
    assert until(lambda: len(world.kernel.check(gone)) == len(gone))
    assert world.kernel.check(NETWORK) == []


def test_a_bridge_leaves_its_ports(world):
    world.kernel.run((), [BRIDGE, *SANDBOX, VETH])
    world.kernel.run([BRIDGE], ())
    assert world.kernel.check([VETH]) == [(VETH, "veth0 is not a port of br0")]


def test_a_link_takes_along_what_it_has(world):
    rest = NETWORK[4:]
    world.kernel.run((), NETWORK)
    world.others_undo(BRIDGE)
    words = dict(world.kernel.check(NETWORK))
    assert [operation for operation in rest if operation not in words] == [NETWORK[5]]
    assert set(words) == {BRIDGE, *rest} - {NETWORK[5]}


def test_a_link_that_goes_down_loses_routes(world):
    route = Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0")
    route6 = Route(HOST, "2001:db8::/64", "fd00::2", "br0")
    world.kernel.run((), [*NETWORK, route, route6])
    world.kernel.run([Up(HOST, "br0")], ())
    missing = [operation for operation, _ in world.kernel.check([*NETWORK, route, route6])]
    assert missing == [Address(HOST, "br0", "fd00::1/64"), Up(HOST, "br0"), route, route6]


def test_the_first_address_of_a_subnet_takes_the_others_along(world):
    first, second = Address(HOST, "br0", "10.20.30.1/24"), Address(HOST, "br0", "10.20.30.9/24")
    other = Address(HOST, "br0", "10.20.31.1/24")
    route = Route(HOST, "198.51.100.0/24", "10.20.31.2", "br0")
    world.kernel.run((), [BRIDGE, Up(HOST, "br0"), first, second, other, route])
    world.kernel.run([second], ())
    assert [op for op, _ in world.kernel.check([first, other, route])] == []
    world.kernel.run((), [second])
    world.kernel.run([first], ())
    assert [op for op, _ in world.kernel.check([first, second, other, route])] == [first, second]
    world.kernel.run([other], ())
    assert [op for op, _ in world.kernel.check([other, route])] == [other, route]


def test_a_setting_of_all_is_one_of_each(world):
    each = Sysctl(HOST, "net/ipv6/conf/br0/forwarding", "1")
    world.kernel.run((), [BRIDGE])
    assert world.kernel.check([each]) == [(each, "net/ipv6/conf/br0/forwarding is 0, not 1")]
    world.kernel.run((), [Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1")])
    assert world.kernel.check([each]) == []
    born = Link(HOST, "br1", "bridge")
    world.kernel.run((), [born])
    assert world.kernel.check([Sysctl(HOST, "net/ipv6/conf/br1/forwarding", "1")]) == []


def test_switching_ipv6_off_takes_its_addresses(world):
    address = Address(HOST, "br0", "fd00::1/64")
    world.kernel.run((), [BRIDGE, Up(HOST, "br0"), address])
    world.kernel.run((), [Sysctl(HOST, "net/ipv6/conf/br0/disable_ipv6", "1")])
    assert [op for op, _ in world.kernel.check([address])] == [address]


def test_what_the_host_is_like(world):
    """What decisions are made from."""
    link = Link(HOST, "up0", "vxlan", (("id", 7), ("dstport", 4789)))
    quiet = Link(HOST, "up1", "bridge")
    world.others_do(
        link,
        Up(HOST, "up0"),
        Address(HOST, "up0", "198.51.100.1/24"),
        Route(HOST, "203.0.113.0/24", "", "up0"),
        quiet,
        Address(HOST, "up1", "10.1.1.1/24"),
        Sysctl(HOST, "net/ipv4/conf/up1/forwarding", "1"),
        Sysctl(HOST, "net/ipv6/conf/up1/accept_ra", "0"),
        Sysctl(HOST, "net.ipv4.ip_local_port_range", "40000 40999"),
    )
    world.kernel.run((), NETWORK[:5])
    facts, uplinks = world.kernel.facts(), world.kernel.uplinks()
    routes = {str(route.network()) for route in facts.routes}
    assert routes >= {"198.51.100.0/24", "203.0.113.0/24"}
    assert "10.1.1.0/24" not in routes
    assert facts.ephemeral == (40000, 40999)
    assert {"up0", "up1"} & set(uplinks.not_forwarding4) == {"up0"}
    assert {"up0", "up1"} & set(uplinks.not_forwarding6) == {"up0", "up1"}
    assert {"up0", "up1"} & set(uplinks.accepting_ra) == {"up0"}
    assert not uplinks.forwards6
    assert not {"lo", "br0"} & {*uplinks.not_forwarding4, *uplinks.not_forwarding6}
    world.others_do(Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1"))
    uplinks = world.kernel.uplinks()
    assert uplinks.forwards6
    # Without force_forwarding an interface has no switch of its own that could be on.
    off = {"up0", "up1"} & set(uplinks.not_forwarding6)
    assert off == (set() if world.kernel.features.force_forwarding else {"up0", "up1"})
