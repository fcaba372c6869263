"""Names, ids and labels: what is taken, what is refused, and in which words."""

from __future__ import annotations

import re
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pycnm.errors import InvalidArgumentError
from pycnm.spec import names
from pycnm.spec.wording import shown


class Unprintable:
    def __repr__(self):
        raise RuntimeError


class Multiline:
    def __repr__(self):
        return "a\nb"


ANYTHING = st.one_of(
    st.text(),
    st.text(alphabet="ab09-._ /:%\n\x00é", max_size=20),
    st.text(alphabet="a.", min_size=60, max_size=300),
    st.binary(),
    st.integers(),
    st.floats(),
    st.none(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
    st.just(Unprintable()),
    st.just(Multiline()),
    st.just(10**5000),
)


def outcome(check, value):
    """What `check` makes of `value`; None if it refuses it as it should."""
    try:
        return check(value)
    except InvalidArgumentError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400
    return None


NOT_TEXT = [None, 5, True, b"c2", ["c2"], ("c2",), {"name": "c2"}, object(), Unprintable(), 1.5]


@pytest.mark.parametrize("name", ["a", "7", "my_bridge", "c2", "a.b-c_d", "A" * 255, "9.", "a-"])
def test_object_names_docker_takes(name):
    assert names.object_name(name) == name
    assert names.reference(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "a/b", "../etc", ".", "..", ".a", "-a", "_a", "a b", " a", "a ", "a\n", "a\0", "a\tb",
        "é", "caf\u00e9", "\u0430", "a\u202eb", "\udc80", "\uff142", "a" * 256, "a" * 300, "a:b",
        "a%b", "a@b", "a*", *NOT_TEXT,
    ],
)  # fmt: skip
def test_object_names_nobody_can_have(name):
    with pytest.raises(InvalidArgumentError, match=r"ASCII letters, digits, '_', '.' and '-'"):
        names.object_name(name)
    with pytest.raises(InvalidArgumentError, match="reference to a sandbox"):
        names.reference(name, "sandbox")


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u2003"])
def test_blank_names_are_refused_in_dockers_words(name):
    with pytest.raises(InvalidArgumentError, match=r"^invalid sandbox name: name is empty; "):
        names.object_name(name, "sandbox")


def test_a_message_names_what_was_given_and_stays_short():
    with pytest.raises(InvalidArgumentError, match=r"^invalid network name a/b: it should be "):
        names.object_name("a/b")
    with pytest.raises(InvalidArgumentError, match=r"'x{59}\.\.\. \(1000000 characters\)") as info:
        names.object_name("x" * 1_000_000)
    assert len(str(info.value)) < 250
    with pytest.raises(InvalidArgumentError, match=r"'a\\x00b'"):
        names.object_name("a\0b")


@pytest.mark.parametrize(
    "name", ["e", "eth0", "eth0.10", "br-0123456789ab", "a@b", "-x", "veth0123456789a", "...", "lo"]
)
def test_interface_names_the_kernel_takes(name):
    assert names.interface_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "all", "default", "a/b", "a:b", "a b", "a\n", "a\0", "a\x7f", "é", "eth%d",
        "eth*", 'a"', "a\\", "a" * 16, "0123456789abcdef", "\u00a0", *NOT_TEXT,
    ],
)  # fmt: skip
def test_interface_names_the_kernel_or_nft_would_not_take_as_they_are(name):
    with pytest.raises(InvalidArgumentError, match=r"^invalid parent "):
        names.interface_name(name, "parent")


def test_a_long_interface_name_hears_how_long_it_may_be():
    with pytest.raises(InvalidArgumentError, match="it has 16 characters and the kernel takes 15"):
        names.interface_name("a" * 16)


@pytest.mark.parametrize("name", ["a", "web-1", "c2", "my_box", "a.b.c", "A" * 63, "_x", "1"])
def test_hostnames(name):
    assert names.hostname(name) == name
    assert names.domain_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a..b", ".a", "a.", "a b", "a\n", "a/b", "é", "a" * 64, "a.-b", "a\0",
     *NOT_TEXT],
)  # fmt: skip
def test_hostnames_nobody_can_have(name):
    for check in (names.hostname, names.domain_name):
        with pytest.raises(InvalidArgumentError, match="joined by single dots"):
            check(name)


def test_a_hostname_ends_at_64_characters_and_a_domain_name_at_253():
    assert names.hostname("a" * 32 + "." + "b" * 31)
    long = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert names.domain_name(long) == long
    with pytest.raises(InvalidArgumentError, match="at most 64 characters"):
        names.hostname("a" * 32 + "." + "b" * 32)
    with pytest.raises(InvalidArgumentError, match="at most 253 characters"):
        names.domain_name(long + "b")


def test_ids_are_64_digits_and_never_short_numbers(monkeypatch):
    fresh = {names.new_id() for _ in range(100)}
    assert len(fresh) == 100
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in fresh)
    numbers = iter([b"\x12" * 32, b"\x12" * 5 + b"\x1a" + b"\x12" * 26])
    monkeypatch.setattr(names.os, "urandom", lambda _size: next(numbers))
    assert names.new_id()[:12] == "12121212121a"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("0", True), ("ab12", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("AB", False),
     ("g", False), ("ab\n", False)],
)  # fmt: skip
def test_what_can_be_the_start_of_an_id(text, answer):
    assert names.is_id_prefix(text) is answer


def test_labels_are_sorted_pairs():
    assert names.labels(None) == names.labels({}) == ()
    given_labels = {"tier": "front", "app.kubernetes.io/name": "x=y\nz", "empty": ""}
    pairs = (("app.kubernetes.io/name", "x=y\nz"), ("empty", ""), ("tier", "front"))
    assert names.labels(given_labels) == names.labels(MappingProxyType(given_labels)) == pairs
    assert hash(pairs)


@pytest.mark.parametrize(
    "labels",
    [
        "tier=front", ["tier=front"], [("a", "b")], 5, b"", {"": "x"}, {"a=b": "x"}, {5: "x"},
        {"a": 5}, {"a": None}, {"a\n": "x"}, {"a\0": "x"}, {"a": "\0"}, {"a": "\udc80"},
        {"\udc80": "x"}, {"a" * 256: "x"}, {"a": "x" * 65536}, Unprintable(),
    ],
)  # fmt: skip
def test_labels_nobody_can_have(labels):
    with pytest.raises(InvalidArgumentError, match=r"should be|are allowed|should have"):
        names.labels(labels)


@given(ANYTHING)
@example("a\n")
def test_every_check_returns_its_argument_or_raises_its_error(value):
    for check in (
        names.object_name,
        names.interface_name,
        names.reference,
        names.hostname,
        names.domain_name,
        names.label_key,
    ):
        result = outcome(check, value)
        assert result is None or (result == value and type(result) is str)


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", fullmatch=True))
def test_every_name_of_dockers_pattern_is_taken(name):
    assert names.object_name(name) == name


@given(ANYTHING | st.dictionaries(st.text() | st.integers(), st.text() | st.none()))
def test_labels_come_back_or_are_refused(value):
    result = outcome(names.labels, value)
    if result is not None:
        assert dict(result) == (value or {})
        assert names.labels(dict(result)) == result


@given(ANYTHING)
def test_what_a_message_shows_is_short_and_on_one_line(value):
    assert len(shown(value)) < 100
    assert shown(value).isprintable()
    assert shown(value)
