"""All that there is of a host, its sandboxes and its state directory, read from outside.

It is looked at some 10,000 times, so it is asked of the kernel directly: a process for
each of `ip link`, `nft list ruleset` and so on takes ten times as long.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sqlite3
import sys
from pathlib import Path

import gate
from pictures import differences, plain_rules
from surroundings import agents
from topology import RUN_NETNS, Place, settings, until

from pycnm.kernel.netlink import NLM_F_DUMP, Socket, attributes, message

TRANSIENT = ("cnm.db-wal", "cnm.db-shm", "agent.lock", "agent.sock", "keeper.sock")
"""Files that come with use, and may stay."""
TOLD = {"events", "makers", "sqlite_sequence", "port_cursors"}
"""Tables that say what was, not what is."""
NUMBERS = {"number", "cursor"}
SETTLING = 3.0
"""Seconds the kernel may take to bring about what was asked for."""

# Numbers of rtnetlink(7).
_GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 18, 22, 26, 30
_LINK = {1: "address", 4: "mtu", 20: "alias", 27: "group"}
_NAME, _MASTER = 3, 10
_UP, _PERMANENT, _LOCAL_TABLE = 1, 0x80, 255

_NFT = ctypes.CDLL("libnftables.so.1")
_NFT.nft_ctx_new.restype = ctypes.c_void_p
_NFT.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
_NFT.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
_NFT.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
for _name in ("nft_ctx_buffer_output", "nft_ctx_get_output_buffer", "nft_ctx_free"):
    getattr(_NFT, _name).argtypes = (ctypes.c_void_p,)
_STATELESS, _JSON = 1 << 2, 1 << 4


def look(host, directory, apart):
    """What can be seen; two looks at the same are equal.

    Args:
        host: the `Machine`.
        directory: the state directory.
        apart: names of namespaces that aren't the business of this.
    """
    names = {path.name for path in RUN_NETNS.iterdir()}
    places = [Place(RUN_NETNS / name) for name in sorted(names - {*apart})]
    keepers = agents(directory)
    inside = {place.label: place.do(lambda: (network(), settings())) for place in places}
    return {
        "namespaces": sorted(names),
        "inside": {label: links for label, (links, _) in inside.items()},
        "settings": {label: found for label, (_, found) in inside.items()},
        "rules": plain_rules(json.loads(host.do(ruleset))["nftables"]),
        "ports": sorted(port for pid in keepers for port in bound(pid)),
        "held": held(keepers),
        "files of namespaces": sorted(map(str, Path("/etc").glob("netns*/**"))),
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


def ruleset():
    """What `nft -s -j list ruleset` prints in the namespace this thread is in."""
    context = _NFT.nft_ctx_new(0)
    try:
        _NFT.nft_ctx_output_set_flags(context, _STATELESS | _JSON)
        _NFT.nft_ctx_buffer_output(context)
        if _NFT.nft_run_cmd_from_buffer(context, b"list ruleset"):
            raise OSError("the ruleset can't be listed")
        return _NFT.nft_ctx_get_output_buffer(context)
    finally:
        _NFT.nft_ctx_free(context)


def network():
    """Links, addresses, routes and permanent neighbours of the namespace this thread is in."""
    with Socket(0) as kernel:

        def ask(kind, size):
            dump = kernel.dump(message(kind, NLM_F_DUMP, bytes(size)))
            return [(each.payload, attributes(each.payload, size)) for each in dump]

        links = ask(_GET_LINK, 16)
        names = {_index(data): found[_NAME].rstrip(b"\0").decode() for data, found in links}
        lines = [
            *(_link(names, *link) for link in links),
            *(_address(names, *address) for address in ask(_GET_ADDRESS, 8)),
            *(_route(names, *route) for route in ask(_GET_ROUTE, 12)),
            *(_neighbour(names, *neighbour) for neighbour in ask(_GET_NEIGHBOUR, 12)),
        ]
        return sorted(line for line in lines if line)


def _index(data):
    return int.from_bytes(data[4:8], sys.byteorder)


def _link(names, data, found):
    name = names[_index(data)]
    up = data[8] & _UP
    facts = {word: found[kind].hex() for kind, word in _LINK.items() if kind in found}
    if name.startswith("veth"):
        del facts["address"]  # the host's end gets any that comes
    master = names[int.from_bytes(found[_MASTER], sys.byteorder)] if _MASTER in found else ""
    return f"link {name} {'up' if up else 'down'} {facts} {master}"


def _address(names, data, found):
    address = found.get(2, found.get(1, b""))
    # The kernel gives link-local addresses when it gets to it.
    if address.startswith(b"\xfe\x80"):
        return ""
    return f"address {_text(address)}/{data[1]} on {names.get(_index(data))}"


def _route(names, data, found):
    to = found.get(1, b"")
    if data[4] == _LOCAL_TABLE or to.startswith((b"\xfe\x80", b"\xff")):
        return ""
    on = names.get(int.from_bytes(found.get(4, b""), sys.byteorder))
    return f"route {_text(to)}/{data[1]} via {_text(found.get(5, b''))} on {on}"


def _neighbour(names, data, found):
    if not data[8] & _PERMANENT:
        return ""
    words = [found.get(kind, b"").hex() for kind in (1, 2)]
    return f"neighbour {words} on {names.get(_index(data))}"


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


def held(keepers):
    """Namespaces that only a process of these keeps, by what the process is."""
    named = {path.stat().st_ino for path in RUN_NETNS.iterdir()}
    found = []
    for pid in keepers:
        process = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            paths = [
                process / "ns/net",
                *(process / "fd").iterdir(),
                *process.glob("task/*/ns/net"),
            ]
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
