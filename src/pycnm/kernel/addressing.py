"""Addresses, routes and settings, brought about."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

from pycnm.errors import KernelError
from pycnm.kernel import rtinet, rtnl
from pycnm.kernel.links import ROUTE, index, state
from pycnm.kernel.netlink import Message, Socket
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued, refusal
from pycnm.plan import links as plan


def _dumped(session: LinuxSession, ns: str, request: bytes) -> list[Message]:
    return session.once((ns, request), lambda: session.socket(ns).dump(request))


class _Addresses:
    def add(self, session: LinuxSession, fact: plan.Address) -> None:
        number = index(session, fact, fact.ns, fact.link)
        message = rtinet.new_address(number, fact.address)

        def settle() -> None:
            if not self._connected(session, fact, number):
                answer = session.socket(fact.ns).request(
                    [rtinet.connected_route(number, fact.address)]
                )[0]
                if answer.code not in {0, errno.EEXIST}:
                    raise refusal(fact, answer.code, answer.text)

        session.queue(fact.ns, ROUTE, Queued(fact, message, settle=settle))

    def remove(self, session: LinuxSession, fact: plan.Address) -> None:
        with contextlib.suppress(LookupError):
            link = state(session, fact.ns, fact.link)
            if link is not None and self._origin(session, fact, link.ifindex) == rtinet.ORIGIN:
                message = rtinet.delete_address(link.ifindex, fact.address)
                session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.Address) -> str | None:
        with contextlib.suppress(LookupError):
            link = state(session, fact.ns, fact.link)
            if link is not None and self._origin(session, fact, link.ifindex) is not None:
                if self._connected(session, fact, link.ifindex):
                    return None
                where = plan.at(fact.ns, fact.link)
                return f"the route to {_subnet(fact)} dev {where} is gone"
        return f"{plan.at(fact.ns, fact.link)} doesn't have the address {fact.address}"

    @staticmethod
    def _origin(session: LinuxSession, fact: plan.Address, number: int) -> int | None:
        plain, _, length = fact.address.partition("/")
        family, data = rtinet.packed(plain)
        wanted = (number, data, int(length))
        for received in _dumped(session, fact.ns, rtinet.get_addresses(family, number)):
            found = rtinet.address_state(received)
            if (found.ifindex, found.address, found.prefixlen) == wanted:
                return found.origin
        return None

    @staticmethod
    def _connected(session: LinuxSession, fact: plan.Address, number: int) -> bool:
        """Whether the kernel's own route to the subnet is there, or none can be."""
        plain, _, length = fact.address.partition("/")
        family, data = rtinet.packed(plain)
        wanted = (rtinet.first_of(data, int(length)), int(length))
        link = state(session, fact.ns, fact.link)
        if int(length) == 8 * len(data) or link is None or not link.up:
            return True
        for received in _dumped(session, fact.ns, rtinet.get_routes(family, number)):
            found = rtinet.route_state(received)
            if (
                found is not None
                and (found.destination, found.prefixlen) == wanted
                and (found.gateway, found.ifindex) == (b"", number)
                and found.table == plan.MAIN_TABLE
            ):
                return True
        return False


def twins(connection: Socket, facts: Sequence[plan.Address]) -> list[str]:
    """Addresses that another link has as well, with how to take them off it; sentences."""
    ours = {}
    for fact in facts:
        ours[rtinet.packed(fact.address.partition("/")[0])[1]] = fact
    told = []
    for received in connection.dump(rtinet.get_addresses()) if ours else ():
        found = rtinet.address_state(received)
        twin = ours.get(found.address)
        link = "" if twin is None else _name(found.ifindex)
        # A driver may give several links of ours the same one: those are no twins.
        if twin is not None and link not in {"", twin.link} and not _marked(connection, link):
            plain = twin.address.partition("/")[0]
            told.append(
                f"{link} has the address {plain} of {twin.link} as well, and what is for the "
                f"network may go there: `ip address del {plain}/{found.prefixlen} dev {link}`"
            )
    return told


def _marked(connection: Socket, link: str) -> bool:
    """Whether a link is one of ours."""
    answer = connection.get(rtnl.get_link(link))
    return answer is not None and rtnl.link_state(answer).alias.startswith("cnm:")


