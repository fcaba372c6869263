"""Root in a sandbox does with its own interface what it likes, and is nobody else by it.

Each attack is made once more without the guard of its port, and works then.
"""

from __future__ import annotations

import contextlib
import socket
import struct

import frames
import pytest
from topology import IMPATIENCE, PATIENCE, inside, until

A4, B4, GATEWAY4, FAR4 = "10.2.0.2", "10.2.0.3", "10.2.0.1", "192.0.2.66"
A6, GATEWAY6 = "fd00:2::2", "fd00:2::1"
MACS, GROUPS = 10_000, 5_000


@pytest.fixture
def net(cnm):
    return cnm.create_network("n", subnet=["10.2.0.0/24", "fd00:2::/64"])


@pytest.fixture
def boxes(cnm, net):
    made = {name: cnm.create_sandbox(name) for name in ("a", "b")}
    for box in made.values():
        net.connect(box)
    yield made
    # What root has done inside is put right, so that the host can be compared.
    cnm.reconcile()


@pytest.fixture
def a(boxes):
    """The attacker."""
    place = inside(boxes["a"])
    yield place
    for name in place.interfaces():
        if name not in {"lo", "eth0"}:
            place.do(lambda name=name: place.popen("ip", "link", "del", name).wait())


@pytest.fixture
def b(boxes):
    """The victim."""
    return inside(boxes["b"])


@pytest.fixture
def disarm(host):
    """Takes the guard of a sandbox's port away, for the control."""

    def take_away(box, network=0):
        port = box.endpoints[network].host_interface
        host.run("nft", "delete", "table", "netdev", f"cnm_{port}")

    return take_away


def bridge_of(net):
    return f"br-{net.id[:12]}"


@contextlib.contextmanager
def ear(place, interface="eth0"):
    """Hears what comes to an interface, and is a mouth as well."""
    with place.do(lambda: frames.packet_socket(interface)) as opened:
        yield opened


def hears(opened, marker, patience):
    def look():
        with contextlib.suppress(TimeoutError):
            while True:
                if marker in opened.recv(1 << 16):
                    return True
        return False

    return until(look, patience)


# Another name than its own


def another_mac(a):
    a.batch("link set eth0 down", "link set eth0 address 02:00:00:00:00:99", "link set eth0 up")
    return "eth0", A4


def another_address(a):
    a.batch("address add 10.2.0.77/24 dev eth0")
    return "eth0", "10.2.0.77"


def another_ip6_address(a):
    a.batch("address add fd00:2::77/64 dev eth0 nodad")
    return "eth0", "fd00:2::77"


def the_victims_address(a):
    a.batch(f"address add {B4}/24 dev eth0")
    return "eth0", B4


def the_address_of_a_stranger(a):
    a.batch("address add 198.51.100.7/32 dev eth0")
    return "eth0", "198.51.100.7"


def a_macvlan(a):
    a.batch(
        "link add up0 link eth0 type macvlan mode bridge",
        "address add 10.2.0.78/24 dev up0",
        "link set up0 up",
    )
    return "up0", "10.2.0.78"


def somebody_behind_a_bridge(a):
    a.batch(
        "link add br9 type bridge forward_delay 0",
        "link add p0 type veth peer name p1",
        "link set eth0 master br9",
        "link set p0 master br9 up",
        "address add 10.2.0.79/24 dev p1",
        "link set p1 up",
        "link set br9 up",
    )
    return "p1", "10.2.0.79"


@pytest.mark.parametrize(
    "become",
    [
        another_mac,
        another_address,
        another_ip6_address,
        the_victims_address,
        the_address_of_a_stranger,
        a_macvlan,
        somebody_behind_a_bridge,
    ],
    ids=lambda become: become.__name__,
)
def test_it_speaks_under_its_own_name_alone(a, boxes, host, net, disarm, tally, become):
    interface, source = become(a)
    six = ":" in source
    target, family = (GATEWAY6, socket.AF_INET6) if six else (GATEWAY4, socket.AF_INET)
    gateway = host.link(bridge_of(net))["address"]
    # It needn't ask who has the gateway's address: nobody would hear it.
    a.batch(f"neigh replace {target} lladdr {gateway} dev {interface} nud permanent")

    def speaks(marker):
        with a.socket(family, socket.SOCK_DGRAM) as mouth:
            a.do(
                lambda: mouth.setsockopt(
                    socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode()
                )
            )
            mouth.bind((source, 0))
            mouth.sendto(marker, (target, 9))

    with ear(host, bridge_of(net)) as opened:
        speaks(b"guarded")
        assert not hears(opened, b"guarded", IMPATIENCE)
        disarm(boxes["a"])
        assert until(lambda: speaks(b"unguarded") or hears(opened, b"unguarded", 0.1))
    tally("attacks", "root changes its interface", made=1, through=0, without_defence=1)


def test_it_speaks_no_ip6_where_its_network_has_none(cnm, host, disarm, tally):
    """Though root can switch it on at its own end."""
    net = cnm.create_network("four", subnet="10.4.0.0/24")
    boxes = [cnm.create_sandbox(name) for name in ("c", "d")]
    for box in boxes:
        net.connect(box)
    c, d = map(inside, boxes)
    for place in (c, d):
        place.set_sysctl(net__ipv6__conf__eth0__disable_ipv6=0)
        assert until(lambda place=place: place.addresses("eth0", 6))
    target = f"{d.addresses('eth0', 6)[0].partition('/')[0]}%eth0"
    assert not c.ping(target, IMPATIENCE)
    for box in boxes:
        disarm(box)
    assert until(lambda: c.ping(target))
    tally("attacks", "root switches IPv6 on", made=1, through=0, without_defence=1)
    cnm.reconcile()


