"""Links and their settings, brought about on a fake kernel."""

from __future__ import annotations

import errno

from pycnm.errors import KernelError
from pycnm.kernel import rtnl
from pycnm.plan import links as plan
from pycnm.plan.host import TWIN
from pycnm.plan.operation import Operation
from pycnm.testing import settings
from pycnm.testing.machine import Link, Machine, Namespace
from pycnm.testing.session import FakeSession, Realisation, refusal

PORTS = 1023
"""How many ports a bridge takes (BR_MAX_PORTS)."""
_NAME_MAX = 15
_MTU_MIN, _MTU_MAX = 68, 65535
KINDS = frozenset({"bridge", "dummy", "ifb", "ipvlan", "macvlan", "veth", "vlan", "vxlan"})
"""The kinds of links it has, but for those it was made without."""
_STACKED = {"ipvlan", "macvlan", "vlan"}
_SWITCHES_ALL = {
    "ipv4/ip_forward": "ipv4/forwarding",
    "ipv4/conf/all/forwarding": "ipv4/forwarding",
    "ipv6/conf/all/forwarding": "ipv6/forwarding",
    "ipv6/conf/all/disable_ipv6": "ipv6/disable_ipv6",
}


class _Links:
    def add(self, session: FakeSession, fact: plan.Link) -> bool:
        session.namespace(fact.ns)
        master = session.needed(fact, fact.ns, fact.master) if fact.master else None
        parent = session.needed(fact, fact.ns, fact.parent) if fact.parent else None
        where = fact.netns or fact.ns
        namespace = session.namespace(where)
        # What can't be encoded is refused before the kernel hears of it.
        rtnl.new_link(fact.name, fact.kind, fact.options)
        _refuse_bad_name(fact, fact.name)
        found = namespace.links.get(fact.name)
        if found is not None and (found.kind, found.parent) == (fact.kind, _real(parent, fact)):
            _settle(session, fact, found, master)
            found.options |= dict(fact.options)
            return False
        if found is not None:
            _refuse_others(session, fact, found)
            session.machine.remove_link(found)
        if fact.kind not in KINDS or fact.kind in session.machine.lacking:
            raise fact.unknown()
        if fact.kind in _STACKED:
            _refuse_on(session.machine, fact, parent)
        if "bridge_vlan" in session.machine.lacking and "vlan_filtering" in dict(fact.options):
            raise refusal(fact, errno.EOPNOTSUPP)
        _refuse_bad_values(fact, fact.mac, fact.mtu)
        if parent is not None and fact.mtu > parent.mtu and fact.kind in _STACKED:
            raise refusal(fact, errno.EINVAL if fact.kind == "macvlan" else errno.ERANGE)
        link = Link(where, fact.name, fact.kind, mac=fact.mac, group=fact.group, alias=fact.alias)
        link.mtu = fact.mtu or (parent.mtu if parent is not None else link.mtu)
        link.parent = _real(parent, fact)
        link.options = dict(fact.options)
        _enslave(session.machine, fact, link, master)
        session.machine.add_link(link)
        return True

    def remove(self, session: FakeSession, fact: plan.Link) -> None:
        _remove(session, fact, session.found(fact.netns or fact.ns, fact.name))

    def differs(self, session: FakeSession, fact: plan.Link) -> str | None:
        where = fact.netns or fact.ns
        found, whose = session.found(where, fact.name), plan.at(where, fact.name)
        if found is None:
            return f"the interface {whose} is gone"
        if found.kind != fact.kind:
            return f"{whose} is of kind {found.kind or 'hardware'}, not {fact.kind}"
        parent = session.found(fact.ns, fact.parent) if fact.parent else None
        if parent is not None and found.parent is not _real(parent, fact):
            return f"{whose} sits on another interface than {fact.parent}"
        return _differs(fact, found, whose)


