"""Every change, failed at every step, leaves the kernel and the record as they were."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import record

import pycnm
from pycnm.errors import CleanupError, CNMError, KernelError, PoolOverlapError, PortInUseError
from pycnm.plan.links import Link
from pycnm.plan.operation import HOST, Features
from pycnm.plan.ports import HeldPort
from pycnm.testing import FailingKernel, FakeKernel

_MTU = "com.docker.network.driver.mtu"
_ICC = "com.docker.network.bridge.enable_icc"
_BRIDGE = "com.docker.network.bridge.name"


class World:
    """A controller on a fake kernel that fails when it is told to."""

    def __init__(self, directory, features=None):
        self.directory = directory
        self.fake = FakeKernel(features)
        self.kernel = FailingKernel(self.fake)
        self.cnm = pycnm.Controller(directory, kernel=self.kernel)

    def picture(self):
        return self.fake.listing(), record(self.directory)

    def at_every_step(self, action):
        """What `action` returns, after it has failed at each of its steps."""
        before = self.picture()
        for step in range(1, 200):
            self.kernel.arm(step)
            result, error = outcome(action)
            if error is None:
                assert self.kernel.steps < step
                self.kernel.arm(0)
                assert self.cnm.check() == []
                return result
            assert "this was to fail" in str(error)
            assert not hasattr(error, "__notes__")
            assert self.picture() == before, f"failed at step {step}"
        raise AssertionError("it never came to its end")


def outcome(action):
    """What `action` returns, or what the kernel refuses."""
    try:
        return action(), None
    except KernelError as error:
        return None, error


@pytest.fixture(params=[Features(), Features(early_guard=False, force_forwarding=False)])
def world(request, tmp_path):
    made = World(tmp_path, request.param)
    yield made
    made.cnm.close()


def test_at_every_step(world):
    cnm = world.cnm
    nothing = world.fake.listing()
    net = world.at_every_step(
        lambda: cnm.create_network("front", subnet=["10.20.30.0/24", "fd00:20:30::/64"])
    )
    box = world.at_every_step(lambda: cnm.create_sandbox("c1"))
    end = world.at_every_step(
        lambda: net.connect(box, publish=["8080:80", "53:53/udp", "127.0.0.1::81"])
    )
    back = world.at_every_step(lambda: cnm.create_network("back", internal=True))
    world.at_every_step(lambda: back.connect(box))
    bridge = cnm.network("bridge")
    # Its bridge comes with it, and two default routes change places.
    first = world.at_every_step(lambda: bridge.connect(box, gateway_priority=1, publish=["90"]))
    assert "link cnm0 bridge up" in world.fake.listing()
    world.at_every_step(lambda: end.publish("9090:90", "192.0.2.10:9091:91"))
    world.at_every_step(first.leave)
    assert "cnm0" not in world.fake.listing()
    world.at_every_step(lambda: first.join(box))
    loose = world.at_every_step(lambda: net.create_endpoint("loose", publish=["7000:7000"]))
    other = world.at_every_step(lambda: cnm.create_sandbox("c2"))
    world.at_every_step(lambda: loose.join(other))
    world.at_every_step(lambda: net.rename("facade"))
    for each in (other, box):
        each.delete()
    for each in (net, back):
        each.delete()
    assert world.fake.listing() == nothing


def test_a_network_is_configured_at_every_step(world):
    cnm = world.cnm
    net = cnm.create_network("net", subnet=["10.20.30.0/24", "fd00::/64"], labels={"a": "1"})
    world.at_every_step(lambda: net.configure(internal=True))
    world.at_every_step(lambda: net.configure(internal=False, ipv6=False))
    world.at_every_step(
        lambda: net.configure(subnet="10.20.0.0/16", gateway="10.20.7.7", ip_range="10.20.8.0/24")
    )
    world.at_every_step(lambda: net.configure(options={_BRIDGE: "br-front", _MTU: "1300"}))
    net.connect(cnm.create_sandbox("c2"), publish=["8080:80"])
    world.at_every_step(lambda: net.configure(options={_MTU: "1400", _ICC: "false"}))
    cnm.sandbox("c2").delete()
    net.delete()


def test_a_subnet_given_up_in_vain_is_not_lost(world):
    net = world.cnm.create_network("net", subnet="10.20.30.0/24", gateway="10.20.30.9")
    world.kernel.arm(2)
    _, error = outcome(lambda: net.configure(subnet="10.99.0.0/24"))
    assert error is not None
    world.kernel.arm(0)
    with pytest.raises(PoolOverlapError):
        world.cnm.create_network("thief", subnet="10.20.30.0/24")
    world.cnm.create_network("new", subnet="10.99.0.0/24")
    assert [str(each) for each in net.subnets + net.gateways] == ["10.20.30.0/24", "10.20.30.9"]


def test_deletions_come_to_their_end(world):
    """One step of them fails: it is tried again by itself."""
    cnm = world.cnm
    nothing = world.picture()
    for step in range(1, 40):
        net = cnm.create_network("front", subnet="10.20.30.0/24", ipv6=True)
        box = cnm.create_sandbox("c1")
        end = net.connect(box, publish=["8080:80"])
        for delete in (
            lambda end=end: end.unpublish("8080:80"),
            lambda net=net, box=box: net.disconnect(box),
            box.delete,
            net.delete,
        ):
            world.kernel.arm(step)
            delete()
            world.kernel.arm(0)
            assert cnm.check() == []
        assert world.picture() == nothing, step


class Stubborn(FailingKernel):
    """A kernel that never undoes some kind of thing."""

    stubborn = False

    def step(self, words):
        if self.stubborn and words.startswith("undo: ip link add"):
            raise KernelError(words, 16)


def test_what_can_t_be_deleted_stays_recorded(tmp_path):
    kernel = Stubborn(FakeKernel())
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24")
        box = cnm.create_sandbox("c1")
        end = net.connect(box, publish=["8080:80"])
        kernel.stubborn = True
        with pytest.raises(CleanupError) as caught:
            net.disconnect(box)
        assert [str(error.operation) for error in caught.value.exceptions] != []
        kernel.stubborn = False
        assert net.endpoints == [end]
        assert [str(port) for port in end.ports] == ["0.0.0.0:8080->80/tcp"]
        cnm.reconcile()
        assert cnm.check() == []
        net.disconnect(box)
        assert net.endpoints == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, OSError(28, "full")])
def test_other_errors_leave_nothing_either(tmp_path, error):
    fake = FakeKernel()
    failing = FailingKernel(fake, error=error if isinstance(error, Exception) else error())
    with pycnm.Controller(tmp_path, kernel=failing) as cnm:
        before = fake.listing(), record(tmp_path)
        for step in (1, 5, 12):
            failing.arm(step)
            with pytest.raises(type(failing._error)):
                cnm.create_network("front", subnet="10.20.30.0/24")
            assert (fake.listing(), record(tmp_path)) == before


# What is given back after a failure


@pytest.fixture
def cnm(cnm, kernel):
    cnm.fake = kernel
    return cnm


def test_the_kernel_s_own_refusal(cnm):
    theirs = Link(HOST, "br-mine", "bridge", alias="cnm:another")
    cnm.fake.others_do(theirs)
    before = cnm.fake.listing()
    options = {"com.docker.network.bridge.name": "br-mine"}
    with pytest.raises(KernelError, match="an interface br-mine that pycnm didn't make is there"):
        cnm.create_network("front", subnet="10.20.30.0/24", options=options)
    assert cnm.fake.listing() == before
    cnm.fake.others_undo(theirs)
    cnm.create_network("front", subnet="10.20.30.0/24", options=options)


def test_a_subnet_is_free_again(cnm, monkeypatch):
    first = cnm.create_network("one").subnets
    cnm.network("one").delete()
    monkeypatch.setattr(cnm.fake, "run", refuse)
    with pytest.raises(KernelError):
        cnm.create_network("two")
    monkeypatch.undo()
    assert cnm.create_network("two").subnets == first


def test_an_address_a_mac_and_a_name_are_free_again(cnm, monkeypatch):
    net = cnm.create_network("front", subnet="10.20.30.0/24")
    boxes = [cnm.create_sandbox(name) for name in ("c1", "c2")]
    monkeypatch.setattr(cnm.fake, "run", refuse)
    for wish in ({}, {"ip": "10.20.30.9"}, {"mac": "02:42:00:00:00:09"}, {"name": "web"}):
        with pytest.raises(KernelError):
            net.connect(boxes[0], **wish)
    monkeypatch.undo()
    end = net.connect(boxes[1], ip="10.20.30.9", mac="02:42:00:00:00:09", name="web")
    assert str(end.ip) == "10.20.30.9"
    assert str(net.connect(boxes[0]).ip) == "10.20.30.2"


def test_a_port_is_free_again(cnm):
    net = cnm.create_network("front", subnet="10.20.30.0/24")
    one, two = (net.connect(cnm.create_sandbox(name)) for name in ("c1", "c2"))
    cnm.fake.others_do(HeldPort("tcp", "0.0.0.0", 8081))
    before = cnm.fake.listing()
    with pytest.raises(PortInUseError, match="taken by process 4242") as caught:
        one.publish("8080:80", "8081:81")
    assert caught.value.port == 8081
    assert one.ports == []
    assert cnm.fake.listing() == before
    two.publish("8080:80")
    with pytest.raises(PortInUseError, match="endpoint c2 of network front") as caught:
        one.publish("8080:80")
    assert caught.value.holder.startswith("endpoint c2 of network front")


def test_a_port_of_a_range_that_a_program_has_is_passed_over(cnm):
    net = cnm.create_network("front", subnet="10.20.30.0/24")
    cnm.fake.others_do(HeldPort("tcp", "127.0.0.1", 8000), HeldPort("tcp", "0.0.0.0", 8001))
    end = net.connect(cnm.create_sandbox("c1"), publish=["8000-8009:80"])
    assert [str(port) for port in end.ports] == ["0.0.0.0:8002->80/tcp"]


def refuse(undo, do):
    del undo
    raise KernelError(str(do[-1]), 5)


# Any sequence of changes, failing anywhere


def first_endpoint(net, work):
    for end in net.endpoints[:1]:
        work(end)


# Each gets a controller and the names of a network and a sandbox.
ACTIONS = {
    "network": lambda cnm, net, _: cnm.create_network(net, ipv6=net == "net1"),
    "internal": lambda cnm, net, _: cnm.create_network(net, internal=True),
    "sandbox": lambda cnm, _, box: cnm.create_sandbox(box),
    "connect": lambda cnm, net, box: cnm.network(net).connect(box, publish=["8000-8002:80"]),
    "connect6": lambda cnm, net, box: cnm.network(net).connect(box, gateway_priority=1),
    "default": lambda cnm, _, box: cnm.network("bridge").connect(box),
    "publish": lambda cnm, net, _: first_endpoint(cnm.network(net), lambda e: e.publish("90")),
    "unpublish": lambda cnm, net, _: first_endpoint(cnm.network(net), lambda e: e.unpublish("80")),
    "leave": lambda cnm, net, _: first_endpoint(cnm.network(net), lambda e: e.leave()),
    "join": lambda cnm, net, box: first_endpoint(cnm.network(net), lambda e: e.join(box)),
    "disconnect": lambda cnm, net, box: cnm.network(net).disconnect(box),
    "undefault": lambda cnm, _, box: cnm.network("bridge").disconnect(box),
    "rename": lambda cnm, net, _: cnm.network(net).rename("net2"),
    "delete-sandbox": lambda cnm, _, box: cnm.sandbox(box).delete(),
    "delete-network": lambda cnm, net, _: cnm.network(net).delete(),
    "clear-network": lambda cnm, net, _: cnm.network(net).delete(force=True),
    "reconcile": lambda cnm, _net, _box: cnm.reconcile(),
}
CHANGES = st.tuples(
    st.sampled_from(sorted(ACTIONS)),
    st.sampled_from(["net0", "net1", "net2"]),
    st.sampled_from(["box0", "box1", "box2"]),
    st.integers(0, 25),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, min_size=3, max_size=20))
def test_any_sequence(tmp_path_factory, changes):
    world = World(tmp_path_factory.mktemp("state"))
    cnm, nothing = world.cnm, world.fake.listing()
    cnm.network("bridge").connect(cnm.create_sandbox("box0"))
    cnm.create_network("net0").connect(cnm.create_sandbox("box1"), publish=["80"])
    for kind, net, box, step in changes:
        before = world.picture()
        world.kernel.arm(step)
        # What can't be just now is refused, and that is fine too.
        refused = True
        with contextlib.suppress(CNMError):
            ACTIONS[kind](cnm, net, box)
            refused = False
        if refused:
            assert world.picture() == before
        world.kernel.arm(0)
        assert cnm.check() == []
    for sandbox in cnm.sandboxes():
        sandbox.delete()
    for network in cnm.networks(type="custom"):
        network.delete(force=True)
    assert world.fake.listing() == nothing
    rows = record(world.directory)
    assert not any(rows[table] for table in ("operations", "ports", "endpoints", "changes"))
    cnm.close()
