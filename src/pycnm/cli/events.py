"""`cnm events`."""

from __future__ import annotations

from collections.abc import Callable

from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller
from pycnm.cli.output import finish, say
from pycnm.errors import InvalidArgumentError
from pycnm.spec.events import Event
from pycnm.spec.wording import shown

_TYPES = ("network", "sandbox", "endpoint")


def events(arguments: Arguments) -> int:
    """Show events, a line each, as soon as there are any."""
    tests = [_test(key, values) for key, values in arguments.filters().items()]
    since, until = arguments.text("since"), arguments.text("until")
    if since is None and until is None:
        since = "now"
    json = arguments.text("format") == "json"
    with controller(arguments) as cnm:
        for event in cnm.events(follow=True, since=since, until=until):
            if all(test(event) for test in tests):
                say(event.to_json() if json else str(event))
                finish()
    return 0


def _test(key: str, values: list[str]) -> Callable[[Event], bool]:
    """Whether an event has one of the values."""
    if key == "type":
        wanted = {_type(value) for value in values}
        return lambda event: event.type in wanted
    if key == "event":
        return lambda event: event.action in values
    kind = "sandbox" if key == "container" else key
    if kind not in _TYPES:
        raise InvalidArgumentError(
            f"invalid filter {shown(key)}; known are type, event, network, sandbox, container, "
            "endpoint"
        )
    return lambda event: any(_is_about(event, kind, value) for value in values)


def _type(value: str) -> str:
    # What Docker calls a container is a sandbox here.
    kind = "sandbox" if value == "container" else value
    if kind not in _TYPES:
        wrong = shown(f"type={value}")
        raise InvalidArgumentError(
            f"invalid filter {wrong}; it is network, sandbox, container or endpoint"
        )
    return kind


def _is_about(event: Event, kind: str, reference: str) -> bool:
    """Whether a name, an id or the beginning of an id means something the event is about."""
    known = dict(event.attributes)
    if event.type == kind:
        name, identity = event.name, event.id
    elif kind == "network":
        name, identity = known.get("network", ""), known.get("networkID", "")
    elif kind == "sandbox":
        name, identity = known.get("sandbox", ""), known.get("container", "")
    else:
        name = identity = ""
    return bool(reference) and (name == reference or identity.startswith(reference))
