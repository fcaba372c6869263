"""IP addresses and subnets, as netaddr values.

Text is read strictly, by inet_pton(3): four decimal numbers without leading
zeros, or RFC 4291 text without a scope id.  netaddr alone would also take
integers, `'1.2'` and `'10.0.0.1/255.0.0.0'`.  What comes back is a fresh value,
because netaddr's can be changed in place; only `shared` says otherwise.

Wording follows Docker where Docker has one, then says what would be right.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from netaddr import IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError, OutOfSubnetError
from pycnm.spec.names import label_key
from pycnm.spec.wording import shown

AuxAddresses: TypeAlias = tuple[tuple[str, IPAddress], ...]
"""Auxiliary addresses as a value: pairs of name and address, as given."""

_IPV4, _IPV6 = 4, 6
_WIDTH: Final = {4: 32, 6: 128}
_EXAMPLE: Final = {4: "10.20.30.4", 6: "fd00::4", None: "10.20.30.4 or fd00::4"}
_PRIVATE: Final = {4: "10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", 6: "fd00::/8"}
# A table rather than int(), which also reads '+8', ' 8', '0_8' and other scripts' digits.
_PREFIX_LENGTHS: Final = {str(length): length for length in range(129)}

_LINK_LOCAL: Final = IPNetwork("fe80::/64")
_LINK_LOCAL_SCOPE: Final = IPNetwork("fe80::/10")
_MULTICAST: Final = {4: IPNetwork("224.0.0.0/4"), 6: IPNetwork("ff00::/8")}
_BROADCAST: Final = IPNetwork("255.255.255.255/32")
_MAPPED: Final = IPNetwork("::ffff:0:0/96")
_OVERLAPS: Final = "invalid {what} {network}: it overlaps "
# What no subnet of ours may overlap, and how Docker says so.
_FORBIDDEN: Final = (
    (_MULTICAST[4], "multicast {what} '{network}' is not allowed"),
    (IPNetwork("127.0.0.0/8"), _OVERLAPS + "the loopback addresses 127.0.0.0/8"),
    (IPNetwork("0.0.0.0/8"), _OVERLAPS + "0.0.0.0/8, which means 'this network'"),
    (_BROADCAST, _OVERLAPS + "the broadcast address 255.255.255.255"),
    (_MULTICAST[6], "multicast {what} '{network}' is not allowed"),
    (_LINK_LOCAL, f"'{{network}}' clashes with the Link-Local prefix '{_LINK_LOCAL}'"),
    (_MAPPED, "'{network}' is not a valid IPv6 subnet, IPv4 addresses are mapped into it"),
    (IPNetwork("::/127"), _OVERLAPS + "the unspecified and the loopback address :: and ::1"),
)


def address(value: object, what: str = "address", *, version: int | None = None) -> IPAddress:
    """The address that `value` is: text, or a netaddr or ipaddress address.

    Args:
        value: what the user gave.
        what: how a message calls it; Docker says "IPv4 address".
        version: 4 or 6 if only that family is right.

    Raises:
        InvalidArgumentError: it is no address, one of the other family, or an
            IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`).
    """
    result = _read_address(value, what, version)
    if version is not None and result.version != version:
        raise InvalidArgumentError(
            f"invalid {what}: {result}; it should be an IPv{version} address, "
            f"such as {_EXAMPLE[version]}"
        )
    if _unmapped(result) is not result:
        raise InvalidArgumentError(
            f"invalid {what}: {result}; write the IPv4 address it stands for: {_unmapped(result)}"
        )
    return result


@lru_cache(maxsize=4096)
def shared(text: str) -> IPAddress:
    """The address of a text: one value for all who ask for it, so none of them may change it.

    For texts that were checked once, in records and plans, where the same few
    come again and again.

    Raises:
        netaddr.AddrFormatError: it is no address.
    """
    return IPAddress(text)


def listen_address(value: object, what: str = "host address") -> IPAddress:
    """The address of the host that a port can be published on.

    `0.0.0.0` and `::` mean all of them; `::ffff:10.0.0.1` means `10.0.0.1`.

    Raises:
        InvalidArgumentError: it is no address, or one that no socket of the host
            can be bound to: multicast, broadcast, or link-local of IPv6, which
            would need an interface.
    """
    result = _scoped(value) or _unmapped(_read_address(value, what))
    reason = _unbindable(result)
    if reason:
        raise InvalidArgumentError(
            f"invalid {what}: {result}; it is {reason}, give one of the host's own addresses, "
            "or 0.0.0.0 or :: for all"
        )
    return result


def subnet(value: object, what: str = "subnet", *, unspecified: bool = False) -> IPNetwork:
    """The subnet that `value` is: text, or a netaddr or ipaddress network.

    Args:
        value: what the user gave.
        what: how a message calls it.
        unspecified: also take `0.0.0.0/N` and `::/N`, which ask an IPAM for any
            subnet of that length and, with N = 0, for any at all.

    Raises:
        InvalidArgumentError: it is no subnet, has host bits, or overlaps
            addresses that no endpoint can have.
    """
    network = _read_network(value, what)
    if not (unspecified and network.first == 0):
        _require_usable(network, what)
    return network


def prefix(value: object, what: str = "prefix") -> IPNetwork:
    """The prefix that `value` is, wherever it leads: text, or a netaddr or ipaddress network.

    Raises:
        InvalidArgumentError: it is none, or has host bits.
    """
    return _read_network(value, what)


def inside(address: IPAddress, subnet: IPNetwork, what: str = "address") -> IPAddress:
    """`address`, if it lies in `subnet`.

    Raises:
        InvalidArgumentError: they are of different families.
        OutOfSubnetError: it lies outside.
    """
    if address.version != subnet.version:
        raise InvalidArgumentError(
            f"invalid {what} {address}: parent subnet is an IPv{subnet.version} block; "
            f"{_choice(subnet)}"
        )
    if not subnet.first <= int(address) <= subnet.last:
        raise OutOfSubnetError(
            f"invalid {what} {address}: parent subnet {subnet} doesn't contain this address; "
            f"{_choice(subnet)}"
        )
    return address


def assignable(address: IPAddress, subnet: IPNetwork, what: str = "address") -> IPAddress:
    """`address`, if an interface in `subnet` can have it.

    Subnets of one or two addresses have neither a network nor a broadcast
    address (RFC 3021, RFC 6164).

    Raises:
        InvalidArgumentError: they are of different families, or it is the
            subnet's network, broadcast or subnet-router anycast address.
        OutOfSubnetError: it lies outside.
    """
    inside(address, subnet, what)
    if subnet.prefixlen >= _WIDTH[subnet.version] - 1:
        return address
    reserved = ""
    if int(address) == subnet.first:
        reserved = "network" if subnet.version == _IPV4 else "subnet-router anycast"
    elif int(address) == subnet.last and subnet.version == _IPV4:
        reserved = "broadcast"
    if reserved:
        raise InvalidArgumentError(
            f"invalid {what} {address}: it is the {reserved} address of {subnet}; {_choice(subnet)}"
        )
    return address


def endpoint_address(
    value: object, subnets: Sequence[IPNetwork], what: str = "IP address"
) -> IPAddress:
    """The address that an endpoint asks for on a network with these subnets.

    Raises:
        InvalidArgumentError: it is no address, or a reserved one of its subnet.
        OutOfSubnetError: no subnet contains it.
    """
    result = address(value, what)
    return assignable(result, _parent(result, subnets, what), what)


def gateway(value: object, subnet: IPNetwork, what: str = "gateway") -> IPAddress:
    """The address `value` is, as the gateway of `subnet`.

    Raises:
        InvalidArgumentError: it is no address, of the other family, or the
            subnet's network or broadcast address.
        OutOfSubnetError: it lies outside the subnet.
    """
    return assignable(address(value, what), subnet, what)


def ip_range(value: object, subnet: IPNetwork, what: str = "ip-range") -> IPNetwork:
    """The part of `subnet` that addresses are chosen from.

    Raises:
        InvalidArgumentError: it is no range in CIDR notation, has host bits, is
            of the other family or bigger than the subnet.
        OutOfSubnetError: it lies outside the subnet.
    """
    network = _read_network(value, what)
    if network.version != subnet.version:
        raise InvalidArgumentError(
            f"invalid {what} {network}: parent subnet is an IPv{subnet.version} block; "
            f"give a part of {subnet}"
        )
    if network.prefixlen < subnet.prefixlen:
        raise InvalidArgumentError(
            f"invalid {what} {network}: CIDR block is bigger than its parent subnet {subnet}; "
            f"its prefix length should be at least {subnet.prefixlen}"
        )
    if not subnet.first <= network.first <= subnet.last:
        raise OutOfSubnetError(
            f"invalid {what} {network}: parent subnet {subnet} doesn't contain ip-range; "
            f"give a part of {subnet}"
        )
    return network


def aux_addresses(value: object, subnets: Sequence[IPNetwork]) -> AuxAddresses:
    """The addresses to keep free, as pairs of name and address; of None, no pair.

    Args:
        value: a mapping of names to addresses.
        subnets: those of the network.

    Raises:
        InvalidArgumentError: a name is empty, an address malformed, reserved or
            given twice.
        OutOfSubnetError: no subnet contains an address.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(
            f"invalid auxiliary addresses {shown(value)}: they should be a mapping, "
            'such as {"router": "10.20.30.5"}'
        )
    names: dict[IPAddress, str] = {}
    for name, text in value.items():
        key = label_key(name, "auxiliary address name")
        what = f"auxiliary address {shown(key)}"
        result = address(text, what)
        parent = subnets[0] if len(subnets) == 1 else _parent(result, subnets, what)
        assignable(result, parent, what)
        if result in names:
            raise InvalidArgumentError(
                f"invalid {what}: {result} is {shown(names[result])} already; "
                "give each address one name"
            )
        names[result] = key
    return tuple((name, result) for result, name in names.items())


def _read_address(value: object, what: str, version: int | None = None) -> IPAddress:
    result = _address(value)
    if result is not None:
        return result
    text = value if isinstance(value, str) else ""
    advice = f"it should be an address such as {_EXAMPLE[version]}, without leading zeros"
    for mark, name in (("/", "prefix length"), ("%", "scope id")):
        start = text.partition(mark)[0]
        if start != text and _address_of_text(start) is not None:
            advice = f"leave the {name} out: {start}"
    raise InvalidArgumentError(f"invalid {what}: {shown(value)}; {advice}")


def _read_network(value: object, what: str) -> IPNetwork:
    network = _network(value)
    if network is None:
        base = _address(value)
        advice = "it should be an address and a prefix length, such as 10.20.30.0/24 or fd00:1::/64"
        if base is not None:
            length = _WIDTH[base.version] * 3 // 4
            example = IPNetwork((int(base), length), base.version).cidr
            advice = f"it needs a prefix length, as in {example}"
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: {advice}")
    if int(network.ip) != network.first:
        raise InvalidArgumentError(f"invalid {what} {network}: it should be {network.cidr}")
    return network


def _address(value: object) -> IPAddress | None:
    if isinstance(value, str):
        return _address_of_text(value)
    if isinstance(value, IPAddress):
        return IPAddress(value)
    # Who holds such a value has loaded the module; others needn't pay for it.
    stdlib = sys.modules.get("ipaddress")
    if stdlib and isinstance(value, (stdlib.IPv4Address, stdlib.IPv6Address)):
        return _address_of_text(str(value))
    return None


def _address_of_text(text: str) -> IPAddress | None:
    try:
        if ":" in text:
            return IPAddress(int.from_bytes(socket.inet_pton(socket.AF_INET6, text)), 6)
        return IPAddress(int.from_bytes(socket.inet_pton(socket.AF_INET, text)), 4)
    except (OSError, ValueError):
        return None


def _network(value: object) -> IPNetwork | None:
    if isinstance(value, str):
        return _network_of_text(value)
    if isinstance(value, IPNetwork):
        return IPNetwork(value)
    stdlib = sys.modules.get("ipaddress")
    networks = ("IPv4Network", "IPv6Network", "IPv4Interface", "IPv6Interface")
    if stdlib and isinstance(value, tuple(getattr(stdlib, name) for name in networks)):
        return _network_of_text(str(value))
    return None


def _network_of_text(text: str) -> IPNetwork | None:
    start, _, prefix = text.partition("/")
    length = _PREFIX_LENGTHS.get(prefix)
    base = _address_of_text(start)
    if base is None or length is None or length > _WIDTH[base.version]:
        return None
    return IPNetwork((int(base), length), base.version)


def _require_usable(network: IPNetwork, what: str) -> None:
    for block, problem in _FORBIDDEN:
        if (
            block.version == network.version
            and block.first <= network.last
            and network.first <= block.last
            and network != _LINK_LOCAL
        ):
            raise InvalidArgumentError(
                f"{problem.format(what=what, network=network)}; "
                f"use one from {_PRIVATE[network.version]}"
            )


def _parent(address: IPAddress, subnets: Sequence[IPNetwork], what: str) -> IPNetwork:
    for subnet in subnets:
        if subnet.version == address.version and subnet.first <= int(address) <= subnet.last:
            return subnet
    candidates = [_choice(subnet) for subnet in subnets if subnet.version == address.version]
    raise OutOfSubnetError(
        f"no configured subnet contains {what} {address}; "
        + (", or ".join(candidates) or f"the network has no IPv{address.version} subnet")
    )


def _choice(subnet: IPNetwork) -> str:
    first, last = subnet.first, subnet.last
    if subnet.prefixlen < _WIDTH[subnet.version] - 1:
        first += 1
        last -= subnet.version == _IPV4  # IPv6 has no broadcast address
    return (
        f"choose one from {IPAddress(first, subnet.version)} to {IPAddress(last, subnet.version)}"
    )


def _unmapped(address: IPAddress) -> IPAddress:
    if address.version == _IPV6 and int(address) >> 32 == _MAPPED.first >> 32:
        return IPAddress(int(address) & 0xFFFFFFFF, 4)
    return address


def _scoped(value: object) -> IPAddress | None:
    # With its scope id or without, it is refused: nobody is told to leave that out first.
    start, percent, _ = value.partition("%") if isinstance(value, str) else ("", "", "")
    result = _address_of_text(start) if percent else None
    return result if result is not None and result in _LINK_LOCAL_SCOPE else None


def _unbindable(address: IPAddress) -> str:
    if address in _MULTICAST[address.version]:
        return "a multicast address"
    if address in _BROADCAST:
        return "the broadcast address"
    if address in _LINK_LOCAL_SCOPE:
        return "a link-local address, which means nothing without an interface"
    return ""
