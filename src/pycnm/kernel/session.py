"""One piece of work on the kernel: operations queued, sent together, answered.

A session belongs to a worker thread and moves it between namespaces as the
operations ask.  What goes to one place in a row is sent in one datagram; the
order between places is kept by sending before going elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from pycnm.errors import CNMError, KernelError, PermissionDeniedError
from pycnm.kernel import conntrack, netns, nfnetlink
from pycnm.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Socket
from pycnm.plan.links import Link, Veth
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.shaping import Shaper

if TYPE_CHECKING:
    from netaddr import IPAddress

    from pycnm.kernel.holding import Holder
    from pycnm.kernel.resolving import Resolvers
    from pycnm.kernel.sysctl import Settings
    from pycnm.plan.ports import HeldPort

GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL})
"""How the kernel says that what is to be removed isn't there."""
_OPEN = 32
MANY = 128
_NO_SUCH_KIND = "Unknown device type"
_NO_SUCH_QUEUE = "Specified qdisc kind is unknown"

T = TypeVar("T")
AgentTask: TypeAlias = Literal["hold", "release", "serve", "dismiss"]
"""Ports of the host to be held or let go; sandboxes whose names are to be answered or not."""


class Queued(NamedTuple):
    """A message, the operation it is for, and the errors that mean it is done already.

    `settle` is asked about an EEXIST: it returns when what is there is what was
    wanted, and raises if it is somebody else's.
    """

    fact: Operation
    message: bytes
    fine: frozenset[int] = frozenset()
    settle: Callable[[], None] | None = None


class Doomed(NamedTuple):
    """A link on its way out: down already, in the group of the doomed.

    `waits` says whether it is as good as gone until it is deleted: that it is
    down is all that counts, and nothing of it is in another one's way.
    """

    ns: str
    peer_ns: str
    waits: bool = False


