"""Each operation: done twice, checked, undone twice; in the same words on both kernels."""

from __future__ import annotations

import errno

import attrs
import pytest

from pycnm.errors import InUseError, KernelError, NotSupportedError
from pycnm.plan.links import (
    Address,
    Directory,
    Hairpin,
    Isolated,
    Link,
    Namespace,
    Parent,
    Route,
    Rule,
    Sysctl,
    Up,
    Veth,
)
from pycnm.plan.names import Divert, NetnsFiles, TextFile
from pycnm.plan.operation import HOST
from pycnm.plan.ports import FreshFlows, HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton
from pycnm.plan.shaping import Policer, Shaper
from pycnm.plan.vlans import VLANMember
from pycnm.plan.wires import Adopted, Wire

BOX = "/run/netns/box"
MAC = "02:42:0a:14:1e:02"
BRIDGE = Link(HOST, "br0", "bridge", mac="02:42:00:00:00:01", group=0x63, alias="cnm:net")
VETH = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, mtu=1400, group=0x63, alias="cnm:end")
UP = (BRIDGE, Up(HOST, "br0"), Address(HOST, "br0", "10.20.30.1/24"))
UP6 = (BRIDGE, Up(HOST, "br0"), Address(HOST, "br0", "fd00::1/64"))
SKELETON = Skeleton("cnm:test")
# One that every kernel has; what sits on it is the same as on any.
UPLINK = (Link(HOST, "up0", "ifb", alias="cnm:up"), Up(HOST, "up0"))

