"""Questions that are passed on: what is sent, what of what comes back fits."""

from __future__ import annotations

from random import Random

import dns.edns
import dns.message
import pytest

from pycnm.dns import query as asked
from pycnm.dns import upstream

NAME = "www.example-domain.test"


def chance(seed):
    return Random(seed)  # noqa: S311 - the same each time


def ask(name=NAME, kind="A", **more):
    data = dns.message.make_query(name, kind, id=7, **more).to_wire()
    query = asked.parse(data, asked.UDP_LIMIT)
    return query, upstream.request(query, 0xBEEF, chance(3))


def reply_to(request, edit=id, **more):
    message = dns.message.make_response(dns.message.from_wire(request.data), **more)
    message.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", "192.0.2.1"))
    edit(message)
    return message.to_wire()


def test_what_is_sent_is_the_question_in_a_case_that_cannot_be_guessed():
    query, request = ask()
    sent = dns.message.from_wire(request.data)
    assert (sent.id, request.id) == (0xBEEF, 0xBEEF)
    assert str(sent.question[0].name).lower() == NAME + "."
    assert request.question != query.question
    assert request.question.lower() == query.question.lower()
    assert sent.flags == dns.flags.RD
    assert sent.edns == -1
    rng = chance(5)
    cases = {upstream.request(query, 1, rng).question for _ in range(100)}
    assert len(cases) > 95
    rest = {question[len(query.name) :] for question in cases}
    assert rest == {b"\0\1\0\1"}


def test_letters_are_those_of_the_name_only():
    # Type 65 is HTTPS and 'A', the length 63 is '?'.
    query, _ = ask("a" * 63, "HTTPS")
    rng = chance(5)
    for _ in range(50):
        sent = dns.message.from_wire(upstream.request(query, 1, rng).data)
        assert sent.question[0].rdtype == dns.rdatatype.HTTPS
        assert str(sent.question[0].name).lower() == "a" * 63 + "."


def test_options_are_not_passed_on_and_sizes_are_bounded():
    cookie = [dns.edns.GenericOption(10, b"12345678")]
    _, request = ask(use_edns=0, payload=4096, options=cookie, want_dnssec=True)
    sent = dns.message.from_wire(request.data)
    assert (sent.edns, sent.payload, sent.options) == (0, 1232, ())
    assert sent.ednsflags == dns.flags.DO
    _, request = ask(use_edns=0, ednsflags=0xFFFF)
    assert dns.message.from_wire(request.data).ednsflags == dns.flags.DO
    _, request = ask(use_edns=0, payload=600)
    assert dns.message.from_wire(request.data).payload == 600


def test_a_reply_fits():
    _, request = ask()
    assert upstream.fits(reply_to(request), request)


def ending(data, request, tail):
    end = 12 + len(request.question)
    return data[: end - 4] + tail + data[end:]


def swapped(data, request):
    end = 12 + len(request.question) - 4
    return data[:12] + data[12:end].swapcase() + data[end:]


WRONG = {
    "id": lambda data, _: b"\0\0" + data[2:],
    "question": lambda data, _: data[:2] + bytes([data[2] & 0x7F]) + data[3:],
    "opcode": lambda data, _: data[:2] + bytes([data[2] | 0x08]) + data[3:],
    "none": lambda data, _: data[:5] + b"\0" + data[6:],
    "two": lambda data, _: data[:5] + b"\2" + data[6:],
    "header": lambda data, _: data[:12],
    "cut": lambda data, _: data[:20],
    "empty": lambda *_: b"",
    "echo": lambda _, request: request.data,
    "type": lambda data, request: ending(data, request, b"\0\2\0\1"),
    "class": lambda data, request: ending(data, request, b"\0\1\0\3"),
    "name": lambda data, _: data[:12] + b"\4evil\4test\0" + data[23:],
    "pointer": lambda data, request: data[:12] + b"\xc0\x0c" + data[8 + len(request.question) :],
    "case": swapped,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit(wrong):
    _, request = ask()
    data = WRONG[wrong](reply_to(request), request)
    assert not upstream.fits(data, request)
    assert upstream.fits(data, request, cased=False) == (wrong == "case")


def test_the_type_has_no_case():
    # 'A' and 'a' as types: 65 is HTTPS, 97 is nothing yet.
    _, request = ask(kind="HTTPS")
    other = ending(reply_to(request), request, b"\0\x61\0\1")
    assert not upstream.fits(other, request, cased=False)


def test_the_client_gets_its_own_id_and_case_and_all_the_rest():
    query, request = ask("WwW.example.TEST")

    def with_authority(message):
        message.authority.append(
            dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. root.test. 1 2 3 4 5")
        )
        message.set_rcode(dns.rcode.NXDOMAIN)

    data = reply_to(request, with_authority)
    assert upstream.rcode(data) == 3
    back = upstream.verbatim(data, query)
    message = dns.message.from_wire(back)
    assert (message.id, message.rcode()) == (7, dns.rcode.NXDOMAIN)
    assert str(message.question[0].name) == "WwW.example.TEST."
    assert str(message.answer[0].name) == "WwW.example.TEST."
    assert message.authority[0].rdtype == dns.rdatatype.SOA
    assert back[12 + len(query.question) :] == data[12 + len(query.question) :]


def test_who_may_share_a_forward():
    alike = upstream.identity(ask()[0])
    assert upstream.identity(ask(NAME.upper())[0]) == alike
    for other in (
        ask("other.test"),
        ask(kind="AAAA"),
        ask(use_edns=0),
        ask(use_edns=0, payload=4096),
        ask(use_edns=0, want_dnssec=True),
        ask(rdclass="CH"),
        ask(flags=dns.flags.RD | dns.flags.CD),
        ask(flags=0),
    ):
        assert upstream.identity(other[0]) != alike
    sizes = {upstream.identity(ask(use_edns=0, payload=size)[0]) for size in (512, 1232, 4096)}
    assert len(sizes) == 3
