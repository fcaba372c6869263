"""Segments that fit: what opens a TCP connection says no more than its way can carry.

The host answers what is too big with ICMP; where a firewall on the way drops
that, a connection stands still after its first full segment.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from pycnm.nft.statements import Statement


@attrs.frozen
class Opening(Statement):
    """Go on with the rule for the first segment of a TCP connection, from either end."""

    headers: ClassVar[tuple[str, ...]] = ("tcp",)

    def __str__(self) -> str:
        return "tcp flags syn / syn,rst"


@attrs.frozen
class Clamp(Statement):
    """Lower the maximum segment size to what fits the MTU of the route; it never grows."""

    headers: ClassVar[tuple[str, ...]] = ("tcp",)

    def __str__(self) -> str:
        return "tcp option maxseg size set rt mtu"
