"""Other people's firewalls: whether one of them drops what our networks send.

An accept of ours can't override a drop of theirs (nft(8), "chain"), and their
tables are theirs.  So all that can be done is to say so.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

from pycnm.kernel.netlink import NLM_F_DUMP, Message, Socket, attribute, attributes, message
from pycnm.nft import ruleset

_GET_CHAIN, _GET_RULE = 10 << 8 | 4, 10 << 8 | 7
_FORWARD = 2
_DROP = 0
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_TABLE, _CHAIN, _HOOK, _POLICY = 1, 3, 4, 5
_HOOK_NUMBER = 1
_RULE_EXPRESSIONS = 4
_VALUE = 1
_PREFIX = b"br-"


class _Chain(NamedTuple):
    family: int
    table: str
    name: str


def obstacles(connection: Socket, bridges: Sequence[str]) -> list[str]:
    """What drops packets that are forwarded for `bridges`, and what to add there; sentences.

    A table that has a rule about a bridge is taken to have it on purpose.
    """
    told = []
    for chain in _dropping(connection):
        known = _values(connection, chain)
        blocked = [bridge for bridge in bridges if not _mentioned(bridge, known)]
        if blocked:
            told.append(
                f"chain {chain.name} of table {_FAMILIES[chain.family]} {chain.table} drops what "
                f"it doesn't accept, and it has no rule about {', '.join(blocked)}: add "
                f"{_advice(chain, blocked[0])}"
            )
    return told


def _dropping(connection: Socket) -> list[_Chain]:
    """Base chains at the forward hook whose policy is drop, but ours."""
    request = message(_GET_CHAIN, NLM_F_DUMP, struct.pack("!BBH", 0, 0, 0))
    found = []
    for received in connection.dump(request):
        fields = attributes(received.payload, 4)
        hook = attributes(fields.get(_HOOK, b"")).get(_HOOK_NUMBER)
        chain = _Chain(received.payload[0], _text(fields[_TABLE]), _text(fields[_CHAIN]))
        forwards = hook is not None and int.from_bytes(hook, "big") == _FORWARD
        drops = int.from_bytes(fields.get(_POLICY, b"\1"), "big") == _DROP
        ours = (_FAMILIES.get(chain.family), chain.table) == (ruleset.FAMILY, ruleset.TABLE)
        if forwards and drops and chain.family in _FAMILIES and not ours:
            found.append(chain)
    return found


def _values(connection: Socket, chain: _Chain) -> bytes:
    """The expressions of all rules of a chain's table, one after the other."""
    place = struct.pack("!BBH", chain.family, 0, 0)
    place += attribute(_TABLE, chain.table.encode() + b"\0")
    answers: list[Message] = connection.dump(message(_GET_RULE, NLM_F_DUMP, place))
    return b"".join(
        attributes(received.payload, 4).get(_RULE_EXPRESSIONS, b"") for received in answers
    )


def _mentioned(bridge: str, expressions: bytes) -> bool:
    """Whether a rule compares with the name of a bridge, or with `br-` and anything after it."""
    anything = attribute(_VALUE, _PREFIX)
    return bridge.encode() + b"\0" in expressions or (
        bridge.startswith(_PREFIX.decode()) and anything in expressions
    )


def _advice(chain: _Chain, bridge: str) -> str:
    family = _FAMILIES[chain.family]
    if (chain.table, chain.name) == ("filter", "FORWARD") and family != "inet":
        program = "iptables" if family == "ip" else "ip6tables"
        return (
            f"`{program} -I FORWARD -i {quote(bridge)} -j ACCEPT` and "
            f"`{program} -I FORWARD -o {quote(bridge)} -j ACCEPT`"
        )
    where = f"{family} {chain.table} {chain.name}"
    name = bridge if quote(bridge) == bridge else quote(f'"{bridge}"')
    return (
        f"`nft insert rule {where} iifname {name} accept` and "
        f"`nft insert rule {where} oifname {name} accept`"
    )


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
