"""What the kernel has of nftables, and whether it is what an object says (nfnetlink(7))."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pycnm.kernel import nfnumbers as nf
from pycnm.kernel.netlink import (
    NLM_F_DUMP,
    Socket,
    attribute_list,
    attributes,
    message,
)
from pycnm.kernel.nfexpressions import pack, verdict_word
from pycnm.kernel.nfnetlink import (
    Deletable,
    element_of,
    encoded,
    hook_of,
    in_part,
    in_table,
    reference,
    set_of,
)
from pycnm.nft.objects import Chain, Element, Object, Rule, Set, Table
from pycnm.nft.statements import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycnm.kernel.netlink import Message


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
        return self.found.get(nf.RULE_EXPRESSIONS, b"")


def parts(socket: Socket, family: str, kind: type[Table | Chain | Rule]) -> list[Part]:
    """All of a kind in all tables of a family, everybody's, in order."""
    place = struct.pack("!BBH", nf.FAMILIES[family], 0, 0)
    name = nf.CHAIN_NAME if kind is Chain else nf.NAME
    answers = map(_fields, socket.dump(message(nf.GET[kind], NLM_F_DUMP, place)))
    return [Part(_text(each[nf.TABLE]), _text(each.get(name, b"")), each) for each in answers]


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
    received = socket.get(message(nf.GET_GENERATION, 0, struct.pack("!BBH", 0, 0, 0)))
    if received is None:
        return 0
    return _number(_fields(received)[nf.GENERATION])


def tables(socket: Socket, family: str) -> dict[str, str | None]:
    """The names of the tables of `family`, everybody's, each with its comment."""
    request = message(nf.GET[Table], NLM_F_DUMP, struct.pack("!BBH", nf.FAMILIES[family], 0, 0))
    found = {}
    for received in socket.dump(request):
        fields = _fields(received)
        found[_text(fields[nf.TABLE])] = _comment(fields.get(nf.TABLE_USERDATA))
    return found


def chains(socket: Socket, family: str, table: str) -> list[str]:
    """The names of the chains of `table`; empty too if there is no such table."""
    found = []
    place = in_table(family, table)
    for received in socket.dump(message(nf.GET[Chain], NLM_F_DUMP, place)):
        fields = _fields(received)
        if _text(fields[nf.TABLE]) == table:
            found.append(_text(fields[nf.CHAIN_NAME]))
    return found


def rules(socket: Socket, family: str, table: str, chain: str) -> list[bytes]:
    """The expressions of each rule of `chain`; empty too if there is no such chain."""
    request = message(nf.GET[Rule], NLM_F_DUMP, in_part(family, table, chain))
    return [_fields(received).get(nf.RULE_EXPRESSIONS, b"") for received in socket.dump(request)]


def elements(socket: Socket, family: str, table: str, name: str) -> list[Stored]:
    """The elements of a set or map; empty too if there is no such set."""
    request = message(nf.GET[Element], NLM_F_DUMP, in_part(family, table, name))
    try:
        answers = socket.dump(request)
    except FileNotFoundError:
        return []
    return [
        _stored(element)
        for received in answers
        for _, element in attribute_list(_fields(received).get(nf.ELEMENTS, b""))
    ]


def has(socket: Socket, item: Deletable) -> bool:
    """Whether `item` is there as it is described: its type, its hook, its data.

    A comment counts if `item` has one.
    """
    body = element_of(item, b"") if isinstance(item, Element) else reference(item)
    received = socket.get(message(nf.GET[type(item)], 0, body))
    if received is None:
        return False
    found = _fields(received)
    if isinstance(item, Element):
        return same_element(item, _stored(attributes(found[nf.ELEMENTS])[nf.ELEMENT]))
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


def same_rules(wanted: Sequence[bytes], there: Sequence[bytes]) -> bool:
    """Whether the expressions of the rules of a chain say what ours say, in this order."""
    return len(there) == len(wanted) and all(map(same_expressions, wanted, there))


def _same_table(table: Table, fields: dict[int, bytes]) -> bool:
    return _agrees(table.comment, _comment(fields.get(nf.TABLE_USERDATA)))


def _same_chain(chain: Chain, fields: dict[int, bytes]) -> bool:
    if not _agrees(chain.comment, _comment(fields.get(nf.CHAIN_USERDATA))):
        return False
    hook = attributes(fields.get(nf.CHAIN_HOOK, b""))
    if chain.type is None:
        return not hook
    # The kernel shows the device twice, alone and as a list.
    return (
        all(hook.get(kind) == value for kind, value in attribute_list(hook_of(chain)))
        and _number(fields[nf.CHAIN_POLICY]) == nf.POLICIES[str(chain.policy)]
        and _text(fields[nf.CHAIN_TYPE]) == chain.type
    )


def _same_set(item: Set, fields: dict[int, bytes]) -> bool:
    wanted = attributes(set_of(item), nf.PAYLOAD)
    kinds = (nf.SET_FLAGS, nf.SET_KEY, nf.SET_KEY + 1, nf.SET_DATA)
    # What is zero isn't shown.
    return _agrees(item.comment, _comment(fields.get(nf.SET_USERDATA), nf.SET_COMMENT)) and all(
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
    data = attributes(fields.get(nf.ELEMENT_DATA, b""))
    value = data.get(nf.DATA_VALUE, b"")
    if nf.DATA_VERDICT in data:
        value = _verdict_text(attributes(data[nf.DATA_VERDICT]))
    key = attributes(fields[nf.ELEMENT_KEY])[nf.DATA_VALUE]
    return Stored(key, value, _comment(fields.get(nf.ELEMENT_USERDATA)))


def _verdict_text(fields: dict[int, bytes]) -> bytes:
    word = verdict_word(int.from_bytes(fields[nf.VERDICT_CODE], "big", signed=True)).encode()
    chain = fields.get(nf.VERDICT_CHAIN)
    return word if chain is None else word + b" " + chain.rstrip(b"\0")


def _fields(received: Message) -> dict[int, bytes]:
    """The attributes after struct nfgenmsg."""
    return attributes(received.payload, 4)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _comment(data: bytes | None, tag: int = nf.COMMENT) -> str | None:
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


def same_expressions(ours: bytes, theirs: bytes) -> bool:
    """Whether the expressions the kernel shows say what ours say.

    The kernel adds what we left to it, and newer kernels more than older ones;
    so everything of ours must be in it, not the other way round.
    """
    wanted, there = list(attribute_list(ours)), list(attribute_list(theirs))
    return len(wanted) == len(there) and all(
        _same_expression(one, other) for (_, one), (_, other) in zip(wanted, there, strict=True)
    )


@lru_cache(1024)
def _same_expression(ours: bytes, theirs: bytes) -> bool:
    """Whether one says what the other does; most of a guard is in all guards."""
    wanted, there = attributes(ours), attributes(theirs)
    if wanted.get(nf.EXPRESSION_NAME) != there.get(nf.EXPRESSION_NAME):
        return False
    fields = attributes(there.get(nf.EXPRESSION_DATA, b""))
    return all(
        fields.get(kind) == value
        for kind, value in attribute_list(wanted.get(nf.EXPRESSION_DATA, b""))
    )
