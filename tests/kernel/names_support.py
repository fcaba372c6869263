"""What the tests of names share: who asks, and who is asked."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.rcode
from surroundings import agents, keepers
from topology import PATIENCE, call, inside, until
from traffic import Serving

RESOLVER = "127.0.0.11"
RESOLV_CONF = Path("/etc/resolv.conf")
_MS_BIND = 1 << 12


@contextlib.contextmanager
def resolv_conf(path):
    """A file in the place of the machine's resolv.conf, for whoever is started meanwhile."""
    path.write_text("# nobody\n")
    target = os.path.realpath(RESOLV_CONF)
    call("mount", str(path).encode(), target.encode(), b"none", _MS_BIND, None)
    try:
        yield path
    finally:
        call("umount2", target.encode(), 2)


# Who asks


def query(name, kind="A", **how):
    """A message that asks for a name."""
    how.setdefault("use_edns", False)
    return dns.message.make_query(name, kind, **how)


def ask(sandbox, name, kind="A", transport="udp", *, patience=PATIENCE, there=None, port=53, **how):
    """The answer to a question that a program in a sandbox asks; or one that is `there`.

    Raises:
        TimeoutError: there is none.
    """
    message = query(name, kind, **how)
    place = there or inside(sandbox)
    with place.connect(RESOLVER, port, transport, patience=patience) as client:
        client.send(framed(message.to_wire(), transport))
        answer = dns.message.from_wire(received(client, transport))
    assert message.is_response(answer), (message, answer)
    return answer


def framed(data, transport):
    """Bytes as they are sent: on a stream their number goes first."""
    return data if transport == "udp" else len(data).to_bytes(2) + data


def received(client, transport="tcp"):
    """The next message of a connected socket; empty at the end of a stream."""
    if transport == "udp":
        return client.recv(65535)
    head = _exactly(client, 2)
    return _exactly(client, int.from_bytes(head)) if head else b""


def _exactly(client, length):
    data = b""
    while len(data) < length:
        piece = client.recv(length - len(data))
        if not piece:
            return b""
        data += piece
    return data


def found(answer):
    """The records of an answer, in order of their text, without name and type."""
    return sorted(record.to_text() for records in answer.answer for record in records)


def addresses(sandbox, name, kind="A", transport="udp", **how):
    """The addresses that a sandbox gets for a name; the word for what went wrong otherwise."""
    answer = ask(sandbox, name, kind, transport, **how)
    code = dns.rcode.to_text(answer.rcode())
    return found(answer) if code == "NOERROR" else code


class Flow:
    """What became of queries that were asked at a steady pace."""

    def __init__(self, sent, answered, worst):
        self.sent, self.answered, self.worst = sent, answered, worst


@contextlib.contextmanager
def steady(sandbox, name, rate=100, patience=PATIENCE):
    """Queries for a name, so many a second, while the block runs; its result is filled in then."""
    flow = Flow(0, 0, 0.0)
    sent, ending, delays = {}, threading.Event(), []
    client = inside(sandbox).connect(RESOLVER, 53, "udp", patience=0.01)

    def send():
        start = time.monotonic()
        while not ending.is_set():
            identifier = len(sent)
            sent[identifier] = time.monotonic()
            # A message is one however often it is refused.
            with contextlib.suppress(OSError):
                client.send(query(name, id=identifier).to_wire())
            time.sleep(max(0.0, start + len(sent) / rate - time.monotonic()))

    def receive():
        until_then = None
        while until_then is None or time.monotonic() < until_then:
            if until_then is None and ending.is_set():
                until_then = time.monotonic() + patience
            if ending.is_set() and len(delays) == len(sent):
                return
            with contextlib.suppress(OSError):
                answer = client.recv(4096)
                delays.append(time.monotonic() - sent[int.from_bytes(answer[:2])])

    threads = [threading.Thread(target=work, daemon=True) for work in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        yield flow
    finally:
        ending.set()
        for thread in threads:
            thread.join()
        client.close()
        flow.sent, flow.answered, flow.worst = len(sent), len(delays), max(delays, default=0.0)


# Who is asked


class Asked(NamedTuple):
    """A question as a server got it."""

    message: dns.message.Message
    transport: str
    peer: tuple[str, int]


class Upstream(Serving):
    """A name server, for datagrams and streams on port 53 of a place.

    Args:
        place: where.
        answer: called with an `Asked`; returns messages or bytes to send back, in order.
        address: to listen on.

    Attributes:
        asked: the questions so far.
    """

    def __init__(self, place, answer, address="0.0.0.0"):
        super().__init__()
        self._answer = answer
        self.asked = []
        for kind, work in (
            (socket.SOCK_DGRAM, self._datagram),
            (socket.SOCK_STREAM, self._accept),
        ):
            listener = place.socket(socket.AF_INET, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, 53))
            if kind == socket.SOCK_STREAM:
                listener.listen(64)
            self._on(listener, work)

    @property
    def names(self):
        """The names that were asked for, in lower case."""
        return [each.message.question[0].name.to_text().lower() for each in self.asked]

    def _answers(self, data, transport, peer):
        asked = Asked(dns.message.from_wire(data), transport, peer)
        self.asked.append(asked)
        for reply in self._answer(asked):
            yield reply if isinstance(reply, bytes) else reply.to_wire()

    def _datagram(self, listener):
        data, peer = listener.recvfrom(65535)
        for reply in self._answers(data, "udp", peer):
            listener.sendto(reply, peer)

    def _accept(self, listener):
        client, _ = listener.accept()
        client.settimeout(PATIENCE)
        self._on(client, self._stream)

    def _stream(self, client):
        data = received(client)
        if not data:
            self._selector.unregister(client)
            client.close()
            return
        for reply in self._answers(data, "tcp", client.getpeername()):
            client.sendall(framed(reply, "tcp"))


def says(*records, rcode="NOERROR", authority=()):
    """An answer of an `Upstream`: records as `60 A 192.0.2.7`, of the name that was asked for."""

    def answer(asked):
        reply = dns.message.make_response(asked.message)
        name = asked.message.question[0].name.to_text()
        reply.answer += [_records(f"{name} {text}") for text in records]
        reply.authority += [_records(text) for text in authority]
        reply.set_rcode(dns.rcode.from_text(rcode))
        return [reply]

    return answer


def silent(_asked):
    """No answer of an `Upstream`."""
    return []


def _records(text):
    name, ttl, kind, data = text.split(maxsplit=3)
    return dns.rrset.from_text(name, int(ttl), "IN", kind, data)


def gone(directory):
    """Whether neither an agent nor a keeper is left, soon."""
    return until(lambda: not agents(directory) and not keepers(directory))


def join(cnm, name, *networks, aliases=(), **options):
    """A new sandbox on networks."""
    sandbox = cnm.create_sandbox(name, **options)
    for network in networks:
        network.connect(sandbox, aliases=list(aliases))
    return sandbox
