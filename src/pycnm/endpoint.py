"""The Endpoint handle."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from netaddr import EUI, IPAddress

from pycnm.engine import attaching, drift, inspection, published, reattaching, records
from pycnm.engine.joining import refuse_down
from pycnm.engine.records import EndpointRow
from pycnm.errors import NotFoundError
from pycnm.plan.operation import HOST, Operation, Plan
from pycnm.spec.ports import PortBinding, port_specs

if TYPE_CHECKING:
    from pycnm.engine.engine import Engine
    from pycnm.network import Network
    from pycnm.sandbox import Sandbox
    from pycnm.spec.objects import EndpointSpec

T = TypeVar("T")


class Endpoint:
    """One attachment: an interface that joins a sandbox to a network.

    A handle: it holds an id and reads the rest when asked.  Every member raises
    `NotFoundError` once it is deleted.  Leaving a `with` block deletes it.
    """

    __slots__ = ("_engine", "_id")

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._id = identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        try:
            spec = self._row().spec
        except NotFoundError:
            return f"<Endpoint {self._id[:12]}, deleted>"
        return f"<Endpoint {spec.name} {spec.ip or spec.ip6 or self._id[:12]}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attaching.delete(self._engine, self._id, force=True)

    def _row(self) -> EndpointRow:
        with self._engine.reading() as reader:
            return records.endpoint(reader, self._id)

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._id

    @property
    def spec(self) -> EndpointSpec:
        """All that is recorded of it, as it is now; a value that doesn't change."""
        return self._row().spec

    @property
    def name(self) -> str:
        """Its name, unique on the network."""
        return self._row().spec.name

    @property
    def network(self) -> Network:
        """Its network."""
        from pycnm.network import Network  # noqa: PLC0415 - each of the two makes the other

        return Network(self._engine, self._row().spec.network)

    @property
    def sandbox(self) -> Sandbox | None:
        """Its sandbox; None before it is joined."""
        from pycnm.sandbox import Sandbox  # noqa: PLC0415 - each of the two makes the other

        identity = self._row().spec.sandbox
        return Sandbox(self._engine, identity) if identity else None

    @property
    def ip(self) -> IPAddress | None:
        """Its IPv4 address."""
        address = self._row().spec.ip
        return None if address is None else address.ip

    @property
    def ip6(self) -> IPAddress | None:
        """Its IPv6 address."""
        address = self._row().spec.ip6
        return None if address is None else address.ip

    @property
    def mac(self) -> EUI | None:
        """Its MAC address."""
        mac = self._row().spec.mac
        return None if mac is None else EUI(mac, dialect=mac.dialect)

    @property
    def gateway(self) -> IPAddress | None:
        """The IPv4 next hop it offers for the default route."""
        gateway = self._row().spec.gateway
        return None if gateway is None else IPAddress(gateway)

    @property
    def interface(self) -> str:
        """The name of its interface inside; empty before it is joined."""
        return self._row().spec.interface

    @property
    def host_interface(self) -> str:
        """The name of its interface on the host; empty before it is joined."""
        return self._row().spec.host_interface

    @property
    def aliases(self) -> list[str]:
        """More names for it on its network."""
        return list(self._row().spec.aliases)

    @property
    def rate(self) -> str:
        """How it is slowed down, as of `Network.connect`; empty if it isn't."""
        return self._row().spec.rate

    @property
    def routes(self) -> list[str]:
        """The static routes of its own, as of `Network.connect`."""
        return list(self._row().spec.routes)

    @property
    def forwarding(self) -> bool:
        """Whether it leads packets of others, as of `Network.connect`."""
        return self._row().spec.forwarding

    @property
    def vlan(self) -> int | None:
        """The VLAN of its network's bridge that it was given; None for the network's, or none."""
        return self._row().spec.vlan or None

    @property
    def ports(self) -> list[PortBinding]:
        """The ports of the host that lead to it."""
        with self._engine.reading() as reader:
            return published.bindings(reader, self._row().number)

    def join(self, sandbox: Sandbox | str, *, interface: str | None = None) -> None:
        """Put its interface into a sandbox, and publish its ports.

        Raises:
            InUseError: it is joined already.
            The rest of what `Network.connect` raises.
        """
        from pycnm.sandbox import Sandbox  # noqa: PLC0415 - each of the two makes the other

        reference = sandbox.id if isinstance(sandbox, Sandbox) else sandbox
        attaching.join(self._engine, self._id, reference, interface)

    def leave(self) -> None:
        """Take its interface away; it keeps its addresses, and may be joined again.

        Raises:
            NotFoundError: it isn't joined.
        """
        attaching.leave(self._engine, self._id)

    def configure(self, **changes: Any) -> None:
        """Change it, as one change; what isn't mentioned stays.

        Joined, it keeps its interface; connections end with the address that
        they were made from.

        Args:
            changes: any of `ip`, `ip6`, `mac`, `aliases`, `gateway_priority`, `rate`,
                `routes`, `forwarding` and `vlan`, as of `Network.connect`; no rate makes it
                as fast as it was.  A MAC address that followed from the IPv4 address does
                so again.

        Raises:
            InvalidArgumentError: a setting is unknown, or a value malformed.
            OutOfSubnetError: an address, or a next hop, is not of the network's subnet.
            AddressInUseError: an address is taken.
            InUseError: it has published ports, and they lead to the address it has.
            NotSupportedError: it can't be slowed down like that, or can't forward.
            KernelError: the kernel refused; everything is as it was.
        """
        reattaching.configure(self._engine, self._id, changes)

    def publish(self, *specs: object) -> list[PortBinding]:
        """Publish ports of it, live; the bindings they came to.

        Args:
            specs: as `docker run -p` takes them: "9090:90/udp", "127.0.0.1::80".

        Raises:
            InvalidArgumentError: malformed.
            PortInUseError: one is taken, by whom is said; none was published.
            PoolExhaustedError: no port of a range is free.
            NotSupportedError: its network's driver publishes nothing, or it has
                no address of the family asked for.
        """
        return attaching.publish(self._engine, self._id, port_specs(specs))

    def unpublish(self, *specs: object) -> None:
        """Publish ports no longer, live; flows through them end.

        Raises:
            InvalidArgumentError: malformed, or it doesn't publish them.
        """
        attaching.unpublish(self._engine, self._id, port_specs(specs))

    def stats(self) -> dict[str, int]:
        """Counters of its interface, as seen from the sandbox: `rx_bytes`, `tx_packets` ...

        Raises:
            NotFoundError: it isn't joined, or has no interface of its own.
        """
        from pycnm.kernel.views import statistics  # noqa: PLC0415 - loads pyroute2

        return self._of_interface(statistics)

    @property
    def carrier(self) -> bool:
        """Whether its interface is up, and has a carrier, so that frames pass.

        Raises:
            NotFoundError: it isn't joined, or has no interface of its own.
        """
        from pycnm.kernel.views import carrier  # noqa: PLC0415 - loads pyroute2

        return self._of_interface(carrier)

    def _of_interface(self, view: Callable[[str], T]) -> T:
        spec = self._row().spec
        if not spec.interface:
            raise NotFoundError(
                f"endpoint {spec.name} has no interface; join it to a sandbox first"
            )
        with self._engine.reading() as reader:
            box = records.sandbox(reader, spec.sandbox)
        refuse_down(box)
        key = box.spec.key or HOST
        return self._engine.kernel.inside(key, lambda: view(spec.interface))

    def inspect(self) -> inspection.Document:
        """Its settings as `docker inspect` shows them, and its interfaces; prints as JSON."""
        row = self._row()
        with self._engine.reading() as reader:
            return inspection.endpoint(reader, row)

    def explain(self) -> Plan:
        """What the kernel holds for it, as the commands a person would have typed."""
        identity = self._row().spec.id
        with self._engine.reading() as reader:
            rows = list(records.operations(reader, identity))
        return Plan(tuple(Operation.from_json(body) for _, body in rows))

    def check(self) -> list[str]:
        """How the kernel differs from `explain`, a sentence each."""
        return drift.check(self._engine, [self._row().spec.id])

    def reconcile(self) -> list[str]:
        """Put back what somebody removed of it; what was done, as commands.

        With it come its sandbox with all that is in it, and what their networks need.

        Raises:
            CleanupError: some of it could not be put back.
        """
        row = self._row()
        if row.sandbox is None:
            return []
        with self._engine.reading() as reader:
            box = records.sandbox(reader, row.spec.sandbox)
            owners = drift.with_networks(reader, box)
        return drift.reconcile(self._engine, owners)

    def delete(self) -> None:
        """Delete it.

        Raises:
            InUseError: it is joined to a sandbox; leave it first, or disconnect.
        """
        attaching.delete(self._engine, self._id)
