"""The agent's life: a place is taken, services are started, and served until the end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pycnm.agent import process, recorded
from pycnm.agent.inside import Inside
from pycnm.agent.keeping import Keeping
from pycnm.agent.names import Names
from pycnm.agent.place import Place, Taken, only_watcher
from pycnm.agent.ports import Ports
from pycnm.agent.room import Room
from pycnm.agent.server import CONVERSATIONS, Server
from pycnm.agent.service import Service
from pycnm.agent.tokens import PER_TOKEN
from pycnm.errors import CNMError
from pycnm.kernel import netns, rights
from pycnm.kernel.agent import READY, Agent

if TYPE_CHECKING:
    from pycnm.agent.listening import Where
    from pycnm.agent.resolving import Resolving

_SPARE = 2 * CONVERSATIONS
_SHARES, _HELD = 6, 4
"""Of the descriptors that are left, so many of so many parts are for published ports; one is
for the sockets inside sandboxes, and one for streams and forwards, which come and go."""

_RIGHTS = (
    rights.CAP_DAC_OVERRIDE,  # the state directory may lie in another user's
    rights.CAP_NET_BIND_SERVICE,  # ports below 1024
    rights.CAP_NET_ADMIN,  # newer kernels want it of who filters a socket
    rights.CAP_SYS_ADMIN,  # namespaces of sandboxes are entered
    rights.CAP_SYS_PTRACE,  # one that was adopted is found by a process in it
)
_WATCHER = (
    *_RIGHTS,
    rights.CAP_NET_BROADCAST,  # what happens in namespaces is heard on the host
)

_ENDS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("pycnm.agent")


def main(
    state_dir: str | os.PathLike[str],
    *,
    foreground: bool = False,
    ready_fd: int | None = None,
    watch: bool = False,
    until_eof: bool = False,
    dns: str | None = None,
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
        dns: where to answer names to programs of the host, as `listening.Where` reads
            it; only with `watch`.

    Raises:
        InvalidArgumentError: `dns` is no such place.
    """
    directory = Path(state_dir).absolute()
    if until_eof:
        threading.Thread(target=_end_with_stdin, name="cnm-stdin", daemon=True).start()
    live = functools.partial(_live_watching, dns=_place(dns)) if watch else _live
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


def _place(text: str | None) -> Where | None:
    if text is None:
        return None
    # Only who wants it pays for it.
    from pycnm.agent.listening import Where  # noqa: PLC0415

    return Where.of(text)


def _live_watching(directory: Path, told: Callable[[], None], dns: Where | None) -> int:
    # It can be told to end while it waits, whatever who started it blocks.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        with only_watcher(directory):
            # The one that has to give way is told when everything is there.
            import_module("pycnm.agent.watch")
            import_module("pycnm.agent.resolving")
            with _staying_keeper(directory) as stay:
                status = _live(directory, told, watch=True, dns=dns)
                stay()
                # Nobody is to think meanwhile that there is no agent.
                _hand_over(directory)
    except OSError as error:
        _log.error("%s can't be watched: %s", directory, error.strerror)
        return 1
    except CNMError as error:
        _log.error("%s can't be watched: %s", directory, error)
        return 1
    return status


@contextlib.contextmanager
def _staying_keeper(directory: Path) -> Iterator[Callable[[], None]]:
    """Have the keeper stay from one agent to the next.

    What it yields is to be called before the second one: this one may be another keeper's.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    keeping = Keeping(directory, descriptor)
    try:
        keeping.attach()
        yield keeping.attach
    finally:
        keeping.end(soon=True)
        os.close(descriptor)


def _hand_over(directory: Path) -> None:
    """Have ports held and names answered by an agent that does nothing else."""
    with contextlib.suppress(OSError, recorded.UnreadableError, CNMError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            wanted = recorded.ports(descriptor) or recorded.answered(descriptor)
            if wanted and _host_watch(descriptor)():
                Agent(directory).ask(Ports.name, {"do": "list", "ports": []}, start=True)
        finally:
            os.close(descriptor)


def _live(
    directory: Path, told: Callable[[], None], *, watch: bool = False, dns: Where | None = None
) -> int:
    process.settle()
    pair = None
    try:
        pair = dns.open() if dns is not None else None
    except OSError as error:
        _log.error("names can't be answered on %s: %s", dns, error.strerror)
        return 1
    # To be told to end from here on, where another one may have been told to, is to leave
    # it to the next agent.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
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
        services = _services(directory, place.directory)
        if watch:
            services.append(_watch(directory, place.directory))
        if pair is not None:
            services.append(_listening(place.directory, pair))

        def ready() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
            if dns is not None:
                _log.info("names are answered on %s", dns)
            _log.info("%s is served", directory)
            told()

        asyncio.run(_serve(place, services, ready))
    return 0


async def _serve(place: Place, services: list[Service], ready: Callable[[], None]) -> None:
    await Server(place, services, _host_watch(place.directory)).run(ready)


def _services(directory: Path, descriptor: int) -> list[Service]:
    """Everything the agent does."""
    share = (process.descriptors() - _SPARE) // _SHARES
    room = Room(share)

    def resolving(inside: Inside) -> Resolving:
        # With it comes much that who only holds ports does without.
        from pycnm.agent.resolving import Resolving  # noqa: PLC0415

        return Resolving(descriptor, _recorded_host(descriptor), inside, room)

    answered = functools.partial(recorded.answered, descriptor)
    keeping = Keeping(directory, descriptor)
    return [
        Ports(functools.partial(recorded.ports, descriptor), keeping, _HELD * share),
        Names(answered, keeping, share // PER_TOKEN, resolving),
    ]


def _watch(directory: Path, descriptor: int) -> Service:
    # With it comes the engine, which who only holds ports does without.
    from pycnm.agent.watch import Watch  # noqa: PLC0415

    # What is made for sandboxes is for others to read.
    os.umask(0o022)
    return Watch(directory, _recorded_host(descriptor))


def _listening(descriptor: int, pair: tuple[socket.socket, socket.socket]) -> Service:
    from pycnm.agent.listening import Listening  # noqa: PLC0415 - only who wants it pays for it

    return Listening(descriptor, pair)


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
