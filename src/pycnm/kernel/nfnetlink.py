"""nftables through netlink: values of `pycnm.nft` as messages, and what the kernel holds.

`add` and `delete` make one message each, to be sent between `begin` and `end`
with `Socket.batch`: all of a batch is committed, or nothing.  The readers ask
for our own tables by name, so nobody else's rules can confuse them.

Source: linux/netfilter/nf_tables.h; the layout of user data is libnftnl's.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pycnm.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    Socket,
    attribute,
    attribute_list,
    attributes,
    be32,
    message,
    string,
)
from pycnm.kernel.nfexpressions import expressions, pack, same_expressions, verdict, verdict_word
from pycnm.nft.objects import Chain, Datatype, Element, Object, Rule, Set, Table
from pycnm.nft.statements import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pycnm.kernel.netlink import Message

Deletable: TypeAlias = Table | Chain | Set | Element

_SUBSYSTEM: Final = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_GENERATION, _BATCH_GENERATION = 1, 1
_FAMILIES: Final = {"inet": 1, "netdev": 5}


def _kind(number: int) -> int:
    return _SUBSYSTEM << 8 | number


_NEW: Final = {Table: _kind(0), Chain: _kind(3), Rule: _kind(6), Set: _kind(9), Element: _kind(12)}
_GET: Final = {Table: _kind(1), Chain: _kind(4), Rule: _kind(7), Set: _kind(10), Element: _kind(13)}
_DELETE: Final = {Table: _kind(2), Chain: _kind(5), Set: _kind(11), Element: _kind(14)}
_DELETE_RULE: Final = _kind(8)
_GET_GENERATION: Final = _kind(16)

# Attributes (enum nft_*_attributes); the first two of most are the table and the name.
_TABLE, _NAME = 1, 2
_TABLE_FLAGS, _TABLE_USERDATA = 2, 6
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE, _CHAIN_USERDATA = 3, 4, 5, 7, 12
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE = 1, 2, 3
_RULE_EXPRESSIONS, _RULE_USERDATA = 4, 7
_SET_FLAGS, _SET_KEY, _SET_DATA, _SET_ID, _SET_USERDATA = 3, 4, 6, 10, 13
_ELEMENTS, _ELEMENT = 3, 1
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_USERDATA = 1, 2, 6
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2

_HOOKS: Final = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_INGRESS: Final = 0
_POLICIES: Final = {"drop": 0, "accept": 1}
# nft's own numbers and the sizes of its types; the kernel only stores the numbers.
_TYPES: Final[dict[Datatype, tuple[int, int]]] = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "ether_addr": (9, 6),
    "inet_proto": (12, 1),
    "inet_service": (13, 2),
    "ifname": (41, 16),
    "fib saddr oifname": (5, 16),
}
_NAMES: Final[set[tuple[Datatype, ...]]] = {("ifname",), ("fib saddr oifname",)}
_TYPE_BITS: Final = 6
_VERDICT_TYPE: Final = 0xFFFFFF00
_HOST_ORDER, _NETWORK_ORDER = 1, 2
_SET_IS_MAP: Final = 8
# Where the attributes of a message of ours start, after two headers.
_PAYLOAD: Final = 20
_COMMENT, _SET_COMMENT = 0, 7
# What nft knows of the type of a key that has no name: the expression that finds it
# (EXPR_FIB), with its result (NFT_FIB_RESULT_OIFNAME) and flags (NFTA_FIB_F_SADDR).
_FIB_RESULT: Final = struct.pack("=BBIBBI", 0, 4, 2, 1, 4, 1)
_TYPEOF: Final = struct.pack("=BBBBIBB", 3, 8 + len(_FIB_RESULT), 0, 4, 26, 1, len(_FIB_RESULT))


# What is sent


def begin(generation: int | None = None) -> bytes:
    """The message that opens a batch.

    With a generation the kernel refuses the batch (ERESTART) if anything was
    committed since `generation` was asked.
    """
    stamp = b"" if generation is None else be32(_BATCH_GENERATION, generation)
    return message(_BATCH_BEGIN, 0, struct.pack("!BBH", 0, 0, _SUBSYSTEM) + stamp)


def end() -> bytes:
    """The message that commits a batch."""
    return message(_BATCH_END, 0, struct.pack("!BBH", 0, 0, _SUBSYSTEM))


def add(item: Object) -> bytes:
    """The message that makes `item`.

    Making a table, chain, set or element that is there already is fine; an
    element that is there with other data is refused (EEXIST).  A rule is
    appended each time: `load` is for chains with their rules.
    """
    return _ADD[type(item)](item)


def delete(item: Deletable) -> bytes:
    """The message that deletes `item`, with what is in it; what isn't there is refused (ENOENT).

    Of an element only the key counts.
    """
    kind = _DELETE[type(item)]
    if isinstance(item, Element):
        return message(kind, 0, _element(item, b""))
    return message(kind, 0, _named(item))


def flush(chain: Chain) -> bytes:
    """The message that deletes the rules of `chain`."""
    return message(_DELETE_RULE, 0, _part(chain.family, chain.table, chain.name))


def load(items: Iterable[Object]) -> list[bytes]:
    """The messages that make `items`, the same however often they are sent.

    A chain among them that has rules among them loses those it had.  A chain
    without any keeps what others put there.
    """
    items = tuple(items)
    ruled = {(item.table, item.chain) for item in items if isinstance(item, Rule)}
    messages = []
    for item in items:
        messages.append(add(item))
        if isinstance(item, Chain) and (item.table, item.name) in ruled:
            messages.append(flush(item))
    return messages


@lru_cache(256)
def _place(family: str, table: str) -> bytes:
    """What most messages start with: struct nfgenmsg and the name of the table."""
    return struct.pack("!BBH", _FAMILIES[family], 0, 0) + string(_TABLE, table)


@lru_cache(64)
def _part(family: str, table: str, name: str) -> bytes:
    return _place(family, table) + string(_NAME, name)


def _named(item: Table | Chain | Set) -> bytes:
    if isinstance(item, Table):
        return _place(item.family, item.name)
    if isinstance(item, Chain):
        return _place(item.family, item.table) + string(_CHAIN_NAME, item.name)
    return _part(item.family, item.table, item.name)


def _remark(kind: int, comment: str | None, tag: int = _COMMENT, before: bytes = b"") -> bytes:
    """The attribute with user data: fields of type, length and value."""
    if comment is not None:
        text = comment.encode() + b"\0"
        before += bytes((tag, len(text))) + text
    return attribute(kind, before) if before else b""


def _add_table(table: Table) -> bytes:
    body = _named(table) + be32(_TABLE_FLAGS, 0) + _remark(_TABLE_USERDATA, table.comment)
    return message(_NEW[Table], NLM_F_CREATE, body)


def _add_chain(chain: Chain) -> bytes:
    body = _named(chain)
    if chain.type is not None:
        body += attribute(_CHAIN_HOOK, _hook(chain)) + be32(
            _CHAIN_POLICY, _POLICIES[str(chain.policy)]
        )
        body += string(_CHAIN_TYPE, chain.type)
    return message(_NEW[Chain], NLM_F_CREATE, body + _remark(_CHAIN_USERDATA, chain.comment))


def _hook(chain: Chain) -> bytes:
    number = _HOOKS.get(str(chain.hook), _INGRESS)
    hook = be32(_HOOK_NUMBER, number)
    hook += be32(_HOOK_PRIORITY, int(chain.priority or 0) & 0xFFFFFFFF)
    return hook if chain.device is None else hook + string(_HOOK_DEVICE, chain.device)


def _add_set(item: Set) -> bytes:
    body = _named(item) + be32(_SET_FLAGS, _SET_IS_MAP if item.data else 0)
    body += _typed(_SET_KEY, item.key)
    if item.data == "verdict":
        body += be32(_SET_DATA, _VERDICT_TYPE)
    elif item.data is not None:
        body += _typed(_SET_DATA, item.data)
    # The kernel wants a number to tell sets of one batch apart that have no
    # name yet; ours have one.
    body += be32(_SET_ID, 1)
    typeof = _TYPEOF + _FIB_RESULT if item.key == ("fib saddr oifname",) else b""
    body += _remark(_SET_USERDATA, item.comment, _SET_COMMENT, _byte_orders(item) + typeof)
    return message(_NEW[Set], NLM_F_CREATE, body)


def _typed(kind: int, types: Sequence[Datatype]) -> bytes:
    """The attributes with the type and the size of a key or of data."""
    number = size = 0
    for each in types:
        its_number, its_size = _TYPES[each]
        number = number << _TYPE_BITS | its_number
        size += its_size if len(types) == 1 else its_size + 3 & ~3
    return be32(kind, number) + be32(kind + 1, size)


def _byte_orders(item: Set) -> bytes:
    """User data without which nft prints the names of interfaces as nothing."""
    orders = [_HOST_ORDER if types in _NAMES else _NETWORK_ORDER for types in (item.key, item.data)]
    return b"".join(struct.pack("=BBI", tag, 4, order) for tag, order in enumerate(orders))


def _add_rule(rule: Rule) -> bytes:
    body = _part(rule.family, rule.table, rule.chain)
    body += attribute(_RULE_EXPRESSIONS, encoded(rule))
    if rule.comment is not None:
        body += _remark(_RULE_USERDATA, rule.comment)
    return message(_NEW[Rule], NLM_F_CREATE | NLM_F_APPEND, body)


def _add_element(element: Element) -> bytes:
    more = b""
    if isinstance(element.data, Verdict):
        more = attribute(_ELEMENT_DATA, verdict(element.data))
    elif element.data is not None:
        more = attribute(_ELEMENT_DATA, attribute(_DATA_VALUE, pack(element.data)))
    if element.comment is not None:
        more += _remark(_ELEMENT_USERDATA, element.comment)
    return message(_NEW[Element], NLM_F_CREATE, _element(element, more))


def _element(element: Element, more: bytes) -> bytes:
    key = attribute(_ELEMENT_KEY, attribute(_DATA_VALUE, pack(element.key)))
    place = _part(element.family, element.table, element.set)
    return place + attribute(_ELEMENTS, attribute(_ELEMENT, key + more))


_ADD: Final[dict[type[Object], Callable[[Any], bytes]]] = {
    Table: _add_table,
    Chain: _add_chain,
    Set: _add_set,
    Rule: _add_rule,
    Element: _add_element,
}


# What is there


class Part(NamedTuple):
    """A table, a chain or a rule as the kernel shows it: where it stands, and its attributes.

    `name` is that of a chain, or of the chain of a rule.
    """

    table: str
    name: str
    found: dict[int, bytes]

    @property
    def expressions(self) -> bytes:
        """Those of a rule."""
        return self.found.get(_RULE_EXPRESSIONS, b"")


def parts(socket: Socket, family: str, kind: type[Table | Chain | Rule]) -> list[Part]:
    """All of a kind in all tables of a family, everybody's, in order."""
    place = struct.pack("!BBH", _FAMILIES[family], 0, 0)
    name = _CHAIN_NAME if kind is Chain else _NAME
    answers = map(_fields, socket.dump(message(_GET[kind], NLM_F_DUMP, place)))
    return [Part(_text(each[_TABLE]), _text(each.get(name, b"")), each) for each in answers]


