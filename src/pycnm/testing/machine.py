"""What a fake kernel holds, and what goes along with what is removed.

Whether something may be added is decided in `links` and `rules`.
"""

from __future__ import annotations

import secrets

import attrs
from netaddr import IPNetwork

from pycnm.nft.objects import Chain, Rule, Set, Table
from pycnm.nft.statements import Verdict
from pycnm.nft.words import Value
from pycnm.plan import links as plan
from pycnm.plan.operation import HOST, Features
from pycnm.plan.shaping import Shaper
from pycnm.testing import settings

MTU = 1500
IPV4, IPV6 = 4, 6
Key = tuple[Value, ...]
Data = tuple[Value, ...] | Verdict | None


@attrs.define(eq=False)
class Link:
    """A network device.

    Attributes:
        ns: the path of its namespace.
        kind: empty for hardware and lo.
        mac: empty if the kernel chose one.
        peer: the other end of a pair.
        options: those of its kind that it was made with.
        addresses: with their prefix length, the oldest first; whether each is ours.
        queue: what slows down what is sent on it.
        vlans: those of its bridge that it is in, and whether it is what has no tag there.
        settings: those of net/ipv4/conf and net/ipv6/conf, such as `ipv4/forwarding`.
    """

    ns: str
    name: str
    kind: str
    mac: str = ""
    mtu: int = MTU
    group: int = 0
    alias: str = ""
    up: bool = False
    flags: set[str] = attrs.field(factory=set)
    master: Link | None = None
    parent: Link | None = None
    peer: Link | None = None
    options: dict[str, int | str] = attrs.field(factory=dict)
    addresses: dict[str, bool] = attrs.field(factory=dict)
    queue: Shaper | None = None
    vlans: dict[int, bool] = attrs.field(factory=dict)
    settings: dict[str, str] = attrs.field(factory=dict)

    @property
    def has_ipv6(self) -> bool:
        """Whether it may have IPv6 addresses."""
        return self.settings.get("ipv6/disable_ipv6") == "0"

    def networks(self, version: int) -> list[IPNetwork]:
        """Its addresses of a family, with their subnets; none while it is down."""
        found = [IPNetwork(text) for text in self.addresses] if self.up else []
        return [network for network in found if network.version == version]


@attrs.define(eq=False)
class Namespace:
    """A network namespace.

    Attributes:
        routes: whether each is ours.
        resolvers: which sandbox's names are answered, by port; nobody's are others' sockets.
        divert: the port that what is asked at port 53 is led to.
    """

    settings: dict[str, str]
    links: dict[str, Link] = attrs.field(factory=dict)
    routes: dict[plan.Route, bool] = attrs.field(factory=dict)
    rules: set[plan.Rule] = attrs.field(factory=set)
    resolvers: dict[int, str] = attrs.field(factory=dict)
    divert: int = 0

    def routes_of(self, link: str, version: int) -> list[plan.Route]:
        """The routes of a family that use a link."""
        return [
            route
            for route in self.routes
            if route.link == link and (":" in route.destination) == (version == IPV6)
        ]

    def forget_routes(self, link: str, version: int) -> None:
        """Forget the routes of a family that use a link."""
        for route in self.routes_of(link, version):
            del self.routes[route]

    def forget_address(self, link: Link, address: str) -> None:
        """Forget an address, and what the kernel forgets with it.

        With the first IPv4 address of a subnet go the others, with the last
        IPv4 address of a link go its IPv4 routes.
        """
        subnet = IPNetwork(address).cidr
        same = [text for text in link.addresses if IPNetwork(text).cidr == subnet]
        takes_others = subnet.version == IPV4 and address == same[0]
        for text in same if takes_others else [address]:
            del link.addresses[text]
        if subnet.version == IPV4 and all(":" in text for text in link.addresses):
            self.forget_routes(link.name, IPV4)

    def forget_ipv6(self, link: Link) -> None:
        """Forget the IPv6 addresses and routes of a link."""
        for text in [text for text in link.addresses if ":" in text]:
            del link.addresses[text]
        self.forget_routes(link.name, IPV6)

    def take_down(self, link: Link) -> None:
        """Take a link down: its routes go, and its IPv6 addresses."""
        link.up = False
        self.forget_routes(link.name, IPV4)
        self.forget_ipv6(link)


