"""The events: kept with a change while it is pending, published when it is final.

They are published by whoever settles the change, in the same transaction.  So
an event is there if and only if the change is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import NamedTuple

from pycnm.engine.records import Reader
from pycnm.spec.events import Event
from pycnm.store.database import Transaction

KEPT = 1000
"""How many events there are at most; the oldest go."""

_NOTHING = "[]"
_Row = tuple[str, str, str, str]


class Happening(NamedTuple):
    """What becomes an event when it is final."""

    type: str
    action: str
    id: str
    attributes: dict[str, str]


def keep(tx: Transaction, change: int, happenings: Iterable[Happening]) -> None:
    """Keep what a change will have done, whoever settles it."""
    rows = _rows(happenings)
    if rows:
        tx.execute("UPDATE changes SET events = ? WHERE id = ?", (json.dumps(rows), change))


def settle(
    tx: Transaction, change: int, *, done: bool, happenings: Iterable[Happening] | None = None
) -> None:
    """Forget a change; publish what it has done, if it is done.

    Args:
        happenings: what was kept with it, for who knows it; None to read it.
    """
    if done and happenings is not None:
        rows = _rows(happenings)
        if rows:
            _add(tx, rows)
    elif done:
        kept = tx.execute("SELECT events FROM changes WHERE id = ?", (change,)).fetchone()
        if kept is not None and kept[0] != _NOTHING:
            _add(tx, _read(kept[0]))
    tx.execute("DELETE FROM changes WHERE id = ?", (change,))


def publish(tx: Transaction, happenings: Iterable[Happening]) -> None:
    """Add events, and drop the oldest."""
    _add(tx, _rows(happenings))


def _rows(happenings: Iterable[Happening]) -> list[_Row]:
    return [(each.type, each.action, each.id, json.dumps(each.attributes)) for each in happenings]


def _read(kept: str) -> list[_Row]:
    try:
        return [(kind, action, identity, told) for kind, action, identity, told in json.loads(kept)]
    except (ValueError, TypeError):
        # Damage to what is only told must not keep a change from being settled.
        return []


def _add(tx: Transaction, rows: list[_Row]) -> None:
    now = time.time_ns()
    tx.executemany(
        "INSERT INTO events (at, type, action, id, attributes) VALUES (?, ?, ?, ?, ?)",
        [(now, *row) for row in rows],
    )
    tx.execute("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (KEPT,))


def before(reader: Reader, moment: int) -> int:
    """The number of the last event before the first one at or after a moment."""
    (number,) = reader.execute(
        "SELECT coalesce((SELECT min(number) - 1 FROM events WHERE at >= ?), "
        "(SELECT max(number) FROM events), 0)",
        (moment,),
    ).fetchone()
    return int(number)


def after(reader: Reader, number: int) -> list[Event]:
    """The events after the one with that number, the oldest first; damaged ones are passed over."""
    rows = reader.execute(
        "SELECT number, at, type, action, id, attributes FROM events "
        "WHERE number > ? ORDER BY number",
        (number,),
    ).fetchall()
    found = []
    for place, at, kind, action, identity, attributes in rows:
        try:
            found.append(Event(place, at, kind, action, identity, json.loads(attributes)))
        except (ValueError, TypeError):
            continue
    return found
