"""Where attacks are made: a host with networks, a neighbour on its wire, and who listens."""

from __future__ import annotations

import itertools
import select
import socket
import struct
import time

import frames
from topology import PATIENCE, inside, until

from pycnm import Bridge

HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
FAR4, FAR6 = "192.0.2.66", "2001:db8::66"
SECRET, OPEN = 7777, 7778
"""Ports of the host's own services: on its loopback alone, and on all of its addresses."""
# Two networks of both families, one without ICC, an internal one, one of IPv4 alone.
NETWORKS = {"m": 1, "n": 2, "q": 3, "i": 4, "f": 5}
BOXES = ("m1", "m2", "n1", "n2", "q1", "q2", "i1", "f1", "f2")
PUBLISHED = ("8080:80", "8053:53/udp", "127.0.0.1:8081:81/udp")
"""Of n1."""
LINGER = 0.02
"""Seconds that a frame may still be on its way when a later one has arrived."""


def four(name):
    """The IPv4 address of a place; `n0` is the gateway of the network n."""
    return FAR4 if name == "outside" else f"10.{NETWORKS[name[0]]}.0.{int(name[1:]) + 1}"


def six(name):
    """Its IPv6 address."""
    return FAR6 if name == "outside" else f"fd00:{NETWORKS[name[0]]}::{int(name[1:]) + 1}"


class Ground:
    """The places of a battle by their names, with an ear at each of them.

    Args:
        defended: if not, everything is taken away that pycnm adds to the kernel's
            own judgement.
    """

    def __init__(self, machine, controller, *, defended):
        self._numbers = itertools.count(1)
        host, outside = machine("h1"), machine("outside")
        self.host = host
        host.wire(outside, [f"{HOST4}/24", f"{HOST6}/64"], [f"{FAR4}/24", f"{FAR6}/64"])
        # A router, which keeps nobody apart by itself; and as kube-proxy once left it, the
        # host takes what is for its loopback from the wire.
        host.forward()
        host.set_sysctl(net__ipv4__conf__eth0__route_localnet=1)
        self.cnm = controller(host)
        self.places = {"outside": outside, **self._boxes()}
        if not defended:
            self._disarm()
        self._mouths = {
            name: place.do(lambda: frames.packet_socket("eth0"))
            for name, place in self.places.items()
        }
        self._ears = {**{name: [ear] for name, ear in self._mouths.items()}, "host": self._own()}
        self.macs = {name: place.link("eth0")["address"] for name, place in self.places.items()}
        bridges = {name: f"br-{name[0]}" for name in BOXES}
        self._gateways = {
            name: host.link(device)["address"]
            for name, device in {"outside": "eth0", **bridges}.items()
        }
        for name in self.places:
            assert until(lambda name=name: self._heard("host", self._innocent(name))), name

    def _boxes(self):
        nets = {
            name: self.cnm.create_network(
                name,
                Bridge(bridge_name=f"br-{name}", icc=name != "q"),
                subnet=[f"10.{number}.0.0/24"] + [f"fd00:{number}::/64"] * (name != "f"),
                internal=name == "i",
            )
            for name, number in NETWORKS.items()
        }
        boxes = {name: self.cnm.create_sandbox(name) for name in BOXES}
        for name, box in boxes.items():
            nets[name[0]].connect(box, publish=PUBLISHED if name == "n1" else ())
        return {name: inside(box) for name, box in boxes.items()}

    def _disarm(self):
        host = self.host
        for family, table in host.tables():
            if family == "netdev":
                host.run("nft", "delete", "table", family, table)
        for chain in ("loopback", "forward", "prerouting"):
            host.run("nft", "flush", "chain", "inet", "cnm", chain)
        publish = "add rule inet cnm prerouting fib daddr type local goto publish"
        host.run("nft", *publish.split())
        for name in ("q1", "q2"):
            (endpoint,) = self.cnm.sandbox(name).endpoints
            host.run("bridge", "link", "set", "dev", endpoint.host_interface, "isolated", "off")

    def _own(self):
        """Sockets of the host's own services."""
        opened = []
        for family, address, port in (
            (socket.AF_INET, "127.0.0.1", SECRET),
            (socket.AF_INET6, "::1", SECRET),
            (socket.AF_INET, "", OPEN),
            (socket.AF_INET6, "", OPEN),
        ):
            ear = self.host.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind((address, port))
            opened.append(ear)
        return opened

    def close(self):
        self.cnm.reconcile()
        for each in itertools.chain(*self._ears.values()):
            each.close()

    def marker(self):
        """Bytes that nothing else contains."""
        return b"marker" + struct.pack("!QH", next(self._numbers), 0x7E57)

    def send(self, name, *packets, to=None, kind=None):
        """Put packets on the wire of a place.

        Args:
            to: the MAC address they are sent to, or the name of who has it; by
                default the gateway of the place.
            kind: the type of their frames, if they aren't IP.
        """
        target = self._gateways[name] if to is None else self.macs.get(to, to)
        for packet in packets:
            number = kind or frames.kind_of(packet)
            self._mouths[name].send(frames.frame(self.macs[name], target, number, packet))

    def arrives(self, who, whom, marker, patience=LINGER):
        """Whether what was sent from one place is heard at another.

        The kernel keeps the order of frames: when the innocent one that is sent
        after it has come to the host, it has been decided about.
        """
        after = self._innocent(who)
        found = self._heard(whom, marker)
        if not found and whom != "host":
            assert self._heard("host", after, PATIENCE), "an innocent frame got lost"
        return found or self._heard(whom, marker, patience)

    def _innocent(self, name):
        """Send a datagram to the host, which takes it from everybody; its marker."""
        target = HOST4 if name == "outside" else four(f"{name[0]}0")
        marker = self.marker()
        self.send(name, datagram(four(name), target, OPEN, marker, source_port=4001))
        return marker

    def _heard(self, name, marker, patience=0.0):
        deadline = time.monotonic() + patience
        ears = self._ears[name]
        while ready := select.select(ears, [], [], max(0.0, deadline - time.monotonic()))[0]:
            if any(marker in ear.recv(1 << 16) for ear in ready):
                return True
        return False


# Packets with a marker


def datagram(source, target, port, marker, *, source_port=4000, **how):
    payload = frames.udp(source_port, port, marker, (source, target))
    return frames.ip(source, target, frames.UDP, payload, **how)


def segment(source, target, port, marker, **how):
    payload = frames.syn(4000, port, (source, target), marker)
    return frames.ip(source, target, frames.TCP, payload, **how)


def echo(source, target, marker):
    if ":" in source:
        payload = frames.icmp6(128, bytes(4) + marker, (source, target))
        return frames.ip6(source, target, frames.ICMP6, payload)
    return frames.ip4(source, target, frames.ICMP, frames.icmp(8, bytes(4) + marker))


def fragments(source, target, port, marker):
    """A datagram in two fragments, of which the first has the marker."""
    whole = frames.udp(4000, port, marker + bytes(16), (source, target))
    pieces = ((whole[:24], 0, True), (whole[24:], 3, False))
    if ":" not in source:
        return [
            frames.ip4(source, target, frames.UDP, piece, fragment=0x2000 * more | offset)
            for piece, offset, more in pieces
        ]
    return [
        frames.ip6(
            source, target, frames.UDP, piece,
            headers=[(frames.FRAGMENT, frames.fragment_header(offset, more))],
        )
        for piece, offset, more in pieces
    ]  # fmt: skip
