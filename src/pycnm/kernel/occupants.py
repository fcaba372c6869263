"""Who has a port: the process behind a bound socket (proc(5), net/tcp and friends).

Read in the network namespace of the calling thread.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

UNSEEN = "a program that has bound it without listening, or has just ended"
"""Who has a port that is taken, but by nobody whom /proc shows."""

_NET = Path("/proc/thread-self/net")
_LISTEN = "0A"
_MAPPED = bytes(10) + b"\xff\xff"


def of_port(protocol: str, address: str, port: int) -> str:
    """The process that keeps others from binding a port, in words; empty if none is found."""
    inodes = _inodes(protocol, _packed(address), port)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has(process, wanted):
            return f"process {process.name} ({_name(process)})"
    return "a process outside this PID namespace"


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _inodes(protocol: str, address: bytes, port: int) -> set[str]:
    if protocol == "sctp":
        return set(_sctp(port))
    listening, connected = set[str](), set[str]()
    for table in (protocol, protocol + "6"):
        with contextlib.suppress(OSError):
            for line in (_NET / table).read_text().splitlines()[1:]:
                words = line.split()
                (local, _, number), status, inode = words[1].partition(":"), words[3], words[9]
                if int(number, 16) != port or not _clash(address, _in_order(local)):
                    continue
                if protocol == "udp" or status == _LISTEN:
                    listening.add(inode)
                else:
                    connected.add(inode)
    # A client's own end of a connection keeps its port too.
    return listening or connected


def _in_order(text: str) -> bytes:
    """An address of /proc/net, which shows each four bytes as a number of this machine."""
    numbers = [int(text[place : place + 8], 16) for place in range(0, len(text), 8)]
    return struct.pack(f"={len(numbers)}I", *numbers)


def _clash(wanted: bytes, bound: bytes) -> bool:
    """Whether a socket bound to an address may keep another from binding one."""
    if len(wanted) == len(bound):
        return wanted == bound or not any(wanted) or not any(bound)
    # An IPv6 socket can have IPv4 ports: on all addresses, or on a mapped one.
    return len(wanted) == 4 and (  # noqa: PLR2004 - bytes of an IPv4 address
        not any(bound)
        or (bound.startswith(_MAPPED) and (not any(wanted) or bound.endswith(wanted)))
    )


def _sctp(port: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in (_NET / "sctp/eps").read_text().splitlines()[1:]:
            words = line.split()
            if words[5] == str(port):
                yield words[7]


def _has(process: Path, wanted: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) in wanted:
                    return True
    return False


def _name(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip()
    return "ended"
