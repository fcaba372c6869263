"""The words of a command line, understood as Docker's commands understand theirs.

`--flag value` and `--flag=value`; `-f value`, `-fvalue` and `-f=value`; letters
joined (`-it`); a switch takes a value only with `=`; flags may follow operands,
except where a command of somebody else's begins; `--` ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import attrs

from pycnm.cli.command import Command, Flag, Group, Kind

_SWITCH = {
    **dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "F", "false", "False", "FALSE"), False),
}
_NUMBER = re.compile(r"[-+]?[0-9]{1,10}")


class MisuseError(Exception):
    """The words make no sense; the message says what would.

    Attributes:
        status: what to exit with.
        flag: the flag whose value is missing, if that is what is wrong.
    """

    def __init__(self, message: str, status: int, flag: Flag | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.flag = flag


@attrs.frozen
class Arguments:
    """What was given to a command.

    Attributes:
        values: of the flags that were given, by name, in the type of their kind.
        operands: the words that are no flags.
    """

    values: Mapping[str, Any]
    operands: tuple[str, ...] = ()

    def switch(self, name: str, *, default: bool = False) -> bool:
        """Whether a switch is on."""
        return cast("bool", self.values.get(name, default))

    def text(self, name: str) -> str | None:
        """The value of a flag; None if it wasn't given."""
        return cast("str | None", self.values.get(name))

    def number(self, name: str) -> int:
        """The number that a flag was given, or 0."""
        return cast("int", self.values.get(name, 0))

    def texts(self, name: str) -> list[str]:
        """The values of a flag that may be given more than once."""
        return cast("list[str]", self.values.get(name, []))

    def pairs(self, name: str) -> dict[str, str]:
        """The values of a flag that are written `key=value`; of a key, the last."""
        return cast("dict[str, str]", self.values.get(name, {}))

    def filters(self) -> dict[str, list[str]]:
        """What is filtered by, with all the values of a key."""
        return cast("dict[str, list[str]]", self.values.get("filter", {}))


@attrs.frozen
class Request:
    """A command line, understood.

    Attributes:
        path: the words that call the command, `cnm` first.
        command: a group where no command of it was named.
        flags: every flag that may be given here.
    """

    path: tuple[str, ...]
    command: Command | Group
    flags: tuple[Flag, ...]
    arguments: Arguments

    @property
    def title(self) -> str:
        """What was called, in words."""
        return " ".join(self.path)

    def refusal(self, message: str, flag: Flag | None = None) -> MisuseError:
        """The error that says what is wrong, and where help is."""
        status = self.command.misuse if isinstance(self.command, Command) else 2
        return MisuseError(f"{message}; see `{self.title} --help`", status, flag)


def read(root: Group, words: Sequence[str]) -> Request:
    """What a command line asks for.  How many operands there are is not checked.

    Raises:
        MisuseError: an unknown flag or command, or a value that a flag can't have.
    """
    request = Request((root.name,), root, root.flags, Arguments({}))
    rest = list(words)
    while True:
        values, rest = _flags(request, rest)
        request = attrs.evolve(request, arguments=Arguments(values, tuple(rest)))
        if isinstance(request.command, Command) or not rest or "help" in values:
            return request
        found = request.command.find(rest[0])
        if found is None:
            names = [command.name for command in request.command.shown]
            raise request.refusal(
                f"unknown command: {request.title} {rest[0]}{_nearest(rest[0], names)}"
            )
        request = attrs.evolve(
            request,
            path=(*request.path, found.name),
            command=found,
            flags=(*found.flags, *request.flags),
        )
        del rest[0]


def check_operands(request: Request, command: Command) -> None:
    """Refuse too few operands, and too many.

    Raises:
        MisuseError: they are.
    """
    given = len(request.arguments.operands)
    needed = [operand for operand in command.operands if not operand.optional]
    usage = f"usage: {request.title} {' '.join(map(str, command.operands))}".rstrip()
    if given < len(needed):
        raise request.refusal(f"{request.title} needs {needed[given].name}; {usage}")
    more = bool(command.operands) and command.operands[-1].more
    if given > len(command.operands) and not more:
        extra = request.arguments.operands[len(command.operands)]
        raise request.refusal(f"one word too many for {request.title}: {extra!r}; {usage}")
    expected = command.operands if given >= len(command.operands) else needed
    for operand, text in zip(expected, request.arguments.operands, strict=False):
        if operand.words and text not in operand.words:
            raise request.refusal(
                f"invalid {operand.name} {text!r}: it is {' or '.join(operand.words)}"
            )


