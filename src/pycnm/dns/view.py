"""What a sandbox can see: the names on its networks.

Values only.  A `Segment` is shared by all sandboxes on its network; its indexes
are made when something is first looked up in them.

Source: Docker's embedded resolver (libnetwork: sandbox.go, network.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, TypeAlias

import attrs
from netaddr import IPAddress

Labels: TypeAlias = tuple[bytes, ...]
"""A name as a query has it: lower-case labels, the root's left out."""

_LABEL_LIMIT: Final = 63
_TEXT_LIMIT: Final = 253
_SERVICE: Final = 3  # labels of the shortest one: _80._tcp.name


@attrs.frozen
class Member:
    """An endpoint, as those on its network know it.

    Attributes:
        names: the first is what its addresses are called; no name twice.
        addresses: IPv4 and IPv6, the ones it is reached at.
        ports: what it publishes, as protocol and port inside: `("tcp", 80)`.
    """

    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]
    ports: tuple[tuple[str, int], ...] = ()


@attrs.frozen
class Found:
    """Who is called by a name; never nobody."""

    network: str
    members: tuple[Member, ...]

    def addresses(self, version: int) -> tuple[IPAddress, ...]:
        """Their addresses of one family, each once."""
        return tuple(
            dict.fromkeys(
                address
                for member in self.members
                for address in member.addresses
                if address.version == version
            )
        )


@attrs.frozen
class Service:
    """Where something is served: what an SRV record says."""

    port: int
    target: str
    addresses: tuple[IPAddress, ...]


@attrs.frozen(slots=False)
class Segment:
    """The names on one network."""

    network: str
    members: Sequence[Member]

    def named(self, name: bytes) -> tuple[Member, ...]:
        """Who is called `name` (lower-case): nobody, one, or several who share an alias."""
        return self._names.get(name, ())

    def called(self, address: bytes) -> str | None:
        """The name of a packed address, `first.network`; None if nobody here has it."""
        member = self._addresses.get(address)
        return None if member is None else full_name(member, self.network)

    @cached_property
    def key(self) -> bytes:
        """The network's name, as it is looked up."""
        return self.network.encode().lower()

    @cached_property
    def _names(self) -> dict[bytes, tuple[Member, ...]]:
        index: dict[bytes, tuple[Member, ...]] = {}
        for member in self.members:
            alone = (member,)
            for name in member.names:
                key = name.encode().lower()
                others = index.setdefault(key, alone)
                if others is not alone and others[-1] is not member:
                    index[key] = (*others, member)
        return index

    @cached_property
    def _addresses(self) -> dict[bytes, Member]:
        index: dict[bytes, Member] = {}
        for member in self.members:
            for address in member.addresses:
                index.setdefault(address.packed, member)
        return index


@attrs.frozen(slots=False)
class View:
    """All that one sandbox can see, and whom it may ask about the rest.

    Attributes:
        segments: its networks, in the order of its endpoints.
        servers: name servers of its own, asked from its namespace.
        internal: all its networks are; nobody outside is asked.
        ndots: a name without a dot that nobody has is not asked for outside,
            because the user's `ndots` has the client add a search domain.
        everything: it is the host's, which sees all networks: a name without a
            network is answered if only one of them has it.
    """

    segments: tuple[Segment, ...]
    servers: tuple[str, ...] = ()
    internal: bool = False
    ndots: bool = False
    everything: bool = False

    def find(self, labels: Labels) -> Found | None:
        """Who is called so.

        `a.b.c` is looked for as `a.b.c` on each network, in their order; as `a.b`
        on the network `c`; as `a` on the network `b.c`.
        """
        if not labels or any(b"." in label for label in labels):
            return None
        whole = b".".join(labels)
        named = self._everywhere(whole)
        for found in named:
            if self.everything and next(named, None) is not None:
                break
            return found
        for cut in range(len(labels) - 1, 0, -1):
            name = b".".join(labels[:cut])
            for segment in self._networks.get(whole[len(name) + 1 :], ()):
                if members := segment.named(name):
                    return Found(segment.network, members)
        return None

    def reverse(self, address: bytes) -> str | None:
        """The name of a packed address on one of its networks, `first.network`; or None."""
        for segment in self.segments:
            if (name := segment.called(address)) is not None:
                return name
        return None

    def service(self, labels: Labels) -> tuple[Service, ...]:
        """Who serves `_PORT._PROTOCOL.name`: those of that name that publish the port."""
        if len(labels) < _SERVICE or labels[0][:1] != b"_" or labels[1][:1] != b"_":
            return ()
        found = self.find(labels[2:])
        if found is None:
            return ()
        return tuple(
            Service(port, full_name(member, found.network), member.addresses)
            for member in found.members
            for protocol, port in member.ports
            if b"_%d" % port == labels[0] and b"_" + protocol.encode() == labels[1]
        )

    def _everywhere(self, name: bytes) -> Iterator[Found]:
        for segment in self.segments:
            if members := segment.named(name):
                yield Found(segment.network, members)

    @cached_property
    def _networks(self) -> dict[bytes, tuple[Segment, ...]]:
        index: dict[bytes, tuple[Segment, ...]] = {}
        for segment in self.segments:
            index[segment.key] = (*index.get(segment.key, ()), segment)
        return index


def full_name(member: Member, network: str) -> str:
    """What the addresses of a member are called: its first name that a DNS name can have."""
    for name in member.names:
        full = f"{name}.{network}"
        labels = full.split(".")
        if len(full) <= _TEXT_LIMIT and all(0 < len(label) <= _LABEL_LIMIT for label in labels):
            return full
    return f"{member.names[0]}.{network}"
