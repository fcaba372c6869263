"""Docker's driver options, `key=value` text, as typed keyword arguments and back.

A driver declares a table of what it understands.  The table reads what a user
wrote, writes what a driver holds, and gives the driver's attrs fields their
default and their check, so that each option is described once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from pycnm.errors import InvalidArgumentError
from pycnm.spec import addresses, names
from pycnm.spec.wording import shown

Scope: TypeAlias = Literal["network", "endpoint", "ipam"]
"""What an option is given to: `create_network`, `connect`, or the network's IPAM."""

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_TEXT_LIMIT: Final = 1024
_PREFIX_LIMIT: Final = 12
_RECIPIENTS: Final[Mapping[str, str]] = {
    "network": "a network",
    "endpoint": "an endpoint",
    "ipam": "an IPAM",
}


@attrs.frozen
class Kind:
    """What values an option takes.  Drivers may make kinds of their own.

    Attributes:
        expects: what is right, in words that follow "it should be".
        parse: makes the typed value of text, or of a value that has the type
            already; raises `InvalidArgumentError` with what would be right.
        format: makes text of a typed value, that `parse` makes the value of.
    """

    expects: str
    parse: Callable[[object], Any]
    format: Callable[[Any], str] = str


def integer(low: int, high: int) -> Kind:
    """The kind of whole numbers from `low` to `high`."""
    expects = f"a whole number from {low} to {high}"

    def parse(value: object) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise InvalidArgumentError(f"it should be {expects}")

    return Kind(expects, parse)


def address(version: Literal[4, 6] | None = None) -> Kind:
    """The kind of IP addresses, of one family if `version` names it."""
    expects = f"an IPv{version} address" if version else "an IP address"
    return Kind(expects, lambda value: addresses.address(value, version=version))


