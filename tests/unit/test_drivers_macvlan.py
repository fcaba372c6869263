"""What the drivers on a parent plan, as text, and what they refuse."""

from __future__ import annotations

import attrs
import pytest
from netaddr import EUI, IPAddress

from pycnm.drivers import Driver, Ipvlan, Macvlan, Use, hosting
from pycnm.errors import (
    InUseError,
    InvalidArgumentError,
    NoInterfaceError,
    NotSupportedError,
)
from pycnm.plan import Features
from pycnm.plan.host import Interface
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec

LAN = NetworkSpec(
    id="e66c99edcd07".ljust(64, "0"),
    name="lan",
    driver="macvlan",
    parent="eth0",
    pools=[Pool("four", "192.168.0.0/24", gateway="192.168.0.1")],
)
BOX = SandboxSpec(id="c1".ljust(64, "0"), name="c1", key="/run/netns/c1")
END = EndpointSpec(
    id="8be6cfc0d001".ljust(64, "0"),
    name="c1",
    network=LAN.id,
    ip="192.168.0.2/24",
    mac="02:42:c0:a8:00:02",
    interface="eth0",
)
MAC = EUI("02:00:00:00:00:77")
HOST_ID = "feed0123beef".ljust(64, "0")


def lines(plan):
    return str(plan).splitlines()


def test_an_endpoint():
    assert lines(Macvlan(parent="eth0").plan_endpoint(LAN, END, BOX, Features())) == [
        (
            "ip link add link eth0 name eth0 address 02:42:c0:a8:00:02 group 510052766 netns c1 "
            "type macvlan mode bridge; ip -n c1 link set eth0 alias cnm:8be6cfc0d001"
        ),
        "nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.forwarding=0",
        "ip -n c1 address add 192.168.0.2/24 dev eth0 brd +",
        "ip -n c1 link set eth0 up",
    ]


def test_what_an_endpoint_is_given_comes_before_our_own():
    end = attrs.evolve(END, sysctls={"net/ipv4/conf/IFNAME/forwarding": "1"})
    plan = lines(Macvlan(parent="eth0").plan_endpoint(LAN, end, BOX, Features()))
    assert [line for line in plan if "forwarding" in line] == [
        "nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.forwarding=1"
    ]


def test_an_endpoint_of_ipvlan():
    driver = Ipvlan(parent="eth0.10", mode="l3s", flag="private", mtu=1400)
    plan = driver.plan_endpoint(LAN, attrs.evolve(END, mac=None), BOX, Features())
    assert lines(plan)[0].startswith(
        "ip link add link eth0.10 name eth0 mtu 1400 group 510052766 netns c1 "
        "type ipvlan mode l3s private;"
    )


def test_a_network_has_nothing_of_its_own():
    assert lines(Macvlan(parent="eth0").plan_network(LAN, Use(), Features())) == []


def test_ipv6_inside():
    dual = attrs.evolve(END, ip6="fd00:9::2/64")
    keys = "net.ipv6.conf.eth0"
    own = lines(Macvlan(parent="eth0").plan_endpoint(LAN, dual, BOX, Features()))
    assert [line for line in own if "ipv6.conf" in line] == [
        f"nsenter --net=/run/netns/c1 sysctl -w {keys}.disable_ipv6=0"
    ]
    # One that somebody else made has settings of its own.
    theirs = attrs.evolve(BOX, adopted=True)
    plan = lines(Macvlan(parent="eth0").plan_endpoint(LAN, dual, theirs, Features()))
    assert f"nsenter --net=/run/netns/c1 sysctl -w {keys}.accept_ra=0" in plan
    plan = lines(Macvlan(parent="eth0").plan_endpoint(LAN, END, theirs, Features()))
    assert f"nsenter --net=/run/netns/c1 sysctl -w {keys}.disable_ipv6=1" in plan
    assert plan.index(f"nsenter --net=/run/netns/c1 sysctl -w {keys}.disable_ipv6=1") < plan.index(
        "ip -n c1 link set eth0 up"
    )


