"""The agent's life: a place is taken, services are started, and served until the end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pycnm.agent import process, recorded
from pycnm.agent.place import Place, Taken, only_watcher
from pycnm.agent.ports import Ports
from pycnm.agent.server import CONVERSATIONS, Server
from pycnm.agent.service import Service
from pycnm.errors import CNMError
from pycnm.kernel import netns, rights
from pycnm.kernel.agent import READY, Agent

_SPARE = 2 * CONVERSATIONS

_RIGHTS = (
    rights.CAP_DAC_OVERRIDE,  # the state directory may lie in another user's
    rights.CAP_NET_BIND_SERVICE,  # ports below 1024
    rights.CAP_NET_ADMIN,  # newer kernels want it of who filters a socket
)
_WATCHER = (
    *_RIGHTS,
    rights.CAP_SYS_ADMIN,  # namespaces are made, pinned and entered
    rights.CAP_NET_BROADCAST,  # what happens in them is heard on the host
    rights.CAP_SYS_PTRACE,  # one that was unpinned is found by a process in it
)

_log = logging.getLogger("pycnm.agent")


def main(
    state_dir: str | os.PathLike[str],
    *,
    foreground: bool = False,
    ready_fd: int | None = None,
    watch: bool = False,
    until_eof: bool = False,
) -> int:
    """Serve a state directory in the calling process's network namespace; the exit status.

    It ends when nothing has been left to do for some seconds, on SIGTERM, and
    when the directory, the socket or the host is gone.  Where another agent
    serves the directory already, that is fine: the status is 0.

    Nothing is written to a log: whoever starts the agent hears on stderr, or
    `ready_fd`, why it can't run; what fails later is told to whoever asks.

    Args:
        state_dir: must exist.
        foreground: stay in this process, which gives up its rights, and say on
            stderr what is done.  Otherwise it is done in a process of its own.
        ready_fd: descriptor to write "ready" to once requests are served.
        watch: put back what somebody takes away, until it is told to end.  An agent
            that doesn't watch gives way to this one; if one does, this one waits
            for its end, and takes over.
        until_eof: end when stdin does, and with it whoever has the other end.
    """
    directory = Path(state_dir).absolute()
    if until_eof:
        threading.Thread(target=_end_with_stdin, name="cnm-stdin", daemon=True).start()
    live = _live_watching if watch else _live
    told = functools.partial(process.tell, ready_fd, READY, detached=not foreground)
    if foreground:
        with _telling():
            return live(directory, told)
    if not process.detach(ready_fd):
        return 0
    status = 1
    try:
        status = live(directory, told)
    except BaseException:  # noqa: BLE001 - shown, as Python would
        sys.excepthook(*sys.exc_info())
    finally:
        # What the caller left to be done at its exit isn't done here as well.
        os._exit(status)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _live_watching(directory: Path, told: Callable[[], None]) -> int:
    # It can be told to end while it waits, whatever who started it blocks.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        with only_watcher(directory):
            status = _live(directory, told, watch=True)
    except OSError as error:
        _log.error("%s can't be watched: %s", directory, error.strerror)
        return 1
    except CNMError as error:
        _log.error("%s can't be watched: %s", directory, error)
        return 1
    _hand_over(directory)
    return status


def _hand_over(directory: Path) -> None:
    """Have published ports held by an agent that does nothing else."""
    with contextlib.suppress(OSError, recorded.UnreadableError, CNMError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if recorded.ports(descriptor) and _host_watch(descriptor)():
                Agent(directory).ask(Ports.name, {"do": "list", "ports": []}, start=True)
        finally:
            os.close(descriptor)


def _live(directory: Path, told: Callable[[], None], *, watch: bool = False) -> int:
    process.settle()
    try:
        place = Place(directory, displace=watch)
    except Taken as taken:
        _log.info("%s: %s", directory, taken)
        told()
        return 0
    except OSError as error:
        _log.error("%s can't be served: %s", directory, error.strerror)
        return 1
    with place:
        rights.keep(*(_WATCHER if watch else _RIGHTS))
        services = _services(place.directory)
        if watch:
            services.append(_watch(directory, place.directory))

        def ready() -> None:
            _log.info("%s is served", directory)
            told()

        asyncio.run(_serve(place, services, ready))
    return 0


async def _serve(place: Place, services: list[Service], told: Callable[[], None]) -> None:
    await Server(place, services, _host_watch(place.directory)).run(told)


def _services(directory: int) -> list[Service]:
    """Everything the agent does."""
    most = process.descriptors() - _SPARE
    return [Ports(functools.partial(recorded.ports, directory), most)]


def _watch(directory: Path, descriptor: int) -> Service:
    # With it comes the engine, which who only holds ports does without.
    from pycnm.agent.watch import Watch  # noqa: PLC0415

    # What is made for sandboxes is for others to read.
    os.umask(0o022)
    return Watch(directory, _recorded_host(descriptor))


def _host_watch(directory: int) -> Callable[[], bool]:
    """What says whether the machine whose networks are recorded still has its namespace.

    One that was removed by name would otherwise live on, held by this process alone.
    """
    here = netns.identity("/proc/self/ns/net")
    path = _recorded_host(directory)
    if not path or netns.identity(path) != here:
        return lambda: True
    return lambda: netns.identity(path) == here


def _recorded_host(directory: int) -> str:
    try:
        return recorded.host(directory)
    except recorded.UnreadableError:
        return ""


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Say on stderr what is done."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("cnm agent: %(message)s"))
    before = _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(before)
        _log.removeHandler(handler)
