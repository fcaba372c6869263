"""A process that dies in the middle of a change: what the next one finds, and makes of it.

The process is real, its kernel is not: the fake that it had when it died is
handed back to the test.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import threading

import pytest
from recorded import pending

import pycnm
from pycnm.errors import AlreadyExistsError, CNMError, KernelError, NotFoundError, PoolOverlapError
from pycnm.store.locks import Locks
from pycnm.testing import FailingKernel, FakeKernel

# A child of fork is what is wanted here; it has but one thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

BEFORE, AFTER = 0, -1
DIED = 9


class DyingKernel(FailingKernel):
    """Takes its process with it, at some step, before the first or after the last."""

    def __init__(self, kernel, fail_at, farewell):
        super().__init__(kernel)
        self.moment = fail_at
        self.farewell = farewell
        self.armed = False

    def fail(self, words):
        del words
        self.die()

    def die(self):
        with os.fdopen(self.farewell, "wb") as stream:
            pickle.dump(self._kernel, stream)
        os._exit(DIED)

    def run(self, undo, do):
        self._dying(super().run, undo, do)

    def attempt(self, undo, do):
        self._dying(super().attempt, undo, do)

    def _dying(self, carry_out, undo, do):
        if self.armed and self.moment == BEFORE:
            self.die()
        self.arm(max(self.moment, 0) if self.armed else 0)
        carry_out(undo, do)
        if self.armed and self.moment == AFTER:
            self.die()


def dies(directory, kernel, moment, action):
    """What is left of `kernel` when a process has died over `action`; None if it lived."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(ours)
            dying = DyingKernel(kernel, moment, theirs)
            cnm = pycnm.Controller(directory, kernel=dying)
            dying.armed = True
            action(cnm)
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        left = stream.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (DIED if left else 0)
    return pickle.loads(left) if left else None  # noqa: S301 - from our own child


def moments(directory, kernel, action):
    """Each moment that a process can die at, with what it left of the kernel."""
    yield dies(directory, kernel, BEFORE, action)
    for step in range(1, 200):
        left = dies(directory, kernel, step, action)
        if left is None:
            break
        yield left
    else:
        raise AssertionError("it never came to its end")


def start(directory):
    """A network, a sandbox and an endpoint with a port."""
    kernel = FakeKernel()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24")
        net.connect(cnm.create_sandbox("one"), publish=["8080:80"])
        cnm.create_sandbox("two")
    return kernel


MAKING = {
    "network": lambda cnm: cnm.create_network("back", ipv6=True),
    "sandbox": lambda cnm: cnm.create_sandbox("c3"),
    "connect": lambda cnm: cnm.network("front").connect("two", publish=["8081:80"]),
    "default": lambda cnm: cnm.network("bridge").connect("one", gateway_priority=1),
    "publish": lambda cnm: cnm.network("front").endpoints[0].publish("8082:80", "53/udp"),
    "leave": lambda cnm: cnm.network("front").endpoints[0].leave(),
    "live": lambda cnm: cnm.network("front").configure(
        options={"com.docker.network.driver.mtu": "1400"}
    ),
}
# Names that can't be the beginning of an id, which would find another object.
FAREWELLS = {
    "unpublish": lambda cnm: cnm.network("front").endpoints[0].unpublish("80"),
    "disconnect": lambda cnm: cnm.network("front").disconnect("one"),
    "sandbox": lambda cnm: cnm.sandbox("one").delete(),
    "network": lambda cnm: cnm.network("front").delete(force=True),
}


def test_a_network_that_was_being_renumbered_is_as_it_was(tmp_path):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        cnm.create_network("empty", subnet="10.20.1.0/24", gateway="10.20.1.9")
    before = kernel.listing()
    for left in moments(tmp_path, kernel, renumber):
        with pycnm.Controller(tmp_path, kernel=left) as cnm:
            assert cnm.troubles == []
            assert left.listing() == before
            assert cnm.check() == []
            net = cnm.network("empty")
            assert [str(each) for each in net.subnets + net.gateways] == [
                "10.20.1.0/24",
                "10.20.1.9",
            ]
            with pytest.raises(PoolOverlapError):
                cnm.create_network("thief", subnet="10.20.1.0/24")
            cnm.create_network("other", subnet="10.20.16.0/20").delete()


