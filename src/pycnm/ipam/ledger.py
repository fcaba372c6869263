"""The record of which subnets and addresses are taken: four tables in SQLite.

The ledger writes down; it decides nothing.  Over a connection of the store it
takes part in the store's transaction, so that an address is given together with
the rest of a change or not at all.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pycnm.errors import InvalidArgumentError, StoreError
from pycnm.ipam.blocks import Block, Version, shown
from pycnm.ipam.runs import Runs, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator


class HeldPool(NamedTuple):
    """A pool somebody holds.

    Attributes:
        pool_id: what its holder knows it by.
        key: the owner of its addresses in `Ledger.addresses`.  Pools of one
            subnet and different ranges share it: an address is given once.
        space: its address space.
        subnet: the subnet.
        range: the part of the subnet that addresses are chosen from.
        cursor: the last address that was chosen; None before the first.
    """

    pool_id: str
    key: int
    space: str
    subnet: Block
    range: Block
    cursor: int | None


class Ledger:
    """Which pools are held, and which addresses of them are taken.

    Attributes:
        subnets: the address spaces, each the set of what its subnets cover;
            owners are named by `space_key`.
        addresses: the subnets, each the set of its taken addresses; owners are
            `HeldPool.key`.
    """

    SCHEMA: ClassVar[str] = """
