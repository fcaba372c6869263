"""All that there is of a host, its sandboxes and its state directory, read from outside.

It is looked at some 10,000 times, so it is asked of the kernel directly: a process for
each of `ip link`, `ip address` and so on takes ten times as long.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import struct
from pathlib import Path

import gate
from pictures import differences, plain_rules
from surroundings import agents
from topology import RUN_NETNS, Place, until

from pycnm.kernel.netlink import NLM_F_DUMP, Socket, attributes, message

TRANSIENT = ("cnm.db-wal", "cnm.db-shm", "agent.lock", "agent.sock")
"""Files that come with use, and may stay."""
TOLD = {"events", "makers", "sqlite_sequence", "port_cursors"}
"""Tables that say what was, not what is."""
NUMBERS = {"number", "cursor"}
SETTLING = 3.0
"""Seconds the kernel may take to bring about what was asked for."""

# rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h, linux/neighbour.h
_GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 18, 22, 26, 30
_LINK = {1: "address", 4: "mtu", 20: "alias", 27: "group"}
_ADDRESS, _NAME, _MASTER = 1, 3, 10
_UP, _PERMANENT, _LOCAL_TABLE = 1, 0x80, 255


def look(host, directory, apart):
    """What can be seen; two looks at the same are equal.

    Args:
        host: the `Machine`.
        directory: the state directory.
        apart: names of namespaces that aren't the business of this.
    """
    names = {path.name for path in RUN_NETNS.iterdir()}
    places = [Place(RUN_NETNS / name) for name in sorted(names - {*apart})]
    ruleset = json.loads(host.run("nft", "-s", "-j", "list", "ruleset"))["nftables"]
    return {
        "namespaces": sorted(names),
        "inside": {place.label: place.do(network) for place in places},
        "settings": {place.label: place.settings() for place in places},
        "rules": plain_rules(ruleset),
        "ports": sorted(port for pid in agents(directory) for port in bound(pid)),
        "held": held(directory),
        "mounts": sorted(
            line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "files": sorted(
            str(path.relative_to(directory))
            for path in directory.rglob("*")
            if path.name not in TRANSIENT and path != directory / "sandboxes"
        ),
        "record": record(directory),
    }


def network():
    """Links, addresses, routes and permanent neighbours of the namespace this thread is in."""
    with Socket(0) as kernel:

        def ask(kind, header):
            return [each.payload for each in kernel.dump(message(kind, NLM_F_DUMP, header))]

        links = {}
        for data in ask(_GET_LINK, bytes(16)):
            _, _, index, flags = struct.unpack_from("=BxHiI", data)
            links[index] = (flags & _UP, attributes(data, 16))
        names = {index: found[_NAME].rstrip(b"\0").decode() for index, (_, found) in links.items()}

        def named(data):
            return names.get(int.from_bytes(data, "little"), data.hex())

        seen = []
        for index, (up, found) in links.items():
            if names[index].startswith("veth"):
                del found[_ADDRESS]  # the host's end gets any that comes
            facts = {word: found[kind].hex() for kind, word in _LINK.items() if kind in found}
            facts["master"] = named(found[_MASTER]) if _MASTER in found else ""
            seen.append(f"link {names[index]} {'up' if up else 'down'} {facts}")
        for data in ask(_GET_ADDRESS, bytes(8)):
            _, length, _, _, index = struct.unpack_from("=BBBBi", data)
            found = attributes(data, 8)
            address = found.get(2, found.get(1, b""))
            # The kernel gives link-local addresses when it gets to it.
            if not address.startswith(b"\xfe\x80"):
                seen.append(f"address {_text(address)}/{length} on {names.get(index)}")
        for data in ask(_GET_ROUTE, bytes(12)):
            _, length, _, _, table, *_ = struct.unpack_from("=8B", data)
            found = attributes(data, 12)
            to = found.get(1, b"")
            if table != _LOCAL_TABLE and not to.startswith((b"\xfe\x80", b"\xff")):
                via = _text(found[5]) if 5 in found else ""
                seen.append(f"route {_text(to)}/{length} via {via} on {named(found.get(4, b''))}")
        for data in ask(_GET_NEIGHBOUR, bytes(12)):
            _, index, state = struct.unpack_from("=B3xiH", data)
            if state & _PERMANENT:
                found = attributes(data, 12)
                seen.append(f"neighbour {found.get(1, b'').hex()} {found.get(2, b'').hex()} "
                            f"on {names.get(index)}")  # fmt: skip
    return sorted(seen)


def _text(address):
    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    return socket.inet_ntop(families[len(address)], address) if address else "any"


def bound(pid):
    """The ports that sockets of a process are bound to, listened on or not."""
    found = []
    for number in _sockets(pid):
        # One may be closed in the meantime.
        with contextlib.suppress(OSError), socket.socket(fileno=gate.take(pid, number)) as twin:
            if twin.family in {socket.AF_INET, socket.AF_INET6}:
                kind = "udp" if twin.type == socket.SOCK_DGRAM else "tcp"
                found.append(f"{kind} {twin.getsockname()}")
    return found


def _sockets(pid):
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:"):
                    yield int(entry)


def held(directory):
    """Namespaces that only a process of ours keeps, by what the process is."""
    named = {path.stat().st_ino for path in RUN_NETNS.iterdir()}
    found = []
    for pid in agents(directory):
        process = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            paths = [process / "ns/net", *(process / "fd").iterdir(), *process.glob("task/*/ns/net")]
            for path in paths:
                with contextlib.suppress(OSError):
                    kind, _, number = os.readlink(path).partition(":")
                    if kind == "net" and int(number.strip("[]")) not in named:
                        found.append(str(path))
    return found


def record(directory):
    """The rows of the database, less what only counts."""
    found = {}
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in TOLD:
                cursor = database.execute(f"SELECT * FROM {table}")  # noqa: S608 - its own word
                keep = [at for at, column in enumerate(cursor.description)
                        if column[0] not in NUMBERS]  # fmt: skip
                found[table] = sorted(repr([row[at] for at in keep]) for row in cursor)
    return found


def change(then, now):
    """How one look differs from an earlier one, in lines."""
    return [line[:1400] for line in differences(now, then)]


def settled(wanted, again):
    """How what `again` sees differs from what is wanted, once the kernel has had its time."""
    seen = []

    def same():
        seen[:] = [again()]
        return seen[0] == wanted

    until(same, SETTLING)
    return change(wanted, seen[0])