class Stored(NamedTuple):
    """An element as the kernel has it; `data` is empty in a set, and text for a verdict."""

    key: bytes
    data: bytes
    comment: str | None


def stored(element: Element) -> Stored:
    """How the kernel would show `element`."""
    data = b""
    if isinstance(element.data, Verdict):
        data = str(element.data).encode()
    elif element.data is not None:
        data = pack(element.data)
    return Stored(pack(element.key), data, element.comment)


def generation(socket: Socket) -> int:
    """The number of the last commit to any table of the namespace."""
    received = socket.get(message(_GET_GENERATION, 0, struct.pack("!BBH", 0, 0, 0)))
    if received is None:
        return 0
    return _number(_fields(received)[_GENERATION])


def tables(socket: Socket, family: str) -> dict[str, str | None]:
    """The names of the tables of `family`, everybody's, each with its comment."""
    request = message(_GET[Table], NLM_F_DUMP, struct.pack("!BBH", _FAMILIES[family], 0, 0))
    found = {}
    for received in socket.dump(request):
        fields = _fields(received)
        found[_text(fields[_TABLE])] = _comment(fields.get(_TABLE_USERDATA))
    return found


def chains(socket: Socket, family: str, table: str) -> list[str]:
    """The names of the chains of `table`; empty too if there is no such table."""
    found = []
    place = _place(family, table)
    for received in socket.dump(message(_GET[Chain], NLM_F_DUMP, place)):
        fields = _fields(received)
        if _text(fields[_TABLE]) == table:
            found.append(_text(fields[_CHAIN_NAME]))
    return found


