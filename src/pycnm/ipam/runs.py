"""Sets of numbers in a database table, kept as maximal runs.

What is taken, be it addresses of a subnet or subnets of an address space, is a
row for each run of neighbours.  Runs of one owner neither overlap nor touch, so
the lowest free number from `a` on is one look-up away: `a` itself, or the one
behind the run that has `a`.  Taking and releasing join and split runs.  None of
it depends on how many numbers are taken, or in how many pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pycnm.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

LARGEST: Final = (1 << 128) - 1
"""The largest number a set holds."""
_BYTES: Final = 16


def encode(number: int) -> bytes:
    """The number as a blob; blobs sort as their numbers do."""
    return number.to_bytes(_BYTES)


def decode(blob: object) -> int:
    """The number that a blob stands for.

    Raises:
        StoreError: `encode` wrote no such blob.
    """
    if not isinstance(blob, bytes) or len(blob) != _BYTES:
        raise StoreError.damage("the record of what is taken", f"{blob!r:.60} is no number")
    return int.from_bytes(blob)


class Runs:
    """The sets of one table, a set for each owner.

    The table has the columns `owner`, `first` and `last`, and the primary key
    (owner, first).
    """

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        """Reads and writes through the connection; never begins or commits."""
        self._connection = connection
        # The table's name is a constant of the ledger, never input.
        self._up_to = (
            f"SELECT first, last FROM {table} "  # noqa: S608
            "WHERE owner = ? AND first <= ? ORDER BY first DESC LIMIT 1"
        )
        self._between = (
            f"SELECT first, last FROM {table} "  # noqa: S608
            "WHERE owner = ? AND first > ? AND first <= ?"
        )
        self._put = f"INSERT OR REPLACE INTO {table} (owner, first, last) VALUES (?, ?, ?)"  # noqa: S608
        self._cut = f"DELETE FROM {table} WHERE owner = ? AND first >= ? AND first <= ?"  # noqa: S608
        self._clear = f"DELETE FROM {table} WHERE owner = ?"  # noqa: S608

    def run_up_to(self, owner: int | str, number: int) -> tuple[int, int] | None:
        """The last run that starts at or before the number."""
        row = self._connection.execute(self._up_to, (owner, encode(number))).fetchone()
        return (decode(row[0]), decode(row[1])) if row else None

    def has(self, owner: int | str, number: int) -> bool:
        """Whether the number is in the set."""
        return self.end_of_overlap(owner, number, number) is not None

    def end_of_overlap(self, owner: int | str, first: int, last: int) -> int | None:
        """Where the last run that overlaps first..last ends; None for none."""
        run = self.run_up_to(owner, last)
        return run[1] if run and run[1] >= first else None

    def lowest_free(self, owner: int | str, first: int, last: int) -> int | None:
        """The lowest number of first..last that is not in the set."""
        end = self.end_of_overlap(owner, first, first)
        free = first if end is None else end + 1
        return free if free <= last else None

    def count(self, owner: int | str, first: int, last: int) -> int:
        """How many numbers of first..last are in the set; looks at each run."""
        end = self.end_of_overlap(owner, first, first)
        total = 0 if end is None else min(end, last) - first + 1
        rows = self._connection.execute(self._between, (owner, encode(first), encode(last)))
        for start, stop in rows:
            total += min(decode(stop), last) - decode(start) + 1
        return total

    def add(self, owner: int | str, first: int, last: int) -> None:
        """Puts first..last into the set; what is there already stays."""
        before = self.run_up_to(owner, first)
        if before and before[1] >= first - 1:
            first, last = before[0], max(last, before[1])
        after = self.run_up_to(owner, min(last + 1, LARGEST))
        if after and after[0] > first:
            self._connection.execute(self._cut, (owner, encode(first), encode(after[0])))
            last = max(last, after[1])
        self._connection.execute(self._put, (owner, encode(first), encode(last)))

    def remove(self, owner: int | str, first: int, last: int) -> None:
        """Takes first..last out of the set; what is not there stays away."""
        tail = self.run_up_to(owner, last)
        if tail is None or tail[1] < first:
            return
        head = self.run_up_to(owner, first - 1) if first else None
        self._connection.execute(self._cut, (owner, encode(first), encode(last)))
        if head and head[1] >= first:
            self._connection.execute(self._put, (owner, encode(head[0]), encode(first - 1)))
        if tail[1] > last:
            self._connection.execute(self._put, (owner, encode(last + 1), encode(tail[1])))

    def clear(self, owner: int | str) -> None:
        """Empties the set."""
        self._connection.execute(self._clear, (owner,))