class LinuxSession:
    """A `Session` on the kernel of this machine; see `pycnm.plan.Session`."""

    def __init__(
        self,
        host: int,
        holder: Holder,
        resolvers: Resolvers,
        settings: Settings,
        sockets: dict[int, Socket],
    ) -> None:
        self.settings = settings
        self._namespaces: dict[str, int] = {HOST: host}
        self._sockets = {(HOST, family): open_ for family, open_ in sockets.items()}
        self._here: str | None = None
        self._place: tuple[str, str] | None = None
        self._queue: list[Queued] = []
        self._for_agent: list[Any] = []
        self._answer: Callable[[], object] | None = None
        self._holder = holder
        # What the agent is asked about names nothing else waits for.
        self._names_answer: Callable[[], object] | None = None
        self._resolvers = resolvers
        self._flows: list[conntrack.Flows] = []
        self._asked: list[Operation] = []
        self._seen: dict[Hashable, Any] | None = None
        self._expected: Counter[type[Operation]] = Counter()
        self.latest: Operation | None = None
        self.made: list[Operation] = []
        self.doomed: list[Doomed] = []
        self.left: list[int] = []
        self.rising: list[Veth] = []
        self.unpinned: set[str] = set()

    # What operations ask for (pycnm.plan.Session)

    def add(self, fact: Operation) -> None:
        """Queue what makes `fact` true."""
        self._seen = None
        self._asked.append(fact)
        self.latest = fact
        realised(fact).add(self, fact)

    def remove(self, fact: Operation) -> None:
        """Queue what makes `fact` false."""
        self._seen = None
        self.latest = fact
        realised(fact).remove(self, fact)

    def foresee(self, facts: Collection[Operation]) -> None:
        """Be told what will be asked about: until something is changed, nothing is asked twice."""
        self._seen, self._expected = {}, Counter(map(type, facts))

    def differs(self, fact: Operation) -> str | None:
        """Ask the kernel about `fact`, after sending what is queued."""
        self.latest = fact
        self.flush()
        return realised(fact).differs(self, fact)

    def forget_flows(self, address: IPAddress, protocol: str | None, port: int | None) -> None:
        """Note flows to be forgotten: one walk over the table serves them all."""
        self._flows.append(conntrack.Flows(address.packed, protocol, port))

    def untouched(self) -> set[Operation]:
        """Facts that were to be made true and weren't by this session."""
        return set(self._asked) - set(self.made)

    # What the realisations use

    def once(self, key: Hashable, ask: Callable[[], T]) -> T:
        """What `ask` returns; what it returned for that key before, while nothing changes."""
        if self._seen is None:
            return ask()
        if key not in self._seen:
            self._seen[key] = ask()
        answer: T = self._seen[key]
        return answer

    def expects_many(self, kind: type[Operation], least: int = MANY) -> bool:
        """Whether so many of a kind are looked at that it is best to ask for all there are."""
        return self._seen is not None and self._expected[kind] >= least

    def queue(self, ns: str, channel: str, item: Queued) -> None:
        """Add a message to the datagram for `channel` ("route" or "nft") of `ns`."""
        self._turn_to((ns, channel))
        self._queue.append(item)

    def queue_for_agent(self, what: AgentTask, fact: Operation) -> None:
        """Add a port, or a sandbox, to those that the agent is asked about in one request."""
        self._turn_to((HOST, what))
        self._for_agent.append(fact)

    def holds_port(self, fact: HeldPort) -> bool:
        """Whether the agent has the port's socket."""
        self.enter(HOST)
        return self._holder.holds(fact)

    def served(self) -> frozenset[str]:
        """The ids of the sandboxes in which the agent answers names."""
        self._hear_of_names()
        self.enter(HOST)
        return self.once("served", self._resolvers.served)

    def enter(self, ns: str) -> None:
        """Move this thread into namespace `ns`."""
        if self._here == ns:
            return
        netns.enter(self.namespace(ns))
        self._here = ns

    def entered(self, ns: str) -> None:
        """Note that this thread is inside the namespace just made at `ns`."""
        self._here = ns
        self._namespaces[ns] = netns.descriptor(ns)

    def namespace(self, ns: str) -> int:
        """A descriptor of namespace `ns`, to be named in a message."""
        if ns not in self._namespaces:
            if len(self._namespaces) > _OPEN:
                self._let_go()
            self._namespaces[ns] = netns.descriptor(ns)
        return self._namespaces[ns]

    def _let_go(self) -> None:
        """Close what is open in sandboxes: a host may have more than a process descriptors."""
        self.flush()
        for key in [key for key in self._sockets if key[0] != HOST]:
            self._sockets.pop(key).close()
        for ns in [ns for ns in self._namespaces if ns != HOST]:
            os.close(self._namespaces.pop(ns))

    def forget(self, ns: str) -> None:
        """Close everything open in `ns`, or it would live on."""
        for key in [key for key in self._sockets if key[0] == ns]:
            self._sockets.pop(key).close()
        if self._here == ns:
            self.enter(HOST)
        if ns in self._namespaces and ns != HOST:
            os.close(self._namespaces.pop(ns))

    def socket(self, ns: str, family: int = NETLINK_ROUTE) -> Socket:
        """A netlink socket of namespace `ns`."""
        key = (ns, family)
        if key not in self._sockets:
            self.enter(ns)
            self._sockets[key] = Socket(family)
        return self._sockets[key]

    def flush(self) -> None:
        """Send what is queued and look at every answer.

        Raises:
            KernelError: the first refusal; what came before it is done, and what
                came after it in the same datagram may be.
        """
        self._send_off()
        self._hear()

    def _turn_to(self, place: tuple[str, str]) -> None:
        if place != self._place:
            self._send_off()
            self._place = place

    def _hear(self) -> None:
        """Wait for the agent, if it was asked for something."""
        answer, self._answer = self._answer, None
        if answer is not None:
            # If it has to be started, that is done where this thread is.
            self.enter(HOST)
            answer()

    def _send_off(self) -> None:
        """Send what is queued, and look at the answers; the agent's can wait.

        It works while the next messages are put together.  Nothing else is sent
        before it has answered.
        """
        place, self._place = self._place, None
        queue, self._queue = self._queue, []
        if place is None:
            return
        self._hear()
        ns, channel = place
        if channel not in {"route", "nft"}:
            self._ask_agent(channel)
            return
        family = NETLINK_ROUTE if channel == "route" else NETLINK_NETFILTER
        connection = self.socket(ns, family)
        try:
            if channel == "route":
                self._send(connection, queue)
            else:
                self._commit(connection, queue)
        except OSError as error:
            # What the kernel did is unknown and stale answers may be queued.
            self.made += [item.fact for item in queue]
            self._sockets.pop((ns, family)).close()
            raise refusal(queue[0].fact, error.errno or errno.EIO, str(error)) from error

    def _ask_agent(self, what: str) -> None:
        facts, self._for_agent = self._for_agent, []
        self.made += facts
        if what in {"hold", "release"}:
            self.enter(HOST)
            ask = self._holder.hold if what == "hold" else self._holder.release
            self._answer = ask(facts)
            return
        self._hear_of_names()
        self.enter(HOST)
        tell = self._resolvers.serve if what == "serve" else self._resolvers.release
        self._names_answer = tell(facts)

    def _hear_of_names(self) -> None:
        answer, self._names_answer = self._names_answer, None
        if answer is not None:
            self.enter(HOST)
            answer()

    def _send(self, connection: Socket, queue: Sequence[Queued]) -> None:
        answers = connection.request([item.message for item in queue])
        pairs = list(zip(queue, answers, strict=True))
        self.made += [item.fact for item, answer in pairs if not answer.code]
        for item, answer in pairs:
            if not answer.code or answer.code in item.fine:
                continue
            if answer.code == errno.EEXIST and item.settle:
                item.settle()
                continue
            raise refusal(item.fact, answer.code, answer.text)

    def _commit(self, connection: Socket, queue: Sequence[Queued]) -> None:
        """Commit a netfilter batch; what is said to be gone already is left out of it."""
        left = list(queue)
        while left:
            errors = connection.batch(
                nfnetlink.begin(), [item.message for item in left], nfnetlink.end()
            )
            if not errors:
                self.made += [item.fact for item in left]
                return
            for place, answer in sorted(errors.items()):
                # -1 is the batch as a whole: any of its operations may name it.
                item = left[max(place, 0)]
                if place < 0 or answer.code not in item.fine:
                    raise refusal(item.fact, answer.code, answer.text)
            left = [item for place, item in enumerate(left) if place not in errors]

    def finish(self) -> None:
        """Send the rest and drop the flows that were to be forgotten."""
        self._send_off()
        if self._flows:
            flows, self._flows = self._flows, []
            self.enter(HOST)
            if conntrack.active(self.settings):
                conntrack.forget(self.socket(HOST, NETLINK_NETFILTER), flows)
        self._hear()
        self._hear_of_names()

    def close(self, *, failed: bool) -> dict[int, Socket]:
        """Close what was opened in sandboxes, and go home; the host's sockets go to the next.

        Closing a socket of the host after rules were deleted would wait for
        the kernel to destroy them, which takes some 10 ms.  After a failure all
        are closed: none with stale answers in it is used again.
        """
        # What the agent was asked is done, or it might come after what undoes it.
        for hear in (self._hear, self._hear_of_names):
            with contextlib.suppress(CNMError, OSError):
                hear()
        with contextlib.suppress(OSError):
            self.enter(HOST)
        kept = {}
        for (ns, family), connection in self._sockets.items():
            if ns == HOST and not failed:
                kept[family] = connection
            else:
                connection.close()
        for ns, descriptor in self._namespaces.items():
            if ns != HOST:
                os.close(descriptor)
        return kept


