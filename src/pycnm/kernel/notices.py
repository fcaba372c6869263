"""What the kernel tells of changes, without being asked: to links, rules and mounts.

One socket hears of links, addresses and routes of the host and of every sandbox:
where a pair of ours leads, or a link of ours was born, the host has a number for the
namespace, and notifications of all that have one come to it (netlink(7),
NETLINK_LISTEN_ALL_NSID).  So a thousand sandboxes cost no descriptor and no thread.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import struct
from collections.abc import Iterator

from pycnm.errors import KernelError
from pycnm.kernel import rtinet, rtnl
from pycnm.kernel.netlink import (
    NATIVE,
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    Message,
    Socket,
    attributes,
)
from pycnm.nft import ruleset
from pycnm.plan.suspicion import EVERYTHING, NOTHING, Suspicion

# RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE,
# IPV4_NETCONF, IPV6_NETCONF; NFNLGRP_NFTABLES (linux/rtnetlink.h, linux/netfilter/nfnetlink.h).
_GROUPS = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 19, 24, 25))
_NFTABLES = 1 << 7 - 1
_LINKS = {rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK}
_ADDRESSES = {rtinet.RTM_NEWADDR, rtinet.RTM_DELADDR}
_ROUTES = {rtinet.RTM_NEWROUTE, rtinet.RTM_DELROUTE}
_NEWNETCONF, _NETCONF_IFINDEX = 80, 1
_MARK = "cnm:"
_PARENT = "cnm:parent:"
_SUBSYSTEM = 10
_NEW_ELEMENT, _NEW_GENERATION = 12, 15
_FAMILY = {1: "inet", 5: "netdev"}
_TABLE = 1
_GUARD, _LIMIT = "cnm_", "_rate"
_MOUNTS = "/proc/self/mountinfo"


class Notices:
    """Hears what happens in the namespace of the calling thread, and in the sandboxes of it.

    `wait` belongs to one thread, `wake` to any.

    Raises:
        PermissionDeniedError, OSError: it may not hear.
    """

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._places: dict[int, set[str]] = {}
        self._born: dict[int, set[str]] = {}
        self._route = Socket(NETLINK_ROUTE, groups=_GROUPS)
        self._nft = Socket(NETLINK_NETFILTER, groups=_NFTABLES)
        self._route.hear_everywhere()
        self._mounts = os.open(_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        for source in (self._route.fileno(), self._nft.fileno(), self._bell):
            self._poll.register(source, select.POLLIN)
        self._poll.register(self._mounts, select.POLLPRI)
        self._learn()

    def close(self) -> None:
        """Let go of everything."""
        self._route.close()
        self._nft.close()
        os.close(self._mounts)
        os.close(self._bell)

    def wake(self) -> None:
        """Have whoever waits stop waiting."""
        os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float | None = None) -> Suspicion:
        """What may have changed, as soon as it may; nothing after some seconds, or `wake`."""
        patience = None if seconds is None else math.ceil(seconds * 1000)
        found = NOTHING
        for source, _ in self._poll.poll(patience):
            if source == self._mounts:
                # What changed is not said; that it was read quiets it.
                found |= Suspicion(pins=True)
            elif source == self._bell:
                os.eventfd_read(self._bell)
            else:
                found |= self._heard(source)
        return found

    def _heard(self, source: int) -> Suspicion:
        found = NOTHING
        try:
            if source == self._nft.fileno():
                for received in self._nft.pending():
                    found |= _of_rules(received)
                return found
            for nsid, received in self._route.notices():
                found |= self._of_host(received) if nsid < 0 else self._inside(nsid, received)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise KernelError("ip monitor all-nsid", error.errno or errno.EIO) from error
            # More was said than the queue holds.
            self._learn()
            return EVERYTHING
        return found

    def _learn(self) -> None:
        """Which links are whose, and where they lead."""
        for known in (self._owners, self._names, self._places, self._born):
            known.clear()
        with Socket(NETLINK_ROUTE) as connection:
            for received in connection.dump(rtnl.get_links()):
                self._note(rtnl.link_state(received))

    def _note(self, link: rtnl.LinkState) -> Iterator[str]:
        """Note a link, and whose it is now and was before."""
        owners = {self._owners.pop(link.ifindex, "")}
        self._names[link.ifindex] = link.name
        if link.alias.startswith(_MARK):
            owner = link.alias.removeprefix(_MARK)
            owners.add(owner)
            self._owners[link.ifindex] = owner
            if link.nsid >= 0:
                self._places.setdefault(link.nsid, set()).add(owner)
        return iter(owners - {""})

    def _of_host(self, received: Message) -> Suspicion:
        kind, payload = received.kind, received.payload
        if kind in _LINKS:
            if payload[0] == socket.AF_BRIDGE:
                return self._at(_index(payload))
            link = rtnl.link_state(received)
            names = frozenset({link.name, self._names.get(link.ifindex, link.name)})
            found = Suspicion.of(self._note(link)) or Suspicion(others=True, links=names)
            if link.alias.startswith(_PARENT):
                found |= Suspicion(links=names)
            if kind == rtnl.RTM_DELLINK:
                self._forget(link)
            return found
        if kind in _ADDRESSES:
            # Where it bears no mark, it may be a bridge of others that a network is on.
            return self._at(_index(payload)) or self._named(_index(payload))
        if kind in _ROUTES:
            route = rtinet.route_state(received)
            return NOTHING if route is None else self._at(route.ifindex)
        if kind == _NEWNETCONF:
            return self._of_settings(payload)
        return NOTHING

    def _forget(self, link: rtnl.LinkState) -> None:
        owner = self._owners.pop(link.ifindex, "")
        self._names.pop(link.ifindex, None)
        if link.nsid >= 0:
            there = self._places.get(link.nsid, set())
            there.discard(owner)
            if not there:
                self._places.pop(link.nsid, None)

    def _of_settings(self, payload: bytes) -> Suspicion:
        found = attributes(payload, 4)
        if len(found) > 2:  # noqa: PLR2004 - all that a new link has, not one that was changed
            return NOTHING
        index = int.from_bytes(found.get(_NETCONF_IFINDEX, b""), NATIVE, signed=True)
        return self._at(index) or Suspicion(host=True) | self._named(index)

    def _named(self, index: int) -> Suspicion:
        return Suspicion(links=frozenset({self._names[index]} if index in self._names else ()))

    def _at(self, index: int) -> Suspicion:
        owner = self._owners.get(index)
        return NOTHING if owner is None else Suspicion.of([owner])

    def _inside(self, nsid: int, received: Message) -> Suspicion:
        if nsid not in self._born:
            self._born[nsid] = self._found_in(nsid)
        if received.kind in _LINKS and received.payload[0] != socket.AF_BRIDGE:
            alias = rtnl.link_state(received).alias
            if alias.startswith(_MARK):
                self._born[nsid].add(alias.removeprefix(_MARK))
        return Suspicion.of(self._places.get(nsid, set()) | self._born[nsid])

    @staticmethod
    def _found_in(nsid: int) -> set[str]:
        """Whose the links are in a namespace that bear a mark there: those that were born in it."""
        with Socket(NETLINK_ROUTE) as connection:
            try:
                found = connection.dump(rtnl.get_links(nsid))
            except OSError:
                # It is gone by now.
                return set()
        aliases = [rtnl.link_state(received).alias for received in found]
        return {text.removeprefix(_MARK) for text in aliases if text.startswith(_MARK)}


def _index(payload: bytes) -> int:
    """Where struct ifinfomsg and struct ifaddrmsg have it."""
    (index,) = struct.unpack_from("=i", payload, 4)
    return int(index)


def _of_rules(received: Message) -> Suspicion:
    kind = received.kind & 0xFF
    if received.kind >> 8 != _SUBSYSTEM or kind in {_NEW_ELEMENT, _NEW_GENERATION}:
        return NOTHING
    family = _FAMILY.get(received.payload[0])
    table = attributes(received.payload, 4).get(_TABLE, b"").rstrip(b"\0").decode(errors="replace")
    if family == "netdev" and table.startswith(_GUARD):
        return Suspicion(ports=frozenset([table.removeprefix(_GUARD).removesuffix(_LIMIT)]))
    return Suspicion(rules=(family, table) == (ruleset.FAMILY, ruleset.TABLE))
