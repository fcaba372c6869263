"""Names that nobody here has: who is asked, from where, and what may come of it."""

from __future__ import annotations

import socket
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import pytest
from names_support import (
    RESOLVER,
    Upstream,
    addresses,
    ask,
    found,
    join,
    query,
    resolv_conf,
    says,
    silent,
)
from topology import inside, until

SERVER = "192.0.2.66"
UDP_SEGMENT = 103


@pytest.fixture
def resolv(tmp_path, as_found):
    """The host's resolv.conf; nobody is named in it yet."""
    with resolv_conf(tmp_path / "resolv.conf") as path:
        yield path


@pytest.fixture
def blue(cnm, resolv):
    resolv.write_text(f"nameserver {SERVER}\n")
    return cnm.create_network("blue", subnet="10.1.0.0/24")


@pytest.fixture
def c1(cnm, blue):
    return join(cnm, "c1", blue)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_hosts_server_is_asked_from_the_host_the_same_way(c1, outside, transport):
    with Upstream(outside, says("60 A 198.51.100.7", "60 A 198.51.100.8")) as far:
        answer = ask(c1, "www.Example.org", transport=transport, use_edns=0, payload=4096)
    assert found(answer) == ["198.51.100.7", "198.51.100.8"]
    assert answer.answer[0].ttl == 60
    (asked,) = far.asked
    assert (asked.transport, asked.peer[0]) == (transport, "192.0.2.1")
    assert asked.message.question[0].name.to_text() != "www.Example.org."


def test_known_names_are_never_asked_for(cnm, blue, c1, outside):
    join(cnm, "db", blue)
    with Upstream(outside, says("60 A 198.51.100.7")) as far:
        assert addresses(c1, "db") == ["10.1.0.3"]
        for kind in ("AAAA", "MX", "HTTPS", "TXT"):
            assert addresses(c1, "db", kind) == addresses(c1, "db.blue", kind) == []
        assert addresses(c1, "db.example.org") == ["198.51.100.7"]
    assert far.names == ["db.example.org."]


def test_what_is_answered_comes_back_as_it_is(c1, outside):
    authority = ["example.org. 300 SOA ns.example.org. me.example.org. 1 2 3 4 5"]
    with Upstream(outside, says(rcode="NXDOMAIN", authority=authority)):
        answer = ask(c1, "Nobody.example.org", "TXT")
    assert dns.rcode.to_text(answer.rcode()) == "NXDOMAIN"
    assert [each.to_text() for each in answer.authority] == [
        "example.org. 300 IN SOA ns.example.org. me.example.org. 1 2 3 4 5"
    ]
    assert answer.question[0].name.to_text() == "Nobody.example.org."


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", None])
def test_the_next_server_is_asked_if_one_fails(c1, outside, resolv, code):
    outside.batch("address add 192.0.2.67/24 dev eth0")
    resolv.write_text(f"nameserver 192.0.2.67\nnameserver {SERVER}\n")
    with Upstream(outside, says("60 A 198.51.100.7"), SERVER):
        if code is None:  # nobody listens
            assert addresses(c1, "example.org") == ["198.51.100.7"]
            return
        with Upstream(outside, says(rcode=code), "192.0.2.67") as bad:
            assert addresses(c1, "example.org") == ["198.51.100.7"]
            assert len(bad.asked) == 1
            resolv.write_text("nameserver 192.0.2.67\n")
            assert addresses(c1, "example.net") == "SERVFAIL"


def test_a_server_that_is_silent_is_given_up(c1, outside, resolv):
    outside.batch("address add 192.0.2.67/24 dev eth0")
    resolv.write_text(f"nameserver 192.0.2.67\nnameserver {SERVER}\n")
    with (
        Upstream(outside, silent, "192.0.2.67"),
        Upstream(outside, says("60 A 198.51.100.7"), SERVER),
    ):
        begun = time.monotonic()
        assert addresses(c1, "example.org", patience=20) == ["198.51.100.7"]
        assert 3.5 < time.monotonic() - begun < 6


def test_the_file_is_followed(c1, outside, resolv):
    outside.batch("address add 192.0.2.67/24 dev eth0")
    with (
        Upstream(outside, says("60 A 198.51.100.1"), SERVER),
        Upstream(outside, says("60 A 198.51.100.2"), "192.0.2.67"),
    ):
        assert addresses(c1, "example.org") == ["198.51.100.1"]
        resolv.write_text("nameserver 192.0.2.67\nnameserver 127.0.0.11\n")
        assert addresses(c1, "example.org") == ["198.51.100.2"]
        resolv.write_text("nameserver 127.0.0.11\n")
        assert addresses(c1, "example.org") == "SERVFAIL"


def test_servers_of_a_sandbox_are_asked_from_inside_it(cnm, blue, outside):
    c2 = join(cnm, "c2", blue, dns=["127.0.0.2", RESOLVER])
    with (
        Upstream(outside, says("60 A 198.51.100.1")) as far,
        Upstream(inside(c2), says("60 A 198.51.100.2"), "127.0.0.2"),
    ):
        for transport in ("udp", "tcp"):
            assert addresses(c2, "example.org", transport=transport) == ["198.51.100.2"]
    assert addresses(c2, "example.org") == "SERVFAIL"
    assert far.asked == []


