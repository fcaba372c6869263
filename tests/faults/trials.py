"""An operation in a process of its own, in which one system call goes wrong."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import attrs
import gate
from traffic import SLOWNESS

import pycnm

PATIENCE = 30.0 * SLOWNESS
"""Seconds that an operation may take on a busy machine."""

LETHAL = frozenset(gate.NUMBERS) - {"recvfrom", "recvmsg", "socket", "listen"}
"""Calls before which to be killed: between others nothing changes for anybody else."""


_ANY = re.compile(r"[0-9a-f]{6,}|[0-9]+")


def plain(what):
    """What a call is about, less what is another one each time: ids and numbers."""
    return _ANY.sub("*", what)


@attrs.frozen
class Fault:
    """What goes wrong.

    It is at the nth call of its kind, not at the nth of all: threads make theirs in
    any order.

    Attributes:
        name: of the call; empty for none.
        about: what that is about, as `plain` says it.
        nth: which one of them, counted from 1.
        error: what it returns; 0 if its process is killed instead.
    """

    name: str = ""
    about: str = ""
    nth: int = 1
    error: int = 0

    def __str__(self):
        death = errno.errorcode.get(self.error, "KILL")
        return f"{self.name}({self.about})#{self.nth} {death}"


def deaths(calls):
    """One before each call that changes something for others."""
    return [Fault(*kind, nth) for kind, nth in numbered(calls) if kind[0] in LETHAL]


def late(calls):
    """Death when the kernel has all that was asked of it, and the record is still pending."""
    kinds = list(numbered(calls))
    writes = [
        at
        for at, ((name, about), _) in enumerate(kinds)
        if name == "pwrite64" and about.endswith("cnm.db-wal")
    ]
    asked = [
        at
        for at, (kind, _) in enumerate(kinds)
        if kind == ("sendto", "AF_NETLINK") and at < writes[-1]
    ]
    kind, nth = kinds[next(at for at in writes if at > asked[-1])]
    return Fault(*kind, nth)


def numbered(calls):
    """Each call, and which one of its kind it is."""
    seen = Counter()
    for kind in calls:
        seen[kind] += 1
        yield kind, seen[kind]


@attrs.define
class Trial:
    """An operation that was attempted, and how it went.

    Attributes:
        outcome: what the process reported; empty if it was killed.
        calls: of the process that was watched, in order: name, and `plain` what about.
        seen: how many calls there were of the kind of the fault.
        hit: the call that the fault was at; empty if it never came.
    """

    outcome: dict = attrs.field(factory=dict)
    calls: list = attrs.field(factory=list)
    seen: int = 0
    hit: str = ""

    @property
    def done(self):
        """Whether the operation came to its end without an error."""
        return "ended" in self.outcome and not {"error", "crash"} & set(self.outcome)


class Zygote:
    """Starts the processes in which operations are tried."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        places = [Path(pycnm.__file__).parents[1], Path(__file__).parents[1] / "shared"]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "victim.py")],
                stdin=theirs,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
            )
        self._orders = ours

    def close(self):
        self._orders.close()
        self._process.wait(PATIENCE)

    def attempt(
        self, operation, directory, host, fault=Fault(), *, others=False, describe=False, work=None
    ):
        """Have a process do an operation, with a fault.

        Args:
            others: the fault is in a process that this one starts, not in itself.
            describe: say of every call what it is about, which takes time.
            work: what is done here once the process is ready to serve it; it is told to
                end then.
        """
        ours, theirs = socket.socketpair()
        order = {
            "operation": operation,
            "directory": str(directory),
            "host": host,
            # Other processes, and threads that hold Python's lock at the gate before anybody
            # stands there, are seen from the beginning.
            "early": others or work is not None,
        }
        with ours:
            with theirs:
                socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs.fileno()])
            return _Attempt(ours, fault, others=others, describe=describe, work=work).run()


