"""Answers: what a sandbox is told, read back by dnspython and as bytes."""

from __future__ import annotations

from collections import Counter

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from netaddr import IPAddress

from pycnm.dns import answers as answers_module
from pycnm.dns import query as asked
from pycnm.dns.answers import Answers, Forward, failure
from pycnm.dns.view import Member, Segment, View

DB = Member(("db", "sql"), (IPAddress("10.0.1.2"), IPAddress("fd00:1::2")))
WEB = Member(("web", "www"), (IPAddress("10.0.1.3"),), (("tcp", 80), ("udp", 53)))
WEB2 = Member(("web2", "www"), (IPAddress("10.0.1.4"),), (("tcp", 80),))
MANY = [Member((f"m{i}", "all"), (IPAddress(0x0A000200 + i),)) for i in range(100)]
LONG = Member(("x" * 64,), (IPAddress("10.0.1.9"),))
FRONT = Segment("front", [DB, WEB, WEB2, *MANY, LONG])
VIEW = View((FRONT,))


@pytest.fixture
def answers():
    return Answers(VIEW)


def wire(name, kind="A", **more):
    return dns.message.make_query(name, kind, id=0x1234, **more).to_wire()


def ask(answers, name, kind="A", transport="udp", **more):
    """What is answered, twice the same: what is remembered is what was said."""
    data = wire(name, kind, **more)
    replies = [answers.answer(data, transport) for _ in range(3)]
    assert len({type(reply) for reply in replies}) == 1
    if isinstance(replies[0], Forward):
        return replies[0]
    query = dns.message.from_wire(data)
    read = [dns.message.from_wire(reply) for reply in replies]
    for message in read:
        assert message.flags & ~(dns.flags.TC | dns.flags.CD | 0xF) == (
            dns.flags.QR | dns.flags.RD | dns.flags.RA
        )
        assert query.is_response(message)
        assert str(message.question[0].name) == str(query.question[0].name)
    assert read[0].rcode() == read[2].rcode()
    assert len({sum(map(len, message.answer)) for message in read}) == 1
    return read[-1]


def told(message):
    return sorted(
        f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
        for rrset in message.answer
        for rdata in rrset
    )


def test_an_address_byte_for_byte(answers):
    data = bytes.fromhex("1234 0100 0001 0000 0000 0000 02 4462 00 0001 0001")
    assert answers.answer(data, "udp") == bytes.fromhex(
        "1234 8180 0001 0001 0000 0000 02 4462 00 0001 0001c00c 0001 0001 00000258 0004 0a000102"
    )


def test_an_address_byte_for_byte_with_edns(answers):
    data = bytes.fromhex(
        "1234 0110 0001 0000 0000 0001 02 4462 05 66726f6e74 00 001c 0001"
        "00 0029 1000 00 00 8000 0000"
    )
    assert answers.answer(data, "udp") == bytes.fromhex(
        "1234 8190 0001 0001 0000 0001 02 4462 05 66726f6e74 00 001c 0001"
        "c00c 001c 0001 00000258 0010 fd000001000000000000000000000002"
        "00 0029 04d0 00 00 8000 0000"
    )


def test_the_id_is_the_clients_each_time(answers):
    data = wire("db")
    for identifier in (b"\0\0", b"\x12\x34", b"\xff\xff"):
        assert answers.answer(identifier + data[2:], "udp")[:2] == identifier


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_what_is_known(answers, transport):
    assert told(ask(answers, "db", transport=transport)) == ["A 10.0.1.2"]
    assert told(ask(answers, "DB.Front", transport=transport)) == ["A 10.0.1.2"]
    assert told(ask(answers, "sql", "AAAA", transport)) == ["AAAA fd00:1::2"]
    assert told(ask(answers, "db", "ANY", transport)) == ["A 10.0.1.2", "AAAA fd00:1::2"]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "HTTPS", "SOA", "NS", "CNAME", "SRV", "PTR"])
def test_a_known_name_without_what_is_asked_for_is_empty_and_not_forwarded(answers, kind):
    message = ask(answers, "web", kind)
    assert (message.rcode(), message.answer, message.authority) == (0, [], [])


@pytest.mark.parametrize("kind", ["A", "AAAA", "MX", "ANY", "SRV", "PTR"])
def test_what_is_not_known_is_for_others(answers, kind):
    forward = ask(answers, "Example.COM", kind)
    assert forward.query.labels == (b"example", b"com")
    assert isinstance(ask(answers, ".", kind), Forward)


