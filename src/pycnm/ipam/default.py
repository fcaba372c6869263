"""The IPAM of networks that name no other: Docker's decisions, over a ledger.

Lowest free address first, first free subnet first; see `Ledger` for what is
recorded and `pools` for where automatic subnets come from.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Final

from pycnm.errors import (
    AddressInUseError,
    InvalidArgumentError,
    NotFoundError,
    PoolExhaustedError,
    PoolOverlapError,
)
from pycnm.ipam import base, pools
from pycnm.ipam.arguments import address_in, dynamic_range, flag, is_text
from pycnm.ipam.blocks import IPV4, IPV6, Block, Version, parse_cidr, shown, text
from pycnm.ipam.ledger import HeldPool, Ledger, space_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from netaddr import IPAddress, IPNetwork

_MOST_SCANNED: Final = 1 << 63
_ADDRESS_OPTIONS: Final = frozenset(
    (base.ADDRESS_TYPE, base.SERIAL, base.ENDPOINT_MAC, base.ENDPOINT_NAME)
)
_NAMED = 5  # networks a message lists before it says "..."


class DefaultIPAM(base.IPAM):
    """Pools and addresses as Docker's default IPAM gives them."""

    name: ClassVar[str] = "default"

    def __init__(
        self,
        local_pools: Iterable[tuple[str | IPNetwork, int]] | None = None,
        global_pools: Iterable[tuple[str | IPNetwork, int]] | None = None,
        reserved: Iterable[str | IPNetwork | IPAddress] = (),
        *,
        ledger: Ledger | None = None,
        host_id: str = "",
    ) -> None:
        """Starts with what the ledger has; without one, with nothing taken, in memory.

        Args:
            local_pools: where automatic subnets of one host come from, as pairs
                of a base and the length of its subnets: `("10.64.0.0/10", 24)`.
                None for Docker's.  Without an IPv6 base, a unique local /48 that
                follows from `host_id` is used.
            global_pools: the same for subnets of a cluster, without that /48.
            reserved: networks that automatic subnets of one host keep off.
            ledger: where what is taken is recorded.
            host_id: what tells this host from others.

        Raises:
            InvalidArgumentError: an argument is malformed.
        """
        self._pools = {
            base.LOCAL: pools.predefined(_or(local_pools, pools.LOCAL_POOLS), "local_pools"),
            base.GLOBAL: pools.predefined(_or(global_pools, pools.GLOBAL_POOLS), "global_pools"),
        }
        self._reserved = pools.networks(reserved, "reserved")
        if not is_text(host_id):
            raise InvalidArgumentError(f"host_id must be text, not {shown(host_id)}")
        self._host_id = host_id
        self._ledger = _checked(Ledger() if ledger is None else ledger)

    def over(self, ledger: Ledger) -> DefaultIPAM:
        """The same pools over another ledger; cheap enough for each transaction."""
        twin = copy.copy(self)
        twin._ledger = _checked(ledger)  # noqa: SLF001 - its own kind
        return twin

    def request_pool(
        self,
        space: str,
        pool: str | IPNetwork | None = None,
        subpool: str | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
        v6: bool = False,
        *,
        exclude: Iterable[str | IPNetwork | IPAddress] = (),
    ) -> base.PoolLease:
        """A subnet: the one asked for, or the first free one of the predefined pools.

        Args:
            space: `LocalDefault` or `GlobalDefault`.
            pool: the subnet; host bits are masked.  An address of all zeros
                stands for a subnet of the IPAM's choice: `0.0.0.0/24` and
                `::/120` of that length, `0.0.0.0/0` and `::/0` of any.
            subpool: the part of it that addresses are chosen from.  With one,
                the subnet may overlap others; only the same pair is refused.
            options: none are known.
            v6: whether a subnet of the IPAM's choice is IPv6.
            exclude: networks that a subnet of the IPAM's choice keeps off, such
                as routes of the host.

        Raises:
            InvalidArgumentError: an argument is malformed, or no predefined pool
                has subnets of that length.
            PoolOverlapError: the subnet, or the pair, is taken.
            PoolExhaustedError: no predefined subnet is free.
        """
        self._check_space(space)
        base.checked_options(options, "options of the default IPAM", frozenset())
        if not isinstance(v6, bool):
            raise InvalidArgumentError(f"v6 must be True or False, not {shown(v6)}")
        excluded = pools.networks(exclude, "exclude")
        any_subnet = "::/0" if v6 else "0.0.0.0/0"
        version, address, prefix = parse_cidr(any_subnet if pool is None else pool, "a pool")
        if v6 and version == IPV4:
            raise InvalidArgumentError(f"an IPv6 pool was asked for, but {shown(pool)} is IPv4")
        if address:
            subnet = Block.around(version, address, prefix)
            dynamic = None if subpool is None else dynamic_range(subnet, subpool)
            return self._named(space, subnet, dynamic)
        if subpool is not None:
            raise InvalidArgumentError(
                f"the ip-range {shown(subpool)} needs the subnet it lies in; name the subnet too"
            )
        return self._chosen(space, version, prefix, excluded)

    def release_pool(self, pool_id: str) -> None:
        """Gives a pool back, and with the last pool of its subnet all its addresses.

        Raises:
            InvalidArgumentError: the id is malformed.
            NotFoundError: nobody holds that pool, or not any more.
        """
        with self._ledger.change():
            self._ledger.drop(self._held(pool_id))

    def request_address(
        self,
        pool_id: str,
        address: str | IPAddress | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
    ) -> base.AddressLease:
        """The address asked for, or the lowest free one of the pool's range.

        Args:
            pool_id: of a pool that is held.
            address: any of the subnet, in or out of the range; a prefix length,
                if it has one, is the subnet's.
            options: `SERIAL: "true"` gives the first free address behind the
                one chosen last, and starts over at the end of the range.  The
                others do not matter here: a gateway is an address like another.

        Raises:
            InvalidArgumentError: an argument is malformed.
            NotFoundError: nobody holds that pool.
            OutOfSubnetError: the address lies outside the pool's subnet.
            AddressInUseError: the address is taken, or reserved in its subnet.
            PoolExhaustedError: no address is free.
        """
        options = base.checked_options(options, "options of an address", _ADDRESS_OPTIONS)
        serial = flag(options, base.SERIAL)
        if options.get(base.ADDRESS_TYPE, base.GATEWAY) != base.GATEWAY:
            raise InvalidArgumentError(
                f"{base.ADDRESS_TYPE} must be {base.GATEWAY}, "
                f"not {shown(options[base.ADDRESS_TYPE])}"
            )
        with self._ledger.change():
            pool = self._held(pool_id)
            if address is None:
                given = self._choose(pool, serial=serial)
            else:
                given = self._take(pool, address_in(pool.subnet, address))
        return base.AddressLease(pool.subnet.network(given))

    def release_address(self, pool_id: str, address: str | IPAddress | IPNetwork) -> None:
        """Gives an address back; one that is not taken is fine, a reserved one stays reserved.

        Raises:
            InvalidArgumentError: an argument is malformed.
            NotFoundError: nobody holds that pool.
            OutOfSubnetError: the address lies outside the pool's subnet.
        """
        with self._ledger.change():
            pool = self._held(pool_id)
            value = address_in(pool.subnet, address)
            if value not in pool.subnet.reserved():
                self._ledger.addresses.remove(pool.key, value, value)

    def status(self, pool_id: str) -> base.PoolStatus:
        """How many addresses of the pool are taken, and how many can still be chosen.

        Raises:
            InvalidArgumentError: the id is malformed.
            NotFoundError: nobody holds that pool.
        """
        with self._ledger.change():
            pool = self._held(pool_id)
            count = self._ledger.addresses.count
            in_use = count(pool.key, pool.subnet.first, pool.subnet.last)
            in_range = in_use
            if pool.range != pool.subnet:
                in_range = count(pool.key, pool.range.first, pool.range.last)
        return base.PoolStatus(in_use, pool.range.size - in_range)

    def overlapping(self, space: str, pool: str | IPNetwork) -> tuple[str, ...]:
        """The ids of the pools that share an address with this subnet.

        Raises:
            InvalidArgumentError: an argument is malformed.
        """
        self._check_space(space)
        subnet = Block.around(*parse_cidr(pool, "a pool"))
        with self._ledger.change():
            return tuple(self._ledger.overlapping(space, subnet))

    def _check_space(self, space: object) -> None:
        if not isinstance(space, str) or space not in self._pools:
            raise InvalidArgumentError(
                f"the address spaces are {base.LOCAL} and {base.GLOBAL}, not {shown(space)}"
            )

    def _held(self, pool_id: object) -> HeldPool:
        pool = self._ledger.pool(pool_id) if is_text(pool_id) else None
        if pool is None:
            self._check_id(pool_id)
            raise NotFoundError(
                "address space does not contain specified address pool: nobody holds "
                f"{shown(pool_id)}; request it first"
            )
        return pool

    def _check_id(self, pool_id: object) -> None:
        space, *parts = pool_id.split("/", 5) if isinstance(pool_id, str) else [""]
        try:
            self._check_space(space)
            for start in (0, 2) if len(parts) == 4 else (0,):  # noqa: PLR2004 - two subnets
                parse_cidr("/".join(parts[start : start + 2]), "a subnet")
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"a pool id is text such as {base.LOCAL}/10.20.30.0/24, "
                f"not {shown(pool_id)}: {error}"
            ) from None

    def _named(self, space: str, subnet: Block, dynamic: Block | None) -> base.PoolLease:
        pool_id = f"{space}/{subnet}" if dynamic is None else f"{space}/{subnet}/{dynamic}"
        key = space_key(space, subnet.version)
        with self._ledger.change():
            if dynamic is None:
                if self._ledger.subnets.end_of_overlap(key, subnet.first, subnet.last) is not None:
                    others = self._ledger.overlapping(space, subnet)
                    raise PoolOverlapError(_overlap(subnet, others))
            elif self._ledger.pool(pool_id):
                raise PoolOverlapError(_overlap(subnet, [pool_id]))
            self._ledger.hold(pool_id, space, subnet, dynamic or subnet)
        return base.PoolLease(pool_id, subnet.network())

    def _chosen(
        self, space: str, version: Version, length: int, excluded: Sequence[Block]
    ) -> base.PoolLease:
        candidates = self._predefined(space, version, length)
        blocked = (*(self._reserved if space == base.LOCAL else ()), *excluded)
        keep_off = pools.KeepOff(block for block in blocked if block.version == version)
        key = space_key(space, version)

        def end_of_overlap(first: int, last: int) -> int | None:
            end = self._ledger.subnets.end_of_overlap(key, first, last)
            return keep_off.end_of_overlap(first, last) if end is None else end

        with self._ledger.change():
            subnet = pools.first_free(candidates, end_of_overlap)
            if subnet is None:
                raise PoolExhaustedError(_no_subnet(space, version, candidates, blocked))
            pool_id = f"{space}/{subnet}"
            self._ledger.hold(pool_id, space, subnet, subnet)
        return base.PoolLease(pool_id, subnet.network())

    def _predefined(self, space: str, version: Version, length: int) -> Sequence[pools.Predefined]:
        candidates = self._pools[space][version]
        if not candidates and version == IPV6 and space == base.LOCAL:
            candidates = (pools.ula(self._host_id),)
        if length:
            candidates = tuple(
                pools.Predefined(pool.base, length)
                for pool in candidates
                if pool.base.prefix <= length
            )
        if not candidates:
            which = f"IPv{version} pool" + (f" of /{length} or larger" if length else "")
            raise InvalidArgumentError(
                f"invalid address pool: {space} has no predefined {which}; name a subnet, "
                "or configure such a pool"
            )
        return candidates

    def _choose(self, pool: HeldPool, *, serial: bool) -> int:
        lowest = pool.range.first
        highest = min(pool.range.last, lowest + _MOST_SCANNED - 1)
        taken = self._ledger.addresses
        given = None
        if serial and pool.cursor is not None and lowest <= pool.cursor < highest:
            given = taken.lowest_free(pool.key, pool.cursor + 1, highest)
        if given is None:
            given = taken.lowest_free(pool.key, lowest, highest)
        if given is None:
            raise PoolExhaustedError(
                f"no available addresses on this pool: all of {pool.range} in {pool.pool_id} "
                "are taken; free one, or use a larger subnet or ip-range"
            )
        taken.add(pool.key, given, given)
        self._ledger.remember(pool, given)
        return given

    def _take(self, pool: HeldPool, wanted: int) -> int:
        if self._ledger.addresses.has(pool.key, wanted):
            shown_address = text(pool.subnet.version, wanted)
            why = "reserved" if wanted in pool.subnet.reserved() else "taken"
            raise AddressInUseError(
                f"Address already in use: {shown_address} is {why} in {pool.pool_id}; "
                "choose another, or leave it out to get a free one"
            )
        self._ledger.addresses.add(pool.key, wanted, wanted)
        return wanted


def _or(given: object, otherwise: object) -> object:
    return otherwise if given is None else given


def _checked(ledger: object) -> Ledger:
    if not isinstance(ledger, Ledger):
        raise InvalidArgumentError(f"a ledger must be a pycnm.ipam.Ledger, not {shown(ledger)}")
    return ledger


def _overlap(subnet: Block, others: Sequence[str]) -> str:
    return (
        "invalid pool request: Pool overlaps with other one on this address space: "
        f"{subnet} overlaps {_listed(others)}; choose another subnet, or none to get a free one"
    )


def _no_subnet(
    space: str, version: Version, candidates: Sequence[pools.Predefined], blocked: Sequence[Block]
) -> str:
    tried = _listed([f"{pool.base} in /{pool.length}" for pool in candidates])
    kept_off = [str(block) for block in blocked if block.version == version]
    besides = f" (kept off besides: {_listed(kept_off)})" if kept_off else ""
    return (
        f"all predefined address pools have been fully subnetted: {space} has {tried}{besides}; "
        "remove a network, name a subnet, or configure more pools"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
