"""Operations as text: what a person would type, and what is recorded."""

from __future__ import annotations

import subprocess

import attrs
import pytest

from pycnm.errors import StoreError
from pycnm.plan.links import (
    Address,
    Directory,
    Hairpin,
    Isolated,
    Link,
    Namespace,
    Parent,
    PortFlag,
    Route,
    Rule,
    Sysctl,
    Up,
    Veth,
)
from pycnm.plan.names import Divert, NetnsFiles, Resolver, TextFile
from pycnm.plan.operation import HOST, Operation, Plan
from pycnm.plan.ports import FreshFlows, HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton, quoted
from pycnm.plan.shaping import Policer, Shaper
from pycnm.plan.vlans import VLANMember
from pycnm.plan.wires import Adopted, Wire

BOX = "/run/netns/c3"
FAR = "/somewhere/else/c3"
MAC = "02:42:0a:14:1e:03"
BRIDGE = Link(HOST, "br0", "bridge")
DIVERT = Divert(BOX, 61234)
VETH = Veth(HOST, "veth0", "br0", BOX, "eth0", MAC)

COMMANDS = {
    "# `cnm agent` answers names at 127.0.0.11:61234 in /run/netns/c3": Resolver(BOX, "id", 61234),
    "cat > '/my state/hosts' << 'EOF'\n"
    "10.20.30.3\tc3\n"
    "# Written by pycnm (27e768a738b3801c); once edited, the file stays as it is left.\n"
    "EOF": TextFile("/my state/hosts", "10.20.30.3\tc3\n"),
    "mkdir -p /etc/netns; ln -s '/my state/c3' /etc/netns/c3": NetnsFiles("c3", "/my state/c3"),
    "tc qdisc replace dev veth0 root handle c1: tbf rate 10mbit burst 78036b limit 140536b": (
        Shaper("veth0", 10**7)
    ),
    "tc qdisc replace dev veth0 root handle c2: netem limit 1000 delay 20ms loss 1% rate 10mbit": (
        Shaper("veth0", 10**7, 20_000, 10_000)
    ),
    "tc qdisc replace dev veth0 root handle c2: netem limit 1000 delay 1500us": (
        Shaper("veth0", delay=1500)
    ),
    "nft 'add table netdev cnm_veth0_rate { comment \"cnm:x\"; }'\n"
    'nft \'add chain netdev cnm_veth0_rate veth0 { type filter hook ingress device "veth0" '
    "priority -499; policy accept; }'\n"
    "nft 'add rule netdev cnm_veth0_rate veth0 limit rate over 1250000 bytes/second "
    "burst 65536 bytes counter drop'": Policer("veth0", 10**7, "cnm:x"),
    "ip netns add c3": Namespace(BOX),
    f"touch {FAR}; unshare --net={FAR} true": Namespace(FAR),
    "mkdir -p -m 755 /state/c3": Directory("/state/c3"),
    "mkdir -p -m 755 '/my state/c3'": Directory("/my state/c3"),
    "ip link add name br0 type bridge": BRIDGE,
    "ip -n c3 link add name br0 type bridge": Link(BOX, "br0", "bridge"),
    f"nsenter --net={FAR} ip link add name br0 type bridge": Link(FAR, "br0", "bridge"),
    "ip link add name br0 address 02:42:0a:14:1e:03 mtu 1400 group 7 type bridge stp_state 0; "
    "ip link set br0 alias cnm:x": Link(
        HOST, "br0", "bridge", (("stp_state", 0),), MAC, 1400, 7, "cnm:x"
    ),
    "ip link add link eth0 name eth1 netns c3 type macvlan mode bridge; "
    "ip -n c3 link set eth1 alias cnm:x": Link(
        HOST, "eth1", "macvlan", (("mode", "bridge"),), alias="cnm:x", parent="eth0", netns=BOX
    ),
    "ip link add link eth0.10 name eth1 type ipvlan mode l3s private": Link(
        HOST, "eth1", "ipvlan", (("mode", "l3s"), ("flag", "private")), parent="eth0.10"
    ),
    "# eth0.10 is there, and up: `ip link show eth0.10`": Parent(HOST, "eth0.10"),
    "ip link add name vx0 master br0 type vxlan id 7 dstport 4789": Link(
        HOST, "vx0", "vxlan", (("id", 7), ("dstport", 4789)), master="br0"
    ),
    "ip link add name veth0 master br0 type veth peer name eth0 address 02:42:0a:14:1e:03 "
    "netns c3": VETH,
    "ip link add name veth0 up mtu 1400 group 7 master br0 type veth peer name eth0 "
    "address 02:42:0a:14:1e:03 mtu 1400 netns /somewhere/else/c3; "
    "ip link set veth0 alias cnm:x": Veth(
        HOST, "veth0", "br0", FAR, "eth0", MAC, 1400, 7, "cnm:x", up=True
    ),
    "bridge link set dev veth0 hairpin on": Hairpin(HOST, "veth0"),
    "bridge link set dev veth0 isolated on": Isolated(HOST, "veth0"),
    "ip link add name veth0 address fe:00:00:00:00:01 master br0 type veth peer name eth0 "
    "address 02:42:0a:14:1e:03 netns c3": Veth(
        HOST, "veth0", "br0", BOX, "eth0", MAC, mac="fe:00:00:00:00:01"
    ),
    "# br0 is there: `ip address show dev br0`": Adopted(HOST, "br0"),
    "# br0 is there, with 10.9.0.1/24, with the port eth1: `ip address show dev br0`": Adopted(
        HOST, "br0", ("10.9.0.1/24",), wire="eth1"
    ),
    "# br0 is there, with the port eth1 in VLAN 10: `ip address show dev br0`": Adopted(
        HOST, "br0", wire="eth1", vlan=10
    ),
    "bridge vlan del dev veth0 vid 1-4094; bridge vlan add dev veth0 vid 10 pvid untagged": (
        VLANMember(HOST, "veth0", 10, "br0")
    ),
    "bridge vlan del dev br0 vid 1-4094 self; bridge vlan add dev br0 vid 10 pvid untagged self": (
        VLANMember(HOST, "br0", 10)
    ),
    "bridge vlan add dev eth1 vid 1-4094": VLANMember(HOST, "eth1", 0, "br0"),
    "ip link set eth1 master br0": Wire(HOST, "eth1", "br0"),
    "ip link set br0 up": Up(HOST, "br0"),
    "ip -n c3 link set lo up": Up(BOX, "lo"),
    "ip address add 10.20.30.1/24 dev br0 brd +": Address(HOST, "br0", "10.20.30.1/24"),
    "ip address add 10.20.30.1/31 dev br0": Address(HOST, "br0", "10.20.30.1/31"),
    "ip address add 10.20.30.1/32 dev br0": Address(HOST, "br0", "10.20.30.1/32"),
    "ip -n c3 address add fd00::1/64 dev eth0 nodad": Address(BOX, "eth0", "fd00::1/64"),
    "ip -n c3 route add default via 10.20.30.1 dev eth0": Route(
        BOX, "0.0.0.0/0", "10.20.30.1", "eth0"
    ),
    "ip -n c3 -6 route add default via fd00::1 dev eth0 table 7": Route(
        BOX, "::/0", "fd00::1", "eth0", 7
    ),
    "ip route add 198.51.100.0/24 dev br0": Route(HOST, "198.51.100.0/24", "", "br0"),
    "ip -n c3 rule add from 10.20.30.3 table 7": Rule(BOX, "10.20.30.3", 7),
    "ip -n c3 -6 rule add from fd00::3 table 7": Rule(BOX, "fd00::3", 7),
    "sysctl -w net.ipv4.ip_forward=1": Sysctl(HOST, "net.ipv4.ip_forward", "1"),
    "sysctl -w net.ipv4.conf.br0.forwarding=1": Sysctl(HOST, "net/ipv4/conf/br0/forwarding", "1"),
    "sysctl -w net/ipv4/conf/br.0/forwarding=1": Sysctl(HOST, "net/ipv4/conf/br.0/forwarding", "1"),
    "nsenter --net=/run/netns/c3 sysctl -w 'net.ipv4.ip_local_port_range=1 2'": Sysctl(
        BOX, "net.ipv4.ip_local_port_range", "1 2"
    ),
    "nft 'add element inet cnm bridges { \"br0\" }'": Entry("bridges", ("br0",)),
    "nft 'add element inet cnm publish4 { tcp . 80 : 10.20.30.3 . 8080 }'": Entry(
        "publish4", ("tcp", 80), ("10.20.30.3", 8080)
    ),
    "# `cnm agent` has a socket bound to 0.0.0.0:80/tcp": HeldPort("tcp", "0.0.0.0", 80),
    "# `cnm agent` has a socket bound to [::]:53/udp": HeldPort("udp", "::", 53),
    "# when it goes: conntrack -D --reply-src 10.20.30.3": FreshFlows("10.20.30.3"),
    "# when it goes: conntrack -D -p tcp --orig-port-dst 80": FreshFlows("0.0.0.0", "tcp", 80),
    "conntrack -D -p udp --orig-port-dst 53": FreshFlows("::", "udp", 53, before=True),
}
LONG = (
    Skeleton("cnm", 40000, 40999),
    Guard("veth0", MAC, ("10.20.30.3",), ("fd00::3", "fe80::7")),
)


