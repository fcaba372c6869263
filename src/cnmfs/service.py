"""What a service manager is told: sd_notify(3), which is a datagram."""

from __future__ import annotations

import contextlib
import os
import socket


def tell(state: str) -> None:
    """Tell the service manager, if there is one; it is no failure if it isn't listening.

    Args:
        state: as of sd_notify(3), `READY=1` or `STOPPING=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker,
    ):
        speaker.connect(address)
        speaker.send(state.encode())
