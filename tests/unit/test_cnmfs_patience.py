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
            patience.until(never, ready)

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
