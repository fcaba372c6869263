"""What went elsewhere, found by its mark and had back, before it is made anew.

A bridge that was renamed still has its ports; a namespace that was unpinned still
has its processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pycnm.kernel import netns, rtnl
from pycnm.kernel.links import DOOMED_GROUP, state
from pycnm.kernel.session import LinuxSession
from pycnm.plan.links import Link, Namespace, Veth
from pycnm.plan.operation import HOST, Operation


def recall(session: LinuxSession, operations: Iterable[Operation]) -> None:
    """Have back what there is of what the operations are about; it may still differ."""
    known = tuple(operations)
    lost = [each for each in known if isinstance(each, (Link, Veth)) and _is_lost(session, each)]
    if lost:
        _rename(session, lost)
    unpinned = {
        each.path
        for each in known
        if isinstance(each, Namespace) and not netns.is_namespace(each.path)
    }
    ends = [each for each in known if isinstance(each, Veth) and each.peer_ns in unpinned]
    born = {
        each.alias: each.netns
        for each in known
        if isinstance(each, Link) and each.alias and each.netns in unpinned
    }
    if ends or born:
        _pin(session, ends, born)


def _is_lost(session: LinuxSession, fact: Link | Veth) -> bool:
    here = fact.ns == HOST and not (isinstance(fact, Link) and fact.netns)
    return here and bool(fact.alias) and state(session, HOST, fact.name) is None


def _rename(session: LinuxSession, lost: Iterable[Link | Veth]) -> None:
    connection = session.socket(HOST)
    there = {
        (link.alias, link.kind): link
        for link in map(rtnl.link_state, connection.dump(rtnl.get_links()))
        if link.alias and link.group != DOOMED_GROUP
    }
    for fact in lost:
        kind = fact.kind if isinstance(fact, Link) else "veth"
        found = there.get((fact.alias, kind))
        if found is not None:
            # Older kernels (before 6.2) rename only what is down.
            connection.request(
                [
                    rtnl.set_link(found.name, up=False),
                    rtnl.rename_link(found.ifindex, fact.name),
                ]
            )


def _pin(session: LinuxSession, ends: Iterable[Veth], born: dict[str, str]) -> None:
    """Pin namespaces again that live on with a process, and with our interface.

    Args:
        ends: pairs that lead there.
        born: the marks of links that were born there, with where that was.
    """
    wanted = {}
    for end in ends:
        found = state(session, HOST, end.name)
        if found is not None and found.alias == end.alias and found.nsid >= 0:
            wanted[found.nsid] = end.peer_ns
    connection = session.socket(HOST)
    for descriptor in _namespaces() if wanted or born else ():
        answer = connection.get(rtnl.get_nsid(descriptor))
        number = -1 if answer is None else rtnl.nsid(answer)
        path = wanted.pop(number, None)
        if path is None and born and number >= 0:
            links = map(rtnl.link_state, connection.dump(rtnl.get_links(number)))
            path = next((born[link.alias] for link in links if link.alias in born), None)
        if path is not None and not netns.is_namespace(path):
            netns.pin(descriptor, path)


def _namespaces() -> Iterator[int]:
    """A descriptor of each network namespace that a process is in."""
    seen = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                yield descriptor
        finally:
            os.close(descriptor)
