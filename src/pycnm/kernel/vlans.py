"""VLANs of bridge ports, as rtnetlink messages and brought about (uapi/linux/if_bridge.h)."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

from pycnm.kernel import rtnl
from pycnm.kernel.links import ROUTE, index, state
from pycnm.kernel.netlink import (
    NATIVE,
    NETLINK_ROUTE,
    NLM_F_DUMP,
    Message,
    Socket,
    attribute,
    attribute_list,
    attributes,
    message,
    nested,
)
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued
from pycnm.plan import vlans as plan
from pycnm.plan.vlans import VLAN_MAX

_RTM_SETLINK, _RTM_GETVLAN = 19, 114
_IFLA_AF_SPEC = 26
_IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO = 0, 2
_SELF = 2
_ENTRY, _INFO, _RANGE = 1, 1, 2
_PVID, _UNTAGGED, _FIRST, _LAST = 1 << 1, 1 << 2, 1 << 3, 1 << 4
_IFINFO = struct.Struct("=BxHiII")
_VLAN_MSG = struct.Struct("=BxHI")
_VLAN_INFO = struct.Struct("=HH")
_PROBE = "cnm-probe"


def has_vlans() -> bool:
    """Whether bridges of this kernel keep VLANs apart; in a namespace that ends with the thread."""
    request = rtnl.new_link(_PROBE, "bridge", (("vlan_filtering", 1),))
    with Socket(NETLINK_ROUTE) as connection:
        return connection.request([request])[0].code == 0


def join(number: int, vlan: int, *, itself: bool) -> bytes:
    """Put a port into a VLAN, without tags; into all with them, for 0."""
    if vlan:
        return _change(_RTM_SETLINK, number, [(_PVID | _UNTAGGED, vlan)], itself=itself)
    return _change(_RTM_SETLINK, number, [(_FIRST, 1), (_LAST, VLAN_MAX)], itself=itself)


def leave_all(number: int, *, itself: bool) -> bytes:
    """Take a port out of all VLANs."""
    return _change(rtnl.RTM_DELLINK, number, [(_FIRST, 1), (_LAST, VLAN_MAX)], itself=itself)


def _change(kind: int, number: int, wanted: list[tuple[int, int]], *, itself: bool) -> bytes:
    spec = [attribute(_IFLA_BRIDGE_FLAGS, _SELF.to_bytes(2, NATIVE))] if itself else []
    spec += [attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN_INFO.pack(*each)) for each in wanted]
    body = _IFINFO.pack(socket.AF_BRIDGE, 0, number, 0, 0)
    return message(kind, 0, body + nested(_IFLA_AF_SPEC, *spec))


def get_vlans(number: int) -> bytes:
    """Ask which VLANs a port is in, or the bridge itself."""
    return message(_RTM_GETVLAN, NLM_F_DUMP, _VLAN_MSG.pack(socket.AF_BRIDGE, 0, number))


def vlans(received: Message) -> dict[int, bool]:
    """Read an answer to `get_vlans`: their numbers, and whether it is what has no tag there."""
    found = {}
    for kind, entry in attribute_list(received.payload, _VLAN_MSG.size):
        inner = attributes(entry)
        if kind != _ENTRY or _INFO not in inner:
            continue
        flags, first = _VLAN_INFO.unpack_from(inner[_INFO])
        last = int.from_bytes(inner[_RANGE][:2], NATIVE) if _RANGE in inner else first
        untagged = flags & (_PVID | _UNTAGGED) == _PVID | _UNTAGGED
        found.update(dict.fromkeys(range(first, last + 1), untagged))
    return found


def of(connection: Socket, number: int) -> dict[int, bool]:
    """The VLANs of a port, or of a bridge itself; none where the kernel keeps none apart."""
    found: dict[int, bool] = {}
    try:
        for received in connection.dump(get_vlans(number)):
            found.update(vlans(received))
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, *GONE}:
            raise
    return found


class _Members:
    def add(self, session: LinuxSession, fact: plan.VLANMember) -> None:
        number, itself = index(session, fact, fact.ns, fact.link), not fact.bridge
        if fact.vlan:
            session.queue(fact.ns, ROUTE, Queued(fact, leave_all(number, itself=itself)))
        session.queue(fact.ns, ROUTE, Queued(fact, join(number, fact.vlan, itself=itself)))

    def remove(self, session: LinuxSession, fact: plan.VLANMember) -> None:
        with contextlib.suppress(LookupError):
            found = state(session, fact.ns, fact.link)
            if found is not None:
                out = leave_all(found.ifindex, itself=not fact.bridge)
                fine = GONE | {errno.EOPNOTSUPP, errno.EINVAL}
                session.queue(fact.ns, ROUTE, Queued(fact, out, fine))

    def differs(self, session: LinuxSession, fact: plan.VLANMember) -> str | None:
        found = None
        with contextlib.suppress(LookupError):
            found = state(session, fact.ns, fact.link)
        if found is None:
            return fact.gone()
        return fact.differs(of(session.socket(fact.ns), found.ifindex))


REALISATIONS[plan.VLANMember] = _Members()
