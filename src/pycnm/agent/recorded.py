"""What the database says the agent should be doing: read, never written."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from pycnm.agent.sockets import Port

_BUSY = 5.0


class UnreadableError(Exception):
    """The database is damaged, or isn't one."""


def ports(directory: int) -> list[Port]:
    """The published ports recorded in an open state directory, those under way included.

    Raises:
        UnreadableError: there is no telling.
    """
    with _reading(directory) as reader:
        # Those of sandboxes that are down are kept for them, and not held.
        rows = reader.execute(
            "SELECT p.protocol, p.address, p.port FROM ports p "
            "LEFT JOIN endpoints e ON e.number = p.endpoint "
            "LEFT JOIN sandboxes s ON s.number = e.sandbox "
            "WHERE p.leaving IS NULL AND NOT coalesce(s.down, 0)"
        )
        return [Port.of(list(row)) for row in rows]


def host(directory: int) -> str:
    """The path of the host's namespace recorded in an open state directory; empty if none is.

    Raises:
        UnreadableError: there is no telling.
    """
    with _reading(directory) as reader:
        row = reader.execute("SELECT value FROM meta WHERE key = 'host'").fetchone()
        return str(row[0]) if row else ""


@contextlib.contextmanager
def _reading(directory: int) -> Iterator[sqlite3.Connection]:
    # By descriptor: it leads to the right file even if the directory was moved,
    # and has no character in it that a URI would need quoted.
    path = f"/proc/self/fd/{directory}/cnm.db"
    try:
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY)
        try:
            yield reader
        finally:
            reader.close()
    except (sqlite3.DatabaseError, ValueError) as error:
        raise UnreadableError(f"what the database records can't be read: {error}") from error