def _flags(request: Request, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of the flags among the words, with those known already; the other words."""
    values = dict(request.arguments.values)
    command = request.command
    runs = isinstance(command, Command) and command.runs
    operands: list[str] = []
    stop = runs or isinstance(command, Group)
    for flag, text in _split(request, words, stop=stop):
        if flag is None:
            operands.append(text)
        else:
            values[flag.name] = _value(request, flag, text, values.get(flag.name))
    before = len(command.operands) - 1 if isinstance(command, Command) and runs else 0
    if before and operands[before : before + 1] == ["--"]:
        del operands[before]
    return values, operands


def _split(request: Request, words: list[str], *, stop: bool) -> Iterator[tuple[Flag | None, str]]:
    """Flags with the text of their values, and operands, which have no flag."""
    waiting = iter(words)
    for word in waiting:
        if word == "--" or (stop and (not word.startswith("-") or word == "-")):
            if word != "--":
                yield None, word
            yield from ((None, rest) for rest in waiting)
        elif word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            flag = _named(request, name)
            yield flag, text if equals else _following(request, flag, word, waiting)
        elif word.startswith("-") and word != "-":
            yield from _letters(request, word[1:], waiting)
        else:
            yield None, word


def _letters(request: Request, letters: str, waiting: Iterator[str]) -> Iterator[tuple[Flag, str]]:
    for after in range(1, len(letters) + 1):
        flag = _lettered(request, letters, after - 1)
        if letters.startswith("=", after):
            yield flag, letters[after + 1 :]
            return
        if flag.kind is not Kind.SWITCH and after < len(letters):
            yield flag, letters[after:]
            return
        yield flag, _following(request, flag, f"-{flag.short}", waiting)


def _named(request: Request, name: str) -> Flag:
    for flag in request.flags:
        if name == flag.name or name in flag.also:
            return flag
    names = [flag.name for flag in request.flags]
    raise request.refusal(f"unknown flag: --{name}{_nearest(name, names, '--')}")


def _lettered(request: Request, letters: str, at: int) -> Flag:
    for flag in request.flags:
        if letters[at] == flag.short:
            return flag
    raise request.refusal(f"unknown shorthand flag: {letters[at]!r} in -{letters[at:]}")


def _following(request: Request, flag: Flag, word: str, waiting: Iterator[str]) -> str:
    """The next word, for a flag that needs one."""
    if flag.kind is Kind.SWITCH:
        return "true"
    for text in waiting:
        return text
    raise request.refusal(f"flag needs an argument: {word}", flag)


def _value(request: Request, flag: Flag, text: str, before: Any) -> object:
    """What a flag is worth now that it is given `text`, after what it was worth."""
    match flag.kind:
        case Kind.TEXT:
            return text
        case Kind.TEXTS:
            return [*(before or []), text]
        case Kind.COMMAS:
            return [*(before or []), *text.split(",")]
        case Kind.PAIRS:
            key, _, value = text.partition("=")
            return {**(before or {}), key: value}
        case Kind.FILTERS:
            return _filtered(request, flag, text, before or {})
    return _checked(request, flag, text)


def _checked(request: Request, flag: Flag, text: str) -> object:
    """The value of a flag that can't have any."""
    if flag.kind is Kind.SWITCH and text in _SWITCH:
        return _SWITCH[text]
    if flag.kind is Kind.NUMBER and _NUMBER.fullmatch(text):
        return int(text)
    if flag.kind is Kind.CHOICE and text in flag.words:
        return text
    right = {Kind.SWITCH: "true or false", Kind.NUMBER: "a whole number"}
    hint = "; let jq(1) do what a Go template does" if "{{" in text else ""
    message = _invalid(flag, text, right.get(flag.kind, " or ".join(flag.words)))
    raise request.refusal(message + hint)


def _filtered(
    request: Request, flag: Flag, text: str, before: dict[str, list[str]]
) -> dict[str, list[str]]:
    key, equals, value = text.partition("=")
    if not equals:
        raise request.refusal(_invalid(flag, text, "KEY=VALUE, such as driver=bridge"))
    return {**before, key: [*before.get(key, []), value]}


def _invalid(flag: Flag, text: str, right: str) -> str:
    return f"invalid argument {text[:60]!r} for --{flag.name}: it should be {right}"


def _nearest(word: str, known: list[str], dashes: str = "") -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - on the way of an error

    close = get_close_matches(word, known, n=1)
    return f" (did you mean {dashes}{close[0]}?)" if close else ""
