"""Rows of the store as specifications, and the questions asked about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

from netaddr import IPNetwork

from pycnm.errors import InvalidArgumentError, NotFoundError, StoreError
from pycnm.spec import names
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec
from pycnm.store.locks import Lock

Reader = sqlite3.Connection
Spec = TypeVar("Spec", bound="NetworkSpec | SandboxSpec | EndpointSpec")
SPECS: dict[str, type[NetworkSpec | SandboxSpec | EndpointSpec]] = {
    "networks": NetworkSpec,
    "sandboxes": SandboxSpec,
    "endpoints": EndpointSpec,
}


class UnreadableError(StoreError):
    """A row is damaged.

    Where several are asked for and nothing is decided, it is passed over; a
    change sets it aside (`pycnm.engine.quarantine`) and looks again.
    """

    def __init__(self, table: str, number: int, reason: object) -> None:
        self.table, self.number, self.reason = table, number, str(reason)
        super().__init__(
            f"a record is damaged, row {number} of {table}: {reason}; "
            "`cnm check` sets it aside, so that everything else works"
        )


SITS = 1 << 3
"""The bit of what a network needs that says that its device is a parent."""

# What every row is read with: `read` needs the first four.
_COLUMNS = "number, id, name, spec"


def read(cls: type[Spec], table: str, row: tuple[Any, ...]) -> Spec:
    """The specification in a row that begins with `_COLUMNS`.

    Raises:
        UnreadableError: it is damaged.
    """
    number, identity, name, text = row[:4]
    try:
        spec = cast("Spec", cls.from_json(text))
    except StoreError as error:
        raise UnreadableError(table, number, error) from error
    if (spec.id, spec.name) != (identity, name):
        kept = f"{name} ({identity[:12]})"
        raise UnreadableError(table, number, f"{spec.name} ({spec.id[:12]}) is kept as {kept}")
    return spec


def readable(
    reader: Reader, cls: type[Spec], table: str, rows: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[Spec, tuple[Any, ...]]]:
    """Each specification with its row; damaged ones are passed over, but not in a change.

    Raises:
        UnreadableError: one is damaged, and this is a change.
    """
    for row in rows:
        try:
            yield read(cls, table, row), row
        except UnreadableError:
            if reader.in_transaction:
                raise


class NetworkRow(NamedTuple):
    """A network; `number` is its place in the lock file."""

    number: int
    spec: NetworkSpec


class SandboxRow(NamedTuple):
    """A sandbox.

    One that is `down` went with an earlier life of the host: what is recorded of
    it is kept, but the kernel holds nothing for it.
    """

    number: int
    spec: SandboxSpec
    down: bool = False


class EndpointRow(NamedTuple):
    """An endpoint with the numbers of its network and sandbox (None before join)."""

    number: int
    spec: EndpointSpec
    network: int
    sandbox: int | None


def lookup(reader: Reader, table: str, what: str, reference: object) -> tuple[Any, ...]:
    """The row of what goes by a full id, a name, or a unique id prefix.

    Raises:
        NotFoundError: nothing does.
        InvalidArgumentError: malformed, or several ids begin like that.
    """
    text = names.reference(reference, what)
    for column in ("id", "name") if len(text) == names.ID_LENGTH else ("name",):
        row: tuple[Any, ...] | None = reader.execute(
            f"SELECT {_COLUMNS} FROM {table} WHERE {column} = ? AND leaving IS NULL",  # noqa: S608
            (text,),
        ).fetchone()
        if row:
            return row
    found: list[tuple[Any, ...]] = []
    if names.is_id_prefix(text):
        found = reader.execute(
            f"SELECT {_COLUMNS} FROM {table} "  # noqa: S608
            "WHERE id >= ? AND id < ? AND leaving IS NULL",
            (text, text + "g"),
        ).fetchmany(2)
    if len(found) > 1:
        raise InvalidArgumentError(
            f"{what} {text} is ambiguous (several matches found based on ID prefix); "
            "give more digits, or the name"
        )
    if not found:
        raise NotFoundError(f"{what} {text} not found; `cnm {what} ls` shows those there are")
    return found[0]


def network(reader: Reader, reference: object) -> NetworkRow:
    """The network that a name, id or id prefix means."""
    row = lookup(reader, "networks", "network", reference)
    return NetworkRow(row[0], read(NetworkSpec, "networks", row))


def sandbox(reader: Reader, reference: object) -> SandboxRow:
    """The sandbox that a name, id or id prefix means."""
    row = lookup(reader, "sandboxes", "sandbox", reference)
    spec = read(SandboxSpec, "sandboxes", row)
    found = reader.execute("SELECT down FROM sandboxes WHERE number = ?", row[:1]).fetchone()
    if found is None:
        # Between the two.
        raise NotFoundError(f"sandbox {spec.name} is gone; it was deleted")
    return SandboxRow(row[0], spec, down=bool(found[0]))


class Abandoned(Exception):  # noqa: N818 - not an error: recover, and look again
    """A row whose lock is free is still pending: whoever made it is dead."""


class Pending(Exception):  # noqa: N818 - not an error: wait for the lock, and look again
    """A row is being made or deleted by somebody who holds `lock`."""

    def __init__(self, table: str, number: int) -> None:
        super().__init__(table, number)
        self.table = table
        self.number = number
        network = Lock.network(number, exclusive=False)
        self.lock = network if table == "networks" else Lock.sandbox(number)

    def lasts(self, reader: Reader) -> bool:
        """Whether it is so still, which with the lock in hand means that nobody is at work."""
        row = reader.execute(
            f"SELECT arriving, leaving FROM {self.table} WHERE number = ?",  # noqa: S608
            (self.number,),
        ).fetchone()
        return row is not None and row != (None, None)


def taken(reader: Reader, table: str, name: str) -> bool:
    """Whether a name is another object's.

    Raises:
        Pending: that object is on its way in or out.
    """
    row = reader.execute(
        f"SELECT number, arriving, leaving FROM {table} WHERE name = ?",  # noqa: S608
        (name,),
    ).fetchone()
    if row is not None and row[1:] != (None, None):
        raise Pending(table, row[0])
    return row is not None


def _current(reader: Reader, table: str, columns: str, what: str, number: int) -> tuple[Any, ...]:
    row = reader.execute(
        f"SELECT arriving, leaving, {columns} FROM {table} WHERE number = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"the {what} is gone; it was deleted")
    arriving, leaving, *values = row
    if arriving is not None or leaving is not None:
        raise Abandoned(what)
    return tuple(values)


def sandbox_by_number(reader: Reader, number: int) -> SandboxRow:
    """The sandbox of a row whose lock is held.

    Raises:
        NotFoundError: it is gone.
        Abandoned: its maker died over it.
    """
    row = _current(reader, "sandboxes", f"{_COLUMNS}, down", "sandbox", number)
    return _sandbox_row(number, read(SandboxSpec, "sandboxes", row), row)


def network_by_number(reader: Reader, number: int) -> NetworkRow:
    """The network of a row whose lock is held.

    Raises:
        NotFoundError: it is gone.
        Abandoned: its maker died over it.
    """
    row = _current(reader, "networks", _COLUMNS, "network", number)
    return NetworkRow(number, read(NetworkSpec, "networks", row))


def sandbox_row(reader: Reader, number: int) -> SandboxRow | None:
    """The sandbox of a row, pending or not; None if it is gone."""
    row = reader.execute(
        f"SELECT {_COLUMNS}, down FROM sandboxes WHERE number = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return _sandbox_row(number, read(SandboxSpec, "sandboxes", row), row) if row else None


def _sandbox_row(number: int, spec: SandboxSpec, row: tuple[Any, ...]) -> SandboxRow:
    return SandboxRow(number, spec, bool(row[-1]))


def block(subnet: IPNetwork) -> tuple[int, bytes, bytes]:
    """Family, first and last address of a subnet, as table `subnets` has them."""
    first, last = (number.to_bytes(16, "big") for number in (subnet.first, subnet.last))
    return subnet.version, first, last


def neighbours(
    reader: Reader, driver: str, device: str, subnets: Iterable[IPNetwork], *, sits: bool
) -> list[NetworkSpec]:
    """The networks that share a device of the same driver, or part of a subnet.

    Args:
        sits: the device is a parent; those of other drivers that sit on it as well.
    """
    rows = set(
        reader.execute(
            f"SELECT {_COLUMNS} FROM networks "  # noqa: S608
            "WHERE driver = ? AND device = ? AND device <> ''",
            (driver, device),
        )
    )
    if sits:
        rows |= set(
            reader.execute(
                f"SELECT {_COLUMNS} FROM networks WHERE device = ? AND needs & ?",  # noqa: S608
                (device, SITS),
            )
        )
    for subnet in subnets:
        version, first, last = block(subnet)
        rows |= set(
            reader.execute(
                "SELECT n.number, n.id, n.name, n.spec "
                "FROM subnets s JOIN networks n ON n.number = s.network "
                "WHERE s.version = ? AND s.first <= ? AND s.last >= ?",
                (version, last, first),
            )
        )
    return [spec for spec, _ in readable(reader, NetworkSpec, "networks", sorted(rows))]


def own_subnets(tx: Reader, number: int, subnets: Iterable[IPNetwork]) -> None:
    """Have a network own these subnets of the host, and no others."""
    tx.execute("DELETE FROM subnets WHERE network = ?", (number,))
    tx.executemany(
        "INSERT INTO subnets VALUES (?, ?, ?, ?)",
        [(number, *block(subnet)) for subnet in subnets],
    )


def network_spec(reader: Reader, number: int) -> NetworkSpec:
    """The specification in a row, pending or not; that it is gone is damage."""
    row = reader.execute(
        f"SELECT {_COLUMNS} FROM networks WHERE number = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if row is None:
        raise StoreError.damage("the record of an endpoint", f"there is no network {number}")
    return read(NetworkSpec, "networks", row)


def networks(reader: Reader) -> list[NetworkRow]:
    """All networks, as they were made."""
    rows = reader.execute(
        f"SELECT {_COLUMNS} FROM networks "  # noqa: S608
        "WHERE arriving IS NULL AND leaving IS NULL ORDER BY number"
    ).fetchall()
    found = readable(reader, NetworkSpec, "networks", rows)
    return [NetworkRow(row[0], spec) for spec, row in found]


def sandboxes(reader: Reader) -> list[SandboxRow]:
    """All sandboxes, as they were made."""
    rows = reader.execute(
        f"SELECT {_COLUMNS}, down FROM sandboxes "  # noqa: S608
        "WHERE arriving IS NULL AND leaving IS NULL ORDER BY number"
    ).fetchall()
    found = readable(reader, SandboxSpec, "sandboxes", rows)
    return [_sandbox_row(row[0], spec, row) for spec, row in found]


def names_of(reader: Reader, table: str) -> list[str]:
    """The names of all networks or sandboxes, as they were made."""
    rows = reader.execute(
        f"SELECT name FROM {table} "  # noqa: S608
        "WHERE arriving IS NULL AND leaving IS NULL ORDER BY number"
    )
    return [str(name) for (name,) in rows]


def settled(reader: Reader, *, arriving: bool = False) -> str:
    """The condition for rows that are: a change sees what is on its way in, others don't."""
    seen = arriving or reader.in_transaction
    return "leaving IS NULL" + ("" if seen else " AND arriving IS NULL")


