"""Programs that use pycnm, for a type checker to read; nobody runs them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
from netaddr import EUI, IPAddress, IPNetwork

import pycnm
from pycnm import Bridge, Controller, Driver, Network, Plan, PortBinding, PortSpec, Sandbox
from pycnm.drivers import Use
from pycnm.engine.kernel import Kernel
from pycnm.errors import CNMError, KernelError, PortInUseError
from pycnm.kernel.linux import LinuxKernel
from pycnm.plan import Features, Operation
from pycnm.plan.links import Link
from pycnm.spec.objects import NetworkSpec
from pycnm.testing import FailingKernel, FakeKernel


def everyday(cnm: Controller) -> None:
    """What most programs do."""
    net: Network = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    same: Network = cnm.create_network("other", driver=Bridge(mtu=1400, icc=False))
    box: Sandbox = cnm.create_sandbox("c3", extra_hosts={"db": "192.0.2.7"})
    end = net.connect(box, ip="10.20.30.3", publish=["8080:80"], aliases=["web"])
    ip: IPAddress | None = end.ip
    mac: EUI | None = end.mac
    subnets: list[IPNetwork] = net.subnets
    ports: Sequence[PortBinding] = end.publish("9090:90/udp", PortSpec.parse("80"))
    end.unpublish("9090:90/udp")
    done: subprocess.CompletedProcess[str] = box.run(["ping", "-c1", "c3"], check=True)
    plan: Plan = net.explain()
    assert all((ip, mac, subnets, ports, done.stdout, plan, same.name, end.interface))
    net.disconnect(box)
    box.delete()


def in_blocks(directory: Path) -> str:
    """Everything is a context manager that cleans up."""
    with (
        Controller(directory, host="h1") as cnm,
        cnm.create_network("blue") as blue,
        cnm.create_sandbox("web") as web,
        blue.create_endpoint("web0") as web0,
    ):
        web0.join(web)
        with web.popen(["sleep", "1"]) as process:
            process.wait()
        return str(cnm.plan_network("green"))


def errors(cnm: Controller) -> int:
    """Errors by what can be done about them."""
    try:
        cnm.network("my_bridge").connect("c3", publish=["80:80"])
    except PortInUseError as error:
        return len(error.holder) + error.port
    except KernelError as error:
        return len(error.operation) + error.errno
    except CNMError as error:
        return error.errno + error.status + error.cni_code
    return 0


@attrs.frozen
class Tunnel(Driver):
    """A driver of one's own."""

    link: str = "tun0"

    def plan_network(self, network: NetworkSpec, use: Use, features: Features) -> Plan:
        """One link for each network."""
        del use, features
        return Plan((Link("", self.link, "dummy", alias=network.alias),))


def kernels(directory: Path) -> None:
    """Whatever runs plans takes the place of whatever else does."""
    fake: Kernel = FakeKernel()
    real: Kernel = LinuxKernel("/run/netns/h1", directory)
    failing: Kernel = FailingKernel(FakeKernel(), fail_at=3)
    for kernel in (fake, real, failing):
        Controller(directory, kernel=kernel).close()
    operations: tuple[Operation, ...] = pycnm.Plan().operations
    fake.run((), operations)
    FailingKernel(LinuxKernel(), 2, OSError()).attempt(operations, ())


def addresses() -> IPNetwork:
    """IPAM alone."""
    ipam = pycnm.DefaultIPAM(local_pools=[("10.0.0.0/8", 24)])
    pool = ipam.request_pool("LocalDefault")
    lease = ipam.request_address(pool.pool_id)
    assert lease is not None
    return lease.address
