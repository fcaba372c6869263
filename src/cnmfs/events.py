"""The file `events`: what has happened, one JSON object a line; it grows while it is read."""

from __future__ import annotations

import threading

from cnmfs.tree import Stream
from pycnm import Controller

_LARGE = 1 << 20


class Journal:
    """The text of the events, and how far they have been read from the store.

    After a mebibyte the older half goes; who follows sees a file that was cut,
    as a log that is rotated.
    """

    def __init__(self, cnm: Controller) -> None:
        self._cnm = cnm
        self._lock = threading.Lock()
        self._text = b""
        self._last = 0

    def file(self) -> Stream:
        """The node of the file."""
        return Stream(follow=lambda: self, size=self.size)

    def size(self) -> int:
        """How many bytes there are now."""
        with self._lock:
            self._refresh()
            return len(self._text)

    def read(self, size: int, offset: int) -> bytes:
        """What there is from `offset` on."""
        with self._lock:
            if offset + size > len(self._text):
                self._refresh()
            return self._text[offset : offset + size]

    def close(self) -> None:
        """A reader is gone; nothing is kept for it."""

    def _refresh(self) -> None:
        new = list(self._cnm.events(since=self._last))
        if not new:
            return
        self._last = new[-1].number
        text = self._text + "".join(f"{event.to_json()}\n" for event in new).encode()
        if len(text) > _LARGE:
            text = text[text.index(b"\n", len(text) // 2) + 1 :]
        self._text = text
