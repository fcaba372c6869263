"""Ports of bridges that came up: when frames pass them, their sandboxes are announced."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pycnm.kernel import rtnl
from pycnm.kernel.links import state

if TYPE_CHECKING:
    from pycnm.kernel.session import LinuxSession

_PATIENCE, _PAUSE = 0.2, 0.001


def rise(session: LinuxSession) -> None:
    """Wait until frames pass the ports that came up, and their bridges; announce who is there.

    The kernel takes note of a new carrier a moment after it is there, in a
    thread of its own.  What is sent before that is lost, and an address that
    nobody seems to have is asked for again only after a second.  To be asked
    about a link makes the kernel look at once (Linux 6.9), or in less than 1 ms.

    What is lost may be what the kernel told the neighbours as the other end came up
    (`arp_notify`, `ndisc_notify`): who had the address before stays in their tables.
    It tells them again when a link is given its MAC, even the one that it has.
    """
    pairs, session.rising = session.rising, []
    end = time.monotonic() + _PATIENCE
    names = [(pair.ns, name) for pair in pairs for name in (pair.name, pair.master)]
    for ns, name in dict.fromkeys(names):
        while (found := state(session, ns, name)) is not None and not found.carries:
            if not found.up or time.monotonic() > end:
                # Its other end was taken down meanwhile; that is for check() to say.
                return
            time.sleep(_PAUSE)
    for pair in pairs:
        # A pair that is gone, or elsewhere, by now is for check(), too.
        with contextlib.suppress(LookupError):
            session.socket(pair.peer_ns).request([rtnl.set_link(pair.peer, mac=pair.peer_mac)])
