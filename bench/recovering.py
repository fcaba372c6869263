"""What the record costs, and how long it takes to come back with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pycnm
from bench.ours import Pycnm
from bench.table import Table, milliseconds
from bench.times import Times
from pycnm.kernel.linux import LinuxKernel
from pycnm.store.database import Database

CONNECT, RECORD = "connect to an existing sandbox", "of it, in transactions of the record"
GONE, PENDING = "reconcile, {} interfaces gone", "open, a deletion of {} endpoints pending"


def record(ours: Pycnm, times: Times, rounds: int) -> None:
    """Measure a connect, and the part of it that the database takes."""
    write = Database.write
    taken: list[float] = []

    @contextlib.contextmanager
    def timed(database: Database, **how: Any) -> Iterator[Any]:
        start = time.perf_counter()
        with write(database, **how) as transaction:
            yield transaction
        taken.append(1000 * (time.perf_counter() - start))

    Database.write = timed
    for number in range(-1, rounds):
        name = ours.next_name()
        ours.create_sandbox(name)
        taken.clear()
        start = time.perf_counter()
        ours.connect(name)
        if number >= 0:
            times.note(CONNECT, ours.name, 1000 * (time.perf_counter() - start))
            times.note(RECORD, ours.name, sum(taken))
        ours.delete_sandbox(name)
    Database.write = write


def recovery(ours: Pycnm, times: Times, count: int) -> None:
    """Measure what follows a flush of the host's interfaces, and a death."""
    for _ in range(count):
        name = ours.next_name()
        ours.create_sandbox(name)
        ours.connect(name)
    for endpoint in ours.network.endpoints:
        subprocess.run(
            ["ip", "-n", ours.host.name, "link", "del", endpoint.host_interface], check=True
        )
    with times.of(GONE.format(f"{count:,}"), ours.name):
        ours.controller.reconcile()
    _die(lambda: ours.network.delete(force=True))
    ours.controller.close()
    with times.of(PENDING.format(f"{count:,}"), ours.name):
        ours.controller = pycnm.Controller(ours.state, host=ours.host.name)


def _die(work: Callable[[], None]) -> None:
    """Have a process killed between what it records and what it does."""
    pid = os.fork()
    if not pid:
        LinuxKernel.attempt = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with contextlib.suppress(BaseException):
            work()
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    if status != signal.SIGKILL:
        raise RuntimeError(f"it wasn't killed, but ended with {status}")


def table(times: Times, name: str, count: int) -> Table:
    """The figures."""
    rows = [CONNECT, RECORD, *(each.format(f"{count:,}") for each in (GONE, PENDING))]
    return Table(
        "Recovery",
        ("", name),
        [(row, milliseconds(times.median(row, name), times.worst(row, name))) for row in rows],
        ["Medians in milliseconds, the worst in brackets."],
    )
