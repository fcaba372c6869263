"""Files of static routes: read as they are written, replaced, added to, edited."""

from __future__ import annotations

import errno
from typing import TypeVar

from cnmfs import values
from cnmfs.tree import refuse
from pycnm import Endpoint, Network
from pycnm.spec.wording import shown

T = TypeVar("T", Network, Endpoint)


def replace(thing: T, text: str) -> None:
    """Have these routes and no others."""
    thing.configure(routes=values.several(text))


def add(thing: T, text: str) -> None:
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
