"""What hostile input is made of, and what may come of it.

More of it, as long as one likes, and other input each time:

    HOSTILE_EXAMPLES=5000 pytest tests/unit -k hostile
"""

from __future__ import annotations

import os
import string
import time
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pycnm.errors import CNMError

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "0"))
PATIENCE = 5.0
"""Seconds of the processor's time that any one input may cost; it is milliseconds."""

# Hostile words: of shells, paths, SQL, nft, formats; digits that are none, letters that look alike.
WORDS = (
    "", " ", "\0", "\n", "\t", "-", "--", ".", "..", "/", "../../etc/passwd", "%s%n", "{0}", "${x}",
    "$(reboot)", "`id`", "';DROP TABLE networks;--", '"', "'", "\\", "\u202e", "\u200b", "\ufeff",
    "\ud800", "\U0010ffff", "١٢٣", "１２", "²", "e\u0301", "ſ", "K", "İ", "null", "None", "nan",
    "1e9", "0x10", "0b1", "1_000", "+1", "-1", "00", "999999999999999999999", "127.1", "0.0.0.0",
    "::", "::ffff:1.2.3.4", "fe80::1%eth0", "auto", "default", "bridge", "host", "lo", "all",
    "x" * 300,
)  # fmt: skip
LETTERS = st.characters(exclude_categories=())
TEXTS = st.one_of(
    st.sampled_from(WORDS), st.text(LETTERS, max_size=40), st.text(string.printable, max_size=40)
)
"""Any text, half surrogate pairs too."""


def many(examples: int, **more: Any) -> settings:
    """So many examples, the same ones each time; as many as HOSTILE_EXAMPLES says, if it does."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@st.composite
def near(draw: Any, seeds: Sequence[str]) -> str:
    """A text that is right, or almost."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 3)))
        piece = draw(
            st.one_of(
                st.just(""),
                st.just(text[at:end] * 2),
                st.text("0123456789abf:./-,=[]%", max_size=3),
                TEXTS,
            )
        )
        text = text[:at] + piece + text[end:]
    return text


def texts(*seeds: str) -> st.SearchStrategy[str]:
    """Any text, and those that are near these."""
    return st.one_of(near(seeds), near(seeds), TEXTS)


def values(*seeds: str) -> st.SearchStrategy[Any]:
    """Anything at all."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(),
        st.binary(max_size=9),
    )
    text = texts(*seeds)
    return st.one_of(
        text,
        text,
        st.recursive(
            st.one_of(plain, text),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.lists(inner, max_size=2).map(tuple),
                st.dictionaries(st.one_of(text, plain), inner, max_size=3),
            ),
            max_leaves=5,
        ),
    )


def outcome(call: Callable[[], Any]) -> CNMError | None:
    """How a call was refused, in order; None if it wasn't.  Any other exception is one too many."""
    begun = time.process_time()
    refused = None
    try:
        call()
    except CNMError as error:
        refused = error
    assert time.process_time() - begun < PATIENCE
    if refused is not None:
        text = str(refused)
        assert 15 < len(text) < 2000, "a sentence is wanted"
        assert text.isprintable(), repr(text)
        assert refused.errno > 0
    return refused
