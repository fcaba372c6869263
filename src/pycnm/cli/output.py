"""What commands print: tables as Docker's, JSON, and errors in one line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pycnm.cli.arguments import Arguments
from pycnm.errors import NotFoundError

T = TypeVar("T")
U = TypeVar("U")

_CELL, _GAP = 10, 3
"""The least width of a column, and the space behind its longest entry, in Docker's tables."""

_LONGEST = 2000
"""Letters of an error that are shown: somebody's word may be a mebibyte."""

_SHORT = 12
"""Digits of an id that is shown short."""


def listing(
    arguments: Arguments,
    titles: Sequence[str],
    items: Iterable[T],
    row: Callable[[T], Sequence[str]],
    shown: Callable[[T], Mapping[str, str]],
) -> list[str]:
    """The lines of a list, as its flags want them, by name.

    Args:
        row: an item's cells in the table: its id, its name, and so on.
        shown: an item as JSON, with `ID` and `Name`.
    """
    cut = None if arguments.switch("no-trunc") else _SHORT
    if arguments.text("format") == "json":
        documents = _present(items, shown)
        documents.sort(key=lambda document: natural(document["Name"]))
        return [line({**document, "ID": document["ID"][:cut]}) for document in documents]
    rows = sorted(_present(items, row), key=lambda cells: natural(cells[1]))
    if arguments.switch("quiet"):
        return [cells[0][:cut] for cells in rows]
    return [table(titles, [(cells[0][:cut], *cells[1:]) for cells in rows])]


def _present(items: Iterable[T], read: Callable[[T], U]) -> list[U]:
    """What is read of each item; those that are deleted meanwhile are no longer listed."""
    found = []
    for item in items:
        with contextlib.suppress(NotFoundError):
            found.append(read(item))
    return found


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their titles, each column as wide as it has to be."""
    lines = [titles, *rows]
    widths = [max(_CELL, *(len(line[at]) + _GAP for line in lines)) for at in range(len(titles))]
    return "\n".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def inspection(arguments: Arguments, documents: Sequence[Mapping[str, Any]]) -> str:
    """Documents as `docker inspect` shows them: a list, even of one."""
    if arguments.text("format") == "json":
        return line(documents)
    return json.dumps(documents, indent=4)


def line(value: object) -> str:
    """JSON on one line."""
    return json.dumps(value, separators=(",", ":"))


def natural(name: str) -> list[str | int]:
    """A sort key by which net9 comes before net10."""
    return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", name)]


def labels(given: Mapping[str, str]) -> str:
    """Labels in one cell."""
    return ",".join(f"{key}={value}" for key, value in given.items())


def moment(created: str) -> str:
    """A moment as Docker's lists show it, from RFC 3339."""
    return created.replace("T", " ").replace("Z", " +0000 UTC")


def say(*lines: str, end: str = "\n") -> None:
    """Print lines on stdout."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{line}{end}" for line in lines)


def finish() -> None:
    """Have everything that was said written.

    Raises:
        OSError: it can't be.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up() -> None:
    """Whoever reads stdout is gone, or it is full: don't try again when Python ends."""
    with contextlib.suppress(OSError):
        finish()
    with contextlib.suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(error: BaseException | str) -> None:
    """Print an error on one line, and what there is to add on lines of their own."""
    if isinstance(error, BaseExceptionGroup):
        message, notes = error.message, [str(part) for part in error.exceptions]
    else:
        message, notes = str(error), []
    notes += getattr(error, "__notes__", [])
    lines = [f"cnm: {_printable(message)}", *(f"     {_printable(note)}" for note in notes)]
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.writelines(f"{line}\n" for line in lines)


def _printable(text: str) -> str:
    """`text` on one line that isn't endless, and without what a terminal would obey."""
    words = " ".join(text.split())
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in words
    )
