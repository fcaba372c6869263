"""What the engine needs of a kernel: `LinuxKernel`, or the one in `pycnm.testing`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from pycnm.plan.host import HostFacts, Interface, Uplinks
from pycnm.plan.links import Address
from pycnm.plan.operation import Features, Operation
from pycnm.spec.objects import FoundBridge

T = TypeVar("T")


class Kernel(Protocol):
    """Runs plans.  One object for a host namespace, used by any thread.

    `run` and `attempt` get what is to be undone, in the order in which it was
    done, and then what is to be done.
    """

    @property
    def features(self) -> Features:
        """What this kernel can do."""

    @property
    def host_identity(self) -> tuple[int, int]:
        """Device and inode of the host's namespace."""

    def cookie(self, path: str = "") -> int:
        """What no other namespace has had since the boot; 0 where the kernel doesn't say.

        Args:
            path: of a namespace; by default the host's.

        Raises:
            NotFoundError: there is no namespace.
        """

    def facts(self) -> HostFacts:
        """What subnets and ports of the host have to keep off right now."""

    def uplinks(self) -> Uplinks:
        """The interfaces that packets are routed from, and forwarding on them."""

    def interface(self, name: str) -> Interface | None:
        """What there is of an interface of the host; None if it isn't there."""

    def mtu(self, name: str) -> int:
        """MTU in bytes of an interface of the host; 0 if it isn't there.

        Args:
            name: if it is empty, the interface (or route) by which the host reaches the
                Internet.
        """

    def bridge(self, name: str) -> FoundBridge | None:
        """A bridge of the host as it is; None if it isn't there."""

    def has_kind(self, kind: str) -> bool:
        """Whether it has links of a kind (ip-link(8)), found by trying."""

    def has_queue(self, kind: str) -> bool:
        """Whether it has a queueing discipline (tc(8)), found by trying."""

    def has_vlans(self) -> bool:
        """Whether its bridges keep VLANs apart (bridge(8)), found by trying."""

    def obstacles(self, bridges: Sequence[str], addresses: Sequence[Address]) -> list[str]:
        """What other people have in the way of ours, in sentences.

        Args:
            bridges: whose packets their firewalls may drop.
            addresses: those of ours on the host, which their links may have as well.
        """

    def interfaces(self, path: str) -> list[str]:
        """The names of all interfaces in the namespace at `path`.

        Raises:
            NotFoundError: there is no namespace.
        """

    def run(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out a change, all or nothing."""

    def attempt(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out as much of a change as possible."""

    def restore(self, operations: Sequence[Operation]) -> None:
        """Make operations true again that were so once; as much as possible."""

    def check(self, operations: Iterable[Operation]) -> list[tuple[Operation, str]]:
        """Every operation the kernel differs from, and how."""

    def inside(self, path: str, work: Callable[[], T]) -> T:
        """What `work` returns, run in the namespace at `path`."""

    def inside_with_files(self, path: str, files: dict[str, str], work: Callable[[], T]) -> T:
        """The same, with files (source by target) bound over."""

    def close(self) -> None:
        """Let go of what is held open."""