def test_ttl_is_600(answers):
    for name, kind in (("db", "A"), ("2.1.0.10.in-addr.arpa", "PTR"), ("_80._tcp.web", "SRV")):
        message = ask(answers, name, kind)
        assert {rrset.ttl for rrset in (*message.answer, *message.additional)} == {600}


def test_each_of_several_comes_first_as_often(answers):
    data = wire("www")
    first = Counter(answers.answer(data, "udp")[-20:-16] for _ in range(1000))
    assert len(first) == 2
    assert min(first.values()) > 400


def test_pointers(answers):
    assert told(ask(answers, "2.1.0.10.in-addr.arpa", "PTR")) == ["PTR db.front."]
    assert told(ask(answers, "2.1.0.10.IN-ADDR.arpa", "ANY")) == ["PTR db.front."]
    assert told(ask(answers, "2.1.0.10.in-addr.arpa", "A")) == []
    reverse = dns.reversename.from_address("fd00:1::2").to_text()
    assert told(ask(answers, reverse, "PTR")) == ["PTR db.front."]
    assert told(ask(answers, reverse.upper(), "PTR")) == ["PTR db.front."]


@pytest.mark.parametrize(
    "name",
    [
        "9.9.0.10.in-addr.arpa",
        "02.1.0.10.in-addr.arpa",
        "2.1.0.10.0.in-addr.arpa",
        "1.0.10.in-addr.arpa",
        "in-addr.arpa",
        "256.1.0.10.in-addr.arpa",
        "+2.1.0.10.in-addr.arpa",
        r"\000.1.0.10.in-addr.arpa",
        r"\255.1.0.10.in-addr.arpa",
        r"\ ." * 32 + "ip6.arpa",
        "g." * 32 + "ip6.arpa",
        r"\255." * 32 + "ip6.arpa",
        "0." * 31 + "ip6.arpa",
        "00." * 32 + "ip6.arpa",
        "0." * 33 + "ip6.arpa",
        # Blanks are no digits: this isn't 10.0.1.2.
        "2.0.1.0.0.0.a.0." + r"\032." * 24 + "ip6.arpa",
    ],
)
def test_a_pointer_of_no_address_here_is_for_others(answers, name):
    assert isinstance(ask(answers, name, "PTR"), Forward)


def test_a_name_that_cannot_be_written_is_a_failure(answers):
    message = ask(answers, "9.1.0.10.in-addr.arpa", "PTR")
    assert message.rcode() == dns.rcode.SERVFAIL


def test_services(answers):
    message = ask(answers, "_80._tcp.www", "SRV")
    assert told(message) == ["SRV 0 0 80 web.front.", "SRV 0 0 80 web2.front."]
    extra = {str(rrset.name): rrset[0].to_text() for rrset in message.additional}
    assert extra == {"web.front.": "10.0.1.3", "web2.front.": "10.0.1.4"}
    assert told(ask(answers, "_53._UDP.web.front", "SRV")) == ["SRV 0 0 53 web.front."]
    assert told(ask(answers, "_80._tcp.web", "A")) == []
    assert isinstance(ask(answers, "_81._tcp.web", "SRV"), Forward)


def test_other_classes_and_transfers_are_refused(answers):
    for message in (
        ask(answers, "db", rdclass="CH"),
        ask(answers, "version.bind", "TXT", rdclass="CH"),
        ask(answers, "db", rdclass="ANY"),
        ask(answers, "front", "AXFR", "tcp"),
        ask(answers, "front", "IXFR"),
    ):
        assert (message.rcode(), message.answer) == (dns.rcode.REFUSED, [])


def test_other_versions_of_edns_are_told_which_there_is(answers):
    message = ask(answers, "db", use_edns=1)
    assert (message.rcode(), message.edns, message.answer) == (dns.rcode.BADVERS, 0, [])
    assert ask(answers, "elsewhere.test", use_edns=7).rcode() == dns.rcode.BADVERS


def test_options_of_the_client_are_not_echoed(answers):
    cookie = [dns.edns.GenericOption(10, b"12345678")]
    message = ask(answers, "db", use_edns=0, options=cookie, want_dnssec=True)
    assert (message.options, message.payload) == ((), 1232)
    assert message.ednsflags == dns.flags.DO
    assert ask(answers, "db", use_edns=0, ednsflags=0xFFFF).ednsflags == dns.flags.DO
    assert ask(answers, "db").edns == -1


