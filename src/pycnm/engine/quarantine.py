"""Damaged rows, set aside so that everything else works.

What they held is kept in the table `quarantine`, for whoever can mend it.  What
the kernel holds for them goes on working, and stays recorded, until
`reconcile` has it undone.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

from pycnm.engine import records
from pycnm.engine.records import Reader, UnreadableError
from pycnm.errors import StoreError
from pycnm.plan.operation import Operation
from pycnm.store.database import Database, Transaction

_DEPENDENTS = {"networks": "network", "sandboxes": "sandbox"}
_PORT = "protocol = ? AND address = ? AND port = ?"


def sweep(database: Database) -> None:
    """Read every row there is, and set aside those that are damaged."""
    with database.read() as reader:
        damaged = bool(_damaged(reader))
    if damaged:
        with database.write(durable=True) as tx:
            # Again, as seen by nobody else: one may be gone or changed by now.
            for table, where, values, reason in _damaged(tx):
                _move(tx, table, where, values, reason)


def set_aside(database: Database, broken: UnreadableError) -> None:
    """Set one damaged row aside, with what can't be without it."""
    with database.write(durable=True) as tx:
        _move(tx, broken.table, "number = ?", (broken.number,), broken.reason)


def told(reader: Reader) -> list[str]:
    """What was set aside, a sentence each."""
    rows = reader.execute("SELECT origin, reason, content FROM quarantine ORDER BY number")
    return [
        f"{_named(origin, json.loads(content))} was damaged, and is set aside: {reason}; "
        "`cnm reconcile` removes what is left of it, then make it again"
        for origin, reason, content in rows
    ]


def owners(reader: Reader) -> list[str]:
    """Whose operations are still recorded, though their objects are set aside."""
    rows = reader.execute("SELECT content FROM quarantine ORDER BY number").fetchall()
    found: list[str] = []
    for content in (json.loads(text) for (text,) in rows):
        found += [str(content.get("id"))]
        found += [f"routes:{content['number']}"] if "key" in content else []
    return found


def forget(tx: Transaction) -> None:
    """Forget what was set aside; what it held is lost."""
    tx.execute("DELETE FROM quarantine")


def _damaged(reader: Reader) -> list[tuple[str, str, tuple[Any, ...], str]]:
    """Table, condition, its values and a reason for each damaged row."""
    found: list[tuple[str, str, tuple[Any, ...], str]] = []
    for table, cls in records.SPECS.items():
        for row in reader.execute(f"SELECT number, id, name, spec FROM {table}"):  # noqa: S608
            try:
                records.read(cls, table, row)
            except UnreadableError as error:
                found.append((table, "number = ?", row[:1], error.reason))
    for number, body in reader.execute("SELECT number, body FROM operations"):
        try:
            Operation.from_json(body)
        except StoreError as error:
            found.append(("operations", "number = ?", (number,), str(error)))
    for row in reader.execute("SELECT protocol, address, port, target, target_port FROM ports"):
        try:
            records.binding(*row)
        except StoreError as error:
            found.append(("ports", _PORT, row[:3], str(error)))
    return found


def _move(tx: Transaction, table: str, where: str, values: tuple[Any, ...], reason: str) -> None:
    cursor = tx.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608
    columns = [column for column, *_ in cursor.description]
    for row in cursor.fetchall():
        content = dict(zip(columns, row, strict=True))
        if table in _DEPENDENTS:
            without_it = f"the {table[:-1]} it was on is damaged"
            _move(tx, "endpoints", f"{_DEPENDENTS[table]} = ?", (content["number"],), without_it)
        tx.execute(
            "INSERT INTO quarantine (found, origin, reason, content) VALUES (?, ?, ?, ?)",
            (datetime.now(UTC).isoformat(), table, reason, json.dumps(content)),
        )
    tx.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608


def _named(table: str, content: dict[str, Any]) -> str:
    what = {"sandboxes": "sandbox"}.get(table, table.removesuffix("s"))
    if "name" in content:
        return f"{what} {content['name']} ({content['id'][:12]})"
    if "owner" in content:
        return f"an operation of {content['owner'][:12]}"
    return f"{what} {content.get('address')}:{content.get('port')}/{content.get('protocol')}"