def rules(socket: Socket, family: str, table: str, chain: str) -> list[bytes]:
    """The expressions of each rule of `chain`; empty too if there is no such chain."""
    request = message(_GET[Rule], NLM_F_DUMP, _part(family, table, chain))
    return [_fields(received).get(_RULE_EXPRESSIONS, b"") for received in socket.dump(request)]


def elements(socket: Socket, family: str, table: str, name: str) -> list[Stored]:
    """The elements of a set or map; empty too if there is no such set."""
    request = message(_GET[Element], NLM_F_DUMP, _part(family, table, name))
    try:
        answers = socket.dump(request)
    except FileNotFoundError:
        return []
    return [
        _stored(element)
        for received in answers
        for _, element in attribute_list(_fields(received).get(_ELEMENTS, b""))
    ]


def has(socket: Socket, item: Deletable) -> bool:
    """Whether `item` is there as it is described: its type, its hook, its data.

    A comment counts if `item` has one.
    """
    body = _element(item, b"") if isinstance(item, Element) else _named(item)
    received = socket.get(message(_GET[type(item)], 0, body))
    if received is None:
        return False
    found = _fields(received)
    if isinstance(item, Element):
        return same_element(item, _stored(attributes(found[_ELEMENTS])[_ELEMENT]))
    return same(item, found)


