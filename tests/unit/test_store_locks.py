"""Locks between threads and processes, dropped by the kernel when their holder dies."""

from __future__ import annotations

import os
import threading

import pytest

from pycnm.store.locks import Lock, Locks

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def locks(tmp_path):
    return Locks(tmp_path)


def free(locks, lock):
    """Whether a lock is to be had at once."""
    got = threading.Event()

    def take():
        with locks.hold([lock]):
            got.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return got.wait(0.1)


NETWORK, SHARED = Lock.network(7, exclusive=True), Lock.network(7, exclusive=False)


@pytest.mark.parametrize(
    ("held", "wanted", "answer"),
    [
        (NETWORK, NETWORK, False),
        (NETWORK, SHARED, False),
        (SHARED, NETWORK, False),
        (SHARED, SHARED, True),
        (NETWORK, Lock.network(8, exclusive=True), True),
        (NETWORK, Lock.sandbox(7), True),
        (Lock.sandbox(7), Lock.sandbox(7), False),
        (Lock.host(exclusive=True), Lock.host(exclusive=False), False),
        (Lock.recovery(), Lock.recovery(), False),
        (Lock.recovery(), NETWORK, True),
    ],
)
def test_one_excludes_the_other(locks, held, wanted, answer):
    with locks.hold([held]):
        assert free(locks, wanted) is answer
    assert free(locks, wanted)


def test_several_at_once(locks):
    with locks.hold([NETWORK, Lock.sandbox(1), NETWORK]) as held:
        held.add(Lock.sandbox(2))
        assert not any(free(locks, lock) for lock in (SHARED, Lock.sandbox(1), Lock.sandbox(2)))
    assert all(free(locks, lock) for lock in (SHARED, Lock.sandbox(1), Lock.sandbox(2)))


def test_an_order_in_which_nobody_waits_for_ever(locks):
    """Whatever order they are named in."""
    one, two = [NETWORK, Lock.sandbox(7)], [Lock.sandbox(7), NETWORK]

    def take(wanted):
        for _ in range(200):
            with locks.hold(wanted):
                pass

    threads = [threading.Thread(target=take, args=[each], daemon=True) for each in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_given_back_after_an_error(locks):
    with pytest.raises(RuntimeError), locks.hold([NETWORK]):
        raise RuntimeError
    assert free(locks, NETWORK)


def test_alive(locks):
    assert not locks.is_alive(3)
    descriptor = locks.live(3)
    assert locks.is_alive(3)
    assert not locks.is_alive(4)
    os.close(descriptor)
    assert not locks.is_alive(3)


def test_a_death_lets_go_of_everything(locks, tmp_path):
    ready, told = os.pipe()
    go, tell = os.pipe()
    child = os.fork()
    if not child:
        others = Locks(tmp_path)
        others.live(3)
        with others.hold([NETWORK]):
            os.write(told, b"!")
            os.read(go, 1)
            os._exit(0)
    os.read(ready, 1)
    assert locks.is_alive(3)
    assert not free(locks, NETWORK)
    os.write(tell, b"!")
    os.waitpid(child, 0)
    assert not locks.is_alive(3)
    assert free(locks, NETWORK)
    for descriptor in (ready, told, go, tell):
        os.close(descriptor)


def test_a_child_keeps_nothing_of_its_parents(locks):
    """The parent's letting go is enough, though the child has copies of its descriptors."""
    ready, told = os.pipe()
    go, tell = os.pipe()
    with locks.hold([NETWORK]):
        child = os.fork()
        if not child:
            os.write(told, b"!")
            os.read(go, 1)
            os._exit(0)
        os.read(ready, 1)
    assert free(locks, NETWORK)
    os.write(tell, b"!")
    os.waitpid(child, 0)
    for descriptor in (ready, told, go, tell):
        os.close(descriptor)
