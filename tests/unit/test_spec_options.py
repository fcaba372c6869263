"""The table that turns Docker's options into keyword arguments and back."""

from __future__ import annotations

import re
import time
from types import MappingProxyType, SimpleNamespace

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from pycnm.errors import InvalidArgumentError
from pycnm.spec import options
from pycnm.spec.options import FLAG, INTERFACE, TEXT, Option, OptionTable

ICC = "com.docker.network.bridge.enable_icc"
MTU = "com.docker.network.driver.mtu"
BINDING = "com.docker.network.bridge.host_binding_ipv4"
NAME = "com.docker.network.bridge.name"
MODE = "com.docker.network.bridge.gateway_mode_ipv4"
PREFIX = "com.docker.network.container_iface_prefix"
IFNAME = "com.docker.network.endpoint.ifname"

TABLE = OptionTable(
    (
        Option(ICC, "icc", FLAG, default=True, help="Sandboxes may talk to each other."),
        Option(MTU, "mtu", options.integer(0, 65535), default=1500),
        Option(BINDING, "host_binding", options.address()),
        Option(NAME, "bridge_name", INTERFACE),
        Option(MODE, "gateway_mode", options.choice("nat", "routed", "isolated"), default="nat"),
        Option(PREFIX, "prefix", TEXT, default="eth"),
        Option(IFNAME, "ifname", INTERFACE, scope="endpoint"),
    )
)


@attrs.frozen(kw_only=True)
class Sample:
    icc: bool = TABLE.field("icc")
    mtu: int = TABLE.field("mtu")
    host_binding: IPAddress | None = TABLE.field("host_binding")  # noqa: RUF009 - an attrs.field
    bridge_name: str | None = TABLE.field("bridge_name")
    gateway_mode: str = TABLE.field("gateway_mode")
    prefix: str = TABLE.field("prefix")


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


ANYTHING = st.one_of(
    st.text(), st.integers(), st.booleans(), st.none(), st.binary(), st.floats(),
    st.lists(st.text()), st.just(Unprintable()), st.just(10**5000), st.ip_addresses(),
)  # fmt: skip


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True", True])
def test_true_as_go_spells_it(text):
    assert TABLE.read({ICC: text}) == {"icc": True}


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False", False])
def test_false_as_go_spells_it(text):
    assert TABLE.read({ICC: text}) == {"icc": False}


@pytest.mark.parametrize(
    "value", ["", "yes", "no", "tRUE", " true", "true\n", "2", 1, 0, None, b"1"]
)
def test_what_is_neither_true_nor_false(value):
    message = f"^failed to parse {re.escape(ICC)} value: .* \\(it should be true or false\\)$"
    with pytest.raises(InvalidArgumentError, match=message):
        TABLE.read({ICC: value})


def test_every_kind_reads_text_and_typed_values():
    text = {
        ICC: "f", MTU: "1400", BINDING: "127.0.0.1", NAME: "br0", MODE: "routed", PREFIX: "net",
    }  # fmt: skip
    typed = {
        "icc": False, "mtu": 1400, "host_binding": IPAddress("127.0.0.1"), "bridge_name": "br0",
        "gateway_mode": "routed", "prefix": "net",
    }  # fmt: skip
    assert TABLE.read(text) == typed
    assert TABLE.read(MappingProxyType(text)) == typed
    assert TABLE.read({ICC: False, MTU: 1400, BINDING: IPAddress("127.0.0.1")}) == {
        name: typed[name] for name in ("icc", "mtu", "host_binding")
    }
    assert TABLE.read(None) == TABLE.read({}) == {}
    assert TABLE.write(SimpleNamespace(**typed)) == text | {ICC: "false"}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (MTU, "-1", "it should be a whole number from 0 to 65535"),
        (MTU, "65536", "it should be a whole number from 0 to 65535"),
        (MTU, "1500 ", "it should be a whole number from 0 to 65535"),
        (MTU, "01500", "it should be a whole number from 0 to 65535"),
        (MTU, "1_500", "it should be a whole number from 0 to 65535"),
        (MTU, "\u0663", "it should be a whole number from 0 to 65535"),
        (MTU, "9" * 5000, "it should be a whole number from 0 to 65535"),
        (MTU, 1500.0, "it should be a whole number from 0 to 65535"),
        (MTU, True, "it should be a whole number from 0 to 65535"),
        (BINDING, "1.2", "invalid address: 1.2; it should be an address"),
        (BINDING, "", "invalid address: ''; it should be an address"),
        (NAME, "a" * 16, "it has 16 characters and the kernel takes 15; shorten it"),
        (MODE, "bridged", "it should be nat, routed or isolated"),
        (MODE, ["nat"], "it should be nat, routed or isolated"),
        (PREFIX, "a\nb", "it should be printable text on one line, 1024 characters at most"),
        (PREFIX, "a" * 1025, "it should be printable text on one line, 1024 characters at most"),
        (PREFIX, 5, "it should be printable text on one line, 1024 characters at most"),
    ],
)
def test_values_that_are_not_of_the_kind(key, value, reason):
    with pytest.raises(InvalidArgumentError, match=re.escape(reason)) as info:
        TABLE.read({key: value})
    assert str(info.value).startswith(f"failed to parse {key} value: ")
    assert info.value.__suppress_context__


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("com.docker.network.bridge.enable_ic", ICC),
        ("com.docker.network.bridge.mtu", MTU),
        ("enable_icc", ICC),
        ("mtu", MTU),
        ("icc", ICC),
        ("ifname", IFNAME),
        ("gateway_mode", MODE),
        ("COM.DOCKER.NETWORK.DRIVER.MTU", MTU),
    ],
)
def test_an_unknown_key_hears_the_nearest_known_one(key, nearest):
    with pytest.raises(InvalidArgumentError) as info:
        TABLE.read({key: "1"})
    assert str(info.value) == f"unknown option {key}: the nearest known one is {nearest}"


