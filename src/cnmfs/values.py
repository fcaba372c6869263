"""How values look in files: one a line, a newline at the end, nothing for what is unset."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping
from typing import Any

from cnmfs.tree import refuse
from pycnm.spec.wording import shown

AUTO = "auto"
"""What is written where something is to be chosen."""

# A number may have too many digits, and brackets may go too deep.
_NO_JSON = (ValueError, RecursionError)

_YES = {"1", "true", "yes", "on", "y"}
_NO = {"0", "false", "no", "off", "n"}


def line(value: object) -> str:
    """A value as a file shows it."""
    return "" if value is None or value == "" else f"{value}\n"


def lines(values: Iterable[object]) -> str:
    """Values, one a line."""
    return "".join(f"{value}\n" for value in values)


def keyed(values: Mapping[str, object]) -> str:
    """Names and values, one pair a line, as files of cgroup2 show them."""
    return "".join(f"{name} {value}\n" for name, value in values.items())


def flag(value: bool) -> str:
    """A boolean as the kernel shows it."""
    return "1\n" if value else "0\n"


def document(value: object) -> str:
    """JSON, for people to read."""
    return json.dumps(value, indent=4) + "\n"


def one(text: str) -> str:
    """The one value that was written, without the blanks and the newline around it."""
    found = text.strip()
    if "\n" in found:
        raise refuse(errno.EINVAL, "one value is taken here; write a single line")
    return found


def several(text: str) -> list[str]:
    """The values that were written, one a line; blank lines don't count."""
    return [item for item in (part.strip() for part in text.split("\n")) if item]


def pairs(text: str) -> dict[str, str]:
    """The names and values that were written, one pair a line."""
    found = {}
    for item in several(text):
        name, _, value = item.partition(" ")
        if not value.strip():
            raise refuse(
                errno.EINVAL, f"{shown(item)} has no value; write `NAME VALUE`, a pair a line"
            )
        found[name] = value.strip()
    return found


def boolean(text: str) -> bool:
    """A boolean, in any of the words that sysfs takes."""
    word = one(text).lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise refuse(errno.EINVAL, f"{shown(word)} is neither 1 nor 0")


def number(text: str) -> int:
    """A whole number."""
    word = one(text)
    try:
        return int(word)
    except ValueError:
        raise refuse(errno.EINVAL, f"{shown(word)} is no whole number") from None


def unfinished(text: str) -> bool:
    """Whether this is the beginning of JSON, and no more."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    except _NO_JSON:
        return False
    return False


def mapping(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = json.loads(text)
    except _NO_JSON as error:
        raise refuse(errno.EINVAL, f"this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise refuse(errno.EINVAL, 'a JSON object is taken here: {"name": value, ...}')
    return found
