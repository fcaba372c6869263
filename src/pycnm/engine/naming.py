"""What sandboxes can see of each other's names, read from the store and kept while it is true.

Nothing is answered for what isn't settled: a name is there when the change that
brings it is done, and gone when the one that takes it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from netaddr import IPAddress

from pycnm.dns.resolvconf import asks_for_dots
from pycnm.dns.view import Labels, Member, Segment, View
from pycnm.drivers.routing import Attachment, in_order
from pycnm.engine import records
from pycnm.engine.records import Reader, UnreadableError
from pycnm.errors import InvalidArgumentError, StoreError
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec
from pycnm.spec.wording import shown

NAMELESS = ("host", "null")
"""The drivers of networks whose endpoints nobody looks for by name."""
_SHORT = 12
_MEMBERS = (
    # Sorted when something has changed, which is seldom.
    "SELECT e.number, e.spec, s.spec FROM endpoints e JOIN sandboxes s ON s.number = e.sandbox "
    "WHERE e.network = ? AND e.arriving IS NULL AND e.leaving IS NULL "
    "AND s.leaving IS NULL AND NOT s.down"
)
_PORTS = (
    "SELECT endpoint, protocol, target_port FROM ports "
    "WHERE network = ? AND arriving IS NULL AND leaving IS NULL ORDER BY target_port, protocol"
)
_SETTLED = "arriving IS NULL AND leaving IS NULL"
_Row = tuple[Any, ...]
_Ports = dict[int, tuple[tuple[str, int], ...]]


class _Known(NamedTuple):
    """A network as it was read, with what was made of it."""

    rows: list[_Row]
    ports: _Ports
    members: dict[int, tuple[_Row, Member]]
    segment: Segment


class Naming:
    """The names that a state directory records, for one thread.

    What was read is kept.  After `refresh` it is compared with what is recorded
    when it is next asked for, and only what differs is made anew: so a view is the
    same object as long as nothing in it has changed.

    Args:
        reader: a connection that nothing is written with.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._revision = -1
        self._known: dict[int, _Known] = {}
        self._looked_at: set[int] = set()
        self._views: dict[str, View] = {}

    def refresh(self) -> bool:
        """Whether anything was recorded since it was last asked, by whichever process.

        Raises:
            sqlite3.Error: the database can't be read.
        """
        (revision,) = self._reader.execute("PRAGMA data_version").fetchone()
        if revision == self._revision:
            return False
        self._revision = revision
        self._looked_at.clear()
        return True

    def view(self, sandbox: str) -> View | None:
        """What the sandbox with that full id can see; None if there is none, or it is down.

        Raises:
            sqlite3.Error: the database can't be read.
        """
        row = self._reader.execute(
            f"SELECT number, id, name, spec FROM sandboxes WHERE id = ? AND {_SETTLED} "  # noqa: S608
            "AND NOT down",
            (sandbox,),
        ).fetchone()
        try:
            spec = None if row is None else records.read(SandboxSpec, "sandboxes", row)
        except UnreadableError:
            spec = None
        if spec is None:
            self._views.pop(sandbox, None)
            return None
        attachments = list(self._attachments(row[0]))
        numbers = {each.endpoint.id: number for each, number in attachments}
        ordered = in_order([each for each, _ in attachments])
        view = View(
            segments=tuple(
                self.segment(numbers[each.endpoint.id], each.network.name) for each in ordered
            ),
            servers=spec.dns,
            # Of one that is on no network yet, nothing gets out either.
            internal=all(each.network.internal for each in ordered),
            ndots=asks_for_dots(spec.dns_options),
        )
        if view != self._views.get(sandbox):
            self._views[sandbox] = view
        return self._views[sandbox]

    def forget(self, sandbox: str) -> None:
        """Let go of what was kept for a sandbox that nobody will ask for again."""
        self._views.pop(sandbox, None)

    def everything(self) -> View:
        """What the host can see: all networks, as they were made.

        Raises:
            sqlite3.Error: the database can't be read.
        """
        rows = self._reader.execute(
            f"SELECT number, name FROM networks WHERE {_SETTLED} "  # noqa: S608
            f"AND driver NOT IN {NAMELESS} ORDER BY number"
        ).fetchall()
        segments = tuple(self.segment(number, name) for number, name in rows)
        view = View(segments=segments, internal=True, everything=True)
        if view != self._views.get(""):
            self._views[""] = view
        return self._views[""]

    def segment(self, number: int, name: str) -> Segment:
        """The names on the network of a row, which has this name.

        Raises:
            sqlite3.Error: the database can't be read.
        """
        known = self._known.get(number)
        if known is not None and number in self._looked_at and known.segment.network == name:
            return known.segment
        if known is None:
            self._forget_deleted()
        rows = self._reader.execute(_MEMBERS, (number,)).fetchall()
        ports = self._ports(number)
        if known is None or (known.segment.network, known.rows, known.ports) != (name, rows, ports):
            before = {} if known is None else known.members
            members = {}
            for row in sorted(rows):
                was, member = before.get(row[0], (None, None))
                published = ports.get(row[0], ())
                if member is None or was != row or member.ports != published:
                    member = _member(row, published)
                if member is not None:
                    members[row[0]] = (row, member)
            segment = Segment(name, tuple(member for _, member in members.values()))
            known = self._known[number] = _Known(rows, ports, members, segment)
        # Connections of the controller's own are asked once.
        if self._revision >= 0:
            self._looked_at.add(number)
        return known.segment

    def _forget_deleted(self) -> None:
        there = {number for (number,) in self._reader.execute("SELECT number FROM networks")}
        for number in self._known.keys() - there:
            del self._known[number]

    def _attachments(self, sandbox: int) -> Iterator[tuple[Attachment, int]]:
        rows = self._reader.execute(
            "SELECT e.number, e.id, e.name, e.spec, n.number, n.id, n.name, n.spec "  # noqa: S608
            "FROM endpoints e JOIN networks n ON n.number = e.network "
            "WHERE e.sandbox = ? AND e.arriving IS NULL AND e.leaving IS NULL "
            f"AND n.leaving IS NULL AND n.driver NOT IN {NAMELESS} ORDER BY e.number",
            (sandbox,),
        )
        for row in rows.fetchall():
            try:
                endpoint = records.read(EndpointSpec, "endpoints", row)
                network = records.read(NetworkSpec, "networks", row[4:])
            except UnreadableError:
                continue
            yield Attachment(endpoint, network), row[4]

    def _ports(self, network: int) -> _Ports:
        found: dict[int, dict[tuple[str, int], None]] = {}
        for endpoint, protocol, port in self._reader.execute(_PORTS, (network,)):
            found.setdefault(endpoint, {})[protocol, port] = None
        return {endpoint: tuple(each) for endpoint, each in found.items()}


