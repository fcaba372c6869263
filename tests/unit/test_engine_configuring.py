"""A network given another configuration: what is live, what is refused, and how it fails."""

from __future__ import annotations

import pytest
from netaddr import IPAddress, IPNetwork

from pycnm.errors import (
    InUseError,
    InvalidArgumentError,
    NotPermittedError,
    PoolOverlapError,
)
from pycnm.plan.links import Link, Route, Up
from pycnm.plan.operation import HOST

MTU = "com.docker.network.driver.mtu"
ICC = "com.docker.network.bridge.enable_icc"
NAME = "com.docker.network.bridge.name"


@pytest.fixture
def cnm(cnm, kernel):
    cnm.fake = kernel
    yield cnm
    assert cnm.check() == []


@pytest.fixture
def net(cnm):
    return cnm.create_network("net", subnet="10.20.30.0/24", labels={"a": "1", "b": "2"})


@pytest.fixture
def box(cnm, net):
    made = cnm.create_sandbox("c2")
    net.connect(made, publish=["8080:80", "53:53/udp"])
    return made


def addressing(net):
    return [str(subnet) for subnet in net.subnets], [str(gateway) for gateway in net.gateways]


def test_labels_and_options_are_merged(net):
    net.configure(labels={"a": None, "c": "3"}, options={MTU: "1400"}, attachable=True)
    assert net.labels == {"b": "2", "c": "3"}
    assert net.options == {MTU: "1400"}
    assert net.inspect()["Attachable"] is True
    net.configure(options={MTU: None, ICC: "false"})
    assert net.options == {ICC: "false"}
    assert net.labels == {"b": "2", "c": "3"}


def test_nothing_changed_is_nothing_done(cnm, net, box):
    before = cnm.fake.listing(), net.explain()
    net.configure()
    net.configure(subnet="10.20.30.0/24", gateway="10.20.30.1", driver="bridge", ipv4=True)
    net.configure(subnet=["10.20.30.0/24"], labels={}, internal=False)
    assert (cnm.fake.listing(), net.explain()) == before


def test_another_subnet(cnm, net):
    net.configure(subnet="10.20.31.0/24")
    assert addressing(net) == (["10.20.31.0/24"], ["10.20.31.1"])
    assert "10.20.31.1/24" in cnm.fake.listing()
    assert "10.20.30" not in cnm.fake.listing()
    # What it had is free again.
    assert cnm.create_network("other", subnet="10.20.30.0/24").gateways == [IPAddress("10.20.30.1")]
    end = net.connect(cnm.create_sandbox("c3"))
    assert end.ip == IPAddress("10.20.31.2")


@pytest.mark.parametrize("subnet", ["10.20.0.0/16", "10.20.30.0/25"])
def test_a_subnet_that_overlaps_its_own(net, subnet):
    net.configure(subnet=subnet)
    assert net.subnets == [IPNetwork(subnet)]


def test_how_full_it_is(cnm, net, box):
    (status,) = net.usage().values()
    assert (status.ips_in_use, status.dynamic_ips_available) == (4, 252)
    assert cnm.network("host").usage() == {}


def test_another_gateway_keeps_the_rest(cnm):
    net = cnm.create_network(
        "net",
        subnet=["10.20.30.0/24", "fd00::/64"],
        ip_range="10.20.30.128/25",
        aux_addresses={"nas": "10.20.30.130"},
    )
    net.configure(gateway="10.20.30.254")
    assert addressing(net) == (["10.20.30.0/24", "fd00::/64"], ["10.20.30.254", "fd00::1"])
    ends = [net.connect(cnm.create_sandbox(name)).ip for name in ("c1", "c2", "c3")]
    assert IPAddress("10.20.30.130") not in ends
    assert all(str(ip) in IPNetwork("10.20.30.128/25") for ip in ends)


def test_a_family_comes_and_goes(cnm, net):
    net.configure(ipv6=True)
    assert net.subnets[0] == IPNetwork("10.20.30.0/24")
    assert net.subnets[1].version == 6
    six = net.subnets[1]
    net.configure(subnet="10.20.31.0/24")
    assert net.subnets == [IPNetwork("10.20.31.0/24"), six]
    net.configure(ipv6=False)
    assert addressing(net) == (["10.20.31.0/24"], ["10.20.31.1"])
    net.configure(subnet=None)
    assert net.subnets[0] not in IPNetwork("10.20.0.0/16")


def test_internal_and_back(cnm, net):
    before = cnm.fake.listing()
    net.configure(internal=True)
    assert net.internal
    assert "masquerade4" not in str(net.explain())
    net.configure(internal=False)
    assert cnm.fake.listing() == before


