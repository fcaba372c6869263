"""Hosts, routers and the outside, played by network namespaces; and what is done inside them.

Programs and sockets get into a namespace through a thread that enters it: the
thread of the test never does.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from pictures import differences, plain_routes, plain_rules
from traffic import IMPATIENCE, PATIENCE, Answer, Capture, Server, ask_again, until

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "IMPATIENCE",
    "PATIENCE",
    "RUN_NETNS",
    "Answer",
    "Machine",
    "Place",
    "ask_again",
    "call",
    "differences",
    "inside",
    "settings",
    "until",
    "within",
]

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
RUN_NETNS = Path("/run/netns")


def call(name, *arguments):
    """Call a function of libc that returns 0, or raise OSError."""
    if getattr(LIBC, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def within(path, work):
    """What `work` returns or raises, called by a thread in the namespace at `path`."""
    outcome = []

    def enter_and_work():
        try:
            namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                call("setns", namespace, CLONE_NEWNET)
            finally:
                os.close(namespace)
            outcome.append((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            outcome.append((None, error))

    thread = threading.Thread(target=enter_and_work, name="test-within", daemon=True)
    thread.start()
    thread.join()
    result, error = outcome.pop()
    if error is not None:
        raise error
    return result


def settings():
    """Every setting of an interface that decides where its packets may go, in this namespace."""
    names = ("forwarding", "force_forwarding", "accept_ra", "route_localnet", "disable_ipv6")
    found = {"ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text()}
    for directory in Path("/proc/sys/net").glob("ipv[46]/conf/*"):
        for name in names:
            with contextlib.suppress(OSError):
                found[f"{directory}/{name}"] = (directory / name).read_text()
    return found


class Place:
    """A network namespace, seen from inside."""

    def __init__(self, key, label=""):
        self.key = str(key)
        self.label = label or Path(self.key).name

    def __repr__(self):
        return f"{type(self).__name__}({self.label})"

    def do(self, work):
        return within(self.key, work)

    def popen(self, *argv, **options):
        return self.do(lambda: subprocess.Popen(argv, **options))

    def run(self, *argv, text=None):
        """What a program prints; it must succeed."""
        done = self.do(
            lambda: subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    # What there is

    def ip(self, *words):
        """What `ip -json` shows."""
        return json.loads(self.run("ip", "-json", "-details", *words) or "[]")

    def batch(self, *lines):
        """Commands of ip(8), without the word ip."""
        self.run("ip", "-batch", "-", text="\n".join(lines))

    def interfaces(self):
        return self.do(lambda: sorted(name for _, name in socket.if_nameindex()))

    def link(self, name):
        found = [link for link in self.ip("link") if link["ifname"] == name]
        assert found, f"{self} has no interface {name}, but {self.interfaces()}"
        return found[0]

    def addresses(self, interface, family=4):
        """The addresses of an interface, with their prefix lengths, as text."""
        shown = self.ip(f"-{family}", "address", "show", "dev", interface)
        infos = [info for link in shown if link for info in link.get("addr_info", ())]
        return [f"{info['local']}/{info['prefixlen']}" for info in infos if "local" in info]

    def routes(self, family=4, table="main"):
        """The routes of a table, each without what only decorates it."""
        dull = {"flags", "metric", "pref", "type", "scope"}
        shown = self.ip(f"-{family}", "route", "show", "table", table)
        return [{key: value for key, value in each.items() if key not in dull} for each in shown]

    def tables(self):
        """Family and name of every nft table."""
        shown = json.loads(self.run("nft", "-j", "list", "tables"))["nftables"]
        return sorted((t["table"]["family"], t["table"]["name"]) for t in shown if "table" in t)

    def sysctl(self, key):
        path = Path("/proc/sys", key if "/" in key else key.replace(".", "/"))
        return self.do(lambda: path.read_text().strip())

    def set_sysctl(self, **values):
        """Settings by name, with two underscores for each dot."""

        def write():
            for key, value in values.items():
                *folders, name = key.split("__")
                path = Path("/proc/sys", *folders, name)
                if not path.exists():
                    path = path.with_name(name.replace("_", "-"))
                path.write_text(str(value))

        self.do(write)

    def settings(self):
        """Every setting of an interface that decides where its packets may go."""
        return self.do(settings)

    def bound(self):
        """Protocol and local address, in the kernel's digits, of bound sockets."""

        def read():
            found = []
            for kind in ("tcp", "tcp6", "udp", "udp6"):
                for line in Path("/proc/thread-self/net", kind).read_text().splitlines()[1:]:
                    words = line.split()
                    if kind.startswith("udp") or words[3] == "0A":
                        found.append((kind, words[1]))
            return sorted(found)

        return self.do(read)

    def picture(self):
        """Everything here that networks could have changed."""
        commands = {
            "ruleset": "nft -s -j list ruleset",
            "addresses": "ip -j address",
            **{f"routes{n}": f"ip -j -{n} route show table all" for n in (4, 6)},
            **{f"policy{n}": f"ip -j -{n} rule" for n in (4, 6)},
        }
        found = self._outputs(commands)
        found["ruleset"] = plain_rules(found["ruleset"]["nftables"])
        found["addresses"] = {
            link["ifname"]: sorted(info["local"] for info in link["addr_info"])
            for link in found["addresses"]
        }
        for n in (4, 6):
            found[f"routes{n}"] = plain_routes(found[f"routes{n}"])
        return {**found, "settings": self.settings(), "bound": self.bound()}

    def _outputs(self, commands):
        """What programs print as JSON, all started before the first is waited for."""

        def start():
            return {
                key: subprocess.Popen(command.split(), stdout=subprocess.PIPE)
                for key, command in commands.items()
            }

        outputs = {}
        for key, process in self.do(start).items():
            outputs[key] = json.loads(process.communicate()[0] or "[]")
            assert process.returncode == 0, commands[key]
        return outputs

    def route(self, *routes):
        """Routes such as `default via 192.0.2.1`."""
        self.batch(*(f"route add {text}" for text in routes))

    # What packets do

    def ping(self, address, patience=PATIENCE):
        """Whether an echo request is answered; an impatient one is sent just once."""
        argv = ["ping", "-n", "-q", "-c1", f"-W{patience}", str(address)]
        done = self.do(lambda: subprocess.run(argv, capture_output=True, check=False))
        assert done.returncode in {0, 1} or b"unreachable" in done.stderr.lower(), done.stderr
        return done.returncode == 0

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket that lives in this namespace, whoever uses it."""
        return self.do(lambda: socket.socket(family, kind))

    def connect(self, address, port, protocol="tcp", *, source=("", 0), patience=PATIENCE):
        """A socket connected to a port, which for TCP means that somebody answered.

        Raises:
            OSError: nobody did, or it was refused.
        """
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        client = self.socket(socket.AF_INET6 if ":" in str(address) else socket.AF_INET, kind)
        try:
            client.settimeout(patience)
            if any(source):
                client.bind(source)
            client.connect((str(address), port))
        except BaseException:
            client.close()
            raise
        return client

    def ask(self, address, port, protocol="tcp", **how):
        """What a `Server` answers; None if nobody does."""
        try:
            with self.connect(address, port, protocol, **how) as client:
                return ask_again(client)
        except OSError:
            return None

    def serve(self, *ports, label=""):
        """A `Server` on ports such as `80` and `53/udp`, of every address."""
        return Server(self, label or self.label, ports)

    @contextlib.contextmanager
    def capture(self, interface, expression=""):
        """What tcpdump(8) prints of the frames that match, while the block runs."""
        argv = ["tcpdump", "-lnne", "--immediate-mode", "-i", interface, *expression.split()]
        process = self.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            capture = Capture()
            reader = threading.Thread(target=capture.read, args=[process.stdout], daemon=True)
            try:
                while "listening on" not in (line := process.stderr.readline()):
                    assert line, f"tcpdump can't listen on {interface}"
                reader.start()
                yield capture
            finally:
                process.send_signal(signal.SIGINT)
                if reader.ident is not None:
                    reader.join()


class Machine(Place):
    """A host, a router or the outside: a namespace under a name, with lo up.

    It is no router: the kernel of this machine may give new namespaces its own
    setting of ip_forward, so it is set here.
    """

    def __init__(self, name):
        super().__init__(RUN_NETNS / name, name)
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.set_sysctl(net__ipv4__ip_forward=0)
        if Path("/proc/sys/net/ipv6").exists():
            # Addresses are good at once; nobody else has them.
            self.set_sysctl(
                net__ipv6__conf__all__forwarding=0,
                net__ipv6__conf__all__accept_dad=0,
                net__ipv6__conf__default__accept_dad=0,
            )
        self.batch("link set lo up")

    def wire(self, other, own, others, *, interface="eth0", opposite="eth0"):
        """A wire to another machine, with addresses such as `192.0.2.1/24` at either end."""
        self.batch(
            f"link add {interface} type veth peer name {opposite} netns {other.name}",
            *(_address(text, interface) for text in own),
            f"link set {interface} up",
        )
        other.batch(
            *(_address(text, opposite) for text in others),
            f"link set {opposite} up",
        )
        # The kernel finds out a little later that there is a carrier.
        until(lambda: self.settled(interface) and other.settled(opposite))

    def settled(self, interface):
        """Whether an interface is up, with its link-local address."""
        addresses = self.addresses(interface, 6)
        return self.link(interface)["operstate"] == "UP" and any("fe80:" in a for a in addresses)

    def forward(self):
        """Become a router."""
        self.set_sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)

    def remove(self):
        """Pull its plug; what else keeps the namespace alive is the kernel's affair."""
        if Path(self.key).exists():
            subprocess.run(["ip", "netns", "del", self.name], check=True)


def inside(sandbox):
    """The namespace of a sandbox."""
    return Place(sandbox.key, sandbox.name)


def _address(text, interface):
    return f"address add {text} dev {interface}" + " nodad" * (":" in text)