@pytest.mark.parametrize(("text", "operation"), COMMANDS.items(), ids=list(COMMANDS))
def test_as_a_person_would_type_it(text, operation):
    assert str(operation) == text


def test_names_are_led_to_their_port():
    lines = str(DIVERT).splitlines()
    start = f"nsenter --net={BOX} nft 'add "
    assert len(lines) == 6
    assert all(line.startswith(start) and line.endswith("'") for line in lines)
    assert lines[2].endswith("ip daddr 127.0.0.11 udp dport 53 udp dport set 61234'")
    assert lines[5].endswith("ip saddr 127.0.0.11 tcp sport 61234 tcp sport set 53'")


@pytest.mark.parametrize("operation", LONG, ids=lambda each: type(each).__name__)
def test_many_rules_are_many_commands(operation):
    lines = str(operation).splitlines()
    assert len(lines) > 5
    assert all(line.startswith("nft 'add ") and line.endswith("'") for line in lines)


def test_quotes_in_quotes():
    assert quoted("it's") == "'it'\\''s'"


NASTY = ["$(touch${IFS}x)", "a;>x;", "`>x`", "'>x;'", "a|tee${IFS}x", "a&>x"]
"""Names that an interface may have."""


@pytest.mark.parametrize("name", NASTY)
def test_a_shell_takes_a_name_for_a_name(tmp_path, name):
    """Whoever pastes what a plan prints runs nothing that is written in the names in it."""
    key = f"/somewhere/{name} {name}"
    plan = Plan(
        (
            Link(HOST, name, "macvlan", master=name, parent=name, alias="cnm:1", netns=key),
            Veth(HOST, name, name, key, name, MAC, alias="cnm:1"),
            Hairpin(HOST, name),
            Up(key, name),
            Address(key, name, "10.20.30.1/24"),
            Route(key, "::/0", "fd00::1", name),
            Rule(key, "10.20.30.3", 7),
            Sysctl(key, f"net/ipv4/conf/{name}/forwarding", "1"),
            Entry("bridges", (name,)),
            Resolver(f"{key}\n{name}", name, 61234),
            Divert(key, 61234),
            TextFile(f"text {name}", f"{name}\nEOF\n{name}\n"),
            NetnsFiles(f"{name} {name}", f"/somewhere/{name}"),
        )
    )
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> said\n')
    program.chmod(0o755)
    for each in ("mkdir", "ln", "ip", "nft", "bridge", "sysctl", "nsenter"):
        (tmp_path / each).symlink_to(program)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-c", str(plan)], cwd=tmp_path, env=environment, check=True)
    said = (tmp_path / "said").read_text().splitlines()
    assert not (tmp_path / "x").exists()
    assert said.count(name) >= 10
    assert said.count(f"--net={key}") == 12
    assert (tmp_path / f"text {name}").read_text().startswith(f"{name}\nEOF\n{name}\n#")


