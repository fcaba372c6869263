"""What the real kernel refuses the fake refuses, with the same errno; and nothing changes."""

from __future__ import annotations

import errno

import pytest

from pycnm.errors import (
    AlreadyExistsError,
    KernelError,
    NotFoundError,
    NotSupportedError,
    PortInUseError,
)
from pycnm.plan.links import Address, Directory, Hairpin, Link, Namespace, Route, Sysctl, Up, Veth
from pycnm.plan.operation import HOST
from pycnm.plan.ports import HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton

BOX, GONE = "/run/netns/box", "/run/netns/gone"
MAC = "02:42:0a:14:1e:02"
BRIDGE = Link(HOST, "br0", "bridge", group=0x63, alias="cnm:net")
UP = (BRIDGE, Up(HOST, "br0"), Address(HOST, "br0", "10.20.30.1/24"))
UP6 = (BRIDGE, Up(HOST, "br0"), Address(HOST, "br0", "fd00::1/64"))
DOWN = (BRIDGE, Address(HOST, "br0", "10.20.30.1/24"), Address(HOST, "br0", "fd00::1/64"))
DEFAULT4 = Route(HOST, "0.0.0.0/0", "10.20.30.2", "br0", table=7)
DEFAULT6 = Route(HOST, "::/0", "fd00::2", "br0", table=7)
SKELETON = Skeleton("cnm:test")
VXLAN = (("id", 7), ("dstport", 4789))


def veth(name="veth0", *, ns=BOX, peer="eth0", mac=MAC, mtu=0):
    return Veth(HOST, name, "br0", ns, peer, mac, mtu=mtu, group=0x63, alias=f"cnm:{name}")


def route(destination, gateway, **more):
    return Route(HOST, destination, gateway, "br0", **more)


