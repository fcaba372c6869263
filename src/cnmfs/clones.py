"""The file `sandboxes/clone`: a sandbox for as long as it is open, as in Plan 9's /net.

    exec 3<>clone; read -r name <&3

makes a sandbox and reads its name; `exec 3>&-`, or the end of the shell, deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

from cnmfs.files import WRITES, Snapshot
from cnmfs.tree import Special, refuse
from pycnm import CNMError, Controller, NotFoundError, Sandbox

LABEL = "cnmfs.clone"
"""The label that says which process deletes a sandbox: its pid, and when it was started."""


class Clones:
    """The sandboxes that go when somebody closes a file.

    Those of a cnmfs that was killed go when the next one is mounted.

    Args:
        cnm: makes them.
    """

    def __init__(self, cnm: Controller) -> None:
        self._cnm = cnm
        self._lock = threading.Lock()
        self._open: set[_Clone] = set()

    def file(self) -> Special:
        """The file; root alone may open it."""
        return Special(mode=0o600, opened=self._opened)

    def sweep(self) -> None:
        """Delete what those left that were killed."""
        for box in self._cnm.sandboxes():
            # Somebody else may be at it.
            with contextlib.suppress(NotFoundError):
                maker = box.labels.get(LABEL)
                if maker is not None and maker not in {_life(maker.partition(" ")[0]), _life()}:
                    box.delete()

    def close(self) -> None:
        """Delete all that are open: the mount ends."""
        with self._lock:
            left = list(self._open)
        for each in left:
            with contextlib.suppress(CNMError):
                each.close()

    def _opened(self, flags: int) -> _Clone:
        if flags & WRITES != os.O_RDWR:
            # Who reads everything there is must not make sandboxes.
            raise refuse(errno.EACCES, "open it for reading and writing: exec 3<>clone")
        name = f"clone-{os.urandom(4).hex()}"
        made = _Clone(self._cnm.create_sandbox(name, labels={LABEL: _life()}), self)
        with self._lock:
            self._open.add(made)
        return made

    def forget(self, clone: _Clone) -> bool:
        """Whether it was one of ours until now."""
        with self._lock:
            known = clone in self._open
            self._open.discard(clone)
        return known


class _Clone(Snapshot):
    """A handle that a sandbox hangs on; what it says is the name."""

    def __init__(self, box: Sandbox, clones: Clones) -> None:
        super().__init__(f"{box.name}\n".encode())
        self._box = box
        self._clones = clones

    def write(self, data: bytes, offset: int) -> int:
        """Refuse it."""
        del data, offset
        raise refuse(errno.EINVAL, "nothing can be written here; use the directory of that name")

    def close(self) -> None:
        """Delete the sandbox, with its endpoints."""
        if self._clones.forget(self):
            with contextlib.suppress(NotFoundError):
                self._box.delete()


def _life(pid: str = "self") -> str:
    """What tells a process from a later one of the same pid; empty if there is none."""
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except OSError:
        return ""
    return f"{stat.partition(' ')[0]} {stat.rpartition(')')[2].split()[19]}"
