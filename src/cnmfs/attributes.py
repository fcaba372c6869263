"""The table that the files of an object are made of, and their documentation too."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import attrs

from cnmfs import values
from cnmfs.tree import DOCUMENT_MAX, VALUE_MAX, Directory, File, Node, refuse

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
        live: it tells of more than what is recorded.
    """

    name: str
    help: str
    show: Callable[[T], str] | None = None
    store: Callable[[T, str], object] | None = attrs.field(default=None, kw_only=True)
    add: Callable[[T, str], object] | None = attrs.field(default=None, kw_only=True)
    whole: bool = attrs.field(default=False, kw_only=True)
    live: bool = attrs.field(default=False, kw_only=True)

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
            live=self.live,
            read=None if show is None else lambda: show(thing),
            write=None if store is None else lambda text: _ignored(store(thing, text)),
            add=None if add is None else lambda text: _ignored(add(thing, text)),
            limit=DOCUMENT_MAX if self.whole else VALUE_MAX,
            **({"goes_on": values.unfinished} if self.whole else {}),
        )


def _ignored(value: object) -> None:
    del value


class Told(Protocol):
    """What every object has to say of itself."""

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""

    def inspect(self) -> dict[str, Any]:
        """Its settings."""

    def explain(self) -> object:
        """What the kernel holds for it."""

    def check(self) -> list[str]:
        """How the kernel differs from that."""

    def reconcile(self) -> list[str]:
        """Put it back."""


O = TypeVar("O", bound=Told)  # noqa: E741 - an object


def told(shown: str) -> list[Attribute[O]]:
    """The files in which every object tells of itself; a sandbox has a `state` of its own.

    Args:
        shown: what `inspect` is.
    """
    return [
        Attribute("id", "64 hexadecimal digits.", lambda thing: values.line(thing.id)),
        Attribute("inspect", shown, lambda thing: values.document(thing.inspect())),
        Attribute(
            "explain",
            "What the kernel holds for it, as the commands a person would have typed.",
            lambda thing: values.line(thing.explain()),
        ),
        Attribute(
            "check",
            "How the kernel differs from that, a sentence a line; empty when all is well.",
            lambda thing: values.lines(thing.check()),
            live=True,
        ),
        Attribute(
            "state",
            "up, or error while the kernel differs; `up` puts back what is missing.",
            lambda thing: "error\n" if thing.check() else "up\n",
            store=_up,
            live=True,
        ),
    ]


def _up(thing: Told, text: str) -> None:
    require_up(text)
    thing.reconcile()


def require_up(text: str) -> None:
    """Refuse any state but up."""
    if values.one(text) != "up":
        raise refuse(errno.EINVAL, "write up; what isn't wanted any more is removed with rmdir")


def directory(
    attributes: Mapping[str, Attribute[T]],
    thing: T,
    more: Mapping[str, Node],
    hint: str,
    created: str,
) -> Directory:
    """The directory of an object: a file for each attribute, and what else is in it.

    Args:
        hint: what to do instead of removing what is in it.
        created: when it was made (RFC 3339).
    """
    names = [*attributes, *more]
    changed = moment(created)

    def look(name: str) -> Node | None:
        attribute = attributes.get(name)
        return more.get(name) if attribute is None else attribute.file(thing, changed)

    def no_file(name: str) -> File:
        raise refuse(errno.EPERM, f"there is no file {name} here; there are {', '.join(names)}")

    return Directory(
        mode=0o755, changed=changed, names=lambda: names, look=look, create=no_file, hint=hint
    )


def moment(created: str) -> int:
    """A moment of RFC 3339, in nanoseconds since 1970; 0 if it is none."""
    try:
        return int(datetime.fromisoformat(created).timestamp() * 10**9)
    except ValueError:
        return 0


def table(attributes: Iterable[Attribute[T]]) -> dict[str, Attribute[T]]:
    """Attributes by their name, in order."""
    return {attribute.name: attribute for attribute in attributes}
