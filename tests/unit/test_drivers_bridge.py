"""What bridge networks, their endpoints and ports come to, as a person would type it."""

from __future__ import annotations

import difflib

import attrs
import pytest
from netaddr import IPAddress

from pycnm.drivers.base import HostNeeds, Use
from pycnm.drivers.bridge import Bridge
from pycnm.engine.sandboxes import plan_sandbox
from pycnm.errors import AlreadyExistsError, InvalidArgumentError, NotSupportedError
from pycnm.plan.links import Sysctl
from pycnm.plan.operation import Features
from pycnm.plan.rules import Guard
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.ports import PortBinding

OLD = Features(early_guard=False, force_forwarding=False)
FOUR = Pool("four", "10.20.30.0/24", gateway="10.20.30.1")
SIX = Pool("six", "fd00:20:30::/64", gateway="fd00:20:30::1")
NET = NetworkSpec("0123456789ab" + 52 * "c", "my_bridge", "bridge", pools=[FOUR])
DUAL = attrs.evolve(NET, pools=[FOUR, SIX], ipv6=True)
BOX = SandboxSpec("b" * 64, "c3", "/run/netns/c3", files="/state/sandboxes/bbbbbbbbbbbb")
END = EndpointSpec(
    "e" * 64,
    "c3",
    NET.id,
    sandbox=BOX.id,
    ip="10.20.30.3/24",
    mac="02:42:0a:14:1e:03",
    interface="eth0",
    host_interface="veth" + 7 * "e",
    gateway="10.20.30.1",
)
LED = attrs.evolve(NET, pools=[attrs.evolve(FOUR, aux={"DefaultGatewayIPv4": "10.20.30.7"})])
END6 = attrs.evolve(END, ip6="fd00:20:30::3/64", gateway6="fd00:20:30::1")


def shown(plan):
    """The plan's text; of rules that have tests of their own only what they are made from."""
    lines = []
    for operation in plan:
        if isinstance(operation, Guard):
            lines.append(f"{operation!r}\n")
        else:
            lines.append(f"{operation}\n")
    return "".join(lines)


PLAIN = """\
nft 'add element inet cnm icc { "br-0123456789ab" . "br-0123456789ab" : accept }'
nft 'add element inet cnm egress { "br-0123456789ab" : jump from_nat }'
nft 'add element inet cnm ingress { "br-0123456789ab" : goto to_nat }'
nft 'add element inet cnm loops { "br-0123456789ab" . "br-0123456789ab" }'
nft 'add element inet cnm bridges { "br-0123456789ab" }'
nft 'add element inet cnm homes { "br-0123456789ab" }'
nft 'add element inet cnm masquerade4 { "br-0123456789ab" }'
ip link add name br-0123456789ab address 02:42:01:23:45:67 mtu 1500 group 269628502 \
type bridge forward_delay 0 stp_state 0; ip link set br-0123456789ab alias cnm:0123456789ab
sysctl -w net.ipv6.conf.br-0123456789ab.disable_ipv6=1
sysctl -w net.ipv4.conf.br-0123456789ab.forwarding=1
ip address add 10.20.30.1/24 dev br-0123456789ab brd +
ip link set br-0123456789ab up
"""
DUAL_STACK = """\
nft 'add element inet cnm icc { "br-0123456789ab" . "br-0123456789ab" : accept }'
nft 'add element inet cnm egress { "br-0123456789ab" : jump from_nat }'
nft 'add element inet cnm ingress { "br-0123456789ab" : goto to_nat }'
nft 'add element inet cnm loops { "br-0123456789ab" . "br-0123456789ab" }'
nft 'add element inet cnm bridges { "br-0123456789ab" }'
nft 'add element inet cnm homes { "br-0123456789ab" }'
nft 'add element inet cnm masquerade4 { "br-0123456789ab" }'
nft 'add element inet cnm masquerade6 { "br-0123456789ab" }'
ip link add name br-0123456789ab address 02:42:01:23:45:67 mtu 1500 group 269628502 \
type bridge forward_delay 0 stp_state 0; ip link set br-0123456789ab alias cnm:0123456789ab
sysctl -w net.ipv6.conf.br-0123456789ab.disable_ipv6=0
sysctl -w net.ipv6.conf.br-0123456789ab.accept_ra=0
sysctl -w net.ipv6.conf.br-0123456789ab.accept_dad=0
sysctl -w net.ipv6.conf.br-0123456789ab.autoconf=0
sysctl -w net.ipv6.conf.br-0123456789ab.accept_redirects=0
sysctl -w net.ipv6.conf.br-0123456789ab.force_forwarding=1
sysctl -w net.ipv4.conf.br-0123456789ab.forwarding=1
ip address add 10.20.30.1/24 dev br-0123456789ab brd +
ip address add fd00:20:30::1/64 dev br-0123456789ab nodad
ip link set br-0123456789ab up
"""


