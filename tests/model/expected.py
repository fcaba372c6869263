"""What there should be, and what should be refused: pycnm in sets and dictionaries.

It is slow and obviously right: nothing is kept that can be computed.  Addresses
that are taken are those that somebody has; a port is free if nobody has it.
Names, identifiers and what else is made up by chance are told by whoever
compares.
"""

from __future__ import annotations

import binascii
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from pycnm import errors

Net = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Refusals = set[type[errors.CNMError]]

PREDEFINED = ("bridge", "host", "none")
EPHEMERAL = (32768, 60999)
ANY = {4: "0.0.0.0", 6: "::"}
AUTOMATIC = [
    subnet
    for base, length in (
        ("172.17.0.0/16", 16),
        ("172.18.0.0/15", 16),
        ("172.20.0.0/14", 16),
        ("172.24.0.0/14", 16),
        ("172.28.0.0/14", 16),
        ("192.168.0.0/16", 20),
    )
    for subnet in ip_network(base).subnets(new_prefix=length)
]


class Port(NamedTuple):
    """Ports as they are asked for: `first` is 0 where the host chooses."""

    host: str
    first: int
    last: int
    container: int
    count: int = 1
    protocol: str = "tcp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        ports = "" if not self.first else _range(self.first, self.last)
        container = _range(self.container, self.container + self.count - 1)
        words = [host, ports] if self.host else [ports] if ports else []
        return f"{':'.join([*words, container])}/{self.protocol}"

    @property
    def exact(self) -> bool:
        return bool(self.first) and self.last - self.first + 1 == self.count


class Binding(NamedTuple):
    """A port of the host that leads to an endpoint's."""

    protocol: str
    host: str
    number: int
    container: int

    def collides(self, other: Binding) -> bool:
        return (
            (self.protocol, self.number, ":" in self.host)
            == (other.protocol, other.number, ":" in other.host)
        ) and (self.host == other.host or bool({self.host, other.host} & set(ANY.values())))

    def again(self) -> Port:
        return Port(self.host, self.number, self.number, self.container, 1, self.protocol)


@dataclass(eq=False)
class Endpoint:
    name: str
    network: Network
    addresses: dict[int, Address]
    mac: str
    aliases: tuple[str, ...] = ()
    priority: int = 0
    sandbox: Sandbox | None = None
    interface: str = ""
    ports: set[Binding] = field(default_factory=set)
    wishes: tuple[Port, ...] = ()
    born: int = field(default_factory=itertools.count().__next__)

    def gateway(self, version: int) -> Address | None:
        return None if self.network.internal else self.network.gateways.get(version)

    def offers(self, version: int) -> bool:
        return version in self.addresses and self.gateway(version) is not None


@dataclass(eq=False)
class Network:
    name: str
    subnets: dict[int, Net] = field(default_factory=dict)
    gateways: dict[int, Address] = field(default_factory=dict)
    ranges: dict[int, Net] = field(default_factory=dict)
    aux: dict[str, Address] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    internal: bool = False
    endpoints: list[Endpoint] = field(default_factory=list)

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def realised(self) -> bool:
        """Whether the kernel holds a bridge for it."""
        if self.name == "bridge":
            return any(end.sandbox for end in self.endpoints)
        return not self.predefined

    def taken(self, version: int) -> set[Address]:
        found = set(reserved(self.subnets[version]))
        found |= {gateway for v, gateway in self.gateways.items() if v == version}
        found |= {address for address in self.aux.values() if address.version == version}
        found |= {e.addresses[version] for e in self.endpoints if version in e.addresses}
        return found

    def lowest_free(self, version: int) -> Address | None:
        return lowest_free(self.ranges.get(version, self.subnets[version]), self.taken(version))

    def endpoint(self, name: str) -> Endpoint | None:
        return next((end for end in self.endpoints if end.name == name), None)


@dataclass(eq=False)
class Sandbox:
    name: str
    kind: str = "own"  # or "host", or "adopted"
    adopted: str = ""  # the name of the namespace
    # Who gives the default route: decided when its endpoints change, not when a name does.
    order: list[Endpoint] = field(default_factory=list)


