"""Interfaces of the host on bridges of ours, brought about."""

from __future__ import annotations

import contextlib
import errno
import socket

from pycnm.kernel import rtinet, rtnl
from pycnm.kernel.links import ROUTE, index, state
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued, refusal
from pycnm.plan import wires as plan


class _Wires:
    def add(self, session: LinuxSession, fact: plan.Wire) -> None:
        bridge = index(session, fact, fact.ns, fact.bridge)
        found = state(session, fact.ns, fact.link)
        if found is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        if found.master == bridge:
            return
        objection = fact.objection(
            found.kind,
            found.alias,
            master=bool(found.master),
            addresses=_addresses(session, fact.ns, found.ifindex),
        )
        if objection is not None:
            raise objection
        message = rtnl.set_master(fact.link, bridge)
        session.queue(fact.ns, ROUTE, Queued(fact, message))

    def remove(self, session: LinuxSession, fact: plan.Wire) -> None:
        with contextlib.suppress(LookupError):
            found = state(session, fact.ns, fact.link)
            bridge = state(session, fact.ns, fact.bridge)
            if found is not None and bridge is not None and found.master == bridge.ifindex:
                message = rtnl.set_master(fact.link, 0)
                session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.Wire) -> str | None:
        found = state(session, fact.ns, fact.link)
        if found is None:
            return fact.gone()
        bridge = state(session, fact.ns, fact.bridge)
        if bridge is None or found.master != bridge.ifindex:
            return fact.away()
        return None if found.up else fact.down()


def _addresses(session: LinuxSession, ns: str, number: int) -> list[str]:
    request = rtinet.get_addresses(index=number)
    found = map(rtinet.address_state, session.socket(ns).dump(request))
    return [_text(each.address) for each in found if each.ifindex == number]


def _text(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)  # noqa: PLR2004


REALISATIONS[plan.Wire] = _Wires()
