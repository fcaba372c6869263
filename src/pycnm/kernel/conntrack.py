"""Flows forgotten: conntrack entries deleted (conntrack(8), nfnetlink_conntrack.h)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from pycnm.kernel import sysctl
from pycnm.kernel.netlink import NLM_F_DUMP, Socket, attribute, attributes, message, nested

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID = 1, 2, 12
_IP, _PROTO = 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_PROTO_NUM, _DST_PORT = 1, 3
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_ANY = {bytes(4), bytes(16)}


class Flows(NamedTuple):
    """Which flows: those to or from `address`; with a port, those to that port of it.

    An unspecified address (0.0.0.0, ::) with a port stands for every address.
    """

    address: bytes
    protocol: str | None
    port: int | None


def active() -> bool:
    """Whether the namespace of this thread tracks any flow at all."""
    return sysctl.read("net.netfilter.nf_conntrack_count") not in {None, "0"}


def forget(connection: Socket, flows: Sequence[Flows]) -> None:
    """Delete every entry that matches one of `flows`."""
    doomed = []
    for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        wanted = [flow for flow in flows if len(flow.address) == length]
        if not wanted:
            continue
        header = struct.pack("!BBH", family, 0, 0)
        for received in connection.dump(message(_GET, NLM_F_DUMP, header)):
            found = attributes(received.payload, 4)
            if any(_matches(found, flow) for flow in wanted):
                # The id makes sure that it is this entry and not its successor.
                exact = nested(_TUPLE_ORIG, found[_TUPLE_ORIG]) + attribute(_ID, found[_ID])
                doomed.append(message(_DELETE, 0, header + exact))
    for start in range(0, len(doomed), 100):
        for answer in connection.request(doomed[start : start + 100]):
            if answer.code not in {0, errno.ENOENT}:
                raise OSError(answer.code, answer.text)


def _matches(entry: dict[int, bytes], flow: Flows) -> bool:
    original = attributes(entry.get(_TUPLE_ORIG, b""))
    ips = attributes(original.get(_IP, b""))
    if flow.port:
        proto = attributes(original.get(_PROTO, b""))
        here = flow.address in _ANY or flow.address in (ips.get(_V4_DST), ips.get(_V6_DST))
        return (
            here
            and proto.get(_PROTO_NUM) == bytes([_PROTOCOLS[flow.protocol or "udp"]])
            and proto.get(_DST_PORT) == flow.port.to_bytes(2, "big")
        )
    replies = attributes(attributes(entry.get(_TUPLE_REPLY, b"")).get(_IP, b""))
    ends = (*ips.values(), replies.get(_V4_SRC), replies.get(_V6_SRC))
    return flow.address in ends
