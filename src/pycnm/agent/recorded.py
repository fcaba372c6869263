"""What the database says the agent should be doing: read, never written."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple, Self

from pycnm.agent.sockets import Port

_BUSY = 5.0
_HIGHEST = 65535


class UnreadableError(Exception):
    """The database is damaged, or isn't one."""


def ports(directory: int) -> list[Port]:
    """The published ports recorded in an open state directory, those under way included.

    Raises:
        UnreadableError: there is no telling.
    """
    with _reading(directory) as connection:
        # Those of sandboxes that are down are kept for them, and not held; those below 0
        # are no ports of the host.
        rows = connection.execute(
            "SELECT p.protocol, p.address, p.port FROM ports p "
            "LEFT JOIN endpoints e ON e.number = p.endpoint "
            "LEFT JOIN sandboxes s ON s.number = e.sandbox "
            "WHERE p.leaving IS NULL AND p.port > 0 AND NOT coalesce(s.down, 0)"
        )
        return [Port.of(list(row)) for row in rows]


class Answered(NamedTuple):
    """A sandbox whose queries the agent answers.

    Attributes:
        sandbox: its full id.
        key: the path of its namespace.
        port: where in it the agent has its sockets, on 127.0.0.11.
    """

    sandbox: str
    key: str
    port: int

    @classmethod
    def of(cls, value: object) -> Self:
        """The sandbox that `[id, path, port]` names.

        Raises:
            ValueError: it names none.
        """
        match value:
            case [str(sandbox), str(key), int(port)] if (
                sandbox
                and key.startswith("/")
                and "\0" not in key
                and not isinstance(port, bool)
                and 1 <= port <= _HIGHEST
            ):
                return cls(sandbox, key, port)
        raise ValueError("a sandbox is [full id, path of its namespace, 1 to 65535]")


def answered(directory: int) -> list[Answered]:
    """The sandboxes recorded in an open state directory as having their queries answered.

    Raises:
        UnreadableError: there is no telling.
    """
    with _reading(directory) as connection:
        rows = connection.execute(
            "SELECT o.body FROM operations o JOIN sandboxes s ON o.owner = 'names:' || s.number "
            "WHERE o.leaving IS NULL AND NOT s.down "
            "AND json_extract(o.body, '$[0]') = 'Resolver'"
        )
        bodies = [json.loads(body) for (body,) in rows]
        return [Answered.of([sandbox, key, port]) for _, key, sandbox, port in bodies]


def reader(directory: int) -> sqlite3.Connection:
    """A connection to the database of an open state directory, to read from.

    Raises:
        sqlite3.Error: there is none.
    """
    # By descriptor: it leads to the right file even if the directory was moved,
    # and has no character in it that a URI would need quoted.
    path = f"/proc/self/fd/{directory}/cnm.db"
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY)


def host(directory: int) -> str:
    """The path of the host's namespace recorded in an open state directory; empty if none is.

    Raises:
        UnreadableError: there is no telling.
    """
    with _reading(directory) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'host'").fetchone()
        return str(row[0]) if row else ""


@contextlib.contextmanager
def _reading(directory: int) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(reader(directory)) as connection:
            yield connection
    except (sqlite3.DatabaseError, ValueError) as error:
        raise UnreadableError(f"what the database records can't be read: {error}") from error
