"""Frames byte by byte, for what no program of a well-behaved machine would send."""

from __future__ import annotations

import socket
import struct

from netaddr import EUI, IPAddress

ETH_P_ALL = 3
IP, ARP, IP6, VLAN, PROVIDER_VLAN = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8
ICMP, IGMP, TCP, UDP, ICMP6 = 1, 2, 6, 17, 58
HOP_OPTIONS, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
SOLICITATION, ADVERTISEMENT, REDIRECT, LISTENER_REPORT = 135, 136, 137, 143
ALL_NODES = "ff02::1"
BROADCAST = "ff:ff:ff:ff:ff:ff"

NO_OPTIONS = bytes([0, 1, 4, 0, 0, 0, 0])  # length 8, PadN
ROUTER_ALERT = bytes([0, 5, 2, 0, 0, 1, 0])
NO_SEGMENTS = bytes([0, 4, 0, 0, 0, 0, 0])


def packed(address):
    return IPAddress(address).packed


def mac(address):
    return EUI(address).packed


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(source, destination, kind, payload):
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def tagged(frame, tag=VLAN, number=5):
    """A frame with the tag of a VLAN."""
    return frame[:12] + struct.pack("!HH", tag, number) + frame[12:]


def arp(sender, sender_mac, target, target_mac, operation=2, htype=1):
    head = struct.pack("!HHBBH", htype, IP, 6, 4, operation)
    return head + mac(sender_mac) + packed(sender) + mac(target_mac) + packed(target)


def ip(source, destination, protocol, payload, **how):
    """A packet of the family of its addresses, which is asked with `kind_of`."""
    make = ip6 if ":" in source else ip4
    return make(source, destination, protocol, payload, **how)


def kind_of(packet):
    """The type of the frame that carries a packet."""
    return IP6 if packet[0] >> 4 == 6 else IP


def ip4(source, destination, protocol, payload, *, options=b"", fragment=0):
    size = 20 + len(options)
    head = [0x40 | size // 4, 0, size + len(payload), 7, fragment, 64, protocol, 0]
    ends = packed(source) + packed(destination) + options
    head[-1] = checksum(struct.pack("!BBHHHBBH", *head) + ends)
    return struct.pack("!BBHHHBBH", *head) + ends + payload


def ip6(source, destination, protocol, payload, *, flow=0, headers=()):
    """A packet, behind extension headers, each given by number and contents."""
    numbers = [number for number, _ in headers] + [protocol]
    chain = b"".join(
        bytes([after]) + contents for (_, contents), after in zip(headers, numbers[1:], strict=True)
    )
    payload = chain + payload
    head = struct.pack("!IHBB", 6 << 28 | flow, len(payload), numbers[0], 255)
    return head + packed(source) + packed(destination) + payload


def fragment_header(offset=0, more=False):
    return struct.pack("!BHI", 0, offset << 3 | more, 9)


def udp(source_port=1000, destination_port=2000, payload=b"x" * 16, between=None):
    """A datagram; with the addresses it goes between, it has its checksum."""
    head = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0)
    return summed(head + payload, UDP, 6, between) if between else head + payload


def syn(source_port, destination_port, between, payload=b""):
    """The first segment of a connection."""
    head = struct.pack("!HHIIBBHHH", source_port, destination_port, 1, 0, 0x50, 2, 64240, 0, 0)
    return summed(head + payload, TCP, 16, between)


def summed(message, protocol, place, between):
    """A message of a transport with its checksum at `place`."""
    pseudo = b"".join(map(packed, between)) + struct.pack("!II", len(message), protocol)
    found = struct.pack("!H", checksum(pseudo + message) or 0xFFFF)
    return message[:place] + found + message[place + 2 :]


def icmp(kind, body, code=0):
    message = struct.pack("!BBH", kind, code, 0) + body
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmp6(kind, body, between):
    return summed(struct.pack("!BBH", kind, 0, 0) + body, ICMP6, 2, between)


def router_advertisement(hardware, prefix="2001:db8:bad::"):
    """The body of an advertisement of a router that leads everywhere."""
    about = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + packed(prefix)
    return struct.pack("!BBHII", 64, 0, 1800, 0, 0) + bytes([1, 1]) + mac(hardware) + about


def packet_socket(interface):
    """A socket that sends and hears whole frames."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    opened.bind((interface, ETH_P_ALL))
    opened.settimeout(0.01)
    return opened
