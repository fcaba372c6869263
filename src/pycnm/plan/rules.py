"""Operations on nftables: the skeleton, the guards, the elements that fill them.

What they consist of is decided in `pycnm.nft.ruleset`; these are the records of
it: small, printable, undoable.
"""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from pycnm.nft import ruleset
from pycnm.nft.objects import Element, Object, Table
from pycnm.plan.operation import Operation


@attrs.frozen
class Skeleton(Operation):
    """The host's table `inet cnm`: chains, and empty sets that networks fill.

    It is made once and undone when nothing of anybody is in it any more.

    Attributes:
        owner: the comment of the table.
        first_port, last_port: source ports for masqueraded flows.
    """

    owner: str
    first_port: int = 32768
    last_port: int = 60999

    def __str__(self) -> str:
        objects = ruleset.skeleton(self.first_port, self.last_port, self.owner)
        return "\n".join(f"nft {quoted(f'add {item}')}" for item in objects)


@attrs.frozen
class Guard(Operation):
    """The chain that lets only an endpoint's own MAC and addresses into the bridge.

    It stands in a table of its own, `netdev cnm_<port>`.

    Attributes:
        port: the bridge port, and the chain's name.
        mac, ipv4, ipv6: what may come from it.
        owner: the comment of the table.
        near: if it forwards, the subnets of its neighbours; what is from elsewhere may come
            from it as well.
    """

    port: str
    mac: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    owner: str = "pycnm"
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(f"nft {quoted(f'add {item}')}" for item in self.objects)

    def subject(self) -> Hashable:
        """The port: it is never without a guard while the guard changes."""
        return ("guard", self.port)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The table, the chain and its rules."""
        return ruleset.guard(self.port, self.mac, self.ipv4, self.ipv6, self.owner, near=self.near)

    @property
    def table(self) -> Table:
        """The table itself."""
        return ruleset.guard_table(self.port, self.owner)

    def lost(self) -> str:
        """That it isn't there, in words."""
        return f"the guard of {self.port} is gone or was changed"


@attrs.frozen
class Entry(Operation):
    """One element of a set or map of the skeleton.

    Attributes:
        set: the name of the set or map.
        key: its key, a value for each part of a concatenation.
        data: what a map holds for it; a verdict map's verdict in words.
    """

    set: str
    key: tuple[str | int, ...]
    data: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return f"nft {quoted(f'add {self.value}')}"

    @property
    def value(self) -> Element:
        """The element itself."""
        return ruleset.element(self.set, self.key, self.data)


def quoted(command: str) -> str:
    """A command of nft(8) as one word of a shell."""
    return "'" + command.replace("'", "'\\''") + "'"
