"""Names inside sandboxes, asked by hostile programs: the others don't notice."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from names_support import (
    RESOLVER,
    Upstream,
    addresses,
    framed,
    join,
    query,
    received,
    resolv_conf,
    silent,
)
from surroundings import agents
from topology import inside, until

SERVER = "192.0.2.66"
FLOOD = """
import contextlib, os, socket, sys
os.nice(19)
kind, data = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
clients = [socket.socket(socket.AF_INET, kind) for _ in range(20)]
for client in clients:
    client.connect(("127.0.0.11", 53))
    client.setblocking(False)
for turn in range(1 << 40):
    for client in clients:
        with contextlib.suppress(OSError):
            client.send(data)
    if turn == 2:
        print("sent", flush=True)
"""
RESET = struct.pack("ii", 1, 0)  # linger for no time


@pytest.fixture
def resolv(tmp_path, as_found):
    with resolv_conf(tmp_path / "resolv.conf") as path:
        path.write_text(f"nameserver {SERVER}\n")
        yield path


@pytest.fixture
def evil(cnm, resolv):
    """A hostile sandbox."""
    return join(cnm, "evil", cnm.create_network("grey", subnet="10.9.0.0/24"))


@pytest.fixture
def good(cnm, resolv):
    return join(cnm, "good", cnm.create_network("blue", subnet="10.1.0.0/24"))


@pytest.fixture
def agent(good, tmp_path):
    addresses(good, "good")  # everything is loaded
    (pid,) = agents(tmp_path)
    return pid


def delays(sandbox, transport, count=100):
    """Seconds that a sandbox waits for answers, the longest last."""
    found = []
    data = framed(query("good").to_wire(), transport)
    with inside(sandbox).connect(RESOLVER, 53, transport) as client:
        for _ in range(count):
            begun = time.monotonic()
            client.send(data)
            assert received(client, transport)
            found.append(time.monotonic() - begun)
            time.sleep(0.001)
    return sorted(found)


def quick(sandbox):
    """Whether a sandbox is answered as it should be, on a machine that may be busy with others."""
    return any(
        max(delays(sandbox, transport)[90] for transport in ("udp", "tcp")) < 0.05
        for _ in range(10)
    )


@contextlib.contextmanager
def flooding(sandbox, transport):
    """Programs that send queries for as long as the block runs, and read no answer."""
    message = framed(query("evil").to_wire(), transport)
    data = message if transport == "udp" else message * 1000
    words = [sys.executable, "-c", FLOOD, str({"udp": 2, "tcp": 1}[transport]), data.hex()]
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(inside(sandbox).popen(*words, stdout=subprocess.PIPE))
            for _ in range(2)
        ]
        try:
            for program in programs:
                assert program.stdout.readline() == b"sent\n"
            yield
        finally:
            for program in programs:
                program.kill()


def seconds(pid):
    """Processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) / 256


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_silent_connections(evil, good, agent):
    """T-SLOW: 200 that say nothing, and 200 that say a byte now and then."""
    before = descriptors(agent)
    with contextlib.ExitStack() as stack:
        opened = []
        for number in range(400):
            client = inside(evil).connect(RESOLVER, 53)
            opened.append(stack.enter_context(client))
            with contextlib.suppress(OSError):
                client.send(b"\0"[: number % 2])
        assert quick(good)
        assert descriptors(agent) <= before + 64 + 4
        # The hostile one itself has the last of its connections.
        opened[-1].send(framed(query("evil").to_wire(), "tcp")[1:])
        assert received(opened[-1])
        assert addresses(evil, "evil", transport="tcp") == ["10.9.0.2"]


def test_a_connection_that_is_idle_or_slow_is_ended(evil, good):
    with (
        inside(evil).connect(RESOLVER, 53, patience=15) as idle,
        inside(evil).connect(RESOLVER, 53, patience=15) as slow,
    ):
        begun = time.monotonic()
        done = threading.Event()

        def dribble():
            with contextlib.suppress(OSError):
                for octet in framed(query("evil").to_wire(), "tcp"):
                    slow.send(bytes([octet]))
                    if done.wait(1):
                        return

        thread = threading.Thread(target=dribble)
        thread.start()
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(1) == b""
        assert 9 < time.monotonic() - begun < 13
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1) == b""
        assert time.monotonic() - begun < 14
        done.set()
        thread.join()


def test_streams_that_are_reset(evil, good, agent):
    """T-RST: a length, a byte, a reset; a thousand times."""
    before = descriptors(agent)
    for _ in range(1000):
        with inside(evil).connect(RESOLVER, 53) as client:
            client.send(b"\0\x1d\1")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert until(lambda: descriptors(agent) <= before + 1)
    used = seconds(agent)
    time.sleep(2)
    assert seconds(agent) - used < 0.2
    assert addresses(evil, "evil", transport="tcp") == ["10.9.0.2"]


def test_big_messages(evil, good, agent):
    """T-BIG: 64 KiB, by datagram and by stream, and all that is claimed in a header."""
    before = memory(agent)
    with inside(evil).connect(RESOLVER, 53, "udp") as client:
        for _ in range(2000):
            client.send(b"\0\1\1\0\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(65000))
            with contextlib.suppress(OSError):
                client.recv(100, socket.MSG_DONTWAIT)
    for _ in range(200):
        with inside(evil).connect(RESOLVER, 53) as client, contextlib.suppress(OSError):
            client.sendall(b"\xff\xff" + bytes(65535))
    assert quick(good)
    assert memory(agent) - before < 20


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_floods_of_queries_whose_answers_nobody_reads(evil, good, agent, transport):
    before = memory(agent)
    with flooding(evil, transport):
        assert quick(good)
        assert memory(agent) - before < 20


def test_ten_thousand_questions_to_a_server_that_is_silent(evil, good, agent, outside):
    before, used = memory(agent), descriptors(agent)
    codes, most = [], 0
    with (
        Upstream(outside, silent),
        inside(evil).connect(RESOLVER, 53, "udp", patience=15) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for number in range(10000):
            client.send(query(f"x{number}.example.org", id=number).to_wire())
            if number % 50 == 49:
                most = max(most, memory(agent))
                time.sleep(0.02)
        assert quick(good)
        assert descriptors(agent) <= used + 1024 + 4
        with contextlib.suppress(TimeoutError):
            while len(codes) < 10000:
                codes.append(client.recv(4096)[3] & 15)
    assert set(codes) == {dns.rcode.REFUSED, dns.rcode.SERVFAIL}
    assert most - before < 60
    assert until(lambda: descriptors(agent) <= used, 20)
    assert addresses(evil, "evil") == ["10.9.0.2"]
