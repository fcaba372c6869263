"""What may have been changed by somebody, as far as a notification of the kernel tells."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Suspicion:
    """What has to be looked at.

    Attributes:
        everything: all there is; the rest says nothing more then.
        marks: owners of links, by the digits of their ids that the links bear.
        ports: links of the host whose guards were touched.
        rules: the elements of the skeleton, and itself.
        pins: what namespaces are pinned to, and the directories of sandboxes.
        host: what networks share on their host.
        others: links of others came or went: what they were in the way of may be had now.
        links: the names of those, which something of ours may sit on.
    """

    everything: bool = False
    marks: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    rules: bool = False
    pins: bool = False
    host: bool = False
    others: bool = False
    links: frozenset[str] = frozenset()

    @classmethod
    def of(cls, marks: Iterable[str]) -> Suspicion:
        """Of the owners of some links."""
        return cls(marks=frozenset(marks))

    def __or__(self, other: Suspicion) -> Suspicion:
        """Both."""
        return Suspicion(
            self.everything or other.everything,
            self.marks | other.marks,
            self.ports | other.ports,
            self.rules or other.rules,
            self.pins or other.pins,
            self.host or other.host,
            self.others or other.others,
            self.links | other.links,
        )

    def __bool__(self) -> bool:
        return self != NOTHING


NOTHING = Suspicion()
EVERYTHING = Suspicion(everything=True)