class _Attempt:
    """One process at work, and the gate before its calls."""

    def __init__(self, report, fault, *, others, describe, work):
        self._report, self._fault = report, fault
        self._others, self._describe, self._work = others, describe, work
        self._armed = threading.Event()
        self._processes = {}
        self._last = ()
        self._pid = 0
        self._served = {}
        self.trial = Trial()

    def run(self):
        self._report.settimeout(PATIENCE)
        lines = self._report.makefile("rb")
        self._pid = json.loads(lines.readline())["pid"]
        end = os.pidfd_open(self._pid)
        try:
            self._go_on()
            for line in _lines(lines):
                words = json.loads(line)
                if "listener" in words:
                    self._take(words["listener"])
                elif "armed" in words:
                    self._armed.set()
                    if self._work:
                        self._go_on()
                        self._serve()
                        continue
                else:
                    self._armed.clear()
                    self.trial.outcome = words
                self._go_on()
            _await_end(end)
        except TimeoutError as error:
            error.add_note(_stuck(self._pid))
            raise
        finally:
            self._armed.clear()
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(end, signal.SIGKILL)
            os.close(end)
        if self._work and "crash" not in self.trial.outcome:
            self.trial.outcome = self._served
        return self.trial

    def _take(self, number):
        """Stand at its gate, as long as there is anybody behind it."""
        listener = gate.take(self._pid, number)
        gate.hasten(listener)
        # Whom the process starts is behind it too, perhaps for long.
        threading.Thread(target=self._watch, args=[listener], daemon=True, name="gate").start()

    def _serve(self):
        """Do what the process serves; what becomes of it counts as its outcome."""
        outcome = {"ended": True}
        try:
            self._work()
        except OSError as error:
            # Whose server was killed can't tell what became of it.
            lost = error.errno in {errno.ECONNABORTED, errno.ENOTCONN}
            words = {"error": "OSError", "errno": error.errno, "words": str(error)}
            words["notes"] = getattr(error, "__notes__", [])
            outcome = {} if lost else words
        self._armed.clear()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        self._served = outcome

    def _go_on(self):
        with contextlib.suppress(ConnectionError):
            self._report.send(b"!")

    def _watch(self, listener):
        """Let calls pass, until nobody is left who could make any."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while True:
                ((_, events),) = poll.poll()
                if not events & select.POLLIN:
                    return
                call = gate.receive(listener)
                if call is None:
                    continue
                error = self._decide(call) if self._armed.is_set() else 0
                if error is not None:
                    gate.answer(listener, call, error)
        finally:
            os.close(listener)

    def _decide(self, call):
        """0 to let it pass, an error to have it return that, None if it never will."""
        if call.task not in self._processes:
            self._processes[call.task] = call.process()
        process = self._processes[call.task]
        if (process != self._pid) != self._others:
            return 0
        # The kernel begins a write to some settings anew until it has the lock.
        again = call.name == "write" and call[1:] == self._last[1:]
        self._last = call
        if again:
            return 0
        fault, trial = self._fault, self.trial
        if self._describe:
            trial.calls.append((call.name, plain(call.object())))
        if trial.hit or call.name != fault.name or plain(call.object()) != fault.about:
            return 0
        trial.seen += 1
        if trial.seen < fault.nth:
            return 0
        trial.hit = str(call)
        if fault.error:
            return fault.error
        os.kill(process, signal.SIGKILL)
        return None


def _lines(stream):
    """What a process reports; one that was killed may have left our word unread."""
    with contextlib.suppress(ConnectionResetError):
        yield from stream


def _stuck(process):
    """Where the threads of a process are, in the kernel; its stderr, and ours, have the rest."""
    faulthandler.dump_traceback(2)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGUSR1)
        time.sleep(1)
    found = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError):
            words = [(task / name).read_text().strip() for name in ("comm", "wchan", "syscall")]
            found.append(f"thread {task.name}: {' '.join(words)}")
    return "\n".join(found)


def _await_end(process):
    ended, _, _ = select.select([process], [], [], PATIENCE)
    if not ended:
        raise TimeoutError("the process that did the operation doesn't end")
