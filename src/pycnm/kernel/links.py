"""Links, brought about."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from pycnm.errors import KernelError
from pycnm.kernel import rtnl
from pycnm.kernel.session import GONE, MANY, REALISATIONS, Doomed, LinuxSession, Queued, refusal
from pycnm.plan import links as plan
from pycnm.plan.host import TWIN
from pycnm.plan.operation import HOST

if TYPE_CHECKING:
    from pycnm.kernel.netlink import Socket
    from pycnm.plan.operation import Operation

ROUTE = "route"
_SOME = 16
DOOMED_GROUP = 0x636E6D00
"""The link group of links on their way out ("cnm" and a zero)."""


def state(session: LinuxSession, ns: str, name: str) -> rtnl.LinkState | None:
    """What the kernel says of a link, after sending what is queued; None if it isn't there."""
    session.flush()
    # To be told of one link takes a lock that all namespaces share; to be told of all, once.
    if session.expects_many(plan.Veth, MANY if ns == HOST else _SOME):
        there = session.once(("links", ns), lambda: _all(session, ns))
        if there is not None:
            return there.get(name)
    return session.once(("link", ns, name), lambda: _look(session, ns, name))


def _all(session: LinuxSession, ns: str) -> dict[str, rtnl.LinkState] | None:
    """All links of a namespace, by name; None if they come and go all the time."""
    try:
        found = session.socket(ns).dump(rtnl.get_links())
    except InterruptedError:
        return None
    return {link.name: link for link in map(rtnl.link_state, found)}


def index(session: LinuxSession, fact: Operation, ns: str, name: str) -> int:
    """The index of a link that `fact` needs.

    Raises:
        KernelError: ENODEV, it isn't there.
    """
    found = state(session, ns, name)
    if found is None:
        raise refusal(fact, errno.ENODEV, f"there is no interface {name}")
    return found.ifindex


def _ours(found: rtnl.LinkState, alias: str, group: int) -> bool:
    """Whether a link bears our mark; without an alias its making was interrupted."""
    return found.alias == alias if found.alias else bool(group) and found.group == group


class _Links:
    def add(self, session: LinuxSession, fact: plan.Link) -> None:
        where = fact.netns or fact.ns
        request = _request(session, fact, fact.name)
        settle = _settle(session, fact, where, request)
        session.queue(fact.ns, ROUTE, Queued(fact, request, settle=settle))
        if fact.netns and fact.parent:
            # Nothing leads there from here: without a number nobody here hears of it.
            known = rtnl.new_nsid(session.namespace(fact.netns))
            session.queue(fact.ns, ROUTE, Queued(fact, known, frozenset({errno.EEXIST})))
        if fact.alias:
            # Not before it is known to be ours: the name may be somebody else's.
            session.flush()
            mark = rtnl.set_link(fact.name, alias=fact.alias)
            session.queue(where, ROUTE, Queued(fact, mark))

    def remove(self, session: LinuxSession, fact: plan.Link) -> None:
        where = fact.netns or fact.ns
        _doom(session, fact, where, fact.name, "")
        if fact.netns:
            _doom(session, fact, where, _first_name(fact), "")

    def differs(self, session: LinuxSession, fact: plan.Link) -> str | None:
        where = fact.netns or fact.ns
        try:
            found = state(session, where, fact.name)
        except LookupError:
            found = None
        whose = plan.at(where, fact.name)
        if found is None:
            return f"the interface {whose} is gone"
        if found.kind != fact.kind:
            return f"{whose} is of kind {found.kind or 'hardware'}, not {fact.kind}"
        parent = state(session, fact.ns, fact.parent) if fact.parent else None
        if not _sits(fact, found, parent):
            return f"{whose} sits on another interface than {fact.parent}"
        return _differs(session, found, whose, fact)


class _Veths:
    def add(self, session: LinuxSession, fact: plan.Veth) -> None:
        request = rtnl.new_veth(
            fact.name,
            index(session, fact, fact.ns, fact.master) if fact.master else 0,
            fact.peer,
            fact.peer_mac,
            session.namespace(fact.peer_ns),
            mtu=fact.mtu,
            group=fact.group,
            up=fact.up,
            mac=fact.mac,
        )
        settle = _settle_pair(session, fact, request)
        session.queue(fact.ns, ROUTE, Queued(fact, request, settle=settle))
        session.flush()
        mark = rtnl.set_link(fact.name, alias=fact.alias)
        session.queue(fact.ns, ROUTE, Queued(fact, mark))
        if fact.master:
            session.rising.append(fact)

    def remove(self, session: LinuxSession, fact: plan.Veth) -> None:
        _doom(session, fact, fact.ns, fact.name, fact.peer_ns)

    def differs(self, session: LinuxSession, fact: plan.Veth) -> str | None:
        found = state(session, fact.ns, fact.name)
        if found is None:
            return f"the interface {fact.name} is gone"
        try:
            peer = state(session, fact.peer_ns, fact.peer)
        except LookupError:
            return f"the namespace {fact.peer_ns} is gone"
        if peer is None:
            return f"the interface {fact.peer} in {fact.peer_ns} is gone"
        whose = f"{fact.peer} in {fact.peer_ns}"
        if peer.mac != rtnl.hardware(fact.peer_mac):
            return f"{whose} has MAC {peer.mac.hex(':')}, not {fact.peer_mac}"
        if fact.up and not found.up:
            return f"{fact.name} is down"
        return _differs(session, found, fact.name, fact) or _other_mtu(peer.mtu, fact.mtu, whose)


