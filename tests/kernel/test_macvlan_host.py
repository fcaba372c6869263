"""The host on its own macvlan networks: not without `host_access`, and without harm with it."""

from __future__ import annotations

import pytest
from lan import on
from topology import IMPATIENCE

import pycnm
from pycnm import Macvlan

DUAL = {"subnet": ["192.168.0.0/24", "fd00:9::/64"], "ip_range": "192.168.0.128/25"}


def shim(net):
    return f"mh-{net.id[:12]}"


def test_without_it_they_don_t_reach_each_other(lan, host):
    net = lan.create_network("lan", "macvlan", parent="eth0", **DUAL)
    ((c1, end),) = on(lan, net, "c1")
    assert not host.ping(end.ip, patience=IMPATIENCE)
    assert not c1.ping("192.168.0.100", patience=IMPATIENCE)


@pytest.mark.parametrize("parent", ["eth0", None])
def test_with_it_they_do(lan, host, parent):
    before = host.picture()
    net = lan.create_network("lan", Macvlan(parent=parent, host_access=True), **DUAL)
    aux = {name: text for pool in net.spec.pools for name, text in pool.aux}
    assert aux == {"host": "192.168.0.128", "host6": "fd00:9::1"}
    (c1, end), (_, other) = on(lan, net, "c1", "c2")
    for address in (end.ip, end.ip6, other.ip, other.ip6):
        assert host.ping(address), address
    with host.serve("80"):
        assert c1.ask(aux["host"], 80).peer == str(end.ip)
        assert c1.ask(aux["host6"], 80).peer == str(end.ip6)
    with c1.serve("80"):
        assert host.ask(end.ip, 80).peer == aux["host"]
    assert lan.check() == []
    # A route comes and goes with each endpoint.
    routes = [route["dst"] for route in host.routes() if route["dev"] == shim(net)]
    assert routes == ["192.168.0.129", "192.168.0.130"]
    net.disconnect("c2")
    assert [r["dst"] for r in host.routes() if r["dev"] == shim(net)] == ["192.168.0.129"]
    net.delete(force=True)
    assert host.picture() == before


def test_an_address_that_was_chosen_for_the_host(lan, host):
    net = lan.create_network(
        "lan",
        Macvlan(parent="eth0", host_access=True),
        subnet="192.168.0.0/24",
        aux_addresses={"host": "192.168.0.223"},
    )
    on(lan, net, "c1", ip="192.168.0.9")
    assert host.addresses(shim(net)) == ["192.168.0.223/32"]
    assert host.ping("192.168.0.9")


def test_the_wire_knows_the_host_by_its_own_mac(lan, host, router):
    """Or it would be lost to its neighbours with the network."""
    own = host.link("eth0")["address"]
    net = lan.create_network("lan", Macvlan(parent="eth0", host_access=True), **DUAL)
    on(lan, net, "c1")
    with router.capture("eth0", "arp[6:2] == 2") as seen:
        router.run("ip", "neigh", "flush", "all")
        assert router.ping("192.168.0.100")
        assert seen.find(rf"192\.168\.0\.100 is-at {own}")
    assert host.link(shim(net))["address"] not in "".join(seen.lines)


def test_a_router_on_the_wire_is_not_believed_by_it(lan, host):
    net = lan.create_network("lan", Macvlan(parent="eth0", host_access=True), **DUAL)
    for key in ("accept_ra", "autoconf", "accept_redirects"):
        assert host.sysctl(f"net.ipv6.conf.{shim(net)}.{key}") == "0"
    four = lan.create_network("four", Macvlan(host_access=True), subnet="10.77.0.0/24")
    assert host.addresses(shim(four), 6) == []


def test_given_and_taken_later(lan, host):
    net = lan.create_network("lan", "macvlan", parent="eth0", subnet="192.168.0.0/24")
    ((_, end),) = on(lan, net, "c1", ip="192.168.0.9")
    net.configure(options={"host_access": "true"})
    assert host.ping(end.ip)
    # The host is one of those who would be cut off.
    with pytest.raises(pycnm.InUseError):
        net.configure(options={"host_access": None})
    net.disconnect("c1")
    net.configure(options={"host_access": None})
    assert shim(net) not in host.interfaces()
