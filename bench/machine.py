"""A machine of the bench's own: what it makes ends with it, however it ends.

The measuring process is the first of a new PID namespace, with network and
mount namespaces of its own and an empty /run.  When it goes, every process
started in there is killed, and the last reference to every namespace is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")

RUN_NETNS = Path("/run/netns")

_INSIDE = "PYCNM_BENCH_DIRECTORY"
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MNT_DETACH = 2
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_PATIENCE = 120.0
_PAUSE = 0.03
_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> None:
    """Call a function of the C library that Python 3.11 lacks."""
    if getattr(_libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unmount(path: Path) -> None:
    """Unmount, whoever still uses it: cnmfs itself writes to files that others changed."""
    call("umount2", bytes(path), _MNT_DETACH)


# The machine


def directory() -> Path | None:
    """Where to write, if this process is on a machine of the bench's own."""
    text = os.environ.get(_INSIDE)
    return Path(text) if text else None


def run_inside(arguments: Sequence[str], parent: str) -> int:
    """The exit status of this program, run again on a machine of its own.

    Args:
        arguments: of the program.
        parent: where a directory for state is made.  It should be on a disk, as
            /var/lib/cnm is: in memory fsync costs nothing.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="pycnm-bench-", dir=parent) as place:
        environment = {**os.environ, _INSIDE: place}
        # Modules are to be found compiled, as where pycnm is installed.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = ["unshare", *_NAMESPACES, "--propagation", "private"]
        command += [sys.executable, "-m", "bench", *arguments]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
            try:
                return process.wait()
            finally:
                # It then takes back what would not end with it, and ends.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_PATIENCE)
                process.kill()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def settle_in(directory: Path) -> None:
    """Make this process's machine ready; end with the process that watches over it.

    Args:
        directory: removed by the other process, unless that is killed.
    """
    threading.Thread(target=_end_with_parent, args=[directory], daemon=True).start()
    for place in (RUN_NETNS.parent, RUN_NETNS):
        # A mount of its own is what `ip netns` would make of /run/netns.
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", place], check=True)
    # What is written to /etc, for `ip netns exec`, stays in this machine.
    layers = []
    for option, name in (("upperdir", "etc"), ("workdir", "work")):
        (RUN_NETNS.parent / name).mkdir()
        layers.append(f"{option}={RUN_NETNS.parent / name}")
    options = ",".join(["lowerdir=/etc", *layers])
    subprocess.run(["mount", "-t", "overlay", "-o", options, "none", "/etc"], check=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


_left: list[Callable[[], None]] = []


@contextlib.contextmanager
def undone_at_the_end(undo: Callable[[], None]) -> Iterator[None]:
    """In the block something is there that doesn't go with the namespaces of this machine."""
    _left.append(undo)
    try:
        yield
    finally:
        undo()
        _left.remove(undo)


def _end_with_parent(directory: Path) -> None:
    sys.stdin.read()
    for undo in _left:
        undo()
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(1)


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """In the block this thread, and what it starts, is on one CPU.

    Otherwise what is asked of another process takes one of two times, as the
    scheduler likes: with the other one on the same CPU, or asleep on another.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processes() -> dict[int, list[str]]:
    """The command lines of all processes on this machine but ourselves, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_text().split("\0")
    found.pop(os.getpid(), None)
    return {pid: words for pid, words in found.items() if words != [""]}


def resident(pids: Sequence[int]) -> float:
    """The memory that processes have in use, in MiB."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def end_agents(state_dir: Path) -> None:
    """End the agent of a state directory that is given up as it is."""
    for pid, words in processes().items():
        if "pycnm.agent" in words and str(state_dir) in words:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# Its namespaces


def make_namespace(name: str) -> None:
    """Make a network namespace the quickest way there is: two calls, no process."""
    path = RUN_NETNS / name
    path.touch(mode=0o444, exist_ok=False)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("unshare", _CLONE_NEWNET)
        call("mount", b"/proc/thread-self/ns/net", bytes(path), b"none", _MS_BIND, None)
    finally:
        call("setns", home, _CLONE_NEWNET)
        os.close(home)


def delete_namespace(name: str) -> None:
    """Unpin a network namespace; the kernel takes it apart in its own time."""
    path = RUN_NETNS / name
    unmount(path)
    path.unlink()


@contextlib.contextmanager
def entered(name: str, home: int) -> Iterator[None]:
    """The calling thread in a namespace for a while, and then in `home` again."""
    descriptor = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("setns", descriptor, _CLONE_NEWNET)
        try:
            yield
        finally:
            call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(descriptor)


class Host:
    """A network namespace that plays a machine, and a thread that lives in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._numbers = itertools.count()
        make_namespace(name)
        self.path = RUN_NETNS / name
        self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._thread = ThreadPoolExecutor(1, f"in-{name}", self._enter)
        self.run(["ip", "link", "set", "lo", "up"])

    def _enter(self) -> None:
        call("setns", self.descriptor, _CLONE_NEWNET)

    def inside(self, work: Callable[..., T], *arguments: object) -> T:
        """What `work` returns, called in the namespace."""
        return self._thread.submit(work, *arguments).result()

    def run(
        self, argv: Sequence[str], text: str = "", environment: dict[str, str] | None = None
    ) -> str:
        """What a program, started in the namespace and given `text`, prints."""
        return self.inside(_run, argv, text, environment)

    def next_name(self) -> str:
        """A name for a sandbox of this host that no other has."""
        return f"{self.name}-{next(self._numbers)}"

    def links(self) -> int:
        """How many interfaces there are."""
        return len(self.inside(socket.if_nameindex))

    def settle(self, links: int) -> None:
        """Wait until no more than so many interfaces are left, and a moment longer.

        Namespaces are taken apart behind the back of whoever unpins them, and
        the next measurement is not to pay for it.
        """
        wait_for(lambda: self.links() <= links, f"interfaces stay in {self.name}")
        time.sleep(_PAUSE)

    def close(self) -> None:
        """Give the namespace up, and first those of the sandboxes, whose names begin with its."""
        for path in RUN_NETNS.glob(f"{self.name}-*"):
            delete_namespace(path.name)
        command = ["ip", "-oneline", "link", "show", "type", "veth"]
        wait_for(lambda: not self.run(command), f"sandboxes of {self.name} stay")
        self._thread.shutdown()
        os.close(self.descriptor)
        delete_namespace(self.name)


def wait_for(condition: Callable[[], bool], trouble: str) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it isn't; the trouble in words.
    """
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(trouble)
        time.sleep(_PAUSE / 3)


def _run(argv: Sequence[str], text: str, environment: dict[str, str] | None) -> str:
    done = subprocess.run(
        argv, input=text, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr}{done.stdout}")
    return done.stdout
