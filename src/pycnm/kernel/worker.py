"""Threads that may change their network namespace, so that no caller ever does.

A namespace belongs to a thread (setns(2)).  Moving a caller's thread, however
shortly, would be seen by its signal handlers and by what it starts meanwhile;
so work in a namespace is handed to a worker.  A worker is kept for the next
piece of work; two pieces at once get two workers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from pycnm.errors import KernelError

T = TypeVar("T")
_IDLE = 4


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._error = error
        finally:
            self._done.set()

    def wait(self) -> T:
        """Wait to the end even when interrupted: half-done work has no owner."""
        interrupted: BaseException | None = None
        while not self._done.is_set():
            try:
                self._done.wait()
            except BaseException as error:  # noqa: BLE001 - raised again below
                interrupted = error
        failure, self._error = self._error, None
        if failure is not None:
            raise failure
        if interrupted is not None:
            raise interrupted
        return self._result[0]


class _Worker:
    def __init__(self, name: str) -> None:
        self.jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._loop, name=name, daemon=True)
        start(self.thread)

    def _loop(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()
            # A finished job holds its result and its caller's frame.
            del job


class Workers:
    """A few threads, and the sockets and descriptors each of them keeps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._pid = os.getpid()
        self._closed = False
        self._count = 0

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, run on a worker.

        An interruption (^C) is raised only after `work` has come to its end.
        """
        worker = self._take()
        job = _Job(work)
        worker.jobs.put(job)
        try:
            return job.wait()
        finally:
            self._give(worker)

    def close(self) -> None:
        """End the idle threads."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.jobs.put(None)
            if self._pid == os.getpid():
                with contextlib.suppress(RuntimeError):
                    worker.thread.join()

    def _take(self) -> _Worker:
        with self._lock:
            if self._pid != os.getpid():
                # Threads don't survive fork(2); what the parent had is not ours.
                self._pid, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop()
            self._count += 1
            name = f"cnm-worker-{self._count}"
        return _Worker(name)

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and not self._closed:
                self._idle.append(worker)
                return
        worker.jobs.put(None)
        worker.thread.join()


def run_apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises, run on a thread that ends afterwards.

    For what can't be taken back: a mount namespace of one's own.
    """
    job = _Job(work)
    thread = threading.Thread(target=job, name="cnm-apart", daemon=True)
    start(thread)
    try:
        return job.wait()
    finally:
        thread.join()


def start(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        KernelError: EAGAIN, there is none left.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise KernelError(
            "clone", errno.EAGAIN, "no more threads; end some, or raise the limit (`ulimit -u`)"
        ) from error
