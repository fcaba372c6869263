"""The service that holds ports: what it is asked, what it does; no socket is bound."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from pycnm.agent import ports as module
from pycnm.agent.ports import Ports
from pycnm.agent.recorded import UnreadableError
from pycnm.agent.service import RefusedError
from pycnm.agent.sockets import Port

WEB, DNS, FAR = ["tcp", "0.0.0.0", 80], ["udp", "::", 53], ["tcp", "192.0.2.9", 81]


class World:
    """Ports that are bound, and ports that others have."""

    def __init__(self, monkeypatch):
        self.bound = []
        self.refuse = {}
        world = self

        class Holder:
            def __init__(self, port):
                self.port = port
                world.bound.append(list(port))

            def close(self):
                world.bound.remove(list(self.port))

        def hold(port):
            if list(port) in world.bound:
                raise AssertionError(f"{port} is bound twice")
            if tuple(port) in world.refuse:
                code = world.refuse[tuple(port)]
                raise OSError(code, os.strerror(code))
            return Holder(port)

        monkeypatch.setattr(Port, "hold", hold)


class Memory:
    """What one agent leaves to the next, without a keeper's process."""

    def __init__(self):
        self.kept = {}

    def recall(self):
        return self.kept

    def leave(self, sockets):
        self.kept = dict(sockets)

    def drop(self, tokens):
        for token in tokens:
            self.kept.pop(token, None)

    def settle(self):
        pass


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def service(recorded=(), most=100, keeping=None):
    return Ports(lambda: [Port.of(port) for port in recorded], keeping or Memory(), most)


def ask(ports, verb, *asked, **more):
    return asyncio.run(ports.handle({"do": verb, "ports": list(asked), **more}))


def refused(ports, request):
    with pytest.raises(RefusedError) as caught:
        asyncio.run(ports.handle(request))
    return caught.value.answer()


# Requests


def test_what_is_held_is_bound_until_it_is_released(world):
    ports = service()
    assert not ports.busy()
    assert ask(ports, "hold", WEB, DNS) == {}
    assert world.bound == [WEB, DNS]
    assert ports.busy()
    assert ask(ports, "release", WEB) == {}
    assert world.bound == [DNS]
    asyncio.run(ports.close())
    assert world.bound == []
    assert not ports.busy()


def test_holding_and_releasing_may_be_repeated(world):
    ports = service()
    ask(ports, "hold", WEB, WEB)
    ask(ports, "hold", WEB, DNS)
    assert world.bound == [WEB, DNS]
    ask(ports, "release", WEB, WEB)
    assert ask(ports, "release", WEB, DNS, FAR) == {}
    assert world.bound == []


def test_one_address_is_one_port_however_it_is_written(world):
    ports = service()
    ask(ports, "hold", ["tcp", "2001:DB8:0::1", 80], ["tcp", "2001:db8::1", 80])
    assert world.bound == [["tcp", "2001:db8::1", 80]]


@pytest.mark.parametrize("code", [errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT])
def test_all_or_nothing(world, code):
    ports = service()
    ask(ports, "hold", WEB)
    world.refuse[tuple(FAR)] = code
    answer = refused(ports, {"do": "hold", "ports": [WEB, DNS, FAR]})
    assert answer == {"error": code, "reason": os.strerror(code), "port": tuple(FAR)}
    assert world.bound == [WEB]
    assert ask(ports, "list", WEB, DNS, FAR)["ports"] == [tuple(WEB)]


def test_some_descriptors_are_left_for_those_who_want_to_release(world):
    ports = service(most=3)
    many = [["tcp", "0.0.0.0", number] for number in range(1, 5)]
    ask(ports, "hold", many[0])
    answer = refused(ports, {"do": "hold", "ports": many})
    assert (answer["error"], answer["port"]) == (errno.EMFILE, tuple(many[3]))
    assert world.bound == many[:1]
    ask(ports, "hold", *many[:3])
    assert world.bound == many[:3]


@pytest.mark.usefixtures("world")
def test_a_list_is_of_everything_or_of_what_is_asked():
    ports = service()
    ask(ports, "hold", WEB, DNS)
    assert asyncio.run(ports.handle({"do": "list"})) == {
        "ports": [tuple(WEB), tuple(DNS)],
        "troubles": [],
    }
    assert ask(ports, "list", DNS, FAR) == {"ports": [tuple(DNS)], "troubles": []}
    assert ask(ports, "list") == {"ports": [], "troubles": []}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": None},
        {"do": []},
        {"do": "dance"},
        {"do": "hold"},
        {"do": "hold", "ports": None},
        {"do": "hold", "ports": {"tcp": 80}},
        {"do": "hold", "ports": "tcp"},
        {"do": "release"},
        {"do": "list", "ports": 5},
        {"do": "__init__", "ports": []},
    ],
)
def test_a_malformed_request_is_refused(world, request_):
    ports = service()
    ask(ports, "hold", WEB)
    assert refused(ports, request_)["error"] == errno.EINVAL
    assert world.bound == [WEB]


