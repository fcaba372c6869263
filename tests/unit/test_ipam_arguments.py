"""Bad input: every argument of every public call, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from netaddr import IPAddress, IPNetwork

from pycnm.errors import CNMError, InvalidArgumentError, NotFoundError
from pycnm.ipam import IPAM, AddressLease, DefaultIPAM, Ledger, NullIPAM, PoolLease

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL = "LocalDefault"

NOT_TEXT = [0, -1, 1 << 200, 1.5, True, b"10.0.0.0/8", [], {}, object, Ellipsis]
BAD_TEXT = [
    "",
    " ",
    "\x00",
    "10.0.0.0/8\x00",
    "\x0010.0.0.0/8",
    "10.0.0.0/８",
    "10.0.0.0/-1",
    "10.0.0.0/+8",
    "10.0.0.0/ 8",
    "10.0.0.0/33",
    "10.0.0.0/" + "0" * 10_000,
    "10.0.0.0/255.0.0.0",
    "10.0.0.0/8/8",
    "10.0.0/24",
    "10/8",
    "010.0.0.0/8",
    "0x0a.0.0.0/8",
    "256.0.0.0/8",
    "fd00::/129",
    "fd00:::/64",
    "fe80::1%eth0/64",
    "/24",
    "::ffff:10.0.0.0/129",
    "\ud800/8",
    "тест",
    "x" * 1_000_000,
    "../../etc",
]
SPACES = ["", "localdefault", "LocalDefault\x00", "null", None, "x" * 300, "LocalDefault/4"]
OPTIONS = ["x", ["a"], {1: "a"}, {"a": 1}, {"a": None}, {"nope": "x"}, 7]


def refused(call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        call(*arguments, **named)
    sentence = str(caught.value)
    assert 20 < len(sentence) < 600, sentence
    assert sentence.isprintable(), sentence
    return sentence


@pytest.fixture
def ipam() -> DefaultIPAM:
    return DefaultIPAM()


@pytest.mark.parametrize("value", [*SPACES, *NOT_TEXT], ids=repr)
def test_space(ipam: DefaultIPAM, value: Any) -> None:
    assert "LocalDefault" in refused(ipam.request_pool, value)
    refused(ipam.overlapping, value, "10.0.0.0/8")


@pytest.mark.parametrize("value", [*BAD_TEXT, *NOT_TEXT, IPAddress("10.0.0.1"), "10.0.0.0"])
def test_subnets(ipam: DefaultIPAM, value: Any) -> None:
    refused(ipam.request_pool, LOCAL, value)
    refused(ipam.request_pool, LOCAL, "10.0.0.0/8", value)
    refused(ipam.overlapping, LOCAL, value)
    refused(DefaultIPAM, [(value, 24)])
    refused(DefaultIPAM, None, [(value, 24)])
    assert ipam.overlapping(LOCAL, "0.0.0.0/0") == ()


@pytest.mark.parametrize("value", [*BAD_TEXT, *NOT_TEXT])
def test_addresses(ipam: DefaultIPAM, value: Any) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    refused(ipam.request_address, pool_id, value)
    refused(ipam.release_address, pool_id, value)
    refused(DefaultIPAM, reserved=[value])
    refused(ipam.request_pool, LOCAL, exclude=[value])
    assert ipam.status(pool_id).ips_in_use == 2


@pytest.mark.parametrize(
    "value", [*BAD_TEXT, *NOT_TEXT, *SPACES, f"{LOCAL}/10.0.0.0", f"{LOCAL}//"]
)
def test_pool_ids(ipam: DefaultIPAM, value: Any) -> None:
    for call in (
        ipam.release_pool,
        ipam.request_address,
        ipam.status,
        lambda value: ipam.release_address(value, "10.0.0.1"),
    ):
        refused(call, value)


@pytest.mark.parametrize("value", [f"{LOCAL}/10.0.0.0/8", f"{LOCAL}/fd00::/64/fd00::/65"])
def test_well_formed_ids_of_nothing(ipam: DefaultIPAM, value: str) -> None:
    with pytest.raises(NotFoundError):
        ipam.release_pool(value)


@pytest.mark.parametrize("value", OPTIONS, ids=repr)
def test_options(ipam: DefaultIPAM, value: Any) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    refused(ipam.request_pool, LOCAL, options=value)
    refused(ipam.request_address, pool_id, options=value)
    refused(NullIPAM().request_pool, "null", options=value)


def test_an_unknown_option_names_the_nearest(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    sentence = refused(
        ipam.request_address, pool_id, options={"com.docker.network.ipam.serail": "true"}
    )

    assert "did you mean com.docker.network.ipam.serial?" in sentence


@pytest.mark.parametrize(
    "options",
    [
        {"com.docker.network.ipam.serial": "yes"},
        {"RequestAddressType": "com.docker.network.router"},
    ],
)
def test_option_values(ipam: DefaultIPAM, options: dict[str, str]) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id

    assert "must be" in refused(ipam.request_address, pool_id, options=options)


def test_options_of_endpoints_are_known(ipam: DefaultIPAM) -> None:
    pool_id = ipam.request_pool(LOCAL, "10.0.0.0/24").pool_id
    options = {
        "com.docker.network.endpoint.macaddress": "02:42:0a:00:00:01",
        "com.docker.network.endpoint.name": "web",
        "com.docker.network.ipam.serial": "false",
    }

    assert str(ipam.request_address(pool_id, options=options).address) == "10.0.0.1/24"


@pytest.mark.parametrize("value", [0, 1, None, "true", []])
def test_v6(ipam: DefaultIPAM, value: Any) -> None:
    refused(ipam.request_pool, LOCAL, v6=value)
    refused(NullIPAM().request_pool, "null", v6=value)


@pytest.mark.parametrize("pool", ["10.0.0.0/8", "0.0.0.0/24", "0.0.0.0/0"])
def test_an_ipv4_subnet_where_ipv6_is_asked(ipam: DefaultIPAM, pool: str) -> None:
    assert "IPv4" in refused(ipam.request_pool, LOCAL, pool, v6=True)
    refused(NullIPAM().request_pool, "null", pool, v6=True)


@pytest.mark.parametrize("value", ["10.0.0.0/8", b"", 7, None])
def test_lists_of_networks(ipam: DefaultIPAM, value: Any) -> None:
    refused(DefaultIPAM, reserved=value)
    refused(ipam.request_pool, LOCAL, exclude=value)
    refused(NullIPAM().request_pool, "null", exclude=value)


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.0/8",
        7,
        ["10.0.0.0/8"],
        [("10.0.0.0/8",)],
        [("10.0.0.0/8", 16, 24)],
        [None],
        [("10.0.0.0/8", "16")],
        [("10.0.0.0/8", 16.0)],
        [("10.0.0.0/8", True)],
        [("10.0.0.0/8", None)],
        [("10.0.0.0/8", 33)],
        [("10.0.0.0/8", -1)],
        [("10.0.0.0/8", 1 << 80)],
        [("10.0.0.0/16", 8)],
        [("fd00::/48", 32)],
        [("fd00::/48", 129)],
        [("172.17.0.0/16", 16), ("10.0.0.0/16", 15)],
    ],
    ids=repr,
)
def test_lists_of_pools(value: Any) -> None:
    refused(DefaultIPAM, value)
    refused(DefaultIPAM, None, value)


@pytest.mark.parametrize("value", [None, 7, b"id", "\ud800"])
def test_host_id(value: Any) -> None:
    refused(DefaultIPAM, host_id=value)


@pytest.mark.parametrize("value", ["ledger", 7, object()])
def test_ledgers(ipam: DefaultIPAM, value: Any) -> None:
    refused(DefaultIPAM, ledger=value)
    refused(ipam.over, value)
    refused(Ledger, value)


def test_no_pools_at_all() -> None:
    ipam = DefaultIPAM(local_pools=[])

    assert "name a subnet" in refused(ipam.request_pool, LOCAL)
    assert str(ipam.request_pool(LOCAL, v6=True).pool) == "fd42:98fc:1c14::/64"


@pytest.mark.parametrize("value", ["", "a\nb", "\x00", None, 7])
def test_leases_check_their_ids(value: Any) -> None:
    refused(PoolLease, value, "10.0.0.0/8")


@pytest.mark.parametrize("value", ["10.0.0.0", "", None, 7])
def test_leases_check_their_networks(value: Any) -> None:
    refused(PoolLease, "x", value)
    refused(AddressLease, value)


@pytest.mark.parametrize("value", [7, {"a": 1}, {1: "a"}, "x"])
def test_leases_check_their_data(value: Any) -> None:
    refused(PoolLease, "x", "10.0.0.0/8", value)
    refused(AddressLease, "10.0.0.1/8", value)


def test_leases_are_values() -> None:
    data = {"com.docker.network.gateway": "10.0.0.1/8"}
    lease = PoolLease("x", "10.0.0.0/8", data)
    data.clear()

    assert lease == PoolLease(
        "x", IPNetwork("10.0.0.0/8"), {"com.docker.network.gateway": "10.0.0.1/8"}
    )
    assert lease.data == {"com.docker.network.gateway": "10.0.0.1/8"}
    assert len({lease, PoolLease("x", "10.0.0.0/8"), AddressLease("10.0.0.1/8")}) == 3
    with pytest.raises(TypeError):
        lease.data["a"] = "b"  # type: ignore[index]
    with pytest.raises(AttributeError):
        lease.pool_id = "y"  # type: ignore[misc]


class Theirs(IPAM):
    """What another package registers."""

    name = "theirs"

    def request_pool(self, *_: Any, **__: Any) -> PoolLease:
        return PoolLease("theirs/1", "10.0.0.0/8")

    def release_pool(self, pool_id: str) -> None:
        """Nothing to do."""

    def request_address(self, *_: Any, **__: Any) -> AddressLease:
        return AddressLease("10.0.0.7/8")

    def release_address(self, *_: Any) -> None:
        """Nothing to do."""


def test_an_ipam_of_ones_own_needs_four_methods() -> None:
    theirs = Theirs()

    assert theirs.default_address_spaces() == (LOCAL, "GlobalDefault")
    assert theirs.over(Ledger()) is theirs
    with pytest.raises(TypeError):
        IPAM()  # type: ignore[abstract]


class TestNull:
    def test_pools(self) -> None:
        null = NullIPAM()

        assert NullIPAM.name == "null"
        assert null.default_address_spaces() == ("null", "null")
        for pool in (None, "0.0.0.0/0"):
            assert null.request_pool("null", pool) == PoolLease("null/0.0.0.0/0", "0.0.0.0/0")
        for pool in (None, "::/0"):
            assert null.request_pool("null", pool, v6=True) == PoolLease("null/::/0", "::/0")
        assert null.request_pool("null", "::/0").pool_id == "null/::/0"
        null.release_pool("null/::/0")
        null.release_pool("null/::/0")

    def test_gives_no_addresses(self) -> None:
        null = NullIPAM()

        assert null.request_address("null/0.0.0.0/0") is None
        assert null.request_address("null/::/0", options={"RequestAddressType": "x"}) is None
        assert "no addresses to give" in refused(null.request_address, "null/::/0", "fd00::1")
        null.release_address("null/::/0", "fd00::1")

    @pytest.mark.parametrize("value", [*BAD_TEXT, *NOT_TEXT])
    def test_arguments(self, value: Any) -> None:
        null = NullIPAM()

        refused(null.request_pool, value)
        refused(null.request_pool, "null", value)
        refused(null.request_pool, "null", None, value)
        refused(null.request_address, "null/::/0", value)
        refused(null.release_address, "null/::/0", value)
        for call in (null.release_pool, null.request_address):
            with pytest.raises(CNMError):
                call(value)

    @pytest.mark.parametrize("pool", ["10.0.0.0/8", "0.0.0.0/24", "::/64"])
    def test_gives_no_subnets(self, pool: str) -> None:
        assert "leave the pool out" in refused(NullIPAM().request_pool, "null", pool)
