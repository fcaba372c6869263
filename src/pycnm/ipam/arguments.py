"""What callers of the default IPAM give it, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from pycnm.errors import InvalidArgumentError, OutOfSubnetError
from pycnm.ipam.blocks import WIDTH, Block, parse_cidr, shown, text


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is text that can be kept."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def flag(options: Mapping[str, str], key: str) -> bool:
    """An option that is true or false; false if it isn't there.

    Raises:
        InvalidArgumentError: it is neither.
    """
    value = options.get(key, "false")
    if value not in ("true", "false"):
        raise InvalidArgumentError(f"{key} must be true or false, not {shown(value)}")
    return value == "true"


def dynamic_range(subnet: Block, value: object) -> Block:
    """The part of a subnet that addresses are chosen from.

    Raises:
        InvalidArgumentError: it is no network, or no part of the subnet.
    """
    dynamic = Block.around(*parse_cidr(value, "an ip-range"))
    if dynamic.covers(subnet):  # networks stored by old Docker versions have such
        return subnet
    if not subnet.covers(dynamic):
        raise InvalidArgumentError(
            f"the ip-range {dynamic} does not lie in the subnet {subnet}; choose one that does"
        )
    return dynamic


def address_in(subnet: Block, value: object) -> int:
    """An address of a subnet; a prefix length, if it has one, is the subnet's.

    Raises:
        InvalidArgumentError: it is no address, or has another prefix length.
        OutOfSubnetError: it lies outside.
    """
    version, address, prefix = parse_cidr(value, "an address", bare=True)
    if not subnet.has(version, address):
        raise OutOfSubnetError(
            f"requested address is out of range: {text(version, address)} does not lie in "
            f"{subnet}; choose one from {text(subnet.version, subnet.first)} to "
            f"{text(subnet.version, subnet.last)}"
        )
    if prefix not in (subnet.prefix, WIDTH[version]):
        raise InvalidArgumentError(
            f"{text(version, address)} has the prefix length /{prefix}, but its subnet is "
            f"{subnet}; leave the prefix length out"
        )
    return address
