"""How a step is taken and compared: what the rules have in common, and what a kernel may change."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import comparing
from expected import PREDEFINED, Binding, Network, Sandbox, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from mortal import AFTER, Died, Mortal

import pycnm
from pycnm import errors
from pycnm.plan.links import Address, Link, Namespace, Up
from pycnm.plan.operation import Operation
from pycnm.plan.ports import HeldPort
from pycnm.testing import FakeKernel

Refusals = set[type[errors.CNMError]]
COUNTS: Counter[str] = Counter()
"""How often what happened, over all examples."""

NETWORKS = ("net0", "net1", "net2", "net3")
OTHERS = ("there0", "there1")
BOXES = ("box0", "box1", "box2", "box3")
SUBNETS4 = [
    ip_network(text)
    for text in ("10.9.0.0/29", "10.9.0.8/29", "10.9.0.0/28", "10.9.1.0/30", "10.9.2.0/24")
]
SUBNETS6 = [ip_network(text) for text in ("fd00:9::/125", "fd00:9::8/125", "fd00:9::/64")]
FOREIGN = {Binding("tcp", "127.0.0.1", 8003, 0)}
FAILURE = "this was to fail"
# Of how many things one is meant; which follows from how many there are.
NTH = st.integers(0, 99)
ALL_NETWORKS = (*NETWORKS, "bridge", "host", "none")
OFFSETS = st.one_of(st.none(), st.none(), st.integers(0, 9))
# Half of the changes go well; the others fail, or their process dies, at some step.
MOMENTS = st.integers(0, 49).map(
    lambda number: (
        (None, ("fails", number - 24), ("dies", number - 38))[(number > 24) + (number > 38)]
        if number
        else ("dies", AFTER)
    )
)


class Stage(RuleBasedStateMachine):
    """A controller, perhaps another one, and the model; on a fake kernel."""

    kinds = ("own", "own", "own", "host", "adopted", "adopted")

    @initialize()
    def start(self) -> None:
        COUNTS["examples"] += 1
        self.place = Path(tempfile.mkdtemp(prefix="model-"))
        self.directory = self.place / "state"
        self.inner = self.machine()
        self.kernel = Mortal(self.inner, self.directory)
        self.world = World(FOREIGN, self.routes())
        self.controllers = [self.open()]
        self.before = self.picture()
        for name in OTHERS:
            self.make_namespace(name)
        for name, subnet in (("net0", SUBNETS4[0]), ("net1", SUBNETS4[1])):
            self.world.networks[name] = Network(name, {4: subnet}, {4: subnet[1]})
            self.cnm.create_network(name, subnet=str(subnet))
        for name in ("box0", "box1"):
            self.world.sandboxes[name] = Sandbox(name)
            self.cnm.create_sandbox(name)
        self.world.sandboxes["box2"] = Sandbox("box2", "adopted", OTHERS[0])
        self.cnm.create_sandbox("box2", netns=self.world.others[OTHERS[0]])
        self.fill()

    def fill(self) -> None:
        """Have sandboxes on networks; one on two, of which the second has its default route."""

    # What another kernel has of its own

    def machine(self) -> Any:
        fake = FakeKernel()
        fake.others_do(*(HeldPort(b.protocol, b.host, b.number) for b in FOREIGN))
        return fake

    def routes(self) -> list[Any]:
        return [ip_network("192.0.2.0/24")]

    def open(self) -> pycnm.Controller:
        return pycnm.Controller(self.directory, kernel=self.kernel)

    def picture(self) -> Any:
        return self.inner.listing()

    def make_namespace(self, name: str) -> None:
        """Have somebody else make a namespace, with a link of their own in it."""
        path = self.place / name
        # On this machine the one of the tests is there.
        path.symlink_to("/proc/self/ns/net")
        self.world.others[name] = str(path)
        self.inner.others_do(*theirs(str(path)))

    def remove_namespace(self, name: str) -> None:
        """Have them remove it, whatever is in it."""
        path = self.world.others.pop(name)
        Path(path).unlink()
        self.inner.others_undo(Namespace(path))

    def as_before(self) -> None:
        """See that nothing is left."""
        assert self.picture() == self.before

    def compare_kernel(self, names: comparing.Names) -> None:
        found, wanted = comparing.listed(self.inner.listing()), {*comparing.held(self.world, names)}
        assert found == wanted, sorted(found ^ wanted)

    # How a step is taken

    @property
    def cnm(self) -> pycnm.Controller:
        return self.controllers[-1]

    def attempt(
        self,
        call: Callable[[], Any],
        refusals: Refusals,
        apply: Callable[[Any], None],
        moment: tuple[str, int] | None = None,
        *,
        forward: bool = False,
    ) -> None:
        """Make a call, see that it does what it should, and have the model follow.

        Args:
            refusals: what it may raise; if there is any, it must.
            apply: has the model follow, given what the call returned.
            forward: it is finished, and not taken back, if it fails or its process dies.
        """
        self.kernel.expect(moment)
        result, error = None, None
        try:
            result = call()
        except errors.CNMError as caught:
            error = caught
        except OSError as caught:
            # Of the tree.
            error = next((each for each in refusals if each.errno == caught.errno), caught)
        except Died:
            error = Died
        finally:
            died, failed = self.kernel.dead, self.kernel.failed
            self.kernel.expect(None)
        COUNTS["steps"] += 1
        if died:
            COUNTS["deaths"] += 1
            # Somebody else has a port: that is only known when it is asked for.
            assert not refusals - {errors.PortInUseError}
            self.come_back()
            if forward:
                apply(None)
        elif error is not None:
            kind = error if isinstance(error, type) else type(error)
            if failed and FAILURE in str(error):
                COUNTS["failures"] += 1
                assert not forward
            else:
                COUNTS["refusals"] += 1
                assert kind in refusals, (error, refusals)
                if isinstance(error, errors.CNMError):
                    assert len(str(error)) > 15
                    assert error.errno > 0
        else:
            assert not refusals, (result, refusals)
            COUNTS["changes"] += 1
            COUNTS["failures"] += failed
            apply(result)

    def new(self, nth: int, every: tuple[str, ...], there: Iterable[str]) -> str:
        """A name for something new; once in ten times of something there is."""
        free = [name for name in every if name not in there]
        return pick(nth, free or every, every)

    def network(self, nth: int) -> str:
        """The name of a network; once in ten times of one that perhaps isn't there."""
        there = [name for name in NETWORKS if name in self.world.networks]
        return pick(nth, [*there, *there, "bridge"], ALL_NETWORKS)

    def box(self, nth: int) -> str:
        """The name of a sandbox; once in ten times of one that perhaps isn't there."""
        return pick(nth, list(self.world.sandboxes) or BOXES, BOXES)

    def come_back(self) -> None:
        """Open the state directory after everybody who had it open has died."""
        for each in self.controllers:
            each.close()
        self.kernel.bury()
        self.controllers = [self.open()]
        assert self.cnm.troubles == []

    # What is seen after each step

    @invariant()
    def as_the_model_says(self) -> None:
        if not hasattr(self, "controllers"):
            return
        COUNTS["comparisons"] += 1
        assert self.cnm.check() == []
        for cnm in self.controllers:
            assert comparing.api(cnm) == comparing.api_of(self.world)
        names = comparing.Names(self.cnm, self.world)
        self.compare_kernel(names)
        assert comparing.Tree(self.cnm).values() == comparing.tree_of(self.world, names)

    def teardown(self) -> None:
        if not hasattr(self, "controllers"):
            return
        try:
            assert len(list(comparing.Tree(self.cnm).everything())) > 50
            for box in self.cnm.sandboxes():
                box.delete()
            for network in self.cnm.networks():
                for end in network.endpoints:
                    end.delete()
                if network.name not in PREDEFINED:
                    network.delete()
            assert self.cnm.check() == []
            for name in list(self.world.others):
                self.remove_namespace(name)
            self.as_before()
        finally:
            for each in self.controllers:
                with contextlib.suppress(errors.CNMError):
                    each.close()
            self.clean()
            shutil.rmtree(self.place, ignore_errors=True)

    def clean(self) -> None:
        """Remove what a kernel has of its own."""


def theirs(path: str) -> list[Operation]:
    """A namespace as others make it."""
    return [
        Namespace(path),
        Up(path, "lo"),
        Link(path, comparing.OWN_LINK, "bridge"),
        Address(path, comparing.OWN_LINK, comparing.OWN_ADDRESS),
        Up(path, comparing.OWN_LINK),
    ]


def pick(nth: int, mostly: Sequence[str], seldom: Sequence[str]) -> str:
    which, usual = divmod(nth, 10)
    return mostly[which % len(mostly)] if usual else seldom[which % len(seldom)]
