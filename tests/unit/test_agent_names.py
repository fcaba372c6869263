"""The service that answers names: what may be asked of it, and whom the host asks."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest
from hostile import many
from hypothesis import assume, given
from hypothesis import strategies as some

from pycnm.agent import upstreams
from pycnm.agent.keeper import shared
from pycnm.agent.keeping import Keeping
from pycnm.agent.listening import Where
from pycnm.agent.names import Names
from pycnm.agent.recorded import Answered
from pycnm.agent.room import Room
from pycnm.agent.service import RefusedError
from pycnm.agent.upstreams import HostServers
from pycnm.errors import InvalidArgumentError

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=10,
)


def no_resolving(_inside):
    raise AssertionError("nobody is answered")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    directory = tmp_path_factory.mktemp("state")
    descriptor = os.open(directory, os.O_RDONLY)
    yield Names(list, Keeping(directory, descriptor), 2, no_resolving)
    os.close(descriptor)


def refusal(names, request):
    with pytest.raises(RefusedError) as caught:
        asyncio.run(names.handle(request))
    return caught.value.code


@many(100)
@given(do=JSON, sandboxes=JSON)
def test_hostile_requests_are_refused(names, do, sandboxes):
    assume(do not in ("list", "release"))
    assert refusal(names, {"do": do, "sandboxes": sandboxes}) == errno.EINVAL


@many(100)
@given(sandboxes=JSON)
def test_hostile_lists_are_refused(names, sandboxes):
    if sandboxes == [] or not isinstance(sandboxes, list):
        sandboxes = {"of": sandboxes}
    assert refusal(names, {"do": "serve", "sandboxes": sandboxes}) == errno.EINVAL


@pytest.mark.parametrize(
    "value",
    [
        ["id", "/run/netns/a", 0],
        ["id", "/run/netns/a", 65536],
        ["id", "/run/netns/a", True],
        ["id", "run/netns/a", 61000],
        ["id", "/run/netns/a\0", 61000],
        ["", "/run/netns/a", 61000],
        ["id", "/run/netns/a"],
        "id",
    ],
)
def test_what_is_no_sandbox(value):
    with pytest.raises(ValueError, match="a sandbox is"):
        Answered.of(value)


def test_a_namespace_that_is_not_there(names, tmp_path):
    request = {"do": "serve", "sandboxes": [["id", str(tmp_path / "none"), 61000]]}
    assert refusal(names, request) == errno.ENOENT
    assert not names.busy()
    assert asyncio.run(names.handle({"do": "list"})) == {"sandboxes": [], "troubles": []}
    assert asyncio.run(names.handle({"do": "release", "sandboxes": ["id"]})) == {}


def test_room_is_limited_and_given_back():
    room = Room(1)
    with room.one():
        assert not room.take()
        with pytest.raises(OSError, match="open files") as caught, room.one():
            pass
        assert caught.value.errno == errno.EMFILE
    assert room.take()


# Whom the host asks


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The machine's files: /etc, and what systemd-resolved writes."""
    etc, resolved = tmp_path / "etc", tmp_path / "resolved.conf"
    (etc / "netns/h1").mkdir(parents=True)
    monkeypatch.setattr(upstreams, "_ETC", etc)
    monkeypatch.setattr(upstreams, "_ETC_NETNS", etc / "netns")
    monkeypatch.setattr(upstreams.resolvconf, "RESOLVED", str(resolved))
    return etc, resolved


def test_the_file_of_the_machine(files):
    etc, _ = files
    servers = HostServers("")
    assert servers.now() == ()
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\nnameserver 127.0.0.11\n")
    assert servers.now() == ("192.0.2.1",)
    (etc / "resolv.conf").write_text("".join(f"nameserver 192.0.2.{n}\n" for n in range(9)))
    assert servers.now() == ("192.0.2.0", "192.0.2.1", "192.0.2.2")
    (etc / "resolv.conf").unlink()
    assert servers.now() == ()


def test_a_host_that_is_a_named_namespace_may_have_its_own(files):
    etc, _ = files
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    servers = HostServers("/run/netns/h1")
    assert servers.now() == ("192.0.2.1",)
    (etc / "netns/h1/resolv.conf").write_text("nameserver 192.0.2.2\n")
    assert servers.now() == ("192.0.2.2",)
    assert HostServers("/run/netns/h2").now() == HostServers("/proc/1/ns/net").now()


def test_the_stub_of_systemd_resolved_is_passed_over(files):
    etc, resolved = files
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    servers = HostServers("")
    assert servers.now() == ("127.0.0.53",)
    resolved.write_text("nameserver 192.0.2.3\n")
    assert servers.now() == ("192.0.2.3",)
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 192.0.2.4\n")
    assert servers.now() == ("127.0.0.53", "192.0.2.4")


# Where the host may ask


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.54", ("127.0.0.54", 53)),
        ("127.0.0.54:5353", ("127.0.0.54", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("fe80::1%lo", ("fe80::1%lo", 53)),
    ],
)
def test_places(text, where):
    assert Where.of(text) == where


@pytest.mark.parametrize(
    "text",
    [
        *("", "53", ":53", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536"),
        *("[::1", "::1:x", "[::1]5353", "127.0.0.1:5\N{SUPERSCRIPT TWO}"),
        *("0.0.0.0", "[::]:53", "224.0.0.251"),
    ],
)
def test_what_is_no_place(text):
    with pytest.raises(InvalidArgumentError, match=r"127\.0\.0\.54"):
        Where.of(text)


def test_sockets_that_can_not_be_had_leave_nothing_open():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="in use"):
            Where("127.0.0.1", taken.getsockname()[1]).open()
        assert len(os.listdir("/proc/self/fd")) == before


def test_sockets_of_which_some_were_lost_are_nobodys():
    """The kernel passes on as many as there is room for; the rest would be another's."""
    tokens = [["a", "/a", 1, 2, 3], ["b", "/b", 1, 2, 3]]
    assert dict(shared(tokens, [4, 5, 6, 7])) == {
        tuple(tokens[0]): [4, 5],
        tuple(tokens[1]): [6, 7],
    }
    with pytest.raises(ValueError, match="3 sockets for 2 tokens"):
        dict(shared(tokens, [4, 5, 6]))
