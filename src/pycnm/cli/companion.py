"""A process that accompanies a command: it waits, passes signals on, or goes to the background."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from pycnm.cli.ending import raise_swallowed
from pycnm.cli.output import finish

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_BY_A_PROCESS = 0
"""Highest si_code of what a process sent; ^C and all else of the kernel's are above it."""


@contextlib.contextmanager
def noting() -> Iterator[list[int]]:
    """Signals that arrive meanwhile are noted, to be passed on; ignored ones stay ignored.

    What the command is started with is not changed: exec(2) forgets handlers,
    and would keep a mask.

    Raises:
        KeyboardInterrupt, SystemExit: one has arrived before, unheard.
    """
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda arrived, _frame: noted.append(arrived))
        for number in _PASSED_ON
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        raise_swallowed()
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def accompany(
    process: subprocess.Popen[Any], noted: list[int], afterwards: Callable[[], None]
) -> int:
    """Wait for a command; its exit status as a shell says it.

    It shares our process group, so what the terminal sends (^C) reaches it
    without us.  What another process sends to us is meant for it, and passed on.

    Args:
        noted: signals that arrived since before it was started.
        afterwards: called when it has ended, and not interrupted by any signal.
    """
    # Where SIGCHLD is ignored, as some start us, no exit status is kept.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    watched = {*_PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        for number in noted:
            process.send_signal(number)
        while process.poll() is None:
            arrived = signal.sigwaitinfo(watched)
            if arrived.si_signo != signal.SIGCHLD and arrived.si_code <= _BY_A_PROCESS:
                process.send_signal(arrived.si_signo)
        afterwards()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
    return shell_status(process.returncode)


def shell_status(code: int) -> int:
    """An exit status, or 128 and the number of the signal that ended the process."""
    return code if code >= 0 else 128 - code


def in_background(work: Callable[[Callable[[], None]], int]) -> int:
    """Have `work` done by a process of our own; the exit status of this one, or of both.

    Args:
        work: is given what to call when all that is left can be done in the
            background: then this process is free to end.  Until then it waits,
            and what becomes of `work` becomes of it.
    """
    finish()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return work(lambda: _leave(writer))
    os.close(writer)
    started = os.read(reader, 1)
    os.close(reader)
    if started:
        return 0
    return shell_status(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _leave(writer: int) -> None:
    """Let go of the terminal and of whoever waits."""
    finish()
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    os.write(writer, b"+")
    os.close(writer)
