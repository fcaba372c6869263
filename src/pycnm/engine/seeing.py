"""What processes in a sandbox see in the place of the host's hosts and resolv.conf."""

from __future__ import annotations

from pathlib import Path

from pycnm.engine import records, wiring
from pycnm.engine.engine import Engine
from pycnm.engine.files import host_file, read
from pycnm.engine.records import Reader, SandboxRow
from pycnm.plan.names import TextFile
from pycnm.plan.operation import Operation


def seen(engine: Engine, box: SandboxRow, name: str) -> str:
    """What a file under /etc is to processes in a sandbox.

    That of the host where the sandbox is the host.  Else its own as it is, which
    somebody may have edited; or, if it isn't there, as it was planned.
    """
    with engine.reading() as reader:
        if box.spec.is_host:
            return read(host_file(records.meta(reader, "host") or "", name)) or ""
        planned = _planned(engine, reader, box)
    path = f"{box.spec.files}/{name}"
    there = read(path)
    if there is not None:
        return there
    return next((each.content for each in planned if each.path == path), "")


def bound(engine: Engine, box: SandboxRow) -> dict[str, str]:
    """What is to be bound over what in the mounts of a process; it is there then.

    Raises:
        CleanupError: a file that somebody removed can't be written.
    """
    with engine.reading() as reader:
        planned = _planned(engine, reader, box)
    gone = [each for each in planned if not Path(each.path).exists()]
    if gone:
        engine.kernel.attempt((), gone)
    return {f"/etc/{Path(each.path).name}": each.path for each in planned}


def _planned(engine: Engine, reader: Reader, box: SandboxRow) -> list[TextFile]:
    """The files of a sandbox, as they are recorded.

    Those of one that an earlier version made are planned here; they are recorded
    when it is next connected, or disconnected.
    """
    rows = records.operations(reader, wiring.owners(box.number)[1])
    operations = [Operation.from_json(body) for _, body in rows]
    found = [each for each in operations if isinstance(each, TextFile)]
    if not found:
        plan = wiring.plan(engine, reader, box.number, anew=False).names[1]
        found = [each for each in plan if isinstance(each, TextFile)]
    return found
