"""What networks, sandboxes and endpoints are to be: frozen values.

These are what drivers plan from and what the store keeps.  The objects a user
holds (`pycnm.Network` and so on) are handles that read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Self

import attrs
from netaddr import EUI, IPAddress, IPNetwork, mac_unix_expanded

from pycnm.errors import StoreError
from pycnm.spec.shapes import require_shape
from pycnm.spec.wording import told

Pairs = tuple[tuple[str, str], ...]


def _pairs(value: Mapping[str, str] | Iterable[Iterable[str]]) -> Pairs:
    items = value.items() if isinstance(value, Mapping) else value
    return tuple((str(key), str(text)) for key, text in items)


def _texts(value: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(item) for item in value)


def _network(value: str | IPNetwork) -> IPNetwork:
    return value if isinstance(value, IPNetwork) else IPNetwork(value)


def _maybe_network(value: str | IPNetwork | None) -> IPNetwork | None:
    return None if value is None else _network(value)


def _maybe_address(value: str | IPAddress | None) -> IPAddress | None:
    return value if value is None or isinstance(value, IPAddress) else IPAddress(value)


def _pools(values: Iterable[Pool | Mapping[str, Any]]) -> tuple[Pool, ...]:
    return tuple(value if isinstance(value, Pool) else Pool(**value) for value in values)


def _found(value: FoundBridge | Mapping[str, Any] | None) -> FoundBridge | None:
    if value is None or isinstance(value, FoundBridge):
        return value
    found = FoundBridge(**value)
    require_shape(found)
    return found


def _eui(value: str | EUI | None) -> EUI | None:
    if value is None or isinstance(value, EUI):
        return value
    return EUI(value, dialect=mac_unix_expanded)


def _plain(value: object) -> object:
    """What stands for `value` in JSON."""
    if isinstance(value, (IPAddress, IPNetwork, EUI)):
        return str(value)
    if isinstance(value, Recorded):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    raise TypeError(value)


@attrs.frozen
class Recorded:
    """A value that is kept as JSON."""

    def to_json(self) -> str:
        """A text that `from_json` turns into an equal value."""
        return _ENCODER.encode(self)

    @classmethod
    @lru_cache(maxsize=4096)
    def from_json(cls, text: str) -> Self:
        """The value that `to_json` wrote.

        Values are frozen, and read far more often than they change, so the
        same text gives the same value.

        Raises:
            StoreError: the text isn't one.
        """
        try:
            value = cls(**json.loads(text))
            require_shape(value)
        except Exception as error:
            raise StoreError(
                f"the record of a {cls.__name__} can't be read ({told(error)}): {str(text)[:200]!r}"
            ) from error
        return value


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)


@attrs.frozen
class Pool(Recorded):
    """One subnet of a network, as IPAM gave it.

    Attributes:
        pool_id: what IPAM calls it.
        gateway: the address set aside for the gateway; None where there is none.
        automatic: the gateway was chosen, not asked for.
    """

    pool_id: str
    subnet: IPNetwork = attrs.field(converter=_network)
    ip_range: IPNetwork | None = attrs.field(default=None, converter=_maybe_network)
    gateway: IPAddress | None = attrs.field(default=None, converter=_maybe_address)
    aux: Pairs = attrs.field(default=(), converter=_pairs)
    automatic: bool = False

    @property
    def version(self) -> int:
        """4 or 6."""
        return int(self.subnet.version)

    def sets_aside(self, address: IPAddress) -> bool:
        """Whether an address is the network's own: taken as long as the network is there."""
        return address == self.gateway or any(text == str(address) for _, text in self.aux)


@attrs.frozen
class FoundBridge(Recorded):
    """A bridge of somebody else's, as it was when a network was put on it.

    Attributes:
        addresses: those the host has on it, with their prefix lengths; the link-local
            and the temporary ones are left out.
        mtu: in bytes.
        up: it was up.
        settings: what of sysctl(8) a network may change, such as `ipv4/forwarding` of the
            bridge, and `ipv4/ip_forward`; what the kernel doesn't have is left out.
        vlans: it keeps VLANs apart.
    """

    addresses: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    mtu: int = 0
    up: bool = True
    settings: Pairs = attrs.field(default=(), converter=_pairs)
    vlans: bool = False

    def setting(self, key: str) -> str:
        """What a setting was; empty if the kernel doesn't have it."""
        return dict(self.settings).get(key, "")


@attrs.frozen
class NetworkSpec(Recorded):
    """What a network is to be.

    Attributes:
        id: 64 hexadecimal digits.
        driver: the driver's registered name; `options` are its, under Docker's names.
        pools: at most one a family for a bridge; empty without IPAM.
        parent: the interface of the host that it sits on, if it was given one.
        routes: static routes of all who are on it, in the words of ip-route(8).
        adopted: its bridge, where that is somebody else's.
        predefined: one of bridge, host, none.
        created: when, in RFC 3339.
    """

    id: str
    name: str
    driver: str
    scope: str = "local"
    options: Pairs = attrs.field(default=(), converter=_pairs)
    pools: tuple[Pool, ...] = attrs.field(default=(), converter=_pools)
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
    routes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    adopted: FoundBridge | None = attrs.field(default=None, converter=_found)

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

    def pool_of(self, address: IPAddress) -> Pool | None:
        """The pool that an address is of."""
        return next((pool for pool in self.pools if address in pool.subnet), None)


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
        on_link: it offers default routes without a next hop: all is reached over its link.
        rate: how it is slowed down, in tc's words; empty if it isn't.
        routes: static routes of its own, in the words of ip-route(8).
        forwarding: its sandbox leads others' packets by it to elsewhere, and back.
        publish: ports to be published when it is joined.
        kept: its sandbox is gone (a reboot), its addresses wait for one of its name.
    """

    id: str
    name: str
    network: str
    sandbox: str = ""
    ip: IPNetwork | None = attrs.field(default=None, converter=_maybe_network)
    ip6: IPNetwork | None = attrs.field(default=None, converter=_maybe_network)
    mac: EUI | None = attrs.field(default=None, converter=_eui)
    interface: str = ""
    host_interface: str = ""
    gateway: IPAddress | None = attrs.field(default=None, converter=_maybe_address)
    gateway6: IPAddress | None = attrs.field(default=None, converter=_maybe_address)
    on_link: bool = False
    aliases: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    gateway_priority: int = 0
    link_local_ips: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    sysctls: Pairs = attrs.field(default=(), converter=_pairs)
    options: Pairs = attrs.field(default=(), converter=_pairs)
    publish: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    kept: bool = False
    created: str = ""
    rate: str = ""
    routes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    forwarding: bool = False

    @property
    def vlan(self) -> int:
        """The VLAN of its network's bridge that it was given; 0 for that of the network."""
        return int(dict(self.options).get("vlan", 0))

    @property
    def alias(self) -> str:
        """The mark on the endpoint's links."""
        return f"cnm:{self.id[:12]}"

    @property
    def addresses(self) -> tuple[IPNetwork, ...]:
        """Its addresses, IPv4 first."""
        return tuple(address for address in (self.ip, self.ip6) if address is not None)
