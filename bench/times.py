"""What the clock said."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def rotated(everybody: Sequence[T], number: int) -> list[T]:
    """Everybody, in each round with another one first.

    So everybody has a turn after everybody else, and none of them always pays for
    what another one left for the kernel to do.
    """
    start = number % len(everybody)
    return [*everybody[start:], *everybody[:start]]


class Times:
    """Durations in milliseconds, by what was done and who did it."""

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def of(self, work: str, who: str) -> Iterator[None]:
        """Measure what happens in the block."""
        start = time.perf_counter()
        yield
        self._taken[work, who].append(1000 * (time.perf_counter() - start))

    def note(self, work: str, who: str, taken: float) -> None:
        """Keep what was measured otherwise."""
        self._taken[work, who].append(taken)

    def median(self, work: str, who: str) -> float | None:
        """The median, if it was measured."""
        taken = self._taken.get((work, who))
        return statistics.median(taken) if taken else None

    def worst(self, work: str, who: str) -> float | None:
        """The longest, if it was measured."""
        taken = self._taken.get((work, who))
        return max(taken) if taken else None

    def within(self, work: str, who: str) -> float | None:
        """What 99 of 100 don't exceed, if it was measured that often."""
        taken = self._taken.get((work, who))
        return statistics.quantiles(taken, n=100)[98] if taken and len(taken) > 1 else None

    def total(self, work: str, who: str) -> float:
        """All of it."""
        return sum(self._taken.get((work, who), ()))

    def forget(self) -> None:
        """Forget everything: it was for warming up."""
        self._taken.clear()
