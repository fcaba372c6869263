"""The parts of the bench: who is measured, at what, and the tables that come of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bench import (
    calls,
    drifting,
    drivers,
    guards,
    looking,
    machine,
    mounts,
    peers,
    process,
    recovering,
    report,
    resolvers,
    startup,
    work,
)
from bench import names as asking
from bench.bare import Kernel
from bench.contender import Contender
from bench.looking import Listed
from bench.machine import Host
from bench.mounts import Served
from bench.ours import Pycnm
from bench.resolvers import Resolver
from bench.table import Table
from bench.times import Times, rotated

C = TypeVar("C", bound=Contender)
_FEW = 5
_BUDGETED = 10_000


class Stage:
    """Where one part is measured: contenders and their hosts, given up at its end.

    Args:
        directory: where state is written.
        rounds: how often everything short is done.
        scale: a fraction of the budgets' large numbers.
        endpoints: how many make a crowd.
    """

    def __init__(self, directory: Path, rounds: int, scale: float, endpoints: int) -> None:
        self.directory = directory
        self.rounds = rounds
        self.few = min(_FEW, rounds)
        self.endpoints = endpoints
        self.times = Times()
        self._scale = scale
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Otherwise the machine ends at once, and everything with it.
        if kind is None:
            self._undo.close()

    def scaled(self, number: int) -> int:
        """As many as are made instead of `number`."""
        return max(1, round(number * self._scale))

    def hosts(self) -> Iterator[Host]:
        """Hosts, as many as are asked for."""
        for number in itertools.count():
            host = Host(f"h{number}")
            self._undo.callback(host.close)
            yield host

    def ready(self, contender: C) -> C:
        """A contender with a sandbox that stays."""
        self._undo.callback(contender.close)
        contender.settle_in()
        return contender

    def served(self, mounted: Served) -> Served:
        """A filesystem that stays mounted."""
        self._undo.callback(mounted.close)
        return mounted


def side_by_side(stage: Stage) -> list[Table]:
    """Rows 1 to 4."""
    hosts = stage.hosts()
    contenders: list[Contender] = [Pycnm(next(hosts), stage.directory / "side")]
    contenders += [*peers.present(hosts, stage.directory), Kernel(next(hosts))]
    for contender in contenders:
        stage.ready(contender)
    work.in_turns(contenders, stage.times, stage.rounds)
    return [report.side_by_side(stage.times, [contender.name for contender in contenders])]


def publishing(stage: Stage) -> list[Table]:
    """Row 5.  Peers take seconds, so once is enough for them."""
    hosts = stage.hosts()
    ours = stage.ready(Pycnm(next(hosts), stage.directory / "ports"))
    others = [
        stage.ready(peer)
        for peer in peers.present(hosts, stage.directory / "ports")
        if peer.publishes
    ]
    # What the agent takes once it keeps for the next time.
    started, memory = work.publish_live(ours, stage.times)
    stage.times.forget()
    for _ in range(stage.few):
        work.publish_live(ours, stage.times)
    for peer in others:
        work.publish_by_connecting(peer, stage.times)
    names = [contender.name for contender in (ours, *others)]
    return [report.publishing(stage.times, names, started, memory)]


def many(stage: Stage) -> list[Table]:
    """Row 6."""
    count = stage.scaled(1000)
    hosts = stage.hosts()
    ours = stage.ready(Pycnm(next(hosts), stage.directory / "many"))
    kernel = stage.ready(Kernel(next(hosts)))
    work.attach_many(ours, min(count, 20), stage.times)
    work.attach_many_bare(kernel, min(count, 20), stage.times)
    stage.times.forget()
    work.attach_many(ours, count, stage.times)
    work.attach_many_bare(kernel, count, stage.times)
    return [report.rates(stage.times, count)]


def networks(stage: Stage) -> list[Table]:
    """Row 7 with networks."""
    return _crowd(stage, work.crowd_of_networks, stage.scaled(1000))


def endpoints(stage: Stage) -> list[Table]:
    """Row 7 with endpoints."""
    tables = _crowd(stage, work.crowd_of_endpoints, stage.endpoints)
    if stage.endpoints >= _BUDGETED:
        return tables
    note = f"The budget is for {_BUDGETED:,}, which take minutes: `--endpoints {_BUDGETED}`."
    return [table._replace(notes=[note]) for table in tables]


def ports(stage: Stage) -> list[Table]:
    """Row 7 with published ports."""
    return _crowd(stage, work.crowd_of_ports, stage.scaled(10_000))


def _crowd(stage: Stage, gather: Callable[[Pycnm, int], str], count: int) -> list[Table]:
    """Measure on a host that is empty, and once more with a crowd there.

    The kernel alone, on the same host, says how much of the difference is its.
    """
    host = next(stage.hosts())
    ours = stage.ready(Pycnm(host, stage.directory / gather.__name__))
    kernel = stage.ready(Kernel(host))
    _all_rows(stage, ours, kernel, report.EMPTY)
    what = gather(ours, count)
    _all_rows(stage, ours, kernel, report.CROWDED)
    return [report.crowd(stage.times, what)]


def _all_rows(stage: Stage, ours: Pycnm, kernel: Kernel, state: str) -> None:
    warm_up = Times()
    for number in range(-1, stage.rounds):
        times = warm_up if number < 0 else stage.times
        work.one_turn(ours, times, f"{ours.name}, {state}")
        work.one_turn(kernel, times, f"{kernel.name}, {state}")
        if number < stage.few:
            work.publish_live(ours, times, f"{ours.name}, {state}")


def starting(stage: Stage) -> list[Table]:
    """Row 10."""
    ours = stage.ready(Pycnm(next(stage.hosts()), stage.directory / "startup"))
    startup.measure(ours.host, ours.state, stage.times, stage.rounds)
    return [report.starting(stage.times)]


def guard(stage: Stage) -> list[Table]:
    """The price of a guard, a packet."""
    hosts = stage.hosts()
    return [guards.measure(next(hosts), next(hosts), next(hosts), stage.few)]


def files(stage: Stage) -> list[Table]:
    """A call on a file of cnmfs."""
    with machine.one_cpu(), mounts.cgroup(stage.directory) as group:
        host = next(stage.hosts())
        ours = stage.ready(Pycnm(host, stage.directory / "files"))
        calls.prepare(ours)
        subjects = [
            calls.interface(host, mounts.sysfs(host)),
            calls.group(group),
            calls.library(ours),
        ]
        for binding in mounts.present():
            served = stage.served(mounts.cnmfs(ours, binding))
            tree = mounts.copied(served.root)
            copy = stage.served(mounts.smallest(binding, tree, stage.directory))
            subjects += [
                calls.tree(mounts.SMALLEST.format(binding), copy.root, ours),
                calls.tree(mounts.CNMFS.format(binding), served.root, ours, changes=True),
            ]
        calls.in_turns(subjects, stage.times, stage.rounds)
    return [calls.table(stage.times)]


def listings(stage: Stage) -> list[Table]:
    """Many networks as files."""
    counts = [stage.scaled(number) for number in (10, 1000, 10_000)]
    with machine.one_cpu(), mounts.cgroup(stage.directory) as group:
        host = next(stage.hosts())
        ours = stage.ready(Pycnm(host, stage.directory / "listings"))
        served = {name: stage.served(mounts.cnmfs(ours, name)) for name in mounts.present()}
        interfaces = mounts.sysfs(host)
        stay = [Listed("sysfs", interfaces, interfaces), Listed("cgroup2", group, group)]
        stay += [Listed.networks(mounts.CNMFS, name, each) for name, each in served.items()]
        empty = mounts.copied(stay[-1].tree)
        names: list[str] = []
        for number, count in enumerate(counts, 1):
            for _ in range(count - len(names)):
                names.append(ours.next_name())
                ours.create_network(names[-1])
                (group / names[-1]).mkdir()
            tree = looking.crowded(empty, "bench", names)
            copies = {name: mounts.smallest(name, tree, stage.directory) for name in served}
            copied = [Listed.networks(mounts.SMALLEST, name, each) for name, each in copies.items()]
            looking.in_turns([*stay, *copied], counts[:number], stage.times, stage.few, ours.change)
            for copy in copies.values():
                copy.close()
        memory = {name: machine.resident([each.pid]) for name, each in served.items()}
    return [looking.table(stage.times, counts, memory)]


def daemon(stage: Stage) -> list[Table]:
    """cnmfs as a process."""
    operations = stage.scaled(100_000)
    sizes = {}
    with machine.one_cpu():
        ours = stage.ready(Pycnm(next(stage.hosts()), stage.directory / "daemon"))
        for binding in mounts.present():
            process.start(ours, binding, stage.times, stage.rounds)
            served = stage.served(mounts.cnmfs(ours, binding))
            sizes[binding] = process.grown(served, "bench", operations)
    return [process.table(stage.times, sizes, operations)]


def recovery(stage: Stage) -> list[Table]:
    """The record's share of a connect, and what coming back takes."""
    count = stage.scaled(1000)
    ours = stage.ready(Pycnm(next(stage.hosts()), stage.directory / "recovery"))
    recovering.record(ours, stage.times, stage.rounds)
    recovering.recovery(ours, stage.times, count)
    return [recovering.table(stage.times, ours.name, count)]