def _endpoint_rows(
    reader: Reader, condition: str, value: object, *, arriving: bool = False
) -> list[tuple[Any, ...]]:
    there = settled(reader, arriving=arriving)
    return reader.execute(
        f"SELECT {_COLUMNS}, network, sandbox FROM endpoints "  # noqa: S608
        f"WHERE {there} AND {condition} ORDER BY number",
        (value,),
    ).fetchall()


def _endpoints(
    reader: Reader, condition: str, value: object, *, arriving: bool = False
) -> list[EndpointRow]:
    rows = _endpoint_rows(reader, condition, value, arriving=arriving)
    found = readable(reader, EndpointSpec, "endpoints", rows)
    return [EndpointRow(row[0], spec, *row[-2:]) for spec, row in found]


def endpoint(reader: Reader, endpoint_id: str) -> EndpointRow:
    """The endpoint with a full id.

    Raises:
        NotFoundError: it is gone.
    """
    for row in _endpoint_rows(reader, "id = ?", endpoint_id):
        return EndpointRow(row[0], read(EndpointSpec, "endpoints", row), *row[-2:])
    raise NotFoundError(f"endpoint {endpoint_id[:12]} not found; it was deleted")


def endpoints_of_network(
    reader: Reader, number: int, *, arriving: bool = False
) -> list[EndpointRow]:
    """The endpoints of a network, as they were made.

    Args:
        arriving: those too that are on their way in: whose locks a change will need.
    """
    return _endpoints(reader, "network = ?", number, arriving=arriving)


