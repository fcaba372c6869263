"""What a change tells those who follow the events, in Docker's words where it has them."""

from __future__ import annotations

from collections.abc import Sequence

from pycnm.engine.journal import Happening
from pycnm.engine.records import EndpointRow, Reader
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec
from pycnm.spec.ports import PortBinding


def network(action: str, spec: NetworkSpec, **more: str) -> Happening:
    """A network was made, changed or deleted."""
    return Happening("network", action, spec.id, {"name": spec.name, "type": spec.driver, **more})


def sandbox(action: str, spec: SandboxSpec) -> Happening:
    """A sandbox was made or deleted."""
    return Happening("sandbox", action, spec.id, {"name": spec.name})


def connected(
    reader: Reader, spec: EndpointSpec, network: int, sandbox: int, bindings: Sequence[PortBinding]
) -> list[Happening]:
    """An endpoint was joined to a sandbox, with these ports.

    Args:
        network, sandbox: the numbers of their rows.
    """
    row = EndpointRow(0, spec, network, sandbox)
    return [_moved(reader, "connect", row), *ports(reader, "publish", row, bindings)]


def disconnected(
    reader: Reader, row: EndpointRow, bindings: Sequence[PortBinding]
) -> list[Happening]:
    """An endpoint left its sandbox, with these ports; nothing if it isn't in one."""
    if row.sandbox is None:
        return []
    return [*ports(reader, "unpublish", row, bindings), _moved(reader, "disconnect", row)]


def changed(reader: Reader, row: EndpointRow) -> Happening:
    """An endpoint was given another address, name or priority."""
    return Happening("endpoint", "update", row.spec.id, _told(reader, row))


def ports(
    reader: Reader, action: str, row: EndpointRow, bindings: Sequence[PortBinding]
) -> list[Happening]:
    """Ports of an endpoint were published, or are no longer; nothing if there are none."""
    if not bindings:
        return []
    told = {**_told(reader, row), "ports": " ".join(str(binding) for binding in bindings)}
    return [Happening("endpoint", action, row.spec.id, told)]


def _told(reader: Reader, row: EndpointRow) -> dict[str, str]:
    network, _, sandbox = _names(reader, row)
    return {
        "name": row.spec.name,
        "network": network,
        "networkID": row.spec.network,
        "container": row.spec.sandbox,
        "sandbox": sandbox,
    }


def _moved(reader: Reader, action: str, row: EndpointRow) -> Happening:
    network, driver, sandbox = _names(reader, row)
    told = {"name": network, "type": driver, "container": row.spec.sandbox, "sandbox": sandbox}
    return Happening("network", action, row.spec.network, told)


def _names(reader: Reader, row: EndpointRow) -> tuple[str, str, str]:
    """Name and driver of an endpoint's network, and the name of its sandbox."""
    found: tuple[str, str, str] | None = reader.execute(
        "SELECT n.name, n.driver, s.name FROM networks n, sandboxes s "
        "WHERE n.number = ? AND s.number = ?",
        (row.network, row.sandbox),
    ).fetchone()
    # One of them may have been damaged, and set aside.
    return found or ("", "", "")
