"""Why calls failed, in words: the last one of each session, the last ones of all."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from typing import TypeVar

import attrs

K = TypeVar("K")
_KEPT, _SESSIONS = 64, 1024
_OK = "ok\n"
# It goes by two names; the manuals of system calls have this one.
_NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}


@attrs.frozen
class Caller:
    """Who called: a user, and the session of their shell.

    Attributes:
        pid, gid: of the thread that called; another one is no other caller.
    """

    uid: int = 0
    session: int = 0
    pid: int = attrs.field(default=0, eq=False)
    gid: int = attrs.field(default=0, eq=False)


@attrs.frozen
class Failure:
    """A call that failed.

    Attributes:
        at: seconds since 1970.
        what: the operation and its path, `write networks/net/subnet`.
    """

    at: float
    caller: Caller
    what: str
    code: int
    words: str

    def __str__(self) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at))
        name = _NAMES.get(self.code, str(self.code))
        return f"{moment} {name} {self.what}: {self.words}\n"


class Reasons:
    """What failed, and why; used by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: deque[Failure] = deque(maxlen=_KEPT)
        self._last: dict[Caller, Failure] = {}
        self._of: dict[str, Failure] = {}

    def failed(self, caller: Caller, what: str, path: str, code: int, words: str) -> None:
        """Note a failure, for who called and for the object at the path."""
        where, why = _printable(f"{what} {path}"), _printable(" ".join(words.split()))
        failure = Failure(time.time(), caller, where, code, why)
        with self._lock:
            self._log.append(failure)
            _put(self._last, caller, failure)
            _put(self._of, object_of(path), failure)

    def succeeded(self, caller: Caller, path: str) -> None:
        """Note that a change was made."""
        with self._lock:
            self._last.pop(caller, None)
            self._of.pop(object_of(path), None)

    def last(self, caller: Caller) -> str:
        """`ok`, or why the last change of this caller's session failed."""
        with self._lock:
            return str(self._last.get(caller, _OK))

    def of(self, path: str) -> str:
        """`ok`, or why the last change of the object at a path failed."""
        with self._lock:
            return str(self._of.get(object_of(path), _OK))

    def log(self) -> str:
        """The last failures of everybody, the oldest first."""
        with self._lock:
            return "".join(map(str, self._log))

    def clear(self) -> None:
        """Empty the log."""
        with self._lock:
            self._log.clear()


def _printable(text: str) -> str:
    """`text` on one line: a name may be any bytes, and what is read of it is text."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _put(into: dict[K, Failure], key: K, failure: Failure) -> None:
    into.pop(key, None)
    into[key] = failure
    while len(into) > _SESSIONS:
        del into[next(iter(into))]


def object_of(path: str) -> str:
    """The object that a path is in: networks/NAME, sandboxes/NAME, or an endpoint of it."""
    names = path.strip("/").split("/")
    if len(names) > 3 and names[0] == "sandboxes" and names[2] == "endpoints":  # noqa: PLR2004
        return "/".join(names[:4])
    return "/".join(names[:2])
