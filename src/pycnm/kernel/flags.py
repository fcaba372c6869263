"""What is on or off of a link, brought about."""

from __future__ import annotations

import contextlib

from pycnm.kernel import rtnl
from pycnm.kernel.links import ROUTE, state
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued
from pycnm.plan import links as plan


class _Ups:
    def add(self, session: LinuxSession, fact: plan.Up) -> None:
        session.queue(fact.ns, ROUTE, Queued(fact, rtnl.set_link(fact.link, up=True)))

    def remove(self, session: LinuxSession, fact: plan.Up) -> None:
        with contextlib.suppress(LookupError):
            session.namespace(fact.ns)
            session.queue(fact.ns, ROUTE, Queued(fact, rtnl.set_link(fact.link, up=False), GONE))

    def differs(self, session: LinuxSession, fact: plan.Up) -> str | None:
        try:
            found = state(session, fact.ns, fact.link)
        except LookupError:
            found = None
        if found is None:
            return f"the interface {plan.at(fact.ns, fact.link)} is gone"
        return None if found.up else f"{plan.at(fact.ns, fact.link)} is down"


class _PortFlags:
    def add(self, session: LinuxSession, fact: plan.PortFlag) -> None:
        session.queue(fact.ns, ROUTE, Queued(fact, rtnl.set_flag(fact.port, fact.flag, on=True)))

    def remove(self, session: LinuxSession, fact: plan.PortFlag) -> None:
        message = rtnl.set_flag(fact.port, fact.flag, on=False)
        with contextlib.suppress(LookupError):
            session.namespace(fact.ns)
            session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.PortFlag) -> str | None:
        try:
            found = state(session, fact.ns, fact.port)
        except LookupError:
            found = None
        if found is None:
            return f"the interface {plan.at(fact.ns, fact.port)} is gone"
        return None if fact.flag in found.flags else f"{fact.port} {fact.lacking}"


REALISATIONS.update(
    {
        plan.Up: _Ups(),
        plan.Hairpin: _PortFlags(),
        plan.Isolated: _PortFlags(),
    }
)
