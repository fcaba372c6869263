"""What all tables of a family hold, asked at a stroke.

To ask for the tables of a thousand guards by their names costs the kernel a million
steps: it looks for each among all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycnm.kernel import nfreading
from pycnm.nft.objects import Chain, Rule, Table

if TYPE_CHECKING:
    from pycnm.kernel.netlink import Socket


class Holdings(NamedTuple):
    """What all tables of a family hold, everybody's, but for sets and what is in them."""

    tables: dict[str, dict[int, bytes]]
    chains: dict[tuple[str, str], dict[int, bytes]]
    bodies: dict[tuple[str, str], list[bytes]]

    def has(self, item: Table | Chain) -> bool:
        """As `has`."""
        found = (
            self.tables.get(item.name)
            if isinstance(item, Table)
            else self.chains.get((item.table, item.name))
        )
        return found is not None and nfreading.same(item, found)

    def rules(self, chain: Chain) -> list[bytes]:
        """The expressions of each rule of a chain."""
        return self.bodies.get((chain.table, chain.name), [])


def holdings(socket: Socket, family: str) -> Holdings | None:
    """All there is now; None if others change it all the time."""
    bodies: dict[tuple[str, str], list[bytes]] = {}
    try:
        for rule in nfreading.parts(socket, family, Rule):
            bodies.setdefault((rule.table, rule.name), []).append(rule.expressions)
        chains = nfreading.parts(socket, family, Chain)
        tables = nfreading.parts(socket, family, Table)
    except InterruptedError:
        return None
    return Holdings(
        {each.table: each.found for each in tables},
        {(each.table, each.name): each.found for each in chains},
        bodies,
    )
