"""What isn't ours stays, whatever is done and undone."""

from __future__ import annotations

import errno

import attrs
import pytest

from pycnm.errors import KernelError, NotFoundError
from pycnm.plan.links import Address, Directory, Link, Namespace, Route, Rule, Up, Veth
from pycnm.plan.operation import HOST
from pycnm.plan.ports import HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton

BOX = "/run/netns/box"
MAC = "02:42:0a:14:1e:02"
OURS = Link(HOST, "br0", "bridge", group=0x63, alias="cnm:net")
THEIRS = Link(HOST, "br0", "bridge")
UP = (OURS, Up(HOST, "br0"), Address(HOST, "br0", "10.20.30.1/24"))
REFUSED = Up(HOST, "eth9")
SKELETON = Skeleton("cnm:test")


@pytest.mark.parametrize(
    "theirs",
    [
        THEIRS,
        Link(HOST, "br0", "bridge", alias="mine"),
        Link(HOST, "br0", "bridge", group=0x64),
        Link(HOST, "br0", "bridge", group=0x63, alias="cnm:another"),
    ],
    ids=["unmarked", "with-an-alias", "with-a-group", "of-another-network"],
)
def test_a_link_of_the_same_name(world, theirs):
    world.others_do(theirs)
    before = world.snapshot()
    with pytest.raises(KernelError) as caught:
        world.kernel.run((), [OURS])
    assert caught.value.errno == errno.EEXIST
    assert "an interface br0 that pycnm didn't make is there" in str(caught.value)
    assert world.settled(before)
    world.kernel.run([OURS], ())
    world.kernel.attempt([OURS], ())
    assert world.settled(before)


@pytest.mark.parametrize("theirs", [THEIRS, Link(HOST, "veth0", "bridge")], ids=["other", "same"])
def test_a_pair_where_others_have_a_link(world, theirs):
    ours = Veth(HOST, "veth0", "", BOX, "eth0", MAC, group=0x63, alias="cnm:end")
    world.kernel.run((), [Namespace(BOX)])
    world.others_do(theirs)
    before = world.snapshot()
    if theirs.name == ours.name:
        with pytest.raises(KernelError) as caught:
            world.kernel.run((), [ours])
        assert caught.value.errno == errno.EEXIST
    else:
        world.kernel.run((), [ours])
    world.kernel.run([ours], ())
    assert world.settled(before)


def test_a_link_inside_of_the_same_name(world):
    """The sandbox was adopted, and has an eth0 already."""
    ours = Veth(HOST, "veth0", "", BOX, "eth0", MAC, group=0x63, alias="cnm:end")
    world.kernel.run((), [Namespace(BOX)])
    world.others_do(Link(BOX, "eth0", "bridge"))
    before = world.snapshot()
    with pytest.raises(KernelError) as caught:
        world.kernel.run((), [ours])
    assert caught.value.errno == errno.EEXIST
    assert "an interface eth0 in /run/netns/box that pycnm didn't make" in str(caught.value)
    assert world.settled(before)


def test_an_end_whose_peer_is_elsewhere(world):
    """Its namespace was unpinned and another one is there, while a process stays inside."""
    old = "/run/netns/old"
    ours = Veth(HOST, "veth0", "", BOX, "eth0", MAC, group=0x63, alias="cnm:end", up=True)
    world.kernel.run((), [Namespace(BOX), Namespace(old)])
    before = world.snapshot()
    world.others_do(attrs.evolve(ours, peer_ns=old))
    world.kernel.run((), [ours])
    assert world.kernel.check([ours]) == []
    lost = f"the interface eth0 in {old} is gone"
    assert [words for _, words in world.kernel.check([attrs.evolve(ours, peer_ns=old)])] == [lost]
    world.kernel.run([ours], ())
    assert world.settled(before)
    # What was made in its place is made by this change, and goes with it.
    world.others_do(attrs.evolve(ours, peer_ns=old))
    with pytest.raises(KernelError):
        world.kernel.run((), [ours, REFUSED])
    assert world.settled(before)


def test_an_end_whose_peer_is_elsewhere_and_somebody_elses_in_its_place(world):
    ours = Veth(HOST, "veth0", "", BOX, "eth0", MAC, group=0x63, alias="cnm:end")
    world.kernel.run((), [Namespace(BOX), ours])
    world.others_do(attrs.evolve(ours, name="veth9", peer="eth1", alias="cnm:nine"))
    before = world.snapshot()
    with pytest.raises(KernelError, match="an interface eth1 in /run/netns/box that pycnm didn't"):
        world.kernel.run((), [attrs.evolve(ours, peer="eth1")])
    assert world.settled(before)


def test_a_link_whose_making_was_cut_short_is_ours(world):
    """Its group tells, before it has its alias."""
    world.others_do(Link(HOST, "br0", "bridge", group=0x63))
    world.kernel.run((), [OURS])
    assert world.kernel.check([OURS]) == []


@pytest.mark.parametrize("address", ["10.20.30.1/24", "fd00::1/64"])
def test_an_address_that_was_there(world, address):
    ours = Address(HOST, "br0", address)
    world.others_do(THEIRS, ours)
    before = world.snapshot()
    world.kernel.run((), [ours])
    assert world.kernel.check([ours]) == []
    world.kernel.run([ours], ())
    assert world.settled(before)


