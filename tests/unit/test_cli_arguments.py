"""The words of a command line, understood as Docker understands them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycnm.cli.arguments import MisuseError, check_operands, read
from pycnm.cli.command import Command, Flag, Group, Kind, Operand
from pycnm.cli.commands import ROOT
from pycnm.cli.wishes import endpoint_wishes


def understood(*words):
    request = read(ROOT, words)
    assert isinstance(request.command, Command)
    check_operands(request, request.command)
    return request.arguments


def refused(*words):
    with pytest.raises(MisuseError) as caught:
        understood(*words)
    return str(caught.value)


def commands(group=ROOT, path=()):
    for command in group.commands:
        if isinstance(command, Group):
            yield from commands(command, (*path, command.name))
        else:
            yield (*path, command.name), command


# Flags


@pytest.mark.parametrize(
    "words",
    [
        ["--driver", "bridge"],
        ["--driver=bridge"],
        ["-d", "bridge"],
        ["-dbridge"],
        ["-d=bridge"],
    ],
)
def test_a_value_is_given_in_any_of_dockers_ways(words):
    assert understood("network", "create", *words, "red").text("driver") == "bridge"
    assert understood("network", "create", "red", *words).operands == ("red",)


def test_flags_may_stand_anywhere_until_two_dashes():
    given_ = understood("network", "rm", "a", "--force", "b", "--", "--force", "-x")
    assert given_.operands == ("a", "b", "--force", "-x")
    assert given_.switch("force")


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "True", "TRUE"])
def test_a_switch_is_on(text):
    assert understood("network", "create", f"--ipv6={text}", "red").switch("ipv6")


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "False", "FALSE"])
def test_a_switch_is_off(text):
    assert not understood("network", "create", f"--ipv4={text}", "red").switch("ipv4", default=True)


def test_a_switch_takes_no_word():
    assert understood("network", "ls", "-q").switch("quiet")
    assert understood("network", "create", "--ipv6", "red").operands == ("red",)
    assert understood("network", "ls", "-q=false").switch("quiet") is False


def test_letters_are_joined():
    given_ = understood("run", "-itdp8080:80", "-p", "53:53/udp", "true")
    assert all(given_.switch(name) for name in ("interactive", "tty", "detach"))
    assert given_.texts("publish") == ["8080:80", "53:53/udp"]
    assert understood("network", "ls", "-qf", "driver=host").filters() == {"driver": ["host"]}


def test_a_flag_takes_whatever_follows():
    assert understood("run", "--net", "--rm", "true").texts("net") == ["--rm"]
    assert (
        understood("network", "connect", "--gw-priority", "-5", "n", "c").number("gw-priority")
        == -5
    )


def test_lists_and_pairs():
    given_ = understood(
        *("network", "create", "--subnet", "10.1.0.0/24,fd00::/64", "--subnet=10.2.0.0/24"),
        *("--opt", "a=b=c", "-o", "bare", "--label=x=1", "--label", "x=2", "red"),
    )
    assert given_.texts("subnet") == ["10.1.0.0/24", "fd00::/64", "10.2.0.0/24"]
    assert given_.pairs("opt") == {"a": "b=c", "bare": ""}
    assert given_.pairs("label") == {"x": "2"}
    assert understood("run", "-p", "80,81", "true").texts("publish") == ["80,81"]


def test_filters_keep_every_value():
    words = ("-f", "driver=host", "--filter=label=a=b", "-f", "driver=null")
    found = {"driver": ["host", "null"], "label": ["a=b"]}
    assert understood("network", "ls", *words).filters() == found


def test_what_was_not_given():
    given_ = understood("network", "create", "red")
    assert given_.text("driver") is None
    assert (given_.texts("subnet"), given_.pairs("opt"), given_.filters()) == ([], {}, {})
    assert (given_.number("gw-priority"), given_.switch("ipv6")) == (0, False)


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "h1", "network", "ls"],
        ["network", "--host=h1", "ls"],
        ["network", "ls", "--host", "h1"],
    ],
)
def test_what_every_command_has_may_stand_anywhere(words):
    assert understood(*words).text("host") == "h1"


def test_other_spellings():
    assert understood("run", "--network", "red", "true").texts("net") == ["red"]
    assert understood("network", "connect", "--mac-address", "02::1", "n", "c").text("mac")
    assert read(ROOT, ["network", "remove", "x"]).path == ("cnm", "network", "rm")


def test_no_flag_is_guessed_from_its_beginning():
    assert "unknown flag: --sub (did you mean --subnet?)" in refused(
        "network", "create", "--sub", "10.1.0.0/24", "x"
    )


# A command of somebody else's


@pytest.mark.parametrize(
    ("words", "operands"),
    [
        (["run", "--rm", "ls", "--rm", "-l"], ("ls", "--rm", "-l")),
        (["run", "--rm", "--", "ls", "-l", "--", "x"], ("ls", "-l", "--", "x")),
        (["run", "--", "--rm"], ("--rm",)),
        (["run", "--", "--", "x"], ("--", "x")),
        (["exec", "c2", "ls", "-l"], ("c2", "ls", "-l")),
        (["exec", "c2", "--", "ls", "-l"], ("c2", "ls", "-l")),
        (["exec", "-it", "c2", "--", "ls", "--", "-l"], ("c2", "ls", "--", "-l")),
        (["exec", "--", "c2", "ls"], ("c2", "ls")),
    ],
)
def test_its_flags_are_its_own(words, operands):
    assert understood(*words).operands == operands


def test_h_is_the_hostname_of_a_sandbox_and_help_elsewhere():
    assert understood("run", "-h", "web", "true").text("hostname") == "web"
    assert read(ROOT, ["network", "ls", "-h"]).arguments.switch("help")


# What makes no sense


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nework"], "unknown command: cnm nework (did you mean network?); see `cnm --help`"),
        (["network", "up"], "unknown command: cnm network up"),
        (["network", "ls", "-x"], "unknown shorthand flag: 'x' in -x; see `cnm network ls --help`"),
        (["network", "ls", "-qx"], "unknown shorthand flag: 'x' in -x"),
        (["network", "create", "--subnet"], "flag needs an argument: --subnet"),
        (["network", "create", "x", "-o"], "flag needs an argument: -o"),
        (["network", "create"], "cnm network create needs NETWORK; usage: cnm network create NET"),
        (["network", "connect", "x"], "needs SANDBOX; usage: cnm network connect NETWORK SANDBOX"),
        (["network", "create", "a", "b"], "one word too many for cnm network create: 'b'"),
        (["network", "ls", "a"], "one word too many for cnm network ls: 'a'; usage: cnm network"),
        (["network", "create", "--ipv6=no", "x"], "'no' for --ipv6: it should be true or false"),
        (["network", "ls", "--format", "{{.ID}}"], "it should be table or json; let jq(1) do"),
        (["network", "ls", "-f", "x"], "'x' for --filter: it should be KEY=VALUE"),
        (["completion", "fish"], "invalid SHELL 'fish': it is bash"),
        (["explain", "cat", "x"], "invalid KIND 'cat': it is network or sandbox or endpoint"),
        (["exec", "c1"], "cnm exec needs COMMAND; usage: cnm exec SANDBOX COMMAND [ARG...]"),
    ],
)
def test_the_sentence_says_what_would(words, sentence):
    assert sentence in refused(*words)


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "--", "9" * 11, "٣"])
def test_a_number_is_one(text):
    sentence = refused("network", "connect", f"--gw-priority={text}", "n", "c")
    assert "a whole number" in sentence


WORDS = st.text(max_size=12) | st.sampled_from(
    ["network", "run", "exec", "create", "ls", "--", "-", "--net", "-p", "--rm", "-it", "a=b", "-h"]
)


@given(st.lists(WORDS, max_size=8))
def test_any_words_are_understood_or_refused(words):
    try:
        request = read(ROOT, words)
        if isinstance(request.command, Command):
            check_operands(request, request.command)
    except MisuseError as error:
        refusal = error
    else:
        return
    assert refusal.status in {2, 125}
    assert "--help`" in str(refusal)


@given(st.dictionaries(st.sampled_from(["driver", "parent", "ipam-driver"]), st.text()), st.text())
def test_what_is_given_arrives_letter_by_letter(texts, name):
    words = [word for flag, text in texts.items() for word in (f"--{flag}", text)]
    given_ = understood("network", "create", *words, "--", name)
    assert given_.values == texts
    assert given_.operands == (name,)


# The table of commands


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda value: str(value)[:40])
def test_every_command_is_well_formed(path, command):
    """No flag twice, in any spelling, and the handler is there."""
    flags = [*command.flags, *ROOT.flags]
    names = [name for flag in flags for name in (flag.name, *flag.also)]
    assert len(names) == len(set(names))
    letters = [flag.short for flag in command.flags if flag.short]
    assert len(letters) == len(set(letters))
    optional = [operand.optional for operand in command.operands]
    assert optional in (sorted(optional), sorted(optional, reverse=True))
    assert not any(operand.more for operand in command.operands[:-1])
    assert command.example.startswith(("cnm ", "source <(cnm "))
    module, _, function = command.handler.partition(":")
    handlers = __import__(module, fromlist=[function])
    assert callable(getattr(handlers, function))
    if command.hidden or path in {("check",), ("completion",)}:
        return
    example, _, _ = command.example.removeprefix("cnm ").partition(" |")
    assert read(ROOT, example.split()).path[1:] == path


def test_values_of_flags_in_the_table_are_valid():
    group = Group("x", "", (), "", (Flag("choice", "", Kind.CHOICE, words=("a",)),))
    assert read(group, ["--choice", "a"]).arguments.text("choice") == "a"
    with pytest.raises(MisuseError, match="it should be a"):
        read(group, ["--choice", "b"])
    assert str(Operand("A", optional=True, more="B")) == "[A] [B...]"


# Networks of `run`


@pytest.mark.parametrize(
    ("words", "wishes"),
    [
        ([], {"bridge": {}}),
        (["--net", "red", "--net", "blue"], {"red": {}, "blue": {}}),
        (["--ip", "10.1.0.9", "-p", "80:80"], {"bridge": {"ip": "10.1.0.9", "publish": ["80:80"]}}),
        (
            ["--net=name=red,alias=a,alias=b,gw-priority=-1", "--network-alias", "c"],
            {"red": {"aliases": ["a", "b", "c"], "gateway_priority": -1}},
        ),
        (
            ["--net", "driver-opt=a=b,name=red,mac-address=02::1", "--net", "blue", "--ip6", "::2"],
            {"red": {"options": {"a": "b"}, "mac": "02::1", "ip6": "::2"}, "blue": {}},
        ),
    ],
)
def test_endpoint_wishes(words, wishes):
    assert endpoint_wishes(understood("run", *words, "true")) == wishes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--net", "red", "--net", "red"], "red is named twice"),
        (["--net", "container:c1"], "cnm exec c1"),
        (["--net", "name=red,colour=blue"], "'colour=blue' is none of name="),
        (["--net", "name=red,alias"], "'alias' is none of"),
        (["--net", "ip=10.1.0.9"], "it lacks name=NETWORK"),
        (["--net", "name=red,gw-priority=high"], "should be a whole number"),
        (["--net", "name=red,ip=10.1.0.9", "--ip", "10.1.0.8"], "ip is given twice"),
    ],
)
def test_wishes_that_make_no_sense(words, sentence):
    with pytest.raises(MisuseError) as caught:
        endpoint_wishes(understood("run", *words, "true"))
    assert sentence in str(caught.value)
    assert caught.value.status == 125
