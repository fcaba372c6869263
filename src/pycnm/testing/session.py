"""One piece of work on a fake kernel: each operation is carried out, or refused, at once."""

from __future__ import annotations

import errno
import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pycnm.errors import KernelError, NotFoundError

if TYPE_CHECKING:
    from netaddr import IPAddress

    from pycnm.plan.operation import Operation
    from pycnm.testing.machine import Link, Machine, Namespace

Flows = tuple[str, str | None, int | None]


class FakeSession:
    """A `Work` on a fake kernel; see `pycnm.plan.running`.

    Args:
        machine: what it works on.
        lock: held for one operation at a time.
        ours: whether pycnm is at work; if not, it is somebody else, whom
            nobody's mark keeps from anything.
        forgotten: where flows that are to be forgotten are noted.
        realisations: how each kind of operation is brought about.
    """

    def __init__(
        self,
        machine: Machine,
        lock: threading.RLock,
        *,
        ours: bool,
        forgotten: list[Flows],
        realisations: Mapping[type[Operation], Realisation],
    ) -> None:
        self._realisations = realisations
        self.machine = machine
        self.ours = ours
        self._lock = lock
        self._forgotten = forgotten
        self._asked: list[Operation] = []
        self._made: list[Operation] = []

    def add(self, fact: Operation) -> None:
        """Make `fact` true.

        Raises:
            CNMError: the kernel would refuse.
        """
        with self._lock:
            self._asked.append(fact)
            if self._realisations[type(fact)].add(self, fact):
                self._made.append(fact)

    def remove(self, fact: Operation) -> None:
        """Make `fact` false; what isn't ours stays."""
        with self._lock:
            self._realisations[type(fact)].remove(self, fact)

    def differs(self, fact: Operation) -> str | None:
        """How the fake kernel differs from `fact`, in the words of the real one."""
        with self._lock:
            return self._realisations[type(fact)].differs(self, fact)

    def forget_flows(self, address: IPAddress, protocol: str | None, port: int | None) -> None:
        """Note it: there are no flows here."""
        self._forgotten.append((str(address), protocol, port))

    def foresee(self, facts: Collection[Operation]) -> None:
        """Nothing is saved by it here."""

    def finish(self) -> None:
        """Nothing was put off."""

    def untouched(self) -> set[Operation]:
        """Facts that were to be made true and weren't by this session."""
        return set(self._asked) - set(self._made)

    # What the realisations use

    def namespace(self, path: str) -> Namespace:
        """The namespace at a path.

        Raises:
            NotFoundError: there is none.
        """
        found = self.machine.namespaces.get(path)
        if found is None:
            raise NotFoundError(
                f"there is no network namespace at {path}; `ip netns list` shows those there are"
            )
        return found

    def needed(self, fact: Operation, ns: str, name: str) -> Link:
        """A link that `fact` needs.

        Raises:
            KernelError: ENODEV, it isn't there.
        """
        found = self.namespace(ns).links.get(name)
        if found is None:
            raise refusal(fact, errno.ENODEV, f"there is no interface {name}")
        return found

    def found(self, ns: str, name: str) -> Link | None:
        """A link; None if it isn't there, or its namespace isn't."""
        namespace = self.machine.namespaces.get(ns)
        return None if namespace is None else namespace.links.get(name)


class Realisation(Protocol):
    """How one kind of operation is brought about."""

    def add(self, session: FakeSession, fact: Any) -> bool:
        """Make it true; return whether that changed anything."""

    def remove(self, session: FakeSession, fact: Any) -> None:
        """Make it false."""

    def differs(self, session: FakeSession, fact: Any) -> str | None:
        """Say how the kernel differs."""


def refusal(fact: Operation | str, code: int, text: str = "") -> KernelError:
    """The error for an operation that the kernel would refuse."""
    return KernelError(str(fact), code, text)
