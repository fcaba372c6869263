"""A sandbox that sends without end: what it can fill, and who notices."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

import frames
import pytest
from topology import inside, until

GATEWAY4, A4, B4, HOST4, FAR4 = "10.2.0.1", "10.2.0.2", "10.2.0.3", "192.0.2.1", "192.0.2.66"
FLOWS, GROUPS, QUESTIONS, FEW_QUESTIONS = 20_000, 5_000, 2_000, 50
SCANNED = 32_768
SO_RCVBUFFORCE, SYN_ACK = 33, 0x12
LIMIT = 4000
SECURITY = Path(__file__).parents[2] / "docs/security.md"
MOST_GROUPS = 4096
"""What a bridge keeps; `mcast_hash_max` of ip-link(8)."""


@pytest.fixture
def net(cnm):
    return cnm.create_network("n", subnet=["10.2.0.0/16", "fd00:2::/64"])


@pytest.fixture
def boxes(cnm, net):
    made = {name: cnm.create_sandbox(name) for name in ("a", "b")}
    net.connect(made["a"])
    net.connect(made["b"], publish=["8080:80"])
    yield made
    cnm.reconcile()


@pytest.fixture
def shoot(boxes, host, net):
    """Sends packets of the attacker to its gateway, or to another MAC address."""
    a = inside(boxes["a"])
    own, gateway = a.link("eth0")["address"], host.link(f"br-{net.id[:12]}")["address"]

    def shoot(packets, to=gateway, kind=frames.IP):
        head = frames.frame(own, to, kind, b"")
        with a.do(lambda: frames.packet_socket("eth0")) as mouth:
            for packet in packets:
                mouth.send(head + packet)

    return shoot


def works(host, outside, b):
    """Whether everybody else goes on as before."""
    return (
        host.ask(FAR4, 80).server == "outside"
        and b.ask(FAR4, 80).server == "outside"
        and outside.ask(HOST4, 8080).server == "b"
        and host.ping(B4)
    )


def tracked(host):
    return int(host.sysctl("net.netfilter.nf_conntrack_count"))


def test_a_flood_of_flows_is_forgotten_with_the_sandbox(cnm, boxes, shoot, host, outside, tally):
    """Nothing limits them but the kernel's table; others have their place in it."""
    b = inside(boxes["b"])
    with outside.serve("80"), b.serve("80"), outside.connect(HOST4, 8080) as before:
        shoot(
            frames.ip4(A4, GATEWAY4, frames.UDP, frames.udp(1024 + number, 9, b""))
            for number in range(FLOWS)
        )
        assert tracked(host) > FLOWS // 2
        assert works(host, outside, b)
        before.sendall(b"?\n")
        assert b'"b"' in before.recv(100)
        made = tracked(host)
        boxes["a"].delete()
        assert until(lambda: tracked(host) < FLOWS // 100)
    tally("floods", "flows", sent=FLOWS, kept=made, left=tracked(host))


def test_an_administrator_limits_the_flows_of_each_sandbox(boxes, shoot, host, outside, tally):
    """With the rules that docs/security.md has for it."""
    text = SECURITY.read_text()
    rules = text[text.index("table inet limits") :].partition("```")[0]
    assert f"ct count over {LIMIT} " in rules
    host.run("nft", "-f", "-", text=rules)
    b = inside(boxes["b"])
    with outside.serve("80"), b.serve("80"):
        shoot(
            frames.ip4(A4, GATEWAY4, frames.UDP, frames.udp(1024 + number, 9, b""))
            for number in range(FLOWS)
        )
        made = tracked(host)
        assert LIMIT // 2 < made < LIMIT + 100
        assert works(host, outside, b)
    host.run("nft", "delete", "table", "inet", "limits")
    tally("floods", "flows, limited by a rule", sent=FLOWS, kept=made, left=made)


def test_a_flood_of_groups_is_bounded(boxes, shoot, host, outside, net, tally):
    """The bridge keeps so many multicast groups and no more; then it gives up to track them."""
    b = inside(boxes["b"])

    def reports():
        for number in range(GROUPS):
            group = struct.pack("!I", 0xE1000000 + number)
            report = frames.icmp(0x16, group)
            alert = bytes([0x94, 4, 0, 0])
            yield frames.ip4(A4, "225.0.0.1", frames.IGMP, report, options=alert)

    with outside.serve("80"), b.serve("80"):
        shoot(reports(), to="01:00:5e:00:00:01")
        shown = host.run("bridge", "mdb", "show", "dev", f"br-{net.id[:12]}")
        kept = len(shown.splitlines())
        assert kept <= MOST_GROUPS + 16
        assert works(host, outside, b)
    tally("floods", "groups", sent=GROUPS, kept=kept, left=kept)


def test_a_flood_of_questions_teaches_the_host_nothing(boxes, shoot, host, outside, tally):
    """Who asks by ARP is remembered under its own name, once."""
    b = inside(boxes["b"])
    own = inside(boxes["a"]).link("eth0")["address"]

    def ask(number):
        claimed = (f"10.2.{1 + each // 250}.{1 + each % 250}" for each in range(number))
        nobody = "00:00:00:00:00:00"
        questions = (frames.arp(each, own, GATEWAY4, nobody, operation=1) for each in claimed)
        shoot(questions, to=frames.BROADCAST, kind=frames.ARP)
        return {each["dst"] for each in host.ip("neigh") if each["dst"].startswith("10.2.")}

    with outside.serve("80"), b.serve("80"):
        found = ask(QUESTIONS)
        assert works(host, outside, b)
    assert found <= {A4, B4}
    tally("floods", "ARP under false names", sent=QUESTIONS, kept=len(found), left=len(found))
    # The control; only few, because the table is one for all namespaces of the machine.
    (endpoint,) = boxes["a"].endpoints
    host.run("nft", "delete", "table", "netdev", f"cnm_{endpoint.host_interface}")
    assert len(ask(FEW_QUESTIONS)) > FEW_QUESTIONS


def test_no_port_of_the_host_answers_but_published_ones(boxes, shoot, tally):
    """A scan from a sandbox, by the gateway's address (R-SOCK)."""
    a, b = inside(boxes["a"]), inside(boxes["b"])
    answered = set()
    with b.serve("80"), a.do(lambda: frames.packet_socket("eth0")) as ear:
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        for start in range(1, SCANNED, 4096):
            shoot(
                frames.ip4(A4, GATEWAY4, frames.TCP, frames.syn(4000, port, (A4, GATEWAY4)))
                for port in range(start, min(start + 4096, SCANNED))
            )
            answered |= set(filter(None, map(answering, heard(ear))))
    assert answered == {8080}
    tally("floods", "ports asked", sent=SCANNED - 1, kept=0, left=0)


def heard(ear):
    """The frames that have come."""
    with contextlib.suppress(TimeoutError):
        while True:
            yield ear.recv(2048)


def answering(frame):
    """The port of the gateway that a frame comes from, if it says SYN and ACK."""
    if frame[23] == frames.TCP and frame[26:30] == frames.packed(GATEWAY4) and frame[47] == SYN_ACK:
        return int.from_bytes(frame[34:36], "big")
    return None
