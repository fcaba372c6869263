"""What happened: an event as `docker events` shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import attrs

_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _sorted(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    items = value.items() if isinstance(value, Mapping) else value
    return tuple(sorted((str(key), str(text)) for key, text in items))


@attrs.frozen
class Event:
    """A change that was made, by whichever process.

    Attributes:
        number: its place among the events of a state directory; no number is left out.
        time_ns: when the change was final, in nanoseconds since 1970.
        type: `network`, `sandbox` or `endpoint`.
        action: `create`, `connect`, `disconnect`, `update` or `destroy` of a network,
            `create` or `destroy` of a sandbox, `publish` or `unpublish` of an endpoint.
        id: the id of the network, sandbox or endpoint.
        attributes: what else is known, in the order of its keys: `name`; of a network its
            driver as `type`; of what happened in a sandbox its id as `container`.
    """

    number: int
    time_ns: int
    type: str
    action: str
    id: str
    attributes: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_sorted)

    @property
    def name(self) -> str:
        """What the network, sandbox or endpoint was called then."""
        return dict(self.attributes).get("name", "")

    @property
    def time(self) -> datetime:
        """When the change was final, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)

    def to_json(self) -> str:
        """One line, as `docker events --format json` prints it."""
        return json.dumps(
            {
                "Type": self.type,
                "Action": self.action,
                "Actor": {"ID": self.id, "Attributes": dict(self.attributes)},
                "scope": "local",
                "time": self.time_ns // _SECOND,
                "timeNano": self.time_ns,
            },
            separators=(",", ":"),
        )

    def __str__(self) -> str:
        seconds, rest = divmod(self.time_ns, _SECOND)
        moment = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
        told = ", ".join(f"{key}={text}" for key, text in self.attributes)
        return f"{moment}.{rest:09}Z {self.type} {self.action} {self.id} ({told})"
