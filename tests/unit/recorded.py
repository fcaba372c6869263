"""What a state directory says, for comparing it with what it said before."""

from __future__ import annotations

import contextlib
import sqlite3

# Where the search for a port goes on, and which numbers were given, need not go back;
# a deletion that comes to its end is told (test_engine_events.py has failures).
FORGOTTEN = {"sqlite_sequence", "port_cursors", "makers", "events"}


def record(directory):
    """Everything the database says, table by table; nothing may be pending."""
    found = {}
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as reader:
        reader.row_factory = sqlite3.Row
        tables = [name for (name,) in reader.execute("SELECT name FROM sqlite_master "
                                                     "WHERE type = 'table'")]  # fmt: skip
        for table in set(tables) - FORGOTTEN:
            rows = [dict(row) for row in reader.execute(f"SELECT * FROM {table}")]  # noqa: S608
            for row in rows:
                assert row.get("arriving") is None
                assert row.get("leaving") is None
                # Where the search for an address goes on; the order of doing.
                row.pop("cursor", None)
                if table == "operations":
                    del row["number"]
            found[table] = sorted(rows, key=repr)
    return found


def pending(directory):
    """How many changes aren't settled."""
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as reader:
        (count,) = reader.execute("SELECT count(*) FROM changes").fetchone()
    return count
