"""What kind of process the agent is: detached, with few rights and many descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

STDERR = 2

_CAP_DAC_OVERRIDE, _CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN = 1, 10, 12
_KEPT = 1 << _CAP_DAC_OVERRIDE | 1 << _CAP_NET_BIND_SERVICE | 1 << _CAP_NET_ADMIN
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


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


def tell(ready: int, word: bytes) -> None:
    """Write a word to the descriptor of who waits, and let go of it."""
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, word)
    if ready == STDERR:
        _silence(STDERR)
    else:
        os.close(ready)


def drop_rights() -> None:
    """Keep only what the services need.

    That is low ports, filters on sockets (which newer kernels give only to
    CAP_NET_ADMIN), and a state directory that may be another user's than root.
    A service that enters sandboxes adds CAP_SYS_ADMIN to them.  The inheritable
    set ends up empty, and so does the ambient one.

    Source:
        capabilities(7), capset(2).
    """
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low words, then high ones
    _call(libc.capget(header, sets))
    permitted = sets[1] & _KEPT
    _call(libc.capset(header, (ctypes.c_uint32 * 6)(permitted, permitted, 0, 0, 0, 0)))


def _call(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _silence(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    if null not in descriptors:
        os.close(null)
