"""Numbers of nfnetlink(7) (linux/netfilter/nf_tables.h), and what nft writes beside them."""

from __future__ import annotations

import struct
from typing import Final

from pycnm.nft.objects import Chain, Datatype, Element, Rule, Set, Table

SUBSYSTEM: Final = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
GENERATION, BATCH_GENERATION = 1, 1
FAMILIES: Final = {"inet": 1, "netdev": 5}


def kind(number: int) -> int:
    """The type of a message of this subsystem."""
    return SUBSYSTEM << 8 | number


NEW: Final = {Table: kind(0), Chain: kind(3), Rule: kind(6), Set: kind(9), Element: kind(12)}
GET: Final = {Table: kind(1), Chain: kind(4), Rule: kind(7), Set: kind(10), Element: kind(13)}
DELETE: Final = {Table: kind(2), Chain: kind(5), Set: kind(11), Element: kind(14)}
DELETE_RULE: Final = kind(8)
GET_GENERATION: Final = kind(16)

# Attributes (enum nft_*_attributes); the first two of most are the table and the name.
TABLE, NAME = 1, 2
TABLE_FLAGS, TABLE_USERDATA = 2, 6
CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE, CHAIN_USERDATA = 3, 4, 5, 7, 12
HOOK_NUMBER, HOOK_PRIORITY, HOOK_DEVICE = 1, 2, 3
RULE_EXPRESSIONS, RULE_USERDATA = 4, 7
EXPRESSION_NAME, EXPRESSION_DATA = 1, 2
SET_FLAGS, SET_KEY, SET_DATA, SET_ID, SET_USERDATA = 3, 4, 6, 10, 13
ELEMENTS, ELEMENT = 3, 1
ELEMENT_KEY, ELEMENT_DATA, ELEMENT_USERDATA = 1, 2, 6
DATA_VALUE, DATA_VERDICT = 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2

HOOKS: Final = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
INGRESS: Final = 0
POLICIES: Final = {"drop": 0, "accept": 1}
# nft's own numbers and the sizes of its types; the kernel only stores the numbers.
TYPES: Final[dict[Datatype, tuple[int, int]]] = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "ether_addr": (9, 6),
    "inet_proto": (12, 1),
    "inet_service": (13, 2),
    "ifname": (41, 16),
    "fib saddr oifname": (5, 16),
}
NAMES: Final[set[tuple[Datatype, ...]]] = {("ifname",), ("fib saddr oifname",)}
TYPE_BITS: Final = 6
VERDICT_TYPE: Final = 0xFFFFFF00
HOST_ORDER, NETWORK_ORDER = 1, 2
SET_IS_MAP: Final = 8
# Where the attributes of a message of ours start, after two headers.
PAYLOAD: Final = 20
COMMENT, SET_COMMENT = 0, 7
# What nft knows of the type of a key that has no name: the expression that finds it
# (EXPR_FIB), with its result (NFT_FIB_RESULT_OIFNAME) and flags (NFTA_FIB_F_SADDR).
FIB_RESULT: Final = struct.pack("=BBIBBI", 0, 4, 2, 1, 4, 1)
TYPEOF: Final = struct.pack("=BBBBIBB", 3, 8 + len(FIB_RESULT), 0, 4, 26, 1, len(FIB_RESULT))