def same(item: Table | Chain | Set, found: dict[int, bytes]) -> bool:
    """Whether the attributes that the kernel shows for the name of `item` are its."""
    return _SAME[type(item)](item, found)


def same_element(item: Element, there: Stored) -> bool:
    """Whether what the kernel has for the key of `item` is `item`."""
    return there[:2] == stored(item)[:2] and _agrees(item.comment, there.comment)


def has_rules(socket: Socket, chain: Chain, wanted: Sequence[Rule]) -> bool:
    """Whether the rules of `chain` are these, in this order."""
    there = rules(socket, chain.family, chain.table, chain.name)
    return same_rules([encoded(rule) for rule in wanted], there)


def encoded(rule: Rule) -> bytes:
    """The expressions of a rule."""
    return expressions(rule.complete)


def same_rules(wanted: Sequence[bytes], there: Sequence[bytes]) -> bool:
    """Whether the expressions of the rules of a chain say what ours say, in this order."""
    return len(there) == len(wanted) and all(map(same_expressions, wanted, there))


def _same_table(table: Table, fields: dict[int, bytes]) -> bool:
    return _agrees(table.comment, _comment(fields.get(_TABLE_USERDATA)))


def _same_chain(chain: Chain, fields: dict[int, bytes]) -> bool:
    if not _agrees(chain.comment, _comment(fields.get(_CHAIN_USERDATA))):
        return False
    hook = attributes(fields.get(_CHAIN_HOOK, b""))
    if chain.type is None:
        return not hook
    # The kernel shows the device twice, alone and as a list.
    return (
        all(hook.get(kind) == value for kind, value in attribute_list(_hook(chain)))
        and _number(fields[_CHAIN_POLICY]) == _POLICIES[str(chain.policy)]
        and _text(fields[_CHAIN_TYPE]) == chain.type
    )


def _same_set(item: Set, fields: dict[int, bytes]) -> bool:
    wanted = attributes(_add_set(item), _PAYLOAD)
    kinds = (_SET_FLAGS, _SET_KEY, _SET_KEY + 1, _SET_DATA)
    # What is zero isn't shown.
    return _agrees(item.comment, _comment(fields.get(_SET_USERDATA), _SET_COMMENT)) and all(
        fields.get(kind, bytes(4)) == wanted.get(kind, bytes(4)) for kind in kinds
    )


_SAME: Final[dict[type[Object], Callable[[Any, dict[int, bytes]], bool]]] = {
    Table: _same_table,
    Chain: _same_chain,
    Set: _same_set,
}


def _agrees(wanted: str | None, there: str | None) -> bool:
    return wanted is None or wanted == there


def _stored(element: bytes) -> Stored:
    fields = attributes(element)
    data = attributes(fields.get(_ELEMENT_DATA, b""))
    value = data.get(_DATA_VALUE, b"")
    if _DATA_VERDICT in data:
        value = _verdict_text(attributes(data[_DATA_VERDICT]))
    key = attributes(fields[_ELEMENT_KEY])[_DATA_VALUE]
    return Stored(key, value, _comment(fields.get(_ELEMENT_USERDATA)))


def _verdict_text(fields: dict[int, bytes]) -> bytes:
    word = verdict_word(int.from_bytes(fields[_VERDICT_CODE], "big", signed=True)).encode()
    chain = fields.get(_VERDICT_CHAIN)
    return word if chain is None else word + b" " + chain.rstrip(b"\0")


def _fields(received: Message) -> dict[int, bytes]:
    """The attributes after struct nfgenmsg."""
    return attributes(received.payload, 4)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _comment(data: bytes | None, tag: int = _COMMENT) -> str | None:
    """The comment in user data; that of others may hold anything."""
    place = 0
    while data is not None and place + 2 <= len(data):
        kind, size = data[place], data[place + 1]
        if kind == tag:
            return _text(data[place + 2 : place + 2 + size])
        place += 2 + size
    return None


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
