"""What a plan prints is what it does: a shell that is given the text does the same."""

from __future__ import annotations

import attrs
import pytest

import pycnm
from pycnm.plan.links import Address, Link, Up
from pycnm.plan.names import Resolver
from pycnm.plan.operation import HOST, Plan
from pycnm.plan.ports import FreshFlows, HeldPort
from pycnm.plan.rules import Guard
from pycnm.testing import FakeKernel

UPLINK = (Link(HOST, "eth0", "bridge"), Address(HOST, "eth0", "192.0.2.10/24"), Up(HOST, "eth0"))


class Recorder(FakeKernel):
    """A fake kernel that keeps what it was asked to do."""

    def __init__(self, features):
        super().__init__(features)
        self.done = []

    def run(self, undo, do):
        super().run(undo, do)
        self.done = [operation for operation in self.done if operation not in undo] + [*do]


def everyday(cnm):
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    net.connect(cnm.create_sandbox("c2"), publish=["8080:80"])


def everything(cnm):
    front = cnm.create_network(
        "front",
        subnet=["10.20.30.0/24", "fd00:20:30::/64"],
        options={
            "com.docker.network.bridge.name": "front0",
            "com.docker.network.bridge.trusted_host_interfaces": "eth0",
            "com.docker.network.host_ipv4": "192.0.2.10",
            "com.docker.network.driver.mtu": "1400",
        },
    )
    back = cnm.create_network("back", driver=pycnm.Bridge(icc=False, masquerade=False), ipv6=True)
    within = cnm.create_network("within", internal=True)
    web = cnm.create_sandbox("web")
    front.connect(
        web,
        ip="10.20.30.20",
        publish=["127.0.0.1:8080:80", "5353:53/udp", "9000-9001:9000-9001"],
        link_local_ips=["169.254.7.7", "fe80::7"],
        sysctls={"net.ipv4.conf.IFNAME.log_martians": "1"},
    )
    back.connect(web, interface="back0", gateway_priority=7)
    within.connect(web)
    cnm.network("bridge").connect(cnm.create_sandbox("other"))


@pytest.mark.parametrize("story", [everyday, everything])
def test_a_shell_does_the_same(linux, tmp_path, story):
    recorder = Recorder(attrs.evolve(linux.kernel.features))
    with pycnm.Controller(tmp_path / "recorded", kernel=recorder) as cnm:
        story(cnm)
    # What isn't the kernel's leaves nothing that could be compared.
    elsewhere = (HeldPort, FreshFlows, Resolver)
    operations = [op for op in recorder.done if not isinstance(op, elsewhere)]
    assert len(operations) > 30
    (tmp_path / "recorded" / "sandboxes").mkdir()
    linux.others_do(*UPLINK)
    before = linux.snapshot()

    linux.kernel.run((), operations)
    expected = linux.snapshot()
    linux.kernel.run(operations, ())
    assert linux.settled(before)

    linux.shell(str(Plan(tuple(operations))))
    found = linux.snapshot()
    assert found.keys() == expected.keys()
    for place, things in expected.items():
        assert found[place] == things, place
    # The rules of a guard are what was typed, though nft says some in other bytes.
    assert [op for op, _ in linux.kernel.check(operations) if not isinstance(op, Guard)] == []


def test_what_was_typed_is_taken_for_ours(linux, tmp_path):
    """A network typed from its explanation is the recorded network."""
    recorder = Recorder(attrs.evolve(linux.kernel.features))
    with pycnm.Controller(tmp_path / "recorded", kernel=recorder) as cnm:
        net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
        explained = str(net.explain())
        skeleton = str(recorder.done[0])
        linux.others_do(*UPLINK)
        before = linux.snapshot()
        linux.shell(skeleton + "\n" + explained)
    linux.kernel.run((), recorder.done)
    assert linux.kernel.check(recorder.done) == []
    linux.kernel.run(recorder.done, ())
    assert linux.settled(before)
