"""What a command takes: the values its help, its parsing and its completion are made from."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

OWN_FAILURE = 1
MISUSE = 2
RUN_FAILURE = 125
"""What `run` and `exec` exit with when it is not the command's own status, as Docker's do."""


class Kind(enum.Enum):
    """How often a flag may be given, and what its values are."""

    SWITCH = ""
    TEXT = "string"
    NUMBER = "int"
    TEXTS = "list"
    COMMAS = "strings"
    PAIRS = "map"


class Known(enum.Enum):
    """What the shell may offer for a word."""

    NETWORKS = enum.auto()
    SANDBOXES = enum.auto()
    OBJECTS = enum.auto()
    DRIVERS = enum.auto()
    IPAMS = enum.auto()
    FILES = enum.auto()
    NOTHING = enum.auto()


@attrs.frozen
class Flag:
    """A flag.

    Attributes:
        name: without its dashes; `also` are other spellings of it.
        short: its letter.
        words: the words that may follow, where there are few.
        known: what else the shell may offer.
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    short: str = ""
    also: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    known: Known = Known.NOTHING

    @property
    def shown(self) -> str:
        """How the flag is written."""
        return f"--{self.name}"


@attrs.frozen
class Operand:
    """A word that is no flag, or, if `many`, all the words that are left."""

    name: str
    known: Known = Known.NOTHING
    words: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False

    def __str__(self) -> str:
        text = f"[{self.name}]" if self.optional else self.name
        return f"{text} [{self.name}...]" if self.many else text


@attrs.frozen
class Command:
    """A command.

    Attributes:
        name: the word that calls it; `also` are others.
        example: how it is used.
        handler: `module:function`, imported when the words have been understood.
        runs: what follows its last operand is somebody else's command, with its own flags.
        failure: what it exits with when it fails, and `misuse` when the words are wrong.
    """

    name: str
    summary: str
    handler: str
    example: str
    operands: tuple[Operand, ...] = ()
    flags: tuple[Flag, ...] = ()
    also: tuple[str, ...] = ()
    details: str = ""
    runs: bool = False
    failure: int = OWN_FAILURE
    misuse: int = MISUSE

    def __call__(self, arguments: Arguments) -> int:
        """Do it; its exit status."""
        module, _, function = self.handler.partition(":")
        handler = getattr(importlib.import_module(module), function)
        return cast("int", handler(arguments))


@attrs.frozen
class Group:
    """Commands under one word."""

    name: str
    summary: str
    commands: tuple[Command | Group, ...]
    example: str

    def find(self, word: str) -> Command | Group | None:
        """The command that a word calls."""
        for command in self.commands:
            if word == command.name or (isinstance(command, Command) and word in command.also):
                return command
        return None


@attrs.frozen
class Arguments:
    """What the words of a command line say.

    Attributes:
        values: of the flags that were given, by name: a bool, a number, a text,
            a list of texts, or a mapping, as the flag's kind says.
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
        """The number a flag was given, or 0."""
        return cast("int", self.values.get(name, 0))

    def texts(self, name: str) -> list[str]:
        """The values of a flag that may be given more than once."""
        return cast("list[str]", self.values.get(name, []))

    def pairs(self, name: str) -> dict[str, str]:
        """The values of a flag that are written `key=value`."""
        return cast("dict[str, str]", self.values.get(name, {}))


Handler = Callable[[Arguments], int]


class MisuseError(Exception):
    """The words of the command line make no sense; the message says what would.

    Attributes:
        status: what to exit with.
    """

    def __init__(self, message: str, status: int = MISUSE) -> None:
        super().__init__(message)
        self.status = status
