"""What somebody takes away is seen, and put back: all of it, or that of one object."""

from __future__ import annotations

import threading

import pytest

from pycnm.engine import records, restoring
from pycnm.errors import CleanupError
from pycnm.plan.links import Link
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.rules import Guard, Skeleton
from pycnm.store.locks import Lock


@pytest.fixture
def ends(cnm):
    """Two endpoints, each with a network and a sandbox of its own."""
    found = []
    for number, name in enumerate(("one", "two")):
        net = cnm.create_network(f"net-{name}", subnet=f"10.20.{number}.0/24")
        found.append(
            net.connect(cnm.create_sandbox(f"box-{name}"), publish=[f"{8000 + number}:80"])
        )
    return found


def take_away(kernel, *objects):
    for each in objects:
        for operation in reversed(list(each.explain())):
            kernel.others_undo(operation)


@pytest.mark.parametrize("whose", ["network", "sandbox", "endpoint"])
def test_one_object_is_put_back_with_what_it_needs(cnm, kernel, ends, whose):
    before = kernel.listing()
    one, two = ends
    for end in ends:
        take_away(kernel, end, end.sandbox, end.network)
    left = kernel.listing()
    for end in ends:
        assert end.check()
        assert end.sandbox.check()
        assert end.network.check()
    thing = one if whose == "endpoint" else getattr(one, whose)
    done = thing.reconcile()
    for each in (one, one.sandbox, one.network):
        assert each.check() == []
        assert set(map(str, each.explain())) >= set(done) & set(map(str, each.explain())) != set()
    assert two.check()
    assert not set(done) & set(map(str, two.explain()))
    assert set(left.splitlines()) < set(kernel.listing().splitlines()) < set(before.splitlines())
    assert thing.reconcile() == []
    two.reconcile()
    assert kernel.listing() == before
    assert cnm.check() == []


def test_what_a_network_needs_of_the_host_is_seen_and_put_back(kernel, ends):
    before = kernel.listing()
    for end in ends:
        take_away(kernel, end.network)
    kernel.others_undo(Skeleton("cnm"))
    assert any("table inet cnm" in words for words in ends[0].network.check())
    ends[0].network.reconcile()
    assert ends[0].network.check() == []
    assert any("table inet cnm" not in words for words in ends[1].network.check())
    ends[1].network.reconcile()
    assert kernel.listing() == before


def test_an_endpoint_that_is_in_no_sandbox_has_nothing_to_be_put_back(cnm, kernel):
    end = cnm.create_network("net").create_endpoint("free")
    assert end.check() == end.reconcile() == []


def test_what_is_in_the_way_is_told_and_everything_else_is_done(cnm, kernel, ends):
    one, two = ends
    before = kernel.listing()
    take_away(kernel, one, two)
    theirs = Link(HOST, one.host_interface, "dummy")
    kernel.others_do(theirs)
    with pytest.raises(CleanupError, match="put back") as caught:
        cnm.reconcile()
    assert any(one.host_interface in str(each) for each in caught.value.exceptions)
    assert two.check() == []
    kernel.others_undo(theirs)
    cnm.reconcile()
    assert cnm.check() == []
    assert kernel.listing() == before


def test_what_is_deleted_meanwhile_is_not_put_back(cnm, kernel, ends, monkeypatch):
    """One looks, another deletes: what the one has seen to be gone stays away."""
    one, two = ends
    seen, deleted = threading.Event(), threading.Event()
    look = kernel.check

    def check(operations):
        found = look(operations)
        if not seen.is_set():
            seen.set()
            assert deleted.wait(10)
        return found

    monkeypatch.setattr(kernel, "check", check)
    take_away(kernel, one)
    helper = threading.Thread(target=cnm.reconcile)
    helper.start()
    assert seen.wait(10)
    one.network.delete(force=True)
    left = kernel.listing()
    deleted.set()
    helper.join()
    assert kernel.listing() == left
    assert two.check() == []


@pytest.mark.parametrize("what", [Guard, Operation], ids=["rules", "everything"])
def test_of_many_some_are_locked_at_a_time(cnm, kernel, monkeypatch, what):
    """Whoever wants one sandbox meanwhile doesn't wait for all; nor who wants the network."""
    net = cnm.create_network("net", subnet="10.20.0.0/24")
    ends = [net.connect(cnm.create_sandbox(f"box{number}")) for number in range(7)]
    before = kernel.listing()
    for each in (net, *ends):
        for operation in reversed(list(each.explain())):
            if isinstance(operation, what):
                kernel.others_undo(operation)
    held = []
    hold = cnm._engine.locks.hold

    def noted(locks):
        held.append({*locks})
        return hold(locks)

    monkeypatch.setattr(cnm._engine.locks, "hold", noted)
    monkeypatch.setattr(restoring, "_AT_ONCE", 2)
    cnm.reconcile()
    assert kernel.listing() == before
    with cnm._engine.reading() as reader:
        (row,) = [each for each in records.networks(reader) if each.spec.name == "net"]
        boxes = {Lock.sandbox(each.number) for each in records.sandboxes(reader)}
    whole = Lock.network(row.number, exclusive=True)
    mended = [locks for locks in held if whole in locks or locks & boxes]
    assert boxes <= set().union(*mended)
    assert max(len(locks & boxes) for locks in mended) == 2
    assert not any(whole in locks and locks & boxes for locks in mended)
