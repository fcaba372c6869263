"""Which ports of the host are published: chosen, recorded, planned."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby

from netaddr import IPAddress

from pycnm.drivers.base import Driver
from pycnm.engine import published
from pycnm.engine.decision import Decision
from pycnm.engine.placing import refuse_apart
from pycnm.engine.records import EndpointRow
from pycnm.errors import InvalidArgumentError, NotSupportedError, PoolExhaustedError, PortInUseError
from pycnm.plan.host import HostFacts
from pycnm.plan.operation import Operation, Plan
from pycnm.plan.ports import HeldPort
from pycnm.plan.rules import Entry
from pycnm.spec import addresses
from pycnm.spec.objects import EndpointSpec, NetworkSpec
from pycnm.spec.ports import PortBinding, PortSpec, in_order
from pycnm.store.database import Transaction

ATTEMPTS = 10
"""How many chosen ports may turn out to be some program's before it is an error."""

_LOOPBACK6 = IPAddress("::1")
_WILD = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - what Docker users expect of -p


class Chooser:
    """Chooses host ports in one transaction.

    Args:
        facts: asks what is true of the host.
        avoid: ports that turned out to be held by a program.
    """

    def __init__(
        self, tx: Transaction, facts: Callable[[], HostFacts], avoid: Iterable[int] = ()
    ) -> None:
        self._tx = tx
        # Asked only where something is left to choose.
        self._facts = cache(facts)
        self._avoid = frozenset(avoid)
        self._mine: set[tuple[str, int]] = set()

    def choose(
        self,
        driver: Driver,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        specs: Sequence[PortSpec],
    ) -> list[PortBinding]:
        """The bindings that `specs` come to for an endpoint.

        Raises:
            PortInUseError: an exact port is taken; by which endpoint is named.
            PoolExhaustedError: no port of a range is free.
            NotSupportedError: the endpoint has no address of the host address's family.
        """
        if specs:
            driver.refuse_publishing(network)
            refuse_apart(driver, network, endpoint)
        disputed = self._disputed(specs)
        found: dict[IPAddress | None, list[tuple[IPAddress, IPAddress]]] = {}
        bindings: list[PortBinding] = []
        for _, members in groupby(in_order(specs), key=lambda spec: spec.group):
            group = list(members)
            for spec in group:
                if spec.host_address not in found:
                    found[spec.host_address] = list(_places(driver, network, endpoint, spec))
            places = [place for spec in group for place in found[spec.host_address]]
            bindings += _openings(driver, network, group[0], places)
            places = [place for place in places if not driver.opens(network, place[0].version)]
            if not places:
                continue
            port = self._port(group[0], [address for address, _ in places], disputed)
            bindings += [
                PortBinding(
                    protocol=group[0].protocol,
                    host_address=address,
                    host_port=port,
                    address=target,
                    port=group[0].container_first,
                )
                for address, target in places
            ]
        # One opening serves, whatever ports of the host were asked for.
        return list(dict.fromkeys(bindings))

    def _disputed(self, specs: Sequence[PortSpec]) -> set[tuple[str, int]]:
        """The exact ports that something is published on, at whatever address.

        One look at a whole range, as most of its ports are nobody's.
        """
        return {
            (spec.protocol, port)
            for spec in specs
            if spec.exact
            for port in published.ports_between(
                self._tx, spec.protocol, spec.host_first, spec.host_last
            )
        }

    def _port(
        self,
        spec: PortSpec,
        addresses: Sequence[IPAddress],
        disputed: Container[tuple[str, int]],
    ) -> int:
        if spec.exact:
            if (spec.protocol, spec.host_first) in disputed:
                for address in addresses:
                    self._refuse_taken(spec, str(address))
            # What was named isn't chosen for another port of the same request.
            self._mine.add((spec.protocol, spec.host_first))
            return spec.host_first
        texts = [str(address) for address in addresses]
        for port in self._candidates(spec):
            if port not in self._avoid and self._free(spec.protocol, port, texts):
                self._mine.add((spec.protocol, port))
                return port
        raise PoolExhaustedError(
            f"all ports of {self._range(spec)} are allocated; "
            "unpublish one, or give another port or range"
        )

    def _refuse_taken(self, spec: PortSpec, address: str) -> None:
        holder = published.port_holder(self._tx, spec.protocol, address, spec.host_first)
        if holder:
            raise taken(spec.protocol, address, spec.host_first, holder)

    def _free(self, protocol: str, port: int, addresses: Sequence[str]) -> bool:
        if (protocol, port) in self._mine:
            return False
        return not any(
            published.port_holder(self._tx, protocol, address, port) for address in addresses
        )

    def _range(self, spec: PortSpec) -> tuple[int, int]:
        return (spec.host_first, spec.host_last) if spec.host_first else self._facts().ephemeral

    def _candidates(self, spec: PortSpec) -> Iterator[int]:
        """Every port of the range once, from after the last one that was given."""
        first, last = self._range(spec)
        row = self._tx.execute(
            "SELECT given FROM port_cursors WHERE protocol = ? AND first = ? AND last = ?",
            (spec.protocol, first, last),
        ).fetchone()
        size = last - first + 1
        start = row[0] + 1 - first if row else 0
        for step in range(size):
            port = first + (start + step) % size
            if spec.host_first or port not in self._facts().reserved_ports:
                self._note(spec.protocol, first, last, port)
                yield port

    def _note(self, protocol: str, first: int, last: int, port: int) -> None:
        self._tx.execute(
            "INSERT INTO port_cursors VALUES (?, ?, ?, ?) "
            "ON CONFLICT (protocol, first, last) DO UPDATE SET given = excluded.given",
            (protocol, first, last, port),
        )


