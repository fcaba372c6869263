"""The end of a command that is told to end: in order, whatever it was doing."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_swallowed: list[BaseException] = []


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as ^C does: when the kernel's work is whole."""

    def stop(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    complaining, sys.unraisablehook = sys.unraisablehook, _unraisable
    try:
        yield
    finally:
        sys.unraisablehook = complaining
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_swallowed() -> None:
    """End, if that was asked for where Python lets nothing be raised.

    It calls back from its own work, at imports above all, and goes on whatever comes of
    that.  What is done soon may as well be finished; what isn't asks here before it begins.

    Raises:
        KeyboardInterrupt, SystemExit: it was.
    """
    if _swallowed:
        raise _swallowed.pop()


def _unraisable(what: UnraisableHookArgs) -> None:
    if isinstance(what.exc_value, KeyboardInterrupt | SystemExit):
        _swallowed.append(what.exc_value)
    else:
        sys.__unraisablehook__(what)
