"""Which subnet a network gets: libnetwork reference 2.3."""

from __future__ import annotations

import errno
import itertools

import pytest
from netaddr import IPAddress, IPNetwork

from pycnm.errors import (
    InvalidArgumentError,
    NotFoundError,
    PoolExhaustedError,
    PoolOverlapError,
)
from pycnm.ipam import IPAM, DefaultIPAM

LOCAL = "LocalDefault"
GLOBAL = "GlobalDefault"


def automatic(ipam: IPAM, count: int, space: str = LOCAL, **options: object) -> list[str]:
    return [str(ipam.request_pool(space, **options).pool) for _ in range(count)]


def test_is_called_default_and_has_dockers_address_spaces() -> None:
    assert DefaultIPAM.name == "default"
    assert DefaultIPAM().default_address_spaces() == (LOCAL, GLOBAL)


def test_local_pools_are_31_networks_in_dockers_order() -> None:
    ipam = DefaultIPAM()

    got = automatic(ipam, 31)

    assert got == [f"172.{second}.0.0/16" for second in range(17, 32)] + [
        f"192.168.{third}.0/20" for third in range(0, 256, 16)
    ]
    with pytest.raises(PoolExhaustedError, match="have been fully subnetted") as caught:
        ipam.request_pool(LOCAL)
    assert caught.value.errno == errno.ENOSPC


def test_global_pools_are_10_in_24() -> None:
    got = automatic(DefaultIPAM(), 257, GLOBAL)

    assert got[:2] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert got[256] == "10.1.0.0/24"


@pytest.mark.parametrize(
    ("host_id", "first"),
    [
        ("", "fd42:98fc:1c14::/64"),
        ("499d4bc0-b0b3-416f-b1ee-cf6486315593", "fd62:fb69:18af::/64"),
    ],
)
def test_ipv6_comes_from_the_hosts_own_unique_local_prefix(host_id: str, first: str) -> None:
    ipam = DefaultIPAM(host_id=host_id)

    first_two = automatic(ipam, 2, v6=True)

    assert first_two == [first, str(IPNetwork(first).next())]


def test_a_configured_ipv6_pool_replaces_the_hosts_own() -> None:
    ipam = DefaultIPAM(local_pools=[("2001:db8::/63", 64)])

    assert automatic(ipam, 2, v6=True) == ["2001:db8::/64", "2001:db8:0:1::/64"]
    with pytest.raises(PoolExhaustedError):
        ipam.request_pool(LOCAL, v6=True)


def test_a_cluster_has_no_ipv6_pool_unless_configured() -> None:
    with pytest.raises(InvalidArgumentError, match="invalid address pool"):
        DefaultIPAM().request_pool(GLOBAL, v6=True)


def test_a_freed_subnet_is_given_out_first() -> None:
    ipam = DefaultIPAM()
    leases = [ipam.request_pool(LOCAL) for _ in range(4)]

    ipam.release_pool(leases[2].pool_id)
    ipam.release_pool(leases[1].pool_id)

    assert automatic(ipam, 3) == ["172.18.0.0/16", "172.19.0.0/16", "172.21.0.0/16"]


def test_pools_are_sorted_and_overlapping_ones_dropped() -> None:
    ipam = DefaultIPAM(
        local_pools=[
            ("192.168.0.0/24", 24),
            ("10.0.0.0/30", 31),
            ("10.0.0.7/29", 30),  # host bits; covers the one before
            ("10.0.0.4/30", 32),
        ],
        reserved=["10.0.0.6"],
    )

    assert automatic(ipam, 2) == ["10.0.0.0/30", "192.168.0.0/24"]
    with pytest.raises(PoolExhaustedError):
        ipam.request_pool(LOCAL)


