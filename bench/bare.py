"""The kernel alone: netlink messages made beforehand, sent by one Python process.

What is left to measure is what no user of this kernel can avoid.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from bench.contender import Contender
from bench.machine import RUN_NETNS, Host, delete_namespace, entered

_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_ERROR = 2
_REQUEST_ACK, _CREATE_EXCL = 0x1 | 0x4, 0x200 | 0x400
_IFNAME, _MASTER, _LINKINFO, _GROUP, _NET_NS_FD = 3, 10, 18, 27, 28
_PARENT = 5
_UP = 1
_BRIDGE, _FIRST, _INSIDE, _LOOPBACK = 100_000, 100_001, 100, 1
_ENDPOINTS = 7
_GATEWAY = IPv4Address("10.88.0.1")
STACKED = {"macvlan": struct.pack("=I", 4), "ipvlan": struct.pack("=H", 0)}
"""Kinds of links that sit on others, with their mode: bridge, and l2."""


def _attribute(kind: int, data: bytes) -> bytes:
    header = struct.pack("HH", 4 + len(data), kind)
    return header + data + bytes(-len(data) % 4)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("IHHII", 16 + len(body), kind, flags | _REQUEST_ACK, 0, 0) + body


def _link(number: int, *, up: bool) -> bytes:
    return struct.pack("BxHiII", 0, 0, number, _UP if up else 0, _UP)


def _bridge(number: int, name: str, address: IPv4Address, length: int) -> list[bytes]:
    kind = _attribute(_LINKINFO, _text(1, "bridge"))
    return [
        _message(_NEWLINK, _CREATE_EXCL, _link(number, up=True) + _text(_IFNAME, name) + kind),
        _address(number, address, length),
    ]


def _veth(number: int, name: str, namespace: int) -> bytes:
    """A veth born as it is to be: one end on the bridge, the other in its namespace."""
    inside = _link(_INSIDE, up=False) + _text(_IFNAME, "eth0") + _number(_NET_NS_FD, namespace)
    peer = _attribute(2, _attribute(1, inside))
    body = _link(number, up=True) + _text(_IFNAME, name) + _number(_MASTER, _BRIDGE)
    body += _number(_GROUP, _ENDPOINTS) + _attribute(_LINKINFO, _text(1, "veth") + peer)
    return _message(_NEWLINK, _CREATE_EXCL, body)


def _address(number: int, address: IPv4Address, length: int) -> bytes:
    body = struct.pack("BBBBI", socket.AF_INET, length, 0, 0, number)
    body += _attribute(2, address.packed) + _attribute(1, address.packed)
    return _message(_NEWADDR, _CREATE_EXCL, body)


def _default_route() -> bytes:
    body = struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
    body += _attribute(5, _GATEWAY.packed) + _number(4, _INSIDE)
    return _message(_NEWROUTE, _CREATE_EXCL, body)


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def _send(connection: socket.socket, messages: Sequence[bytes]) -> None:
    """Send messages in one datagram; every one of them must succeed."""
    connection.send(b"".join(messages))
    answers = 0
    while answers < len(messages):
        data = connection.recv(1 << 16)
        while data:
            length, kind = struct.unpack_from("IH", data)
            (code,) = struct.unpack_from("i", data, 16)
            if kind != _ERROR or code:
                raise OSError(-code, os.strerror(-code))
            answers += 1
            data = data[length + -length % 4 :]


def _detach(name: str, home: int) -> None:
    with entered(name, home), _open() as connection:
        _send(connection, [_message(_DELLINK, 0, _link(_INSIDE, up=False))])


class Prepared(NamedTuple):
    """An attachment as messages."""

    namespace: str
    outside: list[bytes]
    inside: list[bytes]


class Kernel(Contender):
    """What the kernel needs, without a process, an address to choose, a rule or a record."""

    name = "kernel alone"
    makes_networks = True

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._addresses = (_GATEWAY + number for number in itertools.count(1))
        self._indexes = itertools.count(_FIRST)
        self._connection = host.inside(_open)
        self._descriptors: dict[str, int] = {}
        self._prepared: dict[str, Prepared] = {}
        self._given: dict[str, IPv4Address] = {}
        self._bridges: dict[str, tuple[int, list[bytes]]] = {}
        self._send(_bridge(_BRIDGE, "br0", _GATEWAY, 16))

    def _send(self, messages: Sequence[bytes]) -> None:
        self.host.inside(_send, self._connection, messages)

    def prepare_network(self, name: str) -> None:
        number = next(self._indexes)
        address = IPv4Address("10.100.0.1") + 256 * len(self._bridges)
        self._bridges[name] = number, _bridge(number, name, address, 24)

    def create_network(self, name: str) -> None:
        self._send(self._bridges[name][1])

    def delete_network(self, name: str) -> None:
        self._send([_message(_DELLINK, 0, _link(self._bridges[name][0], up=False))])

    def prepare(self, name: str) -> None:
        if name not in self._descriptors:
            self._descriptors[name] = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
        self._given[name] = next(self._addresses)
        inside = [
            _message(_NEWLINK, 0, _link(_LOOPBACK, up=True)),
            _address(_INSIDE, self._given[name], 16),
            # Not with its birth: it can't be up before it has its other end.
            _message(_NEWLINK, 0, _link(_INSIDE, up=True)),
            _default_route(),
        ]
        outside = [_veth(next(self._indexes), name, self._descriptors[name])]
        self._prepared[name] = Prepared(name, outside, inside)

    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        if ports:
            raise NotImplementedError
        self.host.inside(self._attach, [self._prepared[name]])

    def address(self, name: str) -> str:
        """The address that a sandbox was prepared for."""
        return str(self._given[name])

    def disconnect(self, name: str) -> None:
        """Delete the interface of a sandbox."""
        self.host.inside(_detach, name, self.host.descriptor)

    def connect_all(self, names: Iterable[str]) -> None:
        """Attach sandboxes one after the other."""
        self.host.inside(self._attach, [self._prepared[name] for name in names])

    def _attach(self, items: Iterable[Prepared]) -> None:
        for item in items:
            _send(self._connection, item.outside)
            with entered(item.namespace, self.host.descriptor), _open() as connection:
                _send(connection, item.inside)

    def delete_sandbox(self, name: str) -> None:
        del self._prepared[name], self._given[name]
        os.close(self._descriptors.pop(name))
        delete_namespace(name)

    def delete_endpoints(self) -> None:
        """Delete the interfaces of all sandboxes, which the kernel does at once."""
        self._send([_message(_DELLINK, 0, _link(0, up=False) + _number(_GROUP, _ENDPOINTS))])

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._connection.close()


class Stacked:
    """Links on a parent, each born in its sandbox; all else is as in `Kernel`.

    Args:
        kind: of the links, one of `STACKED`.
        parent: the interface of the host that they sit on.
    """

    def __init__(self, host: Host, kind: str, parent: str) -> None:
        self.host = host
        mode = _attribute(2, _attribute(1, STACKED[kind]))
        self._kind = _attribute(_LINKINFO, _text(1, kind) + mode)
        self._parent = host.inside(socket.if_nametoindex, parent)
        self._connection = host.inside(_open)
        self._addresses = (IPv4Address("10.90.0.1") + number for number in itertools.count(1))
        self._given: dict[str, IPv4Address] = {}
        self._prepared: dict[str, Prepared] = {}
        self._descriptors: dict[str, int] = {}

    def prepare(self, name: str) -> None:
        """Make the messages for a sandbox."""
        descriptor = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors[name] = descriptor
        self._given[name] = next(self._addresses)
        body = _link(_INSIDE, up=False) + _text(_IFNAME, "eth0") + _number(_PARENT, self._parent)
        body += _number(_NET_NS_FD, descriptor) + self._kind
        inside = [
            _message(_NEWLINK, 0, _link(_LOOPBACK, up=True)),
            _address(_INSIDE, self._given[name], 16),
            _message(_NEWLINK, 0, _link(_INSIDE, up=True)),
        ]
        self._prepared[name] = Prepared(name, [_message(_NEWLINK, _CREATE_EXCL, body)], inside)

    def address(self, name: str) -> str:
        """The address that a sandbox was prepared for."""
        return str(self._given[name])

    def connect(self, name: str) -> None:
        """Attach a sandbox."""
        self.host.inside(self._attach, self._prepared[name])

    def _attach(self, item: Prepared) -> None:
        _send(self._connection, item.outside)
        with entered(item.namespace, self.host.descriptor), _open() as connection:
            _send(connection, item.inside)

    def disconnect(self, name: str) -> None:
        """Delete the interface of a sandbox."""
        self.host.inside(_detach, name, self.host.descriptor)

    def delete_sandbox(self, name: str) -> None:
        """Unpin it."""
        del self._prepared[name], self._given[name]
        os.close(self._descriptors.pop(name))
        delete_namespace(name)
