"""VLANs of bridge ports, on a fake kernel."""

from __future__ import annotations

import errno

from pycnm.plan import vlans as plan
from pycnm.plan.operation import Operation
from pycnm.testing.session import FakeSession, Realisation, refusal


class _Members:
    def add(self, session: FakeSession, fact: plan.VLANMember) -> bool:
        link = session.needed(fact, fact.ns, fact.link)
        if "bridge_vlan" in session.machine.lacking:
            raise refusal(fact, errno.EOPNOTSUPP)
        if fact.bridge and link.master is None:
            raise refusal(fact, errno.EOPNOTSUPP)
        wanted = fact.wanted()
        if link.vlans == wanted:
            return False
        link.vlans = wanted
        return True

    def remove(self, session: FakeSession, fact: plan.VLANMember) -> None:
        link = session.found(fact.ns, fact.link)
        if link is not None:
            link.vlans = {}

    def differs(self, session: FakeSession, fact: plan.VLANMember) -> str | None:
        link = session.found(fact.ns, fact.link)
        return fact.gone() if link is None else fact.differs(link.vlans)


REALISATIONS: dict[type[Operation], Realisation] = {plan.VLANMember: _Members()}
