"""kill -9 in the middle of every verb: the next Controller finds nothing half-made.

A child is killed at a chosen call of a Python or C function, counted over all
its threads, from the first to the last of the verb.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from topology import RUN_NETNS, Place, ask_again, differences, inside, until

import pycnm

POINTS = 3
ZYGOTE = """
import itertools, os, signal, sys, threading
import pycnm

host = sys.argv[1]
VERBS = {}
exec(os.environ["VERBS"])

def attempt(verb, limit, directory, told):
    counter, armed = itertools.count(1), []
    def tick(frame, event, argument):
        if armed and event in ("call", "c_call") and next(counter) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    threading.setprofile(tick)
    if verb == "open":
        armed.append(True)
        sys.setprofile(tick)
        pycnm.Controller(directory, host=host)
    else:
        cnm = pycnm.Controller(directory, host=host)
        armed.append(True)
        sys.setprofile(tick)
        VERBS[verb](cnm)
    armed.clear()
    sys.setprofile(None)
    os.write(told, str(next(counter)).encode())

print("ready", flush=True)
for line in sys.stdin:
    verb, limit, directory = line.split()
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        code = 1
        try:
            attempt(verb, int(limit), directory, tell)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    calls = os.read(told, 100).decode() or "0"
    os.close(told)
    _, status = os.waitpid(child, 0)
    print(status, calls, flush=True)
"""


@attrs.frozen
class Verb:
    """Something to be killed in.

    Attributes:
        words: it, as Python with the Controller `cnm`.
        happened: whether it has come about.
        before: what has to be there first.
    """

    words: str
    happened: Callable[[Any], bool]
    before: str = ""

    def do(self, cnm):
        exec(self.words, {"cnm": cnm})  # noqa: S102 - the text that the child gets too


NET = "net = cnm.create_network('n', subnet=['10.9.0.0/24', 'fd00:9::/64']); "
BOX = "box = cnm.create_sandbox('c'); "
PAIR = f"{NET}{BOX}net.connect(box); net.connect(cnm.create_sandbox('d')); "
PORT = "publish=['8080:80', '8053:53/udp', '127.0.0.1:8081:81']"


def has(cnm, what, name):
    return name in [each.name for each in getattr(cnm, what)()]


def connected(cnm):
    return bool(cnm.sandbox("c").endpoints)


def ports(cnm):
    return len(cnm.sandbox("c").endpoints[0].ports)


VERBS = {
    "create-network": Verb(NET, lambda cnm: has(cnm, "networks", "n")),
    "delete-network": Verb(
        "cnm.network('n').delete(force=True)", lambda cnm: not has(cnm, "networks", "n"), PAIR
    ),
    "create-sandbox": Verb(BOX, lambda cnm: has(cnm, "sandboxes", "c")),
    "delete-sandbox": Verb(
        "cnm.sandbox('c').delete()",
        lambda cnm: not has(cnm, "sandboxes", "c"),
        PAIR + "cnm.network('bridge').connect(box)",
    ),
    "connect": Verb("cnm.network('n').connect('c')", connected, NET + BOX),
    "connect-the-first": Verb("cnm.network('bridge').connect('c')", connected, BOX),
    "connect-another": Verb(
        "cnm.network('bridge').connect('c', gateway_priority=1)",
        lambda cnm: len(cnm.sandbox("c").endpoints) == 2,
        PAIR,
    ),
    "connect-with-ports": Verb(f"cnm.network('n').connect('c', {PORT})", connected, NET + BOX),
    "disconnect": Verb("cnm.network('n').disconnect('c')", lambda cnm: not connected(cnm), PAIR),
    "disconnect-the-last": Verb(
        "cnm.network('bridge').disconnect('c')",
        lambda cnm: not connected(cnm),
        BOX + "cnm.network('bridge').connect(box)",
    ),
    "disconnect-with-ports": Verb(
        "cnm.network('n').disconnect('c')",
        lambda cnm: not connected(cnm),
        f"{NET}{BOX}net.connect(box, {PORT})",
    ),
    "publish": Verb(
        "cnm.sandbox('c').endpoints[0].publish('8080:80', '8053:53/udp')",
        lambda cnm: ports(cnm) == 4,
        PAIR,
    ),
    "unpublish": Verb(
        "cnm.sandbox('c').endpoints[0].unpublish('8080:80')",
        lambda cnm: ports(cnm) == 3,
        f"{NET}{BOX}net.connect(box, {PORT})",
    ),
    "rename": Verb("cnm.network('n').rename('m')", lambda cnm: has(cnm, "networks", "m"), PAIR),
}


class Zygote:
    """Forks children that do a verb and are killed at a call of it."""

    def __init__(self, host):
        verbs = "\n".join(
            f"VERBS[{name!r}] = lambda cnm: exec({verb.words!r}, {{'cnm': cnm}})"
            for name, verb in VERBS.items()
        )
        environment = {
            "PYTHONPATH": str(Path(pycnm.__file__).parents[1]),
            "PATH": os.environ["PATH"],
            "VERBS": verbs,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE, host.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._process.stdout.readline() == "ready\n"

    def attempt(self, verb, directory, limit=0):
        """Whether the child was killed, and how many calls it made if it wasn't."""
        self._process.stdin.write(f"{verb} {limit} {directory}\n")
        self._process.stdin.flush()
        status, calls = map(int, self._process.stdout.readline().split())
        assert status in {0, signal.SIGKILL}, status
        return status == signal.SIGKILL, calls

    def close(self):
        self._process.communicate()


