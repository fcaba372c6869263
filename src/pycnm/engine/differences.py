"""How the kernel differs from what is recorded, by whose plan it is."""

from __future__ import annotations

import json
from collections.abc import Collection

from pycnm.engine.engine import Engine
from pycnm.engine.records import Reader
from pycnm.plan.operation import Operation
from pycnm.plan.rules import Entry, Guard, Skeleton
from pycnm.plan.shaping import Policer

RULES = (Skeleton, Entry, Guard, Policer)

Recorded = tuple[str, Operation]
"""An operation that should be true, and whose it is."""

Differences = dict[str, dict[Operation, str]]
"""What the kernel differs from, by owner, with how, in words."""


def recorded(
    reader: Reader,
    owners: Collection[str] | None = None,
    kinds: Collection[type[Operation]] = (),
) -> list[Recorded]:
    """The operations that should be true, in the order of doing.

    Args:
        owners: whose; by default everybody's.
        kinds: of which kinds; by default of all.
    """
    conditions = ["arriving IS NULL AND leaving IS NULL"]
    values = []
    if owners is not None:
        conditions.append("owner IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(sorted(set(owners))))
    if kinds:
        conditions.append("json_extract(body, '$[0]') IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([kind.__name__ for kind in kinds]))
    rows = reader.execute(
        f"SELECT owner, body FROM operations WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY number",
        values,
    )
    return [(owner, Operation.from_json(body)) for owner, body in rows.fetchall()]


def differing(
    engine: Engine,
    owners: Collection[str] | None = None,
    kinds: Collection[type[Operation]] = (),
) -> Differences:
    """Whose plans the kernel differs from, and how."""
    with engine.reading() as reader:
        found = recorded(reader, owners, kinds)
    words = dict(engine.kernel.check(operation for _, operation in found))
    differing: Differences = {}
    for owner, operation in found:
        if operation in words:
            differing.setdefault(owner, {})[operation] = words[operation]
    return differing


def are_rules(differences: Differences) -> bool:
    """Whether nothing else differs: a rule takes nothing along when it goes, or comes."""
    return all(isinstance(each, RULES) for found in differences.values() for each in found)