CASES = {
    "namespace": ((), Namespace(BOX), "no namespace is pinned at /run/netns/box"),
    "link": ((), BRIDGE, "the interface br0 is gone"),
    "link-in-a-namespace": (
        (Namespace(BOX),),
        Link(HOST, "vx0", "vxlan", (("id", 7), ("dstport", 4789)), alias="cnm:x", netns=BOX),
        "the interface vx0 in /run/netns/box is gone",
    ),
    "link-on-a-bridge": (
        (BRIDGE,),
        Link(HOST, "vx0", "vxlan", (("id", 7), ("dstport", 4789)), alias="cnm:x", master="br0"),
        "the interface vx0 is gone",
    ),
    "veth": ((BRIDGE, Namespace(BOX)), VETH, "the interface veth0 is gone"),
    "veth-born-up": (
        (BRIDGE, Namespace(BOX)),
        Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, alias="cnm:end", up=True),
        "the interface veth0 is gone",
    ),
    "veth-without-master": (
        (Namespace(BOX),),
        Veth(HOST, "veth0", "", BOX, "eth0", MAC, alias="cnm:end"),
        "the interface veth0 is gone",
    ),
    "stand-in": ((), Link(HOST, "dm-0", "ifb", alias="cnm:x"), "the interface dm-0 is gone"),
    "macvlan": (
        UPLINK,
        Link(HOST, "mh-0", "macvlan", (("mode", "bridge"),), mac=MAC, alias="cnm:x", parent="up0"),
        "the interface mh-0 is gone",
    ),
    "macvlan-inside": (
        (*UPLINK, Namespace(BOX)),
        Link(
            HOST,
            "eth0",
            "macvlan",
            (("mode", "vepa"),),
            mac=MAC,
            mtu=1400,
            alias="cnm:end",
            parent="up0",
            netns=BOX,
        ),
        "the interface eth0 in /run/netns/box is gone",
    ),
    "dummy": pytest.param(
        ((), Link(HOST, "dm-0", "dummy", mac=MAC, alias="cnm:x"), "the interface dm-0 is gone"),
        marks=pytest.mark.needs("dummy"),
    ),
    "vlan": pytest.param(
        (
            UPLINK,
            Link(HOST, "up0.10", "vlan", (("id", 10),), alias="cnm:x", parent="up0"),
            "the interface up0.10 is gone",
        ),
        marks=pytest.mark.needs("vlan"),
    ),
    "ipvlan-inside": pytest.param(
        (
            (*UPLINK, Namespace(BOX)),
            Link(
                HOST,
                "eth0",
                "ipvlan",
                (("mode", "l3"), ("flag", "private")),
                alias="cnm:end",
                parent="up0",
                netns=BOX,
            ),
            "the interface eth0 in /run/netns/box is gone",
        ),
        marks=pytest.mark.needs("ipvlan"),
    ),
    "up": ((BRIDGE,), Up(HOST, "br0"), "br0 is down"),
    "lo-up": ((Namespace(BOX),), Up(BOX, "lo"), "lo in /run/netns/box is down"),
    "hairpin": (
        (BRIDGE, Namespace(BOX), VETH),
        Hairpin(HOST, "veth0"),
        "veth0 doesn't hairpin",
    ),
    "isolated": (
        (BRIDGE, Namespace(BOX), VETH),
        Isolated(HOST, "veth0"),
        "veth0 isn't isolated",
    ),
    "address4": (
        (BRIDGE,),
        Address(HOST, "br0", "10.20.30.1/24"),
        "br0 doesn't have the address 10.20.30.1/24",
    ),
    "address6": (
        (BRIDGE,),
        Address(HOST, "br0", "fd00::1/64"),
        "br0 doesn't have the address fd00::1/64",
    ),
    "address-inside": (
        (BRIDGE, Namespace(BOX), VETH),
        Address(BOX, "eth0", "10.20.30.2/24"),
        "eth0 in /run/netns/box doesn't have the address 10.20.30.2/24",
    ),
    "route4": (
        UP,
        Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0"),
        "the route to 198.51.100.0/24 via 10.20.30.2 dev br0 is gone",
    ),
    "route4-with-a-metric": (
        (*UP, Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0")),
        Route(HOST, "198.51.100.0/24", "10.20.30.2", "br0", metric=7),
        "the route to 198.51.100.0/24 via 10.20.30.2 metric 7 dev br0 is gone",
    ),
    "route6-with-a-metric": (
        (*UP6, Route(HOST, "2001:db8::/64", "fd00::2", "br0")),
        Route(HOST, "2001:db8::/64", "fd00::2", "br0", metric=2000),
        "the route to 2001:db8::/64 via fd00::2 metric 2000 dev br0 is gone",
    ),
    "route4-on-the-link": (
        UP,
        Route(HOST, "198.51.100.0/24", "", "br0"),
        "the route to 198.51.100.0/24 dev br0 is gone",
    ),
    "route4-default-in-a-table": (
        UP,
        Route(HOST, "0.0.0.0/0", "10.20.30.2", "br0", table=0x63000001),
        "the route to 0.0.0.0/0 via 10.20.30.2 dev br0 is gone",
    ),
    "route6-default-in-a-table": (
        UP6,
        Route(HOST, "::/0", "fd00::2", "br0", table=0x63000001),
        "the route to ::/0 via fd00::2 dev br0 is gone",
    ),
    "route6": (
        UP6,
        Route(HOST, "2001:db8::/64", "fd00::2", "br0"),
        "the route to 2001:db8::/64 via fd00::2 dev br0 is gone",
    ),
    "route6-on-the-link": (
        UP6,
        Route(HOST, "2001:db8::/64", "", "br0"),
        "the route to 2001:db8::/64 dev br0 is gone",
    ),
    "rule4": (
        (),
        Rule(HOST, "10.20.30.2", 0x63000001),
        "the routing rule from 10.20.30.2 to table 1660944385 is gone",
    ),
    "rule6": (
        (),
        Rule(HOST, "fd00::2", 0x63000001),
        "the routing rule from fd00::2 to table 1660944385 is gone",
    ),
    "sysctl": (
        (BRIDGE,),
        Sysctl(HOST, "net/ipv4/conf/br0/forwarding", "1", link="br0", before="0"),
        "net/ipv4/conf/br0/forwarding is 0, not 1",
    ),
    "sysctl-with-dots": (
        (),
        Sysctl(HOST, "net.ipv4.ip_forward", "1", before="0"),
        "net.ipv4.ip_forward is 0, not 1",
    ),
    "sysctl-of-all": (
        (BRIDGE,),
        Sysctl(HOST, "net.ipv6.conf.all.forwarding", "1", before="0"),
        "net.ipv6.conf.all.forwarding is 0, not 1",
    ),
    "skeleton": ((), SKELETON, "table inet cnm is gone or was changed"),
    "guard": (
        (BRIDGE,),
        Guard("br0", MAC, ("10.20.30.2",), ("fd00::2",)),
        "the guard of br0 is gone or was changed",
    ),
    "shaper": (
        (BRIDGE,),
        Shaper("br0", 10**7),
        "what is sent to br0 isn't slowed down as it should be",
    ),
    "policer": (
        (BRIDGE,),
        Policer("br0", 10**7, "cnm:end"),
        "the rate limit of br0 is gone or was changed",
    ),
    "divert": (
        (Namespace(BOX), Up(BOX, "lo")),
        Divert(BOX, 61234),
        "table netdev cnm in /run/netns/box is gone or was changed",
    ),
    "netns-files": (
        (),
        NetnsFiles("box", "/somewhere/sandboxes/box"),
        "the link /etc/netns/box is gone",
    ),
    "entry-of-a-set": (
        (SKELETON,),
        Entry("bridges", ("br0",)),
        'element inet cnm bridges { "br0" } is gone or was changed',
    ),
    "entry-of-a-map": (
        (SKELETON,),
        Entry("publish4", ("tcp", 8080), ("10.20.30.2", 80)),
        "element inet cnm publish4 { tcp . 8080 } is gone or was changed",
    ),
    "entry-with-a-verdict": (
        (SKELETON,),
        Entry("egress", ("br0",), ("jump from_nat",)),
        'element inet cnm egress { "br0" } is gone or was changed',
    ),
    "port": (
        (),
        HeldPort("tcp", "0.0.0.0", 8080),
        "port 0.0.0.0:8080/tcp isn't held by the agent",
    ),
    "port6": ((), HeldPort("udp", "::1", 5353), "port [::1]:5353/udp isn't held by the agent"),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def test_do_and_undo(world, case):
    setup, operation, words = case
    kernel = world.kernel
    kernel.run((), setup)
    before = world.snapshot()
    assert kernel.check([operation]) == [(operation, words)]
    kernel.run((), [operation])
    assert kernel.check([*setup, operation]) == []
    once = world.snapshot()
    kernel.run((), [operation])
    assert world.settled(once)
    assert kernel.check([*setup, operation]) == []
    kernel.run([operation], ())
    assert kernel.check([operation]) == [(operation, words)]
    assert world.settled(before)
    kernel.run([operation], ())
    assert world.settled(before)


def test_a_parent_is_only_looked_at(world):
    operation = Parent(HOST, "up0")
    words = [words for _, words in world.kernel.check([operation])]
    assert words == [operation.gone()]
    with pytest.raises(KernelError, match="up0, which networks sit on, is gone") as caught:
        world.kernel.run((), [operation])
    assert caught.value.errno == errno.ENODEV
    world.kernel.run((), UPLINK[:1])
    before = world.snapshot()
    world.kernel.run((), [operation])
    assert [words for _, words in world.kernel.check([operation])] == [
        "up0, which networks sit on, is down: `ip link set up0 up`"
    ]
    world.kernel.run((), UPLINK[1:])
    assert world.kernel.check([operation]) == []
    world.kernel.run([Up(HOST, "up0"), operation], ())
    assert world.settled(before)


def test_what_sits_on_another_interface_is_made_anew(world):
    """What has the name of its parent now is another one than it was."""
    world.kernel.run((), [*UPLINK, Namespace(BOX)])
    link = Link(HOST, "eth0", "macvlan", mac=MAC, alias="cnm:end", parent="up0", netns=BOX)
    world.kernel.run((), [link])
    there = world.snapshot()
    other = Link(HOST, "up1", "ifb", alias="cnm:up1")
    moved = attrs.evolve(link, parent="up1")
    world.kernel.run((), [other])
    assert [words for _, words in world.kernel.check([moved])] == [
        "eth0 in /run/netns/box sits on another interface than up1"
    ]
    world.kernel.run((), [moved])
    assert world.kernel.check([moved]) == []
    assert [words for _, words in world.kernel.check([link])] == [
        "eth0 in /run/netns/box sits on another interface than up0"
    ]
    world.kernel.run((), [link])
    world.kernel.run([other], ())
    assert world.settled(there)


def test_a_macvlan_on_a_macvlan_sits_on_its_parent(world):
    first = Link(HOST, "mh-0", "macvlan", alias="cnm:x", parent="up0")
    second = Link(HOST, "mh-1", "macvlan", alias="cnm:y", parent="mh-0")
    world.kernel.run((), [*UPLINK, first, second])
    assert world.kernel.check([first, second]) == []
    before = world.snapshot()
    world.kernel.run((), [second])
    assert world.settled(before)


def test_attempts_do_the_same(world, case):
    setup, operation, _ = case
    before = world.snapshot()
    world.kernel.attempt((), [*setup, operation])
    assert world.kernel.check([*setup, operation]) == []
    world.kernel.attempt([*setup, operation], ())
    assert world.settled(before)
    world.kernel.attempt([*setup, operation], ())
    assert world.settled(before)


def test_all_at_once(world, case):
    """In one session, so that what was put off is seen by what comes after."""
    setup, operation, _ = case
    before = world.snapshot()
    world.kernel.run((), [*setup, operation])
    assert world.kernel.check([*setup, operation]) == []
    world.kernel.run([*setup, operation], [])
    assert world.settled(before)


# A socket of the agent can't be taken from it.
REMOVABLE = {name: case for name, case in CASES.items() if not isinstance(case[1], HeldPort)}


@pytest.mark.parametrize("case", REMOVABLE.values(), ids=REMOVABLE)
def test_what_others_remove_is_missed_and_put_back(world, case):
    setup, operation, words = case
    world.kernel.run((), [*setup, operation])
    snapshot = world.snapshot()
    world.others_undo(operation)
    assert world.kernel.check([operation]) == [(operation, words)]
    world.kernel.attempt((), [operation])
    assert world.settled(snapshot)


def test_a_setting_is_left_as_it_is_where_it_is_on_for_all_by_now(world):
    """Written back, it would take from somebody what he switched on."""
    everywhere = Sysctl(HOST, "net.ipv4.ip_forward", "1", before="0")
    one = Sysctl(
        HOST, "net/ipv4/conf/br0/forwarding", "1", "br0", before="0", unless=everywhere.key
    )
    world.kernel.run((), [BRIDGE])
    before = world.snapshot()
    world.kernel.run((), [one])
    world.kernel.run([one], ())
    assert world.settled(before)
    world.kernel.run((), [one])
    world.others_do(everywhere)
    world.kernel.run([one], ())
    assert world.kernel.check([everywhere, one]) == []
    world.others_undo(everywhere)
    assert world.settled(before)


def test_directory(world, tmp_path):
    operation = Directory(str(tmp_path / "box"))
    before = world.snapshot()
    words = f"the directory {operation.path} is gone"
    assert world.kernel.check([operation]) == [(operation, words)]
    world.kernel.run((), [operation])
    world.kernel.run((), [operation])
    assert world.kernel.check([operation]) == []
    nested = Directory(operation.path + "/more")
    world.kernel.run((), [nested])
    world.kernel.run([operation], ())
    world.kernel.run([operation], ())
    assert world.kernel.check([operation, nested])[0] == (operation, words)
    assert world.snapshot() == before


def test_text_file(world, tmp_path):
    box = Directory(str(tmp_path / "box"))
    world.kernel.run((), [box])
    before = world.snapshot()
    file = TextFile(f"{box.path}/hosts", "127.0.0.1\tlocalhost\n")
    words = f"the file {file.path} is gone"
    assert world.kernel.check([file]) == [(file, words)]
    world.kernel.run((), [file])
    once = world.snapshot()
    assert once != before
    world.kernel.run((), [file])
    assert world.snapshot() == once
    assert world.kernel.check([file]) == []
    other = TextFile(file.path, "127.0.0.1\tlocalhost web\n")
    assert world.kernel.check([other]) == [(other, f"the file {file.path} isn't as it was written")]
    world.kernel.run([file], [other])
    assert world.kernel.check([other]) == []
    world.kernel.run([other], [file])
    assert world.snapshot() == once
    world.others_undo(file)
    assert world.kernel.check([file]) == [(file, words)]
    world.kernel.attempt((), [file])
    assert world.snapshot() == once
    world.kernel.run([file], ())
    world.kernel.run([file], ())
    assert world.snapshot() == before
    world.kernel.run((), [file])
    world.kernel.run([box, file], ())
    assert world.kernel.check([file]) == [(file, words)]


def test_a_file_that_somebody_has_edited_is_his(world, tmp_path):
    box = Directory(str(tmp_path / "box"))
    file = TextFile(f"{box.path}/hosts", "127.0.0.1\tlocalhost\n")
    other = TextFile(file.path, "127.0.0.1\tlocalhost web\n")
    world.kernel.run((), [box, file])
    world.others_append(file.path, "192.0.2.7\tdb\n")
    edited = world.snapshot()
    assert world.kernel.check([file]) == []
    world.kernel.run([file], [other])
    world.kernel.run([other], ())
    assert world.snapshot() == edited
    world.kernel.run([box], ())


def test_a_link_that_isnt_ours_stays(world):
    ours = NetnsFiles("box", "/somewhere/sandboxes/box")
    theirs = NetnsFiles("box", "/elsewhere/box")
    before = world.snapshot()
    world.others_do(theirs)
    there = world.snapshot()
    assert world.kernel.check([ours]) == []
    world.kernel.run((), [ours])
    world.kernel.run([ours], ())
    assert world.snapshot() == there
    world.others_undo(theirs)
    # That of a sandbox whose end nobody saw.
    world.others_do(NetnsFiles("box", "/somewhere/sandboxes/earlier"))
    assert world.kernel.check([ours]) == [(ours, "the link /etc/netns/box is gone")]
    world.kernel.run((), [ours])
    assert world.kernel.check([ours]) == []
    world.kernel.run([ours], ())
    assert world.snapshot() == before


def test_flows(world):
    """Nothing stays of it that could be seen."""
    before = world.snapshot()
    operations = [
        FreshFlows("10.20.30.2"),
        FreshFlows("fd00::2"),
        FreshFlows("0.0.0.0", "udp", 5353, before=True),
        FreshFlows("192.0.2.1", "tcp", 8080),
    ]
    world.kernel.run((), operations)
    assert world.kernel.check(operations) == []
    world.kernel.run(operations, ())
    assert world.snapshot() == before


def test_the_differences_of_a_link(world):
    """A link that is there, but not as it should be, by what it lacks first."""
    world.kernel.run((), [BRIDGE, Namespace(BOX), VETH])
    other = Link(HOST, "br0", "vxlan")
    bigger = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, mtu=1500, alias="cnm:end")
    elsewhere = Veth(HOST, "veth0", "br1", BOX, "eth0", MAC, alias="cnm:end")
    hidden = Veth(HOST, "veth0", "br0", BOX, "eth1", MAC, alias="cnm:end")
    spoofed = Veth(HOST, "veth0", "br0", BOX, "eth0", "02:42:0a:14:1e:03", alias="cnm:end")
    down = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, alias="cnm:end", up=True)
    unmarked = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC, alias="cnm:other")
    lost = Veth(HOST, "veth0", "br0", "/run/netns/gone", "eth0", MAC, alias="cnm:end")
    dyed = Link(HOST, "br0", "bridge", mac="02:42:00:00:00:02")
    unborn = Link(HOST, "vx0", "vxlan", netns="/run/netns/gone")
    wrong = [other, bigger, elsewhere, hidden, spoofed, down, unmarked, lost, dyed, unborn]
    assert [words for _, words in world.kernel.check(wrong)] == [
        "br0 is of kind bridge, not vxlan",
        "veth0 has MTU 1400, not 1500",
        "veth0 is not a port of br1",
        "the interface eth1 in /run/netns/box is gone",
        "eth0 in /run/netns/box has MAC 02:42:0a:14:1e:02, not 02:42:0a:14:1e:03",
        "veth0 is down",
        "veth0 doesn't bear the mark cnm:other",
        "the namespace /run/netns/gone is gone",
        "br0 has MAC 02:42:00:00:00:01, not 02:42:00:00:00:02",
        "the interface vx0 in /run/netns/gone is gone",
    ]


