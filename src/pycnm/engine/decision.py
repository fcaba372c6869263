"""One change while it is decided: rows written, operations collected.

Everything here happens inside one transaction.  The kernel hears of it only
after that transaction is committed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TypeAlias

from pycnm.drivers.base import Driver
from pycnm.engine import records
from pycnm.engine.journal import Happening
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec
from pycnm.spec.ports import PortBinding
from pycnm.store.database import Transaction
from pycnm.store.locks import Held, Lock

Column: TypeAlias = tuple[str, int, str, str | int | None]
NETWORKS, SANDBOXES, ENDPOINTS = "networks", "sandboxes", "endpoints"
PORTS, OPERATIONS = "ports", "operations"


class Decision:
    """What a transaction has decided so far.

    Attributes:
        tx: the transaction.
        change: the number of the change in the table of that name.
        held: the locks; a new object's is added to them.
        tables: those that have rows which come or go with the change.
        events: what it tells those who follow, in order.
        before: table, row and column of what it changed, with what was there.
    """

    def __init__(self, tx: Transaction, change: int, held: Held) -> None:
        self.tx = tx
        self.change = change
        self.held = held
        self.tables: set[str] = set()
        self.events: list[Happening] = []
        self._do: list[Operation] = []
        self._dropped: list[Operation] = []
        self.before: list[Column] = []

    @property
    def undo(self) -> tuple[Operation, ...]:
        """What is to be undone, in the order in which it was done."""
        return tuple(self._dropped)

    @property
    def do(self) -> tuple[Operation, ...]:
        """What is to be done after that."""
        return tuple(self._do)

    # Operations

    def add(self, owner: str, operations: Iterable[Operation]) -> None:
        """Have `operations` done, and record them for `owner`."""
        self._add(owner, [(operation.to_json(), operation) for operation in operations])

    def _add(self, owner: str, new: Collection[tuple[str, Operation]]) -> None:
        self.tables.add(OPERATIONS)
        self.tx.executemany(
            "INSERT INTO operations (owner, arriving, body) VALUES (?, ?, ?)",
            [(owner, self.change, body) for body, _ in new],
        )
        self._do += [operation for _, operation in new]

    def drop(self, owner: str) -> None:
        """Have everything recorded for `owner` undone.

        Owners are dropped in the order in which they were made.
        """
        rows = list(records.operations(self.tx, owner))
        self._leave([number for number, _ in rows], _read(rows))

    def drop_some(self, owner: str, operations: Iterable[Operation]) -> None:
        """Have `operations` of `owner` undone, if they are recorded."""
        numbers = {body: number for number, body in records.operations(self.tx, owner)}
        found = [(numbers.get(operation.to_json()), operation) for operation in operations]
        there = [(number, operation) for number, operation in found if number is not None]
        self._leave([number for number, _ in there], [operation for _, operation in there])

    def replace(self, owner: str, plan: Plan) -> None:
        """Have the difference between what is recorded for `owner` and `plan` applied."""
        wanted = {operation.to_json(): operation for operation in plan}
        gone = []
        for number, body in records.operations(self.tx, owner):
            if wanted.pop(body, None) is None:
                gone.append((number, body))
        self._leave([number for number, _ in gone], _read(gone))
        self._add(owner, wanted.items())

    def _leave(self, numbers: Iterable[int], operations: Iterable[Operation]) -> None:
        """Have operations undone; `numbers` are those of their rows."""
        self.tables.add(OPERATIONS)
        self.tx.executemany(
            "UPDATE operations SET leaving = ? WHERE number = ?",
            [(self.change, number) for number in numbers],
        )
        self._dropped += operations

    # Rows

    def insert_network(self, spec: NetworkSpec, driver: Driver) -> int:
        """Record a new network; the row's number."""
        number = self._insert(
            NETWORKS,
            "INSERT INTO networks (id, name, driver, device, spec, arriving) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (spec.id, spec.name, spec.driver, driver.device(spec), spec.to_json(), self.change),
        )
        if driver.owns(spec):
            records.own_subnets(self.tx, number, [pool.subnet for pool in spec.pools])
        self.held.add(Lock.network(number, exclusive=True))
        return number

    def insert_sandbox(self, spec: SandboxSpec) -> int:
        """Record a new sandbox; the row's number."""
        number = self._insert(
            SANDBOXES,
            "INSERT INTO sandboxes (id, name, key, spec, arriving) VALUES (?, ?, ?, ?, ?)",
            (spec.id, spec.name, spec.key, spec.to_json(), self.change),
        )
        self.held.add(Lock.sandbox(number))
        return number

    def insert_endpoint(self, spec: EndpointSpec, network: int, sandbox: int | None) -> int:
        """Record a new endpoint; the row's number."""
        mac = None if spec.mac is None else str(spec.mac)
        return self._insert(
            ENDPOINTS,
            "INSERT INTO endpoints (id, name, network, sandbox, interface, host_interface, mac, "
            "spec, arriving) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                spec.id,
                spec.name,
                network,
                sandbox,
                spec.interface,
                spec.host_interface,
                mac,
                spec.to_json(),
                self.change,
            ),
        )

    def insert_ports(self, endpoint: int, network: int, bindings: Iterable[PortBinding]) -> None:
        """Record published ports.

        Raises:
            sqlite3.IntegrityError: one is taken.
        """
        self.tables.add(PORTS)
        self.tx.executemany(
            "INSERT INTO ports (protocol, address, port, endpoint, network, target, target_port, "
            "arriving) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *_place(b),
                    endpoint,
                    network,
                    str(b.address),
                    b.port,
                    self.change,
                )
                for b in bindings
            ],
        )

    def leave_ports(self, bindings: Iterable[PortBinding]) -> None:
        """Have published ports forgotten when the change is settled."""
        rows = [(self.change, *_place(b)) for b in bindings]
        if rows:
            self.tables.add(PORTS)
            self.tx.executemany(
                "UPDATE ports SET leaving = ? WHERE protocol = ? AND address = ? AND port = ?",
                rows,
            )

    def leave(self, table: str, number: int) -> None:
        """Have a row deleted when the change is settled."""
        self.tables.add(table)
        self.tx.execute(
            f"UPDATE {table} SET leaving = ? WHERE number = ?",  # noqa: S608 - a constant
            (self.change, number),
        )

    def update(self, table: str, number: int, **columns: str | int | None) -> None:
        """Change columns of a row; the change's failure puts the old values back."""
        for column, value in columns.items():
            (old,) = self.tx.execute(
                f"SELECT {column} FROM {table} WHERE number = ?",  # noqa: S608 - constants
                (number,),
            ).fetchone()
            self.before.append((table, number, column, old))
            self.tx.execute(
                f"UPDATE {table} SET {column} = ? WHERE number = ?",  # noqa: S608 - constants
                (value, number),
            )
        self.tx.execute(
            "UPDATE changes SET before = ? WHERE id = ?",
            (json.dumps(self.before), self.change),
        )

    def _insert(self, table: str, statement: str, values: tuple[object, ...]) -> int:
        self.tables.add(table)
        return int(self.tx.execute(statement, values).lastrowid or 0)


def _read(rows: Iterable[tuple[int, str]]) -> list[Operation]:
    return [Operation.from_json(body) for _, body in rows]


def _place(binding: PortBinding) -> tuple[str, str, int]:
    """The key of a published port's row."""
    if binding.host_port:
        return binding.protocol, str(binding.host_address), binding.host_port
    return binding.protocol, str(binding.address), -binding.port
