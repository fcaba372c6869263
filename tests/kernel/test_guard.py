"""The guard of a bridge port against real frames; each attack works without it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import struct
import subprocess
import time

import frames
import pytest
from features import has
from frames import (
    ADVERTISEMENT,
    ALL_NODES,
    ARP,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_OPTIONS,
    ICMP,
    ICMP6,
    IP,
    IP6,
    LISTENER_REPORT,
    NO_OPTIONS,
    NO_SEGMENTS,
    PROVIDER_VLAN,
    REDIRECT,
    ROUTER_ALERT,
    ROUTER_SOLICITATION,
    ROUTING,
    SOLICITATION,
    TCP,
    UDP,
    VLAN,
    fragment_header,
    mac,
    packed,
    packet_socket,
    udp,
)
from traffic import SLOWNESS

from pycnm.kernel import netns, nfnetlink
from pycnm.kernel.netlink import NETLINK_NETFILTER, Socket
from pycnm.kernel.worker import run_apart
from pycnm.nft import ruleset

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own"
)

TABLE = "cnm_vetha"
MAC, MAC_B, MAC_GATEWAY = "02:42:0a:14:1e:02", "02:42:0a:14:1e:03", "02:42:0a:14:1e:01"
OWN4, SECOND4, B4, GATEWAY4 = "10.20.30.2", "10.20.30.22", "10.20.30.3", "10.20.30.1"
OWN6, B6, GATEWAY6 = "fd00::2", "fd00::3", "fd00::1"
LOCAL, B_LOCAL = "fe80::42:aff:fe14:1e02", "fe80::42:aff:fe14:1e03"


# What `a` can send


def frame(kind, payload, source=MAC, destination=MAC_B):
    return frames.frame(source, destination, kind, payload)


def arp(sender, sender_mac=MAC, operation=2, target=B4, htype=1):
    return frame(ARP, frames.arp(sender, sender_mac, target, MAC_B, operation, htype))


def ip4(payload, source=OWN4, protocol=UDP, **how):
    return frames.ip4(source, B4, protocol, payload, **how)


def ip6(payload, source=OWN6, protocol=UDP, destination=B6, *, flow=0):
    return frames.ip6(source, destination, protocol, payload, flow=flow)


def icmp6(kind, body, source=OWN6, destination=B6, headers=()):
    """An ICMPv6 message behind extension headers, each given by number and contents."""
    message = frames.icmp6(kind, body, (source, destination))
    return frame(IP6, frames.ip6(source, destination, ICMP6, message, headers=headers))


def router_advertisement(source=LOCAL, headers=()):
    body = frames.router_advertisement(MAC)
    return icmp6(frames.ROUTER_ADVERTISEMENT, body, source, ALL_NODES, headers)


def neighbour_advertisement(target, source=OWN6):
    body = struct.pack("!I", 0x60000000) + packed(target) + bytes([2, 1]) + mac(MAC)
    return icmp6(ADVERTISEMENT, body, source)


def solicitation(target, source="::"):
    option = b"" if source == "::" else bytes([1, 1]) + mac(MAC)
    return icmp6(SOLICITATION, bytes(4) + packed(target) + option, source)


def redirect():
    return icmp6(REDIRECT, bytes(4) + packed(LOCAL) + packed("2001:db8::9"), LOCAL)


def tagged(kind, inner, tag=VLAN):
    return frames.tagged(frame(kind, inner), tag)


REPORT = struct.pack("!HHBBH", 0, 1, 4, 0, 0) + packed("ff02::1:ff00:2")


def hiding(protocol):
    """A first fragment that ends within options, before the header of `protocol`."""
    return fragment_header(more=True) + bytes([protocol, 9]) + bytes(6)


ATTACKS = {
    "arp-claims-the-gateway": arp(GATEWAY4),
    "arp-claims-the-victim": arp(B4, operation=1),
    "arp-probes-for-the-victim": arp("0.0.0.0", operation=1),
    "arp-with-anothers-mac-inside": arp(OWN4, sender_mac=MAC_B),
    "arp-of-another-kind-of-link": arp(GATEWAY4, htype=6),
    "arp-own-of-another-kind-of-link": arp(OWN4, htype=6),
    "arp-from-anothers-mac": arp(OWN4)[:6] + mac(MAC_GATEWAY) + arp(OWN4)[12:],
    "ip-from-anothers-address": frame(IP, ip4(udp(), GATEWAY4)),
    "ip-from-nobody": frame(IP, ip4(udp(68, 67), "0.0.0.0")),
    "ip-from-the-loopback": frame(IP, ip4(udp(), "127.0.0.1")),
    "ip-from-anothers-mac": frame(IP, ip4(udp()), source=MAC_GATEWAY),
    "ip-fragment-from-anothers-address": frame(IP, ip4(b"x" * 16, GATEWAY4, fragment=3)),
    "ip6-from-anothers-address": frame(IP6, ip6(udp(), GATEWAY6)),
    "ip6-from-anothers-link-local": frame(IP6, ip6(udp(), B_LOCAL)),
    "ip6-from-anothers-mac": frame(IP6, ip6(udp()), source=MAC_GATEWAY),
    "ip6-fragment-from-anothers-address": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(3) + b"x" * 16, GATEWAY6, FRAGMENT)
    ),
    "na-for-the-gateway": neighbour_advertisement(GATEWAY6),
    "na-for-the-victim": neighbour_advertisement(B6),
    "na-from-nobody": neighbour_advertisement(OWN6, "::"),
    "na-from-anothers-address": neighbour_advertisement(GATEWAY6, GATEWAY6),
    "na-for-the-gateway-behind-options": icmp6(
        ADVERTISEMENT,
        struct.pack("!I", 0x60000000) + packed(GATEWAY6) + bytes([2, 1]) + mac(MAC),
        headers=[(DESTINATION_OPTIONS, NO_OPTIONS)],
    ),
    "ns-that-spoils-the-detection-of-duplicates": solicitation(B6),
    "ns-from-anothers-address": solicitation(B6, GATEWAY6),
    "ra": router_advertisement(),
    "ra-from-a-global-address": router_advertisement(OWN6),
    "ra-from-the-gateways-address": router_advertisement("fe80::1"),
    "ra-behind-hop-by-hop-options": router_advertisement(headers=[(HOP_OPTIONS, NO_OPTIONS)]),
    "ra-behind-destination-options": router_advertisement(
        headers=[(DESTINATION_OPTIONS, NO_OPTIONS)]
    ),
    "ra-behind-everything": router_advertisement(
        headers=[
            (HOP_OPTIONS, NO_OPTIONS),
            (ROUTING, NO_SEGMENTS),
            (DESTINATION_OPTIONS, NO_OPTIONS),
        ]
    ),
    "ra-in-an-only-fragment": router_advertisement(headers=[(FRAGMENT, fragment_header())]),
    "ra-in-a-first-fragment": router_advertisement(
        headers=[(FRAGMENT, fragment_header(more=True))]
    ),
    "ra-in-a-fragment-behind-options": router_advertisement(
        headers=[(DESTINATION_OPTIONS, NO_OPTIONS), (FRAGMENT, fragment_header(more=True))]
    ),
    "first-fragment-that-hides-a-message": frame(
        IP6, ip6(bytes([DESTINATION_OPTIONS]) + hiding(ICMP6), LOCAL, FRAGMENT)
    ),
    "first-fragment-that-hides-an-answer": frame(
        IP6, ip6(bytes([DESTINATION_OPTIONS]) + hiding(UDP), LOCAL, FRAGMENT)
    ),
    "first-fragment-that-hides-headers": frame(
        IP6, ip6(bytes([DESTINATION_OPTIONS]) + hiding(DESTINATION_OPTIONS), LOCAL, FRAGMENT)
    ),
    "first-fragment-that-hides-a-target": frame(
        IP6,
        ip6(
            bytes([ICMP6]) + fragment_header(more=True) + bytes([ADVERTISEMENT]) + bytes(7),
            LOCAL,
            FRAGMENT,
        ),
    ),
    "redirect": redirect(),
    "dhcp-answer": frame(IP, ip4(udp(67, 68))),
    "dhcp-answer-from-any-port": frame(IP, ip4(udp(1067, 68))),
    "dhcp-answer-with-options": frame(IP, ip4(udp(67, 68), options=bytes([1] * 8))),
    "dhcp-answer-in-a-first-fragment": frame(IP, ip4(udp(67, 68), fragment=0x2000)),
    "dhcpv6-answer": frame(IP6, ip6(udp(547, 546), LOCAL)),
    "dhcpv6-answer-from-any-port": frame(IP6, ip6(udp(1547, 546))),
    "dhcpv6-answer-in-a-first-fragment": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(more=True) + udp(547, 546), LOCAL, FRAGMENT)
    ),
    "dhcpv6-answer-behind-options": frame(
        IP6, ip6(bytes([UDP]) + NO_OPTIONS + udp(547, 546), LOCAL, DESTINATION_OPTIONS)
    ),
    "vlan": tagged(IP, ip4(udp())),
    "vlan-with-ip6": tagged(IP6, ip6(udp())),
    "vlan-with-arp": tagged(ARP, arp(OWN4, target=SECOND4)[14:]),
    "vlan-of-a-provider": tagged(IP, ip4(udp()), tag=PROVIDER_VLAN),
    "vlan-in-vlan": tagged(VLAN, struct.pack("!HH", 6, IP) + ip4(udp())),
    "rarp": frame(0x8035, arp(OWN4)[14:]),
    "lldp": frame(0x88CC, bytes(40)),
    "eapol": frame(0x888E, bytes(40)),
    "mpls": frame(0x8847, bytes(4) + ip4(udp())),
    "spanning-tree": frame(39, bytes([0x42, 0x42, 3]) + bytes(36)),
    "experimental": frame(0x88B5, bytes(40)),
}
INNOCENT = {
    "ip-tcp": frame(IP, ip4(bytes(20), protocol=TCP)),
    "ip-udp": frame(IP, ip4(udp())),
    "ip-udp-from-port-68": frame(IP, ip4(udp(68, 67))),
    "ip-first-fragment": frame(IP, ip4(udp(), fragment=0x2000)),
    "ip-icmp": frame(IP, ip4(bytes([8]) + bytes(7), protocol=ICMP)),
    "ip-icmp-that-looks-like-an-answer": frame(
        IP, ip4(bytes([0, 0, 0, 68]) + bytes(4), protocol=ICMP)
    ),
    "ip-with-options": frame(IP, ip4(udp(), options=bytes([1] * 8))),
    "ip-second-address": frame(IP, ip4(udp(), SECOND4)),
    "ip-later-fragment": frame(IP, ip4(b"x" * 16, fragment=3)),
    "ip-later-fragment-that-looks-like-an-answer": frame(IP, ip4(udp(67, 68), fragment=3)),
    "ip-to-all": frame(IP, ip4(udp()), destination="ff:ff:ff:ff:ff:ff"),
    "arp-request": arp(OWN4, operation=1),
    "arp-reply": arp(OWN4),
    "arp-second-address": arp(SECOND4),
    "arp-announcement": arp(OWN4, operation=1, target=OWN4),
    "ip6-tcp": frame(IP6, ip6(bytes(20), protocol=TCP)),
    "ip6-udp": frame(IP6, ip6(udp())),
    "ip6-udp-from-port-67": frame(IP6, ip6(udp(546, 547))),
    "ip6-link-local": frame(IP6, ip6(udp(), LOCAL)),
    "ip6-behind-options": frame(IP6, ip6(bytes([UDP]) + NO_OPTIONS + udp(), OWN6, HOP_OPTIONS)),
    "ip6-first-fragment": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(more=True) + udp(), OWN6, FRAGMENT)
    ),
    "ip6-later-fragment-that-looks-like-an-answer": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(3) + udp(547, 546), OWN6, FRAGMENT)
    ),
    "ip6-later-fragment-of-any-flow": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(3) + b"x" * 16, OWN6, FRAGMENT, flow=546)
    ),
    "ip6-later-fragment-behind-options": frame(
        IP6,
        ip6(
            bytes([FRAGMENT]) + NO_OPTIONS + bytes([TCP]) + fragment_header(3) + bytes(16), OWN6, 0
        ),
    ),
    "ip6-esp": frame(IP6, ip6(struct.pack("!II", 546, 1) + bytes(16), OWN6, 50)),
    "ip6-later-fragment": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(3) + b"x" * 16, OWN6, FRAGMENT)
    ),
    "icmp6-echo": icmp6(128, bytes(8)),
    "icmp6-echo-first-fragment": icmp6(
        128, bytes(12), headers=[(FRAGMENT, fragment_header(more=True))]
    ),
    "icmp6-echo-later-fragment": frame(
        IP6, ip6(bytes([ICMP6]) + fragment_header(3) + bytes([134]) + bytes(15), OWN6, FRAGMENT)
    ),
    "rs": icmp6(ROUTER_SOLICITATION, bytes(4), LOCAL),
    "ns": solicitation(B6, OWN6),
    "na": neighbour_advertisement(OWN6),
    "na-link-local": neighbour_advertisement(LOCAL, LOCAL),
    "dad": solicitation(OWN6),
    "dad-link-local": solicitation(LOCAL),
    "mld-report": icmp6(LISTENER_REPORT, REPORT, LOCAL, headers=[(HOP_OPTIONS, ROUTER_ALERT)]),
    "mld-report-from-nobody": icmp6(
        LISTENER_REPORT, REPORT, "::", headers=[(HOP_OPTIONS, ROUTER_ALERT)]
    ),
}
FAR4, FAR6 = "203.0.113.9", "2001:db8:9::9"
HEADER_OF_FAR = bytes([DESTINATION_OPTIONS]) + hiding(ICMP6)
# Of one that forwards: what it has from others, and what nobody has forwarded.
FORWARDED = {
    "ip-tcp": frame(IP, ip4(bytes(20), FAR4, TCP)),
    "ip-udp": frame(IP, ip4(udp(), FAR4)),
    "ip-icmp": frame(IP, ip4(bytes([11]) + bytes(35), FAR4, ICMP)),
    "ip-fragment": frame(IP, ip4(b"x" * 16, FAR4, fragment=3)),
    "ip6-tcp": frame(IP6, ip6(bytes(20), FAR6, TCP)),
    "ip6-udp": frame(IP6, ip6(udp(), FAR6)),
    "ip6-first-fragment": frame(
        IP6, ip6(bytes([UDP]) + fragment_header(more=True) + udp(), FAR6, FRAGMENT)
    ),
    "ip6-later-fragment": frame(
        IP6, ip6(bytes([ICMP6]) + fragment_header(3) + b"x" * 16, FAR6, FRAGMENT)
    ),
    "icmp6-echo": icmp6(128, bytes(8), FAR6),
    "icmp6-time-exceeded": icmp6(3, bytes(48), FAR6),
}
FORGED = {
    "ip-from-anothers-mac": frame(IP, ip4(udp(), FAR4), source=MAC_GATEWAY),
    "ip6-from-anothers-mac": frame(IP6, ip6(udp(), FAR6), source=MAC_GATEWAY),
    "ip-from-the-last-address-of-the-subnet": frame(IP, ip4(udp(), "10.20.30.255")),
    "ip-link-local": frame(IP, ip4(udp(), "169.254.1.1")),
    "arp": arp(FAR4),
    "arp-request": arp(FAR4, operation=1),
    "na": neighbour_advertisement(GATEWAY6, FAR6),
    "na-for-itself": neighbour_advertisement(FAR6, FAR6),
    "ns": solicitation(B6, FAR6),
    "rs": icmp6(ROUTER_SOLICITATION, bytes(4), FAR6),
    "ra": router_advertisement(FAR6),
    "ra-behind-options": router_advertisement(FAR6, headers=[(HOP_OPTIONS, NO_OPTIONS)]),
    "ra-in-a-first-fragment": router_advertisement(
        FAR6, headers=[(FRAGMENT, fragment_header(more=True))]
    ),
    "redirect": icmp6(REDIRECT, bytes(4) + packed(FAR6) + packed("2001:db8::9"), FAR6),
    "dhcp-answer": frame(IP, ip4(udp(67, 68), FAR4)),
    "dhcpv6-answer": frame(IP6, ip6(udp(547, 546), FAR6)),
    "first-fragment-that-hides-a-message": frame(IP6, ip6(HEADER_OF_FAR, FAR6, FRAGMENT)),
    "ip6-from-the-loopback": frame(IP6, ip6(udp(), "::1")),
    "vlan": tagged(IP, ip4(udp(), FAR4)),
}
TAIL = 24


# A bridge with an attacker, a victim and a gateway


class Bed:
    """A bridge in a namespace of its own; `a` attacks, `b` listens, the bridge is the gateway."""

    def __init__(self, directory):
        self.host, self.a, self.b = (str(directory / name) for name in ("host", "a", "b"))
        self.numbers = itertools.count(1)
        self.sockets = []

    def open(self, ipv6, *, guarded, near=()):
        for path in (self.host, self.a, self.b):
            run_apart(lambda path=path: netns.create(path))
        guards = (
            *ruleset.guard("vetha", MAC, [OWN4, SECOND4], [OWN6] if ipv6 else [], near=near),
            *ruleset.guard("vethb", MAC_B, [B4], [B6] if ipv6 else []),
        )
        if guarded and has("early_guard"):
            self.commit(*guards)
        # Where br_netfilter is loaded, it has opinions of its own about fragments.
        for protocol in ("arp", "ip", "ip6"):
            key = f"net/bridge/bridge-nf-call-{protocol}tables"
            self.run(self.host, "sysctl", "-qew", f"{key}=0")
        self.ip(
            self.host,
            f"link add br0 address {MAC_GATEWAY} type bridge mcast_snooping 0 forward_delay 0",
            f"link add vetha type veth peer name eth0 address {MAC} netns {self.a}",
            f"link add vethb type veth peer name eth0 address {MAC_B} netns {self.b}",
        )
        if guarded and not has("early_guard"):
            self.commit(*guards)
        self.ip(
            self.host,
            "link set vetha master br0 up",
            "link set vethb master br0 up",
            f"address add {GATEWAY4}/24 dev br0",
            f"address add {GATEWAY6}/64 dev br0 nodad",
            "link set br0 up",
        )
        for path, four, six in ((self.a, OWN4, OWN6), (self.b, B4, B6)):
            self.run(path, "sysctl", "-qw", "net/ipv6/conf/eth0/accept_dad=0")
            self.ip(
                path,
                f"address add {four}/24 dev eth0",
                f"address add {six}/64 dev eth0 nodad",
                "link set eth0 up",
            )
        self.ip(self.a, f"address add {SECOND4}/24 dev eth0")
        # Otherwise the kernel takes no news about a neighbour for a second.
        self.run(self.b, "sysctl", "-qw", "net/ipv4/neigh/eth0/locktime=0")
        for path in (self.a, self.b):
            self.sockets.append(self.inside(path, lambda: packet_socket("eth0")))
        self.sender, self.listener = self.sockets
        # Ports of a bridge take a moment to come up.
        assert eventually(lambda: self.arrives(INNOCENT["ip-udp"]))

    def close(self):
        for each in self.sockets:
            each.close()
        for path in (self.a, self.b, self.host):
            netns.remove(path)

    def inside(self, path, work):
        def enter_and_work():
            descriptor = netns.descriptor(path)
            netns.enter(descriptor)
            os.close(descriptor)
            return work()

        return run_apart(enter_and_work)

    def run(self, path, *arguments, text=None):
        done = subprocess.run(
            ["nsenter", f"--net={path}", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def ip(self, path, *lines):
        return self.run(path, "ip", "-batch", "-", text="\n".join(lines))

    def commit(self, *objects):
        def work():
            with Socket(NETLINK_NETFILTER) as connection:
                messages = nfnetlink.load(objects)
                return connection.batch(nfnetlink.begin(), messages, nfnetlink.end())

        assert self.inside(self.host, work) == {}

    def arrives(self, sent):
        """Whether a frame of the attacker gets to the victim.

        The kernel keeps the order of frames, so the frame that is let through
        afterwards says that the one before has been decided about.
        """
        marker = frame(IP, ip4(udp(payload=struct.pack("!Q", next(self.numbers)))))
        self.sender.send(sent)
        arrived = False
        for _ in range(500):
            self.sender.send(marker)
            for received in self.heard():
                # What listens gets a VLAN's tag beside the frame, not in it.
                same = received[:12] == sent[:12] and received.endswith(sent[-TAIL:])
                arrived = arrived or same
                if received == marker:
                    return arrived
        raise AssertionError("an innocent frame got lost")

    def heard(self):
        """What has come to the victim, waiting a little if there is nothing."""
        with contextlib.suppress(TimeoutError):
            while True:
                yield self.listener.recv(4096)

    def drops(self):
        """How many packets each counter of the attacker's guard has seen."""
        listing = self.run(self.host, "nft", "list", "chain", "netdev", TABLE, "vetha")
        return [int(number) for number in re.findall(r"packets (\d+)", listing)]


