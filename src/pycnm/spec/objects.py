"""What networks, sandboxes and endpoints are to be: frozen values.

These are what drivers plan from and what the store keeps.  The objects a user
holds (`pycnm.Network` and so on) are handles that read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import attrs
from netaddr import EUI, IPAddress, IPNetwork, mac_unix_expanded

from pycnm.errors import StoreError

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]


def _pairs(value: Mapping[str, str] | Pairs | list[list[str]]) -> Pairs:
    items = value.items() if isinstance(value, Mapping) else value
    return tuple((str(key), str(text)) for key, text in items)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value)  # type: ignore[attr-defined]


def _each(make: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def convert(values: Any) -> tuple[T, ...]:
        return tuple(make(value) for value in values)

    return convert


def _or_none(kind: type[T]) -> Callable[[Any], T | None]:
    def convert(value: Any) -> T | None:
        return value if value is None or isinstance(value, kind) else kind(value)  # type: ignore[call-arg]

    return convert


def _eui(value: str | EUI | None) -> EUI | None:
    if value is None or isinstance(value, EUI):
        return value
    return EUI(value, dialect=mac_unix_expanded)


def _plain(_instance: object, _field: object, value: Any) -> Any:
    if isinstance(value, (IPAddress, IPNetwork, EUI)):
        return str(value)
    return value


class Recorded:
    """A value that is kept as JSON."""

    __slots__ = ()

    def to_json(self) -> str:
        """A text that `from_json` turns into an equal value."""
        plain = attrs.asdict(self, value_serializer=_plain)  # type: ignore[call-overload]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The value that `to_json` wrote.

        Raises:
            StoreError: the text isn't one.
        """
        try:
            return cls(**json.loads(text))
        except Exception as error:
            raise StoreError(
                f"the record of a {cls.__name__} can't be read ({error}): {text[:200]!r}"
            ) from error


@attrs.frozen
class Pool(Recorded):
    """One subnet of a network, as IPAM gave it.

    Attributes:
        pool_id: what IPAM calls it.
        gateway: the address set aside for the gateway; None where there is none.
        given: what of this the user asked for, as inspect shows it.
    """

    pool_id: str
    subnet: IPNetwork = attrs.field(converter=_or_none(IPNetwork))
    ip_range: IPNetwork | None = attrs.field(default=None, converter=_or_none(IPNetwork))
    gateway: IPAddress | None = attrs.field(default=None, converter=_or_none(IPAddress))
    aux: Pairs = attrs.field(default=(), converter=_pairs)

    @classmethod
    def of(cls, value: Pool | Mapping[str, Any]) -> Pool:
        """A pool from what JSON made of it."""
        return value if isinstance(value, Pool) else cls(**value)

    @property
    def version(self) -> int:
        """4 or 6."""
        return int(self.subnet.version)


@attrs.frozen
class NetworkSpec(Recorded):
    """What a network is to be.

    Attributes:
        id: 64 hexadecimal digits.
        driver: the driver's registered name; `options` are its, under Docker's names.
        pools: at most one a family for a bridge; empty without IPAM.
        predefined: one of bridge, host, none.
        created: when, in RFC 3339.
    """

    id: str
    name: str
    driver: str
    scope: str = "local"
    options: Pairs = attrs.field(default=(), converter=_pairs)
    pools: tuple[Pool, ...] = attrs.field(default=(), converter=_each(Pool.of))
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ipam: str = "default"
    ipam_options: Pairs = attrs.field(default=(), converter=_pairs)
    labels: Pairs = attrs.field(default=(), converter=_pairs)
    parent: str = ""
    predefined: bool = False
    created: str = ""

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id, as Docker shows them."""
        return self.id[:12]

    @property
    def group(self) -> int:
        """The link group of everything that belongs to the network."""
        return int(self.id[:7], 16) | 0x10000000

    @property
    def alias(self) -> str:
        """The mark on the network's own links."""
        return f"cnm:{self.short_id}"

    def pool(self, version: int) -> Pool | None:
        """The first pool of a family."""
        return next((pool for pool in self.pools if pool.version == version), None)


@attrs.frozen
class SandboxSpec(Recorded):
    """What a sandbox is to be.

    Attributes:
        key: the path of its namespace; empty for the host's own.
        adopted: the namespace is somebody else's and is never deleted.
        files: the directory of its hosts and resolv.conf.
    """

    id: str
    name: str
    key: str
    adopted: bool = False
    hostname: str = ""
    dns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    dns_search: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    dns_options: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    extra_hosts: Pairs = attrs.field(default=(), converter=_pairs)
    labels: Pairs = attrs.field(default=(), converter=_pairs)
    files: str = ""
    created: str = ""

    @property
    def is_host(self) -> bool:
        """Whether it is the host itself."""
        return self.adopted and not self.key


@attrs.frozen
class EndpointSpec(Recorded):
    """What an endpoint is to be, and what was chosen for it.

    Attributes:
        ip, ip6: addresses with the prefix length of their subnet.
        sandbox: the id of the sandbox it is joined to; empty before join.
        interface: its name inside; empty while it isn't joined.
        host_interface: its name on the host.
        gateway, gateway6: next hops of the default routes it offers.
        publish: ports to be published when it is joined.
        kept: its sandbox is gone (a reboot), its addresses wait for one of its name.
    """

    id: str
    name: str
    network: str
    sandbox: str = ""
    ip: IPNetwork | None = attrs.field(default=None, converter=_or_none(IPNetwork))
    ip6: IPNetwork | None = attrs.field(default=None, converter=_or_none(IPNetwork))
    mac: EUI | None = attrs.field(default=None, converter=_eui)
    interface: str = ""
    host_interface: str = ""
    gateway: IPAddress | None = attrs.field(default=None, converter=_or_none(IPAddress))
    gateway6: IPAddress | None = attrs.field(default=None, converter=_or_none(IPAddress))
    aliases: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    gateway_priority: int = 0
    link_local_ips: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    sysctls: Pairs = attrs.field(default=(), converter=_pairs)
    options: Pairs = attrs.field(default=(), converter=_pairs)
    publish: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    kept: bool = False
    created: str = ""

    @property
    def alias(self) -> str:
        """The mark on the endpoint's links."""
        return f"cnm:{self.id[:12]}"

    @property
    def addresses(self) -> tuple[IPNetwork, ...]:
        """Its addresses, IPv4 first."""
        return tuple(address for address in (self.ip, self.ip6) if address is not None)
