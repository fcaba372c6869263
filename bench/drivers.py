"""What each driver takes to attach a sandbox, and what it carries, beside the kernel alone.

The kernel alone is the same construction by netlink messages that were made beforehand: a
bridge and veth pairs, or links on a parent; no guard, no rule, no record.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pycnm
from bench.bare import STACKED, Kernel, Stacked
from bench.machine import RUN_NETNS, Host, call, make_namespace, one_cpu
from bench.table import Table, microseconds, milliseconds, ratio
from bench.times import Times, rotated

ATTACH, DETACH, PACKET, TRIP, STREAM = "attach", "detach", "packet", "trip", "stream"
OURS, KERNEL = "pycnm", "kernel alone"
_UPLINK = "up0"
_PACKETS, _TRIPS, _CHUNKS, _CHUNK = 20_000, 3_000, 3_000, 1 << 16
_CLONE_NEWNET = 0x40000000
_WARM_UP = 20


class Subject:
    """A way to attach sandboxes to a network of a driver."""

    name = ""

    def __init__(self, host: Host) -> None:
        self.host = host

    def prepare(self, name: str) -> None:
        """Make a sandbox, and what may be made before the clock starts."""
        raise NotImplementedError

    def attach(self, name: str) -> None:
        """Attach it."""
        raise NotImplementedError

    def detach(self, name: str) -> None:
        """Take it off."""
        raise NotImplementedError

    def address(self, name: str) -> str:
        """The address that it has."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Delete the sandbox."""
        raise NotImplementedError


class Ours(Subject):
    """As users do it."""

    name = OURS

    def __init__(self, host: Host, driver: str, controller: pycnm.Controller, subnet: str) -> None:
        super().__init__(host)
        parent = None if driver == "bridge" else _UPLINK
        self._controller = controller
        name = f"on-{driver}"
        self._network = controller.create_network(name, driver, subnet=subnet, parent=parent)

    def prepare(self, name: str) -> None:
        self._controller.create_sandbox(name)

    def attach(self, name: str) -> None:
        self._network.connect(name)

    def detach(self, name: str) -> None:
        self._network.disconnect(name)

    def address(self, name: str) -> str:
        return str(self._controller.sandbox(name).endpoints[0].ip)

    def remove(self, name: str) -> None:
        self._controller.sandbox(name).delete()

    def close(self) -> None:
        """Delete the network."""
        self._network.delete(force=True)


class Bare(Subject):
    """By the kernel alone."""

    name = KERNEL

    def __init__(self, host: Host, kernel: Kernel | Stacked) -> None:
        super().__init__(host)
        self._kernel = kernel

    def prepare(self, name: str) -> None:
        make_namespace(name)
        self._kernel.prepare(name)

    def attach(self, name: str) -> None:
        self._kernel.connect(name)

    def detach(self, name: str) -> None:
        self._kernel.disconnect(name)

    def address(self, name: str) -> str:
        return self._kernel.address(name)

    def remove(self, name: str) -> None:
        self._kernel.delete_sandbox(name)


def measure(
    host: Host, other: Host, controller: pycnm.Controller, times: Times, rounds: int
) -> Table:
    """Every driver that this kernel has, in turns with the kernel alone on another host."""
    for each in (host, other):
        each.run(["ip", "link", "add", _UPLINK, "type", "ifb"])
        each.run(["ip", "link", "set", _UPLINK, "up"])
    rows: list[list[str]] = []
    for number, driver in enumerate(_present(host)):
        ours = Ours(host, driver, controller, f"10.{120 + number}.0.0/16")
        alone = Kernel(other) if driver == "bridge" else Stacked(other, driver, _UPLINK)
        kernel = Bare(other, alone)
        _attach(driver, [ours, kernel], times, rounds)
        _carry(driver, [ours, kernel], times, rounds)
        ours.close()
        rows += _rows(times, driver)
    head = ["Driver", "What", OURS, KERNEL, "to the kernel", "of its rate"]
    return Table(f"Each driver, in {rounds} rounds", head, rows)


def _present(host: Host) -> Iterator[str]:
    yield "bridge"
    for driver in STACKED:
        with contextlib.suppress(RuntimeError):
            host.run(["ip", "link", "add", "try0", "link", _UPLINK, "type", driver])
            host.run(["ip", "link", "delete", "try0"])
            yield driver


def _attach(driver: str, subjects: Sequence[Subject], times: Times, rounds: int) -> None:
    for number in range(-2, rounds):
        for subject in rotated(subjects, number):
            name = subject.host.next_name()
            subject.prepare(name)
            measured = times if number >= 0 else Times()
            with measured.of(f"{driver} {ATTACH}", subject.name):
                subject.attach(name)
            with measured.of(f"{driver} {DETACH}", subject.name):
                subject.detach(name)
            subject.remove(name)


