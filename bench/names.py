"""Names: how many answers, how soon, and for how much memory.

`dnsperf` asks from inside the sandboxes, the same way whoever answers.  How many
answers there are is measured with a hundred questions always open, how long one
takes with a fixed number a second, which everybody can cope with.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.machine import Host, entered, resident, wait_for
from bench.resolvers import Ours, Resolver
from bench.table import Table, milliseconds
from bench.times import Times

RATE, DELAY = "answers a second, asked from {}", "an answer, {} asking {:,} a second in all"
FORWARD, DIRECT = "a forwarded answer", "the same, asked of the server itself"
LOST = "questions without an answer meanwhile"
MEMORY = "memory with {:,} sandboxes, MiB"
CONNECT, FIRST = "connect", "from its return to the first right answer"
SERVER = "198.51.100.53"
"""Whom all are to ask about the rest; an address of each host."""

_OPEN, _CALM, _SECONDS = 100, 4000, 3
_RESOLV_CONF = f"nameserver {SERVER}\n"
_QUESTION = struct.Struct("!6H")
_PATIENCE = 0.5
_RIGHT = re.compile(r"Response codes: +NOERROR \d+ \(100.00%\)\n")
_PACE, _BEFORE, _AFTER = 0.01, 3.0, 5.0

_UPSTREAM = f"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(({SERVER!r}, 53))
tail = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4\\xc0\\0\\2\\1"
while True:
    query, client = server.recvfrom(4096)
    end = query.index(b"\\0", 12)
    question = query[12 : end + 5]
    if end == 13 + query[12]:
        reply = b"\\x81\\x83\\0\\1\\0\\0\\0\\0\\0\\0" + question
    else:
        reply = b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + question + tail
    server.sendto(query[:2] + reply, client)
"""


@contextmanager
def upstream(host: Host) -> Iterator[None]:
    """In the block a name server outside knows all names with a dot, and answers quickly."""
    host.run(["ip", "address", "replace", f"{SERVER}/32", "dev", "lo"])
    server = host.inside(subprocess.Popen, [sys.executable, "-c", _UPSTREAM])
    try:
        with _opened(host, host.path, SERVER) as asking:
            wait_for(lambda: bool(_records(asking, _query("any.test"))), "no name server")
        yield
    finally:
        server.kill()
        server.wait()


def follow_upstream(directory: Path) -> None:
    """Have this machine's resolv.conf name that server, for whoever reads it."""
    path = directory / "resolv.conf"
    path.write_text(_RESOLV_CONF)
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)


