"""What the agent and its keeper call sockets that outlive an agent."""

from __future__ import annotations

import socket
from typing import NamedTuple

PER_TOKEN = 2
"""The sockets of a sandbox: datagrams, and who listens for streams; a port has one."""
TOGETHER = 100
"""How many go in one message: SCM_RIGHTS takes 253 descriptors (unix(7))."""


Pair = tuple[socket.socket, socket.socket]


class Token(NamedTuple):
    """The sockets that answer one sandbox, told from those of its earlier lives.

    Attributes:
        sandbox: its full id.
        key: the path of its namespace.
        port: that both are bound to, on 127.0.0.11.
        device, inode: of the namespace.
    """

    sandbox: str
    key: str
    port: int
    device: int
    inode: int


class Held(NamedTuple):
    """The socket that holds a port of the host.

    Attributes:
        protocol, address, number: of the port.
        device, inode: of the host's namespace.
    """

    protocol: str
    address: str
    number: int
    device: int
    inode: int


Name = tuple[str | int, ...]
"""Either of them, as messages have it."""
