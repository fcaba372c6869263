"""Whether a value that was read has the types that its class declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import attrs

from pycnm.spec.wording import shown

_PLAIN = {str, int, bool, NoneType}


def require_shape(value: attrs.AttrsInstance) -> None:
    """Raise if a field has a value of another type than it declares.

    Raises:
        TypeError: one has.
    """
    for name, fits in _checks(type(value)):
        if not fits(getattr(value, name)):
            raise TypeError(f"{name} can't be {shown(getattr(value, name))}")


@cache
def _checks(cls: type[attrs.AttrsInstance]) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    try:
        fields = attrs.fields(attrs.resolve_types(cls))
    except NameError:
        # Somebody else's operation, whose types only a type checker sees.
        return ()
    return tuple((field.name, _check(field.type)) for field in fields)


def _check(kind: Any) -> Callable[[Any], bool]:
    """What says whether a value is of a kind; what it can't say of it lets pass."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        checks = [_check(each) for each in inner]
        return lambda value: any(check(value) for check in checks)
    if origin is tuple and inner[1:] == (...,):
        item = _check(inner[0])
        return lambda value: type(value) is tuple and all(map(item, value))
    if origin is tuple:
        checks = [_check(each) for each in inner]
        return lambda value: (
            type(value) is tuple
            and len(value) == len(checks)
            and all(check(each) for check, each in zip(checks, value, strict=True))
        )
    if kind in _PLAIN:
        # A truth value is a number to isinstance().
        return lambda value: type(value) is kind
    return (lambda value: isinstance(value, kind)) if isinstance(kind, type) else lambda _: True
