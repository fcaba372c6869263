"""The fake kernel: an engine's whole machine, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from netaddr import IPNetwork

from pycnm.errors import NotSupportedError
from pycnm.plan.host import HostFacts, Interface, Prefix, Uplinks
from pycnm.plan.links import Address, Link, Route, Up
from pycnm.plan.operation import HOST, Features, Operation
from pycnm.plan.running import Runner
from pycnm.spec.objects import FoundBridge
from pycnm.testing import addresses, links, namespaces, queueing, resolving, rules, vlans, wires
from pycnm.testing.listing import listing
from pycnm.testing.machine import IPV4, Machine
from pycnm.testing.session import FakeSession, Flows

if TYPE_CHECKING:
    from pycnm.testing.machine import Namespace

T = TypeVar("T")
_REALISATIONS = (
    namespaces.REALISATIONS
    | links.REALISATIONS
    | addresses.REALISATIONS
    | queueing.REALISATIONS
    | rules.REALISATIONS
    | resolving.REALISATIONS
    | wires.REALISATIONS
    | vlans.REALISATIONS
)
_EVERYWHERE = {"0.0.0.0/0", "::/0"}
_EPHEMERAL = "ipv4/ip_local_port_range"
_RESERVED = "ipv4/ip_local_reserved_ports"


class FakeKernel(Runner[FakeSession]):
    """A kernel in memory, which refuses what Linux refuses, with the same errno.

        cnm = pycnm.Controller(state_dir, kernel=FakeKernel())

    Its host has one uplink, eth0, with 192.0.2.10/24 and a default route.  A
    second `FakeKernel` is another machine; on the same state directory, that is
    this one after a reboot.  It may be copied and pickled: the copy is the same
    machine, and goes its own way.

    No process runs in its namespaces, and no packet: `Sandbox.run` and whatever
    else happens inside raises `NotSupportedError`.

    Args:
        features: what it can do; by default, everything.
        lacking: the kinds of links that it doesn't have, such as `dummy`; `bridge_vlan` if its
            bridges don't keep VLANs apart.

    Attributes:
        forgotten: address, protocol and port of flows that were to be forgotten.
    """

    def __init__(self, features: Features | None = None, *, lacking: Collection[str] = ()) -> None:
        self._machine = Machine(features or Features())
        self._lock = threading.RLock()
        self.forgotten: list[Flows] = []
        self.others_do(
            Link(HOST, "eth0", "dummy"),
            Address(HOST, "eth0", "192.0.2.10/24"),
            Up(HOST, "eth0"),
            Route(HOST, "0.0.0.0/0", "192.0.2.1", "eth0"),
        )
        self._machine.lacking = frozenset(lacking)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    def __str__(self) -> str:
        return self.listing()

    def listing(self) -> str:
        """Everything it holds, a line each, sorted: equal texts, equal machines."""
        with self._lock:
            return listing(self._machine)

    # What others do to it

    def others_do(self, *operations: Operation) -> None:
        """Have somebody else do it: an administrator, another program.

        What they make bears no mark of ours, so pycnm leaves it alone.  A
        `HeldPort` of theirs is taken.

        Raises:
            CNMError: the kernel would refuse.
        """
        session = self._session(ours=False)
        for operation in operations:
            operation.do(session)

    def others_undo(self, *operations: Operation) -> None:
        """Have somebody else undo it, whoever made it."""
        session = self._session(ours=False)
        for operation in operations:
            operation.undo(session)

    def others_append(self, path: str, text: str) -> None:
        """Have somebody else write to the end of a file of a sandbox."""
        with self._lock:
            self._machine.files[path] += text

    # What the engine asks (pycnm.engine.kernel)

    @property
    def features(self) -> Features:
        """What it can do."""
        return self._machine.features

    @property
    def host_identity(self) -> tuple[int, int]:
        """What tells it from other machines."""
        return self._machine.identity

    def cookie(self, path: str = "") -> int:
        """None: an old kernel doesn't say, and its identity is never another's."""
        del path
        return 0

    def facts(self) -> HostFacts:
        """What subnets and ports of its host have to keep off right now."""
        with self._lock:
            host = self._machine.namespaces[HOST]
            first, last = host.settings[_EPHEMERAL].split()
            return HostFacts(
                routes=tuple(_reached_directly(host)),
                ephemeral=(int(first), int(last)),
                reserved_ports=frozenset(_ports(host.settings[_RESERVED])),
            )

    def interface(self, name: str) -> Interface | None:
        """What there is of an interface of its host."""
        with self._lock:
            found = self._machine.namespaces[HOST].links.get(name)
            if found is None:
                return None
            master = "" if found.master is None else found.master.name
            return Interface(name, found.kind, found.alias, master)

    def mtu(self, name: str) -> int:
        """MTU of an interface of its host, or of that of its default route."""
        with self._lock:
            host = self._machine.namespaces[HOST]
            out = [route.link for route in host.routes if route.destination in _EVERYWHERE]
            found = host.links.get(name or next(iter(out), ""))
            return 0 if found is None else found.mtu

    def bridge(self, name: str) -> FoundBridge | None:
        """A bridge of its host as it is."""
        with self._lock:
            return wires.bridge(self._machine, name)

    def has_kind(self, kind: str) -> bool:
        """Whether it has links of a kind: of all but those it was made without."""
        return kind in links.KINDS and kind not in self._machine.lacking

    def has_queue(self, kind: str) -> bool:
        """Whether it has a queueing discipline: only tbf."""
        return kind == "tbf"

    def has_vlans(self) -> bool:
        """Whether its bridges keep VLANs apart: unless it was made without `bridge_vlan`."""
        return "bridge_vlan" not in self._machine.lacking

    def obstacles(self, bridges: Sequence[str], addresses: Sequence[Address]) -> list[str]:
        """None: it isn't looked for them."""
        del bridges, addresses
        return []

    def uplinks(self) -> Uplinks:
        """The interfaces of its host that packets are routed from, and forwarding on them."""
        with self._lock:
            host = self._machine.namespaces[HOST]
            links = [
                link
                for link in host.links.values()
                if link.name != "lo" and link.master is None and not link.alias.startswith("cnm:")
            ]
            forwards4 = host.settings["ipv4/ip_forward"] != "0"
            forwards6 = host.settings.get("ipv6/conf/all/forwarding", "0") != "0"
            forces = self.features.force_forwarding
            off4 = [link.name for link in links if link.settings["ipv4/forwarding"] == "0"]
            off6, accepting = [], []
            if self.features.ipv6 and not (forces and forwards6):
                off6 = [
                    link.name
                    for link in links
                    if not forces or link.settings["ipv6/force_forwarding"] == "0"
                ]
                accepting = [link.name for link in links if link.settings["ipv6/accept_ra"] == "1"]
            return Uplinks(
                tuple(link.name for link in links),
                tuple(off4),
                tuple(off6),
                tuple(accepting),
                forwards4,
                forwards6,
            )

    def interfaces(self, path: str) -> list[str]:
        """The names of all interfaces in the namespace at `path`.

        Raises:
            NotFoundError: there is no namespace.
        """
        with self._lock:
            return list(self._session(ours=True).namespace(path).links)

    def inside(self, path: str, work: Callable[[], T]) -> NoReturn:
        """Refused: there is no namespace to be in.

        Raises:
            NotSupportedError: always.
        """
        del path, work
        raise NotSupportedError(
            "nothing runs inside a fake kernel's namespaces; use pycnm.Controller without `kernel`"
        )

    def inside_with_files(
        self, path: str, files: dict[str, str], work: Callable[[], T]
    ) -> NoReturn:
        """Refused: there is no namespace to be in.

        Raises:
            NotSupportedError: always.
        """
        del files
        self.inside(path, work)

    def close(self) -> None:
        """Let go of it; it is kept, and the next `Controller` may be given it."""

    def within(self, work: Callable[[FakeSession], T]) -> T:
        """What `work` returns, given a session."""
        return work(self._session(ours=True))

    def _session(self, *, ours: bool) -> FakeSession:
        return FakeSession(
            self._machine,
            self._lock,
            ours=ours,
            forgotten=self.forgotten,
            realisations=_REALISATIONS,
        )


def _reached_directly(host: Namespace) -> list[Prefix]:
    found = [network for link in host.links.values() for network in link.networks(IPV4)]
    found += [
        IPNetwork(route.destination)
        for route in host.routes
        if not route.gateway and ":" not in route.destination
    ]
    return [Prefix(network.first, network.prefixlen) for network in found]


def _ports(text: str) -> Sequence[int]:
    ports: list[int] = []
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        ports += range(int(first), int(last or first) + 1)
    return ports
