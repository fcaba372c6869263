"""The kernel of this machine, seen from one host namespace."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pycnm.errors import CNMError
from pycnm.kernel import (
    addressing,
    facts,
    firewalls,
    flags,  # noqa: F401 - brings its operations
    links,
    namespaces,  # noqa: F401 - brings its operations
    netns,
    parents,
    queueing,
    recalling,
    vlans,
    wires,
)
from pycnm.kernel.agent import Agent
from pycnm.kernel.holding import Holder
from pycnm.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Socket
from pycnm.kernel.resolving import Resolvers
from pycnm.kernel.rising import rise
from pycnm.kernel.routes import OnLinkRoutes, mtu_outside
from pycnm.kernel.session import LinuxSession, refusals
from pycnm.kernel.sysctl import Settings
from pycnm.kernel.worker import Workers, run_apart
from pycnm.plan.host import HostFacts, Interface, Uplinks
from pycnm.plan.links import Address
from pycnm.plan.operation import HOST, Features, Operation
from pycnm.plan.running import Runner
from pycnm.spec.objects import FoundBridge

T = TypeVar("T")
_KEPT = 4
_SWEEP_AFTER = 0.2


class LinuxKernel(Runner[LinuxSession]):
    """Runs plans on the Linux kernel; the one object that has effects on it.

    Args:
        host: path of the namespace that plays the machine; by default the
            calling thread's.
        state_dir: where the agent has its socket.

    Raises:
        NotFoundError: there is no namespace at `host`.
    """

    def __init__(self, host: str | None = None, state_dir: Path | None = None) -> None:
        self._host = netns.descriptor(host or netns.this_thread())
        self._workers = Workers()
        agent = Agent(state_dir)
        self._holder, self._resolvers = Holder(agent), Resolvers(agent)
        self._settings = Settings()
        self._lock = threading.Lock()
        self._features: Features | None = None
        self._kinds: dict[str, bool] = {}
        self._sweeper: threading.Timer | None = None
        self._left: list[int] = []
        self._routes = OnLinkRoutes()
        self._routes_lock = threading.Lock()
        self._sockets: list[dict[int, Socket]] = []
        self._closed = False
        self._pid = os.getpid()

    def close(self) -> None:
        """End the threads, close the descriptors; the networks stay."""
        if self._closed:
            return
        sweeper = self._sweeper
        if sweeper is not None:
            sweeper.cancel()
            sweeper.join()
            self._sweep()
        self._workers.close()
        self._routes.close()
        self._settings.close()
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

    def cookie(self, path: str = "") -> int:
        """SO_NETNS_COOKIE of the host, or of the namespace at a path; 0 before Linux 5.14."""
        if path:
            return self.inside(path, netns.cookie)
        return self._at_home("ss --net", netns.cookie)

    @property
    def features(self) -> Features:
        """What this kernel can do, tried out once in a namespace of its own."""
        with self._lock:
            if self._features is None:
                with refusals(lambda: "unshare --net"):
                    self._features = run_apart(lambda: facts.probe(self._settings))
            return self._features

    def facts(self) -> HostFacts:
        """What subnets and ports of the host have to keep off right now."""

        def read() -> HostFacts:
            with self._routes_lock:
                return facts.read(self._routes, self._settings)

        return self._at_home("ip route", read)

    def uplinks(self) -> Uplinks:
        """The interfaces that packets are routed from, and forwarding on them."""
        return self._at_home("ip link", lambda: facts.uplinks(self._settings))

    def interface(self, name: str) -> Interface | None:
        """What there is of an interface of the host; None if it isn't there."""

        def ask() -> Interface | None:
            with Socket(NETLINK_ROUTE) as connection:
                return parents.interface(connection, name)

        return self._at_home(f"ip link show {name}", ask)

    def mtu(self, name: str) -> int:
        """MTU of an interface of the host, or of the way to the Internet; 0 without one."""

        def ask() -> int:
            with Socket(NETLINK_ROUTE) as connection:
                return parents.mtu(connection, name) if name else mtu_outside(connection)

        return self._at_home("ip route get", ask)

    def bridge(self, name: str) -> FoundBridge | None:
        """A bridge of the host as it is; None if it isn't there."""

        def ask() -> FoundBridge | None:
            with Socket(NETLINK_ROUTE) as connection:
                return wires.bridge(connection, self._settings, name)

        return self._at_home(f"ip address show dev {name}", ask)

    def has_kind(self, kind: str) -> bool:
        """Whether it has links of a kind, tried out once in a namespace of its own."""

        def ask() -> bool:
            netns.leave()
            return parents.has_kind(kind)

        with self._lock:
            if kind not in self._kinds:
                with refusals(lambda: f"ip link add type {kind}"):
                    self._kinds[kind] = run_apart(ask)
            return self._kinds[kind]

    def has_queue(self, kind: str) -> bool:
        """Whether it has a queueing discipline, tried out in a namespace of its own."""

        def ask() -> bool:
            netns.leave()
            return queueing.has_queue(kind)

        with refusals(lambda: f"tc qdisc add dev lo root {kind}"):
            return run_apart(ask)

    def has_vlans(self) -> bool:
        """Whether its bridges keep VLANs apart, tried out in a namespace of its own."""

        def ask() -> bool:
            netns.leave()
            return vlans.has_vlans()

        with refusals(lambda: "ip link add type bridge vlan_filtering 1"):
            return run_apart(ask)

    def obstacles(self, bridges: Sequence[str], addresses: Sequence[Address]) -> list[str]:
        """What other people have in the way of ours, in sentences; see `pycnm.engine.kernel`."""

        def ask() -> list[str]:
            with Socket(NETLINK_NETFILTER) as connection:
                told = firewalls.obstacles(connection, bridges)
            with Socket(NETLINK_ROUTE) as connection:
                return told + addressing.twins(connection, addresses)

        return self._at_home("nft list ruleset", ask)

    def _sweep_later(self) -> None:
        """Look after links that were left to the kernel.

        They go with the namespace of their peer within milliseconds, unless a
        process keeps that namespace.
        """
        with self._lock:
            if self._sweeper is None and not self._closed:
                self._sweeper = threading.Timer(_SWEEP_AFTER, self._sweep)
                self._sweeper.daemon = True
                # Where there can't be another thread, the kernel sees to it alone.
                with contextlib.suppress(RuntimeError):
                    self._sweeper.start()

    def _sweep(self) -> None:
        with self._lock:
            self._sweeper = None
            left, self._left = self._left, []
        for namespace in left:
            with contextlib.suppress(CNMError, OSError):
                self._workers.run(partial(self._delete_left, namespace))
            os.close(namespace)
        with contextlib.suppress(CNMError, OSError):
            self.within(lambda session: links.delete_doomed(session, HOST))

    def _delete_left(self, namespace: int) -> None:
        """Delete what was left in a namespace that was unpinned, and that a process may keep."""
        try:
            netns.enter(namespace)
            with Socket(NETLINK_ROUTE) as connection:
                links.delete_all_doomed(connection)
        finally:
            netns.enter(self._host)

    def inside(self, path: str, work: Callable[[], T]) -> T:
        """What `work` returns, run by a thread in the namespace at `path`."""

        def enter_and_work() -> T:
            self._enter(path)
            try:
                return work()
            finally:
                self._enter(HOST)

        return self._workers.run(enter_and_work)

    def interfaces(self, path: str) -> list[str]:
        """The names of all interfaces in the namespace at `path`."""

        def names() -> list[str]:
            with refusals(lambda: "ip link"):
                return [name for _, name in socket.if_nameindex()]

        return self.inside(path, names)

    def inside_with_files(self, path: str, files: dict[str, str], work: Callable[[], T]) -> T:
        """As `inside`, with files (source by target) bound over in a mount namespace."""

        def enter_and_work() -> T:
            self._enter(path)
            with refusals(lambda: "unshare --mount"):
                netns.own_mounts(files)
            return work()

        return run_apart(enter_and_work)

    def _enter(self, path: str) -> None:
        """Move the calling thread into the namespace at `path`."""
        with refusals(lambda: f"nsenter --net={path}"):
            if path == HOST:
                netns.enter(self._host)
                return
            namespace = netns.descriptor(path)
            try:
                netns.enter(namespace)
            finally:
                os.close(namespace)

    def _at_home(self, command: str, work: Callable[[], T]) -> T:
        """What `work` returns, run in the host; it asks what a person would by `command`."""

        def enter_and_work() -> T:
            with refusals(lambda: command):
                netns.enter(self._host)
                return work()

        return self._workers.run(enter_and_work)

    def within(self, work: Callable[[LinuxSession], T]) -> T:
        """What `work` returns, given a session on one of our threads."""

        def run() -> T:
            session = LinuxSession(
                self._host, self._holder, self._resolvers, self._settings, self._take_sockets()
            )
            failed = True
            try:
                with refusals(lambda: session.latest or "ip link"):
                    result = work(session)
                    session.finish()
                    rise(session)
                    if links.reap(session) or session.left:
                        self._sweep_later()
                failed = False
                return result
            finally:
                with self._lock:
                    self._left += session.left
                self._keep_sockets(session.close(failed=failed))

        return self._workers.run(run)

    def restore(self, operations: Sequence[Operation]) -> None:
        """As of `Runner`; what only went elsewhere is had back."""
        with contextlib.suppress(CNMError, OSError):
            self.within(lambda session: recalling.recall(session, operations))
        super().restore(operations)

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
