"""Operations on namespaces, links, addresses, routes and sysctls.

Names and values are those of ip(8), ip-netns(8), ip-link(8), ip-address(8),
ip-route(8), ip-rule(8) and sysctl(8).
"""

from __future__ import annotations

from collections.abc import Hashable
from shlex import quote
from typing import ClassVar

import attrs

from pycnm.errors import NotSupportedError
from pycnm.plan.host import lacking
from pycnm.plan.operation import HOST, Operation, Session

MAIN_TABLE = 254
_NETNS = "/run/netns/"


def ip(ns: str) -> str:
    """The first words of a command in namespace `ns`."""
    if ns == HOST:
        return "ip"
    if ns.startswith(_NETNS) and "/" not in ns[len(_NETNS) :]:
        return f"ip -n {ns[len(_NETNS) :]}"
    return f"nsenter --net={quote(ns)} ip"


def at(ns: str, name: str) -> str:
    """How a sentence calls what has a name in namespace `ns`."""
    return name if ns == HOST else f"{name} in {ns}"


def inside(ns: str) -> str:
    """How a person starts any other command in namespace `ns`."""
    return "" if ns == HOST else f"nsenter --net={quote(ns)} "


@attrs.frozen
class Namespace(Operation):
    """A network namespace, pinned at `path` (ip-netns(8), network_namespaces(7))."""

    path: str

    def __str__(self) -> str:
        if self.path.startswith(_NETNS):
            return f"ip netns add {self.path[len(_NETNS) :]}"
        return f"touch {self.path}; unshare --net={self.path} true"

    def keeps(self) -> tuple[Hashable, ...]:
        """Everything inside."""
        return (_namespace(self.path),)


@attrs.frozen
class Directory(Operation):
    """A directory for the files of one sandbox; goes with all it holds."""

    path: str

    def __str__(self) -> str:
        return f"mkdir -p -m 755 {quote(self.path)}"

    def keeps(self) -> tuple[Hashable, ...]:
        """What is in it."""
        return (("directory", self.path),)


@attrs.frozen
class Link(Operation):
    """A network device of any kind that one RTM_NEWLINK makes (ip-link(8)).

    Attributes:
        ns: the namespace the request is made in; `parent` and `master` are there.
        kind: bridge, macvlan, ipvlan, vlan, vxlan, dummy, ifb ...
        options: settings of the kind, named as in ip-link(8).
        group: the link group of the network it belongs to.
        alias: the mark of its owner, `cnm:<id>`.
        netns: the namespace it is born in, if that isn't `ns`.
    """

    ns: str
    name: str
    kind: str
    options: tuple[tuple[str, int | str], ...] = ()
    mac: str = ""
    mtu: int = 0
    group: int = 0
    alias: str = ""
    master: str = ""
    parent: str = ""
    netns: str = ""

    def __str__(self) -> str:
        words = [ip(self.ns), "link add"]
        words += [f"link {quote(self.parent)}"] if self.parent else []
        words += [f"name {quote(self.name)}"]
        words += _common(self.mac, self.mtu, self.group, self.master)
        words += [f"netns {_short(self.netns)}"] if self.netns else []
        words += [f"type {self.kind}"]
        # The flag of an ipvlan is a word of its own (ip-link(8)).
        words += [str(value) if key == "flag" else f"{key} {value}" for key, value in self.options]
        text = " ".join(words)
        return text + _marked(self.netns or self.ns, self.name, self.alias)

    def unknown(self) -> NotSupportedError:
        """The error where the kernel has no links of this kind."""
        return lacking(self.kind, f"`{self}`")

    def subject(self) -> Hashable:
        """The link; on another parent it is another one, and so is one that keeps VLANs apart."""
        apart = dict(self.options).get("vlan_filtering", 0)
        return (*_link(self.netns or self.ns, self.name), self.kind, self.parent, apart)

    def keeps(self) -> tuple[Hashable, ...]:
        """What is set on it."""
        return (_link(self.netns or self.ns, self.name),)

    def within(self) -> tuple[Hashable, ...]:
        """The namespace it lives in, and the link it sits on.

        One that sits on a link elsewhere doesn't go with its namespace, which a
        process may keep: it would still be on the wire.
        """
        on = (_link(self.ns, self.parent),) if self.parent else ()
        elsewhere = on and self.netns not in {"", self.ns}
        return on if elsewhere else (_namespace(self.netns or self.ns), *on)