def network_plan(driver=None, network=NET, use=None, features=None):
    plan = (driver or Bridge()).plan_network(network, use or Use(), features or Features())
    return shown(plan)


def changes(before, after):
    """The lines that one text has and the other hasn't, as diff(1) shows them."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_plain_network():
    assert network_plan() == PLAIN


def test_dual_stack():
    assert network_plan(network=DUAL) == DUAL_STACK


def test_dual_stack_on_a_kernel_that_forwards_ipv6_everywhere_or_nowhere():
    assert changes(DUAL_STACK, network_plan(network=DUAL, features=OLD)) == [
        "- sysctl -w net.ipv6.conf.br-0123456789ab.force_forwarding=1"
    ]


def test_ipv6_alone():
    network = attrs.evolve(DUAL, ipv4=False, pools=[SIX])
    assert changes(DUAL_STACK, network_plan(network=network)) == [
        "- nft 'add element inet cnm masquerade4 { \"br-0123456789ab\" }'",
        "- sysctl -w net.ipv4.conf.br-0123456789ab.forwarding=1",
        "- ip address add 10.20.30.1/24 dev br-0123456789ab brd +",
    ]


def test_the_default_network_is_nothing_without_endpoints():
    default = Bridge(bridge_name="cnm0", default_bridge=True)
    assert network_plan(default) == ""
    plan = network_plan(default, use=Use(endpoints=True))
    assert plan == PLAIN.replace("br-0123456789ab", "cnm0")


def test_a_published_port_that_the_host_reaches_by_loopback():
    assert changes(PLAIN, network_plan(use=Use(endpoints=True, loopback=True))) == [
        "+ sysctl -w net.ipv4.conf.br-0123456789ab.route_localnet=1"
    ]


def test_internal():
    network = attrs.evolve(DUAL, internal=True)
    assert changes(DUAL_STACK, network_plan(network=network)) == [
        "- nft 'add element inet cnm egress { \"br-0123456789ab\" : jump from_nat }'",
        "+ nft 'add element inet cnm egress { \"br-0123456789ab\" : goto from_internal }'",
        "- nft 'add element inet cnm ingress { \"br-0123456789ab\" : goto to_nat }'",
        "+ nft 'add element inet cnm ingress { \"br-0123456789ab\" : goto to_internal }'",
        "- nft 'add element inet cnm masquerade4 { \"br-0123456789ab\" }'",
        "- nft 'add element inet cnm masquerade6 { \"br-0123456789ab\" }'",
        "- sysctl -w net.ipv6.conf.br-0123456789ab.force_forwarding=1",
        "- sysctl -w net.ipv4.conf.br-0123456789ab.forwarding=1",
    ]


def test_icc_off():
    assert changes(PLAIN, network_plan(Bridge(icc=False))) == [
        '- nft \'add element inet cnm icc { "br-0123456789ab" . "br-0123456789ab" : accept }\'',
        '+ nft \'add element inet cnm icc { "br-0123456789ab" . "br-0123456789ab" : drop }\'',
    ]


def test_the_mtu_of_the_way_outside():
    assert Bridge().settled({"": 1420}.__getitem__) == Bridge(mtu=1420)
    assert Bridge(external="eth1").settled({"eth1": 9000}.__getitem__).mtu == 9000
    assert Bridge(mtu=1500).settled({"": 1420}.__getitem__) == Bridge(mtu=1500)
    for usual in (0, 1500):
        assert Bridge().settled({"": usual}.__getitem__) == Bridge()


def test_mtu():
    assert network_plan(Bridge(mtu=1400)) == PLAIN.replace("mtu 1500", "mtu 1400")
    assert network_plan(Bridge(mtu=0)) == PLAIN.replace("mtu 1500 ", "")


def test_a_name_of_its_own():
    """With a dot in it sysctl(8) wants slashes between the words."""
    assert network_plan(Bridge(bridge_name="br-mine.7")) == (
        PLAIN.replace(".br-0123456789ab.", ".br-mine.7.")
        .replace("net.ipv6.conf.br-mine.7.", "net/ipv6/conf/br-mine.7/")
        .replace("net.ipv4.conf.br-mine.7.", "net/ipv4/conf/br-mine.7/")
        .replace("br-0123456789ab", "br-mine.7")
    )


def test_masquerade_off():
    assert changes(DUAL_STACK, network_plan(Bridge(masquerade=False), DUAL)) == [
        "- nft 'add element inet cnm masquerade4 { \"br-0123456789ab\" }'",
        "- nft 'add element inet cnm masquerade6 { \"br-0123456789ab\" }'",
    ]


def test_host_ipv4():
    assert changes(DUAL_STACK, network_plan(Bridge(host_ipv4="192.0.2.7"), DUAL)) == [
        "- nft 'add element inet cnm masquerade4 { \"br-0123456789ab\" }'",
        "+ nft 'add element inet cnm snat4 { \"br-0123456789ab\" : 192.0.2.7 }'",
    ]


def test_host_ipv6():
    assert changes(DUAL_STACK, network_plan(Bridge(host_ipv6="2001:db8::7"), DUAL)) == [
        "- nft 'add element inet cnm masquerade6 { \"br-0123456789ab\" }'",
        "+ nft 'add element inet cnm snat6 { \"br-0123456789ab\" : 2001:db8::7 }'",
    ]


def test_trusted_interfaces():
    assert changes(PLAIN, network_plan(Bridge(trusted=("eth0", "eth1")))) == [
        '+ nft \'add element inet cnm trusted { "eth0" . "br-0123456789ab" }\'',
        '+ nft \'add element inet cnm trusted { "eth1" . "br-0123456789ab" }\'',
    ]


def test_gateway_modes():
    routed = Bridge(gateway_mode_ipv4="routed", gateway_mode_ipv6="nat-unprotected")
    assert changes(DUAL_STACK, network_plan(routed, DUAL)) == [
        "- nft 'add element inet cnm masquerade4 { \"br-0123456789ab\" }'",
        "+ nft 'add element inet cnm direct4 { \"br-0123456789ab\" : goto to_routed }'",
        "+ nft 'add element inet cnm direct6 { \"br-0123456789ab\" : accept }'",
    ]
    assert [routed.opens(DUAL, version) for version in (4, 6)] == [True, False]


def test_isolated():
    network = attrs.evolve(DUAL, internal=True)
    alone = Bridge(gateway_mode_ipv4="isolated", gateway_mode_ipv6="isolated")
    assert [alone.takes_gateway(network, version) for version in (4, 6)] == [False, False]
    plan = network_plan(alone, network)
    assert "ip address add" not in plan
    assert [line for line in plan.splitlines() if line.startswith("sysctl")] == [
        "sysctl -w net.ipv6.conf.br-0123456789ab.disable_ipv6=1",
        "sysctl -w net.ipv4.conf.br-0123456789ab.arp_ignore=8",
        "sysctl -w net.ipv4.conf.br-0123456789ab.rp_filter=1",
    ]
    with pytest.raises(InvalidArgumentError, match="'isolated' can only be used for an internal"):
        alone.validate(DUAL, [])


def test_what_a_gateway_mode_may_be():
    key = "com.docker.network.bridge.gateway_mode_ipv4"
    assert Bridge.from_options({key: ""}) == Bridge()
    assert Bridge(gateway_mode_ipv4="routed").to_options() == {key: "routed"}
    with pytest.raises(InvalidArgumentError, match="unknown gateway mode 'route'; it should be na"):
        Bridge.from_options({key: "route"})


def test_on_a_wire():
    driver = Bridge(external="eth1")
    assert (
        network_plan(driver, DUAL)
        == """\