@attrs.define(eq=False)
class Ruleset:
    """One table of nftables."""

    table: Table
    sets: dict[str, Set] = attrs.field(factory=dict)
    elements: dict[str, dict[Key, Data]] = attrs.field(factory=dict)
    chains: dict[str, Chain] = attrs.field(factory=dict)
    rules: dict[str, list[Rule]] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Machine:
    """Everything a fake kernel holds; the namespace of the host is at `HOST`.

    Attributes:
        identity: what tells it from other machines.
        namespaces: by path.
        files: what is in them, by path.
        netns_files: where links under /etc/netns lead, by name.
        tables: by family and name.
        ports: protocol, address and port of bound sockets; whether each is ours.
        addresses: at which a port is bound, by protocol and port.
        lacking: the kinds of links that it doesn't have.
    """

    features: Features
    identity: tuple[int, int] = attrs.field(factory=lambda: (0, secrets.randbits(63)))
    namespaces: dict[str, Namespace] = attrs.field(factory=dict)
    directories: set[str] = attrs.field(factory=set)
    files: dict[str, str] = attrs.field(factory=dict)
    netns_files: dict[str, str] = attrs.field(factory=dict)
    tables: dict[tuple[str, str], Ruleset] = attrs.field(factory=dict)
    ports: dict[tuple[str, str, int], bool] = attrs.field(factory=dict)
    addresses: dict[tuple[str, int], set[str]] = attrs.field(factory=dict)
    lacking: frozenset[str] = frozenset()

    def __attrs_post_init__(self) -> None:
        self.add_namespace(HOST)
        self.namespaces[HOST].links["lo"].up = True

    def add_namespace(self, path: str) -> None:
        """Make a namespace; lo is in it, and down."""
        features = self.features
        values = settings.initial(ipv6=features.ipv6, force_forwarding=features.force_forwarding)
        self.namespaces[path] = Namespace(values)
        self.add_link(Link(path, "lo", "", mtu=65536))

    def add_link(self, link: Link) -> None:
        """Put a link into its namespace, where it is born with the default settings."""
        namespace = self.namespaces[link.ns]
        link.settings = settings.inherited(namespace.settings)
        namespace.links[link.name] = link

    def links(self, ns: str) -> list[Link]:
        """The links of a namespace."""
        return list(self.namespaces[ns].links.values())

    def remove_namespace(self, path: str) -> None:
        """Forget a namespace with all it holds."""
        for link in self.links(path):
            self.remove_link(link)
        del self.namespaces[path]

    def remove_link(self, link: Link) -> None:
        """Forget a link, its addresses and routes, its peer, and what sits on it."""
        namespace = self.namespaces[link.ns]
        if namespace.links.get(link.name) is not link:
            return
        del namespace.links[link.name]
        namespace.forget_routes(link.name, IPV4)
        namespace.forget_routes(link.name, IPV6)
        if link.ns == HOST and not self.features.early_guard:
            self._remove_guards(link.name)
        if link.peer is not None:
            self.remove_link(link.peer)
            return
        for other in [other for path in self.namespaces for other in self.links(path)]:
            if other.master is link:
                other.master = None
                other.flags.clear()
                other.vlans.clear()
            if other.parent is link:
                self.remove_link(other)

    def _remove_guards(self, device: str) -> None:
        for ruleset in self.tables.values():
            for name, chain in list(ruleset.chains.items()):
                if chain.device == device:
                    del ruleset.chains[name], ruleset.rules[name]
