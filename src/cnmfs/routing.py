"""Files of static routes: read as they are written, replaced, added to, edited."""

from __future__ import annotations

import errno
from typing import TypeVar

from cnmfs import values
from cnmfs.attributes import Attribute
from cnmfs.tree import refuse
from pycnm import Endpoint, Network
from pycnm.spec.wording import shown

T = TypeVar("T", Network, Endpoint)


_FORM = (
    "`10.9.0.0/16 via 10.20.30.5 metric 100`, one a line. > replaces all, >> adds, "
    "`-10.9.0.0/16` takes one away. Changes live."
)


def attribute(kind: type[T], whose: str) -> Attribute[T]:
    """The file of the routes of such a thing.

    Args:
        whose: the beginning of the sentence that says what they are.
    """
    del kind

    def show(thing: T) -> str:
        return values.lines(thing.routes)

    return Attribute("routes", f"{whose}: {_FORM}", show, store=_replace, add=_add)


def _replace(thing: T, text: str) -> None:
    thing.configure(routes=values.several(text))


def _add(thing: T, text: str) -> None:
    """Have these routes as well; `-` before a route, or its destination, takes it away."""
    routes = thing.routes
    for item in values.several(text):
        if not item.startswith("-"):
            routes.append(item)
            continue
        words = item.removeprefix("-").split()
        gone = [route for route in routes if route.split()[: len(words)] == words]
        if not words or not gone:
            has = ", ".join(routes) or "none"
            raise refuse(errno.ENOENT, f"no route {shown(item[1:])} is here; there are: {has}")
        routes = [route for route in routes if route not in gone]
    thing.configure(routes=routes)
