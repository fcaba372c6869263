"""Queueing disciplines, brought about on a fake kernel, which has no netem."""

from __future__ import annotations

from pycnm.plan.operation import HOST, Operation
from pycnm.plan.shaping import Shaper
from pycnm.testing.session import FakeSession, Realisation


class _Shapers:
    def add(self, session: FakeSession, fact: Shaper) -> bool:
        link = session.needed(fact, HOST, fact.link)
        if fact.kind != "tbf":
            raise fact.unknown()
        link.queue, before = fact, link.queue
        return before is None

    def remove(self, session: FakeSession, fact: Shaper) -> None:
        link = session.found(HOST, fact.link)
        same = link is not None and link.queue is not None and link.queue.kind == fact.kind
        if link is not None and same:
            link.queue = None

    def differs(self, session: FakeSession, fact: Shaper) -> str | None:
        link = session.found(HOST, fact.link)
        if link is None:
            return f"the interface {fact.link} is gone"
        return None if link.queue == fact else fact.lost()


REALISATIONS: dict[type[Operation], Realisation] = {Shaper: _Shapers()}
