"""The operation, the plan, and what both need of a kernel.

An operation states one fact about a kernel object ("this bridge exists, with
this MAC").  Doing it makes the fact true, undoing it makes it false, checking
it says in words how the kernel differs.  All three may be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self
from weakref import WeakValueDictionary

import attrs

from pycnm.errors import StoreError
from pycnm.spec.shapes import require_shape
from pycnm.spec.wording import told

if TYPE_CHECKING:
    from netaddr import IPAddress

HOST = ""
"""How operations name the namespace that plays the machine."""


@attrs.frozen
class Features:
    """What this kernel can do, found by trying it (not by its version).

    Attributes:
        early_guard: a netdev chain may be made for a device that doesn't exist
            yet (Linux 6.16), so that a port is guarded from its first frame on.
        force_forwarding: IPv6 forwarding can be switched on for one interface
            (Linux 6.17); otherwise only for all of them.
        ipv6: the kernel speaks IPv6 at all.
    """

    early_guard: bool = True
    force_forwarding: bool = True
    ipv6: bool = True


class Session(Protocol):
    """What an operation may ask of a kernel.

    Additions and removals may be queued and sent together; what is asked
    afterwards sees them done.
    """

    def add(self, fact: Operation) -> None:
        """Make `fact` true; it being true already, by our doing, is fine."""

    def remove(self, fact: Operation) -> None:
        """Make `fact` false; already so is fine; what isn't ours stays."""

    def differs(self, fact: Operation) -> str | None:
        """How the kernel differs from `fact`, in words; None when it doesn't."""

    def forget_flows(self, address: IPAddress, protocol: str | None, port: int | None) -> None:
        """Drop the host's conntrack entries to `address`, or to a port of it."""


@attrs.frozen
class Operation:
    """One fact about the kernel.  Subclasses are frozen attrs values of plain fields."""

    registry: ClassVar[dict[str, type[Operation]]] = {}
    # Their names, looked up once: a plan may have thousands of operations.
    fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        Operation.registry[cls.__name__] = cls
        cls.fields = tuple(field.name for field in attrs.fields(cls))

    def do(self, session: Session) -> None:
        """Make it so."""
        session.add(self)

    def undo(self, session: Session) -> None:
        """Make it not so."""
        session.remove(self)

    def check(self, session: Session) -> str | None:
        """How the kernel differs, in words; None when all is well."""
        return session.differs(self)

    def keeps(self) -> tuple[Hashable, ...]:
        """What there is only as long as this is: names that `within` of others may give."""
        return ()

    def within(self) -> tuple[Hashable, ...]:
        """What this needs: when one of them is undone, the kernel removes this by itself."""
        return ()

    def lingers(self) -> bool:
        """Whether it is undone even where the kernel removes it: somebody has to let go of it."""
        return False

    def goes_with(self, other: Operation) -> bool:
        """Whether the kernel removes this by itself when `other` is undone."""
        kept = other.keeps()
        return any(name in kept for name in self.within())

    def subject(self) -> Hashable | None:
        """The object that it is about, where doing another operation on that amends it.

        A link keeps its addresses, its peer and its packets when its MTU changes.
        """
        return None

    def is_lost_with(self, other: Operation) -> bool:
        """Whether the kernel may forget this when `other` is undone, though it needn't.

        With the last IPv4 address of a link go its IPv4 routes.
        """
        del other
        return False

    def to_json(self) -> str:
        """A text that `from_json` turns into an equal operation."""
        values = [getattr(self, name) for name in self.fields]
        return _ENCODER.encode([type(self).__name__, *values])

    @staticmethod
    def from_json(text: str) -> Operation:
        """The operation that `to_json` wrote.

        Raises:
            StoreError: the text isn't one.
        """
        known = _read.get(text)
        if known is not None:
            return known
        try:
            name, *values = json.loads(text)
            cls = Operation.registry[name]
            operation = cls(*map(tuple_of, values))
            require_shape(operation)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"a recorded operation can't be read ({told(error)}): {str(text)[:200]!r}; "
                "`cnm reconcile` makes the object's plan again"
            ) from error
        _read[text] = operation
        return operation


# Those that somebody has: who looks twice at a thousand plans reads them once.
_read: WeakValueDictionary[str, Operation] = WeakValueDictionary()
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def tuple_of(value: Any) -> Any:
    """`value` with every list in it turned into a tuple (JSON knows only lists)."""
    if isinstance(value, list):
        return tuple(tuple_of(item) for item in value)
    return value


@attrs.frozen
class Plan:
    """Operations in the order in which they are done; undone in reverse."""

    operations: tuple[Operation, ...] = ()

    @classmethod
    def of(cls, *operations: Operation | None) -> Self:
        """A plan of the operations that are not None."""
        return cls(tuple(operation for operation in operations if operation is not None))

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.operations + other.operations)

    def __str__(self) -> str:
        return "\n".join(str(operation) for operation in self.operations)

    def without(self, other: Iterable[Operation]) -> Plan:
        """What this plan has and `other` doesn't: the difference to be applied."""
        known = set(other)
        return Plan(tuple(op for op in self.operations if op not in known))

    def undoing(self) -> tuple[Operation, ...]:
        """What has to be undone, last first, less what the kernel takes along by itself."""
        kept = {name for operation in self.operations for name in operation.keeps()}
        return tuple(
            operation
            for operation in reversed(self.operations)
            if operation.lingers() or kept.isdisjoint(operation.within())
        )
