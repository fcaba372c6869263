"""The skeleton, the guards and the elements of nftables, brought about."""

from __future__ import annotations

import errno
from functools import lru_cache
from typing import TYPE_CHECKING

from pycnm.errors import KernelError
from pycnm.kernel import nfnetlink, nfreading
from pycnm.kernel.netlink import NETLINK_NETFILTER, Socket
from pycnm.kernel.nfholdings import holdings
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued, refusal
from pycnm.nft import ruleset
from pycnm.nft.objects import Chain, Element, Object, Rule, Set, Table
from pycnm.plan import rules as plan
from pycnm.plan.operation import HOST
from pycnm.plan.shaping import Policer

if TYPE_CHECKING:
    from pycnm.plan.operation import Operation

NFT = "nft"
_ATTEMPTS = 5
_USER = "user"
_TABLE = Table(ruleset.FAMILY, ruleset.TABLE)


def early_guard() -> bool:
    """Whether a netdev chain can be made for a device that isn't there yet.

    Tried in the namespace of the calling thread, which is a throw-away.
    """
    objects = ruleset.guard("probe0", "02:42:00:00:00:01", ("192.0.2.1",))
    with Socket(NETLINK_NETFILTER) as connection:
        messages = [nfnetlink.add(item) for item in objects]
        return not connection.batch(nfnetlink.begin(), messages, nfnetlink.end())


def _queue(session: LinuxSession, fact: Operation, messages: list[bytes]) -> None:
    for message in messages:
        session.queue(HOST, NFT, Queued(fact, message))


def _nft(session: LinuxSession) -> Socket:
    session.flush()
    return session.socket(HOST, NETLINK_NETFILTER)


class _Skeletons:
    def add(self, session: LinuxSession, fact: plan.Skeleton) -> None:
        connection = _nft(session)
        ours = Table(ruleset.FAMILY, ruleset.TABLE, comment=fact.owner)
        objects = _skeleton(fact)
        if nfreading.has(connection, ours):
            # What is ours and was changed is made anew; elements, and the
            # administrator's own chain, stay as they are.
            if self.differs(session, fact) is None:
                return
        elif nfreading.has(connection, _TABLE):
            # That of another pycnm on this host will do, if it is whole.
            parts = [item for item in objects[1:] if isinstance(item, (Set, Chain))]
            if all(nfreading.has(connection, item) for item in parts):
                return
            raise KernelError(
                f"nft add {ours}",
                errno.EEXIST,
                f"a {_TABLE.reference} that pycnm didn't make is there; `nft delete "
                f"{_TABLE.reference}` removes it",
            )
        _queue(session, fact, nfnetlink.load(objects))

    def remove(self, session: LinuxSession, fact: plan.Skeleton) -> None:
        """Delete the table if nobody has anything in it, not even the administrator.

        The generation makes sure that what was seen is what is deleted.
        """
        connection = _nft(session)
        for _ in range(_ATTEMPTS):
            generation = nfreading.generation(connection)
            if _in_use(connection, fact):
                return
            errors = connection.batch(
                nfnetlink.begin(generation), [nfnetlink.delete(_TABLE)], nfnetlink.end()
            )
            code = next(iter(errors.values())).code if errors else 0
            if not code or code in GONE:
                return
            if code != errno.ERESTART:
                raise refusal(fact, code)

    def differs(self, session: LinuxSession, fact: plan.Skeleton) -> str | None:
        connection = _nft(session)
        for item in _skeleton(fact):
            if isinstance(item, (Table, Set)) and not nfreading.has(connection, item):
                return f"{item.reference} is gone or was changed"
            if isinstance(item, Chain) and not _chain_stands(connection, fact, item):
                return f"{item.reference} is gone or was changed"
        return None


@lru_cache(1)
def _skeleton(fact: plan.Skeleton) -> tuple[Object, ...]:
    return ruleset.skeleton(fact.first_port, fact.last_port, fact.owner)