def renumber(cnm):
    cnm.network("empty").configure(subnet=["10.20.16.0/20", "fd00:1::/64"], internal=True)


@pytest.mark.parametrize("action", MAKING.values(), ids=MAKING)
def test_what_was_being_made_is_unmade(tmp_path, action):
    kernel = start(tmp_path)
    before = kernel.listing()
    count = 0
    for left in moments(tmp_path, kernel, action):
        count += 1
        assert pending(tmp_path) == 1
        with pycnm.Controller(tmp_path, kernel=left) as cnm:
            assert cnm.troubles == []
            assert pending(tmp_path) == 0
            assert left.listing() == before
            assert cnm.check() == []
            assert [net.name for net in cnm.networks(type="custom")] == ["front"]
            assert [box.name for box in cnm.sandboxes()] == ["one", "two"]
            assert [end.name for end in cnm.network("front").endpoints] == ["one"]
    assert count >= 3


@pytest.mark.parametrize("action", FAREWELLS.values(), ids=FAREWELLS)
def test_what_was_being_deleted_is_deleted(tmp_path, action):
    """Each time it is made anew, so that there is something to delete."""
    kernel = start(tmp_path / "example")
    with pycnm.Controller(tmp_path / "example", kernel=kernel) as cnm:
        action(cnm)
        expected = len(kernel.listing().splitlines())
    for step in range(40):
        directory = tmp_path / str(step)
        left = dies(directory, start(directory), step, action)
        if left is None:
            break
        assert pending(directory) == 1
        with pycnm.Controller(directory, kernel=left) as cnm:
            assert cnm.troubles == []
            assert cnm.check() == []
            assert len(left.listing().splitlines()) == expected
            with pytest.raises((NotFoundError, IndexError, pycnm.InvalidArgumentError)):
                action(cnm)
    assert step > 3


def test_death_between_the_kernel_and_the_record(tmp_path):
    kernel = start(tmp_path)
    before = kernel.listing()
    left = dies(tmp_path, kernel, AFTER, MAKING["connect"])
    assert left.listing() != before
    with pycnm.Controller(tmp_path, kernel=left) as cnm:
        assert left.listing() == before
        assert cnm.check() == []
    left = dies(tmp_path, kernel, AFTER, FAREWELLS["disconnect"])
    with pycnm.Controller(tmp_path, kernel=left) as cnm:
        assert cnm.network("front").endpoints == []
        assert cnm.check() == []


def test_what_it_had_reserved_is_free_again(tmp_path):
    kernel = start(tmp_path)
    left = dies(
        tmp_path,
        kernel,
        AFTER,
        lambda cnm: cnm.network("front").connect("two", ip="10.20.30.9", publish=["8081:80"]),
    )
    with pycnm.Controller(tmp_path, kernel=left) as cnm:
        net = cnm.network("front")
        end = net.connect("two", ip="10.20.30.9", publish=["8081:80"])
        assert str(end.ip) == "10.20.30.9"
    left = dies(tmp_path, left, AFTER, lambda cnm: cnm.create_network("x", subnet="10.9.0.0/24"))
    with pycnm.Controller(tmp_path, kernel=left) as cnm:
        cnm.create_network("y", subnet="10.9.0.0/24")


def test_a_death_is_noticed_by_those_that_live(tmp_path):
    """Without opening the directory anew: whoever needs the name takes the change back."""
    kernel = start(tmp_path)
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        # What the process did stays in its copy of the kernel: it is as if it
        # had died before it did anything.
        for name, action in (
            ("back", lambda other: other.create_network("back")),
            ("c3", lambda other: other.create_sandbox("c3")),
        ):
            dies(tmp_path, kernel, BEFORE, action)
            assert pending(tmp_path) == 1
            assert action(cnm).name == name
            assert pending(tmp_path) == 0
        net = cnm.network("back")
        dies(tmp_path, kernel, BEFORE, lambda other: other.network("back").connect("c3"))
        end = net.connect("c3")
        dies(tmp_path, kernel, BEFORE, lambda other: other.network("back").disconnect("c3"))
        with pytest.raises(NotFoundError):
            net.disconnect("c3")
        assert net.endpoints == []
        end = net.connect("c3")
        assert pending(tmp_path) == 0
        dies(tmp_path, kernel, BEFORE, lambda other: other.sandbox("c3").delete())
        with pytest.raises(NotFoundError):
            end.publish("80")
        dies(tmp_path, kernel, BEFORE, lambda other: other.network("back").delete())
        with pytest.raises(NotFoundError):
            net.connect("two")
        assert cnm.check() == []