def drift(stage: Stage) -> list[Table]:
    """What somebody took away, put back."""
    count = stage.scaled(1000)
    hosts = stage.hosts()
    ours = stage.ready(Pycnm(next(hosts), stage.directory / "drift"))
    kernel = stage.ready(Kernel(next(hosts)))
    drifting.measure(ours, kernel, stage.times, stage.few, count)
    return [drifting.table(stage.times, ours.name, kernel.name, count)]


def each_driver(stage: Stage) -> list[Table]:
    """What each driver takes, and carries."""
    hosts = stage.hosts()
    ours = stage.ready(Pycnm(next(hosts), stage.directory / "drivers"))
    table = drivers.measure(ours.host, next(hosts), ours.controller, stage.times, stage.rounds)
    return [table]


def names(stage: Stage) -> list[Table]:
    """Names, asked for in sandboxes; nothing if there is no dnsperf to ask."""
    if "dnsperf" in resolvers.missing():
        return []
    asking.follow_upstream(stage.directory)
    with resolvers.control_group() as group:
        everybody = resolvers.present(stage.hosts(), stage.directory, group)
        tables = _answering(stage, everybody)
        for resolver in everybody:
            resolver.close()
    return tables


def _answering(stage: Stage, everybody: list[Resolver]) -> list[Table]:
    boxes, many = stage.scaled(50), stage.scaled(1000)
    for resolver in everybody:
        while len(resolver.boxes) < boxes:
            resolver.add()
    for number in range(stage.few):
        for resolver in rotated(everybody, number):
            asking.rates(resolver, stage.times, stage.directory)
            asking.forwards(resolver, stage.times, 20 * stage.rounds)
    for resolver in everybody:
        asking.memory(resolver, stage.times, boxes)
        asking.arrivals(resolver, stage.times, stage.rounds)
    died = asking.death(everybody[0])
    for resolver in everybody:
        if resolver.crowds:
            asking.memory(resolver, stage.times, many)
    return [asking.table(stage.times, everybody, boxes, many, died)]


PARTS: dict[str, Callable[[Stage], list[Table]]] = {
    part.__name__: part
    for part in (
        side_by_side,
        publishing,
        many,
        networks,
        ports,
        endpoints,
        starting,
        guard,
        files,
        listings,
        daemon,
        recovery,
        drift,
        each_driver,
        names,
    )
}