# What is recorded


@pytest.mark.parametrize("operation", [*COMMANDS.values(), *LONG, DIVERT], ids=repr)
def test_recorded_and_read(operation):
    text = operation.to_json()
    again = Operation.from_json(text)
    assert again == operation
    assert type(again) is type(operation)
    assert hash(again) == hash(operation)
    assert again.to_json() == text


def test_every_operation_is_known_by_name():
    used = {type(operation).__name__ for operation in (*COMMANDS.values(), *LONG, DIVERT)}
    ours = {name for name, cls in Operation.registry.items() if cls.__module__.startswith("pycnm.")}
    assert ours - {PortFlag.__name__} == used  # what its kinds have in common


def test_fields_added_later_have_defaults():
    """So that a plan recorded by an earlier version can be read."""
    assert (
        Operation.from_json('["Veth","","veth0","br0","/run/netns/c3","eth0","' + MAC + '"]')
        == VETH
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"Up"',
        "{}",
        '["Nonsense"]',
        '["Up"]',
        '["Up","","br0",7,8]',
        '[["Up"],"","br0"]',
        '["Operation",1]',
    ],
)
def test_what_can_t_be_read(text):
    with pytest.raises(StoreError, match="a recorded operation can't be read"):
        Operation.from_json(text)


def test_operations_of_other_packages():
    @attrs.frozen
    class Cable(Operation):
        ends: tuple[str, str]

    assert Operation.from_json(Cable(("a", "b")).to_json()) == Cable(("a", "b"))
    del Operation.registry["Cable"]


# Plans