def _name(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        return ""


def _subnet(fact: plan.Address) -> str:
    plain, _, length = fact.address.partition("/")
    family, data = rtinet.packed(plain)
    return f"{socket.inet_ntop(family, rtinet.first_of(data, int(length)))}/{length}"


class _Routes:
    def add(self, session: LinuxSession, fact: plan.Route) -> None:
        number = index(session, fact, fact.ns, fact.link)
        message = rtinet.route(
            rtinet.RTM_NEWROUTE,
            fact.destination,
            fact.gateway,
            number,
            fact.table,
            metric=fact.metric,
        )
        settle = self._settle(session, fact)
        session.queue(fact.ns, ROUTE, Queued(fact, message, settle=settle))

    def remove(self, session: LinuxSession, fact: plan.Route) -> None:
        with contextlib.suppress(LookupError):
            link = state(session, fact.ns, fact.link)
            if link is not None:
                message = rtinet.route(
                    rtinet.RTM_DELROUTE,
                    fact.destination,
                    fact.gateway,
                    link.ifindex,
                    fact.table,
                    metric=fact.metric,
                )
                session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.Route) -> str | None:
        with contextlib.suppress(LookupError):
            if self._present(session, fact):
                return None
        via = f" via {fact.gateway}" if fact.gateway else ""
        metric = f" metric {fact.metric}" if fact.metric else ""
        where = plan.at(fact.ns, fact.link)
        return f"the route to {fact.destination}{via}{metric} dev {where} is gone"

    def _settle(self, session: LinuxSession, fact: plan.Route) -> Callable[[], None]:
        def settle() -> None:
            if not self._present(session, fact):
                raise KernelError(
                    str(fact),
                    errno.EEXIST,
                    f"another route to {fact.destination} is there; remove it first",
                )

        return settle

    @staticmethod
    def _present(session: LinuxSession, fact: plan.Route) -> bool:
        plain, _, length = fact.destination.partition("/")
        family, data = rtinet.packed(plain)
        gateway = rtinet.packed(fact.gateway)[1] if fact.gateway else b""
        link = state(session, fact.ns, fact.link)
        number = 0 if link is None else link.ifindex
        metric = rtinet.metric_of(fact.destination, fact.metric)
        for received in (
            _dumped(session, fact.ns, rtinet.get_routes(family, number)) if link else ()
        ):
            found = rtinet.route_state(received)
            if (
                found is not None
                and (found.destination or bytes(len(data)), found.prefixlen) == (data, int(length))
                and (found.gateway, found.ifindex) == (gateway, number)
                and (found.table, found.metric) == (fact.table, metric)
            ):
                return True
        return False


class _Rules:
    def add(self, session: LinuxSession, fact: plan.Rule) -> None:
        session.flush()
        if self.differs(session, fact) is None:
            # The kernel takes the same rule twice, under another priority.
            return
        message = rtinet.rule(rtinet.RTM_NEWRULE, fact.source, fact.table)
        session.queue(fact.ns, ROUTE, Queued(fact, message, frozenset({errno.EEXIST})))

    def remove(self, session: LinuxSession, fact: plan.Rule) -> None:
        message = rtinet.rule(rtinet.RTM_DELRULE, fact.source, fact.table)
        with contextlib.suppress(LookupError):
            session.namespace(fact.ns)
            session.queue(fact.ns, ROUTE, Queued(fact, message, GONE))

    def differs(self, session: LinuxSession, fact: plan.Rule) -> str | None:
        plain, _, length = fact.source.partition("/")
        family, data = rtinet.packed(plain)
        wanted = (data, int(length) if length else 8 * len(data), fact.table)
        with contextlib.suppress(LookupError):
            for received in _dumped(session, fact.ns, rtinet.get_rules(family)):
                if rtinet.rule_state(received) == wanted:
                    return None
        table = plan.at(fact.ns, f"table {fact.table}")
        return f"the routing rule from {fact.source} to {table} is gone"


class _Sysctls:
    def add(self, session: LinuxSession, fact: plan.Sysctl) -> None:
        self._write(session, fact, fact.value, optional=fact.optional)
        session.made.append(fact)

    def remove(self, session: LinuxSession, fact: plan.Sysctl) -> None:
        with contextlib.suppress(LookupError):
            session.flush()
            session.enter(fact.ns)
            if not fact.unless or session.settings.read(fact.unless) in {None, "0"}:
                self._write(session, fact, fact.before, optional=True)

    def differs(self, session: LinuxSession, fact: plan.Sysctl) -> str | None:
        try:
            session.enter(fact.ns)
        except LookupError:
            return f"the namespace {fact.ns} is gone"
        value = session.settings.read(fact.key)
        if value == fact.value or (value is None and fact.optional):
            return None
        return f"{plan.at(fact.ns, fact.key)} is {value or 'gone'}, not {fact.value}"

    @staticmethod
    def _write(session: LinuxSession, fact: plan.Sysctl, value: str, *, optional: bool) -> None:
        session.flush()
        session.enter(fact.ns)
        try:
            session.settings.write(fact.key, value)
        except FileNotFoundError as error:
            if not optional:
                raise refusal(fact, errno.ENOENT, f"this kernel has no {fact.key}") from error
        except OSError as error:
            raise refusal(fact, error.errno or errno.EIO) from error


REALISATIONS.update(
    {
        plan.Address: _Addresses(),
        plan.Route: _Routes(),
        plan.Rule: _Rules(),
        plan.Sysctl: _Sysctls(),
    }
)