@pytest.mark.parametrize(
    ("size", "count"), [(None, 30), (512, 30), (100, 30), (1232, 75), (4096, 100), (65535, 100)]
)
def test_what_the_client_cannot_take_is_cut_and_says_so(answers, size, count):
    more = {} if size is None else {"use_edns": 0, "payload": size}
    message = ask(answers, "all", **more)
    assert len(told(message)) == count
    assert bool(message.flags & dns.flags.TC) == (count < 100)
    for _ in range(20):
        assert len(answers.answer(wire("all", **more), "udp")) <= max(size or 0, 512)


def test_each_has_its_turn_in_what_is_cut(answers):
    seen = set()
    for _ in range(100):
        seen.update(told(dns.message.from_wire(answers.answer(wire("all"), "udp"))))
    assert len(seen) == 100


def test_a_stream_takes_all(answers):
    message = ask(answers, "all", transport="tcp")
    assert len(told(message)) == 100
    assert not message.flags & dns.flags.TC


def test_what_is_extra_is_left_out_rather_than_cut():
    ports = tuple(("tcp", 80) for _ in range(1))
    crowd = [
        Member((f"m{i}", "all"), tuple(IPAddress(0x0A000000 + 9 * i + j) for j in range(9)), ports)
        for i in range(10)
    ]
    message = ask(Answers(View((Segment("n", crowd),))), "_80._tcp.all", "SRV")
    assert len(told(message)) == 10
    assert not message.flags & dns.flags.TC
    assert 0 < sum(map(len, message.additional)) < 90


def test_with_what_is_cut_there_is_nothing_extra():
    crowd = [
        Member((f"m{i}", "all"), (IPAddress(0x0A000000 + i),), (("tcp", 80),)) for i in range(50)
    ]
    for _ in range(20):
        message = ask(Answers(View((Segment("n", crowd),))), "_80._tcp.all", "SRV")
        assert message.flags & dns.flags.TC
        assert message.additional == []


def test_dots_for_names_without_any():
    answers = Answers(View((FRONT,), ndots=True))
    for kind in ("A", "AAAA"):
        message = ask(answers, "elsewhere", kind)
        assert (message.rcode(), message.answer) == (0, [])
        assert isinstance(ask(answers, "elsewhere.test", kind), Forward)
    assert isinstance(ask(answers, "elsewhere", "MX"), Forward)
    assert told(ask(answers, "db")) == ["A 10.0.1.2"]


def test_malformed_messages_are_told_so(answers):
    assert answers.answer(b"", "udp") is None
    assert answers.answer(wire("db")[:-1], "udp")[3] & 0xF == dns.rcode.FORMERR
    padding = [dns.edns.GenericOption(12, b"\0" * 600)]
    data = wire("db", use_edns=0, options=padding)
    assert answers.answer(data, "udp")[3] & 0xF == 0
    assert answers.answer(data, "tcp")[3] & 0xF == dns.rcode.FORMERR


@pytest.mark.parametrize("rcode", [2, 3, 5])
def test_a_failure(rcode):
    query = asked.parse(wire("Example.COM", use_edns=0), asked.UDP_LIMIT)
    message = dns.message.from_wire(failure(query, rcode))
    assert (message.id, message.rcode(), message.edns) == (0x1234, rcode, 0)
    assert str(message.question[0].name) == "Example.COM."


def test_what_is_remembered_is_bounded(answers):
    for number in range(3 * answers_module._REMEMBERED):
        ask(answers, "DB", use_edns=0, payload=512 + number)
        ask(answers, f"m{number % 100}", number % 999 + 256)
        assert len(answers._ready) <= answers_module._REMEMBERED
        assert len(answers._known) <= answers_module._REMEMBERED
    answers._ready.clear()
    padding = [dns.edns.GenericOption(12, b"\0" * 400)]
    ask(answers, "db", use_edns=0, options=padding)
    ask(answers, "all")
    assert not answers._ready


def test_what_was_said_by_stream_is_not_taken_for_a_datagram(answers):
    ask(answers, "all", transport="tcp")
    assert ask(answers, "all").flags & dns.flags.TC
    assert not ask(answers, "all", transport="tcp").flags & dns.flags.TC
