"""Sockets inside the namespaces of sandboxes, opened from the host's."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pycnm.errors import NotFoundError, PermissionDeniedError
from pycnm.kernel import netns
from pycnm.kernel.worker import Workers

T = TypeVar("T")
Identity = tuple[int, int]
ADDRESS = "127.0.0.11"

_IP_FREEBIND = 15
_QUEUE = 64


class Inside:
    """Calls something in another namespace, on a thread that comes back from it."""

    def __init__(self) -> None:
        self._workers = Workers()
        self._home = -1

    def call(self, key: str, work: Callable[[], T], wanted: Identity | None = None) -> T:
        """What `work` returns, in the namespace at a path.

        Args:
            key: the path.
            work: must be short; nothing else is done meanwhile.
            wanted: the namespace that must still be there.

        Raises:
            OSError: it can't be entered, or is another one now; and what `work` raises.
        """
        if self._home < 0:
            self._home = netns.descriptor(netns.this_thread())

        def there() -> T:
            namespace = netns.descriptor(key)
            try:
                status = os.fstat(namespace)
                if wanted is not None and wanted != (status.st_dev, status.st_ino):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
                netns.enter(namespace)
            finally:
                os.close(namespace)
            try:
                return work()
            finally:
                netns.enter(self._home)

        try:
            return self._workers.run(there)
        except NotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, str(error)) from error
        except PermissionDeniedError as error:
            raise PermissionError(errno.EPERM, str(error)) from error

    def close(self) -> None:
        """End the thread."""
        self._workers.close()
        if self._home >= 0:
            os.close(self._home)


def answering(port: int, address: str = ADDRESS) -> tuple[socket.socket, socket.socket]:
    """Sockets in the calling thread's namespace: for datagrams, and listening for streams.

    They take only what comes in on the loopback interface, whatever routes there are.

    Source:
        ip(7), "IP_FREEBIND"; socket(7), "SO_BINDTODEVICE".

    Raises:
        OSError: EADDRINUSE and whatever else bind(2) knows.
    """
    opened: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            each = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            opened.append(each)
            # Loopback may be down as yet.
            each.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            if kind == socket.SOCK_STREAM:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address, port))
        opened[1].listen(_QUEUE)
    except BaseException:
        for each in opened:
            with suppress(OSError):
                each.close()
        raise
    return opened[0], opened[1]
