"""Rows of published ports, and the questions asked about them."""

from __future__ import annotations

from netaddr import AddrFormatError

from pycnm.engine.records import Reader, settled
from pycnm.errors import InvalidArgumentError, StoreError
from pycnm.spec import addresses
from pycnm.spec.ports import PortBinding


def bindings(reader: Reader, endpoint_number: int) -> list[PortBinding]:
    """The ports of the host that lead to an endpoint."""
    rows = reader.execute(
        "SELECT protocol, address, port, target, target_port FROM ports "  # noqa: S608
        f"WHERE endpoint = ? AND {settled(reader)} "
        "ORDER BY target_port, protocol, address DESC, port",
        (endpoint_number,),
    )
    return [binding(*row) for row in rows]


def publishes(reader: Reader, endpoint_number: int) -> bool:
    """Whether any port of the host leads to an endpoint."""
    (found,) = reader.execute(
        "SELECT EXISTS (SELECT 1 FROM ports WHERE endpoint = ? AND leaving IS NULL)",
        (endpoint_number,),
    ).fetchone()
    return bool(found)


def binding(protocol: str, address: str, port: int, target: str, target_port: int) -> PortBinding:
    """A binding from the columns of its row.

    Raises:
        StoreError: it is damaged.
    """
    try:
        # No port of the host, so all its addresses, as Docker says it.
        opened = port < 0
        host = ("::" if ":" in address else "0.0.0.0") if opened else address  # noqa: S104
        return PortBinding(
            protocol=protocol,
            host_address=addresses.shared(host),
            host_port=0 if opened else port,
            address=addresses.shared(target),
            port=target_port,
        )
    except (InvalidArgumentError, AddrFormatError, ValueError) as error:
        raise StoreError(
            f"the record of port {address}:{port}/{protocol} is damaged: {error}; "
            "`cnm check` sets it aside, so that everything else works"
        ) from error


def ports_between(reader: Reader, protocol: str, first: int, last: int) -> set[int]:
    """The ports of the host from `first` to `last` that lead anywhere, of whatever address."""
    rows = reader.execute(
        "SELECT port FROM ports WHERE protocol = ? AND port BETWEEN ? AND ?",
        (protocol, first, last),
    )
    return {port for (port,) in rows}


def port_holder(reader: Reader, protocol: str, address: str, port: int) -> str:
    """Which endpoint has a port of the host, in words; empty if none has."""
    wild = "::" if ":" in address else "0.0.0.0"  # noqa: S104 - compared with, not bound to
    row = reader.execute(
        "SELECT e.name, n.name, p.target, p.target_port FROM ports p "
        "JOIN endpoints e ON e.number = p.endpoint JOIN networks n ON n.number = e.network "
        "WHERE p.protocol = ? AND p.port = ? AND (p.address IN (?, ?) OR "
        "(? = ? AND (p.address LIKE '%:%') = (? LIKE '%:%')))",
        (protocol, port, address, wild, address, wild, address),
    ).fetchone()
    if row is None:
        return ""
    name, net, target, target_port = row
    return f"endpoint {name} of network {net} ({target}:{target_port}/{protocol})"
