"""S7: the way out; an outside host sees the host's address and a port of its range."""

from __future__ import annotations

import pytest
from topology import IMPATIENCE, ask_again, inside

from pycnm import Bridge

RANGE = (40000, 40100)
FAR = {4: "192.0.2.66", 6: "2001:db8::66"}
NEAR = {4: "192.0.2.1", 6: "2001:db8::1"}


@pytest.fixture
def c2(controller, host, outside):
    """A sandbox with both families on a host whose range of ports is narrow."""
    host.set_sysctl(net__ipv4__ip_local_port_range="{} {}".format(*RANGE))
    cnm = controller(host)
    net = cnm.create_network("my_bridge", subnet=["10.20.30.0/24", "fd00:1::/64"])
    sandbox = cnm.create_sandbox("c2")
    net.connect(sandbox)
    return sandbox


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
def test_the_outside_sees_the_host_and_a_port_of_its_range(c2, outside, protocol, version):
    with outside.serve("7/tcp", "7/udp"):
        for source in (("", 0), ("", 1234), ("", 33000), ("", 60000)):
            answer = inside(c2).ask(FAR[version], 7, protocol, source=source)
            assert answer is not None, source
            assert answer.peer == NEAR[version]
            assert RANGE[0] <= answer.peer_port <= RANGE[1], source


@pytest.mark.parametrize("version", [4, 6])
def test_ping(c2, outside, version):
    far, near = FAR[version], NEAR[version]
    with outside.capture("eth0", f"icmp{6 * (version == 6) or ''}") as seen:
        assert inside(c2).ping(far)
        assert seen.find(rf" {near} > {far}: ICMP6?,? echo request")
    assert not [line for line in seen.lines if "10.20.30.2" in line or "fd00:1::2" in line]


def test_two_flows_from_one_port_are_told_apart(cnm, outside):
    net = cnm.create_network("my_bridge")
    boxes = [cnm.create_sandbox(name) for name in ("c2", "c3")]
    for box in boxes:
        net.connect(box)
    with outside.serve("7"):
        flows = [inside(box).connect(FAR[4], 7, source=("", 5000)) for box in boxes]
        answers = [ask_again(flow) for flow in flows]
        for flow in flows:
            flow.close()
    assert {answer.peer for answer in answers} == {"192.0.2.1"}
    assert len({answer.peer_port for answer in answers}) == 2


def test_beyond_a_router(machine, controller, host, outside):
    """The reply comes back although nobody outside knows the network."""
    far = machine("far")
    outside.wire(far, ["203.0.113.1/24"], ["203.0.113.9/24"], interface="eth1")
    outside.forward()
    far.route("default via 203.0.113.1")
    host.route("default via 192.0.2.66")
    cnm = controller(host)
    box = cnm.create_sandbox("c1")
    cnm.network("bridge").connect(box)
    with far.serve("80", "53/udp"):
        assert inside(box).ask("203.0.113.9", 80).peer == "192.0.2.1"
        assert inside(box).ask("203.0.113.9", 53, "udp").peer == "192.0.2.1"
    assert inside(box).ping("203.0.113.9")


def test_without_masquerading_the_outside_sees_the_sandbox(cnm, outside):
    net = cnm.create_network("plain", Bridge(masquerade=False), subnet="10.20.30.0/24")
    box = cnm.create_sandbox("c2")
    net.connect(box)
    with outside.serve("80"):
        assert inside(box).ask(FAR[4], 80, patience=IMPATIENCE) is None
        outside.route("10.20.30.0/24 via 192.0.2.1")
        assert inside(box).ask(FAR[4], 80).peer == "10.20.30.2"


def test_with_an_address_of_its_own(cnm, controller, host, outside):
    host.batch("address add 192.0.2.7/24 dev eth0", "address add 2001:db8::7/64 dev eth0 nodad")
    try:
        driver = Bridge(host_ipv4="192.0.2.7", host_ipv6="2001:db8::7")
        net = cnm.create_network("own", driver, ipv6=True)
        box = cnm.create_sandbox("c2")
        net.connect(box)
        with outside.serve("80"):
            assert inside(box).ask(FAR[4], 80).peer == "192.0.2.7"
            assert inside(box).ask(FAR[6], 80).peer == "2001:db8::7"
    finally:
        host.batch("address del 192.0.2.7/24 dev eth0", "address del 2001:db8::7/64 dev eth0")


def test_an_internal_network_has_no_way_out(cnm, outside):
    net = cnm.create_network("inner", internal=True, subnet="10.20.30.0/24")
    box = cnm.create_sandbox("c2")
    net.connect(box)
    outside.route("10.20.30.0/24 via 192.0.2.1")
    inside(box).route("default via 10.20.30.1")
    with outside.serve("80"):
        assert not inside(box).ping(FAR[4], IMPATIENCE)
        assert inside(box).ask(FAR[4], 80, patience=IMPATIENCE) is None
    # Not for want of a wire: the host itself gets out.