class _Veths:
    def add(self, session: FakeSession, fact: plan.Veth) -> bool:
        namespace = session.namespace(fact.ns)
        master = session.needed(fact, fact.ns, fact.master) if fact.master else None
        inside = session.namespace(fact.peer_ns)
        _refuse_bad_name(fact, fact.name)
        _refuse_bad_name(fact, fact.peer)
        found, peer = namespace.links.get(fact.name), inside.links.get(fact.peer)
        if found is not None:
            _refuse_others(session, fact, found)
        if found is not None and found.peer is peer is not None:
            _settle(session, fact, found, master)
            found.up |= fact.up
            _refuse_bad_values(fact, fact.peer_mac, fact.mtu)
            peer.mtu, peer.mac = fact.mtu or peer.mtu, fact.peer_mac
            return False
        if peer is not None:
            raise _taken(fact, f"{fact.peer} in {fact.peer_ns}")
        if found is not None:
            session.machine.remove_link(found)
        _refuse_bad_values(fact, fact.peer_mac, fact.mtu)
        link = Link(fact.ns, fact.name, "veth", mac=fact.mac, group=fact.group, alias=fact.alias)
        link.up = fact.up
        peer = Link(fact.peer_ns, fact.peer, "veth", mac=fact.peer_mac, peer=link)
        link.peer = peer
        link.mtu = peer.mtu = fact.mtu or link.mtu
        _enslave(session.machine, fact, link, master)
        session.machine.add_link(link)
        session.machine.add_link(peer)
        return True

    def remove(self, session: FakeSession, fact: plan.Veth) -> None:
        _remove(session, fact, session.found(fact.ns, fact.name))

    def differs(self, session: FakeSession, fact: plan.Veth) -> str | None:
        found = session.found(fact.ns, fact.name)
        if found is None:
            return f"the interface {fact.name} is gone"
        if fact.peer_ns not in session.machine.namespaces:
            return f"the namespace {fact.peer_ns} is gone"
        peer = session.found(fact.peer_ns, fact.peer)
        if peer is None:
            return f"the interface {fact.peer} in {fact.peer_ns} is gone"
        whose = f"{fact.peer} in {fact.peer_ns}"
        if peer.mac != fact.peer_mac:
            return f"{whose} has MAC {peer.mac}, not {fact.peer_mac}"
        if fact.up and not found.up:
            return f"{fact.name} is down"
        return _differs(fact, found, fact.name) or _other_mtu(peer.mtu, fact.mtu, whose)


class _Parents:
    def add(self, session: FakeSession, fact: plan.Parent) -> bool:
        if session.found(fact.ns, fact.link) is None:
            raise refusal(fact, errno.ENODEV, fact.gone())
        return False

    def remove(self, session: FakeSession, fact: plan.Parent) -> None:
        """It stays as it is."""

    def differs(self, session: FakeSession, fact: plan.Parent) -> str | None:
        found = session.found(fact.ns, fact.link)
        if found is None:
            return fact.gone()
        return None if found.up else fact.down()


class _Ups:
    def add(self, session: FakeSession, fact: plan.Up) -> bool:
        link = session.namespace(fact.ns).links.get(fact.link)
        if link is None:
            raise refusal(fact, errno.ENODEV)
        if link.kind == "vlan" and link.parent is not None and not link.parent.up:
            raise refusal(fact, errno.ENETDOWN)
        link.up = True
        return True

    def remove(self, session: FakeSession, fact: plan.Up) -> None:
        link = session.found(fact.ns, fact.link)
        if link is not None:
            session.namespace(fact.ns).take_down(link)

    def differs(self, session: FakeSession, fact: plan.Up) -> str | None:
        found = session.found(fact.ns, fact.link)
        if found is None:
            return f"the interface {plan.at(fact.ns, fact.link)} is gone"
        return None if found.up else f"{plan.at(fact.ns, fact.link)} is down"


