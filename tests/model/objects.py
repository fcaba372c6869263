"""Networks and sandboxes made, changed and deleted."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from expected import Network, Sandbox, reserved
from hypothesis import strategies as st
from hypothesis.stateful import rule
from stage import (
    ALL_NETWORKS,
    BOXES,
    COUNTS,
    MOMENTS,
    NTH,
    OFFSETS,
    OTHERS,
    SUBNETS4,
    SUBNETS6,
    Refusals,
    Stage,
    pick,
)

import pycnm
from pycnm import errors


class Objects(Stage):
    """The rules for networks and sandboxes."""

    # Networks

    @rule(
        nth=NTH,
        subnet4=st.one_of(st.none(), st.sampled_from(SUBNETS4)),
        subnet6=st.one_of(st.none(), st.none(), st.sampled_from(SUBNETS6)),
        automatic6=st.booleans(),
        half=st.sampled_from([None, None, 0, 1]),
        gateway=OFFSETS,
        aux=OFFSETS,
        internal=st.sampled_from([False, False, True]),
        labels=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1"]), max_size=1),
        moment=MOMENTS,
    )
    def create_network(
        self, nth: int, subnet4: Any, subnet6: Any, automatic6: bool, half: int | None,
        gateway: int | None, aux: int | None, internal: bool, labels: dict[str, str], moment: Any,
    ) -> None:  # fmt: skip
        name = self.new(nth, ALL_NETWORKS[:-2], self.world.networks)
        net = Network(name, internal=internal, labels=labels)
        refusals = self.name_refused(name)
        wishes: dict[str, Any] = {"internal": internal, "labels": labels}
        given = [subnet for subnet in (subnet4, subnet6) if subnet is not None]
        if given:
            wishes["subnet"] = [str(subnet) for subnet in given]
            refusals |= self.world.overlapping(given)
        if subnet6 is None and automatic6:
            wishes["ipv6"] = True
        if subnet4 is None:
            net.subnets[4] = self.world.automatic4()
        else:
            net.subnets[4] = subnet4
            if half is not None:
                net.ranges[4] = list(subnet4.subnets())[half]
                wishes["ip_range"] = str(net.ranges[4])
            if gateway is not None:
                net.gateways[4] = subnet4[0] + gateway
                wishes["gateway"] = str(net.gateways[4])
                refusals |= misplaced(net.gateways[4], subnet4)
        if subnet6 is not None:
            net.subnets[6] = subnet6
        net.gateways.setdefault(4, net.lowest_free(4))
        if subnet4 is not None and aux is not None:
            net.aux["spare"] = subnet4[0] + aux
            wishes["aux_addresses"] = {"spare": str(net.aux["spare"])}
            refusals |= misplaced(net.aux["spare"], subnet4)

        def apply(made: pycnm.Network) -> None:
            self.settle6(net, made)
            self.world.networks[name] = net

        self.attempt(lambda: self.cnm.create_network(name, **wishes), refusals, apply, moment)

    def name_refused(self, name: str, own: str = "") -> Refusals:
        if name in {"bridge", "host", "none"}:
            return {errors.NotPermittedError}
        taken = name in self.world.networks and name != own
        return {errors.AlreadyExistsError} if taken else set()

    def settle6(self, net: Network, made: pycnm.Network) -> None:
        """Have the model take an automatic IPv6 subnet over, if it is the right one."""
        for subnet in made.subnets:
            if subnet.version == 6 and 6 not in net.subnets:
                net.subnets[6] = ip_network(str(subnet))
                assert net.subnets[6] == self.world.automatic6(net.subnets[6])
        if 6 in net.subnets:
            net.gateways[6] = net.subnets[6][1]

    @rule(nth=NTH, force=st.booleans(), moment=MOMENTS)
    def delete_network(self, nth: int, force: bool, moment: Any) -> None:
        name = self.network(nth)
        net = self.world.networks.get(name)
        refusals: Refusals = set()
        if net is None:
            refusals = {errors.NotFoundError}
        elif net.predefined:
            refusals = {errors.NotPermittedError}
        elif net.endpoints and not force:
            refusals = {errors.InUseError}
        self.attempt(
            lambda: self.cnm.network(name).delete(force=force),
            refusals,
            lambda _: self.forget_network(name),
            moment,
            forward=True,
        )

    def forget_network(self, name: str) -> None:
        gone = self.world.networks.pop(name)
        for end in gone.endpoints:
            self.world.reroute(end.sandbox)

    @rule(nth=NTH, another=NTH, moment=MOMENTS)
    def rename(self, nth: int, another: int, moment: Any) -> None:
        name, new = self.network(nth), self.new(another, ALL_NETWORKS, self.world.networks)
        net = self.world.networks.get(name)
        refusals = self.name_refused(new, own=name)
        if net is None:
            refusals |= {errors.NotFoundError}
        elif net.predefined:
            refusals |= {errors.NotPermittedError}

        def apply(_: Any) -> None:
            self.world.networks[new] = self.world.networks.pop(name)
            self.world.networks[new].name = new

        self.attempt(lambda: self.cnm.network(name).rename(new), refusals, apply, moment)

    @rule(
        nth=NTH,
        change=st.one_of(
            st.tuples(st.just("labels"), st.dictionaries(
                st.sampled_from("ab"), st.sampled_from([None, "", "1"]), min_size=1)),
            st.tuples(st.just("internal"), st.booleans()),
            st.tuples(st.just("ipv6"), st.booleans()),
            st.tuples(st.just("subnet"), st.sampled_from(SUBNETS4)),
        ),
        moment=MOMENTS,
    )  # fmt: skip
    def configure_network(self, nth: int, change: tuple[str, Any], moment: Any) -> None:
        name = self.network(nth)
        what, value = change
        net = self.world.networks.get(name)
        if net is not None and net.predefined and what == "ipv6":
            # The one thing that is changed of the default network, by a subnet that nobody names.
            return
        refusals: Refusals = set()
        if net is None:
            refusals = {errors.NotFoundError}
        elif net.predefined:
            refusals = {errors.NotPermittedError}
        elif what == "subnet" and value != net.subnets[4]:
            refusals = self.world.overlapping([value], besides=net)
        moves = net is not None and what != "labels" and value != {
            "internal": net.internal, "ipv6": 6 in net.subnets, "subnet": net.subnets.get(4),
        }[what]  # fmt: skip
        if moves and net.endpoints and not net.predefined:
            refusals |= {errors.InUseError}

        call = {what: str(value) if what == "subnet" else value}
        self.attempt(
            lambda: self.cnm.network(name).configure(**call),
            refusals,
            lambda _: self.configured(net, what, value, moves=moves),
            moment,
        )

    def configured(self, net: Network, what: str, value: Any, *, moves: bool) -> None:
        if what == "labels":
            merged = net.labels | value
            net.labels = {key: text for key, text in merged.items() if text is not None}
        elif what == "internal":
            net.internal = value
        elif moves and what == "ipv6" and not value:
            del net.subnets[6], net.gateways[6]
        elif moves and what == "ipv6":
            self.settle6(net, self.cnm.network(net.name))
        elif moves:
            net.subnets[4], net.aux = value, {}
            net.ranges.pop(4, None)
            del net.gateways[4]
            net.gateways[4] = net.lowest_free(4)

    # Sandboxes

    @rule(nth=NTH, kind=NTH, other=NTH, moment=MOMENTS)
    def create_sandbox(self, nth: int, kind: int, other: int, moment: Any) -> None:
        name = self.new(nth, BOXES, self.world.sandboxes)
        box = Sandbox(name, self.kinds[kind % len(self.kinds)])
        refusals = {errors.AlreadyExistsError} if name in self.world.sandboxes else set()
        where, more = self.namespace(box, other)
        self.attempt(
            lambda: self.cnm.create_sandbox(name, netns=where),
            refusals | more,
            lambda _: self.world.sandboxes.update({name: box}),
            moment,
        )

    def namespace(self, box: Sandbox, other: int) -> tuple[Any, Refusals]:
        """What a sandbox is made of, and why that may be refused."""
        if box.kind != "adopted":
            return "host" if box.kind == "host" else None, set()
        free = [name for name in self.world.others if not self.world.adopter(name)]
        box.adopted = pick(other, free or OTHERS, OTHERS)
        taken = self.world.adopter(box.adopted) is not None
        return self.world.others[box.adopted], {errors.AlreadyExistsError} if taken else set()

    @rule(nth=NTH, moment=MOMENTS)
    def delete_sandbox(self, nth: int, moment: Any) -> None:
        name = self.box(nth)
        refusals = set() if name in self.world.sandboxes else {errors.NotFoundError}
        self.attempt(
            lambda: self.cnm.sandbox(name).delete(),
            refusals,
            lambda _: self.forget_sandbox(name),
            moment,
            forward=True,
        )

    def forget_sandbox(self, name: str) -> None:
        box = self.world.sandboxes.pop(name)
        for end in self.world.inside(box):
            end.network.endpoints.remove(end)

    # Namespaces of others

    @rule(nth=NTH, then=st.sampled_from(["delete", "start", "reconcile"]))
    def a_namespace_vanishes(self, nth: int, then: str) -> None:
        """Whoever made it removes it, with what is in it; and makes it again, later or at once."""
        adopted = [box.adopted for box in self.world.sandboxes.values() if box.adopted]
        name = pick(nth, adopted or OTHERS, OTHERS)
        where, box = self.world.others[name], self.world.adopter(name)
        self.remove_namespace(name)
        if box is None:
            self.attempt(
                lambda: self.cnm.create_sandbox("vain", netns=where), {errors.NotFoundError}, bool
            )
            self.make_namespace(name)
            return
        COUNTS["vanished"] += 1
        handle = self.cnm.sandbox(box.name)
        assert handle.state == "down"
        assert self.cnm.check() != [] or not self.world.wired(box)
        _, _, refused = self.specified(self.world.networks["bridge"], box.name, None, None, None)
        refused |= {errors.NotFoundError, *self.world.misfits(self.world.networks["bridge"], box)}
        self.attempt(lambda: self.cnm.network("bridge").connect(box.name), refused, bool)
        if then == "delete":
            handle.delete()
            self.forget_sandbox(box.name)
            assert self.cnm.check() == []
        self.make_namespace(name)
        if then == "start":
            handle.start()
        elif then == "reconcile":
            self.cnm.reconcile()


def misplaced(address: Any, subnet: Any) -> Refusals:
    if address not in subnet:
        return {errors.OutOfSubnetError}
    return {errors.InvalidArgumentError} if address in reserved(subnet) else set()