def test_a_plan_prints_a_line_for_each():
    assert str(Plan((BRIDGE, Up(HOST, "br0")))) == (
        "ip link add name br0 type bridge\nip link set br0 up"
    )
    assert str(Plan()) == ""


def test_plans_add_up():
    plan = Plan((BRIDGE,)) + Plan((Up(HOST, "br0"),))
    assert list(plan) == [BRIDGE, Up(HOST, "br0")]
    assert len(plan) == 2
    assert Plan.of(BRIDGE, None, VETH) == Plan((BRIDGE, VETH))
    assert plan.without([BRIDGE]) == Plan((Up(HOST, "br0"),))


def test_undone_last_first():
    plan = Plan((Rule(HOST, "10.0.0.1", 7), Entry("bridges", ("br0",)), BRIDGE))
    assert plan.undoing() == (BRIDGE, Entry("bridges", ("br0",)), Rule(HOST, "10.0.0.1", 7))


INSIDE = (
    Up(BOX, "lo"),
    Address(BOX, "eth0", "10.20.30.3/24"),
    Route(BOX, "0.0.0.0/0", "10.20.30.1", "eth0"),
    Rule(BOX, "10.20.30.3", 7),
    Sysctl(BOX, "net.ipv6.conf.default.disable_ipv6", "1"),
    Sysctl(BOX, "net/ipv6/conf/eth0/disable_ipv6", "0", link="eth0"),
    Link(HOST, "vx0", "vxlan", netns=BOX),
    Link(BOX, "eth1", "macvlan", parent="eth0"),
    Link(BOX, "br0", "bridge"),
)


@pytest.mark.parametrize("operation", INSIDE, ids=str)
def test_what_is_inside_goes_with_the_namespace(operation):
    assert operation.goes_with(Namespace(BOX))
    assert not operation.goes_with(Namespace("/run/netns/c2"))
    assert Plan((Namespace(BOX), operation)).undoing() == (Namespace(BOX),)


def test_what_sits_on_a_link_elsewhere_does_not_go_with_the_namespace():
    """A process may keep that, and it would still be on the wire."""
    link = Link(HOST, "eth1", "macvlan", parent="eth0", netns=BOX)
    assert not link.goes_with(Namespace(BOX))
    assert Plan((Namespace(BOX), link)).undoing() == (link, Namespace(BOX))


@pytest.mark.parametrize(
    "operation",
    [
        BRIDGE,
        VETH,
        Up(HOST, "br0"),
        Entry("bridges", ("br0",)),
        HeldPort("tcp", "0.0.0.0", 80),
        FreshFlows("10.20.30.3"),
        Directory("/state/c3"),
        Sysctl(HOST, "net.ipv4.ip_forward", "1", before="0"),
    ],
    ids=str,
)
def test_what_is_outside_does_not(operation):
    assert not operation.goes_with(Namespace(BOX))


def test_what_is_on_a_link_goes_with_it():
    on_bridge = (
        Up(HOST, "br0"),
        Address(HOST, "br0", "10.20.30.1/24"),
        Sysctl(HOST, "net/ipv4/conf/br0/forwarding", "1", link="br0"),
    )
    assert Plan((BRIDGE, *on_bridge)).undoing() == (BRIDGE,)
    elsewhere = [attrs.evolve(on_bridge[0], ns=BOX), attrs.evolve(on_bridge[0], link="br1")]
    assert not any(operation.goes_with(BRIDGE) for operation in elsewhere)


def test_what_is_on_either_end_goes_with_the_pair():
    ends = (
        Up(HOST, "veth0"),
        Hairpin(HOST, "veth0"),
        Isolated(HOST, "veth0"),
        Sysctl(HOST, "net/ipv6/conf/veth0/disable_ipv6", "1", link="veth0"),
        Address(BOX, "eth0", "10.20.30.3/24"),
        Up(BOX, "eth0"),
    )
    assert Plan((VETH, *ends)).undoing() == (VETH,)
    assert not Up(BOX, "veth0").goes_with(VETH)
    assert not Up(HOST, "eth0").goes_with(VETH)


def test_what_sits_on_a_link_goes_with_it():
    stacked = Link(HOST, "eth1", "macvlan", parent="br0", netns=BOX)
    assert stacked.goes_with(BRIDGE)
    assert not Link(HOST, "x0", "vxlan").goes_with(BRIDGE)


def test_a_setting_is_put_back_where_that_matters():
    asked = []

    class Session:
        def remove(self, fact):
            asked.append(fact)

    plain = Sysctl(HOST, "net.ipv4.ip_forward", "1")
    plain.undo(Session())
    assert asked == []
    before = attrs.evolve(plain, before="0")
    before.undo(Session())
    assert asked == [before]
