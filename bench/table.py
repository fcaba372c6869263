"""Tables, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Rows of cells under a heading.

    Attributes:
        notes: sentences that belong to it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"### {self.title}", "", _line(self.head), _line(["---"] * len(self.head))]
        lines += [_line(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)

    def plain(self) -> str:
        """The table with its columns aligned."""
        whole = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
        lines = [self.title, "=" * len(self.title)]
        lines += [
            "  ".join(
                # Numbers at the right, the words of the first two columns at the left.
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in whole
        ]
        return "\n".join([*lines, *self.notes])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def milliseconds(value: float | None, worst: float | None = None) -> str:
    """A duration, with the worst of its kind in brackets."""
    if value is None:
        return ""
    return _plain(value) if worst is None else f"{_plain(value)} ({_plain(worst)})"


def microseconds(value: float | None) -> str:
    """A duration in milliseconds, told in microseconds."""
    return milliseconds(None if value is None else 1000 * value)


def _plain(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def ratio(value: float | None, base: float | None) -> str:
    """How many times `base` a value is, or which part of it."""
    if value is None or base is None:
        return ""
    return f"{value / base:.2f}" if value > base / 2 else f"1/{base / value:.1f}"