ip link add name br-0123456789ab address 02:42:01:23:45:67 mtu 1500 group 269628502 \
type bridge forward_delay 0 stp_state 0; ip link set br-0123456789ab alias cnm:0123456789ab
sysctl -w net.ipv6.conf.br-0123456789ab.disable_ipv6=1
sysctl -w net.ipv4.conf.br-0123456789ab.arp_ignore=8
sysctl -w net.ipv4.conf.br-0123456789ab.rp_filter=1
ip link set eth1 master br-0123456789ab
ip link set br-0123456789ab up
"""
    )
    assert driver.needs(DUAL) == HostNeeds()
    assert (driver.owns(DUAL), driver.takes_gateway(DUAL, 4)) == (False, False)
    assert (driver.capacity(DUAL), Bridge().capacity(DUAL)) == (1022, 1023)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"gateway_mode_ipv4": "routed"}, "gateway_mode_ipv4 is about what goes by the host"),
        ({"masquerade": False}, "masquerade is about"),
        ({"trusted": ("eth0",)}, "trusted is about"),
    ],
)
def test_on_a_wire_nothing_is_led_by_the_host(more, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Bridge(external="eth1", **more).validate(NET, [])


def test_on_a_wire_nothing_is_internal_or_published():
    driver = Bridge(external="eth1")
    driver.validate(NET, [])
    with pytest.raises(InvalidArgumentError, match="can't be internal and on the wire of eth1"):
        driver.validate(attrs.evolve(NET, internal=True), [])
    with pytest.raises(NotSupportedError, match="my_bridge are on the wire of eth1"):
        driver.refuse_publishing(NET)


def test_inhibit_ipv4():
    assert changes(PLAIN, network_plan(Bridge(inhibit_ipv4=True))) == [
        "- ip address add 10.20.30.1/24 dev br-0123456789ab brd +"
    ]


def test_a_gateway_of_its_own():
    network = attrs.evolve(NET, pools=[Pool("four", "10.20.30.0/24", gateway="10.20.30.254")])
    assert network_plan(network=network) == PLAIN.replace("10.20.30.1/", "10.20.30.254/")


# What networks share on their host


@pytest.mark.parametrize(
    ("driver", "network", "needs"),
    [
        (Bridge(), NET, HostNeeds(rules=True, forward4=True)),
        (Bridge(), DUAL, HostNeeds(rules=True, forward4=True, forward6=True)),
        (Bridge(), attrs.evolve(DUAL, internal=True), HostNeeds(rules=True)),
    ],
)
def test_needs(driver, network, needs):
    assert driver.needs(network) == needs


# Sandboxes, endpoints, ports


def test_sandbox():
    assert (
        shown(plan_sandbox(BOX, Features()))
        == """\
