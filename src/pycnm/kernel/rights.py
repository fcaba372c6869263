"""What a process of root may do: its capabilities (capabilities(7), capset(2))."""

from __future__ import annotations

import ctypes

from pycnm.kernel import libc

CAP_DAC_OVERRIDE = 1
CAP_NET_BIND_SERVICE = 10
CAP_NET_BROADCAST = 11
CAP_NET_ADMIN = 12
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_WORDS = ctypes.c_uint32 * 6  # effective, permitted, inheritable: lower halves, upper halves


def keep(*capabilities: int) -> None:
    """Have the calling thread keep these capabilities, as far as it has them, and no others.

    What it starts inherits none, as the inheritable set and with it the ambient
    one are empty.

    Args:
        capabilities: numbers below 32.
    """
    wanted = sum(1 << capability for capability in set(capabilities))
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    found = _WORDS()
    libc.call("capget", header, found)
    kept = found[1] & wanted
    libc.call("capset", header, _WORDS(kept, kept, 0, 0, 0, 0))
