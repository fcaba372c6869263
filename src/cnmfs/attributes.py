"""The table that the files of an object are made of, and their documentation too."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import attrs

from cnmfs.tree import DOCUMENT_MAX, VALUE_MAX, File, refuse

T = TypeVar("T")
READABLE, WRITABLE, SETTABLE = 0o444, 0o200, 0o644


@attrs.frozen
class Attribute(Generic[T]):
    """One file of an object.

    Attributes:
        name: of the file.
        help: what it is, and what it takes, in a sentence or two.
        show: its content; None if it can't be read.
        store: takes what is written; None if it can't be written.
        add: takes what is appended (`>>`); None if it is as if written.
        whole: it takes a document, not a value.
    """

    name: str
    help: str
    show: Callable[[T], str] | None = None
    store: Callable[[T, str], object] | None = attrs.field(default=None, kw_only=True)
    add: Callable[[T, str], object] | None = attrs.field(default=None, kw_only=True)
    whole: bool = attrs.field(default=False, kw_only=True)

    @property
    def mode(self) -> int:
        """The permission bits of the file."""
        return (READABLE if self.show else 0) | (WRITABLE if self.store else 0)

    def file(self, thing: T, changed: int = 0) -> File:
        """The file of `thing`."""
        show, store, add = self.show, self.store, self.add
        return File(
            mode=self.mode,
            changed=changed,
            read=None if show is None else lambda: show(thing),
            write=None if store is None else lambda text: _ignored(store(thing, text)),
            add=None if add is None else lambda text: _ignored(add(thing, text)),
            limit=DOCUMENT_MAX if self.whole else VALUE_MAX,
        )


def _ignored(value: object) -> None:
    del value


def table(attributes: Iterable[Attribute[T]]) -> dict[str, Attribute[T]]:
    """Attributes by their name, in order."""
    return {attribute.name: attribute for attribute in attributes}


def unknown(name: str, known: Iterable[str]) -> OSError:
    """What to say of a file that there can't be."""
    return refuse(errno.EPERM, f"there is no file {name} here; there are {', '.join(known)}")
