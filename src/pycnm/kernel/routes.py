"""The host's routes on the link, kept up to date instead of read again.

A host with a thousand networks has a thousand such routes; to read them for
each new network would make the thousandth cost five times the first.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from pycnm.kernel import rtinet, rtnl
from pycnm.kernel.netlink import NETLINK_ROUTE, Message, Socket
from pycnm.plan.host import Prefix

_GROUPS = 1 << 0 | 1 << 6  # RTMGRP_LINK, RTMGRP_IPV4_ROUTE
_SCOPE_LINK = 253
_MAIN = 254
# Addresses that are the Internet's (of a DNS root server, RFC 8499); nothing is sent there.
_FAR = ("198.41.0.4", "2001:503:ba3e::2:30")
# What matters to most messages is in fixed places of struct rtmsg.
_HEADER = struct.Struct("=BBBBBBBBI")


class OnLinkRoutes:
    """IPv4 routes of scope link in the main table of one namespace.

    Made, refreshed and closed by a thread that is in that namespace; one thread
    at a time.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._monitor: Socket | None = None
        self._routes: dict[tuple[bytes, int, int], Prefix] = {}

    def close(self) -> None:
        """Close the socket."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def refresh(self) -> tuple[Prefix, ...]:
        """The routes there are now.

        Raises:
            OSError: the kernel can't be asked.
        """
        if self._pid != os.getpid():
            # A child of fork(2) would take its parent's notifications.
            self.close()
            self._pid = os.getpid()
        try:
            if self._monitor is not None:
                for received in self._monitor.pending():
                    self._apply(received)
                return tuple(self._routes.values())
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # More was said than the queue could hold: forget it all, ask anew.
        self.close()
        monitor = Socket(NETLINK_ROUTE, groups=_GROUPS)
        try:
            self._routes.clear()
            with Socket(NETLINK_ROUTE) as connection:
                for received in connection.dump(rtinet.get_routes(socket.AF_INET)):
                    self._apply(received)
        except BaseException:
            # Half of the routes must not be taken for all of them.
            monitor.close()
            raise
        self._monitor = monitor
        return self.refresh()

    def _apply(self, received: Message) -> None:
        if received.kind in {rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK}:
            ifindex, up = rtnl.link_up(received)
            if received.kind == rtnl.RTM_DELLINK or not up:
                # IPv4 routes go with their link without a word.
                for key in [key for key in self._routes if key[2] == ifindex]:
                    del self._routes[key]
            return
        if received.kind not in {rtinet.RTM_NEWROUTE, rtinet.RTM_DELROUTE}:
            return
        _, _, _, _, table, _, scope, _, _ = _HEADER.unpack_from(received.payload)
        if scope != _SCOPE_LINK or table != _MAIN:
            return
        route = rtinet.route_state(received)
        if route is None or not route.destination:
            return
        key = (route.destination, route.prefixlen, route.ifindex)
        if received.kind == rtinet.RTM_NEWROUTE:
            first = int.from_bytes(route.destination, "big")
            self._routes[key] = Prefix(first, route.prefixlen)
        else:
            self._routes.pop(key, None)


def mtu_outside(connection: Socket) -> int:
    """MTU of the way to the Internet, IPv4's before IPv6's; 0 if there is none."""
    for address in _FAR:
        try:
            answer = connection.get(rtinet.get_route(address))
        except OSError:
            # Unreachable, prohibited, or a family that the kernel doesn't have.
            continue
        if answer is not None:
            link, mtu = rtinet.way(answer)
            found = connection.get(rtnl.get_link_at(link)) if link and not mtu else None
            return mtu if found is None else rtnl.link_state(found).mtu
    return 0
