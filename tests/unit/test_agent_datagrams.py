"""Queries by datagram: what is read when, whose turn it is, and what is recorded meanwhile."""

from __future__ import annotations

import asyncio
import select
import socket
import sqlite3
from types import SimpleNamespace

import dns.message
import pytest
from netaddr import IPAddress

from pycnm.agent.datagrams import _SOCKETS, Datagrams
from pycnm.agent.desk import AT_ONCE, Books, Desk
from pycnm.agent.forwarding import Way
from pycnm.agent.room import Room
from pycnm.dns.view import Member, Segment, View

EMPTY = View((Segment("net", ()),))
KNOWN = View((Segment("net", [Member(("db",), (IPAddress("10.0.0.2"),))]),))


class Naming:
    """What is recorded: a view that somebody else may change at any time."""

    def __init__(self, view):
        self.view = view
        self.changes = 0
        self.seen = -1
        self.looks = 0
        self.before_a_look = lambda: None
        self.broken = False

    def refresh(self):
        self.before_a_look()
        self.looks += 1
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        changed, self.seen = self.changes != self.seen, self.changes
        return changed


@pytest.fixture
def place(tmp_path):
    """A loop, one who answers, and sockets of sandboxes with a client each."""
    loop = asyncio.new_event_loop()
    opened = []

    def bound(name):
        opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        opened[-1].bind(str(tmp_path / name))
        opened[-1].setblocking(False)
        return opened[-1]

    async def begin(number, naming):
        books = Books(naming)
        datagrams = Datagrams(books)
        pairs = []
        for each in range(number):
            holder, client = bound(f"s{each}"), bound(f"c{each}")
            client.connect(str(tmp_path / f"s{each}"))
            way = Way(None, socket.socket)
            desk = Desk(books, lambda: naming.view, lambda _, way=way: way, Room(9))
            datagrams.begin(holder, desk)
            pairs.append((holder, client, desk))
        return datagrams, pairs

    def make(number, naming):
        datagrams, pairs = loop.run_until_complete(begin(number, naming))
        opened.append(datagrams)
        return datagrams, pairs

    def turn():
        loop.call_soon(loop.stop)
        loop.run_forever()

    yield SimpleNamespace(make=make, turn=turn)
    for each in reversed(opened):
        each.close()
    loop.close()


def query(number=0):
    return dns.message.make_query("db", "A", id=number).to_wire()


def answers(client):
    got = []
    while select.select([client], [], [], 0)[0]:
        got.append(dns.message.from_wire(client.recv(4096)))
    return got


def test_all_that_has_come_is_read_before_it_is_looked_what_is_recorded(place):
    naming = Naming(EMPTY)
    _, pairs = place.make(3, naming)

    def change():
        for holder, *_ in pairs:
            assert not select.select([holder], [], [], 0)[0]
        naming.view = KNOWN
        naming.changes += 1

    for _, client, _ in pairs:
        client.send(query())
        client.send(query(1))
    naming.before_a_look = change
    place.turn()
    assert naming.looks == 1
    for _, client, _ in pairs:
        assert [len(answer.answer) for answer in answers(client)] == [1, 1]


def test_a_change_is_seen_by_the_next_query(place):
    naming = Naming(EMPTY)
    _, [(_, client, _)] = place.make(1, naming)
    client.send(query())
    for _ in range(5):
        place.turn()
    assert [answer.rcode() for answer in answers(client)] == [3]
    naming.view, naming.changes = KNOWN, 1
    client.send(query())
    place.turn()
    assert [len(answer.answer) for answer in answers(client)] == [1]


def test_a_turn_has_an_end(place):
    naming = Naming(KNOWN)
    _, pairs = place.make(2, naming)
    (_, busy, _), (_, other, _) = pairs
    sent = 0
    with pytest.raises(BlockingIOError):
        for number in range(10_000):
            busy.send(query(number))
            sent += 1
    other.send(query())
    place.turn()
    assert len(answers(busy)) == min(sent, AT_ONCE)
    assert len(answers(other)) == 1


def test_each_of_many_has_its_turn(place):
    naming = Naming(KNOWN)
    _, pairs = place.make(3 * _SOCKETS, naming)
    for _, client, _ in pairs:
        for number in range(2):
            client.send(query(number))
    for _ in range(3):
        place.turn()
    assert [len(answers(client)) for _, client, _ in pairs] == [2] * 3 * _SOCKETS


def test_what_cannot_be_read_is_no_answer(place):
    naming = Naming(KNOWN)
    _, [(_, client, _)] = place.make(1, naming)
    for broken, rcode in ((False, 0), (True, 2), (False, 0)):
        naming.broken = broken
        client.send(query())
        place.turn()
        assert [answer.rcode() for answer in answers(client)] == [rcode]


def test_who_is_no_longer_answered_hears_nothing(place):
    datagrams, pairs = place.make(2, Naming(KNOWN))
    (holder, client, _), (_, other, _) = pairs
    datagrams.end(holder)
    client.send(query())
    other.send(query())
    place.turn()
    assert (len(answers(client)), len(answers(other))) == (0, 1)
