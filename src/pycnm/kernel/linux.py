"""The kernel of this machine, seen from one host namespace."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pycnm.errors import CleanupError, CNMError
from pycnm.kernel import facts, links, netns
from pycnm.kernel.holding import Holder
from pycnm.kernel.netlink import Socket
from pycnm.kernel.session import LinuxSession
from pycnm.kernel.worker import Workers, run_apart
from pycnm.plan.operation import HOST, Features, Operation, Plan

if TYPE_CHECKING:
    from pycnm.plan.host import HostFacts, Uplinks

T = TypeVar("T")
_KEPT = 4


class LinuxKernel:
    """Runs plans on the Linux kernel; the one object that has effects on it.

    Args:
        host: path of the namespace that plays the machine; by default the
            calling thread's.
        state_dir: where the agent that holds ports has its socket.

    Raises:
        NotFoundError: there is no namespace at `host`.
    """

    def __init__(self, host: str | None = None, state_dir: Path | None = None) -> None:
        self._host = netns.descriptor(host or netns.this_thread())
        self._workers = Workers()
        self._holder = Holder(state_dir)
        self._lock = threading.Lock()
        self._features: Features | None = None
        self._left_to_kernel = False
        self._sockets: list[dict[int, Socket]] = []
        self._closed = False
        self._pid = os.getpid()

    def close(self) -> None:
        """End the threads, close the descriptors; the networks stay."""
        if self._left_to_kernel:
            with contextlib.suppress(CNMError, OSError):
                self.delete_leftovers()
        self._workers.close()
        self._holder.close()
        with self._lock:
            self._closed = True
            kept, self._sockets = self._sockets, []
        for sockets in kept:
            for connection in sockets.values():
                connection.close()
        os.close(self._host)

    @property
    def host_identity(self) -> tuple[int, int]:
        """Device and inode of the host's namespace."""
        status = os.fstat(self._host)
        return status.st_dev, status.st_ino

    @property
    def features(self) -> Features:
        """What this kernel can do, tried out once in a namespace of its own."""
        with self._lock:
            if self._features is None:
                self._features = run_apart(facts.probe)
            return self._features

    def facts(self) -> HostFacts:
        """What subnets and ports of the host have to keep off right now."""
        return self._workers.run(lambda: self._at_home(facts.read))

    def uplinks(self) -> Uplinks:
        """The interfaces that packets are routed from, and forwarding on them."""
        return self._workers.run(lambda: self._at_home(facts.uplinks))

    def run(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out a change: undo some operations, then do others; all or nothing.

        Raises:
            CNMError: an operation was refused; what had been done was undone and
                what had been undone was done again, as far as the kernel let us.
        """
        try:
            self._within(lambda session: _perform(session, undo, do))
        except BaseException as error:
            back = tuple(reversed(undo))
            failures = self._within(lambda s: _attempt(s, Plan(tuple(do)).undoing(), back))
            for failure in failures:
                error.add_note(f"while undoing: {failure}")
            raise

    def attempt(self, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
        """Carry out as much of a change as possible, in the face of errors.

        Raises:
            CleanupError: some of it failed; the rest was done.
        """
        failures = self._within(lambda session: _attempt(session, undo, do))
        if failures:
            raise CleanupError(
                "part of it could not be undone; `cnm reconcile` tries again", failures
            )

    def check(self, operations: Iterable[Operation]) -> list[tuple[Operation, str]]:
        """Every operation that the kernel differs from, and how, in words."""

        def look(session: LinuxSession) -> list[tuple[Operation, str]]:
            found = []
            for operation in operations:
                words = operation.check(session)
                if words is not None:
                    found.append((operation, words))
            return found

        return self._within(look)

    def delete_leftovers(self) -> None:
        """Delete links on their way out that the kernel didn't take along."""
        self._left_to_kernel = False
        self._within(lambda session: links.delete_doomed(session, HOST))

    def inside(self, path: str, work: Callable[[], T]) -> T:
        """What `work` returns, run by a thread in the namespace at `path`."""

        def enter_and_work() -> T:
            namespace = self._host if path == HOST else netns.descriptor(path)
            try:
                netns.enter(namespace)
                return work()
            finally:
                netns.enter(self._host)
                if path != HOST:
                    os.close(namespace)

        return self._workers.run(enter_and_work)

    def inside_with_files(self, path: str, files: dict[str, str], work: Callable[[], T]) -> T:
        """As `inside`, with files (source by target) bound over in a mount namespace."""

        def enter_and_work() -> T:
            namespace = self._host if path == HOST else netns.descriptor(path)
            try:
                netns.enter(namespace)
            finally:
                if path != HOST:
                    os.close(namespace)
            with netns.own_mounts(files):
                return work()

        return run_apart(enter_and_work)

    def _at_home(self, work: Callable[[], T]) -> T:
        netns.enter(self._host)
        return work()

    def _within(self, work: Callable[[LinuxSession], T]) -> T:
        def run() -> T:
            session = LinuxSession(self._host, self._holder, self._take_sockets())
            failed = True
            try:
                result = work(session)
                session.finish()
                if links.reap(session):
                    self._left_to_kernel = True
                failed = False
                return result
            finally:
                self._keep_sockets(session.close(failed=failed))

        return self._workers.run(run)

    def _take_sockets(self) -> dict[int, Socket]:
        with self._lock:
            if self._pid != os.getpid():
                # A child of fork(2) shares its parent's sockets, and must not use them.
                self._pid, self._sockets = os.getpid(), []
            return self._sockets.pop() if self._sockets else {}

    def _keep_sockets(self, sockets: dict[int, Socket]) -> None:
        with self._lock:
            if len(self._sockets) < _KEPT and not self._closed:
                self._sockets.append(sockets)
                return
        for connection in sockets.values():
            connection.close()


def _perform(session: LinuxSession, undo: Sequence[Operation], do: Sequence[Operation]) -> None:
    for operation in undo:
        operation.undo(session)
    for operation in do:
        operation.do(session)


def _attempt(
    session: LinuxSession, undo: Sequence[Operation], do: Sequence[Operation]
) -> list[Exception]:
    """Every step by itself where a batch was refused, so that one failure spoils only itself."""
    try:
        _perform(session, undo, do)
        session.finish()
    except (CNMError, OSError):
        pass
    else:
        return []
    failures: list[Exception] = []
    for step in [op.undo for op in undo] + [op.do for op in do]:
        try:
            step(session)
            session.finish()
        except (CNMError, OSError) as error:
            if getattr(error, "errno", None) != errno.ENOENT:
                failures.append(error)
    return failures
