"""What a command takes: the values that parsing, help and completion are made from."""

from __future__ import annotations

import enum

import attrs


class Kind(enum.Enum):
    """How often a flag may be given, and what follows it; the value is Docker's word in help."""

    SWITCH = ""
    TEXT = "string"
    NUMBER = "int"
    TEXTS = "list"
    COMMAS = "strings"
    PAIRS = "map"
    CHOICE = "word"
    FILTERS = "filter"


class Known(enum.Enum):
    """What the shell may offer for a word."""

    NOTHING = enum.auto()
    FILES = enum.auto()
    NETWORKS = enum.auto()
    SANDBOXES = enum.auto()
    OBJECTS = enum.auto()
    DRIVERS = enum.auto()
    IPAMS = enum.auto()


@attrs.frozen
class Flag:
    """A flag.

    Attributes:
        name: without its dashes; `also` are other spellings of it.
        short: its letter.
        words: what its value may be, or how it may begin, where that is known;
            `known` is what else the shell may offer.
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    short: str = ""
    also: tuple[str, ...] = ()
    known: Known = Known.NOTHING
    words: tuple[str, ...] = ()


@attrs.frozen
class Operand:
    """A word that is no flag; with `more`, which is what help calls them, any number of words."""

    name: str
    known: Known = Known.NOTHING
    words: tuple[str, ...] = ()
    optional: bool = False
    more: str = ""

    def __str__(self) -> str:
        """How a usage line shows it."""
        text = f"[{self.name}]" if self.optional else self.name
        return f"{text} [{self.more}...]" if self.more else text


@attrs.frozen
class Command:
    """A command.

    Attributes:
        name: the word that calls it; `also` are others.
        handler: `module:function`, imported when the words have been understood.
        example: how it is used.
        details: what the summary doesn't say.
        runs: its last operand is a command of somebody else's, with flags of its own.
        hidden: help doesn't name it.
        failure: its exit status when it fails; `misuse` when the words are wrong.
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
    hidden: bool = False
    failure: int = 1
    misuse: int = 2


@attrs.frozen
class Group:
    """Commands under one word.

    Attributes:
        flags: what all of them take, before or after their own words.
    """

    name: str
    summary: str
    commands: tuple[Command | Group, ...]
    example: str
    flags: tuple[Flag, ...] = ()
    also: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def shown(self) -> list[Command | Group]:
        """The commands that help names."""
        return [command for command in self.commands if not command.hidden]

    def find(self, word: str) -> Command | Group | None:
        """The command that a word calls."""
        for command in self.commands:
            if word == command.name or word in command.also:
                return command
        return None
