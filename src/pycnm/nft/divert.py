"""Names inside a sandbox: what goes to 127.0.0.11, port 53, is led to the socket that answers.

The socket has a port that no program asks for, so that a program inside may have
port 53 itself.  Ports are rewritten as packets come by the loopback, without a
connection being tracked; answers come from port 53 again.
"""

from __future__ import annotations

import functools
from typing import Final

from netaddr import IPAddress

from pycnm.nft.objects import Chain, Object, Rule, Table
from pycnm.nft.statements import (
    IP_DADDR,
    IP_SADDR,
    META_PROTOCOL,
    TCP_DPORT,
    TCP_SPORT,
    UDP_DPORT,
    UDP_SPORT,
    Assign,
    Match,
)
from pycnm.nft.words import EtherType

ADDRESS: Final = "127.0.0.11"
"""Where a sandbox asks for names, as in Docker's."""
DNS: Final = 53

TABLE: Final = Table("netdev", "cnm", comment="names")
_NAME: Final = "names"
_PRIORITY: Final = -500
_IP: Final = Match(META_PROTOCOL, EtherType.IP)
_TO: Final = (_IP, Match(IP_DADDR, IPAddress(ADDRESS)))
_FROM: Final = (_IP, Match(IP_SADDR, IPAddress(ADDRESS)))


@functools.lru_cache(64)
def divert(port: int) -> tuple[Object, ...]:
    """The table of a sandbox whose names are answered at a port, for UDP and TCP.

    Raises:
        InvalidArgumentError: `port` isn't one.
    """
    chain = Chain(
        TABLE.family,
        TABLE.name,
        _NAME,
        type="filter",
        hook="ingress",
        priority=_PRIORITY,
        policy="accept",
        device="lo",
    )
    bodies = [
        body
        for sport, dport in ((UDP_SPORT, UDP_DPORT), (TCP_SPORT, TCP_DPORT))
        for body in (
            (*_TO, Match(dport, DNS), Assign(dport, port)),
            (*_FROM, Match(sport, port), Assign(sport, DNS)),
        )
    ]
    return TABLE, chain, *(Rule(TABLE.family, TABLE.name, _NAME, body) for body in bodies)