mkdir -p -m 755 /state/sandboxes/bbbbbbbbbbbb
ip netns add c3
nsenter --net=/run/netns/c3 sysctl -w net.ipv4.conf.default.arp_notify=1
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.disable_ipv6=1
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.accept_dad=0
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.accept_ra=0
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.accept_redirects=0
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.autoconf=0
nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.default.ndisc_notify=1
ip -n c3 link set lo up
"""
    )


def test_an_adopted_sandbox_has_files_and_nothing_else():
    assert shown(plan_sandbox(attrs.evolve(BOX, adopted=True), Features())) == (
        "mkdir -p -m 755 /state/sandboxes/bbbbbbbbbbbb\n"
    )


def endpoint_plan(driver=None, network=NET, endpoint=END, features=None):
    driver = driver or Bridge()
    return shown(driver.plan_endpoint(network, endpoint, BOX, features or Features()))


ENDPOINT = """\
Guard(port='vetheeeeeee', mac='02:42:0a:14:1e:03', \
ipv4=('10.20.30.3',), ipv6=(), owner='cnm:eeeeeeeeeeee', near=())
ip link add name vetheeeeeee up mtu 1500 group 269628502 master br-0123456789ab \
type veth peer name eth0 address 02:42:0a:14:1e:03 mtu 1500 netns c3; \
ip link set vetheeeeeee alias cnm:eeeeeeeeeeee
sysctl -w net.ipv6.conf.vetheeeeeee.disable_ipv6=1
ip -n c3 address add 10.20.30.3/24 dev eth0 brd +
ip -n c3 link set eth0 up
# when it goes: conntrack -D --reply-src 10.20.30.3
"""


def test_endpoint():
    assert endpoint_plan() == ENDPOINT


def test_endpoint_with_both_families():
    plan = endpoint_plan(network=DUAL, endpoint=END6)
    assert "ipv4=('10.20.30.3',), ipv6=('fd00:20:30::3',), owner=" in plan
    assert changes(ENDPOINT, plan.replace("ipv6=('fd00:20:30::3',)", "ipv6=()")) == [
        "+ nsenter --net=/run/netns/c3 sysctl -w net.ipv6.conf.eth0.disable_ipv6=0",
        "+ ip -n c3 address add fd00:20:30::3/64 dev eth0 nodad",
        "+ # when it goes: conntrack -D --reply-src fd00:20:30::3",
    ]


def test_where_the_guard_can_t_come_first_the_port_comes_up_behind_it():
    guard, pair, silent, *rest = ENDPOINT.splitlines()
    up = "ip link set vetheeeeeee up"
    expected = [pair.replace("eeeeeee up mtu", "eeeeeee mtu"), guard, silent, up, *rest]
    assert endpoint_plan(features=OLD).splitlines() == expected


def test_an_endpoint_with_everything():
    endpoint = attrs.evolve(
        END,
        interface="front0",
        link_local_ips=("169.254.7.7/16", "fe80::7/64"),
        sysctls=(("net/ipv4/conf/IFNAME/log_martians", "1"),),
    )
    driver = Bridge(mtu=9000, announcements=0, bridge_name="front")
    assert (
        endpoint_plan(driver, endpoint=endpoint)
        == """\