@pytest.mark.parametrize(
    ("bases", "taken", "reserved", "expected"),
    [
        (["192.168.0.0/16-24"], ["192.168.255.0/24"], [], "192.168.0.0/24"),
        (["10.0.0.0/8-24", "192.168.0.0/16-24"], ["10.0.0.0/8"], ["10.0.0.0/7"], "192.168.0.0/24"),
        (
            ["10.20.0.0/16-24", "192.168.0.0/16-24"],
            ["10.0.0.0/8", "192.168.0.0/24", "192.168.128.0/24"],
            [],
            "192.168.1.0/24",
        ),
        (
            ["10.20.0.0/22-24", "192.168.0.0/16-24"],
            ["10.20.0.0/24", "10.20.1.0/24", "10.20.2.0/24", "192.168.128.0/24"],
            ["10.20.3.0/24"],
            "192.168.0.0/24",
        ),
        (
            ["10.20.0.0/16-24", "192.168.0.0/16-24"],
            ["10.20.0.0/17", "10.20.128.0/17"],
            ["200.1.2.0/24"],
            "192.168.0.0/24",
        ),
        (
            ["192.168.0.0/16-24"],
            ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.0/23", "192.168.4.0/30"],
            [],
            "192.168.5.0/24",
        ),
        (
            ["10.0.0.0/31-31", "192.168.0.0/16-24"],
            ["10.0.0.0/32", "100.0.0.0/32", "200.0.0.0/32"],
            [],
            "192.168.0.0/24",
        ),
        (
            ["192.168.0.0/16-24"],
            ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.0/30"],
            ["192.168.2.4/30", "192.168.3.0/30", "192.168.4.0/23"],
            "192.168.6.0/24",
        ),
        (["192.168.0.0/16-24"], ["192.168.0.0/24"], ["192.168.0.0/24"], "192.168.1.0/24"),
        (
            ["10.0.0.0/8-16", "192.168.0.0/16-24"],
            [],
            ["10.0.0.53", "10.0.0.0/8", "10.0.0.0"],
            "192.168.0.0/24",
        ),
        (["172.16.0.0/15-16"], ["172.16.0.0/16", "172.17.0.0/17"], [], None),
        (["172.16.0.0/15-16"], ["172.16.0.0/16"], ["172.17.255.255"], None),
        (["172.16.0.0/15-16"], [], ["0.0.0.0/0"], None),
        (["fd00::/62-64"], ["fd00::/64"], ["fd00:0:0:1::53", "0.0.0.0/0"], "fd00:0:0:2::/64"),
    ],
)
def test_the_first_gap_between_taken_and_reserved(
    bases: list[str], taken: list[str], reserved: list[str], expected: str | None
) -> None:
    pairs = [(base.split("-")[0], int(base.split("-")[1])) for base in bases]
    by_constructor = DefaultIPAM(local_pools=pairs, reserved=reserved)
    by_call = DefaultIPAM(local_pools=pairs)
    v6 = ":" in bases[0]

    for ipam, exclude in ((by_constructor, []), (by_call, reserved)):
        for subnet in taken:
            ipam.request_pool(LOCAL, subnet)
        if expected is None:
            with pytest.raises(PoolExhaustedError):
                ipam.request_pool(LOCAL, exclude=exclude)
        else:
            assert str(ipam.request_pool(LOCAL, v6=v6, exclude=exclude).pool) == expected


def test_the_error_of_exhaustion_names_what_was_kept_off() -> None:
    ipam = DefaultIPAM(local_pools=[("10.0.0.0/23", 24)], reserved=["10.0.0.53"])

    with pytest.raises(PoolExhaustedError, match=r"10\.0\.0\.0/23 in /24 .*10\.0\.0\.53/32, 10\.0"):
        ipam.request_pool(LOCAL, exclude=[IPNetwork("10.0.1.0/25"), "fd00::/8"])


def test_reserved_networks_bind_one_host_only() -> None:
    ipam = DefaultIPAM(reserved=["10.0.0.0/24", IPAddress("172.17.0.53")])

    assert automatic(ipam, 1) == ["172.18.0.0/16"]
    assert automatic(ipam, 1, GLOBAL) == ["10.0.0.0/24"]


def test_an_explicit_subnet_may_lie_in_reserved_networks() -> None:
    ipam = DefaultIPAM(reserved=["10.0.0.0/8"])

    assert str(ipam.request_pool(LOCAL, "10.1.0.0/16", exclude=["10.1.0.0/16"]).pool) == (
        "10.1.0.0/16"
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("0.0.0.0/24", "172.17.0.0/24"),
        ("0.0.0.0/14", "172.20.0.0/14"),
        ("0.0.0.0/0", "172.17.0.0/16"),
        ("0.0.0.0/32", "172.17.0.0/32"),
        (IPNetwork("0.0.0.0/17"), "172.17.0.0/17"),
        ("::/120", "fd42:98fc:1c14::/120"),
        ("::/0", "fd42:98fc:1c14::/64"),
    ],
)
def test_a_subnet_of_a_length(asked: str | IPNetwork, expected: str) -> None:
    assert str(DefaultIPAM().request_pool(LOCAL, asked).pool) == expected


@pytest.mark.parametrize("asked", ["0.0.0.0/13", "0.0.0.0/1", "::/47"])
def test_a_length_no_pool_has(asked: str) -> None:
    with pytest.raises(InvalidArgumentError, match="invalid address pool"):
        DefaultIPAM().request_pool(LOCAL, asked)


