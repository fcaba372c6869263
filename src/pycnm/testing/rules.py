"""Tables, guards, elements and held ports, brought about on a fake kernel."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from pycnm.errors import PortInUseError
from pycnm.nft import ruleset
from pycnm.nft.objects import Chain, Object, Rule, Set, Table
from pycnm.nft.statements import Verdict
from pycnm.plan import ports
from pycnm.plan import rules as plan
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.shaping import Policer
from pycnm.testing.machine import Machine, Ruleset
from pycnm.testing.session import FakeSession, Realisation, refusal

HOLDER = "process 4242 (somebody-else)"
_OURS = (ruleset.FAMILY, ruleset.TABLE)
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


class _Skeletons:
    def add(self, session: FakeSession, fact: plan.Skeleton) -> bool:
        if _OURS in session.machine.tables:
            return False
        objects = _skeleton(fact)
        table = next(item for item in objects if isinstance(item, Table))
        session.machine.tables[_OURS] = loaded = Ruleset(table)
        for item in objects:
            if isinstance(item, Set):
                loaded.sets[item.name] = item
                loaded.elements[item.name] = {}
        _load_chains(loaded, objects)
        return True

    def remove(self, session: FakeSession, fact: plan.Skeleton) -> None:
        del fact
        found = session.machine.tables.get(_OURS)
        if found is None:
            return
        in_use = any(
            elements for name, elements in found.elements.items() if not name.startswith("opened")
        )
        if not (in_use and session.ours):
            del session.machine.tables[_OURS]

    def differs(self, session: FakeSession, fact: plan.Skeleton) -> str | None:
        found = session.machine.tables.get(_OURS)
        objects = _skeleton(fact)
        for item in objects:
            stands = found is not None and (
                (isinstance(item, Table) and item == found.table)
                or (isinstance(item, Set) and item == found.sets.get(item.name))
                or (isinstance(item, Chain) and _stands(found, item, objects))
            )
            if not stands and not isinstance(item, Rule):
                return f"{item.reference} is gone or was changed"
        return None


class _Guards:
    def add(self, session: FakeSession, fact: plan.Guard | Policer) -> bool:
        if not (session.found(HOST, fact.port) or session.machine.features.early_guard):
            raise refusal(fact, errno.ENOENT)
        found = session.machine.tables.setdefault(_place(fact), Ruleset(fact.table))
        _load_chains(found, fact.objects)
        return True

    def remove(self, session: FakeSession, fact: plan.Guard | Policer) -> None:
        session.machine.tables.pop(_place(fact), None)

    def differs(self, session: FakeSession, fact: plan.Guard | Policer) -> str | None:
        found = session.machine.tables.get(_place(fact))
        table, chain, *_ = objects = fact.objects
        if (
            found is not None
            and found.table == table
            and isinstance(chain, Chain)
            and _stands(found, chain, objects)
        ):
            return None
        return fact.lost()


def _place(fact: plan.Guard | Policer) -> tuple[str, str]:
    return fact.table.family, fact.table.name


class _Entries:
    def add(self, session: FakeSession, fact: plan.Entry) -> bool:
        value = fact.value
        table = session.machine.tables.get(_OURS)
        if table is None or fact.set not in table.elements:
            raise refusal(fact, errno.ENOENT)
        verdict = value.data if isinstance(value.data, Verdict) else None
        if verdict is not None and verdict.chain and verdict.chain not in table.chains:
            raise refusal(fact, errno.ENOENT)
        if table.elements[fact.set].setdefault(value.key, value.data) != value.data:
            raise refusal(fact, errno.EEXIST)
        return True

    def remove(self, session: FakeSession, fact: plan.Entry) -> None:
        table = session.machine.tables.get(_OURS)
        if table is not None and fact.set in table.elements:
            table.elements[fact.set].pop(fact.value.key, None)

    def differs(self, session: FakeSession, fact: plan.Entry) -> str | None:
        value = fact.value
        table = session.machine.tables.get(_OURS)
        elements = {} if table is None else table.elements.get(fact.set, {})
        if value.key in elements and elements[value.key] == value.data:
            return None
        return f"{value.reference} is gone or was changed"


class _HeldPorts:
    def add(self, session: FakeSession, fact: ports.HeldPort) -> bool:
        machine = session.machine
        place = (fact.protocol, fact.address, fact.port)
        if machine.ports.get(place) is session.ours:
            return True
        if _rivals(machine, place):
            raise PortInUseError(
                f"port {_shown(fact)} of the host is taken by {HOLDER}; "
                "stop it, or publish on another port",
                HOLDER,
                fact.port,
            )
        if not _is_local(machine, fact.address):
            wildcard = "::" if ":" in fact.address else "0.0.0.0"  # noqa: S104 - what it is called
            advice = f"publish on one it has, or on {wildcard}"
            text = f"{fact.address} is no address of this host; {advice}"
            raise refusal(fact, errno.EADDRNOTAVAIL, text)
        machine.ports[place] = session.ours
        machine.addresses.setdefault((fact.protocol, fact.port), set()).add(fact.address)
        return True

    def remove(self, session: FakeSession, fact: ports.HeldPort) -> None:
        place = (fact.protocol, fact.address, fact.port)
        if session.machine.ports.get(place) is session.ours:
            del session.machine.ports[place]
            session.machine.addresses[fact.protocol, fact.port].discard(fact.address)

    def differs(self, session: FakeSession, fact: ports.HeldPort) -> str | None:
        place = (fact.protocol, fact.address, fact.port)
        if session.machine.ports.get(place):
            return None
        words = f"port {_shown(fact)} isn't held by the agent"
        return f"{words}; {HOLDER} has it" if _rivals(session.machine, place) else words


def _shown(fact: ports.HeldPort) -> str:
    address = f"[{fact.address}]" if ":" in fact.address else fact.address
    return f"{address}:{fact.port}/{fact.protocol}"


def _rivals(machine: Machine, place: tuple[str, str, int]) -> set[str]:
    """The addresses at which a port is bound that can't be bound at another one besides."""
    protocol, address, port = place
    bound = machine.addresses.get((protocol, port), set())
    if address in _ANY:
        return {other for other in bound if (":" in other) == (":" in address)}
    return bound & {address, "::" if ":" in address else "0.0.0.0"}  # noqa: S104 - as above


def _is_local(machine: Machine, address: str) -> bool:
    if address in _ANY or address.startswith("127.") or address == "::1":
        return True
    return any(
        text.partition("/")[0] == address for link in machine.links(HOST) for text in link.addresses
    )


def _skeleton(fact: plan.Skeleton) -> tuple[Object, ...]:
    return ruleset.skeleton(fact.first_port, fact.last_port, fact.owner)


def _load_chains(into: Ruleset, objects: Sequence[Object]) -> None:
    """Make the chains anew with their rules, as a batch that flushes them first does."""
    for item in objects:
        if isinstance(item, Chain):
            into.chains[item.name] = item
            into.rules[item.name] = []
        elif isinstance(item, Rule):
            into.rules[item.chain].append(item)


def _stands(ruleset_: Ruleset, chain: Chain, objects: Sequence[Object]) -> bool:
    wanted = [item for item in objects if isinstance(item, Rule) and item.chain == chain.name]
    if ruleset_.chains.get(chain.name) != chain:
        return False
    # Selectors are compared by identity, which a pickled rule doesn't keep.
    return [*map(str, ruleset_.rules[chain.name])] == [*map(str, wanted)]


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Skeleton: _Skeletons(),
    plan.Guard: _Guards(),
    Policer: _Guards(),
    plan.Entry: _Entries(),
    ports.HeldPort: _HeldPorts(),
}