Guard(port='vetheeeeeee', mac='02:42:0a:14:1e:03', \
ipv4=('10.20.30.3', '169.254.7.7'), ipv6=('fe80::7',), owner='cnm:eeeeeeeeeeee', near=())
ip link add name vetheeeeeee up mtu 9000 group 269628502 master front \
type veth peer name front0 address 02:42:0a:14:1e:03 mtu 9000 netns c3; \
ip link set vetheeeeeee alias cnm:eeeeeeeeeeee
sysctl -w net.ipv6.conf.vetheeeeeee.disable_ipv6=1
nsenter --net=/run/netns/c3 sysctl -w net.ipv4.conf.front0.arp_notify=0
nsenter --net=/run/netns/c3 sysctl -w net.ipv4.conf.front0.log_martians=1
ip -n c3 address add 10.20.30.3/24 dev front0 brd +
ip -n c3 address add 169.254.7.7/16 dev front0 brd +
ip -n c3 address add fe80::7/64 dev front0 nodad
ip -n c3 link set front0 up
# when it goes: conntrack -D --reply-src 10.20.30.3
"""
    )


PORTS = {
    """\
# `cnm agent` has a socket bound to 0.0.0.0:8080/tcp
nft 'add element inet cnm publish4 { tcp . 8080 : 10.20.30.3 . 80 }'
# when it goes: conntrack -D -p tcp --orig-port-dst 8080
""": ("tcp", "0.0.0.0", 8080, "10.20.30.3", 80),
    """\
