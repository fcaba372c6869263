"""Names inside sandboxes, over the wire: what is known on this machine."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import dns.rcode
import pytest
from names_support import RESOLVER, addresses, ask, found, framed, join, query, received
from topology import IMPATIENCE, inside


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.1.0.0/24", internal=True)


@pytest.fixture
def red(cnm):
    return cnm.create_network(
        "red", subnet=["10.2.0.0/24", "2001:db8:2::/64"], ipv6=True, internal=True
    )


@pytest.fixture
def c1(cnm, blue):
    return join(cnm, "c1", blue)


@pytest.fixture
def db(cnm, blue):
    return join(cnm, "db", blue, aliases=["Store"])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_sandbox_finds_another_one(c1, db, transport):
    for name in ("db", "DB", "store", "sToRe.BLUE", "db.blue", db.id[:12]):
        answer = ask(c1, name, transport=transport)
        assert (found(answer), answer.answer[0].ttl) == (["10.1.0.3"], 600)
    assert found(ask(c1, "3.0.1.10.in-addr.arpa", "PTR", transport)) == ["db.blue."]
    for kind in ("AAAA", "MX", "TXT", "HTTPS"):
        assert addresses(c1, "db", kind, transport) == []


def test_who_is_on_two_networks_sees_both_and_the_others_one(cnm, blue, red, c1, db):
    both = join(cnm, "both", blue, red)
    far = join(cnm, "far", red)
    assert addresses(both, "db") == ["10.1.0.3"]
    assert addresses(both, "far", "AAAA") == ["2001:db8:2::3"]
    assert addresses(far, "both") == ["10.2.0.2"]
    assert addresses(c1, "both") == ["10.1.0.4"]
    for name in ("far", "far.red", "both.red"):
        assert addresses(c1, name) == "NXDOMAIN"
    assert addresses(far, "db") == "NXDOMAIN"


def test_a_name_is_there_when_connect_returns_and_gone_when_disconnect_does(cnm, blue, c1):
    late = cnm.create_sandbox("late")
    for _ in range(20):
        assert addresses(c1, "late") == "NXDOMAIN"
        blue.connect(late)
        assert addresses(c1, "late") == ["10.1.0.3"]
        blue.disconnect(late)
    assert addresses(c1, "late") == "NXDOMAIN"


def test_the_clients_of_the_world(c1, db):
    there = inside(c1)
    assert there.run("dig", "+short", f"@{RESOLVER}", "db").split() == ["10.1.0.3"]
    assert there.run("dig", "+short", "+tcp", f"@{RESOLVER}", "db").split() == ["10.1.0.3"]
    assert there.run("dig", "+short", f"@{RESOLVER}", "-x", "10.1.0.3").split() == ["db.blue."]
    assert "10.1.0.3" in there.run("busybox", "nslookup", "db", RESOLVER)


def test_no_port_is_taken_from_programs_inside(c1, db):
    with inside(c1).serve("53", "53/udp") as own:
        assert inside(c1).ask("127.0.0.1", 53, "udp") is not None
        assert inside(c1).ask("127.0.0.1", 53, "tcp") is not None
        assert inside(c1).ask("10.1.0.2", 53, "udp") is not None
        for transport in ("udp", "tcp"):
            assert addresses(c1, "db", transport=transport) == ["10.1.0.3"]
    assert own


def test_nobody_outside_a_sandbox_reaches_its_resolver(c1, db, machine):
    (port,) = {int(place.split(":")[1], 16) for _, place in inside(c1).bound()}
    # A wire that pycnm knows nothing of, and a sandbox that takes what it shouldn't.
    far = machine("far")
    far.batch(
        f"link add eth0 type veth peer name far0 netns {Path(c1.key).name}",
        "address add 198.51.100.2/24 dev eth0",
        "link set eth0 up",
        f"route add {RESOLVER}/32 via 198.51.100.1 dev eth0",
        "rule add pref 5 table local",
        "rule del pref 0",
        f"rule add pref 1 to {RESOLVER} table main",
    )
    inside(c1).batch("address add 198.51.100.1/24 dev far0", "link set far0 up")
    for each in (inside(c1), far):
        each.set_sysctl(net__ipv4__conf__all__route_localnet=1)
    with inside(c1).capture("far0", "udp or tcp") as seen:
        for transport in ("udp", "tcp"):
            for number in (port, 53):
                with pytest.raises(OSError):
                    ask(c1, "db", transport=transport, patience=IMPATIENCE, there=far, port=number)
        assert seen.find(rf"> {RESOLVER}\.{port}: Flags \[S\]")
    assert not seen.find(rf"{RESOLVER}\.\d+ >.*(1/0/0|\[S\.\])", 0)


# Streams


def test_several_questions_on_a_stream_and_in_pieces(c1, db):
    data = b"".join(
        framed(query(name, id=n).to_wire(), "tcp") for n, name in enumerate(["db", "c1", "x"])
    )
    with inside(c1).connect(RESOLVER, 53) as client:
        client.sendall(data)
        answers = {received(client)[:2] for _ in range(3)}
        assert answers == {b"\0\0", b"\0\1", b"\0\2"}
        for octet in data:
            client.sendall(bytes([octet]))
            time.sleep(0.001)
        assert {received(client)[:2] for _ in range(3)} == answers


def test_who_shuts_down_one_direction_gets_his_answer(c1, db):
    with inside(c1).connect(RESOLVER, 53) as client:
        client.sendall(framed(query("db").to_wire(), "tcp"))
        client.shutdown(socket.SHUT_WR)
        assert received(client)
        assert client.recv(1) == b""


@pytest.mark.parametrize("data", [b"\xff\xff", b"\2\1" + bytes(513), b"\0\0"])
def test_a_stream_that_makes_no_sense_is_ended(c1, db, data):
    with inside(c1).connect(RESOLVER, 53) as client:
        client.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""
    assert addresses(c1, "db", transport="tcp") == ["10.1.0.3"]


# Messages


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", None),
        (bytes(11), None),
        (b"\1\2\x81\x00\0\1\0\0\0\0\0\0\2db\0\0\1\0\1", None),
        (b"\1\2\x10\x00\0\1\0\0\0\0\0\0\2db\0\0\1\0\1", "NOTIMP"),
        (b"\1\2\1\0\0\2\0\0\0\0\0\0\2db\0\0\1\0\1\2db\0\0\1\0\1", "FORMERR"),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", "FORMERR"),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\3", "REFUSED"),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0\2db\0\0\1\0\1" + bytes(60000), "FORMERR"),
    ],
)
def test_a_datagram_is_answered_or_passed_over(c1, db, data, code):
    with inside(c1).connect(RESOLVER, 53, "udp") as client:
        client.send(data)
        client.send(query("db", id=7).to_wire())
        first = client.recv(65535)
        if code is not None:
            assert (first[:2], dns.rcode.to_text(first[3] & 15)) == (b"\1\2", code)
            first = client.recv(65535)
        assert first[:2] == b"\0\7"


def test_many_addresses_are_cut_to_what_a_client_takes(cnm, blue, c1):
    for number in range(40):
        blue.connect(cnm.create_sandbox(f"s{number}"), aliases=["all"])
    short, longer = ask(c1, "all"), ask(c1, "all", use_edns=0, payload=1232)
    assert len(short.to_wire()) <= 512
    assert (bool(short.flags & 0x200), bool(longer.flags & 0x200)) == (True, False)
    assert len(found(longer)) == len(addresses(c1, "all", transport="tcp")) == 40