def test_who_is_on_two_networks_does_not_join_them(cnm, net, boxes, host, disarm, tally):
    """Neither as a router nor as a bridge between them."""
    other = cnm.create_network("m", subnet="10.1.0.0/24")
    c = cnm.create_sandbox("c")
    other.connect(c)
    other.connect(boxes["a"])
    a = inside(boxes["a"])
    a.set_sysctl(net__ipv4__ip_forward=1)
    inside(c).batch(f"route add 10.2.0.0/24 via {a.addresses('eth1')[0].partition('/')[0]}")
    with ear(inside(boxes["b"])) as opened, ear(inside(c)) as mouth:
        source = frames.udp(4000, 9, b"routed", ("10.1.0.2", B4))
        packet = frames.ip4("10.1.0.2", B4, frames.UDP, source)

        def send(to):
            mouth.send(frames.frame(inside(c).link("eth0")["address"], to, frames.IP, packet))

        send(a.link("eth1")["address"])
        assert not hears(opened, b"routed", IMPATIENCE)
        a.batch(
            "link add br9 type bridge forward_delay 0",
            "link set eth0 master br9",
            "link set eth1 master br9",
            "link set br9 up",
        )
        try:
            send(inside(boxes["b"]).link("eth0")["address"])
            assert not hears(opened, b"routed", IMPATIENCE)
            disarm(boxes["a"], 0)
            disarm(boxes["a"], 1)
            victim = inside(boxes["b"]).link("eth0")["address"]
            assert until(lambda: send(victim) or hears(opened, b"routed", 0.1))
        finally:
            a.batch("link del br9")
        assert until(
            lambda: send(a.link("eth1")["address"]) or hears(opened, b"routed", 0.1), PATIENCE
        )
    tally("attacks", "root joins two networks", made=2, through=0, without_defence=2)


# What it tells the others


def test_a_redirect_in_the_gateways_name(a, b, boxes, host, net, disarm, tally):
    """An ICMP redirect leads the victim's packets to whoever sends it (RFC 792)."""
    gateway, victim = host.link(bridge_of(net))["address"], b.link("eth0")["address"]
    told = frames.ip4(B4, FAR4, frames.ICMP, frames.icmp(0, bytes(8)))
    message = frames.icmp(5, frames.packed(A4) + told, code=1)

    def believes(source, mac):
        packet = frames.ip4(source, B4, frames.ICMP, message)
        with ear(a) as mouth:
            mouth.send(frames.frame(mac, victim, frames.IP, packet))
        return A4 in b.run("ip", "route", "get", FAR4)

    own = a.link("eth0")["address"]
    ways = [(GATEWAY4, gateway), (GATEWAY4, own), (A4, own)]
    assert not any(believes(*way) for way in ways for _ in range(3))
    disarm(boxes["a"])
    assert until(lambda: believes(GATEWAY4, gateway))
    tally("attacks", "redirects", made=9, through=0, without_defence=1)


def test_a_better_root_bridge(a, boxes, host, net, disarm, tally):
    """Even where the administrator has switched the spanning tree protocol on."""
    bridge = bridge_of(net)
    host.batch(f"link set {bridge} type bridge stp_state 1")
    root = bytes(2) + frames.mac("02:00:00:00:00:01")
    words = struct.pack("!HBBB", 0, 0, 0, 0) + root + bytes(4) + root
    # A bridge has the times of its root, and keeps them: 20 s, 2 s, and no delay, as ours.
    words += struct.pack("!HHHHH", 0x8001, 0, 20 << 8, 2 << 8, 0)
    body = bytes([0x42, 0x42, 3]) + words
    frame = frames.frame(a.link("eth0")["address"], "01:80:c2:00:00:00", len(body), body)

    def rules():
        with ear(a) as mouth:
            mouth.send(frame)
        return int(host.link(bridge)["linkinfo"]["info_data"]["root_port"]) != 0

    try:
        assert not any(rules() for _ in range(5))
        disarm(boxes["a"])
        assert until(rules)
    finally:
        host.batch(f"link set {bridge} type bridge stp_state 0")
    tally("attacks", "spanning tree", made=5, through=0, without_defence=1)


# Floods


def known(host, net):
    """How many MAC addresses the bridge knows."""
    shown = host.run("bridge", "fdb", "show", "br", bridge_of(net), "dynamic")
    return len(shown.splitlines())


def test_a_flood_of_macs(a, b, boxes, host, net, disarm, tally):
    """A bridge that knows too many is a hub, and its table is memory."""

    def flood():
        with ear(a) as mouth:
            for number in range(MACS):
                source = b"\x02\x01" + number.to_bytes(4, "big")
                mouth.send(b"\xff" * 6 + source + b"\x88\xb5" + bytes(46))

    before = known(host, net)
    flood()
    assert known(host, net) <= before + 2
    disarm(boxes["a"])
    flood()
    assert known(host, net) > MACS // 2
    tally("attacks", "MAC addresses", made=MACS, through=0, without_defence=known(host, net))
    host.run("bridge", "fdb", "flush", "dev", bridge_of(net), "dynamic")
