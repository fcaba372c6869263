"""Queueing disciplines, brought about (uapi/linux/pkt_sched.h)."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from pycnm.kernel import rtnl
from pycnm.kernel.links import ROUTE, index, state
from pycnm.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Message,
    Socket,
    attribute,
    attributes,
    message,
    nested,
    string,
    u32,
)
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued
from pycnm.plan import shaping as plan
from pycnm.plan.operation import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
_ROOT = 0xFFFFFFFF
_TCMSG = struct.Struct("=BxxxiIII")
_KIND, _OPTIONS = 1, 2
_RATE_MAX = 0xFFFFFFFF
_EVERY = 0xFFFFFFFF
_MILLION = 10**6
# Times in the kernel's ticks, of 64 ns (/proc/net/psched).
_TICKS_PER_SECOND, _TICKS_PER_8_MICROSECONDS = 15_625_000, 125
_ETHERNET = 1  # TC_LINKLAYER_ETHERNET: the kernel needs no table of ours
_RATE = struct.Struct("=BBHhHI")
_TBF = struct.Struct("=12s12sIII")
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_NETEM = struct.Struct("=IIIIII")
_NETEM_RATE, _NETEM_RATE64 = 6, 8
_NETEM_SLOW = struct.Struct("=IiIi")


def _tbf(fact: plan.Shaper) -> Iterator[bytes]:
    speed = fact.rate // 8
    rate = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(speed, _RATE_MAX))
    buffer = min(fact.burst * _TICKS_PER_SECOND // speed, _EVERY)
    yield attribute(_TBF_PARMS, _TBF.pack(rate, bytes(12), fact.limit, buffer, 0))
    yield u32(_TBF_BURST, fact.burst)
    if speed >= _RATE_MAX:
        yield attribute(_TBF_RATE64, struct.pack("=Q", speed))


def _netem(fact: plan.Shaper) -> Iterator[bytes]:
    delay = fact.delay * _TICKS_PER_8_MICROSECONDS // 8
    # Rounded as tc(8) does it, so that what somebody types is the same.
    loss = (fact.loss * _EVERY + _MILLION // 2) // _MILLION
    yield _NETEM.pack(delay, plan.PACKETS, loss, 0, 0, 0)
    speed = fact.rate // 8
    if speed:
        yield attribute(_NETEM_RATE, _NETEM_SLOW.pack(min(speed, _RATE_MAX), 0, 0, 0))
    if speed >= _RATE_MAX:
        yield attribute(_NETEM_RATE64, struct.pack("=Q", speed))


def new_queue(number: int, fact: plan.Shaper) -> bytes:
    """Put a discipline at the root of a link with that index, in place of what is there."""
    options = b"".join(_tbf(fact) if fact.kind == "tbf" else _netem(fact))
    body = _TCMSG.pack(0, number, fact.handle << 16, _ROOT, 0)
    body += string(_KIND, fact.kind) + nested(_OPTIONS, options)
    return message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_queue(number: int, fact: plan.Shaper) -> bytes:
    """Take it away; EINVAL if another is there."""
    return message(RTM_DELQDISC, 0, _TCMSG.pack(0, number, fact.handle << 16, _ROOT, 0))


def get_queues() -> bytes:
    """Ask for what is on links; of one that has nothing but what the kernel gave it, nothing."""
    return message(RTM_GETQDISC, NLM_F_DUMP, _TCMSG.pack(0, 0, 0, 0, 0))


def link_of(received: Message) -> int:
    """The index of the link that an answer to `get_queues` is about."""
    return int(_TCMSG.unpack_from(received.payload)[1])


def is_queue(received: Message, fact: plan.Shaper) -> bool:
    """Whether an answer to `get_queues` says what is wanted."""
    _, _, handle, _, _ = _TCMSG.unpack_from(received.payload)
    found = attributes(received.payload, _TCMSG.size)
    if found.get(_KIND, b"").rstrip(b"\0").decode() != fact.kind or handle >> 16 != fact.handle:
        return False
    shown = found.get(_OPTIONS, b"")
    return _same_tbf(shown, fact) if fact.kind == "tbf" else _same_netem(shown, fact)


def _same_tbf(shown: bytes, fact: plan.Shaper) -> bool:
    found = attributes(shown)
    rate, _, limit, _, _ = _TBF.unpack(found[_TBF_PARMS])
    return limit == fact.limit and fact.rate // 8 == _speed(
        _RATE.unpack(rate)[-1], found.get(_TBF_RATE64)
    )


def _same_netem(shown: bytes, fact: plan.Shaper) -> bool:
    found = attributes(shown, _NETEM.size)
    slow = found.get(_NETEM_RATE, bytes(_NETEM_SLOW.size))
    speed = _speed(_NETEM_SLOW.unpack(slow)[0], found.get(_NETEM_RATE64))
    wanted = next(_netem(fact))
    return shown[: _NETEM.size] == wanted and speed == fact.rate // 8


def _speed(low: int, whole: bytes | None) -> int:
    return low if whole is None else int(struct.unpack("=Q", whole)[0])


def has_queue(kind: str) -> bool:
    """Whether this kernel has a discipline; loads the module, if the kernel does so.

    It is tried on lo of the namespace of the calling thread, which is a throw-away.
    """
    fact = plan.Shaper("lo", 10**6, delay=1 if kind == "netem" else 0)
    with Socket(NETLINK_ROUTE) as connection:
        found = connection.get(rtnl.get_link("lo"))
        number = 0 if found is None else rtnl.link_state(found).ifindex
        return not connection.request([new_queue(number, fact)])[0].code


class _Shapers:
    def add(self, session: LinuxSession, fact: plan.Shaper) -> None:
        number = index(session, fact, HOST, fact.link)
        session.queue(HOST, ROUTE, Queued(fact, new_queue(number, fact)))

    def remove(self, session: LinuxSession, fact: plan.Shaper) -> None:
        link = state(session, HOST, fact.link)
        if link is not None:
            message = delete_queue(link.ifindex, fact)
            session.queue(HOST, ROUTE, Queued(fact, message, GONE | {errno.EINVAL}))

    def differs(self, session: LinuxSession, fact: plan.Shaper) -> str | None:
        link = state(session, HOST, fact.link)
        if link is None:
            return f"the interface {fact.link} is gone"
        found = session.once("queues", lambda: session.socket(HOST).dump(get_queues()))
        if any(link_of(each) == link.ifindex and is_queue(each, fact) for each in found):
            return None
        return fact.lost()


REALISATIONS[plan.Shaper] = _Shapers()
