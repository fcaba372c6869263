"""What a sandbox can see: which name is whose, on which network."""

from __future__ import annotations

from ipaddress import ip_address

from netaddr import IPAddress

from pycnm.dns.view import Member, Segment, Service, View

DB = Member(("db", "Sql", "19a7af56bcad"), (IPAddress("10.0.1.2"), IPAddress("fd00:1::2")))
WEB = Member(("web", "www"), (IPAddress("10.0.1.3"),), (("tcp", 80), ("udp", 80), ("tcp", 443)))
WEB2 = Member(("web2", "www"), (IPAddress("10.0.1.4"),), (("tcp", 80),))
OTHER = Member(("db", "a.b"), (IPAddress("10.0.2.2"),))
FRONT = Segment("front", [DB, WEB, WEB2])
BACK = Segment("Back.End", [OTHER])
VIEW = View((FRONT, BACK))


def labels(name):
    return tuple(name.lower().encode().split(b"."))


def who(view, name):
    found = view.find(labels(name))
    return found and (found.network, [member.names[0] for member in found.members])


def reverse(view, address):
    return view.reverse(ip_address(address).packed)


def test_a_name_is_looked_for_on_each_network_in_order():
    assert who(VIEW, "db") == ("front", ["db"])
    assert who(View((BACK, FRONT)), "db") == ("Back.End", ["db"])
    assert who(VIEW, "a.b") == ("Back.End", ["db"])
    assert who(VIEW, "nobody") is None


def test_case_does_not_matter():
    assert who(VIEW, "SQL") == ("front", ["db"])
    assert who(VIEW, "sql.FRONT") == ("front", ["db"])


def test_a_name_may_have_its_network_behind_it():
    assert who(VIEW, "db.back.end") == ("Back.End", ["db"])
    assert who(VIEW, "a.b.back.end") == ("Back.End", ["db"])
    assert who(VIEW, "db.front") == ("front", ["db"])
    assert who(VIEW, "web.back.end") is None
    assert who(VIEW, "db.elsewhere") is None


def test_a_whole_name_goes_before_a_name_on_a_network():
    odd = Segment("odd", [Member(("db.front",), (IPAddress("10.9.0.2"),))])
    assert who(View((FRONT, odd)), "db.front") == ("odd", ["db.front"])


def test_the_shortest_network_goes_first():
    one = Segment("c", [Member(("a.b",), ())])
    two = Segment("b.c", [Member(("a",), ())])
    assert who(View((two, one)), "a.b.c") == ("c", ["a.b"])
    assert who(View((two,)), "a.b.c") == ("b.c", ["a"])


def test_networks_whose_names_differ_in_case_are_both_looked_at():
    other = Segment("FRONT", [Member(("only",), ())])
    assert who(View((FRONT, other)), "only.front") == ("FRONT", ["only"])


def test_those_who_share_an_alias_are_all_found():
    assert who(VIEW, "www") == ("front", ["web", "web2"])
    assert VIEW.find((b"www",)).addresses(4) == (IPAddress("10.0.1.3"), IPAddress("10.0.1.4"))
    assert VIEW.find((b"www",)).addresses(6) == ()


def test_an_address_that_two_have_is_one():
    twice = Segment("n", [Member(("a", "x"), DB.addresses), Member(("b", "x"), DB.addresses)])
    assert View((twice,)).find((b"x",)).addresses(4) == (IPAddress("10.0.1.2"),)


def test_a_name_written_twice_is_one():
    members = [Member(("a", "A", "a"), ()), Member(("b", "a", "A"), ())]
    assert who(View((Segment("n", members),)), "a") == ("n", ["a", "b"])


def test_a_dot_inside_a_label_separates_nothing():
    assert VIEW.find((b"a.b",)) is None
    assert VIEW.find((b"db.front",)) is None
    assert VIEW.find((b"a", b"b")) is not None


def test_no_name_is_nobodys():
    assert VIEW.find(()) is None
    assert View(()).find((b"db",)) is None
    assert VIEW.find((b"",)) is None


def test_an_address_has_the_first_name_and_its_network():
    assert reverse(VIEW, "10.0.1.2") == "db.front"
    assert reverse(VIEW, "fd00:1::2") == "db.front"
    assert reverse(VIEW, "10.0.2.2") == "db.Back.End"
    assert reverse(VIEW, "10.0.1.9") is None
    # An IPv6 address that ends in, or begins with, the bytes of an IPv4 one is another.
    assert reverse(VIEW, "::ffff:10.0.1.2") is None


def test_an_address_is_called_by_a_name_that_can_be_one():
    long = Member(("x" * 64, "a..b", "9.", "19a7af56bcad"), (IPAddress("10.0.1.2"),))
    assert reverse(View((Segment("n", [long]),)), "10.0.1.2") == "19a7af56bcad.n"
    only = Member(("x" * 64,), long.addresses)
    assert reverse(View((Segment("n", [only]),)), "10.0.1.2") == "x" * 64 + ".n"


def test_a_published_port_is_a_service():
    assert VIEW.service(labels("_80._tcp.www")) == (
        Service(80, "web.front", WEB.addresses),
        Service(80, "web2.front", WEB2.addresses),
    )
    assert VIEW.service(labels("_443._tcp.web.front")) == (
        Service(443, "web.front", WEB.addresses),
    )
    assert [each.port for each in VIEW.service(labels("_80._UDP.web"))] == [80]


def test_what_is_no_service():
    for name in ("_81._tcp.web", "_80._udp.web2", "_80._tcp.nobody", "_80._tcp", "80._tcp.web",
                 "_80.tcp.web", "_080._tcp.web", "__._tcp.web"):  # fmt: skip
        assert VIEW.service(labels(name)) == ()


def test_the_host_sees_all_and_takes_a_bare_name_that_one_network_has():
    host = View((FRONT, BACK), everything=True)
    assert who(host, "web") == ("front", ["web"])
    assert who(host, "db") is None
    assert who(host, "db.front") == ("front", ["db"])
    assert who(host, "db.back.end") == ("Back.End", ["db"])
    assert reverse(host, "10.0.2.2") == "db.Back.End"