def choice(*words: str) -> Kind:
    """The kind of these words and no others."""
    expects = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]

    def parse(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise InvalidArgumentError(f"it should be {expects}")

    return Kind(expects, parse)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUE | _FALSE:
        return value in _TRUE
    raise InvalidArgumentError("it should be true or false")


def _text(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and len(value) <= _TEXT_LIMIT:
        return value
    raise InvalidArgumentError(f"it should be {TEXT.expects}")


def _interfaces(value: object) -> tuple[str, ...]:
    pieces = value.split(":") if isinstance(value, str) else value
    if not isinstance(pieces, (list, tuple)):
        raise InvalidArgumentError("it should be interface names with colons between them")
    return tuple(names.interface_name(piece) for piece in pieces if piece)


def _prefix(value: object) -> str:
    text = names.interface_name(value)
    if len(text) > _PREFIX_LIMIT:
        raise InvalidArgumentError(
            f"it should have at most {_PREFIX_LIMIT} characters, to leave room for a number"
        )
    return text


FLAG: Final = Kind("true or false", _flag, lambda value: "true" if value else "false")
"""The kind of truth values, spelt as Go's `strconv.ParseBool` takes them."""

INTERFACE: Final = Kind("the name of an interface", names.interface_name)
"""The kind of interface names."""

INTERFACES: Final = Kind("interface names with colons between them", _interfaces, ":".join)
"""The kind of lists of interface names."""

PREFIX: Final = Kind(f"a name of at most {_PREFIX_LIMIT} characters", _prefix)
"""The kind of interface names less a number."""

TEXT: Final = Kind(f"printable text on one line, {_TEXT_LIMIT} characters at most", _text)
"""The kind of any other text."""


@attrs.frozen
class Option:
    """One option of a driver.

    Attributes:
        key: what Docker calls it, `com.docker.network.driver.mtu`.
        attribute: what the driver's attribute and keyword argument is called, `mtu`.
        kind: what values it takes.
        default: its value if it is not given; None if it then has none.
        help: one sentence for people.
        scope: what it is given to.
    """

    key: str
    attribute: str
    kind: Kind
    default: Any = None
    help: str = ""
    scope: Scope = "network"

    def parse(self, value: object, label: str | None = None) -> Any:
        """The typed value.

        Args:
            value: text, or a value of the right type.
            label: how a message calls the option, if not by its key.

        Raises:
            InvalidArgumentError: its kind takes no such value.
        """
        try:
            return self.kind.parse(value)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"failed to parse {label or self.key} value: {shown(value)} ({error})"
            ) from None

    def format(self, value: Any) -> str:
        """The text that `parse` makes `value` of."""
        return self.kind.format(value)


@attrs.frozen
class OptionTable:
    """The options that a driver understands.

    Attributes:
        options: all of them; no key and no attribute comes twice.

    Raises:
        InvalidArgumentError: one comes twice, or a default isn't of its kind.
    """

    options: tuple[Option, ...]
    _by_key: dict[str, Option] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        by_key = {option.key: option for option in self.options}
        attributes = {option.attribute for option in self.options}
        if not len(by_key) == len(attributes) == len(self.options):
            raise InvalidArgumentError("an option table should have each key and attribute once")
        for option in self.options:
            if option.default is not None:
                option.parse(option.default)
        object.__setattr__(self, "_by_key", by_key)

    def __iter__(self) -> Iterator[Option]:
        return iter(self.options)

    def read(self, options: object, scope: Scope = "network") -> dict[str, Any]:
        """Keyword arguments for what `options`, a mapping of Docker's keys, says.

        Raises:
            InvalidArgumentError: it is no mapping; a key is unknown, or belongs
                elsewhere; a value is not of the option's kind.
        """
        if options is None:
            return {}
        if not isinstance(options, Mapping):
            raise InvalidArgumentError(
                f"invalid options {shown(options)}: they should be a mapping of option names "
                "to values"
            )
        keywords = {}
        for key, value in options.items():
            option = self._by_key.get(key) if isinstance(key, str) else None
            if option is None:
                raise InvalidArgumentError(f"unknown option {shown(key)}: {self._advice(key)}")
            if option.scope != scope:
                raise InvalidArgumentError(
                    f"misplaced option {key}: it is for {_RECIPIENTS[option.scope]}, "
                    f"not for {_RECIPIENTS[scope]}"
                )
            keywords[option.attribute] = option.parse(value)
        return keywords

    def write(
        self, holder: object, scope: Scope = "network", *, defaults: bool = False
    ) -> dict[str, str]:
        """Docker's keys with the text of what `holder`, a driver, has under them.

        Args:
            holder: an object with an attribute for each option of that scope.
            scope: whose options to write.
            defaults: write those too that have their default.
        """
        texts = {}
        for option in self.options:
            if option.scope != scope:
                continue
            value = getattr(holder, option.attribute)
            if value is not None and (defaults or value != option.default):
                texts[option.key] = option.format(value)
        return texts

    def field(self, attribute: str) -> Any:
        """The attrs field for an option: with its default, and checked by its kind.

        None stands for "not given" where that is the default.

        Raises:
            InvalidArgumentError: the table has no such attribute.
        """
        for option in self.options:
            if option.attribute == attribute:
                return attrs.field(default=option.default, converter=_Converter(option))
        raise InvalidArgumentError(f"the option table has no attribute {shown(attribute)}")

    def _advice(self, key: object) -> str:
        if not self.options:
            return "there are no options here"
        if not isinstance(key, str):
            return "the name of an option should be text"
        import difflib  # noqa: PLC0415 - only on the way of an error

        # People know the last part, and guess the com.docker.network.driver before it.
        known = {known.rpartition(".")[2]: known for known in self._by_key}
        last = key.rpartition(".")[2].lower()
        nearest = difflib.get_close_matches(last, known, n=1, cutoff=0)[0]
        return f"the nearest known one is {known[nearest]}"


@attrs.frozen
class _Converter:
    option: Option

    def __call__(self, value: object) -> Any:
        if value is None and self.option.default is None:
            return None
        return self.option.parse(value, self.option.attribute)
