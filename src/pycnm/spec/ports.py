"""Published ports: what somebody asks for, and what is in force.

Source: the text forms of `docker run --publish`, and the order in which
Docker's bridge driver makes bindings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from pycnm.errors import InvalidArgumentError
from pycnm.spec import addresses
from pycnm.spec.wording import shown

if TYPE_CHECKING:
    from netaddr import IPAddress

PROTOCOLS: Final[Mapping[str, int]] = {"tcp": 6, "udp": 17, "sctp": 132}
"""Protocols that have ports and their IP numbers, in the order their bindings are made."""

Group: TypeAlias = tuple[bool, int, int, int, int]

_IPV6 = 6
_ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - compared with, not bound to
_LARGEST = 65535
_LARGEST_DIGITS = len(str(_LARGEST))
_KEYS = ("host_ip", "host_port", "container_port", "protocol")
_CHOOSE = (0, 0)
_FORM = (
    "it should be PORT, HOST_PORT:PORT or ADDRESS:HOST_PORT:PORT, where HOST_PORT may be empty, "
    "an IPv6 ADDRESS is in brackets, a port may be a range such as 8000-8010, and /udp or /sctp "
    "may follow"
)


def _host_address(value: object) -> IPAddress | None:
    return None if value is None else addresses.listen_address(value)


@attrs.frozen(kw_only=True)
class PortSpec:
    """Ports of a sandbox to be reached at the host, as somebody asked for them.

    Several container ports are published pairwise at as many host ports, or
    each at one that the host chooses.  For a single container port a host range
    is a choice: the first free port of it is taken.

    Attributes:
        host_address: address of the host; None is the network's default.
        host_first: first port of the host, 1 to 65535; 0 lets the host choose.
        host_last: last port of the host; `host_first` if not given.
        container_first: first port in the sandbox, 1 to 65535.
        container_last: last port in the sandbox; `container_first` if not given.
        protocol: a key of `PROTOCOLS`.

    Raises:
        InvalidArgumentError: a value is out of range or contradicts another.
    """

    host_address: IPAddress | None = attrs.field(default=None, converter=_host_address)
    host_first: int = 0
    host_last: int = attrs.field()
    container_first: int
    container_last: int = attrs.field()
    protocol: str = "tcp"

    @host_last.default
    def _one_host_port(self) -> int:
        return self.host_first

    @container_last.default
    def _one_container_port(self) -> int:
        return self.container_first

    def __attrs_post_init__(self) -> None:
        _protocol(self.protocol)
        _require_ports(self.container_first, self.container_last, "container")
        chosen = (self.host_first, self.host_last) == _CHOOSE
        _require_ports(self.host_first, self.host_last, "host", lowest=0 if chosen else 1)
        container = self.container_last - self.container_first + 1
        host = self.host_last - self.host_first + 1
        if not chosen and container not in {1, host}:
            raise _refused(
                str(self),
                f"{container} container ports cannot be published at {host} host ports; "
                "give two ranges of the same length",
            )

    @classmethod
    def parse(cls, value: object) -> PortSpec:
        """What `value` asks for.

        Args:
            value: text in a form that `docker run --publish` takes, such as
                `80`, `8080:80`, `127.0.0.1::80/udp`, `[::1]:8000-8010:80`; or a mapping
                with the keys host_ip, host_port, container_port and protocol;
                or a `PortSpec`.

        Raises:
            InvalidArgumentError: it is none of these, or asks for what cannot be.
        """
        if isinstance(value, str):
            return _of_text(value)
        if isinstance(value, PortSpec):
            return value
        if isinstance(value, Mapping):
            return _of_mapping(value)
        raise _refused(value, 'give text such as "8080:80", a mapping, or a PortSpec')

    def __str__(self) -> str:
        """The canonical text; `parse` makes an equal value of it."""
        container = f"{_range_text(self.container_first, self.container_last)}/{self.protocol}"
        host = _range_text(self.host_first, self.host_last) if self.host_first else ""
        if self.host_address is not None:
            return f"{_bracketed(self.host_address)}:{host}:{container}"
        return f"{host}:{container}" if host else container

    @property
    def exact(self) -> bool:
        """Whether each container port has its one host port, so that nothing is to be chosen."""
        host = self.host_last - self.host_first
        return self.host_first != 0 and host == self.container_last - self.container_first

    @property
    def group(self) -> Group:
        """A sort key that specifications share which differ in the host address only.

        Expanded specifications of one group get the same host port.  Groups
        sort in the order to serve them.
        """
        return (
            not self.exact,
            self.container_first,
            PROTOCOLS[self.protocol],
            self.host_first,
            self.host_last,
        )

    def expand(self) -> tuple[PortSpec, ...]:
        """One specification for each container port."""
        if self.container_first == self.container_last:
            return (self,)
        step = 1 if self.host_first else 0
        return tuple(
            PortSpec(
                host_address=self.host_address,
                host_first=self.host_first + step * offset,
                container_first=self.container_first + offset,
                protocol=self.protocol,
            )
            for offset in range(self.container_last - self.container_first + 1)
        )


@attrs.frozen(kw_only=True)
class PortBinding:
    """One port of a sandbox as it is reached now: at the host, or at its own address.

    Attributes:
        protocol: a key of `PROTOCOLS`.
        host_address: address of the host; 0.0.0.0 or :: for all of that family.
        host_port: port of the host; 0 where there is none, because the network is routed
            and the port is open at `address` itself.
        address: address in the sandbox.
        port: port in the sandbox.

    Raises:
        InvalidArgumentError: a value is of the wrong type or out of range.
    """

    protocol: str
    host_address: IPAddress = attrs.field(converter=addresses.listen_address)
    host_port: int
    address: IPAddress = attrs.field(converter=addresses.address)
    port: int

    def __attrs_post_init__(self) -> None:
        _protocol(self.protocol)
        _require_port(self.host_port, "host", lowest=0)
        _require_port(self.port, "container")

    def __str__(self) -> str:
        """It as `docker ps` prints it: `0.0.0.0:8080->80/tcp`; `10.0.0.2:80/tcp` if open there."""
        if not self.host_port:
            return f"{_bracketed(self.address)}:{self.port}/{self.protocol}"
        return f"{_bracketed(self.host_address)}:{self.host_port}->{self.port}/{self.protocol}"

    @property
    def wish(self) -> str:
        """What `PortSpec.parse` would take to have it again."""
        host = f"{_bracketed(self.host_address)}:{self.host_port or ''}"
        return f"{host}:{self.port}/{self.protocol}"


def port_specs(values: object, what: str = "published ports") -> tuple[PortSpec, ...]:
    """What each of `values` asks for, in their order.

    Raises:
        InvalidArgumentError: one is malformed, or two ask for the same host
            port or for the same thing.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(
            f'invalid {what}: {shown(values)}; they should be a list, such as ["8080:80"]'
        )
    specs = tuple(PortSpec.parse(value) for value in values)
    claimed: dict[tuple[int, ...], dict[IPAddress | None, PortSpec]] = {}
    for spec in specs:
        for claim in _claims(spec):
            others = claimed.setdefault(claim, {})
            other = _rival(spec.host_address, others)
            if other is not None:
                raise InvalidArgumentError(
                    f"invalid {what}: {spec} and {other} exclude each other; give each port once"
                )
            others[spec.host_address] = spec
    return specs


