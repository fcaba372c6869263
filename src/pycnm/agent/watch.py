"""The service that sees what somebody takes away, and puts it back at once.

It is asleep until the kernel tells of a change to something of ours; looks at what
may have changed; and, if something differs, puts it back under the locks that
whoever changes it holds.  So what pycnm itself is at work on is no drift.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from pycnm.agent.service import RefusedError
from pycnm.engine import drift, recovery, restoring
from pycnm.engine.engine import Engine
from pycnm.errors import CleanupError, CNMError
from pycnm.kernel.linux import LinuxKernel
from pycnm.kernel.notices import Notices
from pycnm.plan.operation import Operation
from pycnm.plan.suspicion import EVERYTHING, NOTHING, Suspicion

_TOGETHER = 0.05  # What changes at a stroke comes in many notifications.
_SHARE, _LONGEST = 4, 2.0  # A look of 10 ms is followed by 40 ms of rest: a fifth of a processor.
_AGAIN, _SELDOM = 1.0, 60.0

_log = logging.getLogger(__name__)

Differences = Mapping[str, Mapping[Operation, str]]


class Watch:
    """Looks after a state directory, on the host whose namespace the process is in.

    Requests, by their `do`:

    - list: `troubles`: what can't be put back, a sentence each.  It is tried again
      when the kernel tells of another change.

    Args:
        state_dir: where everything is recorded.
        host: the path of the host's namespace, where it has one of its own.
    """

    name = "watch"

    def __init__(self, state_dir: Path, host: str) -> None:
        self._state_dir = state_dir
        self._host = host
        self._ending = False
        self._open = contextlib.ExitStack()
        self._stuck: Differences = {}
        self._delay = _AGAIN
        self._not_before = 0.0
        self._later = False

    async def start(self) -> None:
        """Hear from now on, and look at everything once."""
        self._engine = Engine(self._state_dir, LinuxKernel(None, self._state_dir))
        self._open.callback(self._engine.close)
        self._notices = Notices()
        self._open.callback(self._notices.close)
        self._thread = threading.Thread(target=self._run, name="cnm-watch", daemon=True)
        self._thread.start()

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say what can't be put back."""
        if request.get("do") != "list":
            raise RefusedError(errno.EINVAL, '"do" is list')
        told = {words for each in self._stuck.values() for words in each.values()}
        return {"troubles": sorted(told)}

    def busy(self) -> bool:
        """It is: there is no end to it."""
        return True

    async def rest(self) -> None:
        """Stop watching.  What is being put back may need ports, from this very agent."""
        self._ending = True
        self._notices.wake()
        await asyncio.to_thread(self._thread.join)

    async def close(self) -> None:
        """Let go of everything."""
        self._open.close()

    # The thread

    def _run(self) -> None:
        self._try(lambda: recovery.settle_in(self._engine, self._host))
        due = EVERYTHING
        while not self._ending:
            begun = time.monotonic()
            self._try(partial(self._heal, due))
            due = self._rest(min(_SHARE * (time.monotonic() - begun), _LONGEST))
            while not (due or self._ending):
                due = self._news()
            due |= self._rest(_TOGETHER)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (CNMError, OSError) as error:
            # As for a full disk: it is tried again at the next notification.
            _log.warning("%s", error)

    def _hear(self, seconds: float | None) -> Suspicion:
        found = self._notices.wait(seconds)
        if found.others and self._stuck:
            # Perhaps what was in the way.
            self._later = True
        return attrs.evolve(found, others=False)

    def _news(self) -> Suspicion:
        """What may have changed, when it may; or everything, when it is time to try again."""
        if not self._later:
            return self._hear(None)
        left = self._not_before - time.monotonic()
        if left > 0:
            return self._hear(left)
        self._later = False
        return EVERYTHING

    def _rest(self, seconds: float) -> Suspicion:
        """What else comes within some seconds."""
        found, end = NOTHING, time.monotonic() + seconds
        while not self._ending and (left := end - time.monotonic()) > 0:
            found |= self._hear(left)
        return found

    def _heal(self, due: Suspicion) -> None:
        self._engine.recover()
        differences = drift.look(self._engine, due)
        if not differences and not due.everything:
            return
        if (
            self._stuck
            and time.monotonic() < self._not_before
            and not _new(differences, self._stuck)
        ):
            self._later = True
            return
        try:
            if due.everything:
                done = drift.reconcile(self._engine, seen=differences)
            else:
                whole = drift.with_what_is_in_it(self._engine, differences)
                done = [str(each) for each in restoring.restore(self._engine, whole)]
        except CleanupError as error:
            self._fail(error, differences)
            return
        self._stuck = {
            owner: words
            for owner, words in self._stuck.items()
            if not (due.everything or owner in differences)
        }
        for words in done:
            _log.info("put back: %s", words)

    def _fail(self, error: CleanupError, differences: Differences) -> None:
        """Remember what can't be had; what was done in vain is told of, and not heard."""
        for each in error.exceptions:
            _log.warning("%s", each)
        before, self._stuck = self._stuck, drift.look(self._engine, EVERYTHING)
        self._delay = _AGAIN if _new(self._stuck, before) else min(2 * self._delay, _SELDOM)
        self._not_before = time.monotonic() + self._delay
        # What was taken away meanwhile was not tried yet.
        self._later = _new(self._stuck, differences)
        self._notices.wait(0)


def _new(differences: Differences, known: Differences) -> bool:
    """Whether something differs that isn't known to."""
    return any(
        not {*found.values()} <= {*known.get(owner, {}).values()}
        for owner, found in differences.items()
    )
