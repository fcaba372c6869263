"""Networks and endpoints in VLANs of a bridge that keeps them apart (bridge(8), "bridge vlan")."""

from __future__ import annotations

from typing import Final

from pycnm.errors import InvalidArgumentError
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.vlans import VLAN_MAX, VLANMember
from pycnm.spec.objects import FoundBridge, NetworkSpec
from pycnm.spec.options import integer

VLAN: Final = integer(1, VLAN_MAX)
"""The kind of their numbers."""
SETTINGS: Final = (("vlan_filtering", 1), ("vlan_default_pvid", 0))
"""Those of a bridge that keeps VLANs apart: a new port is in none."""


def refuse(found: FoundBridge, bridge: str, external: str | None) -> None:
    """Raise if a network can't be in a VLAN of a bridge that is there.

    Raises:
        InvalidArgumentError: with what contradicts it.
    """
    if external is None:
        raise InvalidArgumentError(
            f"{bridge} is there, and in which of its VLANs the host is was said by those who made "
            "it; name the port of it that leads to the VLAN as `external`, so that the host has "
            "no part in the network, or leave out the vlan"
        )
    if not found.vlans:
        raise InvalidArgumentError(
            f"{bridge} doesn't keep VLANs apart; have it do so (`ip link set {bridge} type bridge "
            "vlan_filtering 1`), or leave out the vlan"
        )


def of_bridge(bridge: str, external: str | None, vlan: int | None) -> list[Operation]:
    """Where the host is on a bridge of ours; or on a wire, which all VLANs come and go by."""
    if vlan is None:
        return []
    if external is not None:
        return [VLANMember(HOST, external, 0, bridge)]
    return [VLANMember(HOST, bridge, vlan)]


def refuse_endpoint(network: NetworkSpec, vlan: int | None, wanted: int) -> None:
    """Raise if an endpoint can't be in a VLAN of its own.

    Raises:
        InvalidArgumentError: its network has none.
    """
    if wanted and vlan is None:
        raise InvalidArgumentError(
            f"network {network.name} keeps no VLANs apart, so its endpoints can't be in one; give "
            f"it the option vlan, or leave out the vlan {wanted}"
        )
