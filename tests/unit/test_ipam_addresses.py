"""Which address an endpoint gets: libnetwork reference 2.4."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from ipaddress import ip_address

import pytest
from netaddr import IPAddress, IPNetwork

from pycnm.errors import (
    AddressInUseError,
    InvalidArgumentError,
    NotFoundError,
    OutOfSubnetError,
    PoolExhaustedError,
)
from pycnm.ipam import DefaultIPAM

LOCAL = "LocalDefault"
SERIAL = {"com.docker.network.ipam.serial": "true"}
GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}


@pytest.fixture
def ipam() -> DefaultIPAM:
    return DefaultIPAM()


def given(ipam: DefaultIPAM, pool_id: str, count: int = 1, **options: object) -> list[str]:
    return [str(ipam.request_address(pool_id, **options).address.ip) for _ in range(count)]


def exhaust(ipam: DefaultIPAM, pool_id: str, **options: object) -> list[str]:
    got: list[str] = []
    with suppress(PoolExhaustedError):
        while True:
            got += given(ipam, pool_id, **options)
    return got


def test_the_address_carries_the_prefix_length_of_its_subnet(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.20.30.0/24", "10.20.30.128/25").pool_id

    address, data = ipam.request_address(pool_id)

    assert str(address) == "10.20.30.128/24"
    assert isinstance(address, IPNetwork)
    assert data == {}


@pytest.mark.parametrize(
    ("subnet", "count", "last"),
    [
        ("192.168.59.0/24", 254, "192.168.59.254"),
        ("192.168.240.0/20", 255, "192.168.240.255"),
        ("192.168.0.0/16", 256, "192.168.1.0"),
        ("10.128.0.0/12", 255, "10.128.0.255"),
        ("10.0.0.0/8", 256, "10.0.1.0"),
        ("192.168.128.0/18", 1023, "192.168.131.255"),
        ("fd00::/64", 300, "fd00::12c"),
    ],
)
def test_addresses_come_lowest_first(ipam: DefaultIPAM, subnet: str, count: int, last: str) -> None:
    pool_id = ipam.request_pool(LOCAL, subnet).pool_id

    assert given(ipam, pool_id, count)[-1] == last


@pytest.mark.parametrize(
    ("subnet", "usable"),
    [
        ("10.0.0.0/29", [f"10.0.0.{host}" for host in range(1, 7)]),
        ("10.0.0.4/30", ["10.0.0.5", "10.0.0.6"]),
        ("10.0.0.2/31", ["10.0.0.2", "10.0.0.3"]),
        ("10.0.0.1/32", ["10.0.0.1"]),
        ("255.255.255.248/29", [f"255.255.255.{host}" for host in range(249, 255)]),
        ("fd00::/125", [f"fd00::{host}" for host in range(1, 8)]),
        ("fd00::/127", ["fd00::1"]),
        ("fd00::1/128", []),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
            ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ),
    ],
)
def test_reserved_addresses_are_never_chosen(
    ipam: DefaultIPAM, subnet: str, usable: list[str]
) -> None:
    pool_id = ipam.request_pool(LOCAL, subnet).pool_id

    assert exhaust(ipam, pool_id) == usable


def test_an_exhausted_pool_says_so(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/30").pool_id
    exhaust(ipam, pool_id)

    with pytest.raises(PoolExhaustedError, match="no available addresses on this pool") as caught:
        ipam.request_address(pool_id)
    assert pool_id in str(caught.value)
    assert caught.value.errno == errno.ENOSPC


def test_a_released_address_is_the_next_one_given(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "192.168.0.0/23").pool_id
    exhaust(ipam, pool_id)

    for address in ("192.168.0.1", "192.168.0.30", "192.168.0.255", "192.168.1.0", "192.168.1.254"):
        ipam.release_address(pool_id, address)
        assert given(ipam, pool_id) == [address]
    for address in ("192.168.1.9", "192.168.0.9"):
        ipam.release_address(pool_id, address)
    assert exhaust(ipam, pool_id) == ["192.168.0.9", "192.168.1.9"]


def test_a_range_gives_all_of_its_addresses_and_the_gateway_is_its_first(
    ipam: DefaultIPAM,
) -> None:
    pool_id = ipam.request_pool(LOCAL, "172.28.0.0/16", "172.28.30.0/24").pool_id

    assert given(ipam, pool_id, options=GATEWAY) == ["172.28.30.0"]
    assert exhaust(ipam, pool_id) == [f"172.28.30.{host}" for host in range(1, 256)]
    ipam.release_address(pool_id, "172.28.30.97")
    assert given(ipam, pool_id) == ["172.28.30.97"]


def test_a_gateway_is_an_address_like_another(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    assert given(ipam, pool_id, options=GATEWAY) == ["10.0.0.1"]
    assert given(ipam, pool_id) == ["10.0.0.2"]
    assert str(ipam.request_address(pool_id, "10.0.0.254", GATEWAY).address) == "10.0.0.254/24"


def test_a_range_at_the_edge_of_the_subnet_skips_the_reserved(ipam: DefaultIPAM) -> None:
    low = ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.0/30").pool_id
    high = ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.252/30").pool_id

    assert exhaust(ipam, low) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert exhaust(ipam, high) == ["10.0.0.252", "10.0.0.253", "10.0.0.254"]


def test_an_address_of_ones_choice_may_lie_outside_the_range(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.2.0.0/16", "10.2.2.0/24").pool_id

    assert given(ipam, pool_id, address="10.2.99.9") == ["10.2.99.9"]
    assert given(ipam, pool_id, address=IPAddress("10.2.2.1")) == ["10.2.2.1"]
    assert given(ipam, pool_id, address=IPNetwork("10.2.2.2/16")) == ["10.2.2.2"]
    assert given(ipam, pool_id, 2) == ["10.2.2.0", "10.2.2.3"]


@pytest.mark.parametrize(
    ("address", "why"),
    [("10.0.0.9", "taken"), ("10.0.0.0", "reserved"), ("10.0.0.255", "reserved")],
)
def test_an_address_that_is_taken_is_refused(ipam: DefaultIPAM, address: str, why: str) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id
    ipam.request_address(pool_id, "10.0.0.9")

    with pytest.raises(AddressInUseError, match=f"Address already in use: {address} is {why}") as e:
        ipam.request_address(pool_id, address)
    assert e.value.errno == errno.EADDRINUSE


def test_pools_of_one_subnet_share_its_addresses(ipam: DefaultIPAM) -> None:
    first = ipam.request_pool(LOCAL, "10.0.0.0/16", "10.0.1.0/24").pool_id
    second = ipam.request_pool(LOCAL, "10.0.0.0/16", "10.0.1.0/25").pool_id

    assert given(ipam, first, 2) == ["10.0.1.0", "10.0.1.1"]
    assert given(ipam, second, 2) == ["10.0.1.2", "10.0.1.3"]
    with pytest.raises(AddressInUseError):
        ipam.request_address(second, "10.0.1.1")


def test_nested_subnets_count_their_addresses_apart(ipam: DefaultIPAM) -> None:
    outer = ipam.request_pool(LOCAL, "10.0.0.0/8", "10.0.0.0/16").pool_id
    inner = ipam.request_pool(LOCAL, "10.0.0.0/16", "10.0.0.0/24").pool_id

    assert given(ipam, outer) == given(ipam, inner) == ["10.0.0.1"]


@pytest.mark.parametrize("address", ["10.0.1.0", "9.255.255.255", "fd00::1", "::a00:1"])
def test_an_address_outside_the_subnet(ipam: DefaultIPAM, address: str) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    for verb in (ipam.request_address, ipam.release_address):
        with pytest.raises(OutOfSubnetError, match="out of range") as caught:
            verb(pool_id, address)
        assert caught.value.errno == errno.EADDRNOTAVAIL


def test_an_address_with_the_prefix_length_of_another_subnet(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    with pytest.raises(InvalidArgumentError, match="prefix length"):
        ipam.request_address(pool_id, "10.0.0.5/16")
    assert str(ipam.request_address(pool_id, "10.0.0.5/24").address) == "10.0.0.5/24"


def test_releasing_what_is_not_taken_is_fine(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id
    lease = ipam.request_address(pool_id)

    ipam.release_address(pool_id, "10.0.0.77")
    ipam.release_address(pool_id, lease.address)
    ipam.release_address(pool_id, lease.address)

    assert ipam.status(pool_id).ips_in_use == 2


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.255"])
def test_reserved_addresses_cannot_be_released(ipam: DefaultIPAM, address: str) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    ipam.release_address(pool_id, address)

    with pytest.raises(AddressInUseError):
        ipam.request_address(pool_id, address)


def test_an_unknown_pool(ipam: DefaultIPAM) -> None:
    for call in (
        lambda: ipam.request_address(f"{LOCAL}/10.0.0.0/24"),
        lambda: ipam.release_address(f"{LOCAL}/10.0.0.0/24", "10.0.0.1"),
        lambda: ipam.release_pool(f"{LOCAL}/10.0.0.0/24/10.0.0.0/25"),
        lambda: ipam.status(f"{LOCAL}/fd00::/64"),
    ):
        with pytest.raises(NotFoundError, match="does not contain specified address pool"):
            call()


def test_serial_goes_on_behind_the_last_and_starts_over(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.2.0.0/16", "10.2.2.0/29").pool_id

    assert given(ipam, pool_id, address="10.2.2.1", options=SERIAL) == ["10.2.2.1"]
    assert given(ipam, pool_id, 2, options=SERIAL) == ["10.2.2.0", "10.2.2.2"]
    ipam.release_address(pool_id, "10.2.2.0")
    assert given(ipam, pool_id, options=SERIAL) == ["10.2.2.3"]
    ipam.release_address(pool_id, "10.2.2.1")
    assert exhaust(ipam, pool_id, options=SERIAL) == [
        f"10.2.2.{host}" for host in (4, 5, 6, 7, 0, 1)
    ]
    ipam.release_address(pool_id, "10.2.2.5")
    assert given(ipam, pool_id, options=SERIAL) == ["10.2.2.5"]


def test_explicit_requests_do_not_move_the_cursor_and_chosen_ones_do(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    given(ipam, pool_id, 3)
    ipam.release_address(pool_id, "10.0.0.1")
    ipam.request_address(pool_id, "10.0.0.100")
    assert given(ipam, pool_id, options=SERIAL) == ["10.0.0.4"]
    ipam.release_address(pool_id, "10.0.0.4")
    assert given(ipam, pool_id, options=SERIAL) == ["10.0.0.5"]
    assert given(ipam, pool_id) == ["10.0.0.1"]
    assert given(ipam, pool_id, options=SERIAL) == ["10.0.0.4"]


def test_a_cursor_outside_the_range_starts_the_range_over(ipam: DefaultIPAM) -> None:
    low = ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.16/29").pool_id
    high = ipam.request_pool(LOCAL, "10.0.0.0/24", "10.0.0.128/29").pool_id

    assert given(ipam, low, options=SERIAL) == ["10.0.0.16"]
    assert given(ipam, high, 2, options=SERIAL) == ["10.0.0.128", "10.0.0.129"]
    assert given(ipam, low, 2, options=SERIAL) == ["10.0.0.17", "10.0.0.18"]


def test_the_cursor_goes_with_the_subnet(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id
    given(ipam, pool_id, 3)
    ipam.release_pool(pool_id)
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    assert given(ipam, pool_id, options=SERIAL) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("subnet", "subpool"),
    [("fd00::/64", None), ("fd00::/16", None), ("fd00::/16", "fd00::/60"), ("::/1", "0:1::/64")],
)
def test_only_2_to_the_63_addresses_are_scanned(
    ipam: DefaultIPAM, subnet: str, subpool: str | None
) -> None:
    pool_id = ipam.request_pool(LOCAL, subnet if subnet != "::/1" else "::1/1", subpool).pool_id
    first = int(ip_address((subpool or subnet).split("/")[0]))
    edge = first + (1 << 63)
    held = ipam._ledger.pool(pool_id)
    ipam._ledger.addresses.add(held.key, first, edge - 3)

    assert given(ipam, pool_id, 2) == [str(ip_address(edge - 2)), str(ip_address(edge - 1))]
    with pytest.raises(PoolExhaustedError):
        ipam.request_address(pool_id)
    assert given(ipam, pool_id, address=str(ip_address(edge))) == [str(ip_address(edge))]


def test_status_counts_all_in_the_subnet_and_what_is_free_in_the_range(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/16", "10.0.1.0/24").pool_id
    given(ipam, pool_id, 10)
    ipam.request_address(pool_id, "10.0.9.9")

    status = ipam.status(pool_id)

    assert (status.ips_in_use, status.dynamic_ips_available) == (13, 246)


def test_status_saturates(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "fd00::/48").pool_id

    assert ipam.status(pool_id).dynamic_ips_available == 2**64 - 1
    assert ipam.status(pool_id).ips_in_use == 1
    held = ipam._ledger.pool(pool_id)
    ipam._ledger.addresses.add(held.key, held.subnet.first, held.subnet.last)
    assert ipam.status(pool_id).ips_in_use == 2**64 - 1
    assert ipam.status(pool_id).dynamic_ips_available == 0


def test_threads_never_get_the_same_address_or_subnet(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/16").pool_id
    addresses: list[str] = []
    subnets: list[str] = []
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def work() -> None:
        try:
            start.wait()
            for turn in range(100):
                address = given(ipam, pool_id)[0]
                if turn % 3:
                    addresses.append(address)
                else:
                    ipam.release_address(pool_id, address)
                if turn % 20 == 0:
                    subnets.append(str(ipam.request_pool("GlobalDefault").pool))
        except BaseException as error:  # noqa: BLE001 - reported by the test's thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(set(addresses)) == len(addresses) == 8 * 66
    assert len(set(subnets)) == len(subnets) == 8 * 5
    assert ipam.status(pool_id).ips_in_use == 2 + 8 * 66