@attrs.frozen
class Veth(Operation):
    """A veth pair: one end here, its peer born in another namespace (veth(4)).

    Attributes:
        ns: the namespace of this end, which is enslaved to `master` if one is named.
        up: born up; nothing passes before the peer is up as well.
        peer_ns: where the peer is born, under its final name `peer`.
        peer_mac: the MAC of the peer.
        mac: that of this end; empty if the kernel chooses it.
    """

    ns: str
    name: str
    master: str
    peer_ns: str
    peer: str
    peer_mac: str
    mtu: int = 0
    group: int = 0
    alias: str = ""
    up: bool = False
    mac: str = ""

    def __str__(self) -> str:
        words = [ip(self.ns), f"link add name {quote(self.name)}" + " up" * self.up]
        words += _common(self.mac, self.mtu, self.group, self.master)
        words += [f"type veth peer name {quote(self.peer)} address {self.peer_mac}"]
        words += [f"mtu {self.mtu}"] if self.mtu else []
        words += [f"netns {_short(self.peer_ns)}"]
        return " ".join(words) + _marked(self.ns, self.name, self.alias)

    def subject(self) -> Hashable:
        """The pair: both ends, and where they are."""
        return (*_link(self.ns, self.name), *_link(self.peer_ns, self.peer))

    def keeps(self) -> tuple[Hashable, ...]:
        """What is set on either end."""
        return _link(self.ns, self.name), _link(self.peer_ns, self.peer)


@attrs.frozen
class Parent(Operation):
    """An interface of others that links of ours sit on is there, and up; it is never changed."""

    ns: str
    link: str

    def __str__(self) -> str:
        link = quote(self.link)
        return f"# {link} is there, and up: `{ip(self.ns)} link show {link}`"

    def within(self) -> tuple[Hashable, ...]:
        """Its namespace."""
        return (_namespace(self.ns),)

    def undo(self, session: Session) -> None:
        """Leave it as it is."""

    def gone(self) -> str:
        """That it isn't there, in words."""
        return (
            f"{at(self.ns, self.link)}, which networks sit on, is gone: it was deleted, renamed "
            "or moved; what sat on it can be had back when it is there again"
        )

    def down(self) -> str:
        """That it is down, in words."""
        whose, up = at(self.ns, self.link), f"{ip(self.ns)} link set {quote(self.link)} up"
        return f"{whose}, which networks sit on, is down: `{up}`"


@attrs.frozen
class Up(Operation):
    """A link that is up; undoing it takes it down."""

    ns: str
    link: str

    def __str__(self) -> str:
        return f"{ip(self.ns)} link set {quote(self.link)} up"

    def within(self) -> tuple[Hashable, ...]:
        """Its link, and the namespace of that."""
        return _of_link(self.ns, self.link)


@attrs.frozen
class PortFlag(Operation):
    """A flag of a bridge port that is on (bridge(8), "bridge link set"); its kinds follow."""

    ns: str
    port: str

    flag: ClassVar[str] = ""
    lacking: ClassVar[str] = ""

    def __str__(self) -> str:
        return f"{inside(self.ns)}bridge link set dev {quote(self.port)} {self.flag} on"

    def within(self) -> tuple[Hashable, ...]:
        """Its link, and the namespace of that."""
        return _of_link(self.ns, self.port)


@attrs.frozen
class Hairpin(PortFlag):
    """A bridge port that frames may leave by which they came.

    Where bridged packets pass netfilter (br_netfilter), a sandbox that uses the
    host's address to reach itself is answered on the bridge.
    """

    flag: ClassVar[str] = "hairpin"
    lacking: ClassVar[str] = "doesn't hairpin"


@attrs.frozen
class Isolated(PortFlag):
    """A bridge port that reaches the bridge, and no port that is isolated too.

    Where bridged packets don't pass netfilter, no rule could keep them apart.
    """

    flag: ClassVar[str] = "isolated"
    lacking: ClassVar[str] = "isn't isolated"