def test_lengths_mix_in_one_pool() -> None:
    ipam = DefaultIPAM(local_pools=[("10.0.0.0/24", 26)])

    asked = [None, "0.0.0.0/28", "0.0.0.0/27", None, "0.0.0.0/28", None]

    assert [str(ipam.request_pool(LOCAL, pool).pool) for pool in asked] == [
        "10.0.0.0/26",
        "10.0.0.64/28",
        "10.0.0.96/27",
        "10.0.0.128/26",
        "10.0.0.80/28",
        "10.0.0.192/26",
    ]


def test_host_bits_are_masked() -> None:
    lease = DefaultIPAM().request_pool(LOCAL, "10.20.30.40/24", "10.20.30.99/28")

    assert lease.pool == IPNetwork("10.20.30.0/24")
    assert lease.pool_id == f"{LOCAL}/10.20.30.0/24/10.20.30.96/28"


def test_a_lease_unpacks() -> None:
    pool_id, pool, data = DefaultIPAM().request_pool(LOCAL, "fd00:1::/64")

    assert (pool_id, pool, data) == (f"{LOCAL}/fd00:1::/64", IPNetwork("fd00:1::/64"), {})


@pytest.mark.parametrize(
    ("taken", "asked", "overlaps"),
    [
        ("10.0.0.0/8", "11.0.0.0/8", False),
        ("74.0.0.0/7", "9.111.99.72/30", False),
        ("10.0.0.0/8", "10.0.0.0/8", True),
        ("16.0.0.0/4", "17.11.66.0/23", True),
        ("64.0.0.0/6", "64.0.0.0/3", True),
        ("112.0.0.0/6", "112.0.0.0/4", True),
        ("192.0.0.0/2", "128.0.0.0/1", True),
        ("95.0.0.0/8", "92.0.0.0/6", True),
        ("10.0.0.0/8", "10.0.0.0/6", True),
        ("8000::/1", "8fe8:e7c4:5779::/49", True),
        ("f000::/4", "ffc7:6000::/19", True),
        ("c000::/2", "8000::/1", True),
        ("cf80::/9", "c000::/4", True),
        ("3ea1:bfa9:8691:d1c6:8c46:519b:db6d:e700/120", "3000::/4", True),
        ("10.0.0.0/8", "::a00:0/104", False),  # the same numbers, another IP version
    ],
)
def test_overlap(taken: str, asked: str, overlaps: bool) -> None:
    ipam = DefaultIPAM()
    held = ipam.request_pool(LOCAL, taken).pool_id

    assert ipam.overlapping(LOCAL, asked) == ((held,) if overlaps else ())
    if overlaps:
        with pytest.raises(PoolOverlapError, match="Pool overlaps with other one") as caught:
            ipam.request_pool(LOCAL, asked)
        assert held in str(caught.value)
        assert caught.value.errno == errno.EADDRINUSE
    else:
        ipam.request_pool(LOCAL, asked)


def test_address_spaces_are_independent() -> None:
    ipam = DefaultIPAM()

    local = ipam.request_pool(LOCAL, "10.0.0.0/8")
    everywhere = ipam.request_pool(GLOBAL, "10.0.0.0/8")

    assert local.pool_id == f"{LOCAL}/10.0.0.0/8"
    assert everywhere.pool_id == f"{GLOBAL}/10.0.0.0/8"
    assert ipam.request_address(local.pool_id) == ipam.request_address(everywhere.pool_id)


def test_with_a_range_overlap_is_allowed_and_only_the_pair_refused() -> None:
    ipam = DefaultIPAM()
    ipam.request_pool(LOCAL, "10.0.0.0/8")

    pairs = [
        ("10.0.0.0/8", "10.10.0.0/16"),
        ("10.0.0.0/8", "10.10.0.0/17"),
        ("10.0.0.0/16", "10.0.0.0/24"),
        ("10.0.0.0/16", "10.0.0.0/16"),
        ("8.0.0.0/6", "11.0.0.0/8"),
    ]
    ids = [ipam.request_pool(LOCAL, pool, subpool).pool_id for pool, subpool in pairs]

    assert ids == [f"{LOCAL}/{pool}/{subpool}" for pool, subpool in pairs]
    for pool, subpool in pairs:
        with pytest.raises(PoolOverlapError, match=f"{pool}/{subpool}"):
            ipam.request_pool(LOCAL, pool, subpool)
    with pytest.raises(PoolOverlapError):
        ipam.request_pool(LOCAL, "10.5.0.0/16")
    assert ipam.overlapping(LOCAL, "10.0.0.0/24") == tuple(sorted([f"{LOCAL}/10.0.0.0/8", *ids]))


