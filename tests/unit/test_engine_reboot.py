"""The host comes up anew: another kernel, with nothing in it, on the same state directory."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

import pycnm
from pycnm.engine.engine import MIGRATIONS
from pycnm.errors import InUseError, KernelError, PortInUseError
from pycnm.plan.links import Link
from pycnm.plan.operation import HOST
from pycnm.store.database import Database
from pycnm.testing import FailingKernel, FakeKernel


@pytest.fixture
def first_life(tmp_path):
    """The listing of a machine with two networks and three sandboxes, before its end."""
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        front = cnm.create_network("front", subnet="10.20.30.0/24", ipv6=True)
        back = cnm.create_network("back", internal=True)
        boxes = [cnm.create_sandbox(name) for name in ("c1", "c2", "c3")]
        front.connect(boxes[0], publish=["8080:80"])
        front.connect(boxes[1], ip="10.20.30.20", aliases=["web"])
        back.connect(boxes[1])
        cnm.network("bridge").connect(boxes[2])
    return kernel.listing()


def test_networks_are_made_again(tmp_path, first_life):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert cnm.troubles == []
        assert cnm.check() == []
        assert [net.name for net in cnm.networks(type="custom")] == ["front", "back"]
    again = set(kernel.listing().splitlines())
    assert again < set(first_life.splitlines())
    assert not any("netns" in line or "veth" in line for line in again)
    # The default network comes with its first endpoint.
    assert not any("cnm0" in line for line in again)
    assert sum(" bridge up " in line for line in again) == 2
    assert "element inet cnm publish4" not in kernel.listing()


def test_sandboxes_are_down_until_they_are_started(tmp_path, first_life):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert {box.state for box in cnm.sandboxes()} == {"down"}
        told = [(event.type, event.action) for event in cnm.events()]
        assert told.count(("sandbox", "die")) == 3
        assert told.count(("network", "disconnect")) == 4
        for name in ("c3", "c1", "c2"):
            cnm.sandbox(name).start()
        assert {box.state for box in cnm.sandboxes()} == {"up"}
        assert cnm.check() == []
    assert kernel.listing() == first_life


@pytest.mark.parametrize("step", range(1, 60, 3))
def test_one_that_can_t_be_started_stays_down(tmp_path, first_life, step):
    assert first_life
    kernel = FailingKernel(FakeKernel())
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        before = kernel._kernel.listing()
        kernel.arm(step)
        try:
            cnm.sandbox("c1").start()
        except KernelError:
            assert cnm.sandbox("c1").state == "down"
            assert kernel._kernel.listing() == before
            cnm.sandbox("c1").start()
        kernel.arm(0)
        assert cnm.check() == []


def test_what_is_kept_for_one_that_is_down(tmp_path, first_life):
    assert "10.20.30.2/24" in first_life
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert "port " not in kernel.listing()
        front = cnm.network("front")
        kept = {end.name: (str(end.ip), end.sandbox.name) for end in front.endpoints}
        assert kept == {"c1": ("10.20.30.2", "c1"), "c2": ("10.20.30.20", "c2")}
        stranger = front.connect(cnm.create_sandbox("stranger"))
        assert str(stranger.ip) == "10.20.30.3"
        with pytest.raises(PortInUseError, match="endpoint c1 of network front"):
            stranger.publish("8080:80")
        cnm.sandbox("c1").delete()
        stranger.publish("8080:80")
        assert cnm.check() == []


def test_a_state_directory_of_the_version_before(tmp_path):
    """Then sandboxes went with a reboot, and addresses were kept for their names."""
    Database(tmp_path, MIGRATIONS[:1]).close()
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24")
        end = net.create_endpoint("c1", ip="10.20.30.77")
        box = cnm.create_sandbox("c2")
        net.connect(box)
        assert box.state == "up"
    with contextlib.closing(sqlite3.connect(tmp_path / "cnm.db")) as writer, writer:
        writer.execute(
            "UPDATE endpoints SET spec = json_set(spec, '$.kept', json('true')) WHERE id = ?",
            (end.id,),
        )
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        again = cnm.network("front").connect(cnm.create_sandbox("c1"))
        assert (str(again.ip), again.id) == ("10.20.30.77", end.id)
        assert cnm.check() == []


def test_a_network_with_addresses_kept_can_be_deleted(tmp_path, first_life):
    assert first_life
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        for name in ("front", "back"):
            cnm.network(name).delete()
        assert kernel.listing() == FakeKernel().listing()
        assert [end.name for end in cnm.network("bridge").endpoints] == ["c3"]


def test_what_was_under_way_is_settled(tmp_path):
    """The process died with the machine: nothing is left to be undone."""
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24")
        net.connect(cnm.create_sandbox("c1"))
        box = cnm.create_sandbox("c2")
        pend(cnm, "connect", lambda: net.connect(box))
        pend(cnm, "create network", lambda: cnm.create_network("back"))
        pend(cnm, "delete network", lambda: net.delete(force=True))
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        assert cnm.troubles == []
        assert cnm._engine.pending() == set()
        assert cnm.networks(type="custom") == []
        assert cnm.check() == []
        cnm.create_network("front", subnet="10.20.30.0/24")


def pend(cnm, verb, action):
    """Leave the record of a change as if its process were dead, the kernel as it is."""
    engine = cnm._engine

    def stop(*_):
        raise Stopped

    def keep(change, error):
        with engine.db.write() as tx:
            tx.execute("UPDATE changes SET maker = 0 WHERE id = ?", (change,))
            assert tx.execute("SELECT verb FROM changes WHERE id = ?", (change,)).fetchone() == (
                verb,
            )
        del error

    kernel, engine.kernel = engine.kernel, FakeKernel()
    forget, engine._forget = engine._forget, keep
    orphans, engine._orphans = engine._orphans, list
    engine.kernel.run = engine.kernel.attempt = stop
    try:
        with pytest.raises(Stopped):
            action()
    finally:
        engine.kernel, engine._forget, engine._orphans = kernel, forget, orphans


class Stopped(Exception):  # noqa: N818 - not an error
    """The end of the machine."""


def test_what_can_t_be_made_again_is_told(tmp_path, first_life):
    assert first_life
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        name = f"br-{cnm.network('front').id[:12]}"
    kernel = FakeKernel()
    kernel.others_do(Link(HOST, name, "bridge"))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert any(f"an interface {name} that pycnm didn't make" in text for text in cnm.troubles)
        assert cnm.check() != []
        kernel.others_undo(Link(HOST, name, "bridge"))
        cnm.reconcile()
        assert cnm.check() == []


def test_a_second_reboot_in_the_middle_of_the_first(tmp_path, first_life):
    assert first_life
    failing = FailingKernel(FakeKernel(), 8, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pycnm.Controller(tmp_path, kernel=failing)
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert cnm.check() == []
        assert len(cnm.networks(type="custom")) == 2


def test_the_same_machine_is_no_reboot(tmp_path):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        cnm.create_network("front").connect(cnm.create_sandbox("c1"))
    before = kernel.listing()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert kernel.listing() == before
        assert [box.name for box in cnm.sandboxes()] == ["c1"]
        assert cnm.check() == []


def test_drift_and_repair(tmp_path):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24", ipv6=True)
        end = net.connect(cnm.create_sandbox("c1"), publish=["8080:80"])
        before = kernel.listing()
        for operation in [*net.explain(), *end.explain(), *end.sandbox.explain()]:
            kernel.others_undo(operation)
            if kernel.listing() != before:
                assert cnm.check() != [], operation
                assert str(operation) in cnm.reconcile()
            assert kernel.listing() == before, operation
            assert cnm.check() == []
        assert cnm.reconcile() == []


@pytest.mark.parametrize("error", [KernelError("x", 16)])
def test_an_error_of_the_kernel_while_opening(tmp_path, error):
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        cnm.create_network("front")
    failing = FailingKernel(FakeKernel(), 3, error)
    with pycnm.Controller(tmp_path, kernel=failing) as cnm:
        # One step failed once; each is tried by itself then.
        assert cnm.troubles == []
        assert cnm.check() == []


def test_another_host_that_lives(tmp_path, monkeypatch):
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        cnm.create_network("front")
    monkeypatch.setattr("pycnm.kernel.netns.somewhere", lambda _: "/run/netns/first")
    with pytest.raises(InUseError, match="belongs to the host at /run/netns/first"):
        pycnm.Controller(tmp_path, kernel=FakeKernel())
