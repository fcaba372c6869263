"""Netlink messages and the socket that carries them.

Only framing lives here: headers, attributes, batches, acknowledgements, dumps
(netlink(7), Documentation/userspace-api/netlink/intro.rst).  What the messages
say is the business of `rtnl`, `nfnetlink` and `conntrack`.

pycnm encodes what it sends itself because that is the hot path: the same
request costs 15 microseconds here and 250 in pyroute2, whose decoders are used
where people read whole objects (see `views`).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Self

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_ROOT = 0x100
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_CAP_ACK = 10
_NETLINK_GET_STRICT_CHK = 12
_NETLINK_LISTEN_ALL_NSID = 8
_CONTROL = 64
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

NATIVE: Literal["little", "big"] = "little" if struct.pack("=H", 1)[0] else "big"
"""The byte order of this machine, in which netlink's own numbers are."""

_HEADER = struct.Struct("=IHHII")
_FLAGS_AND_NUMBER = struct.Struct("=HI")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 16  # a dump's datagrams have at most 32 KiB
_SEND = 1 << 16
_AT_ONCE = int(socket.MSG_DONTWAIT)
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33


class Message(NamedTuple):
    """One received message: its type, its flags, its payload."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


class Answer(NamedTuple):
    """What the kernel said to one request: 0 or an errno, and its own words."""

    code: int
    text: str


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute (struct nlattr), padded to four bytes."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length & 3)


def nested(kind: int, *attributes: bytes) -> bytes:
    """One attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def string(kind: int, text: str) -> bytes:
    """One attribute that holds a NUL-terminated string."""
    return attribute(kind, text.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """One attribute that holds 32 bits in the order of this machine."""
    return attribute(kind, value.to_bytes(4, NATIVE))


def u32_of(data: bytes | None) -> int:
    """The number in an attribute of `u32`; 0 if there is none."""
    return int.from_bytes(data, NATIVE) if data else 0


def be32(kind: int, value: int) -> bytes:
    """One attribute that holds 32 bits in network order (netfilter's habit)."""
    return attribute(kind, value.to_bytes(4, "big"))


def message(kind: int, flags: int, payload: bytes, sequence: int = 0) -> bytes:
    """One request; `Socket.send` fills in the sequence number."""
    length = _HEADER.size + len(payload)
    header = _HEADER.pack(length, kind, flags | NLM_F_REQUEST, sequence, 0)
    return header + payload + b"\0" * (-length & 3)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes in `data` from `offset` on, by type; the last of a type wins."""
    # Not by `attribute_list`: of a thousand links there are a hundred thousand.
    found = {}
    unpack, last = _ATTRIBUTE.unpack_from, len(data) - _ATTRIBUTE.size
    while offset <= last:
        length, kind = unpack(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            break
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def attribute_list(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data` from `offset` on, in order."""
    end = len(data)
    while offset + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > end:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Socket:
    """A netlink socket of the namespace the calling thread is in.

    After any error *on the socket itself* (not an error that a request is
    answered with) the object is unusable and has to be closed: the kernel may
    have queued answers nobody will read, and taking one for the answer to a
    later request would be a lie.
    """

    def __init__(self, family: int, *, groups: int = 0) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family
        )
        self._sequence = 0
        try:
            self._make_room()
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
            self._socket.bind((0, groups))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket; closing twice is fine."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def request(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send `requests` in one datagram and wait for the answer to each.

        Each is acknowledged by itself; an error in one doesn't stop the
        kernel from carrying out the next.

        Raises:
            OSError: the socket failed; what was done is unknown.
        """
        first = self._sequence + 1
        self._sequence += len(requests)
        datagram = bytearray()
        for number, request in enumerate(requests, first):
            frame = bytearray(request)
            struct.pack_into("=HI", frame, 6, _flags(request) | NLM_F_ACK, number)
            datagram += frame
        self._socket.sendall(datagram)
        answers: list[Answer | None] = [None] * len(requests)
        missing = len(requests)
        while missing:
            for received in self._receive():
                place = received.sequence - first
                if received.kind != NLMSG_ERROR or not 0 <= place < len(answers):
                    continue
                if answers[place] is None:
                    missing -= 1
                answers[place] = _answer(received)
        return [answer for answer in answers if answer is not None]

    def batch(self, begin: bytes, requests: Sequence[bytes], end: bytes) -> dict[int, Answer]:
        """Send a netfilter batch; return the errors, by the index of the request.

        Index -1 stands for the batch as a whole.  An empty result means that
        everything was committed; otherwise nothing was.

        Raises:
            OSError: the socket failed; what was done is unknown.
        """
        if not requests:
            return {}
        first = self._sequence + 1
        self._sequence += len(requests) + 2
        # Kernels before 6.10 acknowledge requests, not the message that ends the
        # batch; so the last request is the one that is asked about.
        last = first + len(requests)
        frames = (begin, *requests, end)
        datagram = bytearray(b"".join(frames))
        place = 0
        for number, request in enumerate(frames, first):
            flags = _flags(request) | (NLM_F_ACK if number == last else 0)
            _FLAGS_AND_NUMBER.pack_into(datagram, place + 6, flags, number)
            place += len(request)
        if len(datagram) > _SEND:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(datagram))
        self._socket.sendall(datagram)
        errors: dict[int, Answer] = {}
        acknowledged = False
        # All answers are queued before sendmsg returns.  One that doesn't fit
        # is lost, which recv reports (ENOBUFS).
        while self._readable():
            for received in self._receive():
                place = received.sequence - first - 1
                if received.kind != NLMSG_ERROR or not -1 <= place < len(requests):
                    continue
                answer = _answer(received)
                acknowledged = acknowledged or received.sequence == last
                if answer.code:
                    errors.setdefault(place, answer)
        if not errors and not acknowledged:
            raise OSError(errno.ENOMSG, "the kernel didn't say what became of a netfilter batch")
        return errors

    def dump(self, request: bytes) -> list[Message]:
        """All answers to a dump request.

        Raises:
            OSError: the socket failed, the kernel refused, or (EINTR) the dump
                changed under it five times in a row.
        """
        for _ in range(5):
            messages, interrupted = self._dump_once(request)
            if not interrupted:
                return messages
        raise InterruptedError(errno.EINTR, "the kernel's tables changed during each of 5 dumps")

    def _dump_once(self, request: bytes) -> tuple[list[Message], bool]:
        self._sequence += 1
        number = self._sequence
        frame = bytearray(request)
        struct.pack_into("=I", frame, 8, number)
        self._socket.sendall(frame)
        messages: list[Message] = []
        interrupted = False
        while True:
            for received in self._receive():
                if received.sequence != number:
                    continue
                interrupted = interrupted or bool(received.flags & NLM_F_DUMP_INTR)
                if received.kind == NLMSG_DONE:
                    return messages, interrupted
                if received.kind == NLMSG_ERROR:
                    answer = _answer(received)
                    if answer.code:
                        raise OSError(answer.code, answer.text or os.strerror(answer.code))
                    return messages, interrupted
                messages.append(received)

    def get(self, request: bytes) -> Message | None:
        """The one answer to a request for one object; None if it isn't there."""
        self._sequence += 1
        number = self._sequence
        frame = bytearray(request)
        struct.pack_into("=I", frame, 8, number)
        self._socket.sendall(frame)
        while True:
            for received in self._receive():
                if received.sequence != number:
                    continue
                if received.kind != NLMSG_ERROR:
                    return received
                answer = _answer(received)
                if answer.code in {errno.ENODEV, errno.ENOENT, errno.ESRCH}:
                    return None
                raise OSError(answer.code, answer.text or os.strerror(answer.code))

    def _make_room(self) -> None:
        # A refused batch is answered by an error for each of its messages.
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 22)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def pending(self) -> Iterator[Message]:
        """The notifications that have come so far, without waiting for more.

        Raises:
            OSError: ENOBUFS, some were lost.
        """
        while True:
            try:
                yield from self._receive(_AT_ONCE)
            except BlockingIOError:
                return

    def hear_everywhere(self) -> None:
        """Have notifications of other namespaces as well: those this one has a number for.

        Source:
            netlink(7), "NETLINK_LISTEN_ALL_NSID"; CAP_NET_BROADCAST.
        """
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID, 1)

    def fileno(self) -> int:
        """The descriptor, for poll(2)."""
        return self._socket.fileno()

    def notices(self) -> Iterator[tuple[int, Message]]:
        """As `pending`, each with the number of the namespace it is from, or -1 for this one.

        Raises:
            OSError: ENOBUFS, some were lost.
        """
        while True:
            try:
                data, control, _, _ = self._socket.recvmsg(_RECEIVE, _CONTROL, _AT_ONCE)
            except BlockingIOError:
                return
            nsid = -1
            for level, kind, value in control:
                if (level, kind) == (_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID):
                    nsid = int.from_bytes(value[:4], NATIVE, signed=True)
            for received in _messages(data):
                yield nsid, received

    def _readable(self) -> bool:
        try:
            return bool(self._socket.recv(1, _PEEK))
        except BlockingIOError:
            return False

    def _receive(self, flags: int = 0) -> Iterator[Message]:
        yield from _messages(self._socket.recv(_RECEIVE, flags))


def _messages(data: bytes) -> Iterator[Message]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def _flags(request: bytes) -> int:
    return int.from_bytes(request[6:8], NATIVE)


def _answer(received: Message) -> Answer:
    (code,) = struct.unpack_from("=i", received.payload)
    text = ""
    if received.flags & _NLM_F_ACK_TLVS:
        words = attributes(received.payload, 4 + _HEADER.size).get(_NLMSGERR_ATTR_MSG, b"")
        text = words.rstrip(b"\0").decode(errors="replace")
    return Answer(-code, text)