def test_automatic_subnets_keep_off_nested_ones_until_the_last_is_gone() -> None:
    ipam = DefaultIPAM(local_pools=[("10.0.0.0/22", 24)])
    outer = ipam.request_pool(LOCAL, "10.0.0.0/23", "10.0.0.0/25").pool_id
    inner = ipam.request_pool(LOCAL, "10.0.1.0/25", "10.0.1.0/26").pool_id

    assert automatic(ipam, 1) == ["10.0.2.0/24"]
    ipam.release_pool(outer)
    assert automatic(ipam, 2) == ["10.0.0.0/24", "10.0.3.0/24"]
    ipam.release_pool(inner)
    assert automatic(ipam, 1) == ["10.0.1.0/24"]


def test_an_inner_subnet_freed_before_the_outer_one_stays_covered() -> None:
    ipam = DefaultIPAM(local_pools=[("10.0.0.0/23", 25)])
    ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.0/25")
    inner = ipam.request_pool(LOCAL, "10.0.0.128/25", "10.0.0.128/26").pool_id

    ipam.release_pool(inner)

    assert automatic(ipam, 1) == ["10.0.1.0/25"]


def test_a_range_larger_than_the_subnet_is_the_subnet() -> None:
    lease = DefaultIPAM().request_pool(LOCAL, "10.0.0.0/24", "10.0.0.0/8")

    assert lease.pool_id == f"{LOCAL}/10.0.0.0/24/10.0.0.0/24"


@pytest.mark.parametrize("subpool", ["10.0.1.0/25", "fd00::/64", "11.0.0.0/8"])
def test_a_range_elsewhere_is_refused(subpool: str) -> None:
    ipam = DefaultIPAM()

    with pytest.raises(InvalidArgumentError, match="does not lie in the subnet"):
        ipam.request_pool(LOCAL, "10.0.0.0/24", subpool)
    assert ipam.overlapping(LOCAL, "0.0.0.0/0") == ()


@pytest.mark.parametrize("pool", [None, "0.0.0.0/24"])
def test_a_range_without_a_subnet_is_refused(pool: str | None) -> None:
    with pytest.raises(InvalidArgumentError, match="name the subnet"):
        DefaultIPAM().request_pool(LOCAL, pool, "10.0.0.0/25")


def test_releasing_a_pool_twice_is_an_error() -> None:
    ipam = DefaultIPAM()
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/8").pool_id

    ipam.release_pool(pool_id)

    with pytest.raises(NotFoundError, match="does not contain specified address pool"):
        ipam.release_pool(pool_id)


def test_a_subnet_lives_as_long_as_one_of_its_pools() -> None:
    ipam = DefaultIPAM()
    whole = ipam.request_pool(LOCAL, "10.0.0.0/8").pool_id
    part = ipam.request_pool(LOCAL, "10.0.0.0/8", "10.0.0.0/16").pool_id
    ipam.request_address(part, "10.9.9.9")

    ipam.release_pool(whole)

    with pytest.raises(NotFoundError):
        ipam.request_address(whole)
    with pytest.raises(NotFoundError):
        ipam.release_pool(whole)
    with pytest.raises(PoolOverlapError):
        ipam.request_pool(LOCAL, "10.0.0.0/8")
    assert ipam.status(part).ips_in_use == 3

    ipam.release_pool(part)
    fresh = ipam.request_pool(LOCAL, "10.0.0.0/8").pool_id
    assert fresh == whole
    assert ipam.status(fresh).ips_in_use == 2


def test_a_thousand_pools() -> None:
    ipam = DefaultIPAM()
    got = automatic(ipam, 1100, GLOBAL)

    assert got[-1] == "10.4.75.0/24"
    ipam.release_pool(f"{GLOBAL}/{got[500]}")
    assert automatic(ipam, 2, GLOBAL) == [got[500], "10.4.76.0/24"]


def test_a_twin_over_another_ledger_decides_alike_and_apart() -> None:
    first = DefaultIPAM(local_pools=[("10.0.0.0/15", 16)])
    second = first.over(DefaultIPAM()._ledger)

    assert automatic(first, 1) == automatic(second, 1) == ["10.0.0.0/16"]
    assert [str(pool) for pool in itertools.chain(first.overlapping(LOCAL, "10.0.0.0/8"))] == [
        f"{LOCAL}/10.0.0.0/16"
    ]
