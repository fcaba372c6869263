"""What an endpoint is to be: what is wanted beside what there is, and what is chosen for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.drivers.base import INTERFACE_DIGITS, Driver
from pycnm.engine import records
from pycnm.engine.decision import Decision
from pycnm.engine.endpointrequest import EndpointRequest
from pycnm.engine.engine import Engine
from pycnm.engine.placing import placed
from pycnm.engine.records import NetworkRow, Reader, SandboxRow
from pycnm.errors import (
    AddressInUseError,
    AlreadyExistsError,
    InUseError,
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
    PoolExhaustedError,
)
from pycnm.ipam.base import ENDPOINT_NAME
from pycnm.spec import addresses
from pycnm.spec.names import new_id
from pycnm.spec.objects import EndpointSpec, NetworkSpec
from pycnm.spec.routes import refuse_astray


def refuse_down(sandbox: SandboxRow) -> None:
    """Raise if a sandbox went with the host, and wasn't started again.

    Raises:
        NotFoundError: it did.
    """
    if sandbox.down:
        raise NotFoundError(
            f"the namespace of sandbox {sandbox.spec.name} went when its host came up anew; "
            f"`cnm sandbox start {sandbox.spec.name}` makes it again"
        )


def refuse_mismatch(reader: Reader, network: NetworkRow, sandbox: SandboxRow) -> None:
    """Raise if this sandbox can't be on this network.

    Raises:
        NotFoundError: it is down.
        NotSupportedError: host and none mix with nothing.
        AlreadyExistsError: it is on the network already.
    """
    refuse_down(sandbox)
    name, box = network.spec.name, sandbox.spec.name
    if network.spec.driver == "host" and not sandbox.spec.is_host:
        raise NotSupportedError(
            "cannot connect container to host network - container must be created in host network "
            f'mode: make sandbox {box} with netns="host"'
        )
    if sandbox.spec.is_host and network.spec.driver != "host":
        raise NotSupportedError(
            "container sharing network namespace with another container or host cannot be "
            f"connected to any other network: sandbox {box} is the host"
        )
    others = [
        records.network_spec(reader, row.network)
        for row in records.endpoints_of_sandbox(reader, sandbox.number)
    ]
    if any(other.id == network.spec.id for other in others):
        raise AlreadyExistsError(
            f"endpoint with name {box} already exists in network {name}: the sandbox is connected "
            "to it; disconnect it first"
        )
    if others and "null" in {network.spec.driver, *(other.driver for other in others)}:
        raise NotSupportedError(
            "container cannot be connected to multiple networks with one of the networks in "
            f"private (none) mode; disconnect {box} from its other network first"
        )


def interface_name(
    engine: Engine, reader: Reader, driver: Driver, sandbox: SandboxRow, wanted: str
) -> str:
    """The name of a new interface inside: the one wanted, or the lowest that is free.

    Raises:
        AlreadyExistsError: the one wanted is taken.
    """
    prefix = driver.interface_prefix()
    if not prefix:
        return ""
    rows = records.endpoints_of_sandbox(reader, sandbox.number)
    used = {row.spec.interface for row in rows}
    if sandbox.spec.adopted:
        used |= set(engine.kernel.interfaces(sandbox.spec.key))
    if wanted in used or wanted == "lo":
        raise AlreadyExistsError(
            f"sandbox {sandbox.spec.name} has an interface {wanted} already; give another name"
        )
    number = 0
    while f"{prefix}{number}" in used:
        number += 1
    return wanted or f"{prefix}{number}"


def revived(
    driver: Driver, network: NetworkSpec, spec: EndpointSpec, request: EndpointRequest
) -> EndpointSpec:
    """An endpoint whose sandbox went with a reboot, as it is wanted now.

    Raises:
        AddressInUseError: other addresses are wanted than it has kept.
        NotSupportedError: a MAC is wanted and can't be.
    """
    for wanted, kept in ((request.ip, spec.ip), (request.ip6, spec.ip6)):
        if wanted is not None and (kept is None or wanted != kept.ip):
            raise AddressInUseError(
                f"endpoint {spec.name} has kept its address {kept} since the last boot; connect "
                "without an address to have it again, or delete that endpoint first"
            )
    return attrs.evolve(
        spec,
        mac=spec.mac if request.mac is None else driver.mac(network, request.mac, None),
        aliases=request.aliases,
        gateway_priority=request.gateway_priority,
        link_local_ips=request.link_local_ips,
        sysctls=request.sysctls,
        rate=shaped(driver, network, request.rate),
        routes=led(driver, network, spec.name, request.routes, spec.addresses),
        forwarding=forwards(driver, network, request.forwarding, spec.addresses),
        kept=False,
        **placed(driver, network, spec.ip, spec.ip6, request.options),
    )


def shaped(driver: Driver, network: NetworkSpec, rate: str) -> str:
    """How an endpoint is slowed down.

    Raises:
        NotSupportedError: those of its network can't be.
    """
    if rate and not driver.shapes:
        raise NotSupportedError(
            f"networks of driver {driver.name} slow nothing down, and {network.name} is one: the "
            "host has no end of its endpoints' links; connect the sandbox to a bridge network, or "
            f"give no rate (here {rate})"
        )
    return rate


def led(
    driver: Driver,
    network: NetworkSpec,
    name: str,
    routes: tuple[str, ...],
    addresses: Sequence[IPNetwork],
) -> tuple[str, ...]:
    """The static routes of an endpoint that has these addresses.

    Raises:
        InvalidArgumentError, OutOfSubnetError: one of them leads nowhere.
        NotSupportedError: endpoints of its network have no interface to lead over.
    """
    if routes and not driver.interface_prefix():
        raise NotSupportedError(
            f"endpoints of driver {driver.name} have no interface of their own, and {network.name} "
            "is its network; connect the sandbox to a network that gives it one, or give no routes"
        )
    subnets = [address.cidr for address in addresses]
    refuse_astray(routes, f"endpoint {name}", subnets, [address.ip for address in addresses])
    return routes


def forwards(
    driver: Driver, network: NetworkSpec, forwarding: bool, addresses: Sequence[IPNetwork]
) -> bool:
    """Whether an endpoint that has these addresses leads others' packets.

    Raises:
        NotSupportedError: those of its network can't.
        AddressInUseError: an address is for one that does, and it doesn't.
    """
    if forwarding and not driver.forwards:
        raise NotSupportedError(
            f"endpoints of driver {driver.name} have no packets for others, and {network.name} is "
            "its network; connect the sandbox to a bridge or macvlan network, or leave out "
            "`forwarding`"
        )
    for address in [] if forwarding else addresses:
        pool = network.pool_of(address.ip)
        if pool is not None and address.ip in driver.gateways_inside(network, pool):
            raise AddressInUseError(
                f"address {address.ip} is set aside for the gateway of network {network.name}; "
                "an endpoint has it with `forwarding` only: give that too, or another address"
            )
    return forwarding


def specify(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    request: EndpointRequest,
    name: str,
) -> EndpointSpec:
    """Addresses and a MAC for a new endpoint, inside the transaction."""
    driver = engine.driver(row.spec)
    name = request.name or name
    if records.endpoint_named(decision.tx, row.number, name):
        raise AlreadyExistsError(
            f"endpoint with name {name} already exists in network {row.spec.name}; "
            "disconnect it first, or give another name"
        )
    _refuse_crowd(decision, row, driver)
    ip = lease(engine, decision, row, version=4, wanted=request.ip, name=name)
    ip6 = lease(engine, decision, row, version=6, wanted=request.ip6, name=name)
    own = [each for each in (ip, ip6) if each is not None]
    first = ip or ip6
    mac = driver.mac(row.spec, request.mac, None if first is None else first.ip)
    return EndpointSpec(
        id=_new_id(decision.tx),
        name=name,
        network=row.spec.id,
        ip=ip,
        ip6=ip6,
        mac=mac,
        on_link=driver.on_link(row.spec),
        aliases=request.aliases,
        gateway_priority=request.gateway_priority,
        link_local_ips=request.link_local_ips,
        sysctls=request.sysctls,
        created=request.created,
        rate=shaped(driver, row.spec, request.rate),
        routes=led(driver, row.spec, name, request.routes, own),
        forwarding=forwards(driver, row.spec, request.forwarding, own),
        **placed(driver, row.spec, ip, ip6, request.options),
    )


def _refuse_crowd(decision: Decision, row: NetworkRow, driver: Driver) -> None:
    """Raise if a network has as many endpoints as it takes."""
    capacity = driver.capacity(row.spec)
    if capacity is None:
        return
    (count,) = decision.tx.execute(
        "SELECT count(*) FROM endpoints WHERE network = ? AND leaving IS NULL", (row.number,)
    ).fetchone()
    if count >= capacity:
        plural = "s" * (capacity > 1)
        raise InUseError(
            f"network {row.spec.name} takes {capacity} endpoint{plural}, and has as many: "
            f"{driver.crowded}; disconnect one first, or use another network"
        )


def _new_id(tx: sqlite3.Connection) -> str:
    """An id that begins as no other endpoint's does: drivers name interfaces by its first digits.

    Among 10,000 endpoints two would have the same seven digits once in six times.
    """
    while True:
        identity = new_id()
        first = identity[:INTERFACE_DIGITS]
        taken = tx.execute(
            "SELECT 1 FROM endpoints WHERE id >= ? AND id < ?", (first, first + "g")
        ).fetchone()
        if taken is None:
            return identity


def lease(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    *,
    version: int,
    wanted: IPAddress | None,
    name: str,
) -> IPNetwork | None:
    """An address of the network for an endpoint; None if it has none of that family.

    Subnets of one family are filled one after the other.
    """
    pools = [pool for pool in row.spec.pools if pool.version == version]
    if not pools:
        if wanted is not None:
            raise InvalidArgumentError(
                f"no configured subnet contains IP address {wanted}: network {row.spec.name} has "
                f"no IPv{version} subnet"
            )
        return None
    if wanted is not None:
        addresses.endpoint_address(wanted, [pool.subnet for pool in pools])
        pools = [pool for pool in pools if wanted in pool.subnet]
        if wanted in engine.driver(row.spec).gateways_inside(row.spec, pools[0]):
            # IPAM has it taken already, for just that.
            _refuse_taken(decision, row, wanted)
            return IPNetwork(f"{wanted}/{pools[0].subnet.prefixlen}")
    ipam = engine.ipam(row.spec.ipam, decision.tx)
    for place, pool in enumerate(pools, 1):
        try:
            given = ipam.request_address(pool.pool_id, wanted, {ENDPOINT_NAME: name})
        except PoolExhaustedError:
            if place == len(pools):
                raise
        else:
            return given.address if given is not None else None
    return None


def _refuse_taken(decision: Decision, row: NetworkRow, wanted: IPAddress) -> None:
    """Raise if an endpoint has an address that is set aside for one."""
    for other in records.endpoints_of_network(decision.tx, row.number):
        if any(address.ip == wanted for address in other.spec.addresses):
            raise AddressInUseError(
                f"address {wanted} is endpoint {other.spec.name}'s, the gateway of network "
                f"{row.spec.name}; disconnect it first, or give another address"
            )


def insert(
    decision: Decision, row: NetworkRow, spec: EndpointSpec, sandbox: int | None = None
) -> int:
    """Record a new endpoint, joined to a sandbox or not yet; the row's number."""
    try:
        return decision.insert_endpoint(spec, row.number, sandbox)
    except sqlite3.IntegrityError as error:
        if "endpoints.mac" in str(error):
            raise AddressInUseError(
                f"MAC address {spec.mac} is another endpoint's of network {row.spec.name}; "
                "give another one"
            ) from None
        raise AlreadyExistsError(
            f"endpoint with name {spec.name} already exists in network {row.spec.name}; "
            "disconnect it first, or give another name"
        ) from None
