"""The parts of the bench: who is measured, at what, and the tables that come of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bench import peers, report, startup, work
from bench.bare import Kernel
from bench.contender import Contender
from bench.machine import Host
from bench.ours import Pycnm
from bench.table import Table
from bench.times import Times

C = TypeVar("C", bound=Contender)
_FEW = 5


class Stage:
    """Where one part is measured: contenders and their hosts, given up at its end.

    Args:
        directory: where state is written.
        rounds: how often everything short is done.
        scale: a fraction of the budgets' large numbers.
    """

    def __init__(self, directory: Path, rounds: int, scale: float) -> None:
        self.directory = directory
        self.rounds = rounds
        self.few = min(_FEW, rounds)
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
            yield Host(f"h{number}")

    def ready(self, contender: C) -> C:
        """A contender with a sandbox that stays."""
        self._undo.callback(contender.close)
        contender.settle_in()
        return contender


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
    work.publish_live(ours, stage.times)
    stage.times.forget()
    started, memory = 0, 0.0
    for _ in range(stage.few):
        started, memory = work.publish_live(ours, stage.times)
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
    return _crowd(stage, work.crowd_of_endpoints, stage.scaled(10_000))


def ports(stage: Stage) -> list[Table]:
    """Row 7 with published ports."""
    return _crowd(stage, work.crowd_of_ports, stage.scaled(10_000))


def _crowd(stage: Stage, gather: Callable[[Pycnm, int], str], count: int) -> list[Table]:
    """Measure on an empty host, and once more with a crowd there.

    Some of what a crowd costs the kernel costs every namespace: the second
    host, which stays empty, says how much.
    """
    hosts = stage.hosts()
    name = gather.__name__
    ours, beside = (
        stage.ready(Pycnm(next(hosts), stage.directory / f"{name}-{place}"))
        for place in ("here", "beside")
    )
    times, warm = stage.times, Times()
    _all_rows(ours, warm, report.EMPTY)
    for number in range(stage.rounds):
        _all_rows(ours, times, report.EMPTY, publish=number < stage.few)
    what = gather(ours, count)
    for each in (ours, beside):
        _all_rows(each, warm, report.EMPTY)
    for number in range(stage.rounds):
        _all_rows(ours, times, report.CROWDED, publish=number < stage.few)
        _all_rows(beside, times, report.BESIDE, publish=number < stage.few)
    return [report.crowd(times, what)]


def _all_rows(ours: Pycnm, times: Times, who: str, *, publish: bool = True) -> None:
    work.one_turn(ours, times, who)
    if publish:
        work.publish_live(ours, times, who)


def starting(stage: Stage) -> list[Table]:
    """Row 10."""
    ours = stage.ready(Pycnm(next(stage.hosts()), stage.directory / "startup"))
    startup.measure(ours.host, ours.state, stage.times, stage.rounds)
    return [report.starting(stage.times)]


PARTS: dict[str, Callable[[Stage], list[Table]]] = {
    part.__name__: part
    for part in (side_by_side, publishing, many, networks, ports, endpoints, starting)
}
