"""Endpoints made, joined, published, changed and deleted."""

from __future__ import annotations

from typing import Any

from expected import Binding, Endpoint, Network, Port, mac_of
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from objects import Objects
from stage import MOMENTS, NTH, OFFSETS, SUBNETS4, SUBNETS6, Refusals

import pycnm
from pycnm import errors

MACS = ("02:42:0a:09:00:03", "02:00:00:00:00:01")
HOSTS = st.sampled_from(["", "", "", "0.0.0.0", "127.0.0.1", "[::]"])


@st.composite
def ports(draw: Any) -> Port:
    host = draw(HOSTS).strip("[]")
    protocol = draw(st.sampled_from(["tcp", "tcp", "udp"]))
    kind = draw(st.sampled_from(["exact", "exact", "pair", "range", "any"]))
    first, container = draw(st.integers(8000, 8004)), draw(st.integers(80, 82))
    if kind == "pair":
        return Port(host, first, first + 1, container, 2, protocol)
    if kind == "range":
        return Port(host, first, first + draw(st.integers(1, 3)), container, 1, protocol)
    return Port(host, 0, 0, container, 1, protocol) if kind == "any" else Port(
        host, first, first, container, 1, protocol)  # fmt: skip


def sound(wanted: list[Port]) -> bool:
    """Whether a list asks for nothing twice, and leaves one choice at most."""
    exact = [
        (port.protocol, port.first + n) for port in wanted if port.exact for n in range(port.count)
    ]
    inner = [(port.protocol, port.container + n) for port in wanted for n in range(port.count)]
    choices = [port for port in wanted if not port.exact]
    return len(exact) == len(set(exact)) and len(inner) == len(set(inner)) and len(choices) <= 1


PORTS = st.lists(ports(), max_size=2).filter(sound).map(tuple)
SOME_PORTS = st.lists(ports(), min_size=1, max_size=2).filter(sound).map(tuple)

WISHES: dict[str, Any] = {
    "nth": NTH,
    "whose": NTH,
    "name": st.sampled_from([None, None, None, "a", "b"]),
    "ip": OFFSETS,
    "ip6": OFFSETS,
    "mac": st.sampled_from([None, None, None, *MACS]),
    "aliases": st.sampled_from([(), (), ("web",), ("web", "db")]),
    "publish": PORTS,
    "interface": st.sampled_from([None, None, None, "eth1", "wan", "lo"]),
    "priority": st.sampled_from([0, 0, 1, -1]),
    "moment": MOMENTS,
}


