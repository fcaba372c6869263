"""S5: a network of one's own, two sandboxes on it, and one that isn't."""

from __future__ import annotations

import pytest
from topology import IMPATIENCE, inside

import pycnm


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge", subnet="10.20.30.0/24")


@pytest.fixture
def boxes(cnm, net):
    """c2 and c3 on my_bridge, c1 on the default network."""
    found = {name: cnm.create_sandbox(name) for name in ("c1", "c2", "c3")}
    cnm.network("bridge").connect(found["c1"])
    net.connect(found["c2"])
    net.connect(found["c3"])
    return found


def test_the_bridge_is_there_at_once(net, host):
    name = f"br-{net.id[:12]}"
    assert host.addresses(name) == ["10.20.30.1/24"]
    link = host.link(name)
    assert link["linkinfo"]["info_kind"] == "bridge"
    assert link["linkinfo"]["info_data"]["stp_state"] == 0
    assert "UP" in link["flags"]
    net.delete()
    assert name not in host.interfaces()


def test_addresses_and_pings_both_ways(boxes):
    c2, c3 = inside(boxes["c2"]), inside(boxes["c3"])
    assert c2.addresses("eth0") == ["10.20.30.2/24"]
    assert c3.addresses("eth0") == ["10.20.30.3/24"]
    assert c2.ping("10.20.30.3")
    assert c3.ping("10.20.30.2")


@pytest.mark.parametrize("name", ["c3", "c3.my_bridge", "web", "web.my_bridge"])
def test_by_name(cnm, net, boxes, name):
    net.disconnect(boxes["c3"])
    net.connect(boxes["c3"], aliases=["web"])
    done = boxes["c2"].run(["ping", "-n", "-c1", "-W5", name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "10.20.30.3" in done.stdout


def test_names_stay_within_their_network(boxes):
    for box, name, known in (("c1", "c3", False), ("c2", "c1", False), ("c3", "c2", True)):
        done = boxes[box].run(["getent", "hosts", name], capture_output=True)
        assert (done.returncode == 0) is known, (box, name, done.stdout)


def test_an_address_of_ones_own_choice(cnm, net, boxes, host):
    c4, c5 = cnm.create_sandbox("c4"), cnm.create_sandbox("c5")
    endpoint = net.connect(c4, ip="10.20.30.77")
    assert str(endpoint.ip) == "10.20.30.77"
    assert inside(c4).addresses("eth0") == ["10.20.30.77/24"]
    assert inside(c4).link("eth0")["address"] == "02:42:0a:14:1e:4d"
    assert inside(boxes["c2"]).ping("10.20.30.77")
    before = host.picture()
    for wrong, error in (
        ("10.20.30.77", pycnm.AddressInUseError),
        ("10.20.30.1", pycnm.AddressInUseError),
        ("10.20.31.2", pycnm.OutOfSubnetError),
        ("10.20.30.255", pycnm.InvalidArgumentError),
    ):
        with pytest.raises(error):
            net.connect(c5, ip=wrong)
    assert inside(c5).interfaces() == ["lo"]
    assert host.picture() == before


def test_a_mac_and_an_interface_name_of_ones_own_choice(cnm, net, boxes):
    c4 = cnm.create_sandbox("c4")
    net.connect(c4, mac="02:00:00:00:00:99", interface="lan0")
    assert inside(c4).interfaces() == ["lan0", "lo"]
    assert inside(c4).link("lan0")["address"] == "02:00:00:00:00:99"
    assert inside(c4).ping("10.20.30.2")


def test_another_network_cannot_reach_them_nor_they_it(boxes):
    c1, c2, c3 = (inside(boxes[name]) for name in ("c1", "c2", "c3"))
    with c3.serve("80", "53/udp"), c1.serve("80", "53/udp"):
        assert c2.ask("10.20.30.3", 80).server == "c3"
        for source, target in ((c1, "10.20.30.3"), (c2, "172.17.0.2")):
            assert not source.ping(target, IMPATIENCE)
            assert source.ask(target, 80, patience=IMPATIENCE) is None
            assert source.ask(target, 53, "udp", patience=IMPATIENCE) is None


def test_a_subnet_is_one_networks_own(cnm, net, host):
    before = host.picture()
    for subnet in ("10.20.30.0/24", "10.20.30.128/25", "10.0.0.0/8"):
        with pytest.raises(pycnm.PoolOverlapError):
            cnm.create_network("other", subnet=subnet)
    with pytest.raises(pycnm.PoolOverlapError, match=r"192\.0\.2\.0/24"):
        cnm.create_network("other", subnet="192.0.2.128/25")
    with pytest.raises(pycnm.AlreadyExistsError, match="my_bridge"):
        cnm.create_network("my_bridge")
    assert host.picture() == before


def test_a_network_with_endpoints_is_not_deleted(net, boxes, host):
    with pytest.raises(pycnm.InUseError, match="c2"):
        net.delete()
    assert inside(boxes["c2"]).ping("10.20.30.3")
    net.delete(force=True)
    assert inside(boxes["c2"]).interfaces() == ["lo"]
    assert f"br-{net.id[:12]}" not in host.interfaces()


def test_mtu_and_bridge_name_are_options(cnm, host):
    options = {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "lan"}
    net = cnm.create_network("small", options=options)
    c4 = cnm.create_sandbox("c4")
    endpoint = net.connect(c4)
    assert inside(c4).link("eth0")["mtu"] == 1400
    assert host.link(endpoint.host_interface)["mtu"] == 1400
    assert host.link("lan")["mtu"] == 1400
    assert host.link(endpoint.host_interface)["master"] == "lan"