def _member(row: _Row, ports: tuple[tuple[str, int], ...]) -> Member | None:
    """Who is in a row of `_MEMBERS`; None if it is damaged."""
    try:
        endpoint, sandbox = EndpointSpec.from_json(row[1]), SandboxSpec.from_json(row[2])
    except StoreError:
        return None
    addresses = tuple(address.ip for address in endpoint.addresses)
    return Member(names_of(endpoint, sandbox), addresses, ports)


def names_of(endpoint: EndpointSpec, sandbox: SandboxSpec) -> tuple[str, ...]:
    """What an endpoint is called on its network; the first is what its addresses are called."""
    known: dict[str, str] = {}
    for name in (
        sandbox.name,
        *endpoint.aliases,
        endpoint.name,
        sandbox.id[:_SHORT],
        sandbox.hostname,
    ):
        if name:
            known.setdefault(name.lower(), name)
    return tuple(known.values())


def hosts(segment: Segment) -> str:
    """Everybody on a network, as a hosts file has them (hosts(5))."""
    lines = []
    for member in segment.members:
        names = " ".join((*member.names, *(f"{name}.{segment.network}" for name in member.names)))
        lines += [f"{address}\t{names}\n" for address in member.addresses]
    return "".join(lines)


def labels(name: object) -> Labels:
    """The parts of a name that somebody looks up.

    Raises:
        InvalidArgumentError: it isn't a name.
    """
    if not isinstance(name, str) or not name.strip(".") or ".." in name or not name.isprintable():
        raise InvalidArgumentError(
            f"invalid name {shown(name)}: give that of a sandbox, such as 'web' or 'web.my_bridge'"
        )
    return tuple(part.lower().encode() for part in name.removesuffix(".").split("."))


def addresses(view: View, name: Labels) -> list[IPAddress]:
    """The addresses of whoever has a name: on any network, or on the one that it ends with."""
    whole = b".".join(name)
    members = [member for segment in view.segments for member in segment.named(whole)]
    if not members and (found := view.find(name)) is not None:
        members = [*found.members]
    return list(dict.fromkeys(address for each in members for address in each.addresses))
