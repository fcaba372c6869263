"""What the agent and its keeper call the sockets of a sandbox."""

from __future__ import annotations

from typing import NamedTuple

PER_TOKEN = 2
"""The sockets of each: datagrams, and who listens for streams."""
TOGETHER = 100
"""How many go in one message: SCM_RIGHTS takes 253 descriptors (unix(7))."""


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
