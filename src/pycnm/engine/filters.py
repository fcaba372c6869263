"""Which networks a filter of `docker network ls` picks."""

from __future__ import annotations

import re
from collections.abc import Callable

from pycnm.engine import records
from pycnm.engine.records import NetworkRow, Reader
from pycnm.errors import InvalidArgumentError
from pycnm.spec.wording import shown

_TRUE, _FALSE = {"true", "1"}, {"false", "0"}


def matching(reader: Reader, filters: dict[str, object]) -> list[NetworkRow]:
    """The networks that match every filter, by any of its values, or by all of them for labels.

    Raises:
        InvalidArgumentError: an unknown filter, or a value it can't have.
    """
    tests = [_test(reader, name, value) for name, value in filters.items()]
    return [row for row in records.networks(reader) if all(test(row) for test in tests)]


def _test(reader: Reader, name: str, value: object) -> Callable[[NetworkRow], bool]:
    values = list(value) if isinstance(value, (list, tuple, set)) else [value]
    kinds: dict[str, Callable[[str], Callable[[NetworkRow], bool]]] = {
        "name": lambda text: _contains(text, lambda row: row.spec.name),
        "id": lambda text: _contains(text, lambda row: row.spec.id),
        "driver": lambda text: lambda row: row.spec.driver == text,
        "scope": lambda text: lambda row: row.spec.scope == text,
        "label": _label,
        "type": _type,
        "dangling": lambda text: _dangling(reader, text),
    }
    if name not in kinds:
        raise InvalidArgumentError(f"invalid filter {shown(name)}; known are {', '.join(kinds)}")
    tests = [kinds[name](_text(name, item)) for item in values]
    # As Docker has it: a network has many labels, and one of everything else.
    enough = all if name == "label" else any
    return lambda row: enough(test(row) for test in tests)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    raise InvalidArgumentError(f"invalid value {shown(value)} of filter {name}: give text")


def _contains(text: str, of: Callable[[NetworkRow], str]) -> Callable[[NetworkRow], bool]:
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        # The last two of what is too deep, or repeated too often.
        raise InvalidArgumentError(
            f"invalid filter value {shown(text)}: no regular expression ({error})"
        ) from None
    return lambda row: of(row) == text or pattern.search(of(row)) is not None


def _label(text: str) -> Callable[[NetworkRow], bool]:
    key, equals, value = text.partition("=")

    def test(row: NetworkRow) -> bool:
        found = dict(row.spec.labels)
        return key in found and (not equals or found[key] == value)

    return test


def _type(text: str) -> Callable[[NetworkRow], bool]:
    if text not in {"builtin", "custom"}:
        wrong = shown(f"type={text}")
        raise InvalidArgumentError(f"invalid filter {wrong}; it is builtin or custom")
    return lambda row: row.spec.predefined == (text == "builtin")


def _dangling(reader: Reader, text: str) -> Callable[[NetworkRow], bool]:
    if text not in _TRUE | _FALSE:
        wrong = shown(f"dangling={text}")
        raise InvalidArgumentError(f"invalid filter {wrong}; it is true or false")

    def test(row: NetworkRow) -> bool:
        endpoints = records.endpoints_of_network(reader, row.number)
        used = any(not item.spec.kept for item in endpoints)
        return (not used and not row.spec.predefined) == (text in _TRUE)

    return test
