"""Moments, as Docker's `--since` and `--until` take them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from pycnm.errors import InvalidArgumentError
from pycnm.spec.wording import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9
LARGEST = 2**63 - 1
"""The last number, and with a minus the first moment, that is told from those beyond it."""

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h)")
_AGO = re.compile(rf"([-+]?)((?:{_PART.pattern})+)")
_UNIX = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?")
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?)"
    r"(?:\.([0-9]{1,9}))?(Z|[-+][0-9]{2}:[0-9]{2})?"
)


def moment(value: object, what: str) -> int:
    """A moment in nanoseconds since 1970.

    Args:
        value: a datetime; or text: RFC 3339, a date, seconds since 1970, how long ago
            (`10m`, `1h30m`), or `now`.  Without a time zone it is local time.
        what: the argument, for the error.

    Raises:
        InvalidArgumentError: it is none of them.
    """
    found = None
    try:
        if isinstance(value, datetime):
            found = _nanoseconds(value)
        elif isinstance(value, str):
            found = _parsed(value.strip())
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None:
        raise InvalidArgumentError(
            f"invalid {what} {shown(value)}: give a moment such as 2026-11-24T10:00:00Z, seconds "
            "since 1970, how long ago such as 10m, or now"
        )
    return max(-LARGEST, min(found, LARGEST))


def _nanoseconds(value: datetime) -> int:
    return (value.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


def _parsed(text: str) -> int | None:
    if text == "now":
        return time.time_ns()
    if match := _UNIX.fullmatch(text):
        return int(match[1]) * _SECOND + _fraction(match[2])
    if match := _AGO.fullmatch(text):
        ago = sum(Fraction(number) * _UNITS[unit] for number, unit in _PART.findall(match[2]))
        return time.time_ns() - int(ago) * (-1 if match[1] == "-" else 1)
    if match := _DATE.fullmatch(text):
        whole = datetime.fromisoformat(match[1] + (match[3] or ""))
        return _nanoseconds(whole) + _fraction(match[2])
    return None


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
