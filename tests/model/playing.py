"""The public API and the tree, played at random beside the model."""

from __future__ import annotations

from typing import Any

import comparing
from endpoints import Endpoints
from expected import Network
from hypothesis import strategies as st
from hypothesis.stateful import rule
from stage import ALL_NETWORKS, NTH, Refusals

from pycnm import errors


class Playing(Endpoints):
    """All rules."""

    # Through the tree

    @rule(nth=NTH, remove=st.booleans())
    def a_network_in_the_tree(self, nth: int, remove: bool) -> None:
        files = comparing.Tree(self.cnm).files
        if not remove:
            name = self.new(nth, ALL_NETWORKS, self.world.networks)
            made = Network(name, {4: self.world.automatic4()})
            made.gateways[4] = made.subnets[4][1]
            self.attempt(
                lambda: files.make(f"networks/{name}"),
                {errors.AlreadyExistsError} if name in self.world.networks else set(),
                lambda _: self.world.networks.update({name: made}),
            )
            return
        name = self.network(nth)
        net = self.world.networks.get(name)
        refusals: Refusals = set()
        if net is None:
            refusals = {errors.NotFoundError}
        elif net.predefined:
            refusals = {errors.NotPermittedError}
        elif net.endpoints:
            refusals = {errors.InUseError}
        self.attempt(
            lambda: files.remove(f"networks/{name}"), refusals, lambda _: self.forget_network(name)
        )

    @rule(nth=NTH)
    def a_sandbox_leaves_the_tree(self, nth: int) -> None:
        name = self.box(nth)
        box = self.world.sandboxes.get(name)
        refusals: Refusals = set()
        if box is None:
            refusals = {errors.NotFoundError}
        elif self.world.inside(box):
            refusals = {errors.InUseError}
        files = comparing.Tree(self.cnm).files
        self.attempt(
            lambda: files.remove(f"sandboxes/{name}"), refusals, lambda _: self.forget_sandbox(name)
        )

    @rule(nth=NTH, whose=NTH, remove=st.booleans())
    def an_endpoint_in_the_tree(self, nth: int, whose: int, remove: bool) -> None:
        network, name = self.network(nth), self.box(whose)
        net, box = self.world.networks.get(network), self.world.sandboxes.get(name)
        where = f"sandboxes/{name}/endpoints/{network}"
        files = comparing.Tree(self.cnm).files
        if net is None or box is None:
            self.attempt(lambda: files.make(where), {errors.NotFoundError}, bool)
        elif remove:
            found = [end for end in net.endpoints if end.sandbox is box]
            self.attempt(
                lambda: files.remove(where),
                set() if found else {errors.NotFoundError},
                lambda _: self.forget_endpoint(found[0]),
            )
        else:
            end, _, refusals = self.specified(net, name, None, None, None)
            refusals |= self.world.misfits(net, box)
            end.interface, _ = self.world.interface(net, box, "")

            def apply(_: Any) -> None:
                end.sandbox = box
                net.endpoints.append(end)
                self.world.reroute(box)

            self.attempt(lambda: files.make(where), refusals, apply)

    # Keeping

    @rule(nth=st.integers(0, 3))
    def prune(self, nth: int) -> None:
        if nth:
            # Seldom, or there would never be much.
            return
        wasted = [n for n, net in self.world.networks.items()
                  if not net.endpoints and not net.predefined]  # fmt: skip
        assert sorted(self.cnm.prune()) == sorted(wasted)
        for name in wasted:
            self.forget_network(name)

    @rule()
    def reconcile(self) -> None:
        assert self.cnm.reconcile() == []

    @rule()
    def reopen(self) -> None:
        self.controllers.pop().close()
        if not self.controllers:
            self.controllers = [self.open()]
        assert self.cnm.troubles == []

    @rule()
    def another(self) -> None:
        """Another controller on the same directory; or the first one goes on."""
        if len(self.controllers) > 1:
            self.controllers.reverse()
        else:
            self.controllers.append(self.open())
