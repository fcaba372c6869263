"""Bridges and interfaces of others that networks use, and what is known of them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection

from netaddr import IPNetwork

from pycnm.kernel import rtinet, rtnl, vlans
from pycnm.kernel.links import ROUTE, index, state
from pycnm.kernel.netlink import Socket
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued, refusal
from pycnm.kernel.sysctl import Settings
from pycnm.plan import wires as plan
from pycnm.spec.objects import FoundBridge

_SETTINGS = (
    "ipv4/forwarding",
    "ipv4/route_localnet",
    "ipv6/disable_ipv6",
    "ipv6/accept_ra",
    "ipv6/force_forwarding",
)


class _Bridges:
    def add(self, session: LinuxSession, fact: plan.Adopted) -> None:
        found = state(session, fact.ns, fact.bridge)
        if found is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        lack = self._lack(session, fact, found)
        if lack is not None:
            raise refusal(fact, errno.EADDRNOTAVAIL, lack)

    def remove(self, session: LinuxSession, fact: plan.Adopted) -> None:
        """It stays as it is."""

    def differs(self, session: LinuxSession, fact: plan.Adopted) -> str | None:
        found = state(session, fact.ns, fact.bridge)
        if found is None:
            return fact.gone()
        down = fact.down() if fact.up and not found.up else None
        return self._lack(session, fact, found) or down

    @staticmethod
    def _lack(session: LinuxSession, fact: plan.Adopted, found: rtnl.LinkState) -> str | None:
        number, wire = found.ifindex, state(session, fact.ns, fact.wire) if fact.wire else None
        addresses = _addresses(session.socket(fact.ns), number) if fact.addresses else {}
        wired = not fact.wire or (wire is not None and wire.master == number)
        there: Collection[int] = ()
        if fact.vlan and wire is not None and _keeps_apart(found):
            there = vlans.of(session.socket(fact.ns), wire.ifindex)
        return fact.lacks(found.kind, addresses, wired=wired, vlans=there)


class _Wires:
    def add(self, session: LinuxSession, fact: plan.Wire) -> None:
        bridge = index(session, fact, fact.ns, fact.bridge)
        found = state(session, fact.ns, fact.link)
        if found is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        if found.master == bridge:
            return
        objection = fact.objection(
            found.kind,
            found.alias,
            master=bool(found.master),
            addresses=_addresses(session.socket(fact.ns), found.ifindex),
        )
        if objection is not None:
            raise objection
        message = rtnl.set_master(fact.link, bridge)
        session.queue(fact.ns, ROUTE, Queued(fact, message))

    def remove(self, session: LinuxSession, fact: plan.Wire) -> None:
        with contextlib.suppress(LookupError):
            found = state(session, fact.ns, fact.link)
            bridge = state(session, fact.ns, fact.bridge)
            if found is not None and bridge is not None and found.master == bridge.ifindex:
                message = rtnl.set_master(fact.link, 0)
                session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.Wire) -> str | None:
        found = state(session, fact.ns, fact.link)
        if found is None:
            return fact.gone()
        bridge = state(session, fact.ns, fact.bridge)
        if bridge is None or found.master != bridge.ifindex:
            return fact.away()
        return None if found.up else fact.down()


def bridge(connection: Socket, settings: Settings, name: str) -> FoundBridge | None:
    """A bridge as it is, in the namespace of the socket and the calling thread; None if gone."""
    answer = connection.get(rtnl.get_link(name))
    if answer is None:
        return None
    found = rtnl.link_state(answer)
    addresses = [
        text
        for text, temporary in _addresses(connection, found.ifindex).items()
        if not temporary and not IPNetwork(text).ip.is_link_local()
    ]
    values = {"ipv4/ip_forward": settings.read("net/ipv4/ip_forward")}
    for key in _SETTINGS:
        family, _, last = key.partition("/")
        values[key] = settings.read(f"net/{family}/conf/{name}/{last}")
    known = {key: value for key, value in values.items() if value is not None}
    return FoundBridge(tuple(addresses), found.mtu, found.up, known, _keeps_apart(found))


def _keeps_apart(found: rtnl.LinkState) -> bool:
    """Whether a bridge keeps VLANs apart."""
    return found.kind == "bridge" and rtnl.other_setting(found, "vlan_filtering", 1) is None


def _addresses(connection: Socket, number: int) -> dict[str, bool]:
    """The addresses on a link, with their prefix lengths; whether each is temporary."""
    found = map(rtinet.address_state, connection.dump(rtinet.get_addresses(index=number)))
    return {
        f"{_text(each.address)}/{each.prefixlen}": each.temporary
        for each in found
        if each.ifindex == number
    }


def _text(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)  # noqa: PLR2004


REALISATIONS.update({plan.Wire: _Wires(), plan.Adopted: _Bridges()})
