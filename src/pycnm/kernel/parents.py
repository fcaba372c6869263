"""Interfaces of others that links of ours sit on: what is known of them, never changed."""

from __future__ import annotations

import errno

from pycnm.kernel import rtnl
from pycnm.kernel.links import state
from pycnm.kernel.netlink import NETLINK_ROUTE, Socket
from pycnm.kernel.session import REALISATIONS, LinuxSession, refusal
from pycnm.plan import links as plan
from pycnm.plan.host import Interface

_PROBE = "cnm-probe"
_NOBODY = "01:00:00:00:00:00"


class _Parents:
    def add(self, session: LinuxSession, fact: plan.Parent) -> None:
        if state(session, fact.ns, fact.link) is None:
            raise refusal(fact, errno.ENODEV, fact.gone())

    def remove(self, session: LinuxSession, fact: plan.Parent) -> None:
        """It stays as it is."""

    def differs(self, session: LinuxSession, fact: plan.Parent) -> str | None:
        found = state(session, fact.ns, fact.link)
        if found is None:
            return fact.gone()
        return None if found.up else fact.down()


def interface(connection: Socket, name: str) -> Interface | None:
    """What there is of an interface, in the namespace of the socket; None if it isn't there."""
    answer = connection.get(rtnl.get_link(name))
    if answer is None:
        return None
    found = rtnl.link_state(answer)
    master = ""
    if found.master:
        above = connection.get(rtnl.get_link_at(found.master))
        master = "" if above is None else rtnl.link_state(above).name
    return Interface(name, found.kind, found.alias, master)


def mtu(connection: Socket, name: str) -> int:
    """MTU of an interface in the namespace of the socket; 0 if it isn't there."""
    answer = connection.get(rtnl.get_link(name))
    return 0 if answer is None else rtnl.link_state(answer).mtu


def has_kind(kind: str) -> bool:
    """Whether this kernel makes links of a kind; loads the module, if the kernel does so.

    It is asked for one that it makes for nobody, with a multicast address: what
    it says first is whether it knows the kind.
    """
    with Socket(NETLINK_ROUTE) as connection:
        answer = connection.request([rtnl.new_link(_PROBE, kind, mac=_NOBODY)])[0]
    return answer.code != errno.EOPNOTSUPP


REALISATIONS[plan.Parent] = _Parents()