def rates(resolver: Resolver, times: Times, directory: Path) -> None:
    """How many answers a second, and how long one takes, from one sandbox and from all."""
    names = directory / f"{resolver.host.name}.names"
    names.write_text("".join(f"{name} A\n" for name in resolver.boxes))
    everybody = list(resolver.boxes.values())
    for boxes in (everybody[:1], everybody):
        who = _who(len(boxes))
        share = max(1, _OPEN // len(boxes))
        texts = _dnsperf(boxes, resolver.server, names, ["-q", str(share)])
        times.note(RATE.format(who), resolver.name, sum(map(_per_second, texts)))
        lost = sum(map(_lost, texts))
        pace = ["-Q", str(_CALM // len(boxes)), "-v"]
        texts = _dnsperf(boxes, resolver.server, names, pace)
        times.note(LOST, resolver.name, lost + sum(map(_lost, texts)))
        for taken in sorted(latency for text in texts for latency in _latencies(text)):
            times.note(DELAY.format(who, _CALM), resolver.name, taken)


def _who(boxes: int) -> str:
    return "one sandbox" if boxes == 1 else f"{boxes} sandboxes"


def _dnsperf(boxes: Sequence[Path], server: str, names: Path, options: Sequence[str]) -> list[str]:
    started = [
        subprocess.Popen(
            [*["nsenter", f"--net={box}", "dnsperf", "-s", server, "-d", str(names)],
             "-l", str(_SECONDS), "-T", "1", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        for box in boxes
    ]  # fmt: skip
    with ThreadPoolExecutor(len(boxes)) as readers:
        texts = [text for text, _ in readers.map(subprocess.Popen.communicate, started)]
    for text in texts:
        # Some lose a question now and then; that is told, and no error.
        if not _RIGHT.search(text):
            raise RuntimeError(f"dnsperf was not answered well: {text[-900:]}")
    return texts


def _lost(text: str) -> int:
    return int(text.partition("Queries lost:")[2].split()[0])


def _per_second(text: str) -> float:
    return float(text.partition("Queries per second:")[2].split()[0])


def _latencies(text: str) -> list[float]:
    """Milliseconds, of the lines `> NOERROR name A 0.000123`; when all have started."""
    lines = [line for line in text.splitlines() if line.startswith("> NOERROR ")]
    return [1000 * float(line.rpartition(" ")[2]) for line in lines[len(lines) // _SECONDS :]]


def forwards(resolver: Resolver, times: Times, count: int) -> None:
    """Ask for what only others know, and ask those themselves, one question after the other."""
    box = next(iter(resolver.boxes.values()))
    with upstream(resolver.host):
        for number in range(-20, count):
            taken = _timed(resolver.host, box, resolver.server, f"n{number + 20}.example.test")
            bare = _timed(resolver.host, resolver.host.path, SERVER, "x.test")
            if number >= 0:
                times.note(FORWARD, resolver.name, taken)
                times.note(DIRECT, resolver.name, bare)


def _timed(host: Host, box: Path, server: str, name: str) -> float:
    asking = _opened(host, box, server)
    with asking:
        query = _query(name)
        start = time.perf_counter()
        asking.send(query)
        answer = asking.recv(4096)
        taken = 1000 * (time.perf_counter() - start)
    if answer[:2] != query[:2] or answer[3] & 0xF:
        raise RuntimeError(f"{name} is answered with {answer!r}")
    return taken


def _opened(host: Host, box: Path, server: str) -> socket.socket:
    """A socket in a sandbox; sockets stay where they were made."""

    def opened() -> socket.socket:
        with entered(str(box), host.descriptor):
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asking.settimeout(_PATIENCE)
            asking.connect((server, 53))
            return asking

    return host.inside(opened)


def _query(name: str, identifier: int = 0x1234) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _QUESTION.pack(identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def _records(asking: socket.socket, query: bytes) -> int:
    """How many records come as an answer; 0 if none comes, or nobody is there to be asked."""
    try:
        asking.send(query)
        return asking.recv(4096)[7]
    except OSError:
        return 0


def arrivals(resolver: Resolver, times: Times, rounds: int) -> None:
    """Connect, and ask in another sandbox until the right answer is there."""
    box = next(iter(resolver.boxes.values()))
    with upstream(resolver.host), _opened(resolver.host, box, resolver.server) as asking:
        for number in range(-1, rounds):
            name = resolver.prepare()
            query = _query(name)
            start = time.perf_counter()
            resolver.connect(name)
            returned = time.perf_counter()
            while not _records(asking, query):
                pass
            answered = time.perf_counter()
            if number >= 0:
                times.note(CONNECT, resolver.name, 1000 * (returned - start))
                times.note(FIRST, resolver.name, 1000 * (answered - returned))


def memory(resolver: Resolver, times: Times, count: int) -> None:
    """What who answers has in use when that many sandboxes are there, and were asked for."""
    while len(resolver.boxes) < count:
        resolver.add()
    box = next(iter(resolver.boxes.values()))
    with _opened(resolver.host, box, resolver.server) as asking:
        for name in list(resolver.boxes)[::10]:
            _records(asking, _query(name))
    times.note(MEMORY.format(count), resolver.name, resident(resolver.pids()))


def death(ours: Ours) -> str:
    """Kill the agent while a question is asked every 10 ms: what became of them."""
    box = next(iter(ours.boxes.values()))
    name = next(iter(ours.boxes))
    sent: dict[int, float] = {}
    taken: dict[int, float] = {}
    with _opened(ours.host, box, ours.server) as asking:
        asking.setblocking(False)
        begun, killed = time.perf_counter(), False
        for identifier in range(round((_BEFORE + _AFTER) / _PACE)):
            due = begun + identifier * _PACE
            _collect(asking, due, sent, taken)
            if not killed and due - begun > _BEFORE:
                killed = True
                os.kill(_serving(ours), signal.SIGKILL)
            sent[identifier] = time.perf_counter()
            asking.send(_query(name, identifier))
        _collect(asking, time.perf_counter() + _AFTER, sent, taken)
    return (
        f"Of {len(sent)} questions, one every {1000 * _PACE:.0f} ms, between which the process "
        f"that answers them was killed, {len(sent) - len(taken)} got no answer; the slowest took "
        f"{1000 * max(taken.values()):.0f} ms."
    )


def _collect(
    asking: socket.socket, until: float, sent: dict[int, float], taken: dict[int, float]
) -> None:
    while (left := until - time.perf_counter()) > 0:
        if select.select([asking], [], [], left)[0]:
            answer = asking.recv(4096)
            identifier = int.from_bytes(answer[:2])
            taken.setdefault(identifier, time.perf_counter() - sent[identifier])


def _serving(ours: Ours) -> int:
    """The process that answers: of the agent's two, the one that is the other's child."""
    pids = ours.pids()
    stats = {pid: Path(f"/proc/{pid}/stat").read_text() for pid in pids}
    parents = {pid: int(stat.rpartition(")")[2].split()[1]) for pid, stat in stats.items()}
    return next((pid for pid in pids if parents[pid] in pids), pids[-1])


def table(times: Times, resolvers: Sequence[Resolver], boxes: int, many: int, died: str) -> Table:
    """All of it, who answers in a column each."""
    names = [resolver.name for resolver in resolvers]
    rows = []
    for who in (_who(1), _who(boxes)):
        work = RATE.format(who)
        rows.append([work, *(f"{times.median(work, name) or 0:,.0f}" for name in names)])
        rows += _two(times, DELAY.format(who, _CALM), names)
    rows.append([LOST, *(f"{times.total(LOST, name):,.0f}" for name in names)])
    for work in (FORWARD, DIRECT, CONNECT, FIRST):
        rows += _two(times, work, names)
    for count in (boxes, many):
        work = MEMORY.format(count)
        rows.append([work, *(milliseconds(times.median(work, name)) for name in names)])
    return Table("Names", ["", *names], rows, [died])


def _two(times: Times, work: str, names: Sequence[str]) -> list[list[str]]:
    """The median, and what 99 of 100 keep within."""
    return [
        [f"{work}, ms", *(milliseconds(times.median(work, name)) for name in names)],
        ["99 of 100 of these within", *(milliseconds(times.within(work, name)) for name in names)],
    ]