def test_the_host_on_the_network():
    pools = [
        Pool("four", "192.168.0.0/24", aux={"host": "192.168.0.223"}),
        Pool("more", "192.168.1.0/24"),
        Pool("six", "fd00:9::/64", aux={"host6": "fd00:9::2"}),
    ]
    net, driver = attrs.evolve(LAN, pools=pools), Macvlan(parent="eth0", host_access=True)
    shim = "mh-e66c99edcd07"
    plan = lines(driver.plan_network(net, Use(), Features()))
    assert plan[0] == (
        f"ip link add link eth0 name {shim} address 02:42:c0:a8:00:df group 510052766 "
        f"type macvlan mode bridge; ip link set {shim} alias cnm:e66c99edcd07"
    )
    assert f"sysctl -w net.ipv4.conf.{shim}.arp_ignore=1" in plan
    assert f"sysctl -w net.ipv6.conf.{shim}.accept_ra=0" in plan
    assert plan[-3:] == [
        f"ip address add 192.168.0.223/32 dev {shim}",
        f"ip address add fd00:9::2/128 dev {shim} nodad",
        f"ip link set {shim} up",
    ]
    end = attrs.evolve(END, ip6="fd00:9::3/64")
    assert lines(driver.plan_endpoint(net, end, BOX, Features()))[-2:] == [
        f"ip route add 192.168.0.2/32 dev {shim}",
        f"ip -6 route add fd00:9::3/128 dev {shim}",
    ]
    # Where the host has no address it could not be answered.
    end = attrs.evolve(END, ip="192.168.1.2/24")
    assert "route" not in str(driver.plan_endpoint(net, end, BOX, Features()))


def test_macs():
    address = IPAddress("192.168.0.2")
    assert Macvlan().mac(LAN, None, address) == EUI("02:42:c0:a8:00:02")
    assert Macvlan().mac(LAN, MAC, address) == MAC
    for driver in (Ipvlan(parent="eth0"), Macvlan(parent="eth0", mode="passthru")):
        assert driver.mac(LAN, None, address) is None
        with pytest.raises(NotSupportedError, match="of eth0; leave the MAC out"):
            driver.mac(LAN, MAC, address)


@pytest.mark.parametrize("driver", [Macvlan(), Ipvlan()])
def test_without_a_parent(driver):
    net = attrs.evolve(LAN, driver=driver.name, parent="")
    assert driver.is_internal(net)
    assert driver.device(net) == f"d{driver.name[0]}-e66c99edcd07"
    assert driver.gateway(attrs.evolve(net, internal=True), net.pools[0]) is None


def test_gateways():
    (pool,) = LAN.pools
    assert str(Macvlan(parent="eth0").gateway(LAN, pool)) == "192.168.0.1"
    assert str(Ipvlan(parent="eth0").gateway(LAN, pool)) == "192.168.0.1"
    assert Ipvlan(parent="eth0", mode="l3").gateway(LAN, pool) is None
    assert Ipvlan(parent="eth0", mode="l3").on_link(LAN)
    assert not Ipvlan(parent="eth0", mode="l3").on_link(attrs.evolve(LAN, internal=True))
    for driver in (Macvlan(parent="eth0"), Ipvlan(parent="eth0")):
        assert not driver.on_link(LAN)
        assert not driver.takes_gateway(LAN, 4)


REFUSED = [
    (Macvlan(parent="lo"), (), InvalidArgumentError, "loopback interface is not a valid macvlan"),
    (Ipvlan(parent="lo"), (), InvalidArgumentError, "loopback interface is not a valid ipvlan"),
    (Macvlan(parent="eth0", host_access=True, mode="vepa"), (), InvalidArgumentError, "use mode b"),
    (Ipvlan(parent="eth0", host_access=True, flag="vepa"), (), InvalidArgumentError, "use flag b"),
    (Ipvlan(parent="eth0", mode="l3"), (), InvalidArgumentError, "in mode l3 there is no gateway"),
    (Ipvlan(parent="eth0"), ({"driver": "ipvlan"},), InUseError,
     "network other is already using parent interface eth0"),
    (Ipvlan(parent="eth0"), ({},), InUseError, "already using parent interface eth0 as macvlan"),
    (Macvlan(parent="eth0"), ({"driver": "ipvlan"},), InUseError, "interface eth0 as ipvlan"),
    (Macvlan(parent="eth0"), ({"options": {"macvlan_mode": "passthru"}},), InUseError,
     "macvlan network other is already using parent interface eth0 in mode passthru"),
    (Macvlan(parent="eth0", mode="passthru"), ({},), InUseError,
     "cannot use mode passthru, macvlan network other is already using parent interface eth0"),
]  # fmt: skip


@pytest.mark.parametrize(("driver", "others", "error", "words"), REFUSED)
def test_refused(driver, others, error, words):
    beside = [
        attrs.evolve(LAN, **({"id": "f" * 64, "name": "other", "options": {}} | other))
        for other in others
    ]
    with pytest.raises(error, match=words):
        driver.validate(LAN, beside)


def test_accepted_beside_others():
    other = attrs.evolve(LAN, id="f" * 64, name="other")
    for mode in ("bridge", "private", "vepa"):
        Macvlan(parent="eth0", mode=mode).validate(LAN, [other])
    with pytest.raises(InvalidArgumentError, match="IPv4 or IPv6 must be enabled"):
        Macvlan(parent="eth0").validate(attrs.evolve(LAN, ipv4=False), [])


