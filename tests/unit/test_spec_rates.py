"""How an endpoint is slowed down, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycnm.errors import InvalidArgumentError
from pycnm.spec.rates import Rate

RIGHT = {
    "10mbit": (Rate(10**7), "10mbit"),
    "8000bit": (Rate(8000), "8kbit"),
    "1500kbit": (Rate(1_500_000), "1500kbit"),
    "100gbit": (Rate(10**11), "100gbit"),
    "10mbit delay 20ms loss 1%": (Rate(10**7, 20_000, 10_000), "10mbit delay 20ms loss 1%"),
    "delay 1500us": (Rate(0, 1500), "delay 1500us"),
    "delay 60s": (Rate(0, 60_000_000), "delay 60s"),
    "loss 0.01%": (Rate(0, 0, 100), "loss 0.01%"),
    "1gbit loss 100%": (Rate(10**9, 0, 10**6), "1gbit loss 100%"),
    "delay 5ms loss 12.5%": (Rate(0, 5000, 125_000), "delay 5ms loss 12.5%"),
}


@pytest.mark.parametrize(("text", "meant"), RIGHT.items())
def test_what_is_right(text, meant):
    assert (Rate.parse(text), str(Rate.parse(text))) == meant


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_no_rate(nothing):
    assert Rate.parse(nothing) is None


@pytest.mark.parametrize(
    "text",
    [
        "10", "10mbit ", " 10mbit", "10 mbit", "10Mbit", "10mbps", "0mbit", "010mbit", "-1mbit",
        "1.5mbit", "7999bit", "101gbit", "delay", "delay 20", "delay 0ms", "delay 61s", "loss 0%",
        "loss 1", "loss 100.1%", "loss 1.23456%", "loss 1% delay 20ms", "10mbit  delay 20ms",
        "10mbitdelay 20ms", "20ms", "10mbit\n", "10mbit loss 1% loss 1%", 10, True, [], b"10mbit",
    ],
)  # fmt: skip
def test_what_is_not(text):
    with pytest.raises(InvalidArgumentError, match=r"^invalid rate .*'10mbit delay 20ms loss 1%'"):
        Rate.parse(text)


@given(
    st.builds(
        Rate,
        st.one_of(st.just(0), st.integers(8000, 10**11)),
        st.integers(0, 60 * 10**6),
        st.integers(0, 10**6),
    )
)
def test_what_is_written_is_read(rate):
    assert (Rate.parse(str(rate)) or Rate()) == rate
