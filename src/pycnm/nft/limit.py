"""The limit of a port: what a sandbox sends above its rate is dropped.

Behind the guard of the port, so that what that drops doesn't count.
"""

from __future__ import annotations

from typing import Final

import attrs

from pycnm.nft.guard import FAMILY, PRIORITY
from pycnm.nft.objects import Chain, Object, Rule, Table
from pycnm.nft.statements import DROP, Counter, Statement

# The largest packet there is, before it is cut up.
_BURST: Final = 1 << 16


@attrs.frozen
class Limit(Statement):
    """Go on with the rule for what comes faster than `rate` bytes a second.

    Attributes:
        burst: bytes that may come at once, beyond those of a second.
    """

    rate: int
    burst: int

    def __str__(self) -> str:
        return f"limit rate over {self.rate} bytes/second burst {self.burst} bytes"


def table(port: str, owner: str | None = None) -> Table:
    """The table that the limit of a port stands in; `owner` is its comment."""
    return Table(FAMILY, f"cnm_{port}_rate", comment=owner)


def limit(port: str, rate: int, owner: str | None = None) -> tuple[Object, ...]:
    """The table of a port, with its chain and the rule of that.

    Args:
        port: the host's end of the sandbox's link.
        rate: bytes a second.
        owner: what the comment of the table says.
    """
    place = table(port, owner)
    chain = Chain(
        FAMILY,
        place.name,
        port,
        type="filter",
        hook="ingress",
        priority=PRIORITY + 1,
        policy="accept",
        device=port,
    )
    return place, chain, Rule(FAMILY, place.name, port, (Limit(rate, _BURST), Counter(), DROP))