@pytest.mark.parametrize(
    ("key", "driver", "words"),
    [
        ("macvlan_mode", Macvlan,
         "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"),
        ("ipvlan_mode", Ipvlan,
         "requested ipvlan mode 'x' is not valid, 'l2' mode is the ipvlan driver default"),
        ("ipvlan_flag", Ipvlan,
         "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default"),
    ],
)  # fmt: skip
def test_words_are_refused_as_docker_does_it(key, driver, words):
    with pytest.raises(InvalidArgumentError, match=words):
        driver.from_options({key: "x"})


def test_a_driver_whose_value_is_given_is_the_same_as_its_options():
    driver = Macvlan(parent="eth0", mode="vepa", mtu=1400)
    options = {
        "parent": "eth0",
        "macvlan_mode": "vepa",
        "com.docker.network.driver.mtu": "1400",
    }
    assert driver.to_options() == options
    assert Macvlan.from_options(options) == driver
    assert issubclass(Macvlan, Driver)


# What it sits on


def plan_parent(name, *there, kinds=("dummy", "ifb", "vlan")):
    found = {each.name: each for each in there}
    return lines(hosting.plan_parent(name, HOST_ID, found.get, lambda kind: kind in kinds))


ETH0 = Interface("eth0")
MARK = "cnm:parent:feed0123beef"


def test_a_parent_of_the_host_is_left_as_it_is():
    assert plan_parent("eth0", ETH0) == ["# eth0 is there, and up: `ip link show eth0`"]
    # Somebody made the VLAN already.
    theirs = Interface("eth0.10", "vlan")
    assert plan_parent("eth0.10", ETH0, theirs) == [
        "# eth0.10 is there, and up: `ip link show eth0.10`"
    ]
    elsewhere = attrs.evolve(theirs, alias="cnm:parent:000000000000")
    assert len(plan_parent("eth0.10", ETH0, elsewhere)) == 1


@pytest.mark.parametrize("there", [(ETH0,), (ETH0, Interface("eth0.10", "vlan", MARK))])
def test_a_vlan_is_made(there):
    assert plan_parent("eth0.10", *there) == [
        "# eth0 is there, and up: `ip link show eth0`",
        (
            "ip link add link eth0 name eth0.10 group 804179986 type vlan id 10; "
            f"ip link set eth0.10 alias {MARK}"
        ),
        "sysctl -w net/ipv6/conf/eth0.10/disable_ipv6=1",
        "ip link set eth0.10 up",
    ]


@pytest.mark.parametrize(("kinds", "kind"), [(("dummy", "ifb"), "dummy"), (("ifb",), "ifb")])
def test_what_stands_for_a_parent(kinds, kind):
    plan = plan_parent("dm-e66c99edcd07", kinds=kinds)
    about = "address 02:42:e6:6c:99:ed group 804179986"
    assert f"name dm-e66c99edcd07 {about} type {kind}" in plan[0]
    assert plan[-1] == "ip link set dm-e66c99edcd07 up"


@pytest.mark.parametrize(
    ("name", "there", "error", "words"),
    [
        ("eth9", (), NoInterfaceError, "not found on the host: eth9; `ip link` shows"),
        ("eth9.10", (), NoInterfaceError, "not found on the host: eth9; `ip link` shows"),
        ("eth0.0", (ETH0,), InvalidArgumentError, "must be between 1-4094, received: 0"),
        ("eth0.4095", (ETH0,), InvalidArgumentError, "must be between 1-4094, received: 4095"),
        ("eth0.", (ETH0,), InvalidArgumentError, "invalid subinterface vlan name eth0., "),
        (".10", (ETH0,), InvalidArgumentError, "invalid subinterface vlan name .10, "),
        ("eth0.1.2", (ETH0,), InvalidArgumentError, "example formatting is eth0.10"),
        ("eth0.10", (Interface("eth0", master="br0"),), NotSupportedError, "give br0 as the par"),
        ("br-1", (Interface("br-1", "bridge", "cnm:1"),), NotSupportedError, "pycnm's own"),
    ],
)
def test_a_parent_that_can_t_be(name, there, error, words):
    with pytest.raises(error, match=words):
        plan_parent(name, *there)


def test_a_kernel_that_lacks_something():
    with pytest.raises(NotSupportedError, match=r"no links of kind vlan.*`modprobe 8021q`"):
        plan_parent("eth0.10", ETH0, kinds=())
    with pytest.raises(NotSupportedError, match=r"no links of kind dummy.*without a parent needs"):
        plan_parent("dm-e66c99edcd07", kinds=())
