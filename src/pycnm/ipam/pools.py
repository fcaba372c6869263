"""The lists automatic subnets are cut from, and the cutting.

Docker's lists and order: 31 local networks (15 of /16, 16 of /20), 65,536
global ones, and for IPv6 a prefix of this host's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from pycnm.errors import InvalidArgumentError
from pycnm.ipam.blocks import IPV4, IPV6, WIDTH, Block, Version, parse_block, parse_cidr, shown

LOCAL_POOLS: Final = (
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
)
"""What a network of one host gets its subnet from: base, and length of each subnet."""

GLOBAL_POOLS: Final = (("10.0.0.0/8", 24),)
"""What a network of a cluster gets its subnet from."""

_ULA: Final = 0xFD << 120  # fd00::/8, RFC 4193
_GLOBAL_ID_AT: Final = 80  # bits to the right of the 40 that tell sites apart
_GLOBAL_ID: Final = (1 << 40) - 1


@attrs.frozen
class Predefined:
    """A base, and the prefix length of the subnets it is cut into."""

    base: Block
    length: int

    def __attrs_post_init__(self) -> None:
        if not self.base.prefix <= self.length <= WIDTH[self.base.version]:
            raise InvalidArgumentError(
                f"subnets of {self.base} have a length of {self.base.prefix} to "
                f"{WIDTH[self.base.version]}, not {self.length}"
            )


def ula(host_id: str) -> Predefined:
    """The /48 of unique local IPv6 addresses of one host, in /64.

    The same for the same host id, on every machine and in Docker.
    """
    import hashlib  # noqa: PLC0415 - costs 3 ms, and IPv4 alone never needs it

    digest = hashlib.sha256(host_id.encode()).digest()
    global_id = int.from_bytes(digest[:8]) & _GLOBAL_ID
    return Predefined(Block(IPV6, _ULA | global_id << _GLOBAL_ID_AT, 48), 64)


def predefined(pools: object, what: str) -> dict[Version, tuple[Predefined, ...]]:
    """The pools of each IP version in the order they are used.

    Sorted by address, the larger base first; a base that overlaps an earlier
    one is dropped, as its subnets would be tried twice.

    Args:
        pools: pairs of a base and the length of its subnets.
        what: the name of the argument; messages start with it.

    Raises:
        InvalidArgumentError: an entry is malformed, or its base is smaller than
            its subnets.
    """
    entries = sorted(
        (_entry(pair, what) for pair in _sequence(pools, what, "(base, length) pairs")),
        key=lambda entry: (entry.base.first, entry.base.prefix),
    )
    kept: dict[Version, list[Predefined]] = {IPV4: [], IPV6: []}
    for entry in entries:
        before = kept[entry.base.version]
        if not before or not before[-1].base.overlaps(entry.base):
            before.append(entry)
    return {version: tuple(kept[version]) for version in kept}


def _entry(pair: object, what: str) -> Predefined:
    if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004 - a pair
        raise InvalidArgumentError(
            f"{what} must be (base, length) pairs such as ('10.64.0.0/10', 24), not {shown(pair)}"
        )
    base, length = pair
    block = Block.around(*parse_cidr(base, f"a base of {what}"))
    if not isinstance(length, int) or isinstance(length, bool):
        raise InvalidArgumentError(
            f"the subnet length for {block} in {what} must be a number such as 24, "
            f"not {shown(length)}"
        )
    return Predefined(block, length)


def networks(values: object, what: str) -> tuple[Block, ...]:
    """The networks of a list; an address in it is a network of one.

    Raises:
        InvalidArgumentError: it is no list, or something in it is no network.
    """
    items = _sequence(values, what, "networks")
    return tuple(parse_block(item, f"each of {what}") for item in items)


def _sequence(values: object, what: str, of: str) -> list[object]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{what} must be a list of {of}, not {shown(values)}")
    return list(values)


class KeepOff:
    """Networks that automatic subnets of one IP version keep off."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        """Merges them, so that one look-up tells what a candidate runs into."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for block in sorted(blocks, key=lambda block: block.first):
            if self._ends and block.first <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], block.last)
            else:
                self._starts.append(block.first)
                self._ends.append(block.last)

    def end_of_overlap(self, first: int, last: int) -> int | None:
        """Where the last network that overlaps first..last ends; None for none."""
        at = bisect_right(self._starts, last) - 1
        return self._ends[at] if at >= 0 and self._ends[at] >= first else None


def first_free(
    pools: Sequence[Predefined], end_of_overlap: Callable[[int, int], int | None]
) -> Block | None:
    """The first subnet of the pools, in their order, that nothing overlaps.

    Args:
        pools: of one IP version.
        end_of_overlap: given a first and a last address, where the last thing
            that overlaps them ends; None when nothing does.
    """
    for pool in pools:
        size = 1 << (WIDTH[pool.base.version] - pool.length)
        candidate = pool.base.first
        while candidate <= pool.base.last:
            end = end_of_overlap(candidate, candidate + size - 1)
            if end is None:
                return Block(pool.base.version, candidate, pool.length)
            # On to the next boundary: all before it overlap the same thing.
            candidate = (end // size + 1) * size
    return None
