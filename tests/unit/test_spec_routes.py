"""Static routes in words, and those that lead nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError, OutOfSubnetError
from pycnm.spec.routes import StaticRoute, refuse_astray, shared, static_routes

SUBNETS = [IPNetwork("10.20.30.0/24"), IPNetwork("fd00:20::/64")]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.9.0.0/16 via 10.20.30.5", "10.9.0.0/16 via 10.20.30.5"),
        ("  10.9.0.0/16   via 10.20.30.5  metric 100 ", "10.9.0.0/16 via 10.20.30.5 metric 100"),
        ("10.9.0.0/16", "10.9.0.0/16"),
        ("10.9.0.7/32 metric 5", "10.9.0.7/32 metric 5"),
        ("10.9.0.0/16,10.20.30.5", "10.9.0.0/16 via 10.20.30.5"),
        ("10.9.0.0/16,10.20.30.5,100", "10.9.0.0/16 via 10.20.30.5 metric 100"),
        ("FD00:9:0::/48 via FD00:20::0:5", "fd00:9::/48 via fd00:20::5"),
    ],
)
def test_in_words(text, canonical):
    route = StaticRoute.parse(text)
    assert str(route) == canonical
    assert StaticRoute.parse(canonical) == route == shared(canonical)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "as in '10.9.0.0/16 via"),
        ("10.9.0.0/16 10.20.30.5", "as in '10.9.0.0/16 via"),
        ("10.9.0.0/16 via", "as in '10.9.0.0/16 via"),
        ("10.9.0.0/16 metric 5 via 10.20.30.5", "as in '10.9.0.0/16 via"),
        ("10.9.0.0/16 dev eth0", "as in '10.9.0.0/16 via"),
        ("x" * 10000, "as in '10.9.0.0/16 via"),
        (7, "as in '10.9.0.0/16 via"),
        ("10.9.0.0 via 10.20.30.5", "it needs a prefix length"),
        ("10.9.0.1/16 via 10.20.30.5", "it should be 10.9.0.0/16"),
        ("10.9.0.0/16 via fd00::1", "it should be an IPv4 address"),
        ("fd00:9::/48 via 10.20.30.5", "it should be an IPv6 address"),
        ("10.9.0.0/16 via c3", "it should be an address such as"),
        ("10.9.0.0/16 via 10.20.30.5 metric 0", "from 1 to 4294967295"),
        ("10.9.0.0/16 via 10.20.30.5 metric 4294967296", "from 1 to 4294967295"),
        ("10.9.0.0/16 via 10.20.30.5 metric low", "from 1 to 4294967295"),
        ("0.0.0.0/0 via 10.20.30.5", "the default route leads to the network's gateway"),
        ("::/0 via fd00:20::5", "the default route leads to the network's gateway"),
        ("127.0.0.0/8 via 10.20.30.5", "no router leads to addresses of 127.0.0.0/8"),
        ("224.1.0.0/16", "no router leads to addresses of 224.0.0.0/4"),
        ("fe80::/64 via fd00:20::5", "no router leads to addresses of fe80::/10"),
        ("ff02::/16 via fd00:20::5", "no router leads to addresses of ff00::/8"),
    ],
)
def test_what_is_no_route(text, says):
    with pytest.raises(InvalidArgumentError) as caught:
        StaticRoute.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("values", ["10.9.0.0/16 via 10.20.30.5", 7, b"x", [None], [[]]])
def test_what_is_no_list_of_them(values):
    with pytest.raises(InvalidArgumentError):
        static_routes(values)


def test_the_same_twice():
    assert static_routes(None) == static_routes([]) == ()
    two = ["10.9.0.0/16 via 10.20.30.5", "10.9.0.0/16 via 10.20.30.6 metric 5"]
    assert static_routes(two) == tuple(two)
    with pytest.raises(InvalidArgumentError, match=r"twice, as 10\.9\.0\.0/16 via 10\.20\.30\.5"):
        static_routes([*two, "10.9.0.0/16 via 10.20.30.7"])


@pytest.mark.parametrize(
    "text",
    ["10.9.0.0/16 via 10.20.30.5", "10.0.0.0/8 via 10.20.30.5", "10.9.0.0/16",
     "fd00::/16 via fd00:20::5"],
)  # fmt: skip
def test_what_leads_somewhere(text):
    """Also where the subnet is a part of the destination: the longer prefix is used."""
    refuse_astray([text], "network n", SUBNETS)


@pytest.mark.parametrize(
    ("text", "subnets", "error", "says"),
    [
        ("10.9.0.0/16 via 10.20.31.5", SUBNETS, OutOfSubnetError,
         "choose one from 10.20.30.1 to 10.20.30.254"),
        ("10.9.0.0/16 via 10.20.30.255", SUBNETS, InvalidArgumentError, "broadcast address"),
        ("10.20.30.0/24 via 10.20.30.5", SUBNETS, InvalidArgumentError,
         "what is in 10.20.30.0/24 is reached without a route"),
        ("10.20.30.128/25 via 10.20.30.5", SUBNETS, InvalidArgumentError, "without a route"),
        ("10.9.0.0/16 via 10.20.30.2", SUBNETS, InvalidArgumentError,
         "10.20.30.2 is the address of endpoint c2 itself"),
        ("fd00:9::/48 via fd00:20::5", SUBNETS[:1], InvalidArgumentError,
         "endpoint c2 has no IPv6 subnet"),
        ("fd00:9::/48 via fe80::5", SUBNETS, OutOfSubnetError, "choose one from fd00:20::1"),
    ],
)  # fmt: skip
def test_what_leads_nowhere(text, subnets, error, says):
    with pytest.raises(error) as caught:
        refuse_astray([text], "endpoint c2", subnets, [IPAddress("10.20.30.2")])
    assert says in str(caught.value)


def test_one_subnet_of_a_wire_is_reached_from_another():
    both = [*SUBNETS, IPNetwork("10.20.31.0/24")]
    refuse_astray(["10.20.31.0/24"], "network n", both)


@given(st.text(max_size=60))
def test_any_text(text):
    try:
        route = StaticRoute.parse(text)
    except InvalidArgumentError:
        return
    assert StaticRoute.parse(str(route)) == route
