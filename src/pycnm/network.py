"""The Network handle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from netaddr import IPAddress, IPNetwork

from pycnm.endpoint import Endpoint
from pycnm.engine import attaching, configuring, drift, inspection, naming, networks, records
from pycnm.engine.endpointrequest import endpoint_request
from pycnm.engine.naming import Naming
from pycnm.engine.records import NetworkRow
from pycnm.errors import NotFoundError, NotSupportedError
from pycnm.ipam.default import DefaultIPAM
from pycnm.plan.operation import HOST, Operation, Plan
from pycnm.sandbox import Sandbox

if TYPE_CHECKING:
    from pycnm.engine.engine import Engine
    from pycnm.ipam.base import PoolStatus
    from pycnm.spec.objects import NetworkSpec


class Network:
    """A network: endpoints on it reach each other.

    A handle: it holds an id and reads the rest when asked, so that it stays
    true whoever changes the network.  Every member raises `NotFoundError` once
    the network is deleted.  Leaving a `with` block deletes it.
    """

    __slots__ = ("_engine", "_id")

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._id = identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        try:
            return f"<Network {self.name} {self._id[:12]}>"
        except NotFoundError:
            return f"<Network {self._id[:12]}, deleted>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete(force=True)

    def _row(self) -> NetworkRow:
        with self._engine.reading() as reader:
            return records.network(reader, self._id)

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._id

    @property
    def spec(self) -> NetworkSpec:
        """All that is recorded of it, as it is now; a value that doesn't change."""
        return self._row().spec

    @property
    def name(self) -> str:
        """Its name."""
        return self._row().spec.name

    @property
    def driver(self) -> str:
        """The name of its driver."""
        return self._row().spec.driver

    @property
    def scope(self) -> str:
        """`local` or `swarm`."""
        return self._row().spec.scope

    @property
    def subnets(self) -> list[IPNetwork]:
        """Its subnets, IPv4 first; none without IPAM."""
        return [IPNetwork(pool.subnet) for pool in self._row().spec.pools]

    @property
    def gateways(self) -> list[IPAddress]:
        """The addresses set aside for gateways, IPv4 first."""
        pools = self._row().spec.pools
        return [IPAddress(pool.gateway) for pool in pools if pool.gateway is not None]

    @property
    def interface(self) -> str:
        """The interface of the host that it is, or sits on; empty if it has none."""
        spec = self._row().spec
        return self._engine.driver(spec).device(spec)

    @property
    def internal(self) -> bool:
        """Whether nothing gets in or out."""
        return self._row().spec.internal

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self._row().spec.labels)

    @property
    def options(self) -> dict[str, str]:
        """The options its driver was given, under Docker's names."""
        return dict(self._row().spec.options)

    @property
    def routes(self) -> list[str]:
        """The static routes of all who are on it, as of `Controller.create_network`."""
        return list(self._row().spec.routes)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints, the oldest first."""
        row = self._row()
        with self._engine.reading() as reader:
            rows = records.endpoints_of_network(reader, row.number)
        return [Endpoint(self._engine, item.spec.id) for item in rows]

    @property
    def names(self) -> str:
        """Who is on it, under all names, as a hosts file has them (hosts(5)); empty for nobody.

        What the sandboxes on it resolve, and nobody else.
        """
        row = self._row()
        if row.spec.driver in naming.NAMELESS:
            return ""
        with self._engine.reading() as reader:
            return naming.hosts(Naming(reader).segment(row.number, row.spec.name))

    def create_endpoint(self, name: str, **wishes: Any) -> Endpoint:
        """An endpoint with its addresses, to be joined to a sandbox later.

        Args:
            name: unique on the network.
            wishes: `ip`, `ip6`, `mac`, `aliases`, `publish`, `gateway_priority`,
                `link_local_ips`, `sysctls`, `rate`, `routes`, `forwarding`, `vlan`, `options`
                as for `connect`.

        Raises:
            The same as `connect`.
        """
        request = endpoint_request(name=name, created=networks.now(), **wishes)
        identity = attaching.create(self._engine, self._id, request)
        return Endpoint(self._engine, identity)

    def connect(
        self,
        sandbox: Sandbox | str,
        *,
        ip: object = None,
        ip6: object = None,
        mac: object = None,
        name: str | None = None,
        aliases: Iterable[str] = (),
        publish: Iterable[object] = (),
        interface: str | None = None,
        gateway_priority: int = 0,
        link_local_ips: Iterable[object] = (),
        sysctls: Mapping[str, str] | None = None,
        rate: str | None = None,
        routes: Iterable[str] = (),
        forwarding: bool = False,
        vlan: int | str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """An endpoint of this network in a sandbox: an interface that works.

        Args:
            sandbox: a handle, or a name or id.
            ip, ip6: addresses of the subnets; by default the lowest free ones.
            mac: by default `02:42:` and the IPv4 address.
            name: of the endpoint; by default the sandbox's.
            aliases: more names for it on this network.
            publish: ports, as `docker run -p` takes them: "8080:80/tcp".
            interface: its name inside; by default the lowest free `ethN`.
            gateway_priority: the highest gives the sandbox its default route.
            link_local_ips: more addresses, of the link's own range.
            sysctls: of the interface: `net.ipv4.conf.IFNAME.log_martians`.
            rate: how it is slowed down, as tc(8) says it: "10mbit" is both what it
                receives and what it sends at most, "10mbit delay 20ms loss 1%" delays
                and loses what it receives as well; by default not at all.
            routes: static routes inside, as ip-route(8) says them: "10.9.0.0/16 via
                10.20.30.5 metric 100"; without a next hop, what is on the wire itself.
                They go before the network's to the same prefix.
            forwarding: it leads packets of others from one network to another, with each
                of its endpoints that forwards: what comes in by them is forwarded, and
                they may send what isn't from themselves, if it isn't from a neighbour.
                Only such an endpoint may have the address of `DefaultGatewayIPv4` or
                `DefaultGatewayIPv6`, and leads out whoever else is on the network.
            vlan: the VLAN of the network's bridge that it is in, 1 to 4094, if that is to be
                another one than the network's (`Bridge(vlan=10)`): there it reaches those
                that are in it as well, and neither the host nor a gateway.
            options: Docker's endpoint options, and `vlan`.

        Raises:
            InvalidArgumentError: an argument is malformed.
            OutOfSubnetError: an address, or a next hop, is not of the network's subnet.
            AlreadyExistsError: the sandbox is on the network, or the name is taken.
            AddressInUseError: the address is another endpoint's.
            PortInUseError: a port of the host is taken; by whom is said.
            PoolExhaustedError: no address, or no port of a range, is free.
            NotSupportedError: such a sandbox can't be on such a network, or its
                endpoints can't be slowed down like that, have no routes, can't forward or
                be in a VLAN.
            KernelError: the kernel refused; nothing was left behind.
        """
        request = endpoint_request(
            name=name,
            ip=ip,
            ip6=ip6,
            mac=mac,
            aliases=aliases,
            publish=publish,
            interface=interface,
            gateway_priority=gateway_priority,
            link_local_ips=link_local_ips,
            sysctls=sysctls,
            rate=rate,
            routes=routes,
            forwarding=forwarding,
            vlan=vlan,
            options=options,
            created=networks.now(),
        )
        box = sandbox.id if isinstance(sandbox, Sandbox) else sandbox
        identity = attaching.connect(self._engine, self._id, box, request)
        return Endpoint(self._engine, identity)

    def disconnect(self, sandbox: Sandbox | str, force: bool = False) -> None:
        """Take a sandbox off the network; nothing of the endpoint stays.

        Args:
            sandbox: a handle, or a name or id.
            force: fine if it isn't on the network.

        Raises:
            NotFoundError: it isn't on the network.
        """
        row = self._row()
        with self._engine.reading() as reader:
            reference = sandbox.id if isinstance(sandbox, Sandbox) else sandbox
            box = records.sandbox(reader, reference)
            found = [
                item
                for item in records.endpoints_of_sandbox(reader, box.number)
                if item.network == row.number
            ]
        if not found:
            if force:
                return
            raise NotFoundError(
                f"container {box.spec.name} is not connected to network {row.spec.name}; "
                f"it is connected to what `cnm sandbox inspect {box.spec.name}` shows"
            )
        attaching.delete(self._engine, found[0].spec.id, force=True)

    def rename(self, name: str) -> None:
        """Give it another name, live.

        Raises:
            InvalidArgumentError: malformed.
            AlreadyExistsError: the name is taken.
            NotPermittedError: the network, or the name, is predefined.
        """
        networks.rename(self._engine, self._id, name)

    def configure(self, **changes: Any) -> None:
        """Change its configuration, as one change; what isn't mentioned stays.

        While it has endpoints, labels, `attachable`, `routes` and those options
        change that cost no connection: the MTU, what the rules say.

        A new subnet has a new gateway, unless one is given; a subnet of one
        family leaves the other as it is; None asks for free subnets.

        Args:
            changes: any of `driver`, `subnet`, `gateway`, `ip_range`, `aux_addresses`,
                `ipv4`, `ipv6`, `internal`, `attachable`, `ipam`, `ipam_options`,
                `parent` and `routes`, as of `Controller.create_network`; and `options` and
                `labels`, what changes in them: None takes a key away.  With
                another driver its options start empty.

        Raises:
            InvalidArgumentError: a setting is unknown, or a value malformed.
            NotPermittedError: it is predefined.
            OutOfSubnetError: the next hop of a route is not of its subnet.
            InUseError: endpoints would be cut off.
            PoolOverlapError: a subnet is another network's, or the host's.
            PoolExhaustedError: no subnet is left to choose.
            AlreadyExistsError: another network has the bridge.
            KernelError: the kernel refused; everything is as it was.
        """
        configuring.configure(self._engine, self._id, changes)

    def inspect(self) -> inspection.Document:
        """The object of `docker network inspect`; prints as JSON."""
        row = self._row()
        with self._engine.reading() as reader:
            return inspection.network(self._engine, reader, row)

    def usage(self) -> dict[IPNetwork, PoolStatus]:
        """How full its subnets are; empty if its IPAM doesn't count."""
        spec = self._row().spec
        with self._engine.reading() as reader:
            ipam = self._engine.ipam(spec.ipam, reader)
            if not isinstance(ipam, DefaultIPAM):
                return {}
            return {pool.subnet: ipam.status(pool.pool_id) for pool in spec.pools}

    def stats(self) -> dict[str, int]:
        """How much it is used: `endpoints`, `addresses_used`, `addresses_free`, and counters.

        The counters, `rx_bytes` and so on, are those of its interface on the host, as that
        sees them; a network without one, or whose interface somebody took away, has none.
        """
        usage = self.usage().values()
        found = {
            "endpoints": len(self.endpoints),
            "addresses_used": sum(pool.ips_in_use for pool in usage),
            "addresses_free": sum(pool.dynamic_ips_available for pool in usage),
        }
        interface = self.interface
        if interface and self.explain():
            from pycnm.kernel import views  # noqa: PLC0415 - loads pyroute2

            with contextlib.suppress(NotFoundError, NotSupportedError):
                found |= self._engine.kernel.inside(HOST, lambda: views.statistics(interface))
        return found

    def explain(self) -> Plan:
        """What the kernel holds for it, as the commands a person would have typed.

        The interface that it sits on comes first, if it sits on one.
        """
        row = self._row()
        with self._engine.reading() as reader:
            owners = [*drift.parents(reader, row), row.spec.id]
            rows = [each for owner in owners for each in records.operations(reader, owner)]
        return Plan(tuple(Operation.from_json(body) for _, body in rows))

    def check(self) -> list[str]:
        """How the kernel differs from `explain`, and from what it needs of the host; sentences."""
        row = self._row()
        with self._engine.reading() as reader:
            owners = drift.of_network(reader, row)
        return drift.check(self._engine, owners)

    def reconcile(self) -> list[str]:
        """Put back what somebody removed of it; what was done, as commands.

        With it come what it needs of the host, and what is connected to it.

        Raises:
            CleanupError: some of it could not be put back.
        """
        row = self._row()
        with self._engine.reading() as reader:
            owners = drift.with_endpoints(reader, row)
        return drift.reconcile(self._engine, owners)

    def delete(self, force: bool = False) -> None:
        """Delete it; nothing of it stays.

        Args:
            force: its endpoints first, all at once.

        Raises:
            InUseError: it has endpoints, and `force` isn't set.
            NotPermittedError: it is predefined.
        """
        networks.delete(self._engine, self._id, force=force)