@attrs.frozen
class Address(Operation):
    """An address with its prefix length on a link (ip-address(8)).

    Duplicate address detection is off (IFA_F_NODAD): the address is usable at
    once, because IPAM has made sure that nobody else has it.
    """

    ns: str
    link: str
    address: str

    def __str__(self) -> str:
        alone = self.address.endswith(("/31", "/32"))
        more = " nodad" if ":" in self.address else "" if alone else " brd +"
        return f"{ip(self.ns)} address add {self.address} dev {quote(self.link)}{more}"

    def within(self) -> tuple[Hashable, ...]:
        """Its link, and the namespace of that."""
        return _of_link(self.ns, self.link)


@attrs.frozen
class Route(Operation):
    """A route (ip-route(8)); `destination` is a prefix, or default in one family.

    Attributes:
        destination: `0.0.0.0/0` and `::/0` stand for default.
        gateway: the next hop; empty for what is on the link.
        metric: of routes to the same prefix the lowest is used; 0 is the kernel's own.
    """

    ns: str
    destination: str
    gateway: str
    link: str
    table: int = MAIN_TABLE
    metric: int = 0

    def __str__(self) -> str:
        default = self.destination in {"0.0.0.0/0", "::/0"}
        words = [ip(self.ns)] + (["-6"] if ":" in self.destination else [])
        words += ["route add", "default" if default else self.destination]
        words += [f"via {self.gateway}"] if self.gateway else []
        words += [f"dev {quote(self.link)}"]
        words += [f"table {self.table}"] if self.table != MAIN_TABLE else []
        words += [f"metric {self.metric}"] if self.metric else []
        return " ".join(words)

    def within(self) -> tuple[Hashable, ...]:
        """Its namespace.

        Its link too, but that is deleted last of all, and the route that takes
        the place of this one is made before.
        """
        return (_namespace(self.ns),)

    def is_lost_with(self, other: Operation) -> bool:
        """With the last address of its family, and of its link."""
        return (
            isinstance(other, Address)
            and (other.ns, other.link) == (self.ns, self.link)
            and (":" in other.address) == (":" in self.destination)
        )


@attrs.frozen
class Rule(Operation):
    """A routing rule: packets from `source` use `table` (ip-rule(8))."""

    ns: str
    source: str
    table: int

    def __str__(self) -> str:
        family = " -6" if ":" in self.source else ""
        return f"{ip(self.ns)}{family} rule add from {self.source} table {self.table}"

    def within(self) -> tuple[Hashable, ...]:
        """Its namespace."""
        return (_namespace(self.ns),)


@attrs.frozen
class Sysctl(Operation):
    """A kernel setting under net.* of one namespace (sysctl(8)).

    Attributes:
        link: the interface it belongs to, when it goes with one.
        before: what undoing writes back; empty when nothing needs to be.
        optional: fine if the kernel doesn't have the key (no IPv6, say).
        unless: the same setting for all interfaces.  Where that is on by the time
            this is undone, somebody wants it so, and nothing is written back.
    """

    ns: str
    key: str
    value: str
    link: str = ""
    before: str = ""
    optional: bool = False
    unless: str = ""

    def __str__(self) -> str:
        # With dots, as people write it, unless a name in it has dots itself.
        key = self.key if "." in self.key else self.key.replace("/", ".")
        return f"{inside(self.ns)}sysctl -w {quote(f'{key}={self.value}')}"

    def within(self) -> tuple[Hashable, ...]:
        """Its interface, or its namespace."""
        return _of_link(self.ns, self.link) if self.link else (_namespace(self.ns),)

    def undo(self, session: Session) -> None:
        """Write back what was there before, if that matters."""
        if self.before:
            session.remove(self)


def _namespace(ns: str) -> Hashable:
    return ("namespace", ns)


def _link(ns: str, name: str) -> tuple[Hashable, ...]:
    return ("link", ns, name)


def _of_link(ns: str, name: str) -> tuple[Hashable, ...]:
    return _link(ns, name), _namespace(ns)


def _common(mac: str, mtu: int, group: int, master: str) -> list[str]:
    words = [f"address {mac}"] if mac else []
    words += [f"mtu {mtu}"] if mtu else []
    words += [f"group {group}"] if group else []
    words += [f"master {quote(master)}"] if master else []
    return words


def _marked(ns: str, name: str, alias: str) -> str:
    return f"; {ip(ns)} link set {quote(name)} alias {alias}" if alias else ""


def _short(ns: str) -> str:
    return quote(ns.removeprefix(_NETNS))
