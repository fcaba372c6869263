"""Published ports: Docker's text forms, expansion, order, contradictions."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from pycnm.errors import InvalidArgumentError
from pycnm.spec.ports import PROTOCOLS, PortBinding, PortSpec, in_order, port_specs


class Unprintable:
    def __repr__(self):
        raise RuntimeError


def outcome(check, value):
    """What `check` makes of `value`; None if it refuses it as it should."""
    try:
        return check(value)
    except InvalidArgumentError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400
    return None


PORTS = st.integers(1, 65535)
HOSTS = st.none() | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
PORT_LIKE = st.text(alphabet="0123456789:-/.[]tcpudsfa +\n\0٣", max_size=30)
ANYTHING = st.one_of(
    st.text(),
    PORT_LIKE,
    st.tuples(st.ip_addresses().map(str), PORT_LIKE).map(":".join),
    st.integers(),
    st.binary(),
    st.none(),
    st.floats(),
    st.lists(st.text()),
    st.just(Unprintable()),
    st.just(10**5000),
)


@st.composite
def specs(draw):
    container = sorted(draw(st.lists(PORTS, min_size=2, max_size=2)))
    length = container[1] - container[0]
    protocol = draw(st.sampled_from(list(PROTOCOLS)))
    host = draw(st.sampled_from(["chosen", "pairwise", "choice"]))
    fields = {"container_first": container[0], "container_last": container[1]}
    if host == "pairwise":
        first = draw(st.integers(1, 65535 - length))
        fields |= {"host_first": first, "host_last": first + length}
    elif host == "choice":
        first, last = sorted(draw(st.lists(PORTS, min_size=2, max_size=2)))
        fields |= {"host_first": first, "host_last": last, "container_last": container[0]}
    address = draw(HOSTS)
    try:
        return PortSpec(host_address=address, protocol=protocol, **fields)
    except InvalidArgumentError:
        return PortSpec(protocol=protocol, **fields)


def fields_of(spec):
    address = spec.host_address
    return (
        None if address is None else str(address),
        (spec.host_first, spec.host_last),
        (spec.container_first, spec.container_last),
        spec.protocol,
    )


@pytest.mark.parametrize(
    ("text", "fields", "canonical"),
    [
        ("80", (None, (0, 0), (80, 80), "tcp"), "80/tcp"),
        (":80", (None, (0, 0), (80, 80), "tcp"), "80/tcp"),
        ("::80", (None, (0, 0), (80, 80), "tcp"), "80/tcp"),
        ("80/udp", (None, (0, 0), (80, 80), "udp"), "80/udp"),
        ("1:65535", (None, (1, 1), (65535, 65535), "tcp"), "1:65535/tcp"),
        ("8080:80", (None, (8080, 8080), (80, 80), "tcp"), "8080:80/tcp"),
        (":8080:80", (None, (8080, 8080), (80, 80), "tcp"), "8080:80/tcp"),
        ("8080:80/SCTP", (None, (8080, 8080), (80, 80), "sctp"), "8080:80/sctp"),
        ("127.0.0.1:8080:80", ("127.0.0.1", (8080, 8080), (80, 80), "tcp"),
         "127.0.0.1:8080:80/tcp"),
        ("127.0.0.1::80", ("127.0.0.1", (0, 0), (80, 80), "tcp"), "127.0.0.1::80/tcp"),
        ("0.0.0.0:8080:80", ("0.0.0.0", (8080, 8080), (80, 80), "tcp"), "0.0.0.0:8080:80/tcp"),
        ("[::1]:8080:80", ("::1", (8080, 8080), (80, 80), "tcp"), "[::1]:8080:80/tcp"),
        ("[::]::80/udp", ("::", (0, 0), (80, 80), "udp"), "[::]::80/udp"),
        ("fd00::1:8080:80", ("fd00::1", (8080, 8080), (80, 80), "tcp"), "[fd00::1]:8080:80/tcp"),
        ("::::80", ("::", (0, 0), (80, 80), "tcp"), "[::]::80/tcp"),
        ("[::ffff:10.0.0.1]:1:2", ("10.0.0.1", (1, 1), (2, 2), "tcp"), "10.0.0.1:1:2/tcp"),
        ("8000-8010:80", (None, (8000, 8010), (80, 80), "tcp"), "8000-8010:80/tcp"),
        ("8000-8001:90-91", (None, (8000, 8001), (90, 91), "tcp"), "8000-8001:90-91/tcp"),
        ("90-91", (None, (0, 0), (90, 91), "tcp"), "90-91/tcp"),
        ("127.0.0.1::90-91", ("127.0.0.1", (0, 0), (90, 91), "tcp"), "127.0.0.1::90-91/tcp"),
        ("80-80:90-90", (None, (80, 80), (90, 90), "tcp"), "80:90/tcp"),
    ],
)  # fmt: skip
def test_dockers_text_forms(text, fields, canonical):
    spec = PortSpec.parse(text)
    assert fields_of(spec) == fields
    assert str(spec) == canonical
    assert PortSpec.parse(canonical) == spec
    assert PortSpec.parse(spec) is spec


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "it should be PORT, HOST_PORT:PORT or ADDRESS:HOST_PORT:PORT"),
        ("8080:", "it should be PORT"),
        ("http", "it should be PORT"),
        ("+80", "it should be PORT"),
        (" 80", "it should be PORT"),
        ("80 ", "it should be PORT"),
        ("80\n", "it should be PORT"),
        ("8\0", "it should be PORT"),
        ("\u0668\u0660", "it should be PORT"),
        ("8_0", "it should be PORT"),
        ("-80", "it should be PORT"),
        ("80-", "it should be PORT"),
        ("1-2-3", "it should be PORT"),
        ("1.5", "it should be PORT"),
        ("100000", "it should be PORT"),
        ("1" * 5000, "it should be PORT"),
        ("127.0.0.1:80", "it should be PORT"),
        ("[::1]:80", "it should be PORT"),
        ("[::1]80:80", "it should be PORT"),
        ("[::1:80:80", "it should be PORT"),
        ("[127.0.0.1]:80:80", "it should be PORT"),
        ("0", "ports are 1 to 65535; leave HOST_PORT empty to have one chosen"),
        ("80:0", "ports are 1 to 65535"),
        ("0:80", "ports are 1 to 65535"),
        ("080:80", "ports are 1 to 65535"),
        ("0-5:80", "ports are 1 to 65535"),
        ("65536", "invalid container port 65536: it should be a number from 1 to 65535"),
        ("65536:80", "invalid host port 65536: it should be a number from 1 to 65535"),
        ("65535-65536:80", "invalid host port 65536"),
        ("90-80", "invalid port range: 90-80; write the lower container port first"),
        ("8010-8000:80", "invalid port range: 8010-8000; write the lower host port first"),
        ("8000-8002:80-81", "8000-8002:80-81/tcp: 2 container ports cannot be published at 3 host"),
        ("8000:80-81", "2 container ports cannot be published at 1 host ports; give two ranges"),
        ("80/", "unknown protocol ''; it should be tcp, udp or sctp"),
        ("80/icmp", "unknown protocol icmp; it should be tcp, udp or sctp"),
        ("80/tcp/udp", "unknown protocol tcp/udp"),
        ("80/ tcp", "unknown protocol ' tcp'"),
        ("224.0.0.1:80:80", "invalid host address: 224.0.0.1; it is a multicast address"),
        ("[ff02::1]:80:80", "invalid host address: ff02::1; it is a multicast address"),
        ("[fe80::1]:80:80", "it is a link-local address"),
        ("[fe80::1%eth0]:80:80", "it is a link-local address"),
        ("[fd00::1%eth0]:80:80", "leave the scope id out: fd00::1"),
        ("255.255.255.255:80:80", "it is the broadcast address"),
        ("1.2:80:80", "invalid host address: 1.2; it should be an address"),
        ("localhost:80:80", "invalid host address: localhost; it should be an address"),
        (":::80", "invalid host address: :; it should be"),
        (80, 'give text such as "8080:80", a mapping, or a PortSpec'),
        (None, "give text such as"),
        (True, "give text such as"),
        (b"80", "give text such as"),
        (["80"], "give text such as"),
        (Unprintable(), "<Unprintable>: give text such as"),
    ],
)
def test_what_cannot_be_published(value, message):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)) as info:
        PortSpec.parse(value)
    assert len(str(info.value)) < 400


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ({"container_port": 80}, "80/tcp"),
        ({"container_port": "80", "host_port": "", "host_ip": ""}, "80/tcp"),
        ({"container_port": 80, "host_port": None, "host_ip": None, "protocol": None}, "80/tcp"),
        ({"container_port": 80, "host_port": 8080, "protocol": "UDP"}, "8080:80/udp"),
        ({"container_port": 80, "host_port": "8000-8010", "host_ip": "::1"},
         "[::1]:8000-8010:80/tcp"),
        ({"container_port": "80-81", "host_ip": IPAddress("10.0.0.1")}, "10.0.0.1::80-81/tcp"),
    ],
)  # fmt: skip
def test_mappings(mapping, text):
    assert str(PortSpec.parse(mapping)) == text


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "it should have a container_port"),
        ({"host_port": 80}, "it should have a container_port"),
        (
            {"container_port": 80, "hostPort": 80},
            "unknown key hostPort; the keys are host_ip, host",
        ),
        ({"container_port": 80, 5: 80}, "unknown key 5"),
        ({"container_port": 0}, "0 is no port"),
        ({"container_port": 80, "host_port": 0}, "0 is no port"),
        ({"container_port": True}, "True is no port"),
        ({"container_port": 80.0}, "80.0 is no port"),
        ({"container_port": [80]}, "[80] is no port"),
        ({"container_port": 65536}, "invalid container port 65536"),
        ({"container_port": -1}, "invalid container port -1"),
        ({"container_port": 10**5000}, "invalid container port <int>"),
        ({"container_port": "80/udp"}, "it should be PORT"),
        ({"container_port": 80, "protocol": 6}, "unknown protocol 6"),
        ({"container_port": 80, "protocol": ["tcp"]}, "unknown protocol ['tcp']"),
        ({"container_port": 80, "host_ip": 0}, "invalid host address: 0"),
    ],
)
def test_mappings_that_cannot_be_published(mapping, message):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        PortSpec.parse(mapping)


@pytest.mark.parametrize(
    "fields",
    [
        {"container_first": 0}, {"container_first": "80"}, {"container_first": True},
        {"container_first": 80, "container_last": 79}, {"container_first": 80, "host_first": -1},
        {"container_first": 80, "host_first": 0, "host_last": 9}, {"container_first": None},
        {"container_first": 80, "host_first": 9, "host_last": 0}, {"container_first": 80.0},
        {"container_first": 80, "host_first": False}, {"container_first": 80, "protocol": "TCP"},
        {"container_first": 80, "protocol": None}, {"container_first": 80, "protocol": []},
        {"container_first": 80, "host_address": "x"}, {"container_first": 80, "host_address": ""},
        {"container_first": 80, "host_first": 0.0}, {"container_first": Unprintable()},
    ],
)  # fmt: skip
def test_the_constructor_refuses_what_text_could_not_say(fields):
    with pytest.raises(InvalidArgumentError):
        PortSpec(**fields)


def test_a_specification_is_a_frozen_value():
    spec = PortSpec(host_address="127.0.0.1", host_first=8080, container_first=80)
    assert spec == PortSpec.parse("127.0.0.1:8080:80")
    assert len({spec, PortSpec.parse("127.0.0.1:8080:80/tcp")}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        spec.host_first = 1


@pytest.mark.parametrize(
    ("text", "singles"),
    [
        ("8080:80", ["8080:80/tcp"]),
        ("8000-8002:9000-9002/udp", ["8000:9000/udp", "8001:9001/udp", "8002:9002/udp"]),
        ("90-91", ["90/tcp", "91/tcp"]),
        ("[::1]::90-91", ["[::1]::90/tcp", "[::1]::91/tcp"]),
        ("8000-8010:80", ["8000-8010:80/tcp"]),
    ],
)
def test_expansion(text, singles):
    spec = PortSpec.parse(text)
    assert [str(single) for single in spec.expand()] == singles
    assert spec.exact is all(single.exact for single in spec.expand())


def test_order_is_dockers():
    served = [
        "8081:79/tcp", "8080:80/tcp", "127.0.0.1:8082:80/tcp", "[::1]:8082:80/tcp", "8083:80/tcp",
        "8080:80/udp", "8080:80/sctp", "9000:81/tcp", "9001:82/tcp", "78/tcp", "80/tcp", "83/tcp",
        "9100-9101:83/tcp", "9100-9102:83/tcp", "9101-9102:83/tcp",
    ]  # fmt: skip
    asked = [text for text in reversed(served) if text not in {"9000:81/tcp", "9001:82/tcp"}]
    asked.insert(3, "9000-9001:81-82")
    assert [str(spec) for spec in in_order(map(PortSpec.parse, asked))] == served


def test_a_group_differs_in_the_host_address_only():
    one, other, third = map(PortSpec.parse, ["127.0.0.1::80", "[::1]::80", "127.0.0.1:1:80"])
    assert one.group == other.group != third.group
    assert one.exact is False
    assert third.exact is True
    assert PortSpec.parse("8000-8001:80").exact is False


def test_a_list_keeps_its_order():
    given_list = ["9090:90/udp", PortSpec.parse("80"), {"container_port": 70}]
    assert [str(spec) for spec in port_specs(given_list)] == ["9090:90/udp", "80/tcp", "70/tcp"]
    assert port_specs(iter(["80"])) == (PortSpec.parse("80"),)
    assert port_specs(()) == ()


@pytest.mark.parametrize(
    "texts",
    [
        ["8080:80", "8080:80/udp"],
        ["8080:80", "8081:80"],
        ["127.0.0.1:8080:80", "127.0.0.2:8080:80"],
        ["0.0.0.0:8080:80", "[::]:8080:80"],
        ["0.0.0.0:8080:80", "[::1]:8080:80"],
        ["127.0.0.1::80", "[::1]::80"],
        ["8000-8010:80", "8000-8010:81"],
        ["8000-8010:80", "8000:81"],
        ["8000-8010:80", "8000-8011:80"],
        ["80", "81"],
        ["8080:80", "127.0.0.1:8080:80"],
    ],
)
def test_lists_whose_members_get_along(texts):
    assert len(port_specs(texts)) == len(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["8080:80", "8080:80/tcp"],
        ["8080:80", "8080:81"],
        ["80", "80"],
        ["80", "79-81"],
        ["8000-8010:80", "8000-8010:80"],
        ["127.0.0.1:8080:80", "127.0.0.1:8080:81"],
        ["127.0.0.1:8080:80", "0.0.0.0:8080:81"],
        ["[::]:8080:80", "[::1]:8080:81"],
        ["8000-8010:9000-9010", "8010:80"],
        ["8000-8010:9000-9010", "8005-8006:80-81"],
        ["127.0.0.1::80", "127.0.0.1::80"],
        ["0.0.0.0::80", "127.0.0.1::80"],
    ],
)
def test_lists_whose_members_exclude_each_other(texts):
    one, other = (str(PortSpec.parse(text)) for text in texts)
    message = f"invalid published ports: {other} and {one} exclude each other; give each port once"
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        port_specs(texts)


@pytest.mark.parametrize("values", ["8080:80", b"80", 80, None, {"80": "80"}, Unprintable()])
def test_a_list_has_to_be_one(values):
    with pytest.raises(InvalidArgumentError, match=r'they should be a list, such as \["8080:80"\]'):
        port_specs(values)


@pytest.mark.parametrize(
    ("host_address", "text"),
    [("0.0.0.0", "0.0.0.0:8080->80/tcp"), ("::", "[::]:8080->80/tcp"),
     ("::1", "[::1]:8080->80/tcp")],
)  # fmt: skip
def test_a_binding_reads_as_docker_prints_it(host_address, text):
    binding = PortBinding(
        protocol="tcp", host_address=host_address, host_port=8080, address="10.20.30.3", port=80
    )
    assert str(binding) == text
    assert binding.address == IPAddress("10.20.30.3")
    assert binding.host_address == IPAddress(host_address)
    assert hash(binding) == hash(attrs.evolve(binding))


@pytest.mark.parametrize(
    "change",
    [{"protocol": "icmp"}, {"protocol": None}, {"host_port": -1}, {"host_port": 65536}, {"port": 0},
     {"port": "80"}, {"address": "x"}, {"address": None}, {"host_address": None},
     {"host_address": "224.0.0.1"}],
)  # fmt: skip
def test_a_binding_that_cannot_be(change):
    fields = {
        "protocol": "tcp",
        "host_address": "0.0.0.0",
        "host_port": 8080,
        "address": "10.20.30.3",
        "port": 80,
    }
    with pytest.raises(InvalidArgumentError):
        PortBinding(**(fields | change))


@given(specs())
def test_canonical_text_parses_again(spec):
    assert PortSpec.parse(str(spec)) == spec


@given(st.lists(specs().filter(lambda spec: spec.container_last - spec.container_first < 50)))
def test_expansion_and_order_lose_nothing(many):
    singles = in_order(many)
    assert len(singles) == sum(spec.container_last - spec.container_first + 1 for spec in many)
    assert list(singles) == sorted(singles, key=lambda single: single.group)
    assert all(single.container_first == single.container_last for single in singles)
    exact = [single.exact for single in singles]
    assert exact == sorted(exact, reverse=True)


@given(ANYTHING)
def test_what_is_taken_comes_back_and_all_else_is_refused(value):
    spec = outcome(PortSpec.parse, value)
    assert spec is None or PortSpec.parse(str(spec)) == spec


@given(
    st.dictionaries(
        st.sampled_from(["host_ip", "host_port", "container_port", "protocol"]) | st.text(),
        ANYTHING | PORTS | st.just("tcp"),
    )
    | st.lists(ANYTHING)
)
def test_mappings_and_lists_raise_nothing_else(value):
    outcome(PortSpec.parse, value)
    outcome(port_specs, value)


@given(
    st.fixed_dictionaries(
        {"container_first": ANYTHING | PORTS},
        optional={
            "container_last": ANYTHING | PORTS,
            "host_first": ANYTHING | PORTS,
            "host_last": ANYTHING | PORTS,
            "host_address": ANYTHING,
            "protocol": ANYTHING | st.just("udp"),
        },
    )
)
def test_the_constructor_makes_what_has_a_text_or_raises(fields):
    spec = outcome(lambda fields: PortSpec(**fields), fields)
    assert spec is None or PortSpec.parse(str(spec)) == spec
