"""An `rm -r` is stopped before it takes anything.

It removes what it finds one by one: refused the files of an object, it would go on and
disconnect its endpoints.
"""

from __future__ import annotations

import errno
import time

from cnmfs.reasons import object_of
from cnmfs.tree import refuse

_INTENT = 2.0
"""Seconds between two removals of one `rm -r`, at most."""


class Removals:
    """Which process was refused a file of which object, and when."""

    def __init__(self) -> None:
        self._refused: dict[tuple[int, str], float] = {}

    def refused(self, pid: int, path: str) -> None:
        """A process was refused the removal of a file."""
        self._refused[pid, object_of(path)] = time.monotonic()

    def refuse_the_rest(self, pid: int, path: str) -> None:
        """Refuse a process what is in an object of which it was just refused a file.

        Raises:
            OSError: EPERM.
        """
        now = time.monotonic()
        for key, at in list(self._refused.items()):
            if now - at > _INTENT:
                self._refused.pop(key, None)
        inside = path.strip("/") + "/"
        for who, what in list(self._refused):
            if who == pid and inside.startswith(what + "/"):
                self._refused[who, what] = now
                raise refuse(
                    errno.EPERM,
                    f"{what} isn't removed file by file: rmdir {what}; "
                    "mounted with -o rmrf, rm -r gets through",
                )
