"""Tells of what others change: who reads `events_pipe`, who polls, who watches with inotify.

The kernel tells watchers (inotify(7)) of what is done through the mount, and of nothing
else.  So what was changed elsewhere is followed by a call of a process of ours, to no
effect, that counts as a modification of `events` and of `inspect` of each object
concerned, as cgroup2 does with its files of events.

That is done by a process of its own.  A thread of cnmfs that is in a call on its own
mount can't be killed before the call is answered; so kill -9 of cnmfs would leave that
call, the mount, and everybody who uses it, waiting for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pycnm import CNMError, Controller
from pycnm.kernel.worker import start
from pycnm.spec.events import Event

_STDERR = 2
_TOGETHER = 0.02
# By its path: what is open would keep the mount from being unmounted.
_TOUCH = """
import contextlib, os, sys
for line in sys.stdin.buffer:
    with contextlib.suppress(OSError):
        os.truncate(os.path.join(os.fsencode(sys.argv[1]), line.rstrip()), 0)
"""
_MOST = 64
"""So many objects are told of at once; of what concerns more `events` alone tells."""


class Watching:
    """Follows the events of a controller; ends when that is closed.

    Args:
        cnm: whose.
        mountpoint: where the tree is mounted; None if it isn't.
        happened: called when something has changed, whatever it was.
    """

    def __init__(
        self, cnm: Controller, mountpoint: Path | None, happened: Iterable[Callable[[], None]]
    ) -> None:
        self._cnm = cnm
        self._mountpoint = mountpoint
        self._happened = list(happened)
        self._new: list[Event] = []
        self._some = threading.Event()
        self._touching = -1
        self._since = max((event.number for event in cnm.events()), default=0)

    def start(self) -> None:
        """Follow from now on, in threads that a process that ends doesn't wait for.

        Raises:
            KernelError: EAGAIN, there are no more threads.
        """
        for work in (self._follow, self._tell):
            start(threading.Thread(target=work, name="cnmfs-events", daemon=True))

    def listen(self) -> None:
        """Look from now on at what the kernel tells of, too.

        Raises:
            KernelError: EAGAIN, there are no more threads.
        """
        start(threading.Thread(target=self._listen, name="cnmfs-kernel", daemon=True))

    def _listen(self) -> None:
        # Of a kernel that can't be heard nothing is told.
        with contextlib.suppress(CNMError, OSError):
            for _ in self._cnm.kernel_changes():
                self._some.set()

    def _follow(self) -> None:
        # Without them the tree is as true; only nobody is told.
        with contextlib.suppress(CNMError):
            for event in self._cnm.events(follow=True, since=self._since):
                self._new.append(event)
                self._some.set()

    def _tell(self) -> None:
        while self._some.wait():
            # What comes in a crowd is told of once.
            time.sleep(_TOGETHER)
            self._some.clear()
            new, self._new = self._new, []
            for happened in self._happened:
                happened()
            if new and self._mountpoint is not None:
                self._touch(self._mountpoint, dict.fromkeys(_concerned(new)))

    def _touch(self, mountpoint: Path, objects: Iterable[str]) -> None:
        paths = [f"{each}/inspect" for each in objects]
        lines = ["events", *(paths if len(paths) <= _MOST else ())]
        # Without it the tree is as true; only nobody is told.
        with contextlib.suppress(OSError):
            if self._touching < 0:
                self._touching = _start_touching(mountpoint)
            os.write(self._touching, "".join(f"{line}\n" for line in lines).encode())


def _start_touching(mountpoint: Path) -> int:
    """Where to write the paths that are to be touched; the process ends with this one."""
    paths, told = os.pipe()
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _TOUCH, str(mountpoint)],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, paths, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_CLOSE, number) for number in _open_ones() if number > _STDERR),
            ],
            setsigmask=[],
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
        )
    except OSError:
        os.close(told)
        raise
    finally:
        os.close(paths)
    return told


def _open_ones() -> list[int]:
    """The descriptors of this process.

    libfuse 2 would leave a child its own end of the mount: a call of the child's on the mount
    would wait for the child itself, once cnmfs is dead.
    """
    return [int(each.name) for each in Path("/proc/self/fd").iterdir()]


def _concerned(events: Iterable[Event]) -> Iterator[str]:
    """The directories of the objects that events are about."""
    for event in events:
        told = dict(event.attributes)
        network = told.get("network", event.name if event.type == "network" else "")
        sandbox = told.get("sandbox", event.name if event.type == "sandbox" else "")
        if network:
            yield f"networks/{network}"
        if sandbox:
            yield f"sandboxes/{sandbox}"
        if network and sandbox:
            yield f"sandboxes/{sandbox}/endpoints/{network}"
