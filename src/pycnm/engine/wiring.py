"""What is in a sandbox for all of its endpoints together: routes, and names."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pycnm.drivers.forwarding import plan_forwarding6
from pycnm.drivers.routing import Attachment, plan_routes
from pycnm.engine import files, records
from pycnm.engine.decision import Decision
from pycnm.engine.engine import Engine
from pycnm.engine.naming import NAMELESS
from pycnm.engine.records import Reader, SandboxRow
from pycnm.plan.names import (
    FIRST_PORT,
    LAST_PORT,
    Divert,
    NetnsFiles,
    Resolver,
    TextFile,
)
from pycnm.plan.operation import Operation, Plan
from pycnm.spec.objects import SandboxSpec

_ROUTES, _NAMES = "routes:", "names:"
_RUN_NETNS = "/run/netns/"


class Plans(NamedTuple):
    """What is to be in a sandbox, and whose it is."""

    routes: tuple[str, Plan]
    names: tuple[str, Plan]


def owners(sandbox: int) -> tuple[str, str]:
    """Who has the default routes, and the names, of the sandbox with that number."""
    return f"{_ROUTES}{sandbox}", f"{_NAMES}{sandbox}"


def sandbox_of(owner: str) -> int | None:
    """The number of the sandbox whose routes or names an owner has; None for other owners."""
    for prefix in (_ROUTES, _NAMES):
        if owner.startswith(prefix):
            return int(owner.removeprefix(prefix))
    return None


def rewire(engine: Engine, decision: Decision, sandbox: int) -> None:
    """Have the default routes and the names of a sandbox follow the endpoints it has now.

    Names that weren't answered there before aren't now.
    """
    plans = plan(engine, decision.tx, sandbox, anew=False)
    decision.replace(*plans.names)
    decision.replace(*plans.routes)


def routes(engine: Engine, reader: Reader, sandbox: int) -> tuple[str, Plan]:
    """Who has the routes of a sandbox, and what they are to be for the endpoints it has now."""
    box, owner = records.sandbox_row(reader, sandbox), owners(sandbox)[0]
    # One whose record was set aside has none, nor has one that is down.
    if box is None or box.down:
        return owner, Plan()
    return owner, _plan_routes(engine, box.spec, _attachments(reader, sandbox))


def _plan_routes(engine: Engine, box: SandboxSpec, attachments: list[Attachment]) -> Plan:
    forwarding = plan_forwarding6(box, attachments, engine.kernel.features)
    return forwarding + plan_routes(box.key, attachments)


def _attachments(reader: Reader, sandbox: int) -> list[Attachment]:
    return [
        Attachment(row.spec, records.network_spec(reader, row.network))
        for row in records.endpoints_of_sandbox(reader, sandbox)
    ]


def plan(
    engine: Engine,
    reader: Reader,
    sandbox: int,
    *,
    anew: bool = True,
    avoid: Collection[int] = (),
) -> Plans:
    """What is to be in a sandbox for the endpoints it has now.

    The resolver is there while the sandbox is on a network that has names, if the
    controller is one that has them answered, or another one had.

    Args:
        anew: have names answered where they weren't before.
        avoid: ports that turned out to be some program's inside.
    """
    owner, names = owners(sandbox)
    box = records.sandbox_row(reader, sandbox)
    if box is None or box.down:
        return Plans((owner, Plan()), (names, Plan()))
    attachments = _attachments(reader, sandbox)
    known = _resolver(reader, sandbox)
    port = 0
    if any(each.network.driver not in NAMELESS for each in attachments):
        if known is not None and known.port not in avoid:
            port = known.port
        elif known is not None or (anew and engine.dns):
            port = _port(box.spec.id, avoid)
    return Plans(
        (owner, _plan_routes(engine, box.spec, attachments)),
        (names, _plan_names(engine, reader, box, attachments, port=port)),
    )


def _plan_names(
    engine: Engine, reader: Reader, box: SandboxRow, attachments: list[Attachment], *, port: int
) -> Plan:
    """How a sandbox finds others by name, and itself; without a port, from the host's servers."""
    spec = box.spec
    if spec.is_host:
        return Plan()
    operations: list[Operation] = []
    if port:
        operations += [Resolver(spec.key, spec.id, port), Divert(spec.key, port)]
    text = files.resolv_conf(reader, spec, attachments, resolver=bool(port))
    operations += [
        TextFile(f"{spec.files}/{files.HOSTS}", files.hosts(engine, reader, spec, attachments)),
        TextFile(f"{spec.files}/{files.RESOLV_CONF}", text),
    ]
    name = spec.key.removeprefix(_RUN_NETNS)
    if spec.key.startswith(_RUN_NETNS) and "/" not in name:
        operations.append(NetnsFiles(name, spec.files))
    return Plan(tuple(operations))


def _resolver(reader: Reader, sandbox: int) -> Resolver | None:
    """Where names are answered in a sandbox, as it is recorded."""
    for _, body in records.operations(reader, owners(sandbox)[1]):
        if body.startswith(f'["{Resolver.__name__}"'):
            operation = Operation.from_json(body)
            return operation if isinstance(operation, Resolver) else None
    return None


def _port(sandbox: str, avoid: Collection[int]) -> int:
    """A port for the resolver: nobody guesses it, and it is the same when the sandbox is again."""
    size = LAST_PORT - FIRST_PORT + 1
    port = int(sandbox[:8], 16) % size
    while FIRST_PORT + port in avoid:
        port = (port + 1) % size
    return FIRST_PORT + port
