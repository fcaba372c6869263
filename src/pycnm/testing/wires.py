"""Bridges and interfaces of others that networks use, on a fake kernel."""

from __future__ import annotations

import errno

from pycnm.plan import wires as plan
from pycnm.plan.operation import HOST, Operation
from pycnm.spec.objects import FoundBridge
from pycnm.testing.machine import Link, Machine
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


class _Bridges:
    def add(self, session: FakeSession, fact: plan.Adopted) -> bool:
        found = session.found(fact.ns, fact.bridge)
        if found is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        lack = self._lack(session, fact, found)
        if lack is not None:
            raise refusal(fact, errno.EADDRNOTAVAIL, lack)
        return False

    def remove(self, session: FakeSession, fact: plan.Adopted) -> None:
        """It stays as it is."""

    def differs(self, session: FakeSession, fact: plan.Adopted) -> str | None:
        found = session.found(fact.ns, fact.bridge)
        if found is None:
            return fact.gone()
        down = fact.down() if fact.up and not found.up else None
        return self._lack(session, fact, found) or down

    @staticmethod
    def _lack(session: FakeSession, fact: plan.Adopted, found: Link) -> str | None:
        wire = session.found(fact.ns, fact.wire) if fact.wire else None
        wired = not fact.wire or (wire is not None and wire.master is found)
        apart = found.options.get("vlan_filtering") == 1
        there = wire.vlans if wire is not None and apart else {}
        return fact.lacks(found.kind, found.addresses, wired=wired, vlans=there)


def bridge(machine: Machine, name: str) -> FoundBridge | None:
    """A bridge of the host as it is; None if it isn't there."""
    host = machine.namespaces[HOST]
    found = host.links.get(name)
    if found is None:
        return None
    settings = found.settings | {"ipv4/ip_forward": host.settings["ipv4/ip_forward"]}
    apart = found.options.get("vlan_filtering") == 1
    return FoundBridge(tuple(found.addresses), found.mtu, found.up, settings, apart)


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Wire: _Wires(),
    plan.Adopted: _Bridges(),
}
