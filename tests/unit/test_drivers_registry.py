"""Drivers by name: those that are built in, and those of other packages."""

from __future__ import annotations

import importlib.metadata
from typing import ClassVar

import attrs
import pytest

import pycnm
from pycnm.drivers import registry
from pycnm.drivers.base import Driver, HostNeeds, Use
from pycnm.drivers.bridge import Bridge
from pycnm.drivers.host import Host
from pycnm.drivers.null import Null
from pycnm.errors import NotFoundError, NotSupportedError, PluginError
from pycnm.ipam.default import DefaultIPAM
from pycnm.ipam.null import NullIPAM
from pycnm.plan.links import Link, Up
from pycnm.plan.operation import HOST, Features, Plan
from pycnm.spec.objects import NetworkSpec
from pycnm.testing import FakeKernel


@attrs.frozen
class Tunnel(Driver):
    """A driver of another package: a link on the host for each network."""

    name: ClassVar[str] = "tunnel"
    ipam: ClassVar[str] = "null"

    def plan_network(self, network, use, features):
        del use, features
        link = f"tun-{network.short_id[:8]}"
        return Plan((Link(HOST, link, "dummy", alias=network.alias), Up(HOST, link)))


class Entry:
    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"elsewhere:{name}", load


@pytest.fixture
def installed(monkeypatch):
    """Packages that register drivers and IPAMs."""
    entries = {}

    def entry_points(*, group, name=None):
        found = entries.get(group, ())
        return [entry for entry in found if name in {None, entry.name}]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry.driver_class.cache_clear()
    registry.ipam_class.cache_clear()
    yield entries
    registry.driver_class.cache_clear()
    registry.ipam_class.cache_clear()


def test_what_is_built_in():
    assert [registry.driver_class(name) for name in ("bridge", "host", "null")] == [
        Bridge,
        Host,
        Null,
    ]
    assert [registry.ipam_class(name) for name in ("default", "null")] == [DefaultIPAM, NullIPAM]


def test_what_is_built_in_is_registered_as_well():
    """So that another program finds it where it looks."""
    for group in (registry.DRIVERS, registry.IPAMS):
        assert registry.known(group)[: len(registry._BUILT_IN[group])] == [
            *registry._BUILT_IN[group]
        ]


def test_a_driver_of_another_package(installed, tmp_path):
    installed[registry.DRIVERS] = [Entry("tunnel", lambda: Tunnel)]
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("far", driver="tunnel")
        assert f"host link tun-{net.id[:8]} dummy up alias cnm:{net.id[:12]}" in kernel.listing()
        assert net.driver == "tunnel"
        net.connect(cnm.create_sandbox("c1"))
        net.delete(force=True)
        assert "tun-" not in kernel.listing()


def test_a_driver_nobody_registers(installed):
    installed[registry.DRIVERS] = [Entry("tunnel", lambda: Tunnel)]
    with pytest.raises(NotFoundError) as caught:
        registry.driver_class("tunel")
    assert str(caught.value) == (
        "could not find driver 'tunel'; known are bridge, host, ipvlan, macvlan, null, tunnel, and "
        "packages register others in the entry-point group pycnm.drivers"
    )


@pytest.mark.usefixtures("installed")
def test_an_ipam_nobody_registers():
    with pytest.raises(NotFoundError, match="could not find IPAM 'x'; known are default, null"):
        registry.ipam_class("x")


@pytest.mark.parametrize("found", [int, "a text", Tunnel()])
def test_what_is_no_driver(installed, found):
    installed[registry.DRIVERS] = [Entry("tunnel", lambda: found)]
    with pytest.raises(PluginError, match=r"no subclass of pycnm\.Driver"):
        registry.driver_class("tunnel")


def test_what_is_no_ipam(installed):
    installed[registry.IPAMS] = [Entry("x", lambda: Tunnel)]
    with pytest.raises(PluginError, match=r"no subclass of pycnm\.IPAM"):
        registry.ipam_class("x")


def test_a_driver_that_can_t_be_imported(installed):
    def load():
        raise ImportError("no module named elsewhere")

    installed[registry.DRIVERS] = [Entry("tunnel", load)]
    with pytest.raises(PluginError, match="elsewhere:tunnel, registered as 'tunnel', fails"):
        registry.driver_class("tunnel")


@pytest.mark.parametrize("driver", [Host(), Null(), Driver()])
def test_drivers_that_make_nothing(driver):
    network = NetworkSpec("0" * 64, "net", "host")
    assert driver.plan_network(network, Use(endpoints=True), Features()) == Plan()
    assert driver.plan_endpoint(network, None, None, Features()) == Plan()
    assert driver.needs(network) == HostNeeds()
    assert driver.interface_prefix() == ""
    assert driver.host_interface("e" * 64) == ""
    with pytest.raises(NotSupportedError, match="publish no ports"):
        driver.refuse_publishing(network)
