"""Names of objects, interfaces and hosts; ids; labels.

Every function returns its argument when it is well-formed and raises
`InvalidArgumentError` with what would be right when it is not.  Whether the
name is taken, or known, is not asked here.

Source: Docker's name pattern; the kernel's `dev_valid_name` (net/core/dev.c)
and `sysctl_dev_name_is_allowed` (net/core/sysctl_net_core.c); RFC 1123, 2.1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from pycnm.errors import InvalidArgumentError
from pycnm.spec.wording import shown

NAME_LIMIT: Final = 255
"""Longest object name: a sandbox's name is a file name under /run/netns."""

INTERFACE_LIMIT: Final = 15
"""Longest interface name, in bytes (IFNAMSIZ without the closing NUL)."""

ID_LENGTH: Final = 64
SHORT_ID_LENGTH: Final = 12

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Labels as a value: pairs sorted by key."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_NAME_RULE = (
    f"it should be 1 to {NAME_LIMIT} ASCII letters, digits, '_', '.' and '-', "
    "of which the first is a letter or a digit"
)

# '%' makes the kernel choose a number, '*' makes nft match a prefix, and quotes
# and backslashes cannot be written in nft's text.
_INTERFACE = re.compile(r"[!#$&'()+,\-.0-9;<=>?@A-Z\[\]^_`a-z{|}~]+")
_INTERFACE_RULE = (
    f"it should be 1 to {INTERFACE_LIMIT} printable ASCII characters "
    "without space, '/', ':', '%', '*', '\"' and '\\'"
)
_INTERFACE_RESERVED = frozenset({".", "..", "all", "default"})

_ID_PREFIX = re.compile(rf"[0-9a-f]{{1,{ID_LENGTH}}}")

_DOMAIN_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_DOMAIN = re.compile(rf"{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*")
_DOMAIN_LIMIT = 253
_HOSTNAME_LIMIT = 64

_LABEL_KEY_LIMIT = 255
_LABEL_VALUE_LIMIT = 65535


def object_name(value: object, what: str = "network") -> str:
    """`value`, if it can name a network, an endpoint or a sandbox.

    Raises:
        InvalidArgumentError: it does not match `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, or
            is longer than `NAME_LIMIT`.
    """
    return _name(value, f"{what} name", "name")


def reference(value: object, what: str = "network") -> str:
    """`value`, if it can refer to an object: a name, an id or the start of an id.

    A well-formed reference to nothing is a `NotFoundError`, raised by whoever looks.

    Raises:
        InvalidArgumentError: no object could ever be called so.
    """
    return _name(value, f"reference to a {what}", "reference")


def interface_name(value: object, what: str = "interface name") -> str:
    """`value`, if the kernel takes it, letter by letter, as the name of an interface.

    Raises:
        InvalidArgumentError: the kernel, or the text of an nft rule, gives it
            no meaning or another one.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: {_INTERFACE_RULE}, as a str")
    match = _INTERFACE.fullmatch(value)
    if match is None:
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: {_INTERFACE_RULE}")
    name = match.group()
    if len(name) > INTERFACE_LIMIT:
        raise InvalidArgumentError(
            f"invalid {what} {shown(value)}: it has {len(name)} characters and "
            f"the kernel takes {INTERFACE_LIMIT}; shorten it"
        )
    if name in _INTERFACE_RESERVED:
        raise InvalidArgumentError(
            f"invalid {what} {shown(value)}: the kernel keeps this word for itself; choose another"
        )
    return name


def hostname(value: object, what: str = "hostname") -> str:
    """`value`, if sethostname(2) takes it and it can be looked up in the DNS.

    Underscores are let through, because names of sandboxes have them.

    Raises:
        InvalidArgumentError: it is not a host name of at most 64 characters.
    """
    return _domain(value, what, _HOSTNAME_LIMIT)


def domain_name(value: object, what: str = "alias") -> str:
    """`value`, if it can be looked up in the DNS: an alias, a search domain.

    Raises:
        InvalidArgumentError: it is not a host name of at most 253 characters.
    """
    return _domain(value, what, _DOMAIN_LIMIT)


def new_id() -> str:
    """A fresh id: 64 lower-case hexadecimal digits, the first 12 not all decimal.

    A short id of digits alone would be taken for a number by YAML, JSON and shells.
    """
    while True:
        identifier = os.urandom(ID_LENGTH // 2).hex()
        if not identifier[:SHORT_ID_LENGTH].isdigit():
            return identifier


def is_id_prefix(text: str) -> bool:
    """Whether `text` is an id or could be the start of one."""
    return _ID_PREFIX.fullmatch(text) is not None


def labels(value: object, what: str = "label") -> Labels:
    """Labels as sorted pairs, from a mapping; of None, no pair.

    Raises:
        InvalidArgumentError: a key is empty, too long, unprintable or has a '=';
            a value is not text, too long, or no valid Unicode.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(
            f'invalid {what}s {shown(value)}: they should be a mapping, such as {{"tier": "front"}}'
        )
    pairs = []
    for name, text in value.items():
        key = label_key(name, f"{what} key")
        if not isinstance(text, str):
            raise InvalidArgumentError(
                f"invalid value {shown(text)} of {what} {shown(key)}: it should be text"
            )
        _require_storable(text, f"value of {what} {shown(key)}")
        pairs.append((key, text))
    return tuple(sorted(pairs))


def label_key(value: object, what: str = "label key") -> str:
    """`value`, if it can be the key of a label or of anything else written `key=value`.

    Raises:
        InvalidArgumentError: it is empty, too long, unprintable, or has a '='.
    """
    if (
        isinstance(value, str)
        and 0 < len(value) <= _LABEL_KEY_LIMIT
        and value.isprintable()
        and "=" not in value
    ):
        return value
    raise InvalidArgumentError(
        f"invalid {what} {shown(value)}: it should be 1 to {_LABEL_KEY_LIMIT} "
        "printable characters without '='"
    )


def _require_storable(text: str, what: str) -> None:
    if len(text) > _LABEL_VALUE_LIMIT:
        raise InvalidArgumentError(
            f"invalid {what}: it has {len(text)} characters; {_LABEL_VALUE_LIMIT} are allowed"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"invalid {what} {shown(text)}: half a surrogate pair is no character; "
            "it should be valid Unicode"
        ) from None
    if "\0" in text:
        raise InvalidArgumentError(f"invalid {what} {shown(text)}: it should have no NUL character")


def _name(value: object, what: str, noun: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: {_NAME_RULE}, as a str")
    match = _NAME.fullmatch(value)
    if match is not None and len(value) <= NAME_LIMIT:
        return match.group()
    if not value.strip():
        raise InvalidArgumentError(f"invalid {what}: {noun} is empty; {_NAME_RULE}")
    raise InvalidArgumentError(f"invalid {what} {shown(value)}: {_NAME_RULE}")


def _domain(value: object, what: str, limit: int) -> str:
    match = _DOMAIN.fullmatch(value) if isinstance(value, str) and len(value) <= limit else None
    if match is None:
        raise InvalidArgumentError(
            f"invalid {what} {shown(value)}: it should be at most {limit} characters in parts "
            "of 1 to 63 ASCII letters, digits, '_' and '-', joined by single dots, "
            "no part starting or ending with '-'"
        )
    return match.group()