@pytest.mark.parametrize(
    "port",
    [
        None,
        [],
        "tcp",
        {"tcp": 80},
        ["tcp", "0.0.0.0"],
        ["tcp", "0.0.0.0", 80, 81],
        ["icmp", "0.0.0.0", 80],
        ["TCP", "0.0.0.0", 80],
        [6, "0.0.0.0", 80],
        [["tcp"], "0.0.0.0", 80],
        ["tcp", None, 80],
        ["tcp", "", 80],
        ["tcp", "localhost", 80],
        ["tcp", "127.1", 80],
        ["tcp", "127.0.0.1/8", 80],
        ["tcp", "0.0.0.0\0", 80],
        ["tcp", "fe80::1%eth0", 80],
        ["tcp", "\udce4:", 80],
        ["tcp", "0.0.0.0", 0],
        ["tcp", "0.0.0.0", -1],
        ["tcp", "0.0.0.0", 65536],
        ["tcp", "0.0.0.0", 1 << 80],
        ["tcp", "0.0.0.0", True],
        ["tcp", "0.0.0.0", 80.0],
        ["tcp", "0.0.0.0", "80"],
    ],
)
def test_what_is_no_port_is_refused_and_nothing_is_bound(world, port):
    ports = service()
    assert refused(ports, {"do": "hold", "ports": [WEB, port]})["error"] == errno.EINVAL
    assert world.bound == []


# The start


def test_it_starts_with_what_is_recorded(world):
    ports = service([WEB, DNS])
    asyncio.run(ports.start())
    assert world.bound == [WEB, DNS]
    assert ports.busy()


def test_what_others_have_taken_is_a_trouble_until_it_is_free(world, monkeypatch):
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    world.refuse[tuple(WEB)] = errno.EADDRINUSE
    ports = service([WEB, DNS])

    async def live():
        await ports.start()
        assert world.bound == [DNS]
        assert (await ports.handle({"do": "list"}))["troubles"] == [[*WEB, errno.EADDRINUSE]]
        assert (await ports.handle({"do": "list", "ports": [DNS]}))["troubles"] == []
        world.refuse[tuple(WEB)] = errno.EADDRNOTAVAIL
        await asyncio.sleep(0.1)
        assert (await ports.handle({"do": "list"}))["troubles"] == [[*WEB, errno.EADDRNOTAVAIL]]
        world.refuse.clear()
        await asyncio.sleep(0.2)
        assert world.bound == [DNS, WEB]
        assert (await ports.handle({"do": "list"}))["troubles"] == []
        await ports.close()

    asyncio.run(live())
    assert world.bound == []


@pytest.mark.parametrize("verb", ["release", "hold"])
def test_a_trouble_ends_when_the_port_is_released_or_held(world, verb):
    world.refuse[tuple(WEB)] = errno.EADDRINUSE
    ports = service([WEB])

    async def live():
        await ports.start()
        assert ports.busy(), "a port that should be held is something to do"
        world.refuse.clear()
        await ports.handle({"do": verb, "ports": [WEB]})
        assert (await ports.handle({"do": "list"}))["troubles"] == []
        assert ports.busy() == (verb == "hold")
        await ports.close()

    asyncio.run(live())


def test_a_database_that_cannot_be_read_is_told_of(world):
    def recorded():
        raise UnreadableError("it is damaged")

    ports = Ports(recorded, Memory(), 10)
    asyncio.run(ports.start())
    assert ask(ports, "list")["unread"] == "it is damaged"
    ask(ports, "hold", WEB)
    assert world.bound == [WEB]


def test_the_next_agent_goes_on_with_what_one_has_left(world, monkeypatch):
    """Nothing is bound anew, so nobody can be faster; but in another namespace it is."""
    between = Memory()
    first = service(keeping=between)
    ask(first, "hold", WEB, DNS)
    monkeypatch.setattr(world, "bound", [])

    async def end():
        held = [*first._held.values()]
        for holder in held:
            monkeypatch.setattr(holder, "close", lambda: None)
        await first.close()

    asyncio.run(end())
    second = service([WEB, FAR], keeping=between)
    asyncio.run(second.start())
    assert world.bound == [FAR]
    listed = asyncio.run(second.handle({"do": "list"}))
    assert listed["ports"] == [Port.of(WEB), Port.of(FAR)]
    assert [[*token[:3]] for token in between.kept] == [DNS]

    between.kept = {(*WEB, 1, 2): [object()]}
    third = service([WEB], keeping=between)
    asyncio.run(third.start())
    assert world.bound == [FAR, WEB]