def test_another_route_to_the_same_place(world):
    theirs = Route(HOST, "198.51.100.0/24", "10.20.30.3", "br0")
    ours = Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0")
    world.kernel.run((), UP)
    world.others_do(theirs)
    before = world.snapshot()
    with pytest.raises(KernelError, match=r"another route to 198\.51\.100\.0/24 is there"):
        world.kernel.run((), [ours])
    assert world.settled(before)
    world.kernel.run([ours], ())
    assert world.settled(before)


def test_the_same_route(world):
    ours = Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0")
    world.kernel.run((), UP)
    world.others_do(ours)
    before = world.snapshot()
    world.kernel.run((), [ours])
    assert world.settled(before)
    world.kernel.run([ours], ())
    assert world.settled(before)


def test_a_route_that_came_with_an_address(world):
    ours = Route(HOST, "10.20.30.0/24", "", "br0")
    world.kernel.run((), UP)
    before = world.snapshot()
    assert world.kernel.check([ours]) == []
    world.kernel.run((), [ours])
    world.kernel.run([ours], ())
    assert world.settled(before)


def test_the_same_rule_is_not_made_twice(world):
    """The kernel would take it, under another priority."""
    ours = Rule(HOST, "10.20.30.2", 7)
    world.others_do(ours)
    before = world.snapshot()
    world.kernel.run((), [ours])
    assert world.settled(before)


def test_the_skeleton_stays_while_somebody_uses_it(world):
    entry = Entry("bridges", ("br7",))
    opened = Entry("opened4", ("eth0",))
    world.kernel.run((), [SKELETON, opened])
    world.others_do(entry)
    before = world.snapshot()
    world.kernel.run([SKELETON], ())
    assert world.settled(before)
    world.others_undo(entry)
    world.kernel.run([SKELETON], ())
    assert world.kernel.check([SKELETON]) == [(SKELETON, "table inet cnm is gone or was changed")]


def test_a_skeleton_that_was_there(world):
    world.others_do(SKELETON, Entry("bridges", ("br7",)))
    before = world.snapshot()
    world.kernel.run((), [Skeleton("cnm:other", 40000, 50000)])
    assert world.settled(before)


def test_a_port_of_a_program(world):
    ours = HeldPort("tcp", "127.0.0.1", 8080)
    world.others_do(ours)
    words = "port 127.0.0.1:8080/tcp isn't held by the agent; process "
    assert world.kernel.check([ours])[0][1].startswith(words)
    world.kernel.run([ours], ())
    assert world.kernel.check([ours])[0][1].startswith(words)


# What is taken back after a failure


DATA = (Entry("publish4", ("tcp", 80), ("10.20.30.2", 80)),)
THERE_BEFORE = {
    "namespace": ((), Namespace(BOX)),
    "entry": ((SKELETON,), DATA[0]),
    "address": (UP, Address(HOST, "br0", "10.20.30.9/24")),
    "route": (UP, Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0")),
    "rule": ((), Rule(HOST, "10.20.30.2", 7)),
    "skeleton": ((), SKELETON),
}


@pytest.mark.parametrize("case", THERE_BEFORE.values(), ids=THERE_BEFORE)
def test_a_failure_takes_back_only_what_was_done(world, case):
    """It was so already, by somebody's doing, when a change that is refused found it so."""
    setup, operation = case
    world.kernel.run((), setup)
    world.others_do(operation)
    before = world.snapshot()
    # The kernel doesn't say whether an element was there already: there the
    # refusal comes with it.
    other = [attrs.evolve(operation, data=("10.20.30.3", 80))] if operation in DATA else []
    made = Link(HOST, "br7", "bridge", alias="cnm:seven")
    for operations in ([operation, REFUSED], [made, operation, REFUSED]):
        with pytest.raises(KernelError):
            world.kernel.run((), [*other, *operations])
        assert world.settled(before)


def test_what_comes_after_a_refusal_is_not_taken_back(world):
    """It was never tried, so whatever is like it is somebody else's."""
    theirs = [THEIRS, Address(HOST, "br0", "10.20.30.1/24"), Namespace(BOX)]
    world.others_do(*theirs)
    before = world.snapshot()
    with pytest.raises(KernelError):
        world.kernel.run((), [REFUSED, Namespace(BOX), Guard("veth0", "02:42:0a:14:1e:02")])
    assert world.settled(before)


def test_files_of_others_stay(world, tmp_path):
    """A directory is the sandbox's if it wasn't there before."""
    theirs = Directory(str(tmp_path / "box"))
    world.others_do(theirs)
    with pytest.raises(KernelError):
        world.kernel.run((), [theirs, REFUSED])
    assert world.kernel.check([theirs]) == []


def test_interfaces_of_whoever(world):
    """What names are taken in a namespace that others share with us."""
    world.kernel.run((), [Namespace(BOX)])
    world.others_do(Link(BOX, "mine0", "bridge"))
    assert sorted(world.kernel.interfaces(BOX)) == ["lo", "mine0"]
    with pytest.raises(NotFoundError):
        world.kernel.interfaces("/run/netns/nowhere")