class _PortFlags:
    def add(self, session: FakeSession, fact: plan.PortFlag) -> bool:
        link = session.namespace(fact.ns).links.get(fact.port)
        if link is None:
            raise refusal(fact, errno.ENODEV)
        if link.master is None:
            raise refusal(fact, errno.EOPNOTSUPP)
        link.flags.add(fact.flag)
        return True

    def remove(self, session: FakeSession, fact: plan.PortFlag) -> None:
        link = session.found(fact.ns, fact.port)
        if link is not None:
            link.flags.discard(fact.flag)

    def differs(self, session: FakeSession, fact: plan.PortFlag) -> str | None:
        found = session.found(fact.ns, fact.port)
        if found is None:
            return f"the interface {plan.at(fact.ns, fact.port)} is gone"
        return None if fact.flag in found.flags else f"{fact.port} {fact.lacking}"


class _Sysctls:
    def add(self, session: FakeSession, fact: plan.Sysctl) -> bool:
        self._write(session, fact, fact.value, optional=fact.optional)
        return True

    def remove(self, session: FakeSession, fact: plan.Sysctl) -> None:
        if not fact.before or fact.ns not in session.machine.namespaces:
            return
        values = session.namespace(fact.ns).settings
        if not fact.unless or values.get(settings.parts(fact.unless)[1], "0") == "0":
            self._write(session, fact, fact.before, optional=True)

    def differs(self, session: FakeSession, fact: plan.Sysctl) -> str | None:
        if fact.ns not in session.machine.namespaces:
            return f"the namespace {fact.ns} is gone"
        link, name = settings.parts(fact.key)
        store = _store(session.namespace(fact.ns), link)
        value = None if store is None else store.get(name)
        if value == fact.value or (value is None and fact.optional):
            return None
        return f"{plan.at(fact.ns, fact.key)} is {value or 'gone'}, not {fact.value}"

    @staticmethod
    def _write(session: FakeSession, fact: plan.Sysctl, value: str, *, optional: bool) -> None:
        namespace = session.namespace(fact.ns)
        link, name = settings.parts(fact.key)
        store = _store(namespace, link)
        if store is None or name not in store:
            if not optional:
                raise refusal(fact, errno.ENOENT, f"this kernel has no {fact.key}")
            return
        if store[name].isdecimal() and not value.removeprefix("-").isdecimal():
            raise refusal(fact, errno.EINVAL)
        store[name] = value
        if name in _SWITCHES_ALL:
            _switch_all(namespace, _SWITCHES_ALL[name], value)
        for each in namespace.links.values():
            if each.settings.get("ipv6/disable_ipv6", "0") != "0":
                namespace.forget_ipv6(each)


def _store(namespace: Namespace, link: str) -> dict[str, str] | None:
    if not link:
        return namespace.settings
    found = namespace.links.get(link)
    return None if found is None else found.settings


def _switch_all(namespace: Namespace, name: str, value: str) -> None:
    """What is written for all is written for each, and for those to come."""
    family, _, setting = name.partition("/")
    for whose in ("all", "default"):
        namespace.settings[f"{family}/conf/{whose}/{setting}"] = value
    if name == "ipv4/forwarding":
        namespace.settings["ipv4/ip_forward"] = value
    for link in namespace.links.values():
        link.settings[name] = value


def _settle(
    session: FakeSession, fact: plan.Link | plan.Veth, found: Link, master: Link | None
) -> None:
    """Repair a link that has the name if it is ours.

    Raises:
        KernelError: EEXIST, it is somebody else's.
    """
    _refuse_others(session, fact, found)
    found.alias = fact.alias or found.alias
    found.group = fact.group or found.group
    found.mtu = fact.mtu or found.mtu
    found.mac = fact.mac or found.mac
    found.master = master or found.master


def _refuse_others(session: FakeSession, fact: plan.Link | plan.Veth, found: Link) -> None:
    if not session.ours or not _is_ours(fact, found):
        raise _taken(fact, fact.name)


def _taken(fact: plan.Link | plan.Veth, what: str) -> KernelError:
    return refusal(
        fact,
        errno.EEXIST,
        f"an interface {what} that pycnm didn't make is there; rename or remove it",
    )


def _is_ours(fact: plan.Link | plan.Veth, found: Link) -> bool:
    if found.alias:
        return found.alias == fact.alias
    return bool(fact.group) and found.group == fact.group