@pytest.fixture
def zygote(controller, host, outside):
    found = Zygote(host)
    yield found
    found.close()


class Trial:
    """A verb on a state directory of its own."""

    def __init__(self, name, directory, host):
        self.verb, self.directory, self.host = VERBS[name], directory, host

    def open(self):
        return pycnm.Controller(self.directory, host=self.host.name)

    def look(self):
        """All that there is of the host and its sandboxes."""
        names = sorted(path.name for path in RUN_NETNS.iterdir())
        places = [Place(RUN_NETNS / name) for name in names if name in {"c", "d"}]
        return {
            "host": self.host.picture(),
            "namespaces": names,
            "files": sorted(path.name for path in (self.directory / "sandboxes").glob("*")),
            "inside": [(place.label, place.interfaces(), place.routes()) for place in places],
        }

    def settle(self, wanted):
        """Wait for what the kernel may take a moment to bring about."""
        until(lambda: self.look() == wanted)
        assert list(differences(self.look(), wanted)) == []

    def prepare(self):
        """Bring about what has to be there first; return how that looks."""
        with self.open() as cnm:
            exec(self.verb.before, {"cnm": cnm})  # noqa: S102 - a text of this file
        return self.look()

    def go_on(self, prepared):
        """The next program: all or nothing is there, and what isn't can be had."""
        with self.open() as cnm:
            assert (cnm.troubles, cnm.check()) == ([], [])
            assert pending(self.directory) == 0
            if not self.verb.happened(cnm):
                self.settle(prepared)
                self.verb.do(cnm)
            assert self.verb.happened(cnm)
            assert cnm.check() == []
            for box in cnm.sandboxes():
                box.delete()
            for net in cnm.networks(type="custom"):
                net.delete()


def pending(directory):
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as database:
        return database.execute("SELECT count(*) FROM changes").fetchone()[0]


@pytest.mark.parametrize("name", VERBS)
def test_killed_in(name, zygote, controller, host, tmp_path):
    controller(host).close()
    trial = Trial(name, tmp_path / "state", host)
    chance = random.Random(name)  # noqa: S311 - any spread will do, the same each time
    bare = trial.look()
    prepared = trial.prepare()
    killed, calls = zygote.attempt(name, trial.directory)
    assert not killed
    trial.go_on(prepared)
    trial.settle(bare)
    hits = 0
    for point in range(POINTS):
        prepared = trial.prepare()
        limit = int(calls * (point + chance.random()) / POINTS) + 1
        killed, _ = zygote.attempt(name, trial.directory, limit)
        hits += killed
        trial.go_on(prepared)
        trial.settle(bare)
    # A few calls come and go with the timing of threads; most must have struck.
    assert hits >= POINTS - 1


def test_killed_at_the_first_start(zygote, host, tmp_path):
    before = host.picture()
    _, calls = zygote.attempt("open", tmp_path / "state")
    for point in range(POINTS):
        directory = tmp_path / f"state{point}"
        killed, _ = zygote.attempt("open", directory, calls * point // POINTS + 1)
        assert killed
        with pycnm.Controller(directory, host=host.name) as cnm:
            assert [net.name for net in cnm.networks()] == ["bridge", "host", "none"]
            assert (cnm.troubles, cnm.check(), pending(directory)) == ([], [], 0)
            cnm.create_network("n").delete()
        assert host.picture() == before


def test_the_traffic_of_others_never_stops(zygote, controller, host, outside, tmp_path):
    """Whatever is killed and recovered, a flow beside it goes on."""
    cnm = controller(host)
    net = cnm.create_network("beside", subnet="10.8.0.0/24")
    box = cnm.create_sandbox("beside")
    net.connect(box)
    with outside.serve("7"), inside(box).connect("192.0.2.66", 7) as flow:
        for name in ("create-network", "create-sandbox"):
            _, calls = zygote.attempt(name, tmp_path / "state")
            with pycnm.Controller(tmp_path / "state", host=host.name) as other:
                made = other.networks(name="^n$") + [b for b in other.sandboxes() if b.name == "c"]
                for each in made:
                    each.delete()
            for point in range(POINTS):
                killed, _ = zygote.attempt(name, tmp_path / "state", calls * point // POINTS + 1)
                assert killed
                assert ask_again(flow).server == "outside"
                with pycnm.Controller(tmp_path / "state", host=host.name) as other:
                    assert other.check() == []
                assert ask_again(flow).server == "outside"
        for each in cnm.networks(name="^n$") + [b for b in cnm.sandboxes() if b.name == "c"]:
            each.delete()
