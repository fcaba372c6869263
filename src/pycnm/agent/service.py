"""What a service of the agent is."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Service(Protocol):
    """One kind of work that the agent does.

    It has no state of its own: what it should be doing is recorded in the
    database before it is asked for it, and read from there when it starts.

    Attributes:
        name: how requests name it.
    """

    name: str

    async def start(self) -> None:
        """Take up what is recorded; requests wait meanwhile.

        What can't be taken up is a trouble to be told of, not an error.
        """

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; what is in the request may be anything.

        Raises:
            RefusedError: the request can't be met, and nothing was done.
        """

    def busy(self) -> bool:
        """Whether there is something to do, so that the agent has to live."""

    async def rest(self) -> None:
        """Begin nothing more of its own accord; requests are answered still."""

    async def close(self) -> None:
        """Let go of everything."""


class RefusedError(Exception):
    """A request that isn't met.

    Attributes:
        code: an errno(3) value.
        facts: what else the answer says.
    """

    def __init__(self, code: int, reason: str, **facts: Any) -> None:
        super().__init__(reason)
        self.code = code
        self.facts = facts

    def answer(self) -> dict[str, Any]:
        """What the client is told."""
        return {"error": self.code, "reason": str(self), **self.facts}


def dispatch(
    work: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]], request: dict[str, Any]
) -> dict[str, Any]:
    """The answer of what a request says to `do`.

    Raises:
        RefusedError: it says nothing that there is, or the rest of it makes no sense.
    """
    verb = request.get("do")
    if not isinstance(verb, str) or verb not in work:
        raise RefusedError(errno.EINVAL, f'"do" is one of {", ".join(work)}')
    try:
        return work[verb](request)
    except ValueError as error:
        raise RefusedError(errno.EINVAL, str(error)) from error
