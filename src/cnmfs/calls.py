"""What a call returns, or why it fails: an errno for programs, a sentence for people."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from cnmfs.patience import Patience
from cnmfs.reasons import Caller, Reasons
from pycnm import CNMError

T = TypeVar("T")
_MEANT = frozenset({"open", "truncate", "close", "link", "chmod", "chown", "mknod"})
"""Calls that change nothing themselves, but by whose failure a change has failed."""
_log = logging.getLogger("cnmfs")


class Calls:
    """Carries out calls.

    Args:
        reasons: where failures are noted.
        caller: who is calling just now.
        patience: how a caller waits for a change.
    """

    def __init__(self, reasons: Reasons, caller: Callable[[], Caller], patience: Patience) -> None:
        self._reasons = reasons
        self._caller = caller
        self._patience = patience

    def look(self, what: str, path: str, work: Callable[[], T]) -> T:
        """What `work`, which changes nothing, returns.

        Raises:
            OSError: it failed; with an errno, and a sentence.
        """
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - no error of ours may end the mount
            code, words = _explained(what, path, error)
        if what in _MEANT and code != errno.ENOENT:
            self._reasons.failed(self._caller(), what, _shown(path), code, words)
        raise OSError(code, words)

    def change(self, what: str, path: str, work: Callable[[Caller], T]) -> T:
        """What `work`, which is given who wants it, returns; its failure is noted.

        It has a thread of its own, so that its caller can give up.

        Raises:
            OSError: it failed; with an errno, and a sentence.
        """
        caller = self._caller()
        begun = threading.Event()

        def noted() -> T:
            begun.set()
            try:
                result = work(caller)
            except Exception as error:  # noqa: BLE001 - no error of ours may end the mount
                code, words = _explained(what, path, error)
            else:
                self._reasons.succeeded(caller, _shown(path))
                return result
            self._reasons.failed(caller, what, _shown(path), code, words)
            raise OSError(code, words)

        try:
            return self._patience.through(noted)
        except OSError as error:
            if not begun.is_set():
                code, words = _explained(what, path, error)
                self._reasons.failed(caller, what, _shown(path), code, words)
            raise


def _explained(what: str, path: str, error: Exception) -> tuple[int, str]:
    """The errno and the sentence of an error."""
    if isinstance(error, CNMError):
        return error.errno or errno.EIO, "; ".join([str(error), *_notes(error)])
    if isinstance(error, OSError):
        return error.errno or errno.EIO, error.strerror or str(error)
    _log.error("%s %s", what, path, exc_info=error)
    return errno.EIO, f"a mistake of cnmfs itself: {error!r}"


def _shown(path: str) -> str:
    return path.strip("/") or "/"


def _notes(error: BaseException) -> list[str]:
    return [str(note) for note in getattr(error, "__notes__", [])]