def in_order(specs: Iterable[PortSpec]) -> tuple[PortSpec, ...]:
    """One specification for each container port, in the order to serve them.

    Exact host ports come before those that leave a choice, so that a choice
    never takes what somebody named; then by container port, protocol, host
    port, host address.  Members of one `PortSpec.group` stand together.
    """
    singles = [single for spec in specs for single in spec.expand()]
    return tuple(sorted(singles, key=lambda spec: (spec.group, _address_key(spec.host_address))))


def _of_text(text: str) -> PortSpec:
    body, slash, protocol = text.partition("/")
    head, _, container = body.rpartition(":")
    if head.startswith("["):
        host_address, bracket, rest = head[1:].partition("]")
        if not (bracket and rest.startswith(":") and ":" in host_address):
            raise _refused(text, _FORM)
        host = rest[1:]
    else:
        host_address, _, host = head.rpartition(":")
    host_ports = _ports_of_text(text, host) if host else _CHOOSE
    container_ports = _ports_of_text(text, container)
    return PortSpec(
        host_address=host_address or None,
        host_first=host_ports[0],
        host_last=host_ports[1],
        container_first=container_ports[0],
        container_last=container_ports[1],
        protocol=protocol.lower() if slash else "tcp",
    )


def _of_mapping(fields: Mapping[object, object]) -> PortSpec:
    unknown = [key for key in fields if key not in _KEYS]
    if unknown:
        raise _refused(fields, f"unknown key {shown(unknown[0])}; the keys are {', '.join(_KEYS)}")
    # An empty string is what Docker's API sends for a field that is not given.
    given = {key: value for key, value in fields.items() if value is not None and value != ""}
    if "container_port" not in given:
        raise _refused(fields, "it should have a container_port, 1 to 65535")
    host_ports = _ports_of_field(fields, given["host_port"]) if "host_port" in given else _CHOOSE
    container_ports = _ports_of_field(fields, given["container_port"])
    protocol = given.get("protocol", "tcp")
    return PortSpec(
        host_address=given.get("host_ip"),
        host_first=host_ports[0],
        host_last=host_ports[1],
        container_first=container_ports[0],
        container_last=container_ports[1],
        protocol=_protocol(protocol.lower() if isinstance(protocol, str) else protocol),
    )