def test_another_bridge(cnm, net):
    net.configure(options={NAME: "br-front"})
    listing = cnm.fake.listing()
    assert "link br-front bridge up" in listing
    assert f"br-{net.id[:12]}" not in listing


def test_the_mtu_changes_live(cnm, net, box):
    end = net.endpoints[0]
    net.configure(options={MTU: "1400"})
    assert net.endpoints == [end]
    assert {str(port) for port in end.ports} == {"0.0.0.0:53->53/udp", "0.0.0.0:8080->80/tcp"}
    plan = str(end.explain())
    assert plan.count("mtu 1400") == 2
    assert "mtu 1400" in str(net.explain())
    assert cnm.check() == []
    # It is all in the order in which it can be done again.
    cnm.fake.others_undo(*[op for op in end.explain() if "link add" in str(op)])
    cnm.reconcile()
    assert cnm.check() == []
    box.delete()
    assert not [line for line in cnm.fake.listing().splitlines() if "veth" in line]


def test_the_mtu_is_that_of_the_way_outside_when_it_is_asked_for(cnm, net):
    narrow = Link(HOST, "eth0", "dummy", mtu=1420)
    cnm.fake.others_undo(narrow)
    cnm.fake.others_do(narrow, Up(HOST, "eth0"), Route(HOST, "0.0.0.0/0", "", "eth0"))
    net.configure(options={ICC: "false"})
    net.configure(options={ICC: None})
    assert net.options == {}
    net.configure(options={MTU: "1400"})
    net.configure(options={MTU: None})
    assert net.options == {MTU: "1420"}
    net.configure(driver="macvlan")
    assert net.options == {}
    net.configure(driver="bridge")
    assert net.options == {MTU: "1420"}


def test_rules_change_live(cnm, net, box):
    net.configure(options={ICC: "false"})
    assert ": drop }" in str(net.explain())
    assert "isolated on" in str(net.endpoints[0].explain())
    net.configure(options={ICC: None})
    assert "isolated on" not in str(net.endpoints[0].explain())


@pytest.mark.parametrize(
    "change",
    [
        {"subnet": "10.20.31.0/24"},
        {"gateway": "10.20.30.254"},
        {"ip_range": "10.20.30.128/25"},
        {"internal": True},
        {"ipv6": True},
        {"options": {NAME: "br-front"}},
        {"driver": "host"},
    ],
    ids=str,
)
def test_what_would_cut_endpoints_off_is_refused(cnm, net, box, change):
    before = cnm.fake.listing(), net.inspect(), net.explain()
    with pytest.raises((InUseError, NotPermittedError)) as caught:
        net.configure(**change)
    if isinstance(caught.value, InUseError):
        assert caught.value.errno == 16
        assert "c2" in str(caught.value)
        assert "disconnect" in str(caught.value)
    assert (cnm.fake.listing(), net.inspect(), net.explain()) == before


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"colour": "red"}, InvalidArgumentError, "no setting colour.*subnet"),
        ({"subnet": "10.20.30.1/24"}, InvalidArgumentError, "10.20.30.0/24"),
        ({"subnet": 7}, InvalidArgumentError, "subnet"),
        ({"gateway": "10.9.9.9"}, InvalidArgumentError, "gateway"),
        ({"options": {"nonsense": "1"}}, InvalidArgumentError, "nearest"),
        ({"options": 7}, InvalidArgumentError, "mapping"),
        ({"labels": "a=b"}, InvalidArgumentError, "mapping"),
        ({"internal": "yes"}, InvalidArgumentError, "True or False"),
        ({"subnet": "10.9.0.0/24"}, PoolOverlapError, "10.9.0.0"),
        ({"ipv4": False}, InvalidArgumentError, "IPv4"),
    ],
    ids=str,
)
def test_bad_changes_change_nothing(cnm, net, change, error, words):
    cnm.create_network("other", subnet="10.9.0.0/16")
    before = cnm.fake.listing(), net.inspect()
    with pytest.raises(error, match=words):
        net.configure(**change)
    assert (cnm.fake.listing(), net.inspect()) == before


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_predefined_networks_stay_as_they_are(cnm, name):
    with pytest.raises(NotPermittedError, match="pre-defined"):
        cnm.network(name).configure(labels={"a": "1"})
    with pytest.raises(NotPermittedError, match="pre-defined"):
        cnm.network(name).configure(ipv6=True, internal=True)


@pytest.mark.parametrize("name", ["host", "none"])
def test_ipv6_is_switched_on_for_the_default_network_alone(cnm, name):
    with pytest.raises(NotPermittedError, match="pre-defined"):
        cnm.network(name).configure(ipv6=True)
