"""What a macvlan sandbox is to the wire, and the wire to it: what is kept apart, and what isn't."""

from __future__ import annotations

import contextlib

import pytest
from frames import ARP, BROADCAST, arp, frame, packet_socket
from lan import LAN, ROUTER, mac, on
from test_ipv6 import advertise, deceived
from topology import IMPATIENCE, inside, until

from pycnm import Macvlan

SIX = {"subnet": ["192.168.0.0/24", "fd00:9::/64"]}
OTHER = "02:00:00:00:00:99"


def say(place, *sent):
    """Send frames from a place's eth0, as root there can."""
    with place.do(lambda: packet_socket("eth0")) as opened:
        for each in sent:
            opened.send(each)


# What is believed


@pytest.fixture
def unmoved(host, router):
    """The host believes no router, so that it is as it was in the end."""
    host.set_sysctl(net__ipv6__conf__eth0__accept_ra=0)


@pytest.mark.parametrize("adopted", [False, True])
def test_no_router_on_the_wire_is_believed(unmoved, lan, router, machine, adopted):
    """It gives no address and no route; the gateway is what was configured."""
    net = lan.create_network("lan", "macvlan", parent="eth0", **SIX)
    if adopted:
        machine("theirs")
    box = lan.create_sandbox("c1", netns="theirs" if adopted else None)
    net.connect(box, interface="lan0")
    before = inside(box).routes(6)
    with inside(box).capture("lan0", "icmp6") as seen:
        advertise(router, "eth0")
        assert seen.find("router advertisement")
    assert not deceived(inside(box))
    assert inside(box).routes(6) == before


def test_a_plain_machine_believes_it(host, router):
    """So the advertisements of these tests are good ones."""
    assert until(lambda: advertise(router, "eth0") or deceived(host))


def test_a_sandbox_is_no_router_for_its_neighbours(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **SIX)
    (c1, _), (c2, _) = on(lan, net, "c1", "c2")
    with c2.capture("eth0", "icmp6") as seen:
        advertise(c1, "eth0")
        # Nothing stops it on its way.
        assert seen.find("router advertisement")
    assert not deceived(c2)


def test_who_asks_for_it_believes_routers(unmoved, lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **SIX)
    ((c1, _),) = on(lan, net, "c1", sysctls={"net.ipv6.conf.IFNAME.accept_ra": "1"})
    assert until(lambda: advertise(router, "eth0") or deceived(c1))
    assert lan.check() == []


# What isn't kept apart


def test_it_may_pretend_on_the_wire(lan, router):
    """There is no guard: root in a sandbox sends what it likes."""
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    ((c1, _),) = on(lan, net, "c1")
    lie = arp("192.168.0.222", OTHER, ROUTER, BROADCAST, operation=1)
    with router.capture("eth0", "arp") as seen:
        say(c1, frame(OTHER, BROADCAST, ARP, lie))
        assert seen.find(rf"{OTHER} > {BROADCAST}.* tell 192\.168\.0\.222")


def test_networks_on_one_parent_are_one_wire(lan, router):
    one = lan.create_network("one", "macvlan", parent="eth0", subnet="192.168.0.0/24")
    two = lan.create_network("two", "macvlan", parent="eth0", subnet="192.168.2.0/24")
    ((c1, _),), ((_, end),) = on(lan, one, "c1"), on(lan, two, "c2")
    c1.batch("address add 192.168.2.99/24 dev eth0")
    assert c1.ping(end.ip)


# What the kernel keeps apart


def test_the_mac_of_another_can_t_be_had(lan, router):
    """What is sent to a MAC goes to who had it first, whatever another one calls itself."""
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    (c1, first), (c2, _) = on(lan, net, "c1", "c2")
    with contextlib.suppress(AssertionError):
        c2.batch(f"link set eth0 address {mac(first)}")
    assert c2.link("eth0")["address"] != mac(first)
    with c2.capture("eth0", "icmp") as seen:
        lie = arp("192.168.0.2", mac(first), ROUTER, BROADCAST)
        say(c2, frame(mac(first), BROADCAST, ARP, lie))
        assert router.ping("192.168.0.2")
    assert "".join(seen.lines).strip() == ""
    assert c1.ping(ROUTER)


def test_the_host_hears_nothing_of_it(lan, host, router):
    """Frames to the host's own MAC and address stay on the wire."""
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    ((c1, _),) = on(lan, net, "c1")
    own = host.link("eth0")["address"]
    c1.batch(f"neigh add 192.168.0.100 lladdr {own} dev eth0")
    with host.serve("80"):
        assert c1.ask("192.168.0.100", 80, patience=IMPATIENCE) is None
        assert router.ask("192.168.0.100", 80)


def test_an_internal_network_has_no_way_to_a_wire(lan, host, router):
    net = lan.create_network("apart", "macvlan", subnet="192.168.0.0/24")
    ((c1, _),) = on(lan, net, "c1", ip="192.168.0.9")
    everything = frame(OTHER, BROADCAST, ARP, arp("192.168.0.9", OTHER, ROUTER, BROADCAST))
    with router.capture("eth0") as seen, host.capture("eth0") as near:
        say(c1, everything)
        assert not c1.ping(ROUTER, patience=IMPATIENCE)
        assert not c1.ping("192.168.0.100", patience=IMPATIENCE)
    assert not [line for line in seen.lines + near.lines if OTHER in line or "192.168.0.9" in line]


def test_passthru_takes_the_host_off_the_wire_and_gives_it_back(lan, host, router):
    assert router.ping("192.168.0.100")
    net = lan.create_network("lan", Macvlan(parent="eth0", mode="passthru"), **LAN)
    ((c1, _),) = on(lan, net, "c1")
    assert c1.ping(ROUTER)
    assert not router.ping("192.168.0.100", patience=IMPATIENCE)
    net.disconnect("c1")
    assert router.ping("192.168.0.100")


@pytest.fixture
def second(machine, host):
    """A machine on another wire of the host."""
    found = machine("second")
    host.wire(found, ["172.30.0.100/24"], ["172.30.0.1/24"], interface="eth1")
    return found


@pytest.mark.parametrize("forwards", [None, "1"])
def test_who_is_on_two_wires_joins_them_only_if_told(second, lan, router, forwards):
    one = lan.create_network("one", "macvlan", parent="eth0", **LAN)
    two = lan.create_network("two", "macvlan", parent="eth1", subnet="172.30.0.0/24")
    box = lan.create_sandbox("c1")
    # Where the machine is a router, so is each new namespace.
    inside(box).set_sysctl(net__ipv4__ip_forward=1)
    sysctls = {"net.ipv4.conf.IFNAME.forwarding": forwards} if forwards else {}
    one.connect(box, sysctls=sysctls)
    two.connect(box, ip="172.30.0.2", sysctls=sysctls)
    c1 = inside(box)
    assert c1.ping(ROUTER)
    assert c1.ping("172.30.0.1")
    router.route("172.30.0.0/24 via 192.168.0.2")
    # The sandbox that forwards has a way; the other side has one back.
    second.route("192.168.0.0/24 via 172.30.0.2")
    assert router.ping("172.30.0.1", patience=5 if forwards else IMPATIENCE) is bool(forwards)
    assert lan.check() == []