def _other_mtu(found: int, wanted: int, whose: str) -> str | None:
    return f"{whose} has MTU {found}, not {wanted}" if wanted and found != wanted else None


def _sits(fact: plan.Link, found: rtnl.LinkState, parent: rtnl.LinkState | None) -> bool:
    """Whether a link sits on what has the name of its parent now.

    Where nothing has, what it sits on was renamed or moved.  What is put on a
    macvlan sits on the parent of that.
    """
    return parent is None or (
        parent.ifindex == found.link or (parent.kind == fact.kind and parent.link == found.link)
    )


def _differs(
    session: LinuxSession, found: rtnl.LinkState, whose: str, fact: plan.Link | plan.Veth
) -> str | None:
    if fact.master:
        master = state(session, fact.ns, fact.master)
        if master is None or master.ifindex != found.master:
            return f"{whose} is not a port of {fact.master}"
    mtu = _other_mtu(found.mtu, fact.mtu, whose)
    if mtu:
        return mtu
    if fact.mac and found.mac != rtnl.hardware(fact.mac):
        return f"{whose} has MAC {found.mac.hex(':')}, not {fact.mac}"
    if fact.alias and found.alias != fact.alias:
        return f"{whose} doesn't bear the mark {fact.alias}"
    for key, value in fact.options if isinstance(fact, plan.Link) else ():
        other = rtnl.other_setting(found, key, value)
        if other is not None:
            return f"{whose} has {key} {other}, not {value}"
    return None


def _request(session: LinuxSession, fact: plan.Link, name: str) -> bytes:
    """What makes a link, under a name."""
    return rtnl.new_link(
        name,
        fact.kind,
        fact.options,
        mac=fact.mac,
        mtu=fact.mtu,
        group=fact.group,
        master=index(session, fact, fact.ns, fact.master) if fact.master else 0,
        parent=index(session, fact, fact.ns, fact.parent) if fact.parent else 0,
        netns=session.namespace(fact.netns) if fact.netns else -1,
    )


def _settle(session: LinuxSession, fact: plan.Link, ns: str, request: bytes) -> Callable[[], None]:
    """What to do when the name is taken: repair what is ours, refuse what isn't."""

    def settle() -> None:
        found = _look(session, ns, fact.name)
        if found is None and fact.netns:
            _bear(session, fact)
            return
        if found is None:
            raise refusal(fact, errno.EEXIST, TWIN)
        if not _ours(found, fact.alias, fact.group):
            raise _taken(fact, plan.at(ns, fact.name))
        parent = _look(session, fact.ns, fact.parent) if fact.parent else None
        if found.kind == fact.kind and _sits(fact, found, parent):
            _repair(session, fact, ns, fact.name)
            return
        _try_all(session, fact, ns, [rtnl.delete_link(found.ifindex)])
        _try_all(session, fact, fact.ns, [request])
        session.made.append(fact)

    return settle


def _bear(session: LinuxSession, fact: plan.Link) -> None:
    """Make a link in a namespace where its name is free, though it isn't in this one.

    Older kernels (before 6.13) look for the name here all the same.  So it is
    born under another one.
    """
    name = _first_name(fact)
    _try_all(session, fact, fact.ns, [_request(session, fact, name)])
    session.made.append(fact)
    born = _look(session, fact.netns, name)
    if born is not None:
        _try_all(session, fact, fact.netns, [rtnl.rename_link(born.ifindex, fact.name)])


def _first_name(fact: plan.Link) -> str:
    """Under what name a link is born where its own can't be used yet."""
    return f"cnm{fact.alias[-12:]}"


def _try_all(session: LinuxSession, fact: Operation, ns: str, requests: list[bytes]) -> None:
    """Send requests, in the middle of sending; raise if one is refused."""
    for answer in session.socket(ns).request(requests):
        if answer.code:
            raise refusal(fact, answer.code, answer.text)


