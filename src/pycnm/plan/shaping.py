"""Operations that slow an endpoint down, on the host's end of its link.

A sandbox has no say there, not even as root.  What comes to it waits in a queue
of the host (tc-tbf(8)), or of a link that is slow and loses packets
(tc-netem(8)); what it sends above its rate is dropped as it arrives.  That can't
wait in a queue: frames that an ifb(4) takes aside and gives back pass by the
guard of the port, and the sandbox could pretend to be somebody else.
"""

from __future__ import annotations

from collections.abc import Hashable
from shlex import quote
from typing import Final

import attrs

from pycnm.errors import NotSupportedError
from pycnm.nft.limit import limit
from pycnm.nft.limit import table as limit_table
from pycnm.nft.objects import Object, Table
from pycnm.plan.operation import HOST, Operation
from pycnm.plan.rules import quoted
from pycnm.spec.rates import Rate

PACKETS: Final = 1000
"""How many packets are on their way where they are delayed."""
# What a packet may have that is cut up only here, and its frame.
_PACKET = 1 << 16
_BURSTS, _QUEUES = 100, 20


@attrs.frozen
class Shaper(Operation):
    """What is sent to an endpoint is slowed down (tc(8), tc-tbf(8), tc-netem(8)).

    Attributes:
        link: the host's end.
        rate: bits a second; 0 for as fast as it goes.
        delay: microseconds.
        loss: of a million packets, how many are lost.
    """

    link: str
    rate: int = 0
    delay: int = 0
    loss: int = 0

    @property
    def kind(self) -> str:
        """The queueing discipline: `tbf`, or `netem` where packets are late or lost."""
        return "netem" if self.delay or self.loss else "tbf"

    @property
    def handle(self) -> int:
        """The number of the discipline; one can't be made another under its number."""
        return 0xC1 if self.kind == "tbf" else 0xC2

    @property
    def burst(self) -> int:
        """Bytes that pass at once: of 10 ms, but always a packet."""
        return _PACKET + self.rate // 8 // _BURSTS

    @property
    def limit(self) -> int:
        """Bytes that wait: of 50 ms, and a burst."""
        return self.burst + self.rate // 8 // _QUEUES

    def __str__(self) -> str:
        words = f"tc qdisc replace dev {quote(self.link)} root handle {self.handle:x}: {self.kind}"
        if self.kind == "tbf":
            return f"{words} rate {Rate(self.rate)} burst {self.burst}b limit {self.limit}b"
        late = str(Rate(0, self.delay, self.loss))
        rate = f" rate {Rate(self.rate)}" if self.rate else ""
        return f"{words} limit {PACKETS} {late}{rate}"

    def subject(self) -> Hashable:
        """The queue of the link: it is exchanged, never missed."""
        return ("qdisc", self.link)

    def within(self) -> tuple[Hashable, ...]:
        """Its link."""
        return (("link", HOST, self.link),)

    def lost(self) -> str:
        """That it isn't there, in words."""
        return f"what is sent to {self.link} isn't slowed down as it should be"

    def unknown(self) -> NotSupportedError:
        """The error where the kernel has no such queueing discipline."""
        module = f"sch_{self.kind}"
        what = "delay and loss need" if self.kind == "netem" else "a rate needs"
        return NotSupportedError(
            f"this kernel lacks {module}, which {what}: load the module {module} "
            f"(`modprobe {module}`), or use a kernel that has it"
        )


@attrs.frozen
class Policer(Operation):
    """What an endpoint sends above its rate is dropped (nft(8), "limit").

    In the long run it sends at its rate; after a pause it may send at once what
    it could have sent in a second.

    Attributes:
        port: the host's end of its link.
        rate: bits a second.
        owner: the comment of the table.
    """

    port: str
    rate: int
    owner: str = "pycnm"

    def __str__(self) -> str:
        return "\n".join(f"nft {quoted(f'add {item}')}" for item in self.objects)

    def subject(self) -> Hashable:
        """The port: it is never without a limit while the limit changes."""
        return ("policer", self.port)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The table, the chain and its rule."""
        return limit(self.port, self.rate // 8, self.owner)

    @property
    def table(self) -> Table:
        """The table itself."""
        return limit_table(self.port, self.owner)

    def lost(self) -> str:
        """That it isn't there, in words."""
        return f"the rate limit of {self.port} is gone or was changed"