REFUSALS = {
    "link-name-of-16": ((), Link(HOST, "a" * 16, "bridge"), errno.ERANGE),
    "link-name-with-a-slash": ((), Link(HOST, "a/b", "bridge"), errno.EINVAL),
    "link-name-with-a-colon": ((), Link(HOST, "a:b", "bridge"), errno.EINVAL),
    "link-name-with-a-space": ((), Link(HOST, "a b", "bridge"), errno.EINVAL),
    "link-name-of-dots": ((), Link(HOST, "..", "bridge"), errno.EINVAL),
    "link-of-no-kind": ((), Link(HOST, "x0", "nonsense"), errno.EOPNOTSUPP),
    "link-mtu-too-small": ((), Link(HOST, "br1", "bridge", mtu=67), errno.EINVAL),
    "link-mtu-too-big": ((), Link(HOST, "br1", "bridge", mtu=65536), errno.EINVAL),
    "link-with-a-multicast-mac": (
        (),
        Link(HOST, "br1", "bridge", mac="03:42:00:00:00:01"),
        errno.EADDRNOTAVAIL,
    ),
    "link-without-a-mac": (
        (),
        Link(HOST, "br1", "bridge", mac="00:00:00:00:00:00"),
        errno.EADDRNOTAVAIL,
    ),
    "link-on-no-bridge": ((), Link(HOST, "x0", "vxlan", VXLAN, master="br0"), errno.ENODEV),
    "link-on-no-parent": ((), Link(HOST, "x0", "macvlan", parent="eth9"), errno.ENODEV),
    "link-without-a-parent": ((), Link(HOST, "x0", "macvlan"), errno.EINVAL),
    "macvlan-on-lo": ((), Link(HOST, "x0", "macvlan", parent="lo"), errno.EINVAL),
    "macvlan-on-a-port": (
        (BRIDGE, Namespace(BOX), veth()),
        Link(HOST, "x0", "macvlan", parent="veth0"),
        errno.EBUSY,
    ),
    "macvlan-beside-one-in-passthru": (
        (BRIDGE, Link(HOST, "x0", "macvlan", (("mode", "passthru"),), parent="br0")),
        Link(HOST, "x1", "macvlan", parent="br0"),
        errno.EINVAL,
    ),
    "macvlan-in-passthru-beside-one": (
        (BRIDGE, Link(HOST, "x0", "macvlan", parent="br0")),
        Link(HOST, "x1", "macvlan", (("mode", "passthru"),), parent="br0"),
        errno.EINVAL,
    ),
    "macvlan-with-a-bigger-mtu": (
        (BRIDGE,),
        Link(HOST, "x0", "macvlan", parent="br0", mtu=9000),
        errno.EINVAL,
    ),
    "vlan-up-on-a-link-that-is-down": pytest.param(
        (
            (BRIDGE, Link(HOST, "br0.10", "vlan", (("id", 10),), alias="cnm:v", parent="br0")),
            Up(HOST, "br0.10"),
            errno.ENETDOWN,
        ),
        marks=pytest.mark.needs("vlan"),
    ),
    "vlan-under-another-name": pytest.param(
        (
            (BRIDGE, Link(HOST, "ten", "vlan", (("id", 10),), alias="cnm:v", parent="br0")),
            Link(HOST, "br0.10", "vlan", (("id", 10),), alias="cnm:w", parent="br0"),
            errno.EEXIST,
        ),
        marks=pytest.mark.needs("vlan"),
    ),
    "ipvlan-beside-a-macvlan": pytest.param(
        (
            (BRIDGE, Link(HOST, "x0", "macvlan", parent="br0")),
            Link(HOST, "x1", "ipvlan", parent="br0"),
            errno.EBUSY,
        ),
        marks=pytest.mark.needs("ipvlan"),
    ),
    "macvlan-beside-an-ipvlan": pytest.param(
        (
            (BRIDGE, Link(HOST, "x0", "ipvlan", parent="br0")),
            Link(HOST, "x1", "macvlan", parent="br0"),
            errno.EBUSY,
        ),
        marks=pytest.mark.needs("ipvlan"),
    ),
    "link-on-a-link-that-is-no-bridge": (
        (Link(HOST, "x0", "vxlan", VXLAN),),
        Link(HOST, "x1", "vxlan", (("id", 8), ("dstport", 4789)), master="x0"),
        errno.EOPNOTSUPP,
    ),
    "bridge-on-a-bridge": ((BRIDGE,), Link(HOST, "br1", "bridge", master="br0"), errno.ELOOP),
    "veth-on-no-bridge": ((Namespace(BOX),), veth(), errno.ENODEV),
    "veth-name-of-16": ((BRIDGE, Namespace(BOX)), veth("v" * 16), errno.ERANGE),
    "veth-peer-name-of-16": ((BRIDGE, Namespace(BOX)), veth(peer="e" * 16), errno.ERANGE),
    "veth-peer-name-taken": (
        (BRIDGE, Namespace(BOX), veth("veth1")),
        veth(),
        errno.EEXIST,
    ),
    "veth-with-a-multicast-mac": (
        (BRIDGE, Namespace(BOX)),
        veth(mac="03:42:00:00:00:01"),
        errno.EADDRNOTAVAIL,
    ),
    "veth-mtu-too-small": ((BRIDGE, Namespace(BOX)), veth(mtu=67), errno.EINVAL),
    "veth-mtu-too-big": ((BRIDGE, Namespace(BOX)), veth(mtu=65536), errno.EINVAL),
    "up-of-nothing": ((), Up(HOST, "eth9"), errno.ENODEV),
    "hairpin-of-nothing": ((), Hairpin(HOST, "eth9"), errno.ENODEV),
    "hairpin-of-no-port": ((BRIDGE,), Hairpin(HOST, "br0"), errno.EOPNOTSUPP),
    "address-on-nothing": ((), Address(HOST, "eth9", "10.20.30.1/24"), errno.ENODEV),
    "address-too-long": ((BRIDGE,), Address(HOST, "br0", "10.20.30.1/40"), errno.EINVAL),
    "address6-of-many": ((BRIDGE,), Address(HOST, "br0", "ff02::1/64"), errno.EADDRNOTAVAIL),
    "address6-of-nobody": ((BRIDGE,), Address(HOST, "br0", "::/64"), errno.EADDRNOTAVAIL),
    "address6-of-lo": ((BRIDGE,), Address(HOST, "br0", "::1/128"), errno.EADDRNOTAVAIL),
    "address6-without-ipv6": (
        (BRIDGE, Sysctl(HOST, "net/ipv6/conf/br0/disable_ipv6", "1", "br0")),
        Address(HOST, "br0", "fd00::1/64"),
        errno.EACCES,
    ),
    "address6-where-ipv6-is-off-from-birth": (
        (
            Namespace(BOX),
            Sysctl(BOX, "net.ipv6.conf.default.disable_ipv6", "1"),
            BRIDGE,
            veth(),
        ),
        Address(BOX, "eth0", "fd00::2/64"),
        errno.EACCES,
    ),
    "route-on-nothing": ((), Route(HOST, "0.0.0.0/0", "10.20.30.2", "eth9"), errno.ENODEV),
    "route4-on-a-link-that-is-down": (DOWN, DEFAULT4, errno.ENETUNREACH),
    "route6-on-a-link-that-is-down": (DOWN, DEFAULT6, errno.EHOSTUNREACH),
    "route4-to-a-link-that-is-down": (DOWN, route("198.51.100.0/24", ""), errno.ENETDOWN),
    "route6-to-a-link-that-is-down": (DOWN, route("2001:db8::/64", ""), errno.ENETDOWN),
    "route4-over-a-stranger": (UP, route("0.0.0.0/0", "10.7.0.1", table=7), errno.ENETUNREACH),
    "route6-over-a-stranger": (UP6, route("::/0", "fd07::1", table=7), errno.EHOSTUNREACH),
    "route6-over-itself": (UP6, route("::/0", "fd00::1", table=7), errno.EINVAL),
    "route4-over-a-routed-gateway": (
        (*UP, route("198.51.100.0/24", "10.20.30.2")),
        route("203.0.113.0/24", "198.51.100.1"),
        errno.ENETUNREACH,
    ),
    "route4-with-host-bits": (UP, route("198.51.100.1/24", ""), errno.EINVAL),
    "route4-a-second-default": (
        (*UP, DEFAULT4),
        route("0.0.0.0/0", "10.20.30.3", table=7),
        errno.EEXIST,
    ),
    "route6-a-second-default": (
        (*UP6, DEFAULT6),
        route("::/0", "fd00::3", table=7),
        errno.EEXIST,
    ),
    "sysctl-that-is-none": ((), Sysctl(HOST, "net.ipv4.nonsense", "1"), errno.ENOENT),
    "sysctl-of-no-link": (
        (),
        Sysctl(HOST, "net/ipv4/conf/eth9/forwarding", "1", "eth9"),
        errno.ENOENT,
    ),
    "sysctl-in-words": ((), Sysctl(HOST, "net.ipv4.ip_forward", "yes"), errno.EINVAL),
    "entry-without-a-table": ((), Entry("bridges", ("br0",)), errno.ENOENT),
    "entry-with-other-data": (
        (SKELETON, Entry("publish4", ("tcp", 80), ("10.20.30.2", 80))),
        Entry("publish4", ("tcp", 80), ("10.20.30.3", 80)),
        errno.EEXIST,
    ),
    "entry-with-another-verdict": (
        (SKELETON, Entry("icc", ("br0", "br0"), ("accept",))),
        Entry("icc", ("br0", "br0"), ("drop",)),
        errno.EEXIST,
    ),
    "entry-that-leads-nowhere": (
        (SKELETON,),
        Entry("egress", ("br0",), ("jump nowhere",)),
        errno.ENOENT,
    ),
    "port-of-another-host": (
        (),
        HeldPort("tcp", "198.51.100.1", 8080),
        errno.EADDRNOTAVAIL,
    ),
}
MISSING = {
    "link": Link(GONE, "br0", "bridge"),
    "link-born-elsewhere": Link(HOST, "x0", "vxlan", VXLAN, netns=GONE),
    "veth": veth(ns=GONE),
    "up": Up(GONE, "lo"),
    "hairpin": Hairpin(GONE, "lo"),
    "address": Address(GONE, "lo", "10.20.30.1/24"),
    "route": Route(GONE, "0.0.0.0/0", "10.20.30.1", "lo"),
    "sysctl": Sysctl(GONE, "net.ipv4.ip_forward", "1", optional=True),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_refused(world, case):
    setup, operation, code = case
    world.kernel.run((), setup)
    before = world.snapshot()
    with pytest.raises((KernelError, NotSupportedError)) as caught:
        world.kernel.run((), [operation])
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]
    assert str(operation) in str(caught.value)
    assert not hasattr(caught.value, "__notes__")
    assert world.settled(before)
    assert world.kernel.check(setup) == []


