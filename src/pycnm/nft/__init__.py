"""nftables as values: what `nft add` takes, and what netfilter is sent.

Nothing here touches a kernel.  `pycnm.kernel.nfnetlink` encodes these values;
`ruleset` and `guard` say which of them pycnm needs.
"""

from __future__ import annotations

from pycnm.nft.objects import Chain, Element, Object, Rule, Set, Table
from pycnm.nft.statements import ACCEPT, DROP, RETURN, Verdict, goto, jump
from pycnm.nft.words import Protocol

__all__ = [
    "ACCEPT",
    "DROP",
    "RETURN",
    "Chain",
    "Element",
    "Object",
    "Protocol",
    "Rule",
    "Set",
    "Table",
    "Verdict",
    "goto",
    "jump",
]
