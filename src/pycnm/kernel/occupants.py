"""Who has a port: the process behind a bound socket (proc(5), net/tcp and friends).

Read in the network namespace of the calling thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_NET = Path("/proc/thread-self/net")
_LISTEN = "0A"


def of_port(protocol: str, port: int) -> str:
    """The process that has a port, in words; empty if none is found."""
    inodes = set(_inodes(protocol, port))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has(process, wanted):
            return f"process {process.name} ({_name(process)})"
    return "a process outside this PID namespace"


def _inodes(protocol: str, port: int) -> Iterator[str]:
    if protocol == "sctp":
        yield from _sctp(port)
        return
    for table in (protocol, protocol + "6"):
        with contextlib.suppress(OSError):
            for line in (_NET / table).read_text().splitlines()[1:]:
                words = line.split()
                local, status, inode = words[1], words[3], words[9]
                bound = protocol == "udp" or status == _LISTEN
                if bound and int(local.rpartition(":")[2], 16) == port:
                    yield inode


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
