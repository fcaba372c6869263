"""Tables, chains, sets, elements and rules as values.

`str(obj)` is what follows `nft add`, `obj.reference` what follows `nft delete`
(a rule has none: it goes with its chain).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import attrs

from pycnm.errors import InvalidArgumentError
from pycnm.nft import statements, words
from pycnm.nft.statements import Match, Statement, Verdict
from pycnm.nft.words import LinkType, NetworkProtocol, Protocol, Value

Family: TypeAlias = Literal["inet", "netdev"]
Hook: TypeAlias = Literal["prerouting", "input", "forward", "output", "postrouting", "ingress"]
Datatype: TypeAlias = Literal[
    "ifname",
    "fib saddr oifname",
    "ipv4_addr",
    "ipv6_addr",
    "ether_addr",
    "inet_proto",
    "inet_service",
]

_CHAIN_TYPES: Final = {"filter", "nat", "route"}
_PRIORITY_NAMES: Final = {
    ("prerouting", -300): "raw",
    ("prerouting", -100): "dstnat",
    ("forward", 0): "filter",
    ("postrouting", 100): "srcnat",
}
# What nft puts before a field whose header nothing vouches for yet.  In family
# netdev it takes the word of the frame's outermost type for a network header;
# there a rule has to say `ether type`, or a VLAN tag hides what it carries.
_IMPLIED: Final[dict[tuple[str, str], Match]] = {
    ("inet", "ether"): Match(statements.IIFTYPE, LinkType.ETHER),
    ("inet", "ip"): Match(statements.NFPROTO, NetworkProtocol.IPV4),
    ("inet", "ip6"): Match(statements.NFPROTO, NetworkProtocol.IPV6),
    ("inet", "icmpv6"): Match(statements.L4PROTO, Protocol.ICMPV6),
    ("inet", "udp"): Match(statements.L4PROTO, Protocol.UDP),
    ("inet", "tcp"): Match(statements.L4PROTO, Protocol.TCP),
    ("netdev", "ether"): Match(statements.IIFTYPE, LinkType.ETHER),
    ("netdev", "icmpv6"): Match(statements.L4PROTO, Protocol.ICMPV6),
    ("netdev", "udp"): Match(statements.L4PROTO, Protocol.UDP),
    ("netdev", "tcp"): Match(statements.L4PROTO, Protocol.TCP),
}


@attrs.frozen
class Table:
    """A table; deleting it deletes everything in it."""

    family: Family
    name: str
    comment: str | None = None

    def __attrs_post_init__(self) -> None:
        _check_family(self.family)
        words.check_name(self.name, "a table")
        words.check_comment(self.comment)

    @property
    def reference(self) -> str:
        """What follows `nft delete`."""
        return f"table {self.family} {self.name}"

    def __str__(self) -> str:
        comment = "" if self.comment is None else f' {{ comment "{self.comment}"; }}'
        return f"{self.reference}{comment}"


@attrs.frozen
class Chain:
    """A chain; with type, hook, priority and policy one that the kernel calls by itself.

    The policy is what becomes of packets that reach the end.  A chain of
    family netdev belongs to one device, which need not exist yet.
    """

    family: Family
    table: str
    name: str
    type: Literal["filter", "nat", "route"] | None = attrs.field(default=None, kw_only=True)
    hook: Hook | None = attrs.field(default=None, kw_only=True)
    priority: int | None = attrs.field(default=None, kw_only=True)
    policy: Literal["accept", "drop"] | None = attrs.field(default=None, kw_only=True)
    device: str | None = attrs.field(default=None, kw_only=True)
    comment: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_place(self.family, self.table)
        words.check_name(self.name, "a chain")
        words.check_comment(self.comment)
        basics = (self.type, self.hook, self.priority, self.policy)
        if basics.count(None) == len(basics) and self.device is None:
            return
        if None in basics:
            raise InvalidArgumentError(
                f"chain {self.name}: type, hook, priority and policy go together; give all or none"
            )
        self._check_hook()

    def _check_hook(self) -> None:
        netdev = self.family == "netdev"
        if netdev != (self.hook == "ingress") or self.hook not in get_args(Hook):
            raise InvalidArgumentError(
                f"family {self.family} has no hook {self.hook!r}: ingress is netdev's, prerouting,"
                " input, forward, output and postrouting are inet's"
            )
        if netdev != (self.device is not None):
            raise InvalidArgumentError(
                f"chain {self.name}: a chain of family netdev has a device, others have none"
            )
        if self.device is not None:
            words.check_interface(self.device)
        if self.type not in _CHAIN_TYPES or (netdev and self.type != "filter"):
            raise InvalidArgumentError(f"family {self.family} has no chains of type {self.type!r}")
        if self.policy not in {"accept", "drop"}:
            raise InvalidArgumentError(f"{self.policy!r} is no policy: give accept or drop")
        if type(self.priority) is not int or not -(1 << 31) <= self.priority < 1 << 31:
            raise InvalidArgumentError(f"{self.priority!r} is no priority: give a 32-bit number")

    @property
    def reference(self) -> str:
        """What follows `nft delete`."""
        return f"chain {self.family} {self.table} {self.name}"

    def __str__(self) -> str:
        body = []
        if self.type is not None and self.hook is not None and self.priority is not None:
            device = "" if self.device is None else f' device "{self.device}"'
            priority = _PRIORITY_NAMES.get((self.hook, self.priority), self.priority)
            body = [
                f"type {self.type} hook {self.hook}{device} priority {priority};",
                f"policy {self.policy};",
            ]
        if self.comment is not None:
            body.append(f'comment "{self.comment}";')
        return " ".join([self.reference, *(["{", *body, "}"] if body else [])])


@attrs.frozen
class Set:
    """A set of keys; with `data` a map from keys to data, which may be verdicts."""

    family: Family
    table: str
    name: str
    key: tuple[Datatype, ...] = attrs.field(kw_only=True)
    data: tuple[Datatype, ...] | Literal["verdict"] | None = attrs.field(default=None, kw_only=True)
    comment: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_place(self.family, self.table)
        words.check_name(self.name, "a set")
        words.check_comment(self.comment)
        data = () if self.data is None or self.data == "verdict" else self.data
        if not self.key or not {*self.key, *data} <= set(get_args(Datatype)):
            raise InvalidArgumentError(
                f"{self.key!r}, {self.data!r} can't type set {self.name}: give tuples of"
                f" {', '.join(get_args(Datatype))}"
            )

    @property
    def reference(self) -> str:
        """What follows `nft delete`."""
        kind = "set" if self.data is None else "map"
        return f"{kind} {self.family} {self.table} {self.name}"

    def __str__(self) -> str:
        # What fib finds is a name that nft compares with no other kind of name.
        kind = "typeof" if "fib saddr oifname" in self.key else "type"
        types = " . ".join(self.key)
        if self.data is not None:
            types += " : " + ("verdict" if self.data == "verdict" else " . ".join(self.data))
        comment = "" if self.comment is None else f'comment "{self.comment}"; '
        return f"{self.reference} {{ {kind} {types}; {comment}}}"


@attrs.frozen
class Element:
    """An element of a set, or of a map if it has data."""

    family: Family
    table: str
    set: str
    key: tuple[Value, ...]
    data: tuple[Value, ...] | Verdict | None = None
    comment: str | None = None

    def __attrs_post_init__(self) -> None:
        _check_place(self.family, self.table)
        words.check_name(self.set, "a set")
        words.check_key(self.key, "key")
        if self.data is not None and not isinstance(self.data, Verdict):
            words.check_key(self.data, "datum")
        words.check_comment(self.comment)

    @property
    def reference(self) -> str:
        """What follows `nft delete`."""
        return f"element {self.family} {self.table} {self.set} {{ {words.key_text(self.key)} }}"

    def __str__(self) -> str:
        text = words.key_text(self.key)
        if self.comment is not None:
            text += f' comment "{self.comment}"'
        if isinstance(self.data, Verdict):
            text += f" : {self.data}"
        elif self.data is not None:
            text += f" : {words.key_text(self.data)}"
        return f"element {self.family} {self.table} {self.set} {{ {text} }}"


@attrs.frozen
class Rule:
    """A rule, added at the end of its chain.

    Attributes:
        complete: the statements with those that nft leaves unsaid.
    """

    family: Family
    table: str
    chain: str
    statements: tuple[Statement, ...]
    comment: str | None = None
    complete: tuple[Statement, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        _check_place(self.family, self.table)
        words.check_name(self.chain, "a chain")
        words.check_comment(self.comment)
        if not self.statements:
            raise InvalidArgumentError(f"a rule of chain {self.chain} has nothing to do")
        object.__setattr__(self, "complete", _completed(self.family, self.statements))

    def __str__(self) -> str:
        comment = "" if self.comment is None else f' comment "{self.comment}"'
        body = " ".join(map(str, self.statements))
        return f"rule {self.family} {self.table} {self.chain} {body}{comment}"


Object: TypeAlias = Table | Chain | Set | Element | Rule


def _completed(family: str, given: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The statements with those between them that nft would have put there."""
    known: set[str] = set()
    complete: list[Statement] = []
    last = given[-1]
    for statement in given:
        for header in statement.headers:
            if header not in known:
                complete.append(_implied(family, header, statement))
                known.add(header)
        complete.append(statement)
        if statement.header:
            known.add(statement.header)
        elif statement.terminal and statement is not last:
            raise InvalidArgumentError(f"nothing can follow `{statement}` in a rule")
    return tuple(complete)


def _implied(family: str, header: str, statement: Statement) -> Match:
    try:
        return _IMPLIED[family, header]
    except KeyError:
        raise InvalidArgumentError(
            f"in family {family} `{statement}` needs `ether type {header}` before it"
        ) from None


def _check_family(family: str) -> None:
    if family not in {"inet", "netdev"}:
        raise InvalidArgumentError(f"{family!r} is no family of ours: give inet or netdev")


def _check_place(family: str, table: str) -> None:
    _check_family(family)
    words.check_name(table, "a table")
