"""What is asked for is understood and done; what fails is put in words."""

from __future__ import annotations

import gc
import importlib
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import cast

from pycnm.cli import ending
from pycnm.cli.arguments import MisuseError, Request, check_operands, read
from pycnm.cli.command import Command, Group
from pycnm.cli.commands import ROOT
from pycnm.cli.output import complain, finish, give_up, say
from pycnm.errors import CNMError

_BROKEN_PIPE = 128 + signal.SIGPIPE


def serve(words: Sequence[str]) -> int:
    """Do what a command line asks for; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A path that is no valid text is shown, not refused.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with ending.in_order():
            return _carry_out(read(ROOT, words))
    except MisuseError as error:
        complain(error)
        return error.status
    except SystemExit as stopped:
        return cast("int", stopped.code)


def _carry_out(request: Request) -> int:
    command = request.command
    failure = command.failure if isinstance(command, Command) else 1
    try:
        status = _answer(request)
        finish()
    except CNMError as error:
        complain(error)
        return failure
    except BrokenPipeError:
        give_up()
        return _BROKEN_PIPE
    except OSError as error:
        give_up()
        complain(_in_words(error))
        return failure
    return status


def _answer(request: Request) -> int:
    command, arguments = request.command, request.arguments
    if arguments.switch("version"):
        say(_version())
    elif arguments.switch("help") or isinstance(command, Group):
        from pycnm.cli import help as manual  # noqa: PLC0415 - seldom asked for

        say(manual.text(request))
    else:
        check_operands(request, command)
        module, _, function = command.handler.partition(":")
        handler = getattr(_load(module), function)
        return cast("int", handler(arguments))
    return 0


def _load(module: str) -> ModuleType:
    """A module, and the library with it, in four fifths of the time.

    What is imported stays to the end, so nobody needs to look for garbage in
    it: not while it is imported, not later, and not when Python ends.
    """
    if module in sys.modules:
        return sys.modules[module]
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow

    try:
        return f"cnm version {version('pycnm')}"
    except PackageNotFoundError:
        return "cnm, not installed: run from its source"


def _in_words(error: OSError) -> str:
    reason = error.strerror or str(error)
    advice = "; run as root" if isinstance(error, PermissionError) else ""
    return f"{error.filename}: {reason}{advice}" if error.filename else f"{reason}{advice}"
