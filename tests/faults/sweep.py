"""An operation is interrupted at one point after another, and all is looked at each time."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import uuid
import zlib
from collections import Counter
from pathlib import Path

import attrs
import operations
import sight
from surroundings import agents, dismiss_agents, keepers
from topology import RUN_NETNS, Machine, until
from trials import Fault, late

import pycnm
from cnmfs import mounting
from pycnm.kernel.agent import Agent
from pycnm.plan.names import ETC_NETNS

WORST = 5
"""After so many failures of one operation the rest of its points can wait."""
TRIES = 3
THOROUGH = 10
"""Of so many attempts, one is looked at twice over: a refusal is repeated and undone, though all
looks as it did before, and checked again in the end."""
UNHIT = 0.05
"""The part of the points that may not be come to: some calls are made only at times."""


class Ground:
    """A host with a neighbour, a namespace of somebody else, and a state directory."""

    def __init__(self, directory):
        self.directory = directory
        self.outside, self.foreign = Machine("outside"), Machine(operations.FOREIGN)
        self._arise()

    def _arise(self):
        self.host = Machine(operations.HOST)
        self.host.wire(
            self.outside, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.66/24", "2001:db8::66/64"]
        )
        # The same hardware in each of its lives.
        self.host.batch("link set eth0 address 02:00:00:00:00:01")

    @property
    def machines(self):
        return (self.host, self.outside, self.foreign)

    def reboot(self):
        """Pull the plug of the host, and have it come up: all but the state directory is gone."""
        # Their keeper first, or there would be others at once.
        for pid in (*keepers(self.directory), *agents(self.directory)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not keepers(self.directory) + agents(self.directory))
        self._unpin()
        self.outside.batch("link del eth0")
        self.host.remove()
        self._arise()
        with contextlib.closing(sqlite3.connect(self.directory / "cnm.db")) as database, database:
            # This machine did not boot: numbers of namespaces are in use, or come again.
            database.execute(
                "UPDATE meta SET value = ? || substr(value, instr(value, ' ')) "
                "WHERE key = 'incarnation'",
                (str(uuid.uuid4()),),
            )

    def _unpin(self):
        for path in set(RUN_NETNS.iterdir()) - {Path(each.key) for each in self.machines}:
            subprocess.run(["ip", "netns", "del", path.name], check=True)

    def open(self):
        return pycnm.Controller(self.directory, host=self.host.name)

    def look(self):
        return sight.look(self.host, self.directory, {"outside"})

    def clear(self):
        """Delete all that is recorded, with the library; it must be enough."""
        with self.open() as cnm:
            for sandbox in cnm.sandboxes():
                sandbox.delete()
            for network in cnm.networks(type="custom"):
                network.delete(force=True)

    def close(self):
        """End it, whatever state it is in."""
        dismiss_agents(self.directory, holding=True)
        self._unpin()
        shutil.rmtree(ETC_NETNS, ignore_errors=True)
        for machine in self.machines:
            machine.remove()


@contextlib.contextmanager
def ground(directory):
    made = Ground(directory)
    try:
        yield made
    finally:
        made.close()


class Interrupted:
    """One operation on a ground of its own, attempted again and again.

    Attributes:
        failures: what was wrong afterwards, by the fault.
    """

    def __init__(self, name, zygote, ground, *, others=False):
        self._count = 0
        self._ready = None
        self.name, self.operation = name, operations.ALL[name]
        self._zygote, self._ground, self._others = zygote, ground, others
        self._mounted = self._work = self._death = None
        if isinstance(self.operation, operations.FileOperation):
            self._mounted = operations.mountpoint(ground.directory)
            with contextlib.suppress(FileExistsError):
                self._mounted.mkdir()
            self._work = functools.partial(self.operation.use, self._mounted)
        with ground.open() as cnm:
            self.operation.base(cnm)
        if isinstance(self.operation, operations.Reboot):
            ground.reboot()
            ground.open().close()
        self._bare = self._look()

    def _look(self):
        seen = self._ground.look()
        if self.operation.fresh:
            del seen["record"]  # the predefined networks get new ids
        elif isinstance(self.operation, operations.Reboot):
            del seen["record"]["meta"]  # which life it is
        return seen

    def plan(self):
        """The calls of an attempt without a fault: name and what it is about, in order."""
        for _ in range(2):  # what is done only once is done the first time
            trial, wrong = self.attempt(Fault(), describe=True)
            assert not wrong, wrong
            assert trial.done, trial.outcome
        return trial.calls

    def attempt(self, fault, *, describe=False):
        """One attempt, and what is wrong after it, in lines."""
        ground = self._ground
        before, self._ready = self._ready or self._prepare(), None
        if self.operation.cold:
            dismiss_agents(ground.directory, holding=True)
        elif self._others:
            # What an agent does once, as it starts, is no part of the operation.
            ground.host.do(self._awake)
        try:
            trial = self._zygote.attempt(
                self.name,
                ground.directory,
                ground.host.name,
                fault,
                others=self._others,
                describe=describe,
                work=self._work,
            )
        finally:
            if self._mounted:
                # As the next cnmfs does, when it finds what a killed one has left.
                mounting.replace_dead(self._mounted)
        thorough = self._count % THOROUGH == 0
        self._count += 1
        if self._refused(trial) and not thorough and self._look() == before:
            self._ready = before
            return trial, list(self.operation.judged(trial, happened=False))
        return trial, list(self._wrong(trial, before, thorough))

    def _awake(self):
        """Have an agent that has nothing left to do of its own accord."""
        Agent(self._ground.directory).ask("names", {"do": "list"}, start=True)

    def _prepare(self):
        """Make what is taken away each time; how all looks then."""
        ground, operation = self._ground, self.operation
        if operation.fresh:
            shutil.rmtree(ground.directory)
        elif operation.setup is not operations.NOTHING:
            with ground.open() as cnm:
                operation.setup(cnm)
        if isinstance(operation, operations.Reboot):
            ground.reboot()
            return None
        before = self._bare if operation.setup is operations.NOTHING else self._look()
        if isinstance(operation, operations.Recovery):
            self._die(operation.of)
        return before

    def _die(self, name):
        """Have a process die over an operation, and leave it pending."""
        ground = self._ground
        for _ in range(TRIES):
            if self._death is None:
                trial = self._zygote.attempt(
                    name, ground.directory, ground.host.name, describe=True
                )
                self._death = late(trial.calls)
                self._restart()
            self._zygote.attempt(name, ground.directory, ground.host.name, self._death)
            if pending(ground):
                return
            # The database is written to in more pieces at one time than at another.
            self._death = None
            self._restart()
        raise AssertionError("nothing is left to recover from")

    def _restart(self):
        with self._ground.open() as cnm:
            if not self.operation.happened(cnm):
                self.operation.do(cnm)
            self.operation.undo(cnm)
            self.operation.setup(cnm)

    def _refused(self, trial):
        """Whether it was told that nothing has happened, and a look can say so."""
        return "error" in trial.outcome and not self.operation.fresh

    def _wrong(self, trial, before, thorough):
        if "crash" in trial.outcome:
            yield trial.outcome["crash"]
        ground, operation = self._ground, self.operation
        with ground.open() as cnm:
            yield from cnm.troubles
            yield from (f"still pending: {row}" for row in pending(ground))
            if self._others:
                # An agent that was killed when nobody waited for it.
                cnm.reconcile()
            happened = operation.happened(cnm)
            if happened or not operation.drifts:
                yield from (f"check: {words}" for words in cnm.check())
            yield from operation.judged(trial, happened)
            if not happened:
                if not operation.drifts:
                    yield from sight.settled(before, self._look)
                operation.do(cnm)
                if operation.happened(cnm) is False:
                    yield "it could not be repeated"
                yield from (f"check, once it was repeated: {words}" for words in cnm.check())
            operation.undo(cnm)
            if thorough:
                # Otherwise: what looks as it did when nothing was found is as it was.
                yield from (f"check, once it was undone: {words}" for words in cnm.check())
        yield from sight.settled(self._bare, self._look)


def pending(ground):
    return sight.record(ground.directory)["changes"]


def chosen(name, points, most):
    """At most so many of the points, spread evenly; where it begins depends on the name."""
    if not most or len(points) <= most:
        return points
    step = len(points) / most
    offset = zlib.crc32(name.encode()) % 1000 / 1000
    return [points[int((at + offset) * step)] for at in range(most)]


def sweep(name, zygote, directory, faults, tally, kind, *, most=0, others=False):
    """Attempt an operation with a fault at each point; what was wrong, in lines.

    Args:
        faults: the faults for a plan.
        kind: what to count it as.
        most: how many points are tried at most; 0 for all.
    """
    failures, tried, unhit = [], 0, 0
    calls, points, wanted, at = [], None, [], 0
    grounds = 0
    while points is None or (at < len(wanted) and len(failures) < WORST):
        grounds += 1
        with ground(directory / f"state{grounds}") as place:
            interrupted = Interrupted(name, zygote, place, others=others)
            if points is None:
                calls = interrupted.plan()
                points = faults(calls)
                wanted = chosen(name, points, most)
            # One that leaves something gets the next ones a new ground.
            while at < len(wanted):
                fault, at = wanted[at], at + 1
                try:
                    # What is made only at times may come yet, or the last of its kind does.
                    for _ in range(TRIES):
                        trial, wrong = interrupted.attempt(fault)
                        if trial.hit or wrong:
                            break
                        fault = attrs.evolve(fault, nth=trial.seen or fault.nth)
                except Exception as error:  # noqa: BLE001 - that it can't be used is a finding
                    trial, wrong = None, [repr(error), *getattr(error, "__notes__", [])]
                hit = trial is not None and trial.hit
                tried += bool(hit)
                unhit += trial is not None and not trial.hit
                if wrong:
                    words = trial.outcome.get("words", "") if trial else ""
                    failures.append("\n    ".join([f"{name}: {fault} {hit} {words}", *wrong]))
                    break
            else:
                place.clear()
    tally(kind, name, points=len(points), tried=tried, failures=len(failures))
    if unhit > UNHIT * len(wanted) + 1:
        failures.append(
            f"{name}: {unhit} of {len(wanted)} faults never came: {Counter(calls).most_common(9)}"
        )
    return failures
