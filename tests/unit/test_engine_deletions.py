"""Deletions that the kernel refuses are put back; those that can't be recorded have happened."""

from __future__ import annotations

import contextlib
import errno
import resource

import pytest
from recorded import pending, record

import pycnm
from pycnm.errors import CleanupError, KernelError, StoreError
from pycnm.testing import FailingKernel, FakeKernel

SUBNETS = {"front": ["10.20.30.0/24", "fd00:20:30::/64"], "back": ["10.20.40.0/24"]}
DELETIONS = {
    "unpublish": lambda cnm: cnm.network("front").endpoints[0].unpublish("8080:80"),
    "disconnect": lambda cnm: cnm.network("front").disconnect("c1"),
    "sandbox": lambda cnm: cnm.sandbox("c1").delete(),
    "network": lambda cnm: cnm.network("back").delete(),
    "in use": lambda cnm: cnm.network("front").delete(force=True),
}
MAKING = {
    "network": lambda cnm: cnm.create_network("new", subnet="10.99.0.0/24"),
    "sandbox": lambda cnm: cnm.create_sandbox("new"),
    "connect": lambda cnm: cnm.network("back").connect("c1", publish=["8081:81"]),
    "publish": lambda cnm: cnm.network("front").endpoints[0].publish("8082:82"),
    "configure": lambda cnm: cnm.network("back").configure(internal=True),
}
each = pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)


class Adamant(FailingKernel):
    """A kernel that never undoes some one thing, the n-th of those it is asked to undo."""

    def refuse(self, number):
        """From here on; nothing, if it is 0."""
        self.seen, self.number = [], number

    seen, number = (), 0

    def step(self, words):
        if not self.number or not words.startswith("undo: "):
            return
        if words not in self.seen:
            self.seen.append(words)
        if self.seen.index(words) == self.number - 1:
            raise KernelError(words, errno.EBUSY)


class Filling(FailingKernel):
    """A kernel at whose work, when it is told to, the disk becomes full."""

    fills = False

    def run(self, undo, do):
        super().run(undo, do)
        self.fill()

    def attempt(self, undo, do):
        super().attempt(undo, do)
        self.fill()

    def fill(self):
        if self.fills:
            # No file may grow or be written to beyond its first byte.
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))


@contextlib.contextmanager
def full(kernel):
    """What the kernel does in this block can't be recorded any more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kernel.fills = True
    try:
        yield
    finally:
        kernel.fills = False
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def start(directory, kernel):
    """A network with a sandbox on it that has a port, and a network with nothing."""
    cnm = pycnm.Controller(directory, kernel=kernel)
    net = cnm.create_network("front", subnet=SUBNETS["front"])
    net.connect(cnm.create_sandbox("c1"), publish=["8080:80", "53:53/udp"])
    cnm.create_network("back", subnet=SUBNETS["back"])
    return cnm


def refused(cnm, delete):
    """What the kernel refuses of a deletion; None if nothing."""
    try:
        delete(cnm)
    except CleanupError as error:
        return error
    return None


@each
def test_a_refused_deletion_is_put_back(tmp_path, delete):
    fake = FakeKernel()
    kernel = Adamant(fake)
    with contextlib.closing(start(tmp_path, kernel)) as cnm:
        before = fake.listing(), record(tmp_path)
        for number in range(1, 100):
            kernel.refuse(number)
            refusal = refused(cnm, delete)
            if refusal is None:
                break
            assert not hasattr(refusal, "__notes__")
            assert [one.errno for one in refusal.exceptions] == [errno.EBUSY]
            # All or nothing, however much of it had been undone.
            assert (fake.listing(), record(tmp_path)) == before, kernel.seen[-1]
            kernel.refuse(0)
            assert cnm.check() == []
        assert number == len(kernel.seen) + 1 > 1
        assert fake.listing() != before[0]
        assert cnm.check() == []


@each
def test_a_deletion_that_can_t_be_recorded_as_done_has_happened(tmp_path, delete):
    fake = FakeKernel()
    kernel = Filling(fake)
    with contextlib.closing(start(tmp_path, kernel)) as cnm:
        with full(kernel):
            delete(cnm)
            with pytest.raises(StoreError):
                cnm.create_sandbox("late")
        assert pending(tmp_path) == 1
        after = fake.listing()
        told = objects(cnm)
        # Whatever is changed next settles it, and the kernel has nothing to do any more.
        cnm.create_sandbox("next").delete()
        assert pending(tmp_path) == 0
        assert fake.listing() == after
        assert objects(cnm) == told
        assert cnm.check() == []
    # It is what becomes of one that can be recorded.
    with contextlib.closing(start(tmp_path / "other", other := FakeKernel())) as cnm:
        delete(cnm)
        assert objects(cnm) == told
        assert len(other.listing().splitlines()) == len(after.splitlines())


def objects(cnm):
    """The names of everything, and the ports."""
    return [
        [(net.name, [(end.name, list(map(str, end.ports))) for end in net.endpoints])
         for net in cnm.networks()],
        [box.name for box in cnm.sandboxes()],
    ]  # fmt: skip


@each
def test_a_deletion_that_was_told_is_not_done_again(tmp_path, delete):
    """What is made in its place meanwhile stays."""
    fake = FakeKernel()
    kernel = Filling(fake)
    with contextlib.closing(start(tmp_path, kernel)) as cnm:
        with full(kernel):
            delete(cnm)
        for name, subnet in SUBNETS.items():
            if name not in [net.name for net in cnm.networks()]:
                cnm.create_network(name, subnet=subnet)
        if not cnm.sandboxes():
            cnm.create_sandbox("c1")
        ends = cnm.network("front").endpoints
        end = ends[0] if ends else cnm.network("front").connect("c1", ip="10.20.30.2")
        if "0.0.0.0:8080->80/tcp" not in map(str, end.ports):
            end.publish("8080:80")
        before = fake.listing()
        cnm.reconcile()
        assert fake.listing() == before
        assert cnm.check() == []
        assert pending(tmp_path) == 0
    with pycnm.Controller(tmp_path, kernel=fake) as cnm:
        assert fake.listing() == before
        assert cnm.troubles == []


class Watched(FailingKernel):
    """A kernel that calls somebody at each step."""

    look = staticmethod(lambda: None)

    def step(self, words):
        del words
        self.look()


@pytest.mark.parametrize("make", MAKING.values(), ids=MAKING)
def test_nothing_is_seen_before_it_is_made(tmp_path, make):
    kernel = Watched(fake := FakeKernel())
    with (
        contextlib.closing(start(tmp_path, kernel)) as cnm,
        pycnm.Controller(tmp_path, kernel=fake) as other,
    ):
        told, seen = objects(cnm), []
        kernel.look = lambda: seen.append(objects(other))
        make(cnm)
        assert seen
        assert all(each == told for each in seen)


@pytest.mark.parametrize("make", MAKING.values(), ids=MAKING)
def test_what_can_t_be_recorded_as_made_is_taken_back(tmp_path, make):
    fake = FakeKernel()
    kernel = Filling(fake)
    with contextlib.closing(start(tmp_path, kernel)) as cnm:
        before, told = fake.listing(), objects(cnm)
        with full(kernel), pytest.raises(StoreError):
            make(cnm)
        assert fake.listing() == before
        # "nothing was changed" is what can be seen at once, settled or not.
        assert objects(cnm) == told
        # Whatever is changed next settles it.
        cnm.create_sandbox("next").delete()
        assert pending(tmp_path) == 0
        assert fake.listing() == before
        assert objects(cnm) == told
        make(cnm)
        assert cnm.check() == []
