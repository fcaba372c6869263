"""The Sandbox handle."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pycnm.engine import drift, inspection, records, sandboxes, seeing
from pycnm.engine.files import HOSTS, RESOLV_CONF
from pycnm.engine.joining import refuse_down
from pycnm.engine.records import SandboxRow
from pycnm.errors import InvalidArgumentError, NotFoundError
from pycnm.plan.operation import HOST, Operation, Plan
from pycnm.spec.wording import shown

if TYPE_CHECKING:
    from pycnm.endpoint import Endpoint
    from pycnm.engine.engine import Engine
    from pycnm.spec.objects import SandboxSpec


class Sandbox:
    """A network namespace with its interfaces, routes and name-resolution files.

    A handle: it holds an id and reads the rest when asked.  Every member raises
    `NotFoundError` once it is deleted.  Leaving a `with` block deletes it.
    """

    __slots__ = ("_engine", "_id")

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._id = identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sandbox) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        try:
            return f"<Sandbox {self.name} {self._id[:12]}>"
        except NotFoundError:
            return f"<Sandbox {self._id[:12]}, deleted>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete()

    def _row(self) -> SandboxRow:
        with self._engine.reading() as reader:
            return records.sandbox(reader, self._id)

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._id

    @property
    def spec(self) -> SandboxSpec:
        """All that is recorded of it, as it is now; a value that doesn't change."""
        return self._row().spec

    @property
    def name(self) -> str:
        """Its name."""
        return self._row().spec.name

    @property
    def key(self) -> str:
        """The path of its namespace."""
        spec = self._row().spec
        if not spec.is_host:
            return spec.key
        with self._engine.reading() as reader:
            return records.meta(reader, "host") or "/proc/self/ns/net"

    @property
    def state(self) -> str:
        """`up`, or `down`: its namespace is gone, with the host's last life or by somebody's doing.

        What is recorded of it is kept, and `start` makes it again.
        """
        return sandboxes.state(self._engine, self._row())

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self._row().spec.labels)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints, the oldest first."""
        from pycnm.endpoint import Endpoint  # noqa: PLC0415 - each of the two makes the other

        row = self._row()
        with self._engine.reading() as reader:
            rows = records.endpoints_of_sandbox(reader, row.number)
        return [Endpoint(self._engine, item.spec.id) for item in rows]

    @property
    def hosts(self) -> str:
        """What /etc/hosts is to processes started in it."""
        return seeing.seen(self._engine, self._row(), HOSTS)

    @property
    def resolv_conf(self) -> str:
        """What /etc/resolv.conf is to processes started in it."""
        return seeing.seen(self._engine, self._row(), RESOLV_CONF)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A process inside, with what `subprocess` can do to start it.

        It has the sandbox's hosts and resolv.conf in the place of the host's.
        The caller's own namespaces don't change.

        Args:
            argv: the program and its arguments.
            options: whatever `subprocess.Popen` takes.

        Raises:
            InvalidArgumentError: `argv` is no list of texts.
            NotFoundError: its namespace is gone.
            OSError: the program can't be started, as from `subprocess`.
        """
        _refuse_no_command(argv)
        row = self._row()
        refuse_down(row)

        def start() -> subprocess.Popen[Any]:
            return subprocess.Popen(argv, **options)

        if row.spec.is_host:
            return self._engine.kernel.inside(HOST, start)
        bound = seeing.bound(self._engine, row)
        return self._engine.kernel.inside_with_files(row.spec.key, bound, start)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: Any = None,  # noqa: A002 - as subprocess.run calls it
        capture_output: bool = False,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """What became of a process inside, as `subprocess.run` says it.

        Args:
            argv: the program and its arguments.
            timeout: seconds after which the process is killed.
            input, capture_output, check, options: as of `subprocess.run`.

        Raises:
            subprocess.CalledProcessError: it failed, and `check` is set.
            subprocess.TimeoutExpired: it took too long.
            The rest of what `popen` raises.
        """
        if input is not None:
            options["stdin"] = subprocess.PIPE
        if capture_output:
            options["stdout"] = options["stderr"] = subprocess.PIPE
        with self.popen(argv, **options) as process:
            try:
                output, errors = process.communicate(input, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(argv, process.returncode, output, errors)
        if check:
            done.check_returncode()
        return done

    def routes(self) -> list[dict[str, Any]]:
        """Its routing table, as `ip -json route` shows it."""
        from pycnm.kernel import views  # noqa: PLC0415 - loads pyroute2

        return self._engine.kernel.inside(self._place(), views.routes)

    def interfaces(self) -> list[dict[str, Any]]:
        """Its interfaces with their addresses, as `ip -json address` shows them."""
        from pycnm.kernel import views  # noqa: PLC0415 - loads pyroute2

        return self._engine.kernel.inside(self._place(), views.interfaces)

    def _place(self) -> str:
        row = self._row()
        refuse_down(row)
        return row.spec.key or HOST

    def inspect(self) -> inspection.Document:
        """Everything about it; prints as JSON."""
        row = self._row()
        with self._engine.reading() as reader:
            return inspection.sandbox(reader, row, sandboxes.state(self._engine, row))

    def explain(self) -> Plan:
        """What the kernel holds for it, as the commands a person would have typed."""
        row = self._row()
        with self._engine.reading() as reader:
            owners = drift.of_sandbox(row)
            rows = [item for owner in owners for item in records.operations(reader, owner)]
        return Plan(tuple(Operation.from_json(body) for _, body in rows))

    def check(self) -> list[str]:
        """How the kernel differs from `explain`, a sentence each."""
        return drift.check(self._engine, drift.of_sandbox(self._row()))

    def reconcile(self) -> list[str]:
        """Put back what somebody removed of it; what was done, as commands.

        With it come its endpoints, and what their networks need.

        Raises:
            CleanupError: some of it could not be put back.
        """
        row = self._row()
        with self._engine.reading() as reader:
            owners = drift.with_networks(reader, row)
        return drift.reconcile(self._engine, owners)

    def start(self) -> None:
        """Make its namespace again, with all its endpoints as they were; up already is fine.

        They have their addresses, MACs, names and aliases, and their ports are
        published again.  No process is started.

        Raises:
            NotFoundError: the namespace that it was made of is gone.
            PortInUseError: a port of it is another program's now; by whom is said.
            KernelError: the kernel refused; it is down, as before.
            CleanupError: it wasn't recorded as down, and not all could be put back.
        """
        row = self._row()
        if not sandboxes.start(self._engine, self._id):
            if row.spec.adopted and not row.spec.is_host:
                sandboxes.refuse_gone(row.spec)
            self.reconcile()

    def delete(self) -> None:
        """Delete it with its endpoints.  A namespace that was adopted stays.

        One that is down gives back the addresses and ports that were kept for it.

        Processes inside aren't stopped, but they have no network any more.
        """
        sandboxes.delete(self._engine, self._id)


def _refuse_no_command(argv: object) -> None:
    if (
        isinstance(argv, (str, bytes))
        or not isinstance(argv, Sequence)
        or not argv
        or not all(isinstance(word, str) and "\0" not in word for word in argv)
        or not argv[0]
    ):
        raise InvalidArgumentError(
            f"invalid command {shown(argv)}: give a list of texts, such as ['ping', '-c1', 'c3']"
        )