class Realisation(Protocol):
    """How one kind of operation is brought about, on a `LinuxSession`."""

    def add(self, session: LinuxSession, fact: Any) -> None:
        """Make it true."""

    def remove(self, session: LinuxSession, fact: Any) -> None:
        """Make it false."""

    def differs(self, session: LinuxSession, fact: Any) -> str | None:
        """Say how the kernel differs."""


REALISATIONS: dict[type[Operation], Realisation] = {}
"""Filled by the modules that know a kind of operation: `links`, `rules`, `holding`, `resolving`."""


def realised(fact: Operation) -> Realisation:
    """How operations of this type are brought about."""
    return REALISATIONS[type(fact)]


def refusal(fact: Operation | str, code: int, text: str = "") -> CNMError:
    """The error for an operation, or a command, that the kernel refused."""
    if code in {errno.EPERM, errno.EACCES} and os.geteuid() != 0:
        return PermissionDeniedError(
            f"not allowed to do `{fact}`; run as root (CAP_NET_ADMIN and CAP_SYS_ADMIN are needed)"
        )
    if code == errno.EOPNOTSUPP and isinstance(fact, Link) and text == _NO_SUCH_KIND:
        return fact.unknown()
    if code == errno.ENOENT and isinstance(fact, Shaper) and text == _NO_SUCH_QUEUE:
        return fact.unknown()
    return KernelError(str(fact), code, text)


@contextlib.contextmanager
def refusals(what: Callable[[], Operation | str]) -> Iterator[None]:
    """A block in which the kernel may refuse anything, sockets and threads included.

    Args:
        what: what it was at then.

    Raises:
        CNMError: instead of an OSError, which says nothing of what was wanted.
    """
    try:
        yield
    except CNMError:
        raise
    except OSError as error:
        raise refusal(what(), error.errno or errno.EIO, error.strerror or "") from error
