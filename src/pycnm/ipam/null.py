"""The IPAM that gives no addresses: somebody else, such as a DHCP server, does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from pycnm.errors import InvalidArgumentError, NotFoundError
from pycnm.ipam.base import IPAM, PoolLease, checked_options
from pycnm.ipam.blocks import IPV4, IPV6, Version, parse_cidr, shown
from pycnm.ipam.pools import networks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netaddr import IPAddress, IPNetwork

_SPACE: Final = "null"
_POOLS: Final[dict[Version, str]] = {IPV4: "0.0.0.0/0", IPV6: "::/0"}
_IDS: Final = frozenset(f"{_SPACE}/{pool}" for pool in _POOLS.values())


class NullIPAM(IPAM):
    """Everybody's pool is everything, and nobody gets an address of it."""

    name: ClassVar[str] = "null"

    def default_address_spaces(self) -> tuple[str, str]:
        """The same for one host and for a cluster: nothing is given, so nothing clashes."""
        return (_SPACE, _SPACE)

    def request_pool(
        self,
        space: str,
        pool: str | IPNetwork | None = None,
        subpool: str | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
        v6: bool = False,
        *,
        exclude: Iterable[str | IPNetwork | IPAddress] = (),
    ) -> PoolLease:
        """0.0.0.0/0 or ::/0, any number of times.

        Raises:
            InvalidArgumentError: a subnet was asked for, or an argument is malformed.
        """
        if space != _SPACE:
            raise InvalidArgumentError(
                f"the null IPAM has the address space {_SPACE!r} alone, not {shown(space)}"
            )
        if not isinstance(v6, bool):
            raise InvalidArgumentError(f"v6 must be True or False, not {shown(v6)}")
        checked_options(options, "options of the null IPAM", frozenset())
        networks(exclude, "exclude")
        version: Version = IPV6 if v6 else IPV4
        if pool is not None:
            version, address, prefix = parse_cidr(pool, "a pool")
            if address or prefix or (v6 and version == IPV4):
                raise InvalidArgumentError(_no_addresses("pool", pool))
        if subpool is not None:
            raise InvalidArgumentError(_no_addresses("ip-range", subpool))
        return PoolLease(f"{_SPACE}/{_POOLS[version]}", _POOLS[version])

    def release_pool(self, pool_id: str) -> None:
        """Nothing to give back.

        Raises:
            NotFoundError: it is no pool of this IPAM.
        """
        _check(pool_id)

    def request_address(
        self,
        pool_id: str,
        address: str | IPAddress | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """None: the endpoint gets its address elsewhere.

        Raises:
            NotFoundError: it is no pool of this IPAM.
            InvalidArgumentError: an address was asked for, or an argument is malformed.
        """
        _check(pool_id)
        checked_options(options, "options of an address")
        if address is not None:
            raise InvalidArgumentError(_no_addresses("address", address))

    def release_address(self, pool_id: str, address: str | IPAddress | IPNetwork) -> None:
        """Nothing to give back.

        Raises:
            NotFoundError: it is no pool of this IPAM.
            InvalidArgumentError: the address is malformed.
        """
        _check(pool_id)
        parse_cidr(address, "an address", bare=True)


def _check(pool_id: object) -> None:
    if not isinstance(pool_id, str):
        raise InvalidArgumentError(f"a pool id must be text, not {shown(pool_id)}")
    if pool_id not in _IDS:
        raise NotFoundError(
            f"the null IPAM has no pool {shown(pool_id)}, only {' and '.join(sorted(_IDS))}"
        )


def _no_addresses(what: str, value: object) -> str:
    return (
        f"the null IPAM cannot give the {what} {shown(value)}: it has no addresses to give; "
        f"leave the {what} out, or use the default IPAM"
    )
