"""Two worlds with one face: a fake kernel, and this machine's in namespaces of the test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from topology import RUN_NETNS, call, until

from pycnm.engine.engine import MIGRATIONS
from pycnm.kernel.linux import LinuxKernel
from pycnm.plan.links import (
    Address,
    Directory,
    Hairpin,
    Isolated,
    Link,
    Namespace,
    Route,
    Rule,
    Sysctl,
    Up,
    Veth,
    inside,
    ip,
)
from pycnm.plan.names import Divert, NetnsFiles, TextFile
from pycnm.plan.operation import HOST
from pycnm.plan.ports import HeldPort
from pycnm.plan.rules import Entry, Guard, Skeleton
from pycnm.plan.shaping import Policer, Shaper
from pycnm.store.database import Database
from pycnm.testing import FakeKernel

MNT_DETACH = 2


class FakeWorld:
    """A fake kernel."""

    def __init__(self):
        self.kernel = FakeKernel()
        self.others_do = self.kernel.others_do
        self.others_undo = self.kernel.others_undo
        self.others_append = self.kernel.others_append

    def snapshot(self):
        """Everything there is."""
        return self.kernel.listing().splitlines()

    def settled(self, snapshot):
        """Whether everything is as in a snapshot."""
        return self.snapshot() == snapshot

    def close(self):
        """Nothing stays."""


class LinuxWorld:
    """This machine's kernel, with a namespace in the part of the host."""

    def __init__(self, directory):
        self.directory = directory
        self.path = str(RUN_NETNS / "host")
        self.shell("ip netns add host", here=True)
        self.shell("ip link set lo up")
        # The agent reads there which ports are recorded.
        Database(directory, MIGRATIONS).close()
        self.kernel = LinuxKernel(self.path, directory)
        self._sockets = {}

    def shell(self, script, *, here=False):
        """What a shell in the host printed, given a script."""
        words = ["sh", "-euc", script]
        if not here:
            words = ["nsenter", f"--net={self.path}", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return done.stdout

    # Somebody else

    def others_do(self, *operations):
        """What the operations say, typed by somebody."""
        for operation in operations:
            if isinstance(operation, HeldPort):
                self._bind(operation)
            elif isinstance(operation, Route):
                # Whoever leaves no mark on a route makes it as `ip` does: that is
                # how ours look, too.
                self.shell(f"{operation} proto static")
            else:
                self.shell(str(operation))

    def others_undo(self, *operations):
        """What the operations say, taken back by somebody, whoever did it."""
        for operation in operations:
            if isinstance(operation, HeldPort):
                self._sockets.pop(operation).close()
            else:
                self.shell(undoing(operation))

    def others_append(self, path, text):
        """Text at the end of a file, written by somebody."""
        with Path(path).open("a") as file:
            file.write(text)

    def _bind(self, port):
        kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[port.protocol]
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET

        def bind():
            bound = self._sockets[port] = socket.socket(family, kind)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((port.address, port.port))
            if kind == socket.SOCK_STREAM:
                bound.listen()

        self.kernel.inside(HOST, bind)

    # What there is

    def snapshot(self):
        """Everything there is, as the tools print it, less what is never twice the same."""
        found = {"host": self._namespace("")}
        for name in sorted(path.name for path in RUN_NETNS.iterdir()):
            if (RUN_NETNS / name).is_mount() and name != "host":
                found[name] = self._namespace(name)
        found["nft"] = without(json.loads(self.shell("nft -j list ruleset")), {"handle"})
        paths = sorted(self.directory.glob("**/*"))
        found["directories"] = [str(path) for path in paths if path.is_dir()]
        written = [path for path in paths if path.parent.name == "box" and path.is_file()]
        found["files"] = {str(path): path.read_text() for path in written}
        links = Path("/etc").glob("netns/*")
        found["links"] = sorted(f"{path} {os.readlink(path)}" for path in links)
        found["netns"] = Path("/etc/netns").exists()
        return found

    def _namespace(self, name):
        links, addresses, routes, rules = self._shown(name, "link", "address", ROUTES, "rule")
        routes6, rules6 = self._shown(name, ROUTES, "rule", options="-6")
        return {
            "links": [_link(link) for link in links],
            "address": [
                link["ifname"] + " " + json.dumps(without(address, VOLATILE))
                for link in addresses
                for address in link["addr_info"]
                if not address["local"].startswith("fe80:")
            ],
            "routes": _routes(routes),
            "routes6": _routes(routes6),
            "rules": without(rules, VOLATILE),
            "rules6": without(rules6, VOLATILE),
            "sysctl": self._settings(name),
        }

    def _shown(self, name, *commands, options=""):
        """What one ip(8) prints for several commands."""
        where = f"-n {name}" if name else ""
        lines = "\\n".join(commands)
        text = self.shell(f"printf '{lines}\\n' | ip {where} {options} -j -d -batch -")
        shown = []
        while text:
            value, end = json.JSONDecoder().raw_decode(text)
            shown.append(value)
            text = text[end:].lstrip()
        assert len(shown) == len(commands)
        return shown

    def _settings(self, name):
        where = f"nsenter --net={RUN_NETNS / name} " if name else ""
        names = ("*forwarding", "route_localnet", "disable_ipv6", "accept_ra", "arp_notify")
        files = " ".join(f"/proc/sys/net/ipv*/conf/*/{each}" for each in names)
        # What isn't there for one family is there for the other.
        script = f"grep -s . /proc/sys/net/ipv4/ip_forward {files} || true"
        return sorted(self.shell(f"{where}sh -c '{script}'").splitlines())

    def settled(self, snapshot):
        """Whether everything is as in a snapshot, when the kernel is done."""
        return until(lambda: self.snapshot() == snapshot)

    def close(self):
        """Take away whatever is left."""
        self.kernel.close()
        for bound in self._sockets.values():
            bound.close()
        dismiss_agents(self.directory)
        shutil.rmtree("/etc/netns", ignore_errors=True)
        for path in RUN_NETNS.iterdir():
            with contextlib.suppress(OSError):
                call("umount2", str(path).encode(), MNT_DETACH)
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


ROUTES = "route show table all"
VOLATILE = {
    "ifindex",
    "link_index",
    "link_netnsid",
    "iif",
    "stats64",
    "linkinfo",
    "address",
    "permaddr",
    "valid_life_time",
    "preferred_life_time",
    "operstate",
    "carrier",
    "flags",
    "link",
    "tentative",
}


def _routes(shown):
    kept = [route for route in shown if not route["dst"].startswith(("fe80:", "ff00:"))]
    return sorted(json.dumps(route) for route in without(kept, VOLATILE))


def _link(link):
    """What of a link is the same each time it is made."""
    kind = link.get("linkinfo", {}).get("info_kind", "")
    kept = {key: link.get(key) for key in ("ifname", "mtu", "group", "ifalias", "master")}
    # The kernel makes up the addresses of the ends of pairs that stay outside.
    address = link["address"] if link["address"].startswith("02:42:") else ""
    return kept | {"kind": kind, "up": "UP" in link["flags"], "address": address}


def without(value, keys):
    """JSON without some keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(each, keys) for key, each in value.items() if key not in keys}
    if isinstance(value, list):
        return [without(each, keys) for each in value]
    return value


def undoing(operation):
    """The command that takes an operation back."""
    return UNDOING[type(operation)](operation)


def _deleting(operation):
    return re.sub(" (address|route|rule) add ", r" \1 del ", str(operation))


UNDOING = {
    Namespace: lambda op: f"ip netns del {Path(op.path).name}",
    Directory: lambda op: f"rm -r {op.path}",
    Link: lambda op: f"{ip(op.netns or op.ns)} link del {op.name}",
    Veth: lambda op: f"{ip(op.ns)} link del {op.name}",
    Up: lambda op: f"{ip(op.ns)} link set {op.link} down",
    Hairpin: lambda op: f"{op} off".replace("on off", "off"),
    Isolated: lambda op: f"{op} off".replace("on off", "off"),
    Address: _deleting,
    Route: _deleting,
    Rule: _deleting,
    Sysctl: lambda op: f"{inside(op.ns)}sysctl -w {op.key.replace('/', '.')}={op.before}",
    Skeleton: lambda _: "nft delete table inet cnm",
    Entry: lambda op: f"nft 'delete {op.value.reference}'",
    Divert: lambda op: f"{inside(op.ns)}nft 'delete {op.table.reference}'",
    TextFile: lambda op: f"rm {op.path}",
    NetnsFiles: lambda op: f"rm {op.path}; rmdir /etc/netns",
    Guard: lambda op: f"nft 'delete {op.table.reference}'",
    Policer: lambda op: f"nft 'delete {op.table.reference}'",
    Shaper: lambda op: f"tc qdisc del dev {op.link} root",
}


def dismiss_agents(directory):
    """End the agents of a state directory, which linger for a while."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if "pycnm.agent" in words and str(directory) in words:
                    os.kill(int(process.name), 15)
