"""The controller that flags and environment name, and work on several objects."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from pycnm.cli.arguments import Arguments
from pycnm.cli.output import complain, say
from pycnm.controller import DEFAULT_STATE_DIR, Controller
from pycnm.errors import CNMError, InvalidArgumentError, NotFoundError
from pycnm.spec.wording import shown


def state_dir(arguments: Arguments) -> str:
    """The state directory that was asked for."""
    named = arguments.text("state-dir")
    return named if named is not None else os.environ.get("CNM_STATE_DIR") or DEFAULT_STATE_DIR


def host(arguments: Arguments) -> str | int | None:
    """The host that was asked for; None is the namespace of the caller."""
    named = arguments.text("host")
    if named is None:
        named = os.environ.get("CNM_HOST") or None
    return None if named is None else namespace(named)


def controller(arguments: Arguments) -> Controller:
    """A controller of the host and the state directory that were asked for."""
    return Controller(state_dir(arguments), host=host(arguments), ipv6=ipv6())


def ipv6() -> bool | None:
    """Whether the default network is to have IPv6; None leaves it as it is.

    Raises:
        InvalidArgumentError: the environment says neither.
    """
    text = os.environ.get("CNM_IPV6") or None
    if text not in {None, "0", "1"}:
        raise InvalidArgumentError(f"invalid CNM_IPV6 {shown(text)}: it should be 1 or 0")
    return None if text is None else text == "1"


def namespace(text: str) -> str | int:
    """A namespace by name or path, or by pid if it is a number."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def each(names: Iterable[str], work: Callable[[str], None]) -> int:
    """Do something with each, whatever becomes of the others; the exit status."""
    status = 0
    for name in names:
        try:
            work(name)
        except CNMError as error:
            complain(error)
            status = 1
    return status


def remove(arguments: Arguments, delete: Callable[[str], None]) -> int:
    """Delete each operand and print its name; with `--force`, those that there are."""

    def delete_one(name: str) -> None:
        try:
            delete(name)
        except NotFoundError:
            if not arguments.switch("force"):
                raise
        else:
            say(name)

    return each(arguments.operands, delete_one)
