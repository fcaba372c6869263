"""nftables through netlink: values of `pycnm.nft` as messages, and what the kernel holds.

`add` and `delete` make one message each, to be sent between `begin` and `end`
with `Socket.batch`: all of a batch is committed, or nothing.  The readers ask
for our own tables by name, so nobody else's rules can confuse them.

Source: linux/netfilter/nf_tables.h; the layout of user data is libnftnl's.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pycnm.kernel import nfnumbers as nf
from pycnm.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    attribute,
    be32,
    message,
    string,
)
from pycnm.kernel.nfexpressions import expressions, pack, verdict
from pycnm.nft.objects import Chain, Datatype, Element, Object, Rule, Set, Table
from pycnm.nft.statements import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


Deletable: TypeAlias = Table | Chain | Set | Element


def begin(generation: int | None = None) -> bytes:
    """The message that opens a batch.

    With a generation the kernel refuses the batch (ERESTART) if anything was
    committed since `generation` was asked.
    """
    stamp = b"" if generation is None else be32(nf.BATCH_GENERATION, generation)
    return message(nf.BATCH_BEGIN, 0, struct.pack("!BBH", 0, 0, nf.SUBSYSTEM) + stamp)


def end() -> bytes:
    """The message that commits a batch."""
    return message(nf.BATCH_END, 0, struct.pack("!BBH", 0, 0, nf.SUBSYSTEM))


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
    kind = nf.DELETE[type(item)]
    if isinstance(item, Element):
        return message(kind, 0, element_of(item, b""))
    return message(kind, 0, reference(item))


def flush(chain: Chain) -> bytes:
    """The message that deletes the rules of `chain`."""
    return message(nf.DELETE_RULE, 0, in_part(chain.family, chain.table, chain.name))


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
def in_table(family: str, table: str) -> bytes:
    """What most messages start with: struct nfgenmsg and the name of the table."""
    return struct.pack("!BBH", nf.FAMILIES[family], 0, 0) + string(nf.TABLE, table)


@lru_cache(64)
def in_part(family: str, table: str, name: str) -> bytes:
    """The same, and the name of a chain or set in it."""
    return in_table(family, table) + string(nf.NAME, name)


def reference(item: Table | Chain | Set) -> bytes:
    """What names an object."""
    if isinstance(item, Table):
        return in_table(item.family, item.name)
    if isinstance(item, Chain):
        return in_table(item.family, item.table) + string(nf.CHAIN_NAME, item.name)
    return in_part(item.family, item.table, item.name)


def _remark(kind: int, comment: str | None, tag: int = nf.COMMENT, before: bytes = b"") -> bytes:
    """The attribute with user data: fields of type, length and value."""
    if comment is not None:
        text = comment.encode() + b"\0"
        before += bytes((tag, len(text))) + text
    return attribute(kind, before) if before else b""


def _add_table(table: Table) -> bytes:
    body = reference(table) + be32(nf.TABLE_FLAGS, 0) + _remark(nf.TABLE_USERDATA, table.comment)
    return message(nf.NEW[Table], NLM_F_CREATE, body)


def _add_chain(chain: Chain) -> bytes:
    body = reference(chain)
    if chain.type is not None:
        body += attribute(nf.CHAIN_HOOK, hook_of(chain)) + be32(
            nf.CHAIN_POLICY, nf.POLICIES[str(chain.policy)]
        )
        body += string(nf.CHAIN_TYPE, chain.type)
    return message(nf.NEW[Chain], NLM_F_CREATE, body + _remark(nf.CHAIN_USERDATA, chain.comment))


def hook_of(chain: Chain) -> bytes:
    """Where a chain of ours is hooked in."""
    number = nf.HOOKS.get(str(chain.hook), nf.INGRESS)
    hook = be32(nf.HOOK_NUMBER, number)
    hook += be32(nf.HOOK_PRIORITY, int(chain.priority or 0) & 0xFFFFFFFF)
    return hook if chain.device is None else hook + string(nf.HOOK_DEVICE, chain.device)


def set_of(item: Set) -> bytes:
    """The message that adds a set or a map."""
    body = reference(item) + be32(nf.SET_FLAGS, nf.SET_IS_MAP if item.data else 0)
    body += _typed(nf.SET_KEY, item.key)
    if item.data == "verdict":
        body += be32(nf.SET_DATA, nf.VERDICT_TYPE)
    elif item.data is not None:
        body += _typed(nf.SET_DATA, item.data)
    # The kernel wants a number to tell sets of one batch apart that have no
    # name yet; ours have one.
    body += be32(nf.SET_ID, 1)
    typeof = nf.TYPEOF + nf.FIB_RESULT if item.key == ("fib saddr oifname",) else b""
    body += _remark(nf.SET_USERDATA, item.comment, nf.SET_COMMENT, _byte_orders(item) + typeof)
    return message(nf.NEW[Set], NLM_F_CREATE, body)


def _typed(kind: int, types: Sequence[Datatype]) -> bytes:
    """The attributes with the type and the size of a key or of data."""
    number = size = 0
    for each in types:
        its_number, its_size = nf.TYPES[each]
        number = number << nf.TYPE_BITS | its_number
        size += its_size if len(types) == 1 else its_size + 3 & ~3
    return be32(kind, number) + be32(kind + 1, size)


def _byte_orders(item: Set) -> bytes:
    """User data without which nft prints the names of interfaces as nothing."""
    orders = [
        nf.HOST_ORDER if types in nf.NAMES else nf.NETWORK_ORDER for types in (item.key, item.data)
    ]
    return b"".join(struct.pack("=BBI", tag, 4, order) for tag, order in enumerate(orders))


def encoded(rule: Rule) -> bytes:
    """The expressions of a rule."""
    return expressions(rule.complete)


def _add_rule(rule: Rule) -> bytes:
    body = in_part(rule.family, rule.table, rule.chain)
    body += attribute(nf.RULE_EXPRESSIONS, encoded(rule))
    if rule.comment is not None:
        body += _remark(nf.RULE_USERDATA, rule.comment)
    return message(nf.NEW[Rule], NLM_F_CREATE | NLM_F_APPEND, body)


def _add_element(element: Element) -> bytes:
    more = b""
    if isinstance(element.data, Verdict):
        more = attribute(nf.ELEMENT_DATA, verdict(element.data))
    elif element.data is not None:
        more = attribute(nf.ELEMENT_DATA, attribute(nf.DATA_VALUE, pack(element.data)))
    if element.comment is not None:
        more += _remark(nf.ELEMENT_USERDATA, element.comment)
    return message(nf.NEW[Element], NLM_F_CREATE, element_of(element, more))


def element_of(element: Element, more: bytes) -> bytes:
    """What names an element, with more about it."""
    key = attribute(nf.ELEMENT_KEY, attribute(nf.DATA_VALUE, pack(element.key)))
    place = in_part(element.family, element.table, element.set)
    return place + attribute(nf.ELEMENTS, attribute(nf.ELEMENT, key + more))


_ADD: Final[dict[type[Object], Callable[[Any], bytes]]] = {
    Table: _add_table,
    Chain: _add_chain,
    Set: set_of,
    Rule: _add_rule,
    Element: _add_element,
}