class Endpoints(Objects):
    """The rules for endpoints."""

    def fill(self) -> None:
        for nth, whose, priority in ((0, 0, 0), (1, 0, 1), (0, 2, 0)):
            self.connected(
                nth=10 * nth + 1, whose=10 * whose + 1, name=None, ip=None, ip6=None, mac=None,
                aliases=(), publish=(), interface=None, priority=priority, moment=None,
            )  # fmt: skip

    # Endpoints

    def specified(
        self, net: Network, name: str, ip: int | None, ip6: int | None, mac: str | None, **more: Any
    ) -> tuple[Endpoint, dict[str, Any], Refusals]:
        """An endpoint as it should become, what it is asked for with, and why it may be refused."""
        base = {v: net.subnets.get(v, default)[0] for v, default in
                ((4, SUBNETS4[0]), (6, SUBNETS6[0]))}  # fmt: skip
        wanted = {
            4: None if ip is None else base[4] + ip,
            6: None if ip6 is None else base[6] + ip6,
        }
        found, refusals = self.world.leases(net, wanted)
        end = Endpoint(name, net, found, mac or mac_of(found), **more)
        refusals |= self.world.mac_refused(net, end.mac)
        if net.endpoint(name):
            refusals |= {errors.AlreadyExistsError}
        asked = {"ip": wanted[4], "ip6": wanted[6], "mac": mac}
        asked = {key: str(value) for key, value in asked.items() if value is not None}
        return end, asked, refusals

    @rule(**WISHES)
    def connect(self, **wishes: Any) -> None:
        self.connected(**wishes)

    # Most of what there is comes from connecting: it is to happen more often than the rest.

    @rule(**WISHES)
    def connect_more(self, **wishes: Any) -> None:
        self.connected(**wishes)

    @rule(**WISHES)
    def connect_still_more(self, **wishes: Any) -> None:
        self.connected(**wishes)

    def connected(
        self, nth: int, whose: int, name: str | None, ip: int | None, ip6: int | None,
        mac: str | None, aliases: tuple[str, ...], publish: tuple[Port, ...],
        interface: str | None, priority: int, moment: Any,
    ) -> None:  # fmt: skip
        network, box = self.network(nth), self.box(whose)
        net, into = self.world.networks.get(network), self.world.sandboxes.get(box)
        if net is None or into is None:
            self.attempt(
                lambda: self.cnm.network(network).connect(box), {errors.NotFoundError}, bool, moment
            )
            return
        end, asked, refusals = self.specified(
            net, name or box, ip, ip6, mac, aliases=aliases, priority=priority
        )
        refusals |= self.world.misfits(net, into)
        end.interface, more = self.world.interface(net, into, interface or "")
        refusals |= more | self.world.publishing(end, publish)

        def apply(made: pycnm.Endpoint) -> None:
            self.world.published(end, publish, bound(made))
            end.sandbox = into
            net.endpoints.append(end)
            self.world.reroute(into)

        self.attempt(
            lambda: self.cnm.network(network).connect(
                box,
                name=name,
                aliases=aliases,
                publish=[str(port) for port in publish],
                interface=interface,
                gateway_priority=priority,
                **asked,
            ),
            refusals,
            apply,
            moment,
        )

    @rule(nth=NTH, whose=NTH, force=st.booleans(), moment=MOMENTS)
    def disconnect(self, nth: int, whose: int, force: bool, moment: Any) -> None:
        network, box = self.network(nth), self.box(whose)
        net, into = self.world.networks.get(network), self.world.sandboxes.get(box)
        found = [end for end in net.endpoints if into and end.sandbox is into] if net else []
        refusals: Refusals = set()
        if net is None or into is None or not (found or force):
            refusals = {errors.NotFoundError}

        def apply(_: Any) -> None:
            for end in found:
                self.forget_endpoint(end)

        self.attempt(
            lambda: self.cnm.network(network).disconnect(box, force=force),
            refusals,
            apply,
            moment,
            forward=True,
        )

    def forget_endpoint(self, end: Endpoint) -> None:
        end.network.endpoints.remove(end)
        self.world.reroute(end.sandbox)

    @rule(
        nth=NTH,
        name=st.sampled_from(["a", "b", "box0"]),
        ip=OFFSETS,
        ip6=OFFSETS,
        mac=st.sampled_from([None, None, *MACS]),
        publish=PORTS,
        moment=MOMENTS,
    )
    def create_endpoint(
        self, nth: int, name: str, ip: int | None, ip6: int | None, mac: str | None,
        publish: tuple[Port, ...], moment: Any,
    ) -> None:  # fmt: skip
        network = self.network(nth)
        net = self.world.networks.get(network)
        if net is None:
            return
        end, asked, refusals = self.specified(net, name, ip, ip6, mac, wishes=publish)
        self.attempt(
            lambda: self.cnm.network(network).create_endpoint(
                name, publish=[str(port) for port in publish], **asked
            ),
            refusals,
            lambda _: net.endpoints.append(end),
            moment,
        )

    def handle(self, end: Endpoint) -> pycnm.Endpoint:
        network = self.cnm.network(end.network.name)
        (found,) = [each for each in network.endpoints if each.name == end.name]
        return found

    def draw(self, data: st.DataObject, *, joined: bool | None = None) -> Endpoint:
        found = list(self.world.endpoints())
        if joined is not None:
            # Mostly those that it can be done to.
            found += 3 * [end for end in found if bool(end.sandbox) == joined]
        return data.draw(st.sampled_from(found))

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(
        data=st.data(),
        whose=NTH,
        interface=st.sampled_from([None, None, "eth1"]),
        moment=MOMENTS,
    )
    def join(self, data: st.DataObject, whose: int, interface: str | None, moment: Any) -> None:
        box = self.box(whose)
        end, into = self.draw(data, joined=False), self.world.sandboxes.get(box)
        refusals: Refusals = set()
        chosen = ""
        if into is None:
            refusals = {errors.NotFoundError}
        else:
            chosen, refusals = self.world.interface(end.network, into, interface or "")
            refusals |= self.world.misfits(end.network, into)
            refusals |= self.world.publishing(end, end.wishes)
        if end.sandbox is not None:
            refusals |= {errors.InUseError}
        handle = self.handle(end)

        def apply(_: Any) -> None:
            self.world.published(end, end.wishes, bound(handle))
            end.sandbox, end.interface, end.wishes = into, chosen, ()
            self.world.reroute(into)

        self.attempt(lambda: handle.join(box, interface=interface), refusals, apply, moment)

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(data=st.data(), moment=MOMENTS)
    def leave(self, data: st.DataObject, moment: Any) -> None:
        end = self.draw(data, joined=True)
        refusals = {errors.NotFoundError} if end.sandbox is None else set()

        def apply(_: Any) -> None:
            box, end.sandbox, end.interface = end.sandbox, None, ""
            end.wishes = tuple(binding.again() for binding in end.ports)
            end.ports = set()
            self.world.reroute(box)

        self.attempt(self.handle(end).leave, refusals, apply, moment)

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(data=st.data(), moment=MOMENTS)
    def delete_endpoint(self, data: st.DataObject, moment: Any) -> None:
        end = self.draw(data, joined=False)
        refusals = {errors.InUseError} if end.sandbox is not None else set()
        self.attempt(
            self.handle(end).delete,
            refusals,
            lambda _: self.forget_endpoint(end),
            moment,
            forward=True,
        )

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(data=st.data(), publish=SOME_PORTS, moment=MOMENTS)
    def publish(self, data: st.DataObject, publish: tuple[Port, ...], moment: Any) -> None:
        end = self.draw(data, joined=True)
        refusals = self.world.publishing(end, publish)
        if end.sandbox is None:
            refusals |= {errors.NotFoundError}
        handle = self.handle(end)
        self.attempt(
            lambda: handle.publish(*(str(port) for port in publish)),
            refusals,
            lambda _: self.world.published(end, publish, bound(handle) - end.ports),
            moment,
        )

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(data=st.data(), some=ports(), moment=MOMENTS)
    def unpublish(self, data: st.DataObject, some: Port, moment: Any) -> None:
        end = self.draw(data, joined=True)
        choice = [some, *(binding.again() for binding in sorted(end.ports))]
        port = data.draw(st.sampled_from(choice))
        gone = self.world.matching(end, port)
        refusals = set() if gone else {errors.InvalidArgumentError}

        def apply(_: Any) -> None:
            end.ports -= gone

        handle = self.handle(end)
        self.attempt(lambda: handle.unpublish(str(port)), refusals, apply, moment, forward=True)

    @precondition(lambda self: any(self.world.endpoints()))
    @rule(
        data=st.data(),
        what=st.sampled_from(["ip", "ip6", "mac", "gateway_priority", "aliases"]),
        offset=st.integers(0, 9),
        moment=MOMENTS,
    )
    def configure_endpoint(self, data: st.DataObject, what: str, offset: int, moment: Any) -> None:
        end = self.draw(data)
        after = Endpoint(end.name, end.network, dict(end.addresses), end.mac, end.aliases,
                         end.priority)  # fmt: skip
        refusals: Refusals = set()
        value: Any
        if what in {"ip", "ip6"}:
            version = 4 if what == "ip" else 6
            default = {4: SUBNETS4, 6: SUBNETS6}[version][0]
            wanted = end.network.subnets.get(version, default)[0] + offset
            value = str(wanted)
            if end.addresses.get(version) != wanted:
                if end.ports:
                    refusals |= {errors.InUseError}
                found, more = self.world.leases(end.network, {version: wanted})
                refusals |= more
                after.addresses |= found
                if version == 4 and found and end.mac == mac_of({4: end.addresses[4]}):
                    after.mac = mac_of(found)
        elif what == "mac":
            value = after.mac = MACS[offset % 2]
        elif what == "aliases":
            value = after.aliases = ("web", "db", "x")[: offset % 4]
        else:
            value = after.priority = offset % 3 - 1
        refusals |= self.world.mac_refused(end.network, after.mac, besides=end)

        def apply(_: Any) -> None:
            changed = (end.addresses, end.mac, end.aliases, end.priority) != (
                after.addresses, after.mac, after.aliases, after.priority)  # fmt: skip
            end.addresses, end.mac = after.addresses, after.mac
            end.aliases, end.priority = after.aliases, after.priority
            if changed:
                self.world.reroute(end.sandbox)

        handle = self.handle(end)
        self.attempt(lambda: handle.configure(**{what: value}), refusals, apply, moment)


def bound(end: pycnm.Endpoint) -> set[Binding]:
    return {Binding(b.protocol, str(b.host_address), b.host_port, b.port) for b in end.ports}