def _chain_stands(connection: Socket, fact: plan.Skeleton, chain: Chain) -> bool:
    if not nfreading.has(connection, chain):
        return False
    rules = [
        item for item in _skeleton(fact) if isinstance(item, Rule) and item.chain == chain.name
    ]
    return chain.name == _USER or nfreading.has_rules(connection, chain, rules)


def _in_use(connection: Socket, fact: plan.Skeleton) -> bool:
    """Whether a network of anybody's, or an administrator's rule, is in the table."""
    if nfreading.rules(connection, ruleset.FAMILY, ruleset.TABLE, _USER):
        return True
    sets = [item for item in _skeleton(fact) if isinstance(item, Set)]
    ours = [item for item in sets if not item.name.startswith("opened")]
    return any(
        nfreading.elements(connection, ruleset.FAMILY, ruleset.TABLE, item.name) for item in ours
    )


class _Guards:
    def add(self, session: LinuxSession, fact: plan.Guard | Policer) -> None:
        _queue(session, fact, nfnetlink.load(fact.objects))

    def remove(self, session: LinuxSession, fact: plan.Guard | Policer) -> None:
        session.queue(HOST, NFT, Queued(fact, nfnetlink.delete(fact.table), GONE))

    def differs(self, session: LinuxSession, fact: plan.Guard | Policer) -> str | None:
        table, chain, wanted = _guard(fact)
        connection = _nft(session)
        held = None
        if session.expects_many(type(fact)):
            held = session.once(plan.Guard, lambda: holdings(connection, table.family))
        there = _Asked(connection) if held is None else held
        if there.has(table) and there.has(chain):
            found = there.rules(chain)
            if nfreading.same_rules(wanted, found):
                return None
        return fact.lost()


@lru_cache(1024)
def _guard(fact: plan.Guard | Policer) -> tuple[Table, Chain, tuple[bytes, ...]]:
    """The table, the chain, and the expressions of its rules."""
    objects = fact.objects
    (table,) = (item for item in objects if isinstance(item, Table))
    (chain,) = (item for item in objects if isinstance(item, Chain))
    rules = (item for item in objects if isinstance(item, Rule))
    return table, chain, tuple(nfnetlink.encoded(rule) for rule in rules)


class _Asked:
    """The kernel, asked one by one."""

    def __init__(self, connection: Socket) -> None:
        self._connection = connection

    def has(self, item: Table | Chain) -> bool:
        return nfreading.has(self._connection, item)

    def rules(self, chain: Chain) -> list[bytes]:
        return nfreading.rules(self._connection, chain.family, chain.table, chain.name)


class _Entries:
    def add(self, session: LinuxSession, fact: plan.Entry) -> None:
        session.queue(HOST, NFT, Queued(fact, nfnetlink.add(fact.value)))

    def remove(self, session: LinuxSession, fact: plan.Entry) -> None:
        session.queue(HOST, NFT, Queued(fact, nfnetlink.delete(fact.value), GONE))

    def differs(self, session: LinuxSession, fact: plan.Entry) -> str | None:
        item, connection = fact.value, _nft(session)
        if session.expects_many(plan.Entry):
            found = session.once((plan.Entry, item.set), lambda: _elements(connection, item)).get(
                nfreading.stored(item).key
            )
            there = found is not None and nfreading.same_element(item, found)
        else:
            there = nfreading.has(connection, item)
        return None if there else f"{item.reference} is gone or was changed"


def _elements(connection: Socket, like: Element) -> dict[bytes, nfreading.Stored]:
    found = nfreading.elements(connection, like.family, like.table, like.set)
    return {each.key: each for each in found}


REALISATIONS.update(
    {
        plan.Skeleton: _Skeletons(),
        plan.Guard: _Guards(),
        plan.Entry: _Entries(),
        Policer: _Guards(),
    }
)
