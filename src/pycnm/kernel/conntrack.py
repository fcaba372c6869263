"""Flows forgotten: conntrack entries deleted (conntrack(8), nfnetlink_conntrack.h).

The table has a quarter of a million buckets.  A kernel from 6.12 on looks
through them itself for entries to delete (0.2 ms); an older one, or a request
about many flows, has it shown to us once (4 ms).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from pycnm.kernel.netlink import NLM_F_DUMP, Socket, attribute, attributes, message, nested, u32
from pycnm.kernel.sysctl import Settings

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _FILTER = 1, 2, 12, 25
_ORIG_FLAGS, _REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_DESTINATION, _BY_PROTOCOL, _BY_DESTINATION_PORT = 1, 2, 8, 32
_IP, _PROTO = 1, 2
_SOURCE, _DESTINATION = {4: 1, 16: 3}, {4: 2, 16: 4}
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}
_ANY = {bytes(4), bytes(16)}
_FEW = 16
_PIECE = 100


class Flows(NamedTuple):
    """Which flows: those to or from `address`; with a port, those to that port of it.

    An unspecified address (0.0.0.0, ::) with a port stands for every address.
    """

    address: bytes
    protocol: str | None
    port: int | None


def active(settings: Settings) -> bool:
    """Whether the namespace of this thread tracks any flow at all."""
    return settings.read("net.netfilter.nf_conntrack_count") not in {None, "0"}


def forget(connection: Socket, flows: Sequence[Flows]) -> None:
    """Delete every entry that matches one of `flows`.

    Raises:
        OSError: the kernel refused.
    """
    if len(flows) <= _FEW:
        requests = [request for flow in flows for request in _filters(flow)]
        if all(answer.code == 0 for answer in connection.request(requests)):
            return
    _walk(connection, flows)


def _filters(flow: Flows) -> list[bytes]:
    """Requests that delete by a filter; an older kernel finds nothing with them (ENOENT)."""
    size = len(flow.address)
    header = struct.pack("!BBH", _FAMILIES[size], 0, 0)
    if flow.port:
        protocol = attribute(_PROTO_NUM, bytes([_PROTOCOLS[flow.protocol or "udp"]]))
        port = attribute(_PROTO_DST_PORT, flow.port.to_bytes(2, "big"))
        wanted, flags = nested(_PROTO, protocol, port), _BY_PROTOCOL | _BY_DESTINATION_PORT
        if flow.address not in _ANY:
            wanted = nested(_IP, attribute(_DESTINATION[size], flow.address)) + wanted
            flags |= _BY_DESTINATION
        return [_delete(header, nested(_TUPLE_ORIG, wanted), flags, 0)]
    from_it = nested(_IP, attribute(_SOURCE[size], flow.address))
    return [
        _delete(header, nested(_TUPLE_ORIG, from_it), _BY_SOURCE, 0),
        _delete(header, nested(_TUPLE_REPLY, from_it), 0, _BY_SOURCE),
    ]


def _delete(header: bytes, wanted: bytes, original: int, reply: int) -> bytes:
    which = nested(_FILTER, u32(_ORIG_FLAGS, original), u32(_REPLY_FLAGS, reply))
    return message(_DELETE, 0, header + wanted + which)


def _walk(connection: Socket, flows: Sequence[Flows]) -> None:
    """Look through the whole table, and delete what matches, one by one."""
    addresses = {flow.address for flow in flows if not flow.port}
    ports = {
        (flow.address, _PROTOCOLS[flow.protocol or "udp"], flow.port) for flow in flows if flow.port
    }
    doomed = []
    for size in {len(flow.address) for flow in flows}:
        header = struct.pack("!BBH", _FAMILIES[size], 0, 0)
        for received in connection.dump(message(_GET, NLM_F_DUMP, header)):
            found = attributes(received.payload, 4)
            if _ends(found, size) & addresses or _ports(found, size) & ports:
                # The id makes sure that it is this entry and not its successor.
                exact = nested(_TUPLE_ORIG, found[_TUPLE_ORIG]) + attribute(_ID, found[_ID])
                doomed.append(message(_DELETE, 0, header + exact))
    for start in range(0, len(doomed), _PIECE):
        for answer in connection.request(doomed[start : start + _PIECE]):
            if answer.code not in {0, errno.ENOENT}:
                raise OSError(answer.code, answer.text)


def _ends(entry: dict[int, bytes], size: int) -> set[bytes]:
    """Who began the flow, and who answers it."""
    return {
        attributes(attributes(entry.get(which, b"")).get(_IP, b"")).get(_SOURCE[size], b"")
        for which in (_TUPLE_ORIG, _TUPLE_REPLY)
    }


def _ports(entry: dict[int, bytes], size: int) -> set[tuple[bytes, int, int]]:
    """The port that the flow was sent to, of its address and of any."""
    original = attributes(entry.get(_TUPLE_ORIG, b""))
    proto = attributes(original.get(_PROTO, b""))
    number = int.from_bytes(proto.get(_PROTO_NUM, b""), "big")
    port = int.from_bytes(proto.get(_PROTO_DST_PORT, b""), "big")
    address = attributes(original.get(_IP, b"")).get(_DESTINATION[size], b"")
    return {(address, number, port), (bytes(size), number, port)}
