"""Several threads, several processes, one state directory."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import sqlite3
import threading
import time

import pytest

import pycnm
from pycnm.engine import records
from pycnm.errors import (
    AddressInUseError,
    AlreadyExistsError,
    CNMError,
    InUseError,
    NotFoundError,
    PoolOverlapError,
    PortInUseError,
)
from pycnm.store.locks import Lock

THREADS = 8
PATIENCE = 40


def together(*works):
    """What each of `works` returned or raised, all begun at once in threads of their own."""
    outcomes = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(place, work):
        start.wait(PATIENCE)
        try:
            outcomes[place] = work()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
        assert not thread.is_alive(), "deadlock"
    return outcomes


def one_of(outcomes, error):
    """The one that was had; all the others were refused with `error`."""
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {error}, refused
    (had,) = [each for each in outcomes if not isinstance(each, BaseException)]
    return had


def test_one_name_one_network(cnm):
    works = [lambda: cnm.create_network("front") for _ in range(THREADS)]
    assert one_of(together(*works), AlreadyExistsError) == cnm.network("front")


def test_one_name_one_sandbox(cnm):
    works = [lambda: cnm.create_sandbox("c1") for _ in range(THREADS)]
    assert one_of(together(*works), AlreadyExistsError) == cnm.sandbox("c1")


def test_one_subnet_one_network(cnm):
    works = [
        lambda name=f"net{number}": cnm.create_network(name, subnet="10.20.30.0/24")
        for number in range(THREADS)
    ]
    net = one_of(together(*works), PoolOverlapError)
    assert cnm.networks(type="custom") == [net]


def test_automatic_subnets_differ(cnm):
    works = [lambda name=f"net{number}": cnm.create_network(name) for number in range(THREADS)]
    nets = together(*works)
    assert len({str(net.subnets[0]) for net in nets}) == THREADS


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"ip": "10.20.30.9"}, AddressInUseError),
        ({"mac": "02:42:00:00:00:09"}, AddressInUseError),
        ({"name": "web"}, AlreadyExistsError),
        ({"publish": ["8080:80"]}, PortInUseError),
    ],
)
def test_one_of_each_in_a_network(cnm, wish, error):
    net = cnm.create_network("front", subnet="10.20.30.0/24")
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(THREADS)]
    end = one_of(together(*(lambda box=box: net.connect(box, **wish) for box in boxes)), error)
    assert net.endpoints == [end]
    assert cnm.check() == []


def test_a_sandbox_is_connected_once(cnm):
    net, box = cnm.create_network("front"), cnm.create_sandbox("c1")
    end = one_of(together(*[lambda: net.connect(box)] * THREADS), AlreadyExistsError)
    assert box.endpoints == [end]


def test_addresses_differ(cnm):
    net = cnm.create_network("front", subnet="10.20.30.0/24", ipv6=True)
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(THREADS)]
    ends = together(*(lambda box=box: net.connect(box, publish=["80"]) for box in boxes))
    assert len({str(end.ip) for end in ends}) == THREADS
    assert len({end.ports[0].host_port for end in ends}) == THREADS
    assert cnm.check() == []


def test_the_first_endpoint_of_the_default_network(cnm, kernel):
    """Whoever is first makes its bridge; whoever is last takes it away."""
    nothing = kernel.listing()
    bridge = cnm.network("bridge")
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(THREADS)]
    together(*(lambda box=box: bridge.connect(box) for box in boxes))
    assert len(bridge.endpoints) == THREADS
    assert cnm.check() == []
    together(*(box.delete for box in boxes))
    assert kernel.listing() == nothing


def test_deleted_under_somebodys_hands(cnm, kernel):
    nothing = kernel.listing()
    for _ in range(10):
        net = cnm.create_network("front")
        boxes = [cnm.create_sandbox(f"c{number}") for number in range(3)]
        outcomes = together(
            *(lambda net=net, box=box: net.connect(box) for box in boxes),
            lambda net=net: net.delete(force=True),
            boxes[0].delete,
        )
        strange = [e for e in outcomes if not isinstance(e, CNMError | pycnm.Endpoint | None)]
        assert strange == []
        assert cnm.check() == []
        for box in cnm.sandboxes():
            box.delete()
        for left in cnm.networks(type="custom"):
            left.delete()
        assert kernel.listing() == nothing


@pytest.fixture
def in_between(cnm, monkeypatch):
    """Something that happens once a change has looked things up, and before it has its locks.

    Returns what it then had: the locks of its last attempt.
    """
    had = []
    engine, hold = cnm._engine, cnm._engine.locks.hold

    def after(happens):
        events = [happens]

        @contextlib.contextmanager
        def hold_later(locks):
            if events:
                events.pop()()
            had[:] = locks = list(locks)
            with hold(locks) as held:
                yield held

        monkeypatch.setattr(engine.locks, "hold", hold_later)
        return had

    return after


def number(cnm, box):
    with cnm._engine.reading() as reader:
        return records.sandbox(reader, box.id).number


def test_connected_while_the_network_is_being_deleted(cnm, kernel, in_between):
    nothing = kernel.listing()
    net = cnm.create_network("front")
    box, late = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    net.connect(box)
    wanted = {Lock.sandbox(number(cnm, each)) for each in (box, late)}
    had = in_between(lambda: net.connect(late))
    net.delete(force=True)
    assert wanted <= set(had)
    box.delete()
    late.delete()
    assert kernel.listing() == nothing


@pytest.mark.parametrize(
    "change",
    [
        lambda end: end.publish("80"),
        lambda end: end.leave(),
        lambda end: end.network.disconnect("c2"),
        lambda end: end.delete(),
    ],
    ids=["publish", "leave", "disconnect", "delete"],
)
def test_moved_while_it_is_being_changed(cnm, in_between, change):
    net = cnm.create_network("front")
    box, other = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    end = net.connect(box)

    def move():
        end.leave()
        end.join(other)

    had = in_between(move)
    with contextlib.suppress(InUseError, NotFoundError):
        change(end)
        assert Lock.sandbox(number(cnm, other)) in had
    assert Lock.sandbox(number(cnm, box)) not in had
    assert cnm.check() == []


def test_an_endpoint_that_moves_about(cnm, kernel):
    """Whoever works on it has the locks of where it is, not of where it was."""
    nothing = kernel.listing()
    net = cnm.create_network("front")
    boxes = [cnm.create_sandbox(f"c{number}") for number in range(3)]
    end = net.connect(boxes[0])

    def move(box):
        for _ in range(12):
            with contextlib.suppress(CNMError):
                end.leave()
            with contextlib.suppress(CNMError):
                end.join(box)

    def use(box):
        for number in range(12):
            with contextlib.suppress(CNMError):
                end.publish("80")
            with contextlib.suppress(CNMError):
                end.unpublish("80")
            if number % 4 == 3:
                box.delete()
                cnm.create_sandbox(box.name)

    works = [lambda box=box: move(box) for box in boxes[:2]]
    outcomes = together(*works, lambda: use(boxes[2]), lambda: use(boxes[1]))
    assert [each for each in outcomes if not isinstance(each, NotFoundError | None)] == []
    assert cnm.check() == []
    for box in cnm.sandboxes():
        box.delete()
    net.delete(force=True)
    assert kernel.listing() == nothing


def test_many_threads_at_random(cnm, kernel, tmp_path):
    """No deadlock, nothing half-made, nothing left."""
    nothing = kernel.listing()
    for number in range(2):
        cnm.create_network(f"shared{number}")

    def live(seed):
        chance = random.Random(seed)  # noqa: S311 - no secret
        for _ in range(25):
            net = chance.choice(["shared0", "shared1", "bridge", f"own{seed}", f"own{seed ^ 1}"])
            box = f"c{chance.randrange(THREADS)}"
            action = chance.choice(ACTIONS)
            with contextlib.suppress(CNMError, IndexError):
                action(cnm, net, box)

    outcomes = together(*(lambda seed=seed: live(seed) for seed in range(THREADS)))
    assert outcomes == [None] * THREADS
    assert cnm.check() == []
    with contextlib.closing(sqlite3.connect(tmp_path / "cnm.db")) as reader:
        assert reader.execute("SELECT count(*) FROM changes").fetchone() == (0,)
    together(*(box.delete for box in cnm.sandboxes()))
    together(*(lambda net=net: net.delete(force=True) for net in cnm.networks(type="custom")))
    assert kernel.listing() == nothing


ACTIONS = [
    lambda cnm, net, _: cnm.create_network(net),
    lambda cnm, _, box: cnm.create_sandbox(box),
    lambda cnm, net, box: cnm.network(net).connect(box),
    lambda cnm, net, box: cnm.network(net).connect(box, publish=["7000-7003:80", "53/udp"]),
    lambda cnm, net, box: cnm.network(net).disconnect(box),
    lambda cnm, _, box: cnm.sandbox(box).delete(),
    lambda cnm, net, _: cnm.network(net).delete(),
    lambda cnm, net, _: cnm.network(net).endpoints[0].publish("90"),
    lambda cnm, net, _: cnm.network(net).endpoints[0].leave(),
    lambda cnm, net, box: cnm.network(net).endpoints[0].join(box),
    lambda cnm, net, _: cnm.network(net).inspect(),
    lambda cnm, _, box: cnm.sandbox(box).inspect(),
    lambda cnm, _net, _box: cnm.check(),
    lambda cnm, _net, _box: cnm.prune(),
]


# Processes.  Each has a copy of the kernel: what they share is the record.


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes(tmp_path, kernel):
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        cnm.create_network("front", subnet="10.20.0.0/16")
    machine = pickle.dumps(kernel)
    children = [child for number in range(4) if (child := fork(tmp_path, machine, number))]
    reports = [report(child) for child in children]
    for place in range(3):
        assert sorted(each[place] for each in reports) == ["had", *["refused"] * 3]
    # Each had addresses of its own on the network that they all used.
    assert len({each[3] for each in reports}) == 4


def fork(directory, machine, number):
    """A process that wants what the others want; it tells what it was given."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return child, ours
    try:
        os.close(ours)
        with os.fdopen(theirs, "wb") as stream:
            cnm = pycnm.Controller(directory, kernel=pickle.loads(machine))  # noqa: S301
            had = [
                attempt(lambda: cnm.create_network("net")),
                attempt(lambda: cnm.create_sandbox("box")),
                attempt(lambda: cnm.create_network(f"net{number}", subnet="10.21.0.0/16")),
            ]
            end = cnm.network("front").create_endpoint(f"end{number}")
            pickle.dump([*had, str(end.ip)], stream)
    finally:
        os._exit(0)


def attempt(work):
    try:
        work()
    except (AlreadyExistsError, PoolOverlapError):
        return "refused"
    return "had"


def report(child):
    """What a process told."""
    pid, stream = child
    with os.fdopen(stream, "rb") as told:
        found = pickle.loads(told.read())  # noqa: S301 - from our own child
    os.waitpid(pid, 0)
    return found
