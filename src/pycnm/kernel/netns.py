"""Network namespaces: made, pinned, opened and entered (network_namespaces(7), setns(2)).

Nothing here changes the namespace of a caller: what enters a namespace is a
thread of `worker`, whose thread has no other use.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import threading
from pathlib import Path

from pycnm.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
)
from pycnm.kernel import libc
from pycnm.spec.wording import shown

RUN_NETNS = Path("/run/netns")

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MS_REC = 16384
_MS_SLAVE = 1 << 19
_MS_SHARED = 1 << 20
_MNT_DETACH = 2
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h


def this_thread() -> str:
    """The path of the calling thread's namespace, good while the thread lives."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def descriptor(path: str) -> int:
    """An open descriptor of the namespace at `path`.

    Raises:
        NotFoundError: there is no namespace at `path` (any more).
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _missing(path) from error
    # The file a namespace was pinned to may outlive it.
    if os.fstat(opened).st_dev != _device():
        os.close(opened)
        raise _missing(path)
    return opened


def _missing(path: str) -> NotFoundError:
    return NotFoundError(
        f"there is no network namespace at {shown(path)}; `ip netns list` shows those there are"
    )


@functools.cache
def _device() -> int:
    """The device that namespaces are on (nsfs)."""
    return Path("/proc/self/ns/net").stat().st_dev


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of the namespace at `path`; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def cookie() -> int:
    """What no namespace but the calling thread's has had since the boot; 0 before Linux 5.14."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        try:
            return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return 0


def somewhere(wanted: tuple[int, int]) -> str | None:
    """A path of the namespace with that device and inode, if any process or file keeps it."""
    for pattern in ("run/netns/*", "proc/[0-9]*/ns/net"):
        for path in Path("/").glob(pattern):
            if identity(str(path)) == wanted:
                return str(path)
    return None


def is_namespace(path: str) -> bool:
    """Whether `path` is a network namespace, and not the file it would be pinned to."""
    found = identity(path)
    own = identity("/proc/self/ns/net")
    return found is not None and own is not None and found[0] == own[0]


def enter(namespace: int) -> None:
    """Move the calling thread into the namespace of a descriptor."""
    libc.call("setns", namespace, _CLONE_NEWNET)


def leave() -> None:
    """Move the calling thread into a new namespace that ends with it."""
    libc.call("unshare", _CLONE_NEWNET)


def resolve(reference: object) -> str:
    """The path of a namespace given by name (under /run/netns), path or pid.

    Raises:
        InvalidArgumentError: `reference` is none of these.
        NotFoundError: nothing is there.
    """
    if isinstance(reference, int) and not isinstance(reference, bool):
        path = f"/proc/{reference}/ns/net"
    else:
        text = os.fspath(reference) if isinstance(reference, (str, os.PathLike)) else ""
        if not isinstance(text, str) or not text or "\0" in text or text in {".", ".."}:
            raise InvalidArgumentError(
                f"a namespace is given by name, path or pid, not by {shown(reference)}"
            )
        path = text if "/" in text else str(RUN_NETNS / text)
    if not is_namespace(path):
        raise NotFoundError(
            f"there is no network namespace at {shown(path)}; `ip netns list` shows those there are"
        )
    return path


def create(path: str) -> None:
    """Make a namespace and pin it at `path`; the calling thread is left inside it.

    Raises:
        AlreadyExistsError: the path is taken.
    """
    directory = Path(path).parent
    if directory == RUN_NETNS:
        share_run_netns()
    else:
        directory.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    except FileExistsError as error:
        raise AlreadyExistsError(
            f"{path} is taken; adopt that namespace with netns={Path(path).name!r}, "
            "or choose another name"
        ) from error
    try:
        libc.call("unshare", _CLONE_NEWNET)
        libc.call("mount", this_thread().encode(), path.encode(), b"none", _MS_BIND, None)
    except OSError:
        Path(path).unlink()
        raise


def pin(namespace: int, path: str) -> None:
    """Pin the namespace of a descriptor at `path`, where none is."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    source = f"/proc/self/fd/{namespace}".encode()
    libc.call("mount", source, path.encode(), b"none", _MS_BIND, None)


def remove(path: str) -> None:
    """Unpin the namespace at `path`; the kernel destroys it when nobody is inside."""
    with contextlib.suppress(OSError):
        libc.call("umount2", path.encode(), _MNT_DETACH)
    with contextlib.suppress(FileNotFoundError):
        # What a namespace is pinned to is empty; anything else is somebody's file.
        if not Path(path).stat().st_size:
            Path(path).unlink()


def share_run_netns() -> None:
    """Let mounts under /run/netns propagate, as ip-netns(8) does.

    Otherwise a process with a mount namespace of its own would keep every
    sandbox alive that existed when it was started.
    """
    RUN_NETNS.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = str(RUN_NETNS).encode()
    try:
        # Not what is mounted in it: of a shared mount that is shared already, and
        # to go through 10,000 namespaces for each new one takes 2 ms.
        libc.call("mount", b"", path, b"none", _MS_SHARED, None)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        libc.call("mount", path, path, b"none", _MS_BIND | _MS_REC, None)
        libc.call("mount", b"", path, b"none", _MS_SHARED | _MS_REC, None)


def own_mounts(files: dict[str, str]) -> None:
    """Give the calling thread a mount namespace with `files` (source by target) bound over.

    The thread can't go back, so only a thread that ends afterwards may do this.
    """
    libc.call("unshare", _CLONE_NEWNS)
    libc.call("mount", b"", b"/", b"none", _MS_SLAVE | _MS_REC, None)
    for target, source in files.items():
        if Path(target).exists():
            # /etc/resolv.conf may be a link; what is bound over is what it points to.
            real = os.path.realpath(target)
            libc.call("mount", source.encode(), real.encode(), b"none", _MS_BIND, None)