@pytest.mark.parametrize("key", ["", " ", "x" * 1_000_000, "\0", "{}", "\udc80"])
def test_any_unknown_key_is_answered_at_once(key):
    started = time.process_time()
    with pytest.raises(InvalidArgumentError, match=r"the nearest known one is com.docker"):
        TABLE.read({key: "1"})
    assert time.process_time() - started < 1


def test_a_key_that_is_no_text_and_a_table_without_options():
    with pytest.raises(InvalidArgumentError, match=r"^unknown option 5: the name of an option sho"):
        TABLE.read({5: "1"})
    with pytest.raises(
        InvalidArgumentError, match=r"^unknown option mtu: there are no options here"
    ):
        OptionTable(()).read({"mtu": "1"})


@pytest.mark.parametrize("value", ["icc=1", [ICC], 5, True, b"", ((ICC, "1"),), Unprintable()])
def test_options_have_to_be_a_mapping(value):
    with pytest.raises(InvalidArgumentError, match="they should be a mapping"):
        TABLE.read(value)


def test_an_option_given_to_the_wrong_thing_hears_where_it_belongs():
    assert TABLE.read({IFNAME: "net0"}, "endpoint") == {"ifname": "net0"}
    with pytest.raises(InvalidArgumentError, match=r"it is for an endpoint, not for a network$"):
        TABLE.read({IFNAME: "net0"})
    with pytest.raises(InvalidArgumentError, match=r"it is for a network, not for an endpoint$"):
        TABLE.read({MTU: "1400"}, "endpoint")


def test_writing_leaves_out_defaults_and_what_is_unset():
    assert TABLE.write(Sample()) == {}
    assert TABLE.write(Sample(), defaults=True) == {
        ICC: "true", MTU: "1500", MODE: "nat", PREFIX: "eth",
    }  # fmt: skip
    assert TABLE.write(Sample(mtu=1400, host_binding="::")) == {MTU: "1400", BINDING: "::"}
    assert TABLE.write(SimpleNamespace(ifname="net0"), "endpoint") == {IFNAME: "net0"}
    assert TABLE.write(SimpleNamespace(), "ipam") == {}


def test_a_field_takes_default_and_check_from_the_table():
    assert Sample() == Sample(icc=True, mtu=1500, host_binding=None, bridge_name=None)
    assert Sample(mtu="1400", icc="f", host_binding="127.0.0.1") == Sample(
        mtu=1400, icc=False, host_binding=IPAddress("127.0.0.1")
    )
    assert attrs.evolve(Sample(mtu=1400), icc=False).mtu == 1400
    with pytest.raises(InvalidArgumentError, match=r"^failed to parse mtu value: x \(it should be"):
        Sample(mtu="x")
    with pytest.raises(InvalidArgumentError, match=r"^failed to parse mtu value: None"):
        Sample(mtu=None)
    with pytest.raises(InvalidArgumentError, match="the option table has no attribute size"):
        TABLE.field("size")


def test_a_table_is_checked_when_it_is_made():
    mtu = Option(MTU, "mtu", options.integer(0, 9))
    for twice in ((mtu, attrs.evolve(mtu, key="x")), (mtu, attrs.evolve(mtu, attribute="x"))):
        with pytest.raises(InvalidArgumentError, match="each key and attribute once"):
            OptionTable(twice)
    with pytest.raises(InvalidArgumentError, match=r"failed to parse .*mtu value: 1500"):
        OptionTable((attrs.evolve(mtu, default=1500),))


def test_tables_add_up_and_tell_what_they_know():
    table = OptionTable((*TABLE, Option("parent", "parent", INTERFACE)))
    assert [option.attribute for option in table][-2:] == ["ifname", "parent"]
    assert [option.kind.expects for option in TABLE][:5] == [
        "true or false", "a whole number from 0 to 65535", "an IP address",
        "the name of an interface", "nat, routed or isolated",
    ]  # fmt: skip
    assert options.address(6).expects == "an IPv6 address"
    assert options.choice("one").expects == "one"
    with pytest.raises(InvalidArgumentError, match="it should be an IPv6 address"):
        options.address(6).parse("10.0.0.1")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            ICC: st.booleans() | st.sampled_from(["1", "F"]),
            MTU: st.integers(0, 65535) | st.integers(0, 65535).map(str),
            BINDING: st.ip_addresses(v=4).map(str),
            NAME: st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True).filter(
                lambda name: name not in {"all", "default"}
            ),
            MODE: st.sampled_from(["nat", "routed", "isolated"]),
            PREFIX: st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        },
    )
)
def test_what_is_read_and_written_is_read_the_same(mapping):
    sample = Sample(**TABLE.read(mapping))
    for defaults in (False, True):
        written = TABLE.write(sample, defaults=defaults)
        assert all(isinstance(text, str) for text in written.values())
        assert Sample(**TABLE.read(written)) == sample


@given(
    st.dictionaries(
        st.sampled_from([option.key for option in TABLE]) | st.text() | st.integers(), ANYTHING
    )
    | ANYTHING
)
def test_anything_else_raises_the_one_error(value):
    keywords = outcome(TABLE.read, value)
    if keywords is not None:
        written = TABLE.write(Sample(**keywords), defaults=True)
        assert TABLE.read(written).items() >= keywords.items()
