"""What an IPAM is, to the controller and to whoever writes one.

Register one of your own in the entry-point group `pycnm.ipam`; it is made
without arguments.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.ipam.blocks import parse_cidr, shown

if TYPE_CHECKING:
    from pycnm.ipam.ledger import Ledger

LOCAL: Final = "LocalDefault"
"""The address space of one host."""

GLOBAL: Final = "GlobalDefault"
"""The address space of a cluster; independent of `LOCAL`."""

ADDRESS_TYPE: Final = "RequestAddressType"
"""Option of `request_address`: what the address is for."""

GATEWAY: Final = "com.docker.network.gateway"
"""Value of `ADDRESS_TYPE` for a gateway; also the key in a pool's data that fixes one."""

SERIAL: Final = "com.docker.network.ipam.serial"
"""Option of `request_address`: `true` continues after the last address given."""

ENDPOINT_MAC: Final = "com.docker.network.endpoint.macaddress"
"""Option of `request_address`: the MAC address of the endpoint it is for."""

ENDPOINT_NAME: Final = "com.docker.network.endpoint.name"
"""Option of `request_address`: the name of the endpoint it is for."""

_MOST_REPORTED: Final = (1 << 64) - 1


def _network(value: str | IPNetwork) -> IPNetwork:
    version, address, prefix = parse_cidr(value, "a lease")
    return IPNetwork((address, prefix), version=version)


def _data(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(checked_options(value, "the data of a lease")))


def _saturated(value: int) -> int:
    return min(value, _MOST_REPORTED)


def _pool_id(_lease: object, _attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidArgumentError(f"a pool id must be printable text, not {shown(value)}")


@attrs.frozen
class PoolLease:
    """A subnet that is the caller's until `IPAM.release_pool`.

    Unpacks as `pool_id, pool, data`.

    Attributes:
        pool_id: what the other methods of the IPAM know it by.
        pool: the subnet.
        data: what else the IPAM has to say, such as the gateway under `GATEWAY`.
    """

    pool_id: str = attrs.field(validator=_pool_id)
    pool: IPNetwork = attrs.field(converter=_network)
    data: Mapping[str, str] = attrs.field(factory=dict, converter=_data, hash=False)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.pool_id, self.pool, self.data))


@attrs.frozen
class AddressLease:
    """An address that is the caller's until `IPAM.release_address`.

    Unpacks as `address, data`.

    Attributes:
        address: the address with the prefix length of its subnet: 10.20.30.2/24.
        data: what else the IPAM has to say.
    """

    address: IPNetwork = attrs.field(converter=_network)
    data: Mapping[str, str] = attrs.field(factory=dict, converter=_data, hash=False)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.address, self.data))


@attrs.frozen
class PoolStatus:
    """How full a pool is; both numbers stop at 2**64 - 1.

    Attributes:
        ips_in_use: addresses taken in the subnet, the reserved ones among them.
        dynamic_ips_available: addresses free where `request_address` chooses.
    """

    ips_in_use: int = attrs.field(converter=_saturated)
    dynamic_ips_available: int = attrs.field(converter=_saturated)


class IPAM(abc.ABC):
    """Decides subnets and addresses.  Callable from any thread."""

    name: ClassVar[str]
    """What `ipam=` of `Controller.create_network` calls it."""

    def default_address_spaces(self) -> tuple[str, str]:
        """The names of the address space of one host, and of that of a cluster."""
        return (LOCAL, GLOBAL)

    def over(self, ledger: Ledger) -> IPAM:  # noqa: ARG002 - for those that have no use for it
        """The IPAM that writes into this ledger, and so into its owner's transaction.

        One that keeps its own books, as this default has it, is returned as it
        is: what it gave must be released by hand when the transaction fails.
        """
        return self

    @abc.abstractmethod
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
        """A subnet: the one asked for, or one of the IPAM's choice.

        Args:
            space: one of `default_address_spaces`.
            pool: the subnet.
            subpool: the part of it that addresses of the IPAM's choice come from.
            options: of the IPAM itself, as in `docker network create --ipam-opt`.
            v6: whether a subnet of the IPAM's choice is IPv6.
            exclude: networks that a subnet of the IPAM's choice must keep off.
        """

    @abc.abstractmethod
    def release_pool(self, pool_id: str) -> None:
        """Gives a subnet back, and with it every address of it."""

    @abc.abstractmethod
    def request_address(
        self,
        pool_id: str,
        address: str | IPAddress | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
    ) -> AddressLease | None:
        """An address of the pool; None from an IPAM that leaves addresses to others.

        Args:
            pool_id: from the `PoolLease`.
            address: the address wanted; None for one of the IPAM's choice.
            options: `ADDRESS_TYPE`, `SERIAL`, `ENDPOINT_MAC`, `ENDPOINT_NAME`.
        """

    @abc.abstractmethod
    def release_address(self, pool_id: str, address: str | IPAddress | IPNetwork) -> None:
        """Gives an address back.  One that was not taken is fine."""


def checked_options(
    options: object, what: str, known: frozenset[str] | None = None
) -> Mapping[str, str]:
    """The options, once they are text to text and each is known.

    Args:
        options: what the caller gave; None for none.
        what: whose options; messages start with it.
        known: the keys allowed; None for any.

    Raises:
        InvalidArgumentError: they are not.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InvalidArgumentError(f"{what} must map text to text, not be {shown(options)}")
    for key, value in options.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidArgumentError(
                f"{what} must map text to text, not {shown(key)} to {shown(value)}"
            )
        if known is not None and key not in known:
            raise InvalidArgumentError(f"{what} have no {shown(key)}; {_nearest(key, known)}")
    return options


def _nearest(key: str, known: frozenset[str]) -> str:
    import difflib  # noqa: PLC0415 - only on the way of an error

    if near := difflib.get_close_matches(key[:100], known, n=1):
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(sorted(known))}" if known else "leave them out"
