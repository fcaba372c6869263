"""What is taken is recorded in the owner's transaction, and looked up by index."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from pycnm.errors import (
    AddressInUseError,
    PoolExhaustedError,
    PoolOverlapError,
    StoreError,
)
from pycnm.ipam import DefaultIPAM, Ledger
from pycnm.ipam.runs import LARGEST, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "LocalDefault"
TABLES = ("pool_subnet", "pool", "pool_run", "address_run")
NOTHING: dict[str, list[tuple[object, ...]]] = {table: [] for table in TABLES}


def contents(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}  # noqa: S608


def opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def test_the_owner_of_the_connection_commits_and_rolls_back(tmp_path: Path) -> None:
    mine, other = opened(tmp_path / "db"), opened(tmp_path / "db")
    for statement in Ledger.SCHEMA.split(";"):
        mine.execute(statement)
    ipam = DefaultIPAM(ledger=Ledger(mine))

    mine.execute("BEGIN IMMEDIATE")
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id
    ipam.request_address(pool_id)
    assert mine.in_transaction
    assert contents(other) == NOTHING
    mine.execute("COMMIT")
    committed = contents(mine)
    assert contents(other) == committed

    mine.execute("BEGIN IMMEDIATE")
    ipam.request_address(pool_id)
    ipam.release_address(pool_id, "10.0.0.1")
    ipam.request_pool(LOCAL)
    ipam.release_pool(pool_id)
    mine.execute("ROLLBACK")
    assert contents(mine) == committed
    assert str(DefaultIPAM(ledger=Ledger(other)).request_address(pool_id).address) == "10.0.0.2/24"
    mine.close()
    other.close()


def test_rows_of_another_shape_are_fine() -> None:
    connection = opened(":memory:")
    connection.executescript(Ledger.SCHEMA)
    connection.row_factory = sqlite3.Row
    ipam = DefaultIPAM(ledger=Ledger(connection))

    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.0/25").pool_id

    assert str(ipam.request_address(pool_id).address) == "10.0.0.1/24"
    assert ipam.overlapping(LOCAL, "10.0.0.0/8") == (pool_id,)
    ipam.release_pool(pool_id)
    assert contents(connection) == NOTHING
    connection.close()


def test_a_call_that_fails_writes_nothing() -> None:
    connection = opened(":memory:")
    connection.executescript(Ledger.SCHEMA)
    ipam = DefaultIPAM(local_pools=[("10.0.0.0/31", 31)], ledger=Ledger(connection))
    pool_id = ipam.request_pool(LOCAL).pool_id
    ipam.request_address(pool_id)
    ipam.request_address(pool_id)
    before = connection.total_changes

    with pytest.raises(PoolExhaustedError):
        ipam.request_address(pool_id)
    with pytest.raises(AddressInUseError):
        ipam.request_address(pool_id, "10.0.0.1")
    with pytest.raises(PoolExhaustedError):
        ipam.request_pool(LOCAL)
    with pytest.raises(PoolOverlapError):
        ipam.request_pool(LOCAL, "10.0.0.0/8")

    assert connection.total_changes == before
    connection.close()


def test_a_failure_in_the_middle_of_a_change_undoes_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ipam = DefaultIPAM()
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "remember", broken)
        with pytest.raises(KeyboardInterrupt):
            ipam.request_address(pool_id)

    assert ipam.status(pool_id).ips_in_use == 2
    assert str(ipam.request_address(pool_id).address) == "10.0.0.1/24"


def test_releasing_everything_leaves_no_row() -> None:
    ledger = Ledger()
    ipam = DefaultIPAM(ledger=ledger)
    pools = [
        ipam.request_pool(LOCAL, *pair).pool_id
        for pair in (
            ("10.0.0.0/8", "10.0.0.0/16"),
            ("10.0.0.0/8", "10.0.0.0/24"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("fd00::/64", None),
            (None, None),
        )
    ]
    for pool_id in pools:
        for _ in range(5):
            ipam.request_address(pool_id)

    for pool_id in pools:
        ipam.release_pool(pool_id)

    assert contents(ledger._connection) == NOTHING


def test_a_damaged_record_is_a_store_error() -> None:
    connection = opened(":memory:")
    connection.executescript(Ledger.SCHEMA)
    ipam = DefaultIPAM(ledger=Ledger(connection))
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    connection.execute("UPDATE pool_subnet SET first = ?", (encode(5),))

    with pytest.raises(StoreError, match="damaged"):
        ipam.request_address(pool_id)
    with pytest.raises(StoreError, match="damaged"):
        ipam.overlapping(LOCAL, "0.0.0.0/0")
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pool_run VALUES ('x', x'00', x'00')",
        "INSERT INTO address_run VALUES (1, 5, 6)",
        "INSERT INTO pool_run VALUES ('x', zeroblob(16), x'00')",
        "INSERT INTO pool_run VALUES ('x', x'01010101010101010101010101010101', zeroblob(16))",
        "INSERT INTO pool_subnet VALUES (NULL, 'x', 5, zeroblob(16), 8, NULL)",
        "INSERT INTO pool VALUES ('x', 77, zeroblob(16), 8)",
    ],
)
def test_the_schema_refuses_what_cannot_be(statement: str) -> None:
    connection = opened(":memory:")
    connection.executescript(Ledger.SCHEMA)

    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


def statements_of(ipam: DefaultIPAM, pool_id: str) -> list[str]:
    seen: list[str] = []
    connection = ipam._ledger._connection
    connection.set_trace_callback(seen.append)
    lease = ipam.request_address(pool_id)
    ipam.release_address(pool_id, lease.address)
    ipam.request_address(pool_id, lease.address)
    connection.set_trace_callback(None)
    return seen


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "fd00::/64"])
@pytest.mark.parametrize("step", [1, 2])
def test_an_address_costs_the_same_in_any_subnet(subnet: str, step: int) -> None:
    small, large = DefaultIPAM(), DefaultIPAM()
    in_small = small.request_pool(LOCAL, "10.0.0.0/24").pool_id
    in_large = large.request_pool(LOCAL, subnet).pool_id
    held = large._ledger.pool(in_large)
    for number in range(held.subnet.first + 1, held.subnet.first + 2000 * step, step):
        large._ledger.addresses.add(held.key, number, number)

    few, many = statements_of(small, in_small), statements_of(large, in_large)

    assert abs(len(many) - len(few)) <= 3  # each verb may join or split runs
    for statement in many:
        for row in large._ledger._connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            assert "SCAN" not in row[3], statement


@pytest.mark.parametrize("space", [LOCAL, "GlobalDefault"])
def test_a_subnet_costs_the_same_however_many_there_are(space: str) -> None:
    costs = []
    for present in (1, 300):
        ipam = DefaultIPAM(
            local_pools=[("10.0.0.0/8", 24)],
            global_pools=[("10.0.0.0/8", 24)],
            reserved=["10.0.0.0/24"],
        )
        for _ in range(present):
            ipam.request_pool(space)
        seen: list[str] = []
        connection = ipam._ledger._connection
        connection.set_trace_callback(seen.append)
        lease = ipam.request_pool(space)
        ipam.release_pool(lease.pool_id)
        connection.set_trace_callback(None)
        costs.append(len(seen))
        for statement in seen:
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                assert "SCAN" not in row[3], statement

    assert costs[0] == costs[1]


def test_runs_at_both_ends_of_the_number_line() -> None:
    ledger = Ledger()
    runs = ledger.subnets

    runs.add("x", LARGEST, LARGEST)
    runs.add("x", 0, 0)
    runs.add("x", LARGEST - 5, LARGEST - 1)
    assert runs.run_up_to("x", LARGEST) == (LARGEST - 5, LARGEST)
    assert runs.lowest_free("x", 0, LARGEST) == 1
    assert runs.lowest_free("x", LARGEST - 3, LARGEST) is None
    runs.remove("x", 0, 0)
    runs.remove("x", LARGEST, LARGEST)
    assert runs.count("x", 0, LARGEST) == 5
    runs.add("x", 0, LARGEST)
    assert runs.run_up_to("x", 7) == (0, LARGEST)
    runs.remove("x", 0, LARGEST)
    assert runs.run_up_to("x", LARGEST) is None


@pytest.mark.parametrize("blob", [None, 7, "ten dot zero....", b"", b"short", bytes(17)])
def test_a_number_that_nobody_wrote(blob: object) -> None:
    """A bit that was flipped makes another type of a column, too, whatever the schema says."""
    assert decode(encode(LARGEST)) == LARGEST
    with pytest.raises(StoreError, match=r"the record of what is taken is damaged .* is no number"):
        decode(blob)