def _carry(driver: str, subjects: Sequence[Subject], times: Times, rounds: int) -> None:
    """Packets, round trips and a stream from one sandbox to another.

    Both ends share a CPU, and what is told is the processor's time: a packet's whole way is
    walked in it, and whatever else the machine does is left out.
    """
    pairs = []
    for subject in subjects:
        names = [subject.host.next_name() for _ in range(2)]
        for name in names:
            subject.prepare(name)
            subject.attach(name)
        pairs.append((subject, *names))
    works: dict[str, Callable[[str, str, str], float]] = {
        PACKET: _packets, TRIP: _trips, STREAM: _stream,
    }  # fmt: skip
    with one_cpu():
        for number in range(-1, rounds):
            for subject, one, other in rotated(pairs, number):
                for what, work in works.items():
                    taken = work(one, other, subject.address(other))
                    if number >= 0:
                        times.note(f"{driver} {what}", subject.name, taken)
    for subject, *names in pairs:
        for name in names:
            subject.detach(name)
            subject.remove(name)


def _within(name: str, work: Callable[..., Any], *arguments: object) -> Any:
    """What `work` returns, in a thread that ends in a sandbox."""
    found: list[Any] = []

    def run() -> None:
        descriptor = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
        call("setns", descriptor, _CLONE_NEWNET)
        os.close(descriptor)
        found.append(work(*arguments))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def _bound(kind: socket.SocketKind) -> socket.socket:
    opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("0.0.0.0", 9))
    return opened


def _packets(one: str, other: str, address: str) -> float:
    """Milliseconds for a packet of 64 bytes, there and no further."""
    with _within(other, _bound, socket.SOCK_DGRAM) as listener:
        # What doesn't fit is dropped at the socket: nobody reads.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)

        def send() -> float:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
                opened.connect((address, 9))
                data = bytes(22)
                for _ in range(_WARM_UP):
                    opened.send(data)
                start = time.process_time()
                for _ in range(_PACKETS):
                    opened.send(data)
                return 1000 * (time.process_time() - start) / _PACKETS

        return float(_within(one, send))


def _trips(one: str, other: str, address: str) -> float:
    """Milliseconds that a datagram and its answer take."""
    with _within(other, _bound, socket.SOCK_DGRAM) as listener:

        def answer() -> None:
            for _ in range(_TRIPS + _WARM_UP):
                data, peer = listener.recvfrom(64)
                listener.sendto(data, peer)

        echo = threading.Thread(target=answer)
        echo.start()

        def ask() -> float:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
                opened.connect((address, 9))
                for number in range(_TRIPS + _WARM_UP):
                    if number == _WARM_UP:
                        start = time.process_time()
                    opened.send(b"x")
                    opened.recv(64)
                return 1000 * (time.process_time() - start) / _TRIPS

        taken = float(_within(one, ask))
        echo.join()
        return taken


def _stream(one: str, other: str, address: str) -> float:
    """Milliseconds that a mebibyte takes in a TCP stream."""
    with _within(other, _bound, socket.SOCK_STREAM) as listener:
        listener.listen()
        read = 0

        def swallow() -> None:
            nonlocal read
            connection, _ = listener.accept()
            with connection:
                buffer = bytearray(_CHUNK)
                while count := connection.recv_into(buffer):
                    read += count

        reader = threading.Thread(target=swallow)
        reader.start()

        def pour() -> float:
            with socket.create_connection((address, 9)) as opened:
                data, start = bytes(_CHUNK), time.process_time()
                for _ in range(_CHUNKS):
                    opened.sendall(data)
            reader.join()
            return 1000 * (time.process_time() - start) / (read / (1 << 20))

        return float(_within(one, pour))


def _rows(times: Times, driver: str) -> Iterator[list[str]]:
    shown = {
        ATTACH: "attach a sandbox, ms",
        DETACH: "detach it, ms",
        PACKET: "a packet of 64 bytes, µs",
        TRIP: "round trip of a datagram, µs",
        STREAM: "a mebibyte of a TCP stream, µs",
    }
    for what, text in shown.items():
        row = f"{driver} {what}"
        tell = milliseconds if what in {ATTACH, DETACH} else microseconds
        ours, kernel = times.median(row, OURS), times.median(row, KERNEL)
        rate = "" if what in {ATTACH, DETACH} or not ours or not kernel else f"{kernel / ours:.2f}"
        times_as_long = ratio(ours, kernel)
        yield [driver, text, tell(ours), tell(kernel), times_as_long, rate]
