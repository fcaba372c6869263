"""Queries: what is read as one, and what is sent back to what isn't."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import pytest

from pycnm.dns import query as asked
from pycnm.dns.query import Malformed, parse


def wire(name="c2.my_bridge", kind="A", **more):
    return dns.message.make_query(name, kind, id=0x1234, **more).to_wire()


def refusal(data, limit=asked.UDP_LIMIT):
    with pytest.raises(Malformed) as caught:
        parse(data, limit)
    return caught.value.answer


def test_a_query_is_read():
    query = parse(wire("C2.My_Bridge", "AAAA"), asked.UDP_LIMIT)
    assert (query.id, query.flags) == (0x1234, dns.flags.RD)
    assert query.labels == (b"c2", b"my_bridge")
    assert query.name == b"\x02C2\x09My_Bridge\x00"
    assert query.question == query.name + b"\x00\x1c\x00\x01"
    assert (query.kind, query.klass) == (28, 1)
    assert (query.edns, query.size, query.version, query.wants) == (False, 512, 0, 0)


def test_an_opt_record_is_read():
    options = [dns.edns.GenericOption(10, b"12345678"), dns.edns.GenericOption(12, b"")]
    data = wire(use_edns=1, payload=4096, want_dnssec=True, options=options)
    query = parse(data, asked.UDP_LIMIT)
    assert (query.edns, query.size, query.version, query.wants) == (True, 4096, 1, asked.DO)


def test_no_client_takes_less_than_512():
    assert parse(wire(use_edns=0, payload=100), asked.UDP_LIMIT).size == 512


def test_the_root_and_the_longest_name_are_read():
    assert parse(wire("."), asked.UDP_LIMIT).labels == ()
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(parse(wire(longest), asked.TCP_LIMIT).name) == 255


def test_any_byte_may_stand_in_a_label():
    data = wire("c2").replace(b"\x02c2", b"\x02.\xff")
    assert parse(data, asked.UDP_LIMIT).labels == (b".\xff",)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 11, b"\x12\x34\x80" + wire()[3:]])
def test_silence_is_the_answer_to_answers_and_to_less_than_a_header(data):
    assert refusal(data) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 15])
def test_only_queries_are_implemented(opcode):
    data = wire()
    answer = dns.message.from_wire(refusal(data[:2] + bytes([opcode << 3 | 1]) + data[3:]))
    assert (answer.id, answer.opcode(), answer.rcode()) == (0x1234, opcode, 4)
    assert answer.flags & (dns.flags.QR | dns.flags.RD) == dns.flags.QR | dns.flags.RD


HEADER = b"\x12\x34\x01\x00"
COUNTS = b"\0\1\0\0\0\0\0\0"
QUESTION = b"\x02c2\0\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    "data",
    [
        HEADER + COUNTS,
        HEADER + b"\0\0\0\0\0\0\0\0",
        HEADER + b"\0\2\0\0\0\0\0\0" + QUESTION * 2,
        HEADER + b"\xff\xff\0\0\0\0\0\0" + QUESTION,
        HEADER + b"\0\1\0\1\0\0\0\0" + QUESTION + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4",
        HEADER + b"\0\1\0\0\0\1\0\0" + QUESTION,
        HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + OPT * 2,
        HEADER + b"\0\1\0\0\0\0\0\2" + QUESTION + OPT,
        HEADER + COUNTS + QUESTION + b"\0",
        HEADER + COUNTS + QUESTION + OPT,
        HEADER + COUNTS + QUESTION[:-1],
        HEADER + COUNTS + b"\xc0\x0c\0\1\0\1",
        HEADER + COUNTS + b"\x01a\xc0\x0c\0\1\0\1",
        HEADER + COUNTS + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        HEADER + COUNTS + b"\x80\0\0\1\0\1",
        HEADER + COUNTS + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
        HEADER + COUNTS + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1",
        HEADER + COUNTS + b"\x01a" * 127 + b"\x01\0\0\1\0\1",
        HEADER + COUNTS + b"\x3fab",
        HEADER + COUNTS[:-1] + b"\1" + QUESTION,
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + OPT[:-1],
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + OPT + b"\0",
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + b"\x01a" + OPT,
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + b"\xc0\x0c" + OPT[1:],
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + b"\0\0\xfa" + OPT[3:],
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + OPT[:-2] + b"\0\4\0\x0a\0\1",
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + OPT[:-2] + b"\0\3\0\x0a\0",
        HEADER + COUNTS[:-1] + b"\1" + QUESTION + OPT[:-2] + b"\xff\xff",
    ],
)
def test_what_is_malformed_is_told_so_in_a_header(data):
    assert refusal(data) == b"\x12\x34\x81\x81\0\0\0\0\0\0\0\0"


def test_what_is_too_long_is_malformed():
    padding = [dns.edns.GenericOption(12, b"\0" * 600)]
    data = wire(use_edns=0, options=padding)
    assert parse(data, asked.UDP_LIMIT).edns
    assert refusal(data, asked.TCP_LIMIT) is not None
    assert refusal(wire() + b"\0" * 65000) is not None


def test_checking_signatures_and_recursion_are_the_clients_to_say():
    assert asked.reply_flags(dns.flags.CD) == dns.flags.QR | dns.flags.RA | dns.flags.CD
    assert asked.reply_flags(dns.flags.RD | dns.flags.AD | dns.flags.AA | dns.flags.TC) == (
        dns.flags.QR | dns.flags.RA | dns.flags.RD
    )
