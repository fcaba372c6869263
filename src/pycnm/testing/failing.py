"""A kernel that fails on demand: whatever is being carried out then has to be taken back."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pycnm.engine.kernel import Kernel
from pycnm.errors import KernelError
from pycnm.plan.operation import Operation
from pycnm.plan.running import Runner, Work
from pycnm.spec.objects import FoundBridge

if TYPE_CHECKING:
    from netaddr import IPAddress

    from pycnm.plan.host import HostFacts, Interface, Uplinks
    from pycnm.plan.links import Address
    from pycnm.plan.operation import Features

T = TypeVar("T")


class RunningKernel(Kernel, Protocol):
    """A kernel that shows its sessions: `LinuxKernel` and `FakeKernel` do."""

    def within(self, work: Callable[[Any], T]) -> T:
        """What `work` returns, given a session."""


class FailingKernel(Runner["FailingSession"]):
    """A kernel whose n-th step fails, once.

    A step is one fact made true or false, or flows forgotten; those of taking
    back count too.  So a test can let every change fail at each of its steps,
    and see that the kernel is as it was.

    Args:
        kernel: which does everything else.
        fail_at: the number of the step, from 1; 0 never fails.
        error: what it fails with; by default a `KernelError` with EIO.

    Attributes:
        steps: how many there have been since it was armed.
    """

    def __init__(
        self, kernel: RunningKernel, fail_at: int = 0, error: BaseException | None = None
    ) -> None:
        self._kernel = kernel
        self._error = error
        self.arm(fail_at)

    def arm(self, fail_at: int) -> None:
        """Count anew from here, and fail at that step; at 0, never."""
        self.steps = 0
        self._fail_at = fail_at

    def step(self, words: str) -> None:
        """Count a step, and fail if it is the one."""
        self.steps += 1
        if self.steps == self._fail_at:
            self.fail(words)

    def fail(self, words: str) -> None:
        """What happens at the step; for a test that wants something else to happen.

        Args:
            words: the step as a person would type it.
        """
        raise self._error or KernelError(words, errno.EIO, "this was to fail")

    def within(self, work: Callable[[FailingSession], T]) -> T:
        """What `work` returns, given a session that may fail."""
        return self._kernel.within(lambda session: work(FailingSession(session, self.step)))

    @property
    def features(self) -> Features:
        """What the kernel can do."""
        return self._kernel.features

    @property
    def host_identity(self) -> tuple[int, int]:
        """What tells the kernel's host from others."""
        return self._kernel.host_identity

    def cookie(self, path: str = "") -> int:
        """As the kernel behind it."""
        return self._kernel.cookie(path)

    def facts(self) -> HostFacts:
        """What the kernel says of its host."""
        return self._kernel.facts()

    def interface(self, name: str) -> Interface | None:
        """As the kernel behind it."""
        return self._kernel.interface(name)

    def mtu(self, name: str) -> int:
        """As the kernel behind it."""
        return self._kernel.mtu(name)

    def bridge(self, name: str) -> FoundBridge | None:
        """As the kernel behind it."""
        return self._kernel.bridge(name)

    def has_kind(self, kind: str) -> bool:
        """As the kernel behind it."""
        return self._kernel.has_kind(kind)

    def has_queue(self, kind: str) -> bool:
        """As the kernel behind it."""
        return self._kernel.has_queue(kind)

    def has_vlans(self) -> bool:
        """As the kernel behind it."""
        return self._kernel.has_vlans()

    def obstacles(self, bridges: Sequence[str], addresses: Sequence[Address]) -> list[str]:
        """As the kernel behind it."""
        return self._kernel.obstacles(bridges, addresses)

    def uplinks(self) -> Uplinks:
        """What the kernel says of its uplinks."""
        return self._kernel.uplinks()

    def interfaces(self, path: str) -> list[str]:
        """What interfaces the kernel has there."""
        return self._kernel.interfaces(path)

    def inside(self, path: str, work: Callable[[], T]) -> T:
        """What `work` returns, run where the kernel runs it."""
        return self._kernel.inside(path, work)

    def inside_with_files(self, path: str, files: dict[str, str], work: Callable[[], T]) -> T:
        """What `work` returns, run where the kernel runs it."""
        return self._kernel.inside_with_files(path, files, work)

    def close(self) -> None:
        """Let go of the kernel."""
        self._kernel.close()


class FailingSession:
    """A session that asks before each step."""

    def __init__(self, session: Work, step: Callable[[str], None]) -> None:
        self._session = session
        self._step = step
        self._begun: Operation | None = None

    def add(self, fact: Operation) -> None:
        """Make `fact` true, unless it is time to fail."""
        self._begun = fact
        self._step(str(fact))
        self._begun = None
        self._session.add(fact)

    def remove(self, fact: Operation) -> None:
        """Make `fact` false, unless it is time to fail."""
        self._step(f"undo: {fact}")
        self._session.remove(fact)

    def forget_flows(self, address: IPAddress, protocol: str | None, port: int | None) -> None:
        """Drop flows, unless it is time to fail."""
        self._step(f"forget the flows of {address}")
        self._session.forget_flows(address, protocol, port)

    def differs(self, fact: Operation) -> str | None:
        """How the kernel differs from `fact`."""
        return self._session.differs(fact)

    def foresee(self, facts: Collection[Operation]) -> None:
        """As of the session."""
        self._session.foresee(facts)

    def finish(self) -> None:
        """Do what was put off."""
        self._session.finish()

    def untouched(self) -> Collection[Operation]:
        """Facts that weren't made true: those of the kernel, and the one that failed."""
        failed = [] if self._begun is None else [self._begun]
        return {*self._session.untouched(), *failed}
