"""What a guard costs a packet: ours, and one that would not grow with the endpoints.

CPU time of one thread that sends 64-byte UDP packets from sandbox to sandbox:
the whole way through veth, bridge and veth is walked in its system calls.
"""

from __future__ import annotations

import os
import socket
import statistics
import time

from bench.machine import Host
from bench.table import Table
from pycnm.nft import ruleset

NONE, CHAINS, SETS = "no guard", "a chain a port (ours)", "sets in one bridge chain"

_SUBNET = "10.9.0"
_PORTS = {2: "va", 3: "vb"}
_GROUP = 777
_PACKETS, _WARM_UP = 60_000, 3_000
_NANOSECONDS = 1e9


def measure(host: Host, sender: Host, receiver: Host, rounds: int) -> Table:
    """Every guard in turn, so often."""
    host.run(["ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0"])
    host.run(["ip", "link", "set", "br0", "up"])
    for number, box in ((2, sender), (3, receiver)):
        words = f"ip link add {_PORTS[number]} type veth peer name eth0 address {_mac(number)}"
        host.run([*words.split(), "netns", box.name])
        set_up = f"ip link set {_PORTS[number]} master br0 group {_GROUP} up"
        host.run(set_up.split())
        box.run(["ip", "address", "add", f"{_SUBNET}.{number}/24", "dev", "eth0"])
        box.run(["ip", "link", "set", "eth0", "up"])
    taken: dict[str, list[float]] = {name: [] for name in _GUARDS}
    with receiver.inside(_bound) as listener, sender.inside(_connected) as socket_:
        for _ in range(rounds):
            for name, text in _GUARDS.items():
                host.run(["nft", "flush", "ruleset"])
                host.run(["nft", "-f", "-"], text)
                sender.inside(_send, socket_, _WARM_UP)
                taken[name].append(sender.inside(_send, socket_, _PACKETS))
        del listener
    for port in _PORTS.values():
        host.run(["ip", "link", "delete", port])
    return _table(taken, rounds)


def _table(taken: dict[str, list[float]], rounds: int) -> Table:
    base = statistics.median(taken[NONE])
    rows = []
    for name, values in taken.items():
        median = statistics.median(values)
        rows.append([name, f"{median:,.0f}", f"{min(values):,.0f}", f"{median - base:+,.0f}",
                     f"{base / median:.2f}"])  # fmt: skip
    head = ["Guard", "ns a packet", "the best round", "extra", "of the rate without"]
    return Table(f"A guard, in {rounds} rounds", head, rows)


def _mac(number: int) -> str:
    return f"02:42:0a:09:00:0{number}"


def _bound() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # What doesn't fit is dropped at the socket: nobody reads.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    listener.bind((f"{_SUBNET}.3", 9))
    return listener


def _connected() -> socket.socket:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.connect((f"{_SUBNET}.3", 9))
    return opened


def _send(opened: socket.socket, packets: int) -> float:
    """Nanoseconds of CPU time a packet."""
    data, send = bytes(22), opened.send
    start = time.thread_time()
    for _ in range(packets):
        send(data)
    return (time.thread_time() - start) / packets * _NANOSECONDS


def _chains() -> str:
    objects = [
        item
        for number, port in _PORTS.items()
        for item in ruleset.guard(port, _mac(number), [f"{_SUBNET}.{number}"])
    ]
    return "".join(f"add {item}\n" for item in objects)


def _sets() -> str:
    own = ", ".join(
        f'"{port}" . {_mac(number)} . {_SUBNET}.{number}' for number, port in _PORTS.items()
    )
    return f"""
        add table bridge g
        add set bridge g own {{ typeof iifname . ether saddr . ip saddr; elements = {{ {own} }}; }}
        add chain bridge g c {{ type filter hook prerouting priority -500; policy accept; }}
        add rule bridge g c meta iifgroup != {_GROUP} accept
        add rule bridge g c meta l4proto udp ether type ip ip frag-off & 0x1fff == 0 \
            udp dport 68 counter drop
        add rule bridge g c ether type ip iifname . ether saddr . ip saddr @own accept
        add rule bridge g c ether type arp accept
        add rule bridge g c counter drop
    """


_GUARDS = {NONE: "", CHAINS: _chains(), SETS: _sets()}