def _settle_pair(session: LinuxSession, fact: plan.Veth, request: bytes) -> Callable[[], None]:
    """The same for a pair, of which the kernel says it of either end.

    Our end outlives a namespace that was unpinned: by some milliseconds, or for
    as long as a process stays inside.  Where its peer isn't, it is no use.
    """

    def settle() -> None:
        found = _look(session, fact.ns, fact.name)
        if found is not None and not _ours(found, fact.alias, fact.group):
            raise _taken(fact, fact.name)
        peer = _look(session, fact.peer_ns, fact.peer)
        if peer is not None and found is None and _was_ours(session, fact, peer):
            session.socket(fact.peer_ns).request([rtnl.delete_link(peer.ifindex)])
            peer = None
        if peer is not None:
            if found is None or (found.link, found.ifindex) != (peer.ifindex, peer.link):
                raise _taken(fact, f"{fact.peer} in {fact.peer_ns}")
            _repair(session, fact, fact.ns, fact.name)
            mtu = fact.mtu if fact.mtu != peer.mtu else 0
            mac = fact.peer_mac if rtnl.hardware(fact.peer_mac) != peer.mac else ""
            if mtu or mac:
                change = rtnl.set_link(fact.peer, mac=mac, mtu=mtu)
                _try_all(session, fact, fact.peer_ns, [change])
            return
        connection = session.socket(fact.ns)
        if found is not None:
            # If the kernel was faster, it is gone: what counts is the next answer.
            connection.request([rtnl.delete_link(found.ifindex)])
        _try_all(session, fact, fact.ns, [request])
        session.made.append(fact)

    return settle


def _was_ours(session: LinuxSession, fact: plan.Veth, peer: rtnl.LinkState) -> bool:
    """Whether what has the name inside is the peer of our end, which somebody moved away."""
    if peer.kind != "veth" or peer.mac != rtnl.hardware(fact.peer_mac):
        return False
    answer = session.socket(fact.ns).get(rtnl.get_link_at(peer.link))
    here = None if answer is None else rtnl.link_state(answer)
    return here is None or here.kind != "veth" or here.link != peer.ifindex


def _look(session: LinuxSession, ns: str, name: str) -> rtnl.LinkState | None:
    """As `state`, in the middle of sending."""
    answer = session.socket(ns).get(rtnl.get_link(name))
    return rtnl.link_state(answer) if answer else None


def _taken(fact: plan.Link | plan.Veth, what: str) -> KernelError:
    return KernelError(
        str(fact),
        errno.EEXIST,
        f"an interface {what} that pycnm didn't make is there; rename or remove it",
    )


def _repair(session: LinuxSession, fact: plan.Link | plan.Veth, ns: str, name: str) -> None:
    master = index(session, fact, fact.ns, fact.master) if fact.master else 0
    up = True if isinstance(fact, plan.Veth) and fact.up else None
    settings, found = [], _look(session, ns, name)
    # Not every kind can be told what it has already.
    mac = fact.mac if found is None or rtnl.hardware(fact.mac) != found.mac else ""
    if isinstance(fact, plan.Link) and found is not None:
        settings = [
            rtnl.set_setting(name, fact.kind, key, value)
            # The last first: of a bridge that speaks STP, the delay has a lower limit.
            for key, value in reversed(fact.options)
            if rtnl.other_setting(found, key, value) is not None
        ]
    change = rtnl.set_link(name, up=up, group=fact.group, master=master, mac=mac, mtu=fact.mtu)
    _try_all(session, fact, ns, [change, *settings])


def _doom(
    session: LinuxSession, fact: plan.Link | plan.Veth, ns: str, name: str, peer_ns: str
) -> None:
    """Take a link down and put it into the group that is deleted at the end.

    Deleting one link costs 16 ms of the kernel's grace periods, a group of them
    hardly more; being down, it carries nothing in the meantime.
    """
    try:
        found = state(session, ns, name)
    except LookupError:
        return
    if found is None or not _ours(found, fact.alias, fact.group):
        return
    change = rtnl.set_link(name, up=False, group=DOOMED_GROUP)
    session.queue(ns, ROUTE, Queued(fact, change, GONE))
    session.doomed.append(Doomed(ns, peer_ns, _waits(fact)))


def _waits(fact: plan.Link | plan.Veth) -> bool:
    """Whether a link that is down is in nobody's way.

    A macvlan isn't, unless it has its parent for itself.  The addresses of an
    ipvlan are its own until it is deleted.
    """
    if not isinstance(fact, plan.Link) or fact.kind != "macvlan":
        return False
    return ("mode", "passthru") not in fact.options


def reap(session: LinuxSession) -> bool:
    """Delete the doomed links; return whether some are left to the kernel.

    A veth whose peer's namespace was unpinned goes with it, some milliseconds
    from now and at no cost to the caller, unless a process keeps the namespace.
    """
    doomed, session.doomed = session.doomed, []
    if not doomed:
        return False
    if all(link.peer_ns in session.unpinned for link in doomed):
        return True
    for ns in {link.ns for link in doomed}:
        delete_doomed(session, ns)
    return False


def delete_doomed(session: LinuxSession, ns: str) -> None:
    """Delete all links of `ns` that are on their way out."""
    with contextlib.suppress(LookupError):
        delete_all_doomed(session.socket(ns))


def delete_all_doomed(connection: Socket) -> None:
    """Delete all links that are on their way out, in the namespace of a socket."""
    answer = connection.request([rtnl.delete_group(DOOMED_GROUP)])[0]
    if answer.code and answer.code not in GONE:
        raise KernelError(f"ip link delete group {DOOMED_GROUP}", answer.code, answer.text)


REALISATIONS.update({plan.Link: _Links(), plan.Veth: _Veths()})