def _ports_of_field(source: object, value: object) -> tuple[int, int]:
    if isinstance(value, str):
        return _ports_of_text(source, value)
    if isinstance(value, int) and not isinstance(value, bool) and value != 0:
        return value, value
    raise _refused(
        source, f"{shown(value)} is no port; ports are 1 to 65535, or text such as 8000-8010"
    )


def _ports_of_text(source: object, text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash:
        last = first
    for number in (first, last):
        if not (number.isascii() and number.isdigit() and len(number) <= _LARGEST_DIGITS):
            raise _refused(source, _FORM)
        if number.startswith("0"):
            raise _refused(source, "ports are 1 to 65535; leave HOST_PORT empty to have one chosen")
    return int(first), int(last)


def _require_ports(first: int, last: int, what: str, lowest: int = 1) -> None:
    _require_port(first, what, lowest)
    _require_port(last, what, lowest)
    if first > last:
        raise InvalidArgumentError(
            f"invalid port range: {first}-{last}; write the lower {what} port first"
        )


def _require_port(port: int, what: str, lowest: int = 1) -> None:
    if type(port) is not int or not lowest <= port <= _LARGEST:
        raise InvalidArgumentError(
            f"invalid {what} port {shown(port)}: it should be a number from 1 to {_LARGEST}"
        )


def _protocol(value: object) -> str:
    if not isinstance(value, str) or value not in PROTOCOLS:
        raise InvalidArgumentError(
            f"unknown protocol {shown(value)}; it should be tcp, udp or sctp"
        )
    return value


def _claims(spec: PortSpec) -> Iterator[tuple[int, ...]]:
    """Yields what `spec` takes: host ports, or container ports with a way to choose."""
    protocol = PROTOCOLS[spec.protocol]
    if spec.exact:
        for port in range(spec.host_first, spec.host_last + 1):
            yield protocol, port
    else:
        for port in range(spec.container_first, spec.container_last + 1):
            yield protocol, port, spec.host_first, spec.host_last


def _rival(
    address: IPAddress | None, others: Mapping[IPAddress | None, PortSpec]
) -> PortSpec | None:
    """Which of those that claim the same port can't be beside one at `address`."""
    # Which addresses None stands for is the network's to say, so it excludes only itself.
    if address is None or address in others:
        return others.get(address)
    if int(address):
        return others.get(addresses.shared(_ANY[address.version]))
    # All addresses: of each claim that is asked once, as the second one is refused above.
    family = (n for at, n in others.items() if at is not None and at.version == address.version)
    return next(family, None)


def _address_key(address: IPAddress | None) -> tuple[int, int]:
    return (0, 0) if address is None else (address.version, int(address))


def _range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _bracketed(address: IPAddress) -> str:
    return f"[{address}]" if address.version == _IPV6 else str(address)


def _refused(source: object, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"invalid port specification {shown(source)}: {reason}")
