"""How many sockets the agent may have for those who come and go."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator


class Room:
    """Places for sockets: of streams and of forwards, of all sandboxes together.

    What sandboxes do must not leave the agent without descriptors for whoever
    controls it.

    Args:
        most: how many there are.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self) -> bool:
        """Take a place, if there is one; it must be given back."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give(self) -> None:
        """Give a place back."""
        self._left += 1

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Have a place.

        Raises:
            OSError: EMFILE, there is none.
        """
        if not self.take():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        try:
            yield
        finally:
            self.give()
