"""Sockets that hold a port of the host and never see a packet."""

from __future__ import annotations

import array
import errno
import socket
import struct
from functools import lru_cache
from typing import Any, NamedTuple, Self

_SO_ATTACH_FILTER = 26
_SCTP = 132
_HIGHEST = 65535
_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, _SCTP),
}
# Classic BPF, one instruction: BPF_RET | BPF_K, 0 bytes of every packet are kept.
_DROP = array.array("B", struct.pack("HBBI", 6, 0, 0, 0))
_FILTER = struct.pack("HP", 1, _DROP.buffer_info()[0])


class Port(NamedTuple):
    """A port of the host: what is held."""

    protocol: str
    address: str
    number: int

    @classmethod
    def of(cls, value: object) -> Self:
        """The port that `[protocol, address, number]` names.

        Raises:
            ValueError: it names none.
        """
        match value:
            case [str(protocol), str(address), int(number)] if (
                protocol in _KINDS and not isinstance(number, bool) and 1 <= number <= _HIGHEST
            ):
                return cls(protocol, _canonical(address), number)
        raise ValueError("a port is [tcp|udp|sctp, IP address, 1 to 65535]")

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.number}/{self.protocol}"

    def hold(self) -> socket.socket:
        """A socket bound to the port.

        Nothing redirects what a program of the host sends to ::1.  So an IPv6
        port for TCP is bound and not listened on, where that holds it: whoever
        tries ::1 first, as for "localhost", is refused at once and goes on to
        127.0.0.1.

        Source:
            socket(7), "SO_ATTACH_FILTER"; bind(2); ipv6(7), "IPV6_V6ONLY".

        Raises:
            OSError: EADDRINUSE and whatever else bind(2) knows.
        """
        if self.protocol == "tcp" and ":" in self.address:
            try:
                return self._bind(listen=False)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                # Perhaps only connections that linger are in the way.
        return self._bind(listen=True)

    def _bind(self, *, listen: bool) -> socket.socket:
        kind, protocol = _KINDS[self.protocol]
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        holder = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            if family == socket.AF_INET6:
                holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self.protocol == "tcp" and listen:
                # Connections of a program that had the port before may linger;
                # who listens keeps all others off even so.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Before anything could come: no connection is ever accepted here.
            holder.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER)
            holder.bind((self.address, self.number))
            if kind == socket.SOCK_STREAM and listen:
                holder.listen(1)
        except BaseException:
            holder.close()
            raise
        return holder


# A request for many ports names one or two addresses.
@lru_cache(maxsize=256)
def _canonical(address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address))
    except (OSError, ValueError) as error:
        raise ValueError(f"{address[:60]!r} is no IP address") from error


def ports_of(request: dict[str, Any]) -> list[Port]:
    """The ports that a request names.

    Raises:
        ValueError: it names none, or something else.
    """
    ports = request.get("ports")
    if not isinstance(ports, list):
        raise ValueError('"ports" is a list of ports')  # noqa: TRY004 - said to a client
    return [Port.of(port) for port in ports]
