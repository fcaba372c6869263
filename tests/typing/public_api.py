"""Never run, only type-checked: what a program may write, and what types that has."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar, assert_type

import attrs
from netaddr import EUI, IPAddress, IPNetwork

import pycnm
from pycnm.drivers import Use
from pycnm.ipam import AddressLease, PoolLease
from pycnm.plan import Features
from pycnm.spec.objects import NetworkSpec


def controllers() -> None:
    with pycnm.Controller("/var/lib/cnm", host="h1", dns=False) as cnm:
        assert_type(cnm, pycnm.Controller)
        assert_type(cnm.networks(driver="bridge", dangling=True), list[pycnm.Network])
        assert_type(cnm.sandbox("c1"), pycnm.Sandbox)
        assert_type(cnm.check(), list[str])
        for event in cnm.events(follow=True, since="10m"):
            assert_type(event, pycnm.Event)
            assert_type(event.attributes, tuple[tuple[str, str], ...])


def networks(cnm: pycnm.Controller) -> None:
    by_name = cnm.create_network("a", "bridge", options={"com.docker.network.driver.mtu": 1400})
    by_value = cnm.create_network("b", pycnm.Bridge(mtu=1400, icc=False), subnet="10.9.0.0/24")
    assert_type(by_name, pycnm.Network)
    assert_type(by_value.subnets, list[IPNetwork])
    assert_type(by_value.gateways, list[IPAddress])
    assert_type(cnm.plan_network("c", internal=True), pycnm.Plan)
    with by_value as entered:
        assert_type(entered, pycnm.Network)


def endpoints(net: pycnm.Network, box: pycnm.Sandbox) -> None:
    spec = pycnm.PortSpec(host_first=8080, container_first=80)
    ep = net.connect(box, ip=IPAddress("10.9.0.2"), publish=["8080:80", spec], aliases={"web"})
    assert_type(ep, pycnm.Endpoint)
    assert_type(ep.ip, IPAddress | None)
    assert_type(ep.mac, EUI | None)
    assert_type(ep.ports, list[pycnm.PortBinding])
    assert_type(ep.sandbox, pycnm.Sandbox | None)
    assert_type(ep.stats(), dict[str, int])
    net.connect("c2", interface="lan0", sysctls={"net.ipv4.conf.IFNAME.log_martians": "1"})


def processes(box: pycnm.Sandbox) -> None:
    assert_type(box.run(["true"], check=True), subprocess.CompletedProcess[Any])
    assert_type(box.popen(["sleep", "1"]), subprocess.Popen[Any])


def errors(cnm: pycnm.Controller) -> None:
    try:
        cnm.network("a").delete()
    except pycnm.PortInUseError as error:
        assert_type(error.holder, str)
    except pycnm.KernelError as error:
        assert_type(error.operation, str)
    except pycnm.CNMError as error:
        assert_type(error.errno, int)


@attrs.frozen
class Own(pycnm.Driver):
    """A driver of one's own overrides what it decides."""

    name: ClassVar[str] = "own"

    def plan_network(self, network: NetworkSpec, use: Use, features: Features) -> pycnm.Plan:
        return super().plan_network(network, use, features)


def ipams(ipam: pycnm.IPAM, options: Mapping[str, str]) -> None:
    assert_type(ipam.request_pool("LocalDefault", options=options), PoolLease)
    assert_type(ipam.request_address("pool", "10.9.0.2"), AddressLease | None)


# An ignore that nothing needs is an error itself: mypy has to refuse these.
def mistakes(cnm: pycnm.Controller, net: pycnm.Network) -> None:
    cnm.create_network(7)  # type: ignore[arg-type] # a name is text
    cnm.create_network("a", subnets=[])  # type: ignore[call-arg] # it is called subnet
    net.connect(None)  # type: ignore[arg-type] # a sandbox, or its name
    pycnm.Bridge(icc="no")  # type: ignore[arg-type] # text is for Docker's options
    net.name = "b"  # type: ignore[misc] # that is what rename() is for
