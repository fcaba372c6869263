"""Damaged rows, set aside so that everything else works.

What was in them is kept in the table `quarantine`.  What the kernel holds for
them goes on working until `pycnm.engine.mending` clears it away.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pycnm.engine import published, records
from pycnm.engine.records import Reader, UnreadableError
from pycnm.errors import StoreError
from pycnm.plan.operation import Operation
from pycnm.store.database import Database, Transaction

_DEPENDENTS = {"networks": "network", "sandboxes": "sandbox"}
_OBJECTS = {"networks": "network", "sandboxes": "sandbox", "endpoints": "endpoint"}
_PORT = "protocol = ? AND address = ? AND port = ?"


def sweep(database: Database) -> None:
    """Read every row there is, and set aside those that are damaged."""
    with swept(database):
        pass


@contextlib.contextmanager
def swept(database: Database) -> Iterator[None]:
    """The same before a block, in which the operations of sound plans needn't be decoded again.

    `Operation.from_json` knows those that somebody has.
    """
    sound: list[Operation] = []
    with database.read() as reader:
        damaged = bool(_damaged(reader, sound))
    if damaged:
        with database.write(durable=True) as tx:
            # Once more: one may be gone, or another, since they were looked at.
            for table, where, values, reason in _damaged(tx, sound):
                _move(tx, table, where, values, reason)
    yield
    del sound


def set_aside(database: Database, broken: UnreadableError) -> None:
    """Set one damaged row aside, with what can't be without it."""
    with database.write(durable=True) as tx:
        _move(tx, broken.table, "number = ?", (broken.number,), broken.reason)


def told(reader: Reader) -> list[str]:
    """What was set aside, a sentence each."""
    return [
        f"{_named(origin, content)} is damaged and was set aside ({reason}); {_advice(origin)}"
        for origin, reason, content in _rows(reader)
    ]


def lost(reader: Reader) -> list[str]:
    """Whose operations are recorded still, though the objects are set aside; as they were made."""
    found = [(origin, content) for origin, _, content in _rows(reader) if origin in _OBJECTS]
    found.sort(key=lambda each: [*_OBJECTS].index(each[0]))
    inside = [
        f"{what}:{content['number']}"
        for origin, content in found
        if origin == "sandboxes"
        for what in ("routes", "names")
    ]
    return [*(content["id"] for _, content in found), *inside]


def endpoints(reader: Reader) -> list[tuple[str, int, int | None]]:
    """Ids of endpoints that were set aside, with the numbers of their networks and sandboxes."""
    return [
        (content["id"], content["network"], content["sandbox"])
        for origin, _, content in _rows(reader)
        if origin == "endpoints"
    ]


def incomplete(reader: Reader) -> list[str]:
    """Whose plans, or ports, were damaged, though the objects are sound."""
    owners: dict[str, None] = {}
    for origin, _, content in _rows(reader):
        if origin == "operations":
            owners[content["owner"]] = None
        elif origin == "ports":
            row = reader.execute(
                "SELECT id FROM endpoints WHERE number = ?", (content["endpoint"],)
            ).fetchone()
            owners |= dict.fromkeys(row or ())
    return list(owners)


def forget(tx: Transaction) -> None:
    """Forget what was set aside."""
    tx.execute("DELETE FROM quarantine")


def _rows(reader: Reader) -> list[tuple[str, str, dict[str, Any]]]:
    rows = reader.execute("SELECT origin, reason, content FROM quarantine ORDER BY number")
    try:
        return [(origin, reason, json.loads(content)) for origin, reason, content in rows]
    except (ValueError, TypeError) as error:
        raise StoreError.damage("the record of what was set aside", error) from error


def _damaged(reader: Reader, sound: list[Operation]) -> list[tuple[str, str, tuple[Any, ...], str]]:
    """Table, condition, its values and a reason for each damaged row; sound operations go there."""
    found: list[tuple[str, str, tuple[Any, ...], str]] = []
    for table, cls in records.SPECS.items():
        for row in reader.execute(f"SELECT number, id, name, spec FROM {table}"):  # noqa: S608
            try:
                records.read(cls, table, row)
            except UnreadableError as error:
                found.append((table, "number = ?", row[:1], error.reason))
    for number, body in reader.execute("SELECT number, body FROM operations"):
        try:
            sound.append(Operation.from_json(body))
        except StoreError as error:
            found.append(("operations", "number = ?", (number,), str(error.__cause__)))
    for row in reader.execute("SELECT protocol, address, port, target, target_port FROM ports"):
        try:
            published.binding(*row)
        except StoreError as error:
            found.append(("ports", _PORT, row[:3], str(error.__cause__)))
    return found


def _move(tx: Transaction, table: str, where: str, values: tuple[Any, ...], reason: str) -> None:
    cursor = tx.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608
    columns = [column for column, *_ in cursor.description]
    for row in cursor.fetchall():
        content = dict(zip(columns, row, strict=True))
        if table in _DEPENDENTS:
            what = f"its {_OBJECTS[table]} is"
            _move(tx, "endpoints", f"{_DEPENDENTS[table]} = ?", (content["number"],), what)
        tx.execute(
            "INSERT INTO quarantine (found, origin, reason, content) VALUES (?, ?, ?, ?)",
            (datetime.now(UTC).isoformat(), table, reason, json.dumps(content, default=repr)),
        )
    tx.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608


def _named(origin: str, content: dict[str, Any]) -> str:
    if origin in _OBJECTS:
        return f"the record of {_OBJECTS[origin]} {content['name']} ({content['id'][:12]})"
    if origin == "operations":
        return f"part of the plan of {content['owner'][:12]}"
    return f"the record of port {content['address']}:{content['port']}/{content['protocol']}"


def _advice(origin: str) -> str:
    if origin in _OBJECTS:
        return "`cnm reconcile` removes what is left of it, then make it again"
    if origin == "operations":
        return "`cnm reconcile` records it again"
    return "`cnm reconcile` closes it, then publish it again"