def test_the_differences_of_what_is_in_a_namespace_that_is_gone(world):
    gone = "/run/netns/gone"
    operations = [
        Up(gone, "eth0"),
        Hairpin(gone, "eth0"),
        Address(gone, "eth0", "10.20.30.2/24"),
        Route(gone, "0.0.0.0/0", "10.20.30.1", "eth0"),
        Rule(gone, "10.20.30.2", 7),
        Sysctl(gone, "net.ipv4.ip_forward", "1"),
    ]
    assert [words for _, words in world.kernel.check(operations)] == [
        "the interface eth0 in /run/netns/gone is gone",
        "the interface eth0 in /run/netns/gone is gone",
        "eth0 in /run/netns/gone doesn't have the address 10.20.30.2/24",
        "the route to 0.0.0.0/0 via 10.20.30.1 dev eth0 in /run/netns/gone is gone",
        "the routing rule from 10.20.30.2 to table 7 in /run/netns/gone is gone",
        "the namespace /run/netns/gone is gone",
    ]


@pytest.mark.parametrize(
    "operation",
    [
        Namespace("/run/netns/gone"),
        Link("/run/netns/gone", "br0", "bridge"),
        Up("/run/netns/gone", "eth0"),
        Hairpin("/run/netns/gone", "eth0"),
        Hairpin(HOST, "eth9"),
        Isolated(HOST, "eth9"),
        Address("/run/netns/gone", "eth0", "10.20.30.2/24"),
        Route("/run/netns/gone", "0.0.0.0/0", "10.20.30.1", "eth0"),
        Rule("/run/netns/gone", "10.20.30.2", 7),
        Sysctl("/run/netns/gone", "net.ipv4.ip_forward", "1", before="0"),
        Entry("bridges", ("br0",)),
        Guard("veth0", MAC),
        Shaper("eth9", 10**6),
        Policer("eth9", 10**6),
        SKELETON,
        HeldPort("tcp", "0.0.0.0", 8080),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_never_was_is_undone_quietly(world, operation):
    before = world.snapshot()
    world.kernel.run([operation], ())
    assert world.snapshot() == before


def test_a_guard_is_replaced(world):
    guard = Guard("br0", MAC, ("10.20.30.2",))
    other = Guard("br0", MAC, ("10.20.30.3",))
    world.kernel.run((), [BRIDGE, guard])
    world.kernel.run((), [other])
    assert world.kernel.check([other]) == []
    assert world.kernel.check([guard]) == [(guard, "the guard of br0 is gone or was changed")]


def test_a_link_of_ours_is_put_right(world):
    """Made by us, and changed since: the same command puts it right."""
    world.kernel.run((), [BRIDGE, Link(HOST, "br1", "bridge"), Namespace(BOX), VETH])
    moved = Veth(HOST, "veth0", "br1", BOX, "eth0", MAC, mtu=1300, group=0x63, alias="cnm:end")
    world.kernel.run((), [moved])
    assert world.kernel.check([moved]) == []
    world.kernel.run((), [VETH])
    assert world.kernel.check([VETH]) == []


def test_a_wire_is_a_port_as_long_as_it_is_wanted(world):
    theirs, operation = Link(HOST, "up0", "ifb"), Wire(HOST, "up0", "br0")
    world.kernel.run((), [BRIDGE])
    with pytest.raises(KernelError, match="up0, which is to be a port of br0, isn't") as caught:
        world.kernel.run((), [operation])
    assert caught.value.errno == errno.ENODEV
    assert [words for _, words in world.kernel.check([operation])] == [operation.gone()]
    world.others_do(theirs)
    before = world.snapshot()
    for _ in range(2):
        world.kernel.run((), [operation])
        assert [words for _, words in world.kernel.check([operation])] == [operation.down()]
    world.others_do(Up(HOST, "up0"))
    assert world.kernel.check([operation]) == []
    other = Wire(HOST, "up0", "br1")
    with pytest.raises(InUseError, match="up0 is a port already"):
        world.kernel.run((), [Link(HOST, "br1", "bridge", alias="cnm:two"), other])
    world.kernel.run([other], ())
    assert world.kernel.check([operation]) == []
    world.kernel.run([Up(HOST, "up0")], ())
    for _ in range(2):
        world.kernel.run([operation], ())
        assert [words for _, words in world.kernel.check([operation])] == [operation.away()]
        assert world.settled(before)


def test_a_bridge_of_others_is_left_as_it_is(world):
    fact = Adopted(HOST, "br9", ("10.9.0.1/24",), wire="up0")
    theirs, wire = Link(HOST, "br9", "bridge"), Wire(HOST, "up0", "br9")
    address, up = Address(HOST, "br9", "10.9.0.1/24"), Up(HOST, "br9")
    refused = "existing interface br9 is not a bridge"

    def differs(words):
        assert [said for _, said in world.kernel.check([fact])] == [words]

    with pytest.raises(KernelError, match="br9, the bridge of a network, is gone") as caught:
        world.kernel.run((), [fact])
    assert caught.value.errno == errno.ENODEV
    differs(fact.gone())
    world.others_do(Link(HOST, "br9", "ifb"))
    differs(refused)
    with pytest.raises(KernelError, match=refused):
        world.kernel.run((), [fact])
    world.others_undo(Link(HOST, "br9", "ifb"))
    world.others_do(theirs, Link(HOST, "up0", "ifb"))
    differs("up0 is no port of br9: `ip link set up0 master br9`")
    world.others_do(wire)
    differs(fact.lacks("bridge", (), wired=True))
    with pytest.raises(KernelError, match=r"br9 doesn't have the address 10\.9\.0\.1/24"):
        world.kernel.run((), [fact])
    world.others_do(address)
    differs(fact.down())
    before = world.snapshot()
    for _ in range(2):
        world.kernel.run((), [fact])
    world.others_do(up)
    assert world.kernel.check([fact]) == []
    found = world.kernel.bridge("br9")
    assert (found.addresses, found.mtu, found.up) == (("10.9.0.1/24",), 1500, True)
    assert found.setting("ipv4/forwarding") == found.setting("ipv4/ip_forward") == "0"
    for _ in range(2):
        world.kernel.run([fact], ())
    assert world.kernel.check([fact]) == []
    assert world.kernel.bridge("br8") is None
    assert before != []


@pytest.mark.needs("bridge_vlan")
def test_a_port_is_in_one_vlan_or_in_all(world):
    bridge = attrs.evolve(BRIDGE, options=(("vlan_filtering", 1), ("vlan_default_pvid", 0)))
    port = Link(HOST, "vx0", "vxlan", (("id", 7), ("dstport", 4789)), alias="cnm:x", master="br0")
    world.kernel.run((), [bridge, port])
    before = world.snapshot()
    ten, host = VLANMember(HOST, "vx0", 10, "br0"), VLANMember(HOST, "br0", 10)
    everything = VLANMember(HOST, "vx0", 0, "br0")
    for fact, words in (
        (ten, "vx0 isn't in VLAN 10 alone, without tags"),
        (host, "br0 isn't in VLAN 10 alone, without tags"),
        (everything, "vx0 isn't in all VLANs of br0, with their tags"),
    ):
        assert [said for _, said in world.kernel.check([fact])] == [words]
        for _ in range(2):
            world.kernel.run((), [fact])
            assert world.kernel.check([fact]) == []
        for _ in range(2):
            world.kernel.run([fact], ())
            assert world.settled(before)
            assert [said for _, said in world.kernel.check([fact])] == [words]
    # Another one takes its place.
    world.kernel.run((), [VLANMember(HOST, "vx0", 20, "br0")])
    world.kernel.run((), [ten])
    assert world.kernel.check([ten]) == []
    world.kernel.run([port], ())
    assert [said for _, said in world.kernel.check([ten])] == ["the interface vx0 is gone"]
    with pytest.raises(KernelError, match="there is no interface vx0"):
        world.kernel.run((), [ten])


@pytest.mark.needs("bridge_vlan")
def test_a_bridge_of_others_has_a_port_in_a_vlan(world):
    fact = Adopted(HOST, "br9", wire="up0", vlan=10)
    theirs = Link(HOST, "br9", "bridge", (("vlan_filtering", 1),))
    world.others_do(theirs, Link(HOST, "up0", "ifb"), Wire(HOST, "up0", "br9"), Up(HOST, "br9"))
    assert world.kernel.bridge("br9").vlans
    words = "up0 isn't in VLAN 10 of br9: `bridge vlan add dev up0 vid 10`"
    assert [said for _, said in world.kernel.check([fact])] == [words]
    world.others_do(VLANMember(HOST, "up0", 10, "br9"))
    assert world.kernel.check([fact]) == []
    world.kernel.run((), [fact])


def test_a_wire_that_the_host_needs_is_left_alone(world):
    theirs = (Link(HOST, "up0", "ifb"), Up(HOST, "up0"), Address(HOST, "up0", "192.0.2.1/24"))
    world.others_do(*theirs)
    world.kernel.run((), [BRIDGE])
    before, other = world.snapshot(), Link(HOST, "br1", "bridge", alias="cnm:two")
    with pytest.raises(InUseError, match=r"up0 has the address 192\.0\.2\.1"):
        world.kernel.run((), [Wire(HOST, "up0", "br0")])
    with pytest.raises(NotSupportedError, match="br1 is a bridge, which can't be a port"):
        world.kernel.run((), [other, Wire(HOST, "br1", "br0")])
    assert world.settled(before)
