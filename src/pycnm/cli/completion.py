"""Completion: the script for a shell, and the words that it asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from pycnm.cli.arguments import Arguments, MisuseError, Request, read
from pycnm.cli.command import Command, Flag, Group, Kind, Known, Operand
from pycnm.cli.commands import ROOT
from pycnm.cli.output import say

_BASH = """\
# Completion of cnm for bash.  Use it with: source <(cnm completion bash)
_cnm() {
    local line="${COMP_LINE:0:COMP_POINT}" last offered begun=""
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last="${words[-1]}"
    COMPREPLY=()
    if ! offered="$("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)"; then
        compopt -o default
        return
    fi
    [[ -n $offered ]] || return
    mapfile -t COMPREPLY <<<"$offered"
    # What stands before the last of these signs is another word for bash.
    [[ $last == *=* && $COMP_WORDBREAKS == *=* ]] && begun="${last%=*}="
    COMPREPLY=("${COMPREPLY[@]#"$begun"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _cnm cnm
"""


def script(_arguments: Arguments) -> int:
    """Show the script for bash."""
    say(_BASH.rstrip())
    return 0


def complete(arguments: Arguments) -> int:
    """Show what the last word may become; exit with 1 where the shell knows better."""
    offered = offer(ROOT, arguments.operands)
    say(*(offered or ()))
    return 1 if offered is None else 0


def offer(root: Group, words: Sequence[str]) -> list[str] | None:
    """What the last of the words may become; None where that is the name of a file."""
    *before, last = words or [""]
    missing: Flag | None = None
    try:
        request = read(root, before)
    except MisuseError as error:
        if error.flag is None:
            return []
        missing = error.flag
        request = read(root, before[:-1])
    if missing is not None:
        return _beginning(last, _values(request, missing))
    if last.startswith("-") and "--" not in before and not _running(request):
        return _flags(request, last)
    if isinstance(request.command, Group):
        return _beginning(last, [command.name for command in request.command.shown])
    operand = _next(request.command, len(request.arguments.operands))
    if operand is None:
        return []
    found = _values(request, operand)
    given = request.arguments.operands
    return _beginning(last, None if found is None else [w for w in found if w not in given])


def _running(request: Request) -> bool:
    """Whether the words of somebody else's command have begun."""
    command = request.command
    return isinstance(command, Command) and command.runs and bool(request.arguments.operands)


def _next(command: Command, given: int) -> Operand | None:
    if given < len(command.operands):
        return command.operands[given]
    last = command.operands[-1] if command.operands else None
    return last if last is not None and last.more else None


def _flags(request: Request, last: str) -> list[str] | None:
    name, equals, text = last.partition("=")
    if not equals:
        return _beginning(last, [f"--{flag.name}" for flag in request.flags])
    for flag in request.flags:
        if name[2:] in {flag.name, *flag.also}:
            found = _beginning(text, _values(request, flag))
            return None if found is None else [f"{name}={value}" for value in found]
    return []


def _values(request: Request, wanted: Flag | Operand) -> list[str] | None:
    """The words that a flag or an operand may have; None if they are names of files."""
    if wanted.known is Known.FILES:
        return None
    if isinstance(wanted, Flag) and wanted.kind is Kind.SWITCH:
        return ["true", "false"]
    return [*wanted.words, *_names(request.arguments, wanted.known)]


def _names(arguments: Arguments, known: Known) -> list[str]:
    """The names that there are; none if they can't be read."""
    if known is Known.NOTHING:
        return []
    from pycnm.cli.opening import controller  # noqa: PLC0415 - most words need no library
    from pycnm.drivers.registry import DRIVERS, IPAMS  # noqa: PLC0415
    from pycnm.drivers.registry import known as registered  # noqa: PLC0415
    from pycnm.errors import CNMError  # noqa: PLC0415

    if known in {Known.DRIVERS, Known.IPAMS}:
        return registered(DRIVERS if known is Known.DRIVERS else IPAMS)
    names: list[str] = []
    with contextlib.suppress(CNMError, OSError), controller(arguments) as cnm:
        if known is not Known.SANDBOXES:
            names += cnm.network_names()
        if known is not Known.NETWORKS:
            names += cnm.sandbox_names()
    return names


def _beginning(last: str, words: Iterable[str] | None) -> list[str] | None:
    return None if words is None else [word for word in words if word.startswith(last)]