def test_internal_is_internal(cnm, c1, outside):
    """T-EXFIL: what a name says gets nowhere."""
    green = cnm.create_network("green", subnet="10.2.0.0/24", internal=True)
    shut = join(cnm, "shut", green)
    own = join(cnm, "own", green, dns=["127.0.0.2"])
    with (
        Upstream(outside, says("60 A 198.51.100.1")) as far,
        Upstream(inside(own), says("60 A 198.51.100.2"), "127.0.0.2"),
        outside.capture("eth0", "port 53") as seen,
    ):
        for kind in ("A", "TXT", "PTR", "SRV"):
            assert addresses(shut, "secret.evil.test", kind) == "NXDOMAIN"
            assert addresses(shut, "secret.evil.test", kind, "tcp") == "NXDOMAIN"
        assert addresses(own, "secret.evil.test") == ["198.51.100.2"]
        assert (far.asked, seen.lines) == ([], [])
        assert addresses(c1, "example.org") == ["198.51.100.1"]
        assert seen.find("(?i)example")


def test_the_same_question_is_asked_once_at_a_time(c1, outside):
    first = threading.Event()

    def late(asked):
        first.wait(10)
        return says("60 A 198.51.100.1")(asked)

    with (
        Upstream(outside, late) as far,
        inside(c1).connect(RESOLVER, 53, "udp", patience=5) as client,
    ):
        for number in range(50):
            client.send(query("example.org" if number % 2 else "EXAMPLE.org", id=number).to_wire())
        until(lambda: far.asked)
        time.sleep(0.2)
        first.set()
        answers = [dns.message.from_wire(client.recv(4096)) for _ in range(50)]
        assert len(far.asked) == 1
    assert {answer.id for answer in answers} == set(range(50))
    names = {answer.question[0].name.to_text() for answer in answers}
    assert names == {"example.org.", "EXAMPLE.org."}


def test_nothing_is_remembered(c1, outside):
    """T-TTL: no cache, so none that could be wrong for another question or another client."""
    numbers = iter(range(1, 100))

    def counting(asked):
        number = next(numbers)
        return says(f"{number * 1000} A 198.51.100.{number}")(asked)

    with Upstream(outside, counting) as far:
        for number in range(1, 4):
            answer = ask(c1, "example.org")
            assert found(answer) == [f"198.51.100.{number}"]
            assert answer.answer[0].ttl == number * 1000
        unchecked = query("example.org")
        unchecked.flags |= dns.flags.CD
        with inside(c1).connect(RESOLVER, 53, "udp") as client:
            client.send(unchecked.to_wire())
            client.recv(4096)
    assert [bool(each.message.flags & dns.flags.CD) for each in far.asked] == [False] * 3 + [True]


@pytest.fixture
def forger(outside):
    """Sends, from the server's address or beside it, what it doesn't say."""

    class Forger:
        def __init__(self):
            self.sender = outside.socket(kind=socket.SOCK_DGRAM)
            self.sender.bind((SERVER, 0))

        def flood(self, asked):
            """From another port, every id there is; the kernel makes 32 datagrams of one."""
            reply = says("60 A 203.0.113.66")(asked)[0].to_wire()
            self.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(reply))
            for start in range(0, 1 << 16, 32):
                data = [number.to_bytes(2) + reply[2:] for number in range(start, start + 32)]
                self.sender.sendto(b"".join(data), asked.peer)

    forger = Forger()
    yield forger
    forger.sender.close()


def test_forged_answers_are_ignored(c1, outside, forger):
    """T-POISON: wrong port with every id; wrong ids, names and letters from the right one."""

    def poisoned(asked):
        if asked.transport == "tcp":
            yield from says("60 A 198.51.100.1")(asked)
            return
        forger.flood(asked)
        evil = says("60 A 203.0.113.66")(asked)[0].to_wire()
        right = int.from_bytes(evil[:2])
        for number in range(1000):
            wrong = (right + 1 + number * 7) & 0xFFFF
            yield wrong.to_bytes(2) + evil[2:]
        yield evil[:13] + b"z" + evil[14:]  # another name
        yield evil[:2] + b"\1" + evil[3:]  # a query
        yield evil[:11]
        yield from says("60 A 198.51.100.1")(asked)

    with Upstream(outside, poisoned) as far:
        answers = []
        while answers.count(["198.51.100.1"]) < 2 and len(answers) < 9:
            answers.append(addresses(c1, "example.org", patience=20))
    # The server's own answer may come too late on a machine that is busy.
    assert [each for each in answers if each != "SERVFAIL"] == [["198.51.100.1"]] * 2
    ids, ports = {each.message.id for each in far.asked}, {each.peer[1] for each in far.asked}
    assert len(ids) > 1
    assert len(ports) > 1


def test_a_server_that_loses_the_case_of_a_name_is_asked_by_stream(c1, outside):
    def lowering(asked):
        reply = says("60 A 198.51.100.1")(asked)[0].to_wire()
        return [reply[:12] + reply[12:25].lower() + reply[25:]]

    with Upstream(outside, lowering) as far:
        assert addresses(c1, "example.org") == ["198.51.100.1"]
    assert [each.transport for each in far.asked] == ["udp", "tcp"]


def test_a_loop_is_cut(cnm, blue, c1):
    """T-LOOP: who is asked asks us."""
    looping = join(cnm, "looping", blue, dns=["127.0.0.2"])
    asked = []

    def back(question):
        asked.append(question)
        with inside(looping).connect(RESOLVER, 53, "udp", patience=10) as client:
            client.send(question.message.to_wire())
            return [client.recv(65535)]

    with Upstream(inside(looping), back, "127.0.0.2"):
        assert addresses(looping, "example.org", patience=20) == "SERVFAIL"
        assert addresses(looping, "c1") == ["10.1.0.2"]
    assert len(asked) == 1
    assert addresses(c1, "looping") == ["10.1.0.3"]
