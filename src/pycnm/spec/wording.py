"""How values that were refused appear in the message that refuses them."""

from __future__ import annotations

_LIMIT = 60


def shown(value: object) -> str:
    """`value` as a message can print it: short, on one line, whatever it is.

    Plain words stand as they are, the way Docker prints them; everything else
    is quoted, so that white space, control characters and look-alikes show.
    """
    if isinstance(value, str):
        if (
            value.isascii()
            and value.isprintable()
            and " " not in value
            and 0 < len(value) <= _LIMIT
        ):
            return value
        text = str.__repr__(value[:_LIMIT])
        if len(value) > _LIMIT:
            return f"{text[:_LIMIT]}... ({len(value)} characters)"
    else:
        text = _representation(value)
    return text if len(text) <= _LIMIT else f"{text[:_LIMIT]}..."


def _representation(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - repr() is the caller's code, and may raise anything
        return f"<{type(value).__name__}>"
    return text if text.isprintable() else repr(text)


def told(error: BaseException) -> str:
    """What somebody else's error says, on one line, whatever it quotes."""
    text = str(error)
    return text if text.isprintable() else repr(text)
