"""How an endpoint is slowed down, in the words of tc(8).

`10mbit`, `10mbit delay 20ms loss 1%`, `delay 1s`: a rate, a delay, a loss, in
this order, at least one of them.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from pycnm.errors import InvalidArgumentError
from pycnm.spec.wording import shown

_FORM: Final = re.compile(
    r"(?:(?P<rate>[1-9][0-9]{0,11})(?P<bits>k|m|g|)bit)?"
    r"(?:(?:^| )delay (?P<delay>[1-9][0-9]{0,7})(?P<time>s|ms|us))?"
    r"(?:(?:^| )loss (?P<loss>[0-9]{1,3}(?:\.[0-9]{1,4})?)%)?"
)
_BITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MICROSECONDS: Final = {"us": 1, "ms": 10**3, "s": 10**6}
_LOWEST, _HIGHEST = 8 * 10**3, 100 * 10**9
_LONGEST = 60 * 10**6
_ALL = 100 * 10**4


@attrs.frozen
class Rate:
    """How an endpoint is slowed down; 0 where it isn't.

    Attributes:
        rate: bits a second.
        delay: microseconds.
        loss: of a million packets, how many are lost.
    """

    rate: int = 0
    delay: int = 0
    loss: int = 0

    @classmethod
    def parse(cls, value: object) -> Rate | None:
        """What a text says; None if nothing: it is empty, or None.

        Raises:
            InvalidArgumentError: it says nothing that can be.
        """
        if value is None or value == "":
            return None
        found = _FORM.fullmatch(value) if isinstance(value, str) else None
        if found is None or not value:
            raise _refused(value)
        rate = int(found["rate"] or 0) * _BITS[found["bits"] or ""]
        delay = int(found["delay"] or 0) * _MICROSECONDS[found["time"] or "us"]
        whole, _, rest = (found["loss"] or "0").partition(".")
        loss = int(whole) * 10**4 + int(rest.ljust(4, "0"))
        if found["rate"] and not _LOWEST <= rate <= _HIGHEST:
            raise _refused(value, ": a rate is from 8kbit to 100gbit")
        if delay > _LONGEST:
            raise _refused(value, ": a delay is of 60s at most")
        if found["loss"] and not 0 < loss <= _ALL:
            raise _refused(value, ": a loss is more than 0% and 100% at most")
        return cls(rate, delay, loss)

    def __str__(self) -> str:
        words = [_bits(self.rate)] if self.rate else []
        words += [f"delay {_time(self.delay)}"] if self.delay else []
        words += [f"loss {percent(self.loss)}"] if self.loss else []
        return " ".join(words)


def _refused(value: object, why: str = "") -> InvalidArgumentError:
    return InvalidArgumentError(
        f"invalid rate {shown(value)}{why}; write it as tc does: '10mbit', "
        "'10mbit delay 20ms loss 1%', 'delay 20ms'"
    )


def _bits(rate: int) -> str:
    return f"{_in_units(rate, (('g', 10**9), ('m', 10**6), ('k', 10**3)))}bit"


def _time(delay: int) -> str:
    text = _in_units(delay, (("s", 10**6), ("ms", 10**3)))
    return text if text.endswith("s") else f"{text}us"


def _in_units(number: int, units: tuple[tuple[str, int], ...]) -> str:
    for unit, size in units:
        if number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def percent(loss: int) -> str:
    """A part of a million as a percentage."""
    text = f"{loss // 10**4}.{loss % 10**4:04}"
    return f"{text.rstrip('0').rstrip('.')}%"