def taken(protocol: str, address: str, port: int, holder: str) -> PortInUseError:
    """The error for a port that an endpoint of ours has."""
    shown = f"[{address}]" if ":" in address else address
    return PortInUseError(
        f"Bind for {shown}:{port}/{protocol} failed: port is already allocated to {holder}; "
        "unpublish it there, or publish on another port",
        holder,
        port,
    )


def record(
    decision: Decision,
    endpoint: EndpointSpec,
    number: int,
    network: int,
    bindings: Sequence[PortBinding],
) -> None:
    """Record bindings of an endpoint.

    Raises:
        PortInUseError: one is taken.
    """
    try:
        decision.insert_ports(number, network, bindings)
    except sqlite3.IntegrityError:
        # Nothing of ours had it when it was looked up: the endpoint asks twice.
        first = bindings[0]
        if not first.host_port:
            raise PortInUseError(
                f"port {first} of endpoint {endpoint.name} is open already; leave it out",
                f"endpoint {endpoint.name}",
                first.port,
            ) from None
        holder = f"endpoint {endpoint.name} itself"
        raise taken(first.protocol, str(first.host_address), first.host_port, holder) from None


def plan(
    driver: Driver,
    network: NetworkSpec,
    endpoint: EndpointSpec,
    bindings: Iterable[PortBinding],
    *,
    whole: bool,
) -> Plan:
    """What the kernel holds for bindings: all sockets first, as that is one request.

    Args:
        whole: they are all the endpoint has, so that what it holds once for
            any of them comes or goes with them.
    """
    operations = [
        operation
        for binding in bindings
        for operation in driver.plan_port(network, endpoint, binding)
    ]
    once = driver.plan_publishing(network, endpoint) if whole and operations else Plan()
    return Plan((*sorted(operations, key=_place), *once))


def together(endpoint: Plan, ports: Plan) -> Plan:
    """The plans of an endpoint and its ports, so that each place is gone to once.

    The sockets come first, because a port that is taken is the likeliest
    failure of all; the elements next to the guard, as both are rules; what
    needs the endpoint's link, right after it.
    """
    operations = list(endpoint)
    for operation in reversed(ports.operations):
        after = [n for n, other in enumerate(operations) if operation.goes_with(other)]
        operations.insert(after[-1] + 1 if after else 0, operation)
    return Plan(tuple(operations))


def _place(operation: Operation) -> int:
    """Sockets, then elements, then the rest."""
    if isinstance(operation, HeldPort):
        return 0
    return 1 if isinstance(operation, Entry) else 2


def listed(bindings: Iterable[PortBinding]) -> list[PortBinding]:
    """Bindings in the order in which an endpoint lists its ports (`published.bindings`)."""
    by_port = sorted(bindings, key=lambda each: each.host_port)
    by_address = sorted(by_port, key=lambda each: str(each.host_address), reverse=True)
    return sorted(by_address, key=lambda each: (each.port, each.protocol))


def matching(
    bindings: Sequence[PortBinding], spec: PortSpec, row: EndpointRow
) -> list[PortBinding]:
    """The bindings that `spec` describes.

    Raises:
        InvalidArgumentError: none does.
    """
    found = [binding for binding in bindings if _matches(binding, spec)]
    if not found:
        have = ", ".join(str(binding) for binding in bindings) or "none"
        raise InvalidArgumentError(
            f"endpoint {row.spec.name} doesn't publish {spec}; it publishes {have}"
        )
    return found


def _matches(binding: PortBinding, spec: PortSpec) -> bool:
    same = binding.protocol == spec.protocol
    return (
        same
        and spec.container_first <= binding.port <= spec.container_last
        and _matches_host(binding, spec)
    )


def _matches_host(binding: PortBinding, spec: PortSpec) -> bool:
    if not binding.host_port:
        # What was asked of the host wasn't heeded.
        return spec.host_address is None or spec.host_address.version == binding.address.version
    if spec.host_address is not None and binding.host_address != spec.host_address:
        return False
    if not spec.host_first:
        return True
    if spec.exact:
        offset = binding.port - spec.container_first
        return binding.host_port == spec.host_first + offset
    return spec.host_first <= binding.host_port <= spec.host_last


def _openings(
    driver: Driver,
    network: NetworkSpec,
    spec: PortSpec,
    places: Iterable[tuple[IPAddress, IPAddress]],
) -> Iterator[PortBinding]:
    """What is open at an endpoint's own addresses, in place of ports of the host."""
    for address, target in places:
        if driver.opens(network, address.version):
            yield PortBinding(
                protocol=spec.protocol,
                host_address=addresses.shared(_WILD[address.version]),
                host_port=0,
                address=target,
                port=spec.container_first,
            )


def _places(
    driver: Driver, network: NetworkSpec, endpoint: EndpointSpec, spec: PortSpec
) -> Iterator[tuple[IPAddress, IPAddress]]:
    """Each host address that `spec` means, with the address it leads to."""
    targets = {4: endpoint.ip, 6: endpoint.ip6}
    if spec.host_address is None:
        wanted = [addresses.shared(text) for text in driver.default_bindings(network)]
        wanted = [address for address in wanted if targets[address.version] is not None]
    elif spec.host_address == _LOOPBACK6:
        raise NotSupportedError(
            f"port {spec} can't be published on ::1: the kernel redirects nothing that is sent "
            "there; publish on 127.0.0.1, or on another address of the host"
        )
    else:
        wanted = [spec.host_address]
    for address in wanted:
        target = targets[address.version]
        if target is None:
            raise NotSupportedError(
                f"port {spec} asks for an IPv{address.version} address of the host, but endpoint "
                f"{endpoint.name} has none of that family to lead to; give network {network.name} "
                f"IPv{address.version} addresses, or publish on {_WILD[10 - address.version]}"
            )
        yield address, target.ip
