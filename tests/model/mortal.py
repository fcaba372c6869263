"""A kernel whose step fails, or whose process dies over it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pycnm.testing import FailingKernel

AFTER = -1
"""The moment after the last step."""


class Died(BaseException):
    """The process died, as far as the engine can see."""


class Mortal(FailingKernel):
    """A kernel that fails once, or whose process dies and does nothing any more.

    What the state directory was at the moment of death is put back afterwards,
    because code that runs on, where a dead process wouldn't, writes to it.
    """

    def __init__(self, kernel: Any, directory: Path) -> None:
        self.directory, self.grave = directory, directory.with_suffix(".grave")
        super().__init__(kernel)
        self.expect(None)

    def expect(self, moment: tuple[str, int] | None) -> None:
        """Let this be the moment of failure or death, counted from now; None for neither."""
        self.fate, step = moment or ("", 0)
        self.failed = self.dead = False
        self.last = step == AFTER
        self.arm(max(step, 0))

    def step(self, words: str) -> None:
        if self.dead:
            raise Died
        super().step(words)

    def fail(self, words: str) -> None:
        if self.fate == "dies":
            self.die()
        self.failed = True
        super().fail(words)

    def die(self) -> None:
        self.dead = True
        shutil.rmtree(self.grave, ignore_errors=True)
        self.grave.mkdir()
        for path in self.directory.glob("cnm.db*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, self.grave)
        raise Died

    def bury(self) -> None:
        """Have the state directory as it was at the moment of death."""
        for path in self.directory.glob("cnm.db*"):
            path.unlink()
        for path in self.grave.iterdir():
            shutil.copy(path, self.directory)

    def run(self, undo: Any, do: Any) -> None:
        super().run(undo, do)
        self._survive()

    def attempt(self, undo: Any, do: Any) -> None:
        super().attempt(undo, do)
        self._survive()

    def _survive(self) -> None:
        if self.dead or (self.fate == "dies" and self.last):
            self.last = False
            self.die()