@contextlib.contextmanager
def bed(directory, *, guarded, ipv6=True, near=()):
    made = Bed(directory)
    try:
        made.open(ipv6, guarded=guarded, near=near)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with bed(tmp_path_factory.mktemp("guarded"), guarded=True) as made:
        yield made


@pytest.fixture(scope="module")
def guarded4(tmp_path_factory):
    with bed(tmp_path_factory.mktemp("guarded4"), guarded=True, ipv6=False) as made:
        yield made


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory):
    near = ("10.20.30.0/24", "fd00::/64")
    with bed(tmp_path_factory.mktemp("forwarding"), guarded=True, near=near) as made:
        yield made


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory):
    with bed(tmp_path_factory.mktemp("unguarded"), guarded=False) as made:
        yield made


def eventually(ask):
    end = time.monotonic() + 3 * SLOWNESS
    while not (found := ask()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_stopped_and_works_without_the_guard(guarded, unguarded, attack):
    before = sum(guarded.drops())
    assert not guarded.arrives(ATTACKS[attack])
    assert sum(guarded.drops()) == before + 1
    assert unguarded.arrives(ATTACKS[attack])


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_stopped_by_the_guard_of_an_ipv4_endpoint(guarded4, attack):
    assert not guarded4.arrives(ATTACKS[attack])


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_stopped_by_the_guard_of_an_endpoint_that_forwards(forwarding, attack):
    """It is one more for others, and none of them."""
    assert not forwarding.arrives(ATTACKS[attack])


@pytest.mark.parametrize("name", FORGED)
def test_what_nobody_forwards_is_stopped(forwarding, unguarded, name):
    assert not forwarding.arrives(FORGED[name])
    assert unguarded.arrives(FORGED[name])


@pytest.mark.parametrize("name", FORWARDED)
def test_only_who_forwards_has_packets_of_others(forwarding, guarded, name):
    assert forwarding.arrives(FORWARDED[name])
    assert not guarded.arrives(FORWARDED[name])


@pytest.mark.parametrize("name", INNOCENT)
def test_innocent_frames_of_one_that_forwards_pass(forwarding, name):
    assert forwarding.arrives(INNOCENT[name])


@pytest.mark.parametrize("name", INNOCENT)
def test_innocent_frames_pass(guarded, unguarded, name):
    assert guarded.arrives(INNOCENT[name])
    assert unguarded.arrives(INNOCENT[name])


@pytest.mark.parametrize("name", INNOCENT)
def test_an_ipv4_endpoint_has_no_ipv6(guarded4, name):
    is_ip6 = INNOCENT[name][12:14] == struct.pack("!H", IP6)
    assert guarded4.arrives(INNOCENT[name]) == (not is_ip6)


@pytest.mark.parametrize("address", [B4, B6, GATEWAY4, GATEWAY6, f"{B_LOCAL}%eth0"])
def test_ping_works(guarded, address):
    guarded.run(guarded.a, "ping", "-c2", "-i0.01", "-W2", address)
    guarded.run(guarded.a, "ping", "-c1", "-W2", "-s3000", address)


@pytest.mark.parametrize(
    ("attack", "address", "command"),
    [
        ("arp-claims-the-gateway", GATEWAY4, f"neigh show {GATEWAY4} dev eth0"),
        ("na-for-the-gateway", GATEWAY6, f"neigh show {GATEWAY6} dev eth0"),
        ("ra", None, "-6 route show proto ra"),
        ("ra-behind-destination-options", None, "-6 route show proto ra"),
    ],
)
def test_attack_has_its_effect_without_the_guard(guarded, unguarded, attack, address, command):
    fooled = MAC if address else "default"

    def succeeds(each):
        # The kernel keeps what it learnt within the same tick of its clock.
        time.sleep(0.02)
        each.arrives(ATTACKS[attack])
        return fooled in each.run(each.b, "ip", *command.split())

    for each in (guarded, unguarded):
        each.ip(each.b, "neigh flush dev eth0")
        each.run(each.b, "ip", "-6", "route", "flush", "proto", "ra")
        if address is not None:
            each.run(each.b, "ping", "-c1", "-W2", address)
    assert eventually(lambda: succeeds(unguarded))
    assert not any(succeeds(guarded) for _ in range(5))
