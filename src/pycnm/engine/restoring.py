"""What somebody removed, put back under the locks that whoever changes it holds."""

from __future__ import annotations

import json
from collections.abc import Collection

from pycnm.engine import wiring
from pycnm.engine.differences import RULES, Differences, are_rules, differing, recorded
from pycnm.engine.engine import Engine
from pycnm.engine.realising import is_shared
from pycnm.engine.records import Reader
from pycnm.errors import CleanupError, CNMError
from pycnm.plan.operation import Operation
from pycnm.store.locks import Lock

_AT_ONCE = 100
_PATIENCE = 3


def put_back(
    engine: Engine,
    owners: Collection[str] | None = None,
    seen: Differences | None = None,
) -> list[Operation]:
    """Do again what the kernel doesn't hold any more; what was done, in that order.

    Nothing is recorded of it: all of it is what the record says already, so
    that one who dies over it leaves less to do to the next.

    Args:
        owners: whose plans; by default everybody's.
        seen: how the kernel differs; by default it is looked at.

    Raises:
        CleanupError: some of it could not be put back.
    """
    done: list[Operation] = []
    rounds: list[Differences] = []
    while found := differing(engine, owners) if seen is None else seen:
        # One is the other's end, as in a damaged record; or somebody is against it.
        if rounds.count(found) == _PATIENCE:
            words = {each for differences in found.values() for each in differences.values()}
            raise CleanupError("part of it could not be put back", [*map(CNMError, sorted(words))])
        rounds.append(found)
        done += restore(engine, found)
        if are_rules(found):
            break
        seen = None
    return done


def restore(engine: Engine, differences: Differences) -> list[Operation]:
    """The same for those that were seen to differ, some at a time.

    Whoever wants to change one of them meanwhile doesn't wait for all.

    Raises:
        CleanupError: some of it could not be put back; the rest was.
    """
    done: list[Operation] = []
    failures: list[Exception] = []
    kinds = RULES if are_rules(differences) else ()
    with engine.reading() as reader:
        portions = _portions(reader, differences)
    for owners in portions:
        try:
            done += _restore(engine, owners, kinds)
        except CleanupError as error:
            failures += error.exceptions
    if failures:
        raise CleanupError("part of it could not be put back", failures)
    return done


def _restore(
    engine: Engine, owners: Collection[str], kinds: Collection[type[Operation]]
) -> list[Operation]:
    while True:
        locks = _locks(engine, owners)
        with engine.locks.hold(locks):
            # What differs because somebody is at work on it doesn't when he is done;
            # and meanwhile it may have gone elsewhere.
            if _locks(engine, owners) <= locks:
                return _put_back(engine, owners, kinds)


def _portions(reader: Reader, owners: Collection[str]) -> list[set[str]]:
    """Owners that are locked together: the host; then networks; then sandboxes, with all in them.

    Each needs no more than those before it.
    """
    listed = (json.dumps(sorted(owners)),)
    among = "IN (SELECT value FROM json_each(?))"
    host = {*filter(is_shared, owners)}
    rows = reader.execute(f"SELECT id FROM networks WHERE id {among} ORDER BY number", listed)  # noqa: S608
    networks = [{identity} for (identity,) in rows]
    boxes: dict[object, set[str]] = {}
    rows = reader.execute(
        f"SELECT id, number FROM sandboxes WHERE id {among} UNION ALL "  # noqa: S608
        f"SELECT id, sandbox FROM endpoints WHERE id {among}",
        listed * 2,
    )
    for identity, box in rows:
        boxes.setdefault(box, set()).add(identity)
    rest = {*owners} - host.union(*networks, *boxes.values())
    for owner in rest:
        box = wiring.sandbox_of(owner)
        boxes.setdefault(owner if box is None else box, set()).add(owner)
    parts = [[host] if host else [], networks, [*boxes.values()]]
    return [
        set().union(*part[start : start + _AT_ONCE])
        for part in parts
        for start in range(0, len(part), _AT_ONCE)
    ]


def _put_back(
    engine: Engine, owners: Collection[str], kinds: Collection[type[Operation]]
) -> list[Operation]:
    done: dict[Operation, None] = {}
    failures: list[Exception] = []
    rounds: list[dict[Operation, str]] = []
    with engine.reading() as reader:
        operations = [operation for _, operation in recorded(reader, owners, kinds)]
    looked_at = operations
    while True:
        found = dict(engine.kernel.check(looked_at))
        if not found:
            return list(done)
        if found in rounds:
            words = [CNMError(each) for each in found.values()]
            raise CleanupError("part of it could not be put back", failures or words)
        # What hangs on something that is put back went with it, seen or not.
        lost = {name for operation in found for name in operation.keeps()}
        todo = [
            operation
            for operation in operations
            if operation in found or not lost.isdisjoint(operation.within())
        ]
        failures.clear()
        try:
            engine.kernel.restore(todo)
        except CleanupError as error:
            failures += error.exceptions
        done |= dict.fromkeys(todo)
        rounds.append(found)
        looked_at = todo


def _locks(engine: Engine, owners: Collection[str]) -> set[Lock]:
    """What keeps everybody else from changing these plans.

    An endpoint's don't change while its sandbox is locked, nor those of one who
    changes the whole network.
    """
    listed = (json.dumps(sorted(owners)),)
    among = "IN (SELECT value FROM json_each(?))"
    locks = {Lock.host(exclusive=True)} if any(map(is_shared, owners)) else set()
    boxes = {number for each in owners if (number := wiring.sandbox_of(each)) is not None}
    with engine.reading() as reader:
        rows = reader.execute(f"SELECT number FROM networks WHERE id {among}", listed)  # noqa: S608
        networks = {number: True for (number,) in rows}
        rows = reader.execute(f"SELECT number FROM sandboxes WHERE id {among}", listed)  # noqa: S608
        boxes |= {number for (number,) in rows}
        for network, sandbox in reader.execute(
            f"SELECT network, sandbox FROM endpoints WHERE id {among}",  # noqa: S608
            listed,
        ):
            networks.setdefault(network, False)
            boxes |= {sandbox} - {None}
    locks |= {Lock.network(number, exclusive=whole) for number, whole in networks.items()}
    return locks | {Lock.sandbox(number) for number in boxes}
