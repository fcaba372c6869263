"""An IPAM of one's own: an address that was given back rests before it is given again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from netaddr import IPAddress, IPNetwork

from pycnm import DefaultIPAM
from pycnm.ipam import AddressLease
from pycnm.ipam.base import SERIAL


class SerialIPAM(DefaultIPAM):
    """The next address, where the default IPAM gives the lowest free one."""

    name: ClassVar[str] = "serial"

    def request_address(
        self,
        pool_id: str,
        address: str | IPAddress | IPNetwork | None = None,
        options: Mapping[str, str] | None = None,
    ) -> AddressLease:
        """The address asked for, or the first free one behind the one given last."""
        return super().request_address(pool_id, address, {SERIAL: "true", **(options or {})})
