"""The IPAM against a model made of sets, which is slow and obviously right."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pycnm.errors import (
    AddressInUseError,
    NotFoundError,
    OutOfSubnetError,
    PoolExhaustedError,
    PoolOverlapError,
)
from pycnm.ipam import DefaultIPAM, Ledger
from pycnm.ipam.ledger import space_key
from pycnm.ipam.runs import LARGEST

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

LOCAL = "LocalDefault"
BASES = {4: (ip_network("10.0.0.32/27"), 29), 6: (ip_network("fd00::/122"), 125)}
SUBNETS = [
    subnet
    for parent in (ip_network("10.0.0.32/27"), ip_network("fd00::/123"))
    for length in range(parent.prefixlen - 1, parent.max_prefixlen + 1)
    for subnet in (
        list(parent.subnets(new_prefix=length))[-4:]
        if length >= parent.prefixlen
        else [parent.supernet(new_prefix=length)]
    )
]
RESERVED = [ip_network("10.0.0.56/30"), ip_network("fd00::11/128")]
SERIAL = {"com.docker.network.ipam.serial": "true"}


def reserved_in(subnet: Network) -> set[Address]:
    if subnet.version == 6:
        return {subnet[0]}
    return {subnet[0], subnet[-1]} if subnet.num_addresses > 2 else set()


class AgainstSets(RuleBasedStateMachine):
    """Pools by id, and for each subnet the set of its taken addresses."""

    @initialize()
    def start(self) -> None:
        self.ipam = DefaultIPAM(
            local_pools=[(str(base), length) for base, length in BASES.values()],
            reserved=[str(network) for network in RESERVED],
        )
        self.pools: dict[str, tuple[Network, Network]] = {}
        self.taken: dict[Network, set[Address]] = {}
        self.cursor: dict[Network, Address] = {}

    def hold(self, pool_id: str, subnet: Network, dynamic: Network) -> None:
        self.pools[pool_id] = (subnet, dynamic)
        self.taken.setdefault(subnet, reserved_in(subnet))

    @rule(subnet=st.sampled_from(SUBNETS))
    def named(self, subnet: Network) -> None:
        overlapping = any(
            held.version == subnet.version and held.overlaps(subnet) for held in self.taken
        )
        try:
            pool_id = self.ipam.request_pool(LOCAL, str(subnet)).pool_id
        except PoolOverlapError:
            assert overlapping
        else:
            assert not overlapping
            self.hold(pool_id, subnet, subnet)

    @rule(subnet=st.sampled_from(SUBNETS), data=st.data())
    def named_with_a_range(self, subnet: Network, data: st.DataObject) -> None:
        length = data.draw(st.integers(subnet.prefixlen, subnet.max_prefixlen))
        dynamic = data.draw(st.sampled_from(list(subnet.subnets(new_prefix=length))))
        pool_id = f"{LOCAL}/{subnet}/{dynamic}"
        try:
            lease = self.ipam.request_pool(LOCAL, str(subnet), str(dynamic))
        except PoolOverlapError:
            assert pool_id in self.pools
        else:
            assert lease.pool_id == pool_id
            assert pool_id not in self.pools
            self.hold(pool_id, subnet, dynamic)

    @rule(version=st.sampled_from([4, 6]), longer=st.integers(0, 3), sized=st.booleans())
    def automatic(self, version: int, longer: int, sized: bool) -> None:
        base, length = BASES[version]
        asked = None
        if sized:
            length += longer
            asked = f"0.0.0.0/{length}" if version == 4 else f"::/{length}"
        blocked = [n for n in (*self.taken, *RESERVED) if n.version == version]
        expected = next(
            (
                candidate
                for candidate in base.subnets(new_prefix=length)
                if not any(candidate.overlaps(network) for network in blocked)
            ),
            None,
        )
        try:
            lease = self.ipam.request_pool(LOCAL, asked, v6=version == 6)
        except PoolExhaustedError:
            assert expected is None
        else:
            assert str(lease.pool) == str(expected)
            self.hold(lease.pool_id, expected, expected)

    @precondition(lambda self: self.pools)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        pool_id = data.draw(st.sampled_from(sorted(self.pools)))
        self.ipam.release_pool(pool_id)
        subnet, _ = self.pools.pop(pool_id)
        if all(other != subnet for other, _ in self.pools.values()):
            del self.taken[subnet]
            self.cursor.pop(subnet, None)
        try:
            self.ipam.release_pool(pool_id)
        except NotFoundError:
            pass
        else:
            raise AssertionError("a pool was released twice")

    @precondition(lambda self: self.pools)
    @rule(data=st.data(), serial=st.booleans())
    def address(self, data: st.DataObject, serial: bool) -> None:
        pool_id = data.draw(st.sampled_from(sorted(self.pools)))
        subnet, dynamic = self.pools[pool_id]
        free = [address for address in dynamic if address not in self.taken[subnet]]
        behind = [a for a in free if serial and subnet in self.cursor and a > self.cursor[subnet]]
        expected = min(behind or free, default=None)
        try:
            lease = self.ipam.request_address(pool_id, options=SERIAL if serial else None)
        except PoolExhaustedError:
            assert expected is None
        else:
            assert str(lease.address) == f"{expected}/{subnet.prefixlen}"
            self.taken[subnet].add(expected)
            self.cursor[subnet] = expected

    @precondition(lambda self: self.pools)
    @rule(data=st.data(), offset=st.integers(-2, 70), give=st.booleans())
    def address_of_choice(self, data: st.DataObject, offset: int, give: bool) -> None:
        pool_id = data.draw(st.sampled_from(sorted(self.pools)))
        subnet, _ = self.pools[pool_id]
        wanted = subnet[0] + offset
        outside = wanted not in subnet
        try:
            if give:
                self.ipam.request_address(pool_id, str(wanted))
            else:
                self.ipam.release_address(pool_id, str(wanted))
        except OutOfSubnetError:
            assert outside
        except AddressInUseError:
            assert give
            assert wanted in self.taken[subnet]
        else:
            assert not outside
            if give:
                assert wanted not in self.taken[subnet]
                self.taken[subnet].add(wanted)
            elif wanted not in reserved_in(subnet):
                self.taken[subnet].discard(wanted)

    @invariant()
    def counts_agree(self) -> None:
        for pool_id, (subnet, dynamic) in getattr(self, "pools", {}).items():
            status = self.ipam.status(pool_id)
            taken = self.taken[subnet]
            assert status.ips_in_use == len(taken)
            assert status.dynamic_ips_available == sum(address not in taken for address in dynamic)

    @invariant()
    def free_subnets_agree(self) -> None:
        for version, (base, _) in BASES.items():
            for small in base.subnets(new_prefix=base.max_prefixlen - 1):
                end = self.ipam._ledger.subnets.end_of_overlap(
                    space_key(LOCAL, version), int(small[0]), int(small[-1])
                )
                assert (end is not None) == any(
                    held.version == version and held.overlaps(small) for held in self.taken
                )

    @invariant()
    def overlaps_agree(self) -> None:
        for parent in (ip_network("10.0.0.32/27"), ip_network("fd00::/125")):
            assert list(self.ipam.overlapping(LOCAL, str(parent))) == sorted(
                pool_id
                for pool_id, (subnet, _) in self.pools.items()
                if subnet.version == parent.version and subnet.overlaps(parent)
            )

    def teardown(self) -> None:
        ledger = self.ipam._ledger
        for pool_id in self.pools:
            self.ipam.release_pool(pool_id)
        for table in ("pool_subnet", "pool", "pool_run", "address_run"):
            rows = ledger._connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
            assert rows.fetchone() == (0,), table


AgainstSets.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstSets = AgainstSets.TestCase


@settings(max_examples=150, deadline=None)
@given(
    base=st.sampled_from([0, 1, 1 << 64, LARGEST - 40]),
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=25
    ),
)
def test_runs_are_a_set_and_maximal(base: int, steps: list[tuple[bool, int, int]]) -> None:
    ledger, model = Ledger(), set[int]()
    universe = range(base, min(base + 41, LARGEST + 1))
    for put, start, length in steps:
        first = base + start
        last = min(first + length, universe[-1])
        if first > last:
            continue
        if put:
            ledger.subnets.add("x", first, last)
            model |= set(range(first, last + 1))
        else:
            ledger.subnets.remove("x", first, last)
            model -= set(range(first, last + 1))
        ledger.subnets.add("another", first, last)

        rows = [
            (int.from_bytes(start), int.from_bytes(end))
            for start, end in ledger._connection.execute(
                "SELECT first, last FROM pool_run WHERE owner = 'x' ORDER BY first"
            )
        ]
        assert {number for start, end in rows for number in range(start, end + 1)} == model
        assert all(end + 1 < next_start for (_, end), (next_start, _) in pairwise(rows))
        assert ledger.subnets.count("x", first, last) == len(model & set(range(first, last + 1)))
        free = [number for number in range(first, last + 1) if number not in model]
        assert ledger.subnets.lowest_free("x", first, last) == min(free, default=None)