CREATE TABLE pool_subnet (
  id INTEGER PRIMARY KEY,
  space TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version IN (4, 6)),
  first BLOB NOT NULL CHECK (length(first) = 16),
  prefix INTEGER NOT NULL CHECK (prefix BETWEEN 0 AND 128),
  cursor BLOB CHECK (length(cursor) = 16),
  UNIQUE (space, version, first, prefix)
) STRICT;
CREATE TABLE pool (
  pool_id TEXT PRIMARY KEY,
  subnet INTEGER NOT NULL REFERENCES pool_subnet (id),
  range_first BLOB NOT NULL CHECK (length(range_first) = 16),
  range_prefix INTEGER NOT NULL CHECK (range_prefix BETWEEN 0 AND 128)
) STRICT, WITHOUT ROWID;
CREATE INDEX pool_of_subnet ON pool (subnet);
CREATE TABLE pool_run (
  owner TEXT NOT NULL,
  first BLOB NOT NULL CHECK (length(first) = 16),
  last BLOB NOT NULL CHECK (length(last) = 16 AND last >= first),
  PRIMARY KEY (owner, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE address_run (
  owner INTEGER NOT NULL REFERENCES pool_subnet (id),
  first BLOB NOT NULL CHECK (length(first) = 16),
  last BLOB NOT NULL CHECK (length(last) = 16 AND last >= first),
  PRIMARY KEY (owner, first)
) STRICT, WITHOUT ROWID;
"""
    """The tables; no statement has a semicolon inside.  Numbers are 16 bytes, big endian."""

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        """Keeps the record in the connection's database, which has `SCHEMA`.

        The connection's owner begins and commits, and lets one thread at a time
        use it.  Without a connection the record is in memory, each change is a
        transaction of its own, and any thread may call.
        """
        self._lock = threading.Lock() if connection is None else None
        if connection is None:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.executescript(self.SCHEMA)
            weakref.finalize(self, connection.close)
        elif not isinstance(connection, sqlite3.Connection):
            raise InvalidArgumentError(
                f"a ledger is kept over a sqlite3 connection, not {shown(connection)}"
            )
        self._connection = connection
        self.subnets = Runs(connection, "pool_run")
        self.addresses = Runs(connection, "address_run")

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is written inside is written, or nothing of it.

        Over a handed-in connection this is its owner's business, and nothing
        happens here.
        """
        if self._lock is None:
            yield
            return
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def pool(self, pool_id: str) -> HeldPool | None:
        """The pool of this id, if somebody holds it.

        Raises:
            StoreError: what is recorded of it makes no sense.
        """
        row = self._connection.execute(
            "SELECT id, space, version, first, prefix, cursor, range_first, range_prefix "
            "FROM pool JOIN pool_subnet ON id = subnet WHERE pool_id = ?",
            (pool_id,),
        ).fetchone()
        if row is None:
            return None
        key, space, version, first, prefix, cursor, range_first, range_prefix = row
        subnet = _block(version, first, prefix)
        dynamic = _block(version, range_first, range_prefix)
        last_given = None if cursor is None else decode(cursor)
        return HeldPool(pool_id, key, space, subnet, dynamic, last_given)

    def pool_ids(self) -> list[str]:
        """The ids of all pools that somebody holds."""
        rows = self._connection.execute("SELECT pool_id FROM pool ORDER BY pool_id").fetchall()
        return [pool_id for (pool_id,) in rows]

    def hold(self, pool_id: str, space: str, subnet: Block, dynamic: Block) -> None:
        """Records a pool; a subnet that is new has its reserved addresses taken."""
        where = (space, subnet.version, encode(subnet.first), subnet.prefix)
        row = self._connection.execute(
            "SELECT id FROM pool_subnet "
            "WHERE space = ? AND version = ? AND first = ? AND prefix = ?",
            where,
        ).fetchone()
        if row is None:
            row = self._connection.execute(
                "INSERT INTO pool_subnet (space, version, first, prefix) VALUES (?, ?, ?, ?) "
                "RETURNING id",
                where,
            ).fetchone()
            self.subnets.add(space_key(space, subnet.version), subnet.first, subnet.last)
            for address in subnet.reserved():
                self.addresses.add(row[0], address, address)
        self._connection.execute(
            "INSERT INTO pool (pool_id, subnet, range_first, range_prefix) VALUES (?, ?, ?, ?)",
            (pool_id, row[0], encode(dynamic.first), dynamic.prefix),
        )

    def drop(self, pool: HeldPool) -> None:
        """Forgets a pool, and with the last pool of its subnet every address of it."""
        self._connection.execute("DELETE FROM pool WHERE pool_id = ?", (pool.pool_id,))
        others = "SELECT 1 FROM pool WHERE subnet = ? LIMIT 1"
        if self._connection.execute(others, (pool.key,)).fetchone():
            return
        self.addresses.clear(pool.key)
        self._connection.execute("DELETE FROM pool_subnet WHERE id = ?", (pool.key,))
        if self._around(pool.space, pool.subnet):
            return
        owner = space_key(pool.space, pool.subnet.version)
        self.subnets.remove(owner, pool.subnet.first, pool.subnet.last)
        # Pools with a range may lie inside one another: theirs stays taken.
        for _, inner in self._inside(pool.space, pool.subnet):
            self.subnets.add(owner, inner.first, inner.last)

    def overlapping(self, space: str, subnet: Block) -> list[str]:
        """The ids of the pools that share an address with the subnet, sorted."""
        subnets = self._around(space, subnet) + self._inside(space, subnet)
        return sorted(
            pool_id
            for key, _ in subnets
            for (pool_id,) in self._connection.execute(
                "SELECT pool_id FROM pool WHERE subnet = ?", (key,)
            )
        )

    def remember(self, pool: HeldPool, address: int) -> None:
        """Notes the address that was chosen last, for who wants the next."""
        self._connection.execute(
            "UPDATE pool_subnet SET cursor = ? WHERE id = ?", (encode(address), pool.key)
        )

    def _around(self, space: str, subnet: Block) -> list[tuple[int, Block]]:
        # What covers a block starts where the block does, less its last set bits:
        # a handful of places, each a look-up, however many pools there are.
        starts = {
            encode(Block.around(subnet.version, subnet.first, prefix).first)
            for prefix in range(subnet.prefix)
        }
        rows = self._connection.execute(
            "SELECT id, version, first, prefix FROM pool_subnet "  # noqa: S608 - question marks
            f"WHERE space = ? AND version = ? AND first IN ({','.join('?' * len(starts))}) "
            "AND prefix < ?",
            (space, subnet.version, *starts, subnet.prefix),
        )
        return [found for found in map(_subnet, rows) if found[1].covers(subnet)]

    def _inside(self, space: str, subnet: Block) -> list[tuple[int, Block]]:
        rows = self._connection.execute(
            "SELECT id, version, first, prefix FROM pool_subnet "
            "WHERE space = ? AND version = ? AND first BETWEEN ? AND ? AND prefix >= ?",
            (space, subnet.version, encode(subnet.first), encode(subnet.last), subnet.prefix),
        )
        return [_subnet(row) for row in rows]


def space_key(space: str, version: Version) -> str:
    """The owner, in `Ledger.subnets`, of the subnets of an address space and IP version."""
    return f"{space}/{version}"


def _subnet(row: tuple[int, Version, bytes, int]) -> tuple[int, Block]:
    key, version, first, prefix = row
    return key, _block(version, first, prefix)


def _block(version: Version, first: bytes, prefix: int) -> Block:
    try:
        return Block(version, decode(first), prefix)
    except (InvalidArgumentError, KeyError, TypeError) as error:
        raise StoreError.damage("the record of a pool", error) from error
