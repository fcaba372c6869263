"""`cnm run` and `cnm exec`: a command of the user's in a sandbox."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from pycnm.cli.arguments import Arguments
from pycnm.cli.companion import accompany, in_background, noting
from pycnm.cli.opening import controller
from pycnm.cli.output import complain, say
from pycnm.cli.sandbox import settings
from pycnm.cli.wishes import endpoint_wishes
from pycnm.controller import Controller
from pycnm.errors import CNMError, NotFoundError
from pycnm.sandbox import Sandbox

_NOT_STARTED, _NOT_FOUND = 126, 127
_FRESH = "run-"


def run(arguments: Arguments) -> int:
    """Run a command in a new sandbox; its exit status."""
    wishes = endpoint_wishes(arguments)
    if arguments.switch("detach"):
        return in_background(lambda leave: _run(arguments, wishes, leave))
    return _run(arguments, wishes)


def execute(arguments: Arguments) -> int:
    """Run a command in a sandbox that is there; its exit status."""
    name, *command = arguments.operands
    with contextlib.ExitStack() as whole:
        with controller(arguments) as cnm:
            sandbox = cnm.sandbox(name)
            noted = whole.enter_context(noting())
            try:
                process = sandbox.popen(command)
            except OSError as error:
                return _not_started(command, error)
        return accompany(process, noted, lambda: None)


def _run(
    arguments: Arguments,
    wishes: dict[str, dict[str, Any]],
    leave: Callable[[], None] | None = None,
) -> int:
    """Run it; in the background, once `leave` is called."""
    command = list(arguments.operands)
    apart: dict[str, Any] = {}
    if leave is not None:
        nothing = subprocess.DEVNULL
        apart = {"stdin": nothing, "stdout": nothing, "stderr": nothing}
        apart["start_new_session"] = True
    with contextlib.ExitStack() as whole:
        with controller(arguments) as cnm, contextlib.ExitStack() as unfinished:
            sandbox = unfinished.enter_context(_sandbox(cnm, arguments, wishes))
            for network, wish in wishes.items():
                cnm.network(network).connect(sandbox, **wish)
            noted = whole.enter_context(noting())
            try:
                process = sandbox.popen(command, **apart)
            except OSError as error:
                return _not_started(command, error)
            unfinished.pop_all()
        # Nothing is held open while the command runs, which may be for long.
        if leave is not None:
            say(sandbox.id)
            leave()
            if not arguments.switch("rm"):
                return 0
        return accompany(process, noted, lambda: _clear(arguments, sandbox.id))


def _sandbox(cnm: Controller, arguments: Arguments, wishes: dict[str, dict[str, Any]]) -> Sandbox:
    """A new sandbox that suits its networks: the host itself for network `host`."""
    drivers = [cnm.network(network).driver for network in wishes]
    name = arguments.text("name")
    return cnm.create_sandbox(
        f"{_FRESH}{os.urandom(4).hex()}" if name is None else name,
        netns="host" if "host" in drivers else None,
        **settings(arguments),
    )


def _clear(arguments: Arguments, identity: str) -> None:
    """Delete the sandbox of a command that has ended, if that is wished."""
    if not arguments.switch("rm"):
        return
    try:
        with controller(arguments) as cnm, contextlib.suppress(NotFoundError):
            cnm.sandbox(identity).delete()
    except CNMError as error:
        complain(error)


def _not_started(command: Sequence[str], error: OSError) -> int:
    """Say why a command can't be started; the exit status a shell has for it.

    Raises:
        OSError: it isn't the command's fault.
    """
    if error.filename != command[0]:
        raise error
    if error.errno == errno.ENOENT:
        complain(f"{command[0]!r}: no such program")
        return _NOT_FOUND
    complain(f"{command[0]!r} can't be started: {error.strerror}")
    return _NOT_STARTED
