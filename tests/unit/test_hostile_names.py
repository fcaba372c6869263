"""What programs in a sandbox and name servers send, at random and almost right."""

from __future__ import annotations

import time
from random import Random

import dns.exception
import dns.message
import hostile
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from pycnm.dns import query as asked
from pycnm.dns import resolvconf, upstream
from pycnm.dns.answers import Answers, Forward, failure
from pycnm.dns.query import Malformed, parse
from pycnm.dns.view import Member, Segment, View

VIEW = View(
    (
        Segment(
            "front",
            [
                Member(("db", "all"), (IPAddress("10.0.1.2"), IPAddress("fd00:1::2"))),
                Member(("web", "all"), (IPAddress("10.0.1.3"),), (("tcp", 80),)),
            ],
        ),
    )
)
NAMES = ("db", "all.front", "DB", "_80._tcp.web", "2.1.0.10.in-addr.arpa", "example.com", ".")
NUMBERS = st.sampled_from([0, 1, 2, 12, 28, 33, 41, 64, 192, 251, 252, 255, 256, 65535])


def chance(seed):
    return Random(seed)  # noqa: S311 - the same each time


@st.composite
def messages(draw):
    """A query that is right, then damaged in up to three places."""
    query = dns.message.make_query(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from([1, 12, 28, 33, 255, 64])),
        use_edns=draw(st.sampled_from([-1, 0, 1])),
        payload=draw(st.sampled_from([0, 512, 1232, 65535])),
        id=draw(st.integers(0, 65535)),
    )
    data = bytearray(query.to_wire())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.one_of(
                st.binary(max_size=4),
                NUMBERS.map(lambda number: number.to_bytes(2)),
                st.just(b"\xc0\x0c"),
                st.sampled_from([b"\x02db\0", b"\0\0\x29\x02\0\0\0\0\0\0\0", b"\x3f" + b"a" * 63]),
            )
        )
    return bytes(data)


MESSAGES = st.one_of(messages(), messages(), st.binary(max_size=80), st.binary(max_size=1500))


def read(data):
    """What dnspython makes of it; None if it refuses it."""
    try:
        return dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return None


@given(MESSAGES)
@hostile.many(400)
def test_any_message_is_answered_or_not(data):
    answers = Answers(VIEW)
    for transport in ("udp", "tcp"):
        begun = time.process_time()
        first = answers.answer(data, transport)
        again = answers.answer(data, transport)
        assert time.process_time() - begun < 0.1
        assert type(first) is type(again)
        if first is None:
            assert len(data) < 12 or data[2] & 0x80
        elif isinstance(first, Forward):
            checked(first.query, data)
        else:
            reply = dns.message.from_wire(first)
            assert len(first) <= (1232 if transport == "udp" else 65535)
            assert (first[:2], reply.flags & dns.flags.QR) == (data[:2], dns.flags.QR)
            assert sorted(first) == sorted(again)


def checked(query, data):
    """What is passed on is what another reader sees too, and no more."""
    message = dns.message.from_wire(data)
    assert len(message.question) == 1
    question = message.question[0]
    assert query.labels == tuple(label.lower() for label in question.name.labels[:-1])
    assert (query.kind, query.klass) == (question.rdtype, question.rdclass)
    assert query.edns == (message.edns >= 0)
    request = upstream.request(query, 7, chance(1))
    sent = dns.message.from_wire(request.data)
    assert sent.question == message.question
    assert dns.message.from_wire(failure(query, 2)).question == message.question


@given(MESSAGES)
@hostile.many(400)
def test_what_is_read_is_what_another_reads(data):
    try:
        query = parse(data, asked.UDP_LIMIT)
    except Malformed as error:
        refusal = error.answer
        assert refusal is None or (refusal[:2], len(refusal)) == (data[:2], 12)
        return
    assert len(data) <= asked.UDP_LIMIT
    message = read(data)
    if message is None:
        # Some options have rules of their own, which are no matter of ours.
        assert query.edns
        return
    assert query.question in data
    assert query.labels == tuple(label.lower() for label in message.question[0].name.labels[:-1])


@given(messages())
@hostile.many(300)
def test_what_another_reads_strictly_is_read(data):
    message = read(data)
    if message is None or len(message.question) != 1 or message.flags & dns.flags.QR:
        return
    if message.opcode() or message.answer or message.authority or message.additional:
        return
    if message.to_wire().lower() == data.lower():
        parse(data, asked.UDP_LIMIT)


@given(st.one_of(MESSAGES, st.binary(max_size=70000)), st.booleans())
@hostile.many(300)
def test_any_reply_fits_or_not(data, cased):
    query = parse(dns.message.make_query("www.example.com", "A", id=9).to_wire(), asked.UDP_LIMIT)
    request = upstream.request(query, 0x4242, chance(2))
    # Random bytes never fit; those that begin well do, whatever is behind.
    assert not upstream.fits(data, request, cased=cased)
    begins = b"\x42\x42\x81\x80\0\1" + data[6:12].ljust(6, b"\0") + request.question
    assert upstream.fits(begins + data, request, cased=cased)
    back = upstream.verbatim(begins + data, query)
    assert back[:2] == b"\0\x09"
    assert back[12 : 12 + len(query.question)] == query.question
    assert back.endswith(data)
    upstream.rcode(begins + data)


@given(
    st.lists(
        hostile.texts(
            "nameserver 192.0.2.1", "nameserver fe80::1%eth0", "search a b", "domain a",
            "options ndots:2 edns0", "sortlist 192.0.2.0/24", "# c",
        ),
        max_size=8,
    ).map("\n".join),
    st.booleans(),
)  # fmt: skip
@hostile.many(300)
def test_any_resolv_conf_makes_one(text, resolver):
    made = resolvconf.for_sandbox(text, "/etc/resolv.conf", resolver=resolver)
    read = resolvconf.read(made)
    assert read.servers
    assert (read.servers == (resolvconf.RESOLVER,)) or not resolver
    assert read.search == resolvconf.read(text).search
    assert len(resolvconf.upstream(text)) <= 3
    resolvconf.is_stub(text)
    resolvconf.asks_for_dots(text.split())


def test_the_costliest_message_costs_little():
    answers = Answers(VIEW)
    labels = b"\x01a" * 126 + b"\x00"
    options = b"\0\x0a\0\0" * 270
    opt = b"\0\0\x29\x04\xd0\0\0\0\0" + len(options).to_bytes(2) + options
    for kind in (b"\0\1", b"\0\x21", b"\0\xff"):
        data = b"\0\0\1\0\0\1\0\0\0\0\0\1" + labels + kind + b"\0\1" + opt
        assert len(data) > 1200
        begun = time.process_time()
        for _ in range(100):
            assert isinstance(answers.answer(data[:1232], "udp"), (Forward, bytes))
        assert time.process_time() - begun < 0.2
