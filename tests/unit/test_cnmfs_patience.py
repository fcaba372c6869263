"""Calls that wait, and those that can't."""

from __future__ import annotations

import contextlib
import errno
import threading

import pytest

from cnmfs.calls import Calls
from cnmfs.patience import MOST, Patience
from cnmfs.reasons import Caller, Reasons


@pytest.fixture
def crowded():
    """A patience with as many who wait as may."""
    patience = Patience()
    never = threading.Condition()
    waiting = threading.Semaphore(0)

    def wait():
        def ready():
            waiting.release()
            return False

        with contextlib.suppress(OSError), never:
            patience.until(never, ready, lambda: 0)

    threads = [threading.Thread(target=wait) for _ in range(MOST)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=10)
    yield patience
    patience.end()
    for thread in threads:
        thread.join()


def test_who_may_not_wait_is_told_why(crowded):
    caller, reasons = Caller(uid=1), Reasons()
    calls = Calls(reasons, lambda: caller, crowded)
    with pytest.raises(OSError, match=f"{MOST} calls wait already") as refused:
        calls.change("mkdir", "/networks/n", lambda _: pytest.fail("it was done"))
    assert refused.value.errno == errno.EAGAIN
    assert f"EAGAIN mkdir networks/n: {MOST} calls wait already" in reasons.last(caller)


class Deaf(threading.Condition):
    """One that is told in the moment in which the wait runs out, as `Condition.wait` allows."""

    def __init__(self):
        super().__init__()
        self.told = 0

    def wait(self, timeout=None):
        del timeout
        self.told += 1
        return False


@pytest.mark.timeout(10)
def test_what_happens_as_a_wait_runs_out_is_heard():
    happened = Deaf()
    with happened:
        Patience().until(happened, lambda: happened.told == 3, lambda: happened.told)
    assert happened.told == 3


def test_nothing_is_looked_at_again_until_something_has_happened():
    happened, looks, rest = threading.Condition(), [], iter([False] * 3)
    patience = Patience(lambda: next(rest, True))
    with happened, pytest.raises(OSError) as raised:
        patience.until(happened, lambda: bool(looks.append(1)), lambda: 0)
    assert raised.value.errno == errno.EINTR
    assert looks == [1]