def test_what_can_t_be_taken_back_yet_is_told_and_tried_again(tmp_path):
    kernel = start(tmp_path)
    before = kernel.listing()
    left = dies(tmp_path, kernel, AFTER, MAKING["connect"])
    failing = Sulking(left)
    with pycnm.Controller(tmp_path, kernel=failing) as cnm:
        assert len(cnm.troubles) == 1
        assert "is still pending" in cnm.troubles[0]
        assert cnm.check()[0] == cnm.troubles[0]
        # It is in the way of nothing but itself.
        with pytest.raises(CNMError):
            cnm.network("front").connect("two")
        with pytest.raises(KernelError):
            cnm.create_sandbox("c4")
        failing.sulks = False
        cnm.reconcile()
        assert cnm.check() == []
    assert left.listing() == before


class Sulking(FailingKernel):
    """Refuses everything, for a while."""

    sulks = True

    def step(self, words):
        if self.sulks:
            raise KernelError(words, 16)


# Whoever lives is left alone


class Patient(FailingKernel):
    """Stops in the middle of a change until it is told to go on."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.stopped, self.go = threading.Event(), threading.Event()

    def fail(self, words):
        del words
        self.stopped.set()
        assert self.go.wait(20)


def test_the_change_of_a_living_process_is_left_alone(tmp_path):
    kernel = start(tmp_path)
    patient = Patient(kernel)
    with pycnm.Controller(tmp_path, kernel=patient) as cnm:
        patient.arm(5)
        worker = threading.Thread(target=cnm.create_network, args=["back"])
        worker.start()
        assert patient.stopped.wait(20)
        with pycnm.Controller(tmp_path, kernel=kernel) as other:
            assert other.troubles == []
            assert pending(tmp_path) == 1
            assert [net.name for net in other.networks(type="custom")] == ["front"]
            # Work on other things goes on meanwhile.
            other.network("front").connect("two")
            waiting = threading.Thread(target=refused, args=[other, "back"])
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive()
            patient.go.set()
            worker.join(20)
            waiting.join(20)
            assert not waiting.is_alive()
        assert cnm.network("back").name == "back"
        assert cnm.check() == []


def refused(cnm, name):
    """Asks for a name that is on its way: the answer comes when that has arrived."""
    with pytest.raises(AlreadyExistsError):
        cnm.create_network(name)


def test_a_child_of_fork_is_somebody_else(tmp_path):
    """Its death isn't its parent's, and the other way round."""
    kernel = start(tmp_path)
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        child = os.fork()
        if not child:
            try:
                cnm.create_network("childs")
            finally:
                os._exit(DIED)
        os.waitpid(child, 0)
        assert {net.name for net in cnm.networks(type="custom")} == {"front", "childs"}
        cnm.create_network("parents")
        assert pending(tmp_path) == 0


def test_a_maker_that_is_dying_is_waited_for(tmp_path):
    """The kernel lets go of its locks before it lets go of its mark of life."""
    kernel = start(tmp_path)
    left = dies(tmp_path, kernel, 2, MAKING["connect"])
    with contextlib.closing(sqlite3.connect(tmp_path / "cnm.db")) as reader:
        ((maker,),) = reader.execute("SELECT maker FROM changes").fetchall()
    alive = Locks(tmp_path).live(maker)
    threading.Timer(0.2, os.close, [alive]).start()
    with pycnm.Controller(tmp_path, kernel=left) as cnm:
        assert pending(tmp_path) == 0
        assert cnm.check() == []
