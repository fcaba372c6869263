"""What kind of process the agent is: detached, private, with many descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path

STDERR = 2


def detach(ready: int | None) -> bool:
    """Go on in a process of its own; false in the one that was called.

    A session without a terminal, no descriptor of the caller's but stderr and
    `ready`, and nothing that keeps a file system busy.

    Source:
        daemon(7), "SysV Daemons".
    """
    first = os.fork()
    if first:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(first, 0)
        return False
    os.setsid()
    if os.fork():
        # The leader of a session could be given a terminal.
        os._exit(0)
    os.chdir("/")
    _silence(0, 1)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor not in {0, 1, STDERR, ready}:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    return True


def settle() -> None:
    """Be called cnm-agent, make private files, and have as many descriptors as are allowed."""
    os.umask(0o077)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("cnm-agent")
    # A thread that blocks signals passes that on to what it starts.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def descriptors() -> int:
    """How many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def tell(ready: int | None, word: bytes, *, detached: bool) -> None:
    """Write a word to the descriptor of who waits, and let go of it and of the caller's stderr."""
    if ready is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(ready, word)
        if ready != STDERR:
            os.close(ready)
    if detached:
        _silence(STDERR)


def _silence(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    if null not in descriptors:
        os.close(null)