def endpoints_of_sandbox(
    reader: Reader, number: int, *, arriving: bool = False
) -> list[EndpointRow]:
    """The endpoints joined to a sandbox, as they were made; see `endpoints_of_network`."""
    return _endpoints(reader, "sandbox = ?", number, arriving=arriving)


def endpoint_named(reader: Reader, network_number: int, name: str) -> EndpointRow | None:
    """The endpoint of a network with that name."""
    for row in _endpoints(reader, f"network = {int(network_number)} AND name = ?", name):
        return row
    return None


def waits(reader: Reader, row: EndpointRow) -> bool:
    """Whether an endpoint only waits for its sandbox, which went with the host."""
    if row.sandbox is None:
        return row.spec.kept
    box = sandbox_row(reader, row.sandbox)
    return box is not None and box.down


def operations(reader: Reader, owner: str) -> Iterator[tuple[int, str]]:
    """Number and text of the operations recorded for an owner, in the order of doing."""
    yield from reader.execute(
        "SELECT number, body FROM operations WHERE owner = ? AND leaving IS NULL ORDER BY number",
        (owner,),
    ).fetchall()


def meta(reader: Reader, key: str) -> str | None:
    """A value of the table `meta`."""
    row = reader.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_meta(tx: Reader, key: str, value: str) -> None:
    """Set a value of the table `meta`."""
    tx.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