# `cnm agent` has a socket bound to 192.0.2.7:5353/udp
nft 'add element inet cnm publish4_at { 192.0.2.7 . udp . 5353 : 10.20.30.3 . 53 }'
conntrack -D -p udp --orig-port-dst 5353
""": ("udp", "192.0.2.7", 5353, "10.20.30.3", 53),
    """\
# `cnm agent` has a socket bound to [::]:9000/sctp
nft 'add element inet cnm publish6 { sctp . 9000 : fd00:20:30::3 . 9000 }'
# when it goes: conntrack -D -p sctp --orig-port-dst 9000
""": ("sctp", "::", 9000, "fd00:20:30::3", 9000),
    """\
# `cnm agent` has a socket bound to [::1]:8080/tcp
nft 'add element inet cnm publish6_at { ::1 . tcp . 8080 : fd00:20:30::3 . 80 }'
# when it goes: conntrack -D -p tcp --orig-port-dst 8080
""": ("tcp", "::1", 8080, "fd00:20:30::3", 80),
}


@pytest.mark.parametrize(("text", "ends"), PORTS.items())
def test_port(text, ends):
    protocol, host, port, address, target = ends
    binding = PortBinding(
        protocol=protocol, host_address=host, host_port=port, address=address, port=target
    )
    assert shown(Bridge().plan_port(NET, END, binding)) == text


@pytest.mark.parametrize(
    ("binding", "text"),
    [
        (("tcp", "0.0.0.0", 0, "10.20.30.3", 80), "open4 { 10.20.30.3 . tcp . 80 }"),
        (("udp", "::", 0, "fd00:20:30::3", 53), "open6 { fd00:20:30::3 . udp . 53 }"),
    ],
)
def test_a_port_that_is_open_at_the_endpoint(binding, text):
    fields = ("protocol", "host_address", "host_port", "address", "port")
    plan = Bridge().plan_port(NET, END, PortBinding(**dict(zip(fields, binding, strict=True))))
    element, flows = shown(plan).splitlines()
    assert element == f"nft 'add element inet cnm {text}'"
    assert flows.startswith("# when it goes: conntrack -D")


# What can't be


def test_a_network_needs_a_family():
    with pytest.raises(InvalidArgumentError, match="IPv4 or IPv6 must be enabled"):
        Bridge().validate(attrs.evolve(NET, ipv4=False, pools=[]), [])


def test_one_subnet_of_each_family():
    network = attrs.evolve(NET, pools=[FOUR, attrs.evolve(FOUR, subnet="10.20.31.0/24")])
    with pytest.raises(NotSupportedError, match="give one of each family"):
        Bridge().validate(network, [])


def test_no_two_networks_have_a_bridge():
    driver = Bridge(bridge_name="br-mine")
    other = attrs.evolve(
        NET, name="other", pools=[], options=Bridge(bridge_name="br-mine").to_options()
    )
    assert driver.device(NET) == "br-mine"
    with pytest.raises(AlreadyExistsError, match=r"other \(br-mine\): networks have same bridge"):
        driver.validate(NET, [other])


def test_no_two_networks_have_an_address():
    other = attrs.evolve(NET, id="f" * 64, pools=[Pool("wide", "10.20.0.0/16")])
    with pytest.raises(AlreadyExistsError, match="networks have overlapping IPv4"):
        Bridge().validate(NET, [other])


def test_nothing_is_published_on_an_internal_network():
    with pytest.raises(NotSupportedError, match="my_bridge is internal"):
        Bridge().refuse_publishing(attrs.evolve(NET, internal=True))
    Bridge().refuse_publishing(NET)


@pytest.mark.parametrize(
    ("driver", "network", "gateway"),
    [
        (Bridge(), NET, "10.20.30.1"),
        (Bridge(), attrs.evolve(NET, internal=True), "None"),
        (
            Bridge(),
            LED,
            "10.20.30.7",
        ),
        (Bridge(), attrs.evolve(LED, internal=True), "10.20.30.7"),
    ],
)
def test_gateway(driver, network, gateway):
    assert str(driver.gateway(network, network.pool(4))) == gateway


@pytest.mark.parametrize(
    ("driver", "network", "own", "hop", "inside"),
    [
        (Bridge(), NET, "10.20.30.3", "10.20.30.1", []),
        (Bridge(), LED, "10.20.30.3", "10.20.30.7", ["10.20.30.7"]),
        (Bridge(), LED, "10.20.30.7", "10.20.30.1", ["10.20.30.7"]),
        (Bridge(), attrs.evolve(LED, internal=True), "10.20.30.7", "None", ["10.20.30.7"]),
        (Bridge(inhibit_ipv4=True), NET, "10.20.30.3", "10.20.30.1", ["10.20.30.1"]),
        (Bridge(inhibit_ipv4=True), NET, "10.20.30.1", "None", ["10.20.30.1"]),
        (Bridge(inhibit_ipv4=True), LED, "10.20.30.7", "None", ["10.20.30.7", "10.20.30.1"]),
        (Bridge(external="eth0"), NET, "10.20.30.3", "10.20.30.1", ["10.20.30.1"]),
        (Bridge(external="eth0"), NET, "10.20.30.1", "None", ["10.20.30.1"]),
    ],
)
def test_a_sandbox_as_the_gateway(driver, network, own, hop, inside):
    pool = network.pool(4)
    assert str(driver.next_hop(network, pool, IPAddress(own))) == hop
    assert [str(each) for each in driver.gateways_inside(network, pool)] == inside


@pytest.mark.parametrize("force", [True, False])
def test_an_endpoint_that_forwards(force):
    """One more setting for each family; the guard knows whom it isn't from elsewhere for."""
    end = attrs.evolve(END6, forwarding=True)
    features = Features(force_forwarding=force)
    plan = Bridge().plan_endpoint(DUAL, end, BOX, features)
    more = plan.without(Bridge().plan_endpoint(DUAL, END6, BOX, features))
    (guard,) = [each for each in more if isinstance(each, Guard)]
    assert guard.near == tuple(str(pool.subnet) for pool in DUAL.pools)
    keys = [each.key for each in more if isinstance(each, Sysctl)]
    assert keys == [
        "net/ipv4/conf/eth0/forwarding",
        "net/ipv4/conf/eth0/arp_announce",
        *(["net/ipv6/conf/eth0/force_forwarding"] if force else []),
    ]
    # What it was given goes before it.
    given = attrs.evolve(end, sysctls=[("net/ipv4/conf/IFNAME/forwarding", "0")])
    assert [
        each.value
        for each in Bridge().plan_endpoint(DUAL, given, BOX, features)
        if isinstance(each, Sysctl) and each.key == keys[0]
    ] == ["0"]


def test_default_bindings():
    assert Bridge().default_bindings(NET) == ("0.0.0.0",)
    assert Bridge().default_bindings(DUAL) == ("0.0.0.0", "::")
    assert Bridge(binding="127.0.0.1").default_bindings(DUAL) == ("127.0.0.1",)
