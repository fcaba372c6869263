"""How long calls wait: until their caller gives up, or the mount ends."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from cnmfs.tree import refuse

T = TypeVar("T")
MOST = 200
"""So many callers may wait at once: each takes a thread of the mount's."""
_PAUSE = 0.1
"""Seconds between two looks at whether the caller has given up."""


class Patience:
    """Waits on behalf of callers.

    Args:
        interrupted: whether the caller that the calling thread serves has given up: a
            signal, such as that of ^C, has come for it.
    """

    def __init__(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        self._interrupted = interrupted
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0

    def end(self) -> None:
        """Nobody waits any longer: the mount ends."""
        self._over.set()

    def until(
        self, happened: threading.Condition, ready: Callable[[], bool], told: Callable[[], int]
    ) -> None:
        """Wait until it is so; it is looked again only when something has happened.

        Args:
            happened: is held.
            told: how often something has.  Who is told in the moment in which its wait runs
                out doesn't hear of it (`Condition.wait`).

        Raises:
            OSError: EINTR, the caller has given up; ESHUTDOWN, the mount ends; EAGAIN, too
                many wait already.
        """
        with self._counted():
            while True:
                seen = told()
                if ready():
                    return
                while told() == seen:
                    happened.wait(_PAUSE)
                    self._go_on()

    def through(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Who gives up doesn't wait for its end.  It comes to one all the same: what has
        begun is either done or taken back, and half of it is never left.

        Raises:
            OSError: EINTR, the caller has given up; ESHUTDOWN, the mount ends; EAGAIN, too
                many wait already, or the kernel has no thread for it.
        """
        with self._counted():
            task = _Task(work)
            try:
                task.start()
            except RuntimeError as error:
                raise refuse(
                    errno.EAGAIN, f"{error}; is there a limit of processes (ulimit -u)?"
                ) from None
            while not task.done.wait(_PAUSE):
                self._go_on()
            return task.result()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """One who waits, unless there are so many that nobody is left to serve the others."""
        with self._lock:
            if self._waiting >= MOST:
                raise refuse(
                    errno.EAGAIN, f"{MOST} calls wait already; is what they wait for stuck?"
                )
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _go_on(self) -> None:
        if self._interrupted():
            raise refuse(
                errno.EINTR, "interrupted; what has begun goes on, and its end is told in events"
            )
        if self._over.is_set():
            raise refuse(errno.ESHUTDOWN, "cnmfs is ending; mount it again")


class _Task(threading.Thread, Generic[T]):
    """Work in a thread of its own, which a process that ends doesn't wait for."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="cnmfs-change", daemon=True)
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._values.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            self._error = error
        self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._values[0]