class World:
    """All of it.

    Args:
        foreign: ports of the host that other programs hold.
        routes: subnets that the host reaches directly.
    """

    def __init__(self, foreign: set[Binding], routes: list[Net]) -> None:
        self.foreign = foreign
        self.routes = routes
        self.networks: dict[str, Network] = {name: Network(name) for name in PREDEFINED}
        self.sandboxes: dict[str, Sandbox] = {}
        # Namespaces that others made, by name, and by what path they are adopted.
        self.others: dict[str, str] = {}
        self.unique_local: Net | None = None
        subnet = self.automatic4()
        self.networks["bridge"].subnets = {4: subnet}
        self.networks["bridge"].gateways = {4: subnet[1]}

    def endpoints(self) -> Iterator[Endpoint]:
        for network in self.networks.values():
            yield from network.endpoints

    def inside(self, box: Sandbox) -> list[Endpoint]:
        return [end for end in self.endpoints() if end.sandbox is box]

    def wired(self, box: Sandbox) -> list[Endpoint]:
        """The endpoints of a sandbox that have an interface in it."""
        return [end for end in self.inside(box) if end.interface]

    def adopter(self, name: str) -> Sandbox | None:
        """The sandbox that a namespace of others is."""
        return next((box for box in self.sandboxes.values() if box.adopted == name), None)

    # Subnets

    def subnets(self, besides: Network | None = None) -> list[Net]:
        return [
            subnet
            for network in self.networks.values()
            if network is not besides
            for subnet in network.subnets.values()
        ]

    def automatic4(self, besides: Network | None = None) -> Net:
        blocked = [net for net in (*self.subnets(besides), *self.routes) if net.version == 4]
        return next(s for s in AUTOMATIC if not any(s.overlaps(other) for other in blocked))

    def automatic6(self, given: Net) -> Net | None:
        """The free one of the host's own prefix, which the first one that is given shows."""
        if self.unique_local is None:
            assert given.subnet_of(ip_network("fd00::/8"))
            self.unique_local = given.supernet(new_prefix=48)
        blocked = [net for net in self.subnets() if net.version == 6 and net != given]
        free = self.unique_local.subnets(new_prefix=64)
        return next(s for s in free if not any(s.overlaps(other) for other in blocked))

    def overlapping(self, wanted: list[Net], besides: Network | None = None) -> Refusals:
        others = [*self.subnets(besides), *self.routes]
        for subnet in wanted:
            if any(subnet.version == o.version and subnet.overlaps(o) for o in others):
                # Of IPAM, or of the driver, where the other has a range of its own.
                return {errors.PoolOverlapError, errors.AlreadyExistsError}
        return set()

    # Endpoints

    def leases(
        self, network: Network, wanted: dict[int, Address | None]
    ) -> tuple[dict[int, Address], Refusals]:
        found: dict[int, Address] = {}
        refusals: Refusals = set()
        for version, address in wanted.items():
            if version not in network.subnets:
                if address is not None:
                    refusals.add(errors.InvalidArgumentError)
                continue
            subnet = network.subnets[version]
            if address is None:
                lowest = network.lowest_free(version)
                if lowest is None:
                    refusals.add(errors.PoolExhaustedError)
                else:
                    found[version] = lowest
            elif address not in subnet:
                refusals.add(errors.OutOfSubnetError)
            elif address in reserved(subnet):
                refusals.add(errors.InvalidArgumentError)
            elif address in network.taken(version):
                refusals.add(errors.AddressInUseError)
            else:
                found[version] = address
        return found, refusals

    def mac_refused(self, network: Network, mac: str, besides: Endpoint | None = None) -> Refusals:
        taken = {end.mac for end in network.endpoints if end is not besides}
        return {errors.AddressInUseError} if mac and mac in taken else set()

    def misfits(self, network: Network, box: Sandbox) -> Refusals:
        """Why a sandbox can't be on a network."""
        refusals: Refusals = set()
        if (network.name == "host") != (box.kind == "host"):
            refusals.add(errors.NotSupportedError)
        others = [end.network for end in self.inside(box)]
        if network in others:
            refusals.add(errors.AlreadyExistsError)
        elif others and "none" in {network.name, *(other.name for other in others)}:
            refusals.add(errors.NotSupportedError)
        return refusals

    def interface(self, network: Network, box: Sandbox, wanted: str) -> tuple[str, Refusals]:
        if network.name in {"host", "none"}:
            return "", set()
        used = {end.interface for end in self.inside(box)} | {"lo"}
        if wanted in used:
            return "", {errors.AlreadyExistsError}
        number = next(n for n in range(100) if f"eth{n}" not in used)
        return wanted or f"eth{number}", set()

    def reroute(self, box: Sandbox | None) -> None:
        if box is not None:
            box.order = sorted(
                self.inside(box),
                key=lambda end: (
                    -end.priority,
                    end.network.internal,
                    not all(end.gateway(version) for version in (4, 6)),
                    end.network.name,
                ),
            )

    # Ports

    def held(self) -> set[Binding]:
        return self.foreign.union(*(end.ports for end in self.endpoints()))

    def free(self, binding: Binding) -> bool:
        return not any(binding.collides(other) for other in self.held())

    def places(self, end: Endpoint, port: Port) -> list[str] | None:
        """The addresses of the host that are meant; None if they can't lead there."""
        if not port.host:
            return [ANY[version] for version in end.addresses]
        return [port.host] if (6 if ":" in port.host else 4) in end.addresses else None

    def publishing(self, end: Endpoint, ports: tuple[Port, ...]) -> Refusals:
        """Why ports can't be published."""
        if not ports:
            return set()
        if end.network.internal or end.network.name in {"host", "none"}:
            return {errors.NotSupportedError}
        refusals: Refusals = set()
        claimed: list[Binding] = []
        for port in sorted(ports, key=lambda port: not port.exact):
            places = self.places(end, port)
            if places is None:
                refusals.add(errors.NotSupportedError)
                continue
            if port.exact:
                mine = [
                    Binding(port.protocol, host, port.first + n, port.container + n)
                    for n in range(port.count)
                    for host in places
                ]
                if not all(map(self.free, mine)):
                    refusals.add(errors.PortInUseError)
                claimed += mine
            elif not any(self.choices(end, port, claimed)):
                refusals.add(errors.PoolExhaustedError)
        return refusals

    def choices(self, end: Endpoint, port: Port, claimed: list[Binding]) -> Iterator[int]:
        """The ports of the host that one of a range may come to."""
        first, last = (port.first, port.last) if port.first else EPHEMERAL
        for number in range(first, last + 1):
            mine = [
                Binding(port.protocol, host, number, port.container)
                for host in self.places(end, port) or []
            ]
            if all(map(self.free, mine)) and not any(
                one.collides(other) for one in mine for other in claimed
            ):
                yield number

    def published(self, end: Endpoint, ports: tuple[Port, ...], found: set[Binding]) -> None:
        """Ports were published; `found` is what they came to, and it should be right."""
        rest = set(found)
        for port in sorted(ports, key=lambda port: not port.exact):
            places = self.places(end, port) or []
            for n in range(port.count):
                came = {b for b in rest
                        if (b.protocol, b.container) == (port.protocol, port.container + n)
                        and b.host in places
                        and (not port.exact or b.number == port.first + n)}  # fmt: skip
                assert {b.host for b in came} == set(places), (str(port), found)
                (number,) = {b.number for b in came}
                first, last = (port.first, port.last) if port.first else EPHEMERAL
                assert first <= number <= last
                assert all(map(self.free, came)), came
                rest -= came
                end.ports |= came
        assert not rest, rest

    @staticmethod
    def matching(end: Endpoint, port: Port) -> set[Binding]:
        """The bindings that a port describes which is to be published no longer."""
        return {
            binding
            for binding in end.ports
            if binding.protocol == port.protocol
            and 0 <= (offset := binding.container - port.container) < port.count
            and port.host in {"", binding.host}
            and (
                not port.first
                or (
                    binding.number == port.first + offset
                    if port.exact
                    else port.first <= binding.number <= port.last
                )
            )
        }


def lowest_free(within: Net, taken: set[Address]) -> Address | None:
    return next((address for address in within if address not in taken), None)


def reserved(subnet: Net) -> set[Address]:
    if subnet.version == 6:
        return {subnet[0]}
    return {subnet[0], subnet[-1]}


def mac_of(addresses: dict[int, Address]) -> str:
    """The MAC address that follows from addresses."""
    for version in (4, 6):
        if version in addresses:
            packed = addresses[version].packed
            four = packed if version == 4 else binascii.crc32(packed).to_bytes(4)
            return (b"\x02\x42" + four).hex(":")
    return ""


def address(text: str) -> Address:
    return ip_address(text)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
