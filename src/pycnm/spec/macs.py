"""MAC addresses, as netaddr values, and how they and IP addresses follow from each other."""

from __future__ import annotations

import binascii
import re

from netaddr import EUI, IPAddress, mac_unix_expanded

from pycnm.errors import InvalidArgumentError
from pycnm.spec.wording import shown

_IPV6 = 6
_LINK_LOCAL = 0xFE80 << 112
_MAC = re.compile(
    r"[0-9a-fA-F]{2}(?:(?::[0-9a-fA-F]{2}){5}|(?:-[0-9a-fA-F]{2}){5})"
    r"|[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){2}"
)
_MAC_SEPARATORS = str.maketrans("", "", ":-.")
_MAC_MULTICAST = 1 << 40
_MAC_PREFIX = 0x0242 << 32


def mac(value: object, what: str = "MAC address") -> EUI:
    """The MAC address that `value` is: text with ':', '-' or '.', or a netaddr EUI.

    Raises:
        InvalidArgumentError: it is no MAC address of six bytes, or none that one
            interface can have: multicast, broadcast, all zero.
    """
    if isinstance(value, EUI) and value.version == 48:  # noqa: PLR2004 - EUI-48
        number = int(value)
    elif isinstance(value, str) and _MAC.fullmatch(value):
        number = int(value.translate(_MAC_SEPARATORS), 16)
    else:
        raise InvalidArgumentError(
            f"invalid {what}: {shown(value)}; it should be six bytes such as 02:42:0a:14:1e:04"
        )
    if number == 0 or number & _MAC_MULTICAST:
        raise InvalidArgumentError(
            f"invalid {what}: {shown(str(value))}; it should be the address of one interface: "
            "not all zero, and the first byte even, such as 02:42:0a:14:1e:04"
        )
    return EUI(number, 48, mac_unix_expanded)


def mac_for(address: IPAddress) -> EUI:
    """The MAC address an endpoint with this IP address gets if it asks for none.

    `02:42:` and the four bytes of an IPv4 address, or four bytes computed from
    an IPv6 address.  Those are a CRC, because a CRC keeps neighbours apart: two
    addresses that differ only in their last 32 bits never get the same MAC.
    """
    number = int(address)
    if address.version == _IPV6:
        number = binascii.crc32(number.to_bytes(16))
    return EUI(_MAC_PREFIX | number, 48, mac_unix_expanded)


def link_local(mac: EUI) -> IPAddress:
    """The link-local address the kernel derives from `mac` (RFC 4291, appendix A)."""
    number = int(mac)
    upper, lower = number >> 24, number & 0xFFFFFF
    interface = (upper ^ 0x020000) << 40 | 0xFFFE << 24 | lower
    return IPAddress(_LINK_LOCAL | interface, 6)
