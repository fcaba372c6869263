"""Help, in the shape of Docker's."""

from __future__ import annotations

from textwrap import wrap

from pycnm.cli.arguments import Request
from pycnm.cli.command import Flag, Group

_WIDTH = 80


def text(request: Request) -> str:
    """What `--help` shows."""
    command = request.command
    if isinstance(command, Group):
        parts = [_usage(request, "COMMAND"), command.summary, _commands(command)]
    else:
        operands = " ".join(map(str, command.operands))
        parts = [_usage(request, f"[OPTIONS] {operands}"), command.summary]
        if command.details:
            parts.append("\n".join(wrap(command.details, _WIDTH)))
    if command.flags:
        parts.append(_options(command.flags))
    parts.append(f"Example:\n  {command.example}")
    if isinstance(command, Group):
        parts.append(f"Run '{request.title} COMMAND --help' for more about a command.")
    else:
        if command.also:
            parts.append(f"Also called: {', '.join(command.also)}")
        parts.append("Run 'cnm --help' for the options that every command has.")
    return "\n\n".join(parts)


def _usage(request: Request, rest: str) -> str:
    return f"Usage:  {request.title} {rest}".rstrip()


def _commands(group: Group) -> str:
    rows = [(f"  {command.name}", command.summary) for command in group.shown]
    return _columns("Commands:", rows)


def _options(flags: tuple[Flag, ...]) -> str:
    rows = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        short = f"-{flag.short}," if flag.short else "   "
        rows.append((f"  {short} --{flag.name} {flag.kind.value}".rstrip(), flag.help))
    return _columns("Options:", rows)


def _columns(title: str, rows: list[tuple[str, str]]) -> str:
    left = max(len(name) for name, _ in rows) + 2
    lines = [title]
    for name, words in rows:
        first, *more = wrap(words, max(_WIDTH - left, 20))
        lines.append(f"{name:<{left}}{first}")
        lines += [f"{'':<{left}}{line}" for line in more]
    return "\n".join(lines)