@pytest.mark.parametrize("operation", MISSING.values(), ids=MISSING)
def test_a_namespace_that_is_missing(world, operation):
    world.kernel.run((), [BRIDGE])
    before = world.snapshot()
    with pytest.raises(NotFoundError, match="there is no network namespace at /run/netns/gone"):
        world.kernel.run((), [operation])
    assert world.settled(before)


def test_an_optional_sysctl_may_be_missing(world):
    operation = Sysctl(HOST, "net.ipv4.nonsense", "1", before="0", optional=True)
    world.kernel.run((), [operation])
    assert world.kernel.check([operation]) == []
    world.kernel.run([operation], ())


def test_a_namespace_where_there_is_something_else(world):
    taken = Directory(BOX)
    world.others_do(taken)
    with pytest.raises(AlreadyExistsError) as caught:
        world.kernel.run((), [Namespace(BOX)])
    assert str(caught.value) == (
        "/run/netns/box is taken; adopt that namespace with netns='box', or choose another name"
    )
    world.kernel.run([Namespace(BOX)], ())
    assert world.kernel.check([taken]) == []


def test_a_bridge_takes_1023_ports(world):
    def port(number):
        options = (("id", number), ("dstport", 4789))
        return Link(HOST, f"p{number}", "vxlan", options, master="br0")

    world.kernel.run((), [BRIDGE, *map(port, range(1, 1024))])
    with pytest.raises(KernelError, match="use a second network") as caught:
        world.kernel.run((), [port(1024)])
    assert caught.value.errno == errno.EXFULL


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("::", "::1"),
    ],
)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_a_program_has(world, ours, theirs, protocol):
    world.others_do(HeldPort(protocol, theirs, 8080))
    with pytest.raises(PortInUseError) as caught:
        world.kernel.run((), [HeldPort(protocol, ours, 8080)])
    shown = f"[{ours}]" if ":" in ours else ours
    assert str(caught.value) == (
        f"port {shown}:8080/{protocol} of the host is taken by {caught.value.holder}; "
        "stop it, or publish on another port"
    )
    assert caught.value.port == 8080
    assert caught.value.holder.startswith("process ")
    world.others_undo(HeldPort(protocol, theirs, 8080))
    world.kernel.run((), [HeldPort(protocol, ours, 8080)])
    assert world.kernel.check([HeldPort(protocol, ours, 8080)]) == []
    world.kernel.run([HeldPort(protocol, ours, 8080)], ())


def test_ports_that_don_t_collide(world):
    world.others_do(HeldPort("tcp", "127.0.0.1", 8080), HeldPort("udp", "0.0.0.0", 8081))
    ports = [
        HeldPort("tcp", "127.0.0.2", 8080),
        HeldPort("udp", "127.0.0.1", 8080),
        HeldPort("tcp", "::", 8080),
        HeldPort("tcp", "0.0.0.0", 8081),
    ]
    world.kernel.run((), ports)
    assert world.kernel.check(ports) == []
    world.kernel.run(ports, ())


def test_a_guard_may_come_before_its_port(world):
    """Where the kernel takes it; the engine asks which kernel it is."""
    guard = Guard("veth0", MAC, ("10.20.30.2",))
    if world.kernel.features.early_guard:
        world.kernel.run((), [guard])
        assert world.kernel.check([guard]) == []
    else:
        with pytest.raises(KernelError) as caught:
            world.kernel.run((), [guard])
        assert caught.value.errno == errno.ENOENT
