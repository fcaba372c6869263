"""Changes settled: their rows made final or taken back, and what IPAM has to hear of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from typing import TypeAlias

from netaddr import IPNetwork

from pycnm.drivers.registry import driver_with
from pycnm.engine import journal, records
from pycnm.engine.decision import Column, Decision
from pycnm.errors import StoreError
from pycnm.ipam.base import IPAM
from pycnm.spec.objects import EndpointSpec, NetworkSpec
from pycnm.store.database import Transaction

IPAMs: TypeAlias = Callable[[str, Transaction], IPAM]

_PENDING = ("operations", "ports", "endpoints", "sandboxes", "networks")
_RESTORED = {
    "networks": {"name", "spec", "needs", "driver", "device"},
    "sandboxes": {"name", "spec", "used", "down"},
    "endpoints": {"name", "spec", "sandbox", "interface", "host_interface", "mac"},
}


def settle(
    ipams: IPAMs, tx: Transaction, change: int, *, done: bool, decision: Decision | None = None
) -> None:
    """Make what was pending final: done, or as if it had never been.

    Args:
        ipams: the IPAM of a name, its books in the transaction.
        decision: the change as it was decided, for who still knows it.
    """
    stays, goes = ("arriving", "leaving") if done else ("leaving", "arriving")
    before = decision.before if decision is not None else _before(tx, change)
    _release_moved(ipams, tx, before, done=done)
    if not done:
        _restore(ipams, tx, before)
    _release(ipams, tx, goes, change)
    for table in _PENDING:
        if decision is not None and table not in decision.tables:
            continue
        tx.execute(f"DELETE FROM {table} WHERE {goes} = ?", (change,))  # noqa: S608
        tx.execute(f"UPDATE {table} SET {stays} = NULL WHERE {stays} = ?", (change,))  # noqa: S608
    happenings = None if decision is None else decision.events
    journal.settle(tx, change, done=done, happenings=happenings)


def _release_moved(ipams: IPAMs, tx: Transaction, before: list[Column], *, done: bool) -> None:
    """Give back the addresses that an endpoint has given up for others, or got in vain."""
    for table, number, column, value in before:
        if (table, column) != ("endpoints", "spec"):
            continue
        row = tx.execute(
            "SELECT network, spec FROM endpoints WHERE number = ?", (number,)
        ).fetchone()
        if row is None:
            continue
        old, new = EndpointSpec.from_json(str(value)), EndpointSpec.from_json(row[1])
        goes, stays = (old, new) if done else (new, old)
        # To netaddr two addresses with the length of one subnet are the same.
        kept = {each.ip for each in stays.addresses}
        left = [each for each in goes.addresses if each.ip not in kept]
        if left:
            _give_back(ipams, tx, records.network_spec(tx, row[0]), left)


def _restore(ipams: IPAMs, tx: Transaction, before: list[Column]) -> None:
    for table, number, column, value in reversed(before):
        if (table, column) == ("networks", "spec"):
            _restore_pools(ipams, tx, number, NetworkSpec.from_json(str(value)))
        tx.execute(
            f"UPDATE {table} SET {column} = ? WHERE number = ?",  # noqa: S608 - checked above
            (value, number),
        )


def _restore_pools(ipams: IPAMs, tx: Transaction, number: int, before: NetworkSpec) -> None:
    """Give a network the subnets back that it had, and had to let go.

    Whoever would take them waits for the lock of the host.
    """
    now = records.network_spec(tx, number)
    if now.pools == before.pools:
        return
    release_pools(ipams, tx, now)
    ipam = ipams(before.ipam, tx)
    local, shared = ipam.default_address_spaces()
    for pool in before.pools:
        ipam.request_pool(
            local if before.scope == "local" else shared,
            pool.subnet,
            pool.ip_range,
            dict(before.ipam_options),
            v6=pool.version == 6,  # noqa: PLR2004 - IPv6
        )
        taken = {str(pool.gateway)} - {"None"} | {address for _, address in pool.aux}
        for address in taken:
            ipam.request_address(pool.pool_id, address)
    owned = before.pools if driver_with(before.driver, before.options).owns(before) else ()
    records.own_subnets(tx, number, [pool.subnet for pool in owned])


def _release(ipams: IPAMs, tx: Transaction, goes: str, change: int) -> None:
    """Give back the addresses and pools of rows that go."""
    rows = tx.execute(
        f"SELECT network, spec FROM endpoints WHERE {goes} = ?",  # noqa: S608
        (change,),
    ).fetchall()
    for number, spec in rows:
        network = records.network_spec(tx, number)
        _give_back(ipams, tx, network, EndpointSpec.from_json(spec).addresses)
    rows = tx.execute(
        f"SELECT spec FROM networks WHERE {goes} = ?",  # noqa: S608
        (change,),
    ).fetchall()
    for (spec,) in rows:
        release_pools(ipams, tx, NetworkSpec.from_json(spec))


def _give_back(
    ipams: IPAMs, tx: Transaction, network: NetworkSpec, addresses: Iterable[IPNetwork]
) -> None:
    ipam = ipams(network.ipam, tx)
    for address in addresses:
        pool = network.pool_of(address.ip) or network.pool(address.version)
        if pool is not None and not pool.sets_aside(address.ip):
            ipam.release_address(pool.pool_id, address.ip)


def release_pools(ipams: IPAMs, tx: Transaction, network: NetworkSpec) -> None:
    """Give a network's pools back to IPAM; already given back is fine."""
    ipam = ipams(network.ipam, tx)
    for pool in network.pools:
        with contextlib.suppress(LookupError):
            ipam.release_pool(pool.pool_id)


def _before(tx: Transaction, change: int) -> list[Column]:
    (text,) = tx.execute("SELECT before FROM changes WHERE id = ?", (change,)).fetchone()
    return _columns_before(change, text)


def _columns_before(change: int, text: str) -> list[Column]:
    """Tables, rows and columns that a change changed, with what was there before.

    Raises:
        StoreError: the record of it is damaged.
    """
    try:
        found = [(table, row, column, value) for table, row, column, value in json.loads(text)]
        if all(column in _RESTORED[table] for table, _, column, _ in found):
            return found
        reason: object = f"it has columns that no change changes: {text:.200}"
    except (ValueError, TypeError, KeyError) as error:
        reason = repr(error)
    raise StoreError.damage(f"the record of change {change}", reason)
