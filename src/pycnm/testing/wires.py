"""Interfaces of the host on bridges of ours, brought about on a fake kernel."""

from __future__ import annotations

import errno

from pycnm.plan import wires as plan
from pycnm.plan.operation import Operation
from pycnm.testing.session import FakeSession, Realisation, refusal


class _Wires:
    def add(self, session: FakeSession, fact: plan.Wire) -> bool:
        bridge = session.needed(fact, fact.ns, fact.bridge)
        found = session.found(fact.ns, fact.link)
        if found is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        if found.master is bridge:
            return False
        objection = fact.objection(
            found.kind,
            found.alias,
            master=found.master is not None,
            addresses=found.addresses,
        )
        if objection is not None:
            raise objection
        found.master = bridge
        return True

    def remove(self, session: FakeSession, fact: plan.Wire) -> None:
        found = session.found(fact.ns, fact.link)
        if found is not None and found.master is session.found(fact.ns, fact.bridge):
            found.master = None

    def differs(self, session: FakeSession, fact: plan.Wire) -> str | None:
        found = session.found(fact.ns, fact.link)
        if found is None:
            return fact.gone()
        if found.master is None or found.master is not session.found(fact.ns, fact.bridge):
            return fact.away()
        return None if found.up else fact.down()


REALISATIONS: dict[type[Operation], Realisation] = {plan.Wire: _Wires()}