def _remove(session: FakeSession, fact: plan.Link | plan.Veth, found: Link | None) -> None:
    if found is not None and (not session.ours or _is_ours(fact, found)):
        session.machine.remove_link(found)


def _enslave(
    machine: Machine, fact: plan.Link | plan.Veth, link: Link, master: Link | None
) -> None:
    if master is None:
        return
    if master.kind != "bridge":
        raise refusal(fact, errno.EOPNOTSUPP)
    if link.kind == "bridge":
        raise refusal(fact, errno.ELOOP, "Can not enslave a bridge to a bridge")
    if sum(other.master is master for other in machine.links(master.ns)) >= PORTS:
        raise refusal(fact, errno.EXFULL)
    link.master = master


def _real(parent: Link | None, fact: plan.Link) -> Link | None:
    """What a link comes to sit on: a macvlan on a macvlan, on the parent of that."""
    stacked = parent is not None and parent.kind == fact.kind in {"macvlan", "ipvlan"}
    return parent.parent if stacked and parent is not None else parent


def _refuse_on(machine: Machine, fact: plan.Link, parent: Link | None) -> None:
    """Raise if the kernel doesn't put such a link on its parent."""
    if parent is None or (parent.name == "lo" and fact.kind != "vlan"):
        raise refusal(fact, errno.EINVAL)
    options = dict(fact.options)
    beside = [
        other
        for ns in machine.namespaces
        for other in machine.links(ns)
        if other.parent is _real(parent, fact)
    ]
    if fact.kind == "vlan":
        if options["id"] in {other.options.get("id") for other in beside if other.kind == "vlan"}:
            raise refusal(fact, errno.EEXIST, TWIN)
        return
    # One handler of what a link receives, which a bridge has as well.
    if parent.master is not None or {other.kind for other in beside} - {"vlan", fact.kind}:
        raise refusal(fact, errno.EBUSY)
    modes = [other.options.get("mode") for other in beside if other.kind == fact.kind]
    if "passthru" in modes or (modes and options.get("mode") == "passthru"):
        raise refusal(fact, errno.EINVAL)


def _refuse_bad_name(fact: plan.Link | plan.Veth, name: str) -> None:
    if len(name.encode()) > _NAME_MAX:
        raise refusal(fact, errno.ERANGE, "Attribute failed policy validation")
    if not name or name in {".", ".."} or any(c in "/:" or c.isspace() for c in name):
        raise refusal(fact, errno.EINVAL)


def _refuse_bad_values(fact: plan.Link | plan.Veth, mac: str, mtu: int) -> None:
    if mac:
        first, *others = bytes.fromhex(mac.replace(":", ""))
        if first & 1 or not any((first, *others)):
            raise refusal(fact, errno.EADDRNOTAVAIL)
    if mtu and not _MTU_MIN <= mtu <= _MTU_MAX:
        raise refusal(fact, errno.EINVAL)


def _other_mtu(found: int, wanted: int, whose: str) -> str | None:
    return f"{whose} has MTU {found}, not {wanted}" if wanted and found != wanted else None


def _differs(fact: plan.Link | plan.Veth, found: Link, whose: str) -> str | None:
    if fact.master and (found.master is None or found.master.name != fact.master):
        return f"{whose} is not a port of {fact.master}"
    mtu = _other_mtu(found.mtu, fact.mtu, whose)
    if mtu:
        return mtu
    if fact.mac and found.mac != fact.mac:
        return f"{whose} has MAC {found.mac}, not {fact.mac}"
    if fact.alias and found.alias != fact.alias:
        return f"{whose} doesn't bear the mark {fact.alias}"
    return None


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Link: _Links(),
    plan.Veth: _Veths(),
    plan.Parent: _Parents(),
    plan.Up: _Ups(),
    plan.Hairpin: _PortFlags(),
    plan.Isolated: _PortFlags(),
    plan.Sysctl: _Sysctls(),
}
