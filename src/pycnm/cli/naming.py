"""`cnm resolve`."""

from __future__ import annotations

from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller
from pycnm.cli.output import complain, say
from pycnm.errors import NotFoundError


def resolve(arguments: Arguments) -> int:
    """Show the addresses that a name has."""
    (name,) = arguments.operands
    with controller(arguments) as cnm:
        addresses = cnm.resolve(name)
    if not addresses:
        complain(
            NotFoundError(
                f"nobody is called {name} on any network; `cnm sandbox ls` shows those there are"
            )
        )
        return 1
    say(*map(str, addresses))
    return 0
