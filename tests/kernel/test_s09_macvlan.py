"""S9: sandboxes on the wire of the host, whose gateway is a router there."""

from __future__ import annotations

import errno

import pytest
from lan import FAR, LAN, ROUTER, mac, on, way_out
from topology import IMPATIENCE, Place, inside, until

import pycnm
from pycnm import Macvlan


def test_the_gateway_is_the_router_on_the_wire(lan, host, router):
    before = host.picture()
    net = lan.create_network("lan", Macvlan(parent="eth0"), **LAN)
    ((c1, end),) = on(lan, net, "c1")
    assert str(end.ip) == "192.168.0.2"
    assert way_out(c1) == (ROUTER, "eth0")
    with router.capture("eth0", "icmp or arp") as seen:
        assert c1.ping(FAR)
        assert seen.find(rf"{mac(end)} > \S+, ethertype IPv4 .* 192\.168\.0\.2 > {FAR}: ICMP echo")
    # The host routes nothing, translates nothing, and has no rules for it.
    assert host.picture() == before
    assert host.tables() == []
    assert lan.check() == []


def test_the_frames_carry_the_mac_that_was_asked_for(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    ((c1, _),) = on(lan, net, "c1", mac="02:00:00:00:00:77", ip="192.168.0.9")
    with router.capture("eth0", "icmp") as seen:
        assert c1.ping(ROUTER)
        assert seen.find(rf"02:00:00:00:00:77 > \S+, .* 192\.168\.0\.9 > {ROUTER}: ICMP echo")


def test_an_endpoint_gets_another_address_and_mac(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    ((c1, end),) = on(lan, net, "c1")
    end.configure(ip="192.168.0.77")
    assert c1.addresses("eth0") == ["192.168.0.77/24"]
    assert c1.link("eth0")["address"] == mac(end) == "02:42:c0:a8:00:4d"
    end.configure(mac="02:00:00:00:00:77")
    assert c1.link("eth0")["address"] == "02:00:00:00:00:77"
    assert c1.ping(FAR)
    assert lan.check() == []


def test_the_neighbours_are_told_of_a_new_sandbox(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    with router.capture("eth0", "arp") as seen:
        ((_, end),) = on(lan, net, "c1")
        told = seen.find(
            r"(\S+) > ff:ff:ff:ff:ff:ff, .* who-has 192\.168\.0\.2 .*tell 192\.168\.0\.2"
        )
        assert told[1] == mac(end)


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_modes(lan, router, mode):
    net = lan.create_network("lan", "macvlan", parent="eth0", options={"macvlan_mode": mode}, **LAN)
    (c1, _), (c2, end) = on(lan, net, "c1", "c2")
    assert c1.ping(ROUTER)
    assert c2.ping(ROUTER)
    with router.capture("eth0", "arp") as seen:
        assert c1.ping(end.ip, patience=1) is (mode == "bridge")
        # All of them ask on the wire.
        assert seen.find(rf"who-has {end.ip}")


@pytest.mark.parametrize(("mode", "reached"), [("vepa", True), ("private", False)])
def test_a_switch_that_sends_back(machine, controller, host, mode, reached):
    switch = machine("switch")
    switch.batch("link add br0 type bridge forward_delay 0", "link set br0 up")
    host.wire(switch, ["192.168.0.100/24"], [])
    switch.batch("link set eth0 master br0", "link set eth0 type bridge_slave hairpin on")
    until(lambda: "forwarding" in str(switch.link("eth0")))
    cnm = controller(host)
    net = cnm.create_network("lan", Macvlan(parent="eth0", mode=mode), **LAN)
    (c1, _), (_, end) = on(cnm, net, "c1", "c2")
    assert c1.ping(end.ip, patience=5 if reached else IMPATIENCE) is reached


def test_passthru(lan, host, router):
    own = host.link("eth0")["address"]
    net = lan.create_network("lan", Macvlan(parent="eth0", mode="passthru"), **LAN)
    ((c1, end),) = on(lan, net, "c1")
    assert end.mac is None
    with router.capture("eth0", "icmp") as seen:
        assert c1.ping(ROUTER)
        assert seen.find(rf"{own} > \S+, .* 192\.168\.0\.2 > {ROUTER}: ICMP echo")
    # The parent is this one's alone.
    c2 = lan.create_sandbox("c2")
    with pytest.raises(pycnm.InUseError, match="network lan takes 1 endpoint, and has as many"):
        net.connect(c2)
    with pytest.raises(pycnm.InUseError, match="already using parent interface eth0 in mode"):
        lan.create_network("other", "macvlan", parent="eth0")
    net.disconnect("c1")
    with pytest.raises(pycnm.NotSupportedError, match="an endpoint has the MAC of eth0"):
        net.connect(c2, mac="02:00:00:00:00:77")
    net.connect(c2)
    assert inside(c2).ping(ROUTER)
    net.disconnect(c2)
    assert host.link("eth0")["address"] == own
    assert host.link("eth0")["promiscuity"] == 0


def test_passthru_beside_others(lan):
    lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    with pytest.raises(pycnm.InUseError) as caught:
        lan.create_network("other", Macvlan(parent="eth0", mode="passthru"))
    assert "cannot use mode passthru, macvlan network lan is already using parent" in str(
        caught.value
    )
    assert caught.value.status == 403


def test_without_a_gateway_there_is_no_default_route(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", subnet="192.168.0.0/24")
    assert net.gateways == []
    ((c1, end),) = on(lan, net, "c1", ip="192.168.0.9")
    assert end.gateway is None
    assert way_out(c1) is None
    assert c1.ping(ROUTER)


def test_priority_beside_a_bridge(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    nat = lan.create_network("nat", subnet="10.20.30.0/24")
    box = lan.create_sandbox("c1")
    nat.connect(box, gateway_priority=1)
    net.connect(box)
    c1 = inside(box)
    assert way_out(c1) == ("10.20.30.1", "eth0")
    nat.disconnect(box)
    assert way_out(c1) == (ROUTER, "eth1")
    # Of equal priority, the network of the first name.
    nat.connect(box)
    assert way_out(c1) == (ROUTER, "eth1")
    assert c1.ping(FAR)


def test_by_name_and_counted(lan, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    (_, end), (_, other) = on(lan, net, "c1", "c2")
    done = lan.sandbox("c1").run(["ping", "-c1", "-W5", "c2"], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert str(other.ip) in done.stdout
    assert end.stats()["tx_packets"] > 0
    assert net.stats()["endpoints"] == 2
    assert net.stats()["rx_bytes"] >= 0


def test_both_families(lan, router):
    net = lan.create_network(
        "lan",
        "macvlan",
        parent="eth0",
        subnet=["192.168.0.0/24", "fd00:9::/64"],
        gateway=[ROUTER, "fd00:9::1"],
    )
    ((c1, end),) = on(lan, net, "c1")
    assert c1.ping("fd00:9::1")
    assert c1.ping(ROUTER)
    assert way_out(c1, 6) == ("fd00:9::1", "eth0")
    assert str(end.ip6).startswith("fd00:9::")


def test_several_networks_and_several_subnets_on_a_parent(lan, host, router):
    """A family's subnets are filled one after the other; each has its own gateway."""
    router.batch("address add 192.168.1.1/24 dev eth0")
    net = lan.create_network(
        "lan",
        "macvlan",
        parent="eth0",
        subnet=["192.168.0.0/30", "192.168.1.0/24"],
        gateway=[ROUTER, "192.168.1.1"],
    )
    other = lan.create_network("other", "macvlan", parent="eth0", subnet="192.168.2.0/24")
    (_, one), (c2, two), (c3, three) = on(lan, net, "c1", "c2", "c3")
    ((c4, _),) = on(lan, other, "c4")
    assert [str(end.ip) for end in (one, two, three)] == [
        "192.168.0.2", "192.168.1.2", "192.168.1.3",
    ]  # fmt: skip
    assert way_out(c2) == ("192.168.1.1", "eth0")
    assert c2.ping(FAR)
    assert c3.ping("192.168.1.2")
    # They are on one wire, whatever their subnets.
    c4.batch("address add 192.168.1.9/24 dev eth0")
    assert c4.ping("192.168.1.2")
    net.disconnect("c1")
    assert str(net.connect("c1", ip="192.168.1.77").ip) == "192.168.1.77"
    with pytest.raises(pycnm.OutOfSubnetError):
        net.connect(lan.create_sandbox("c5"), ip="192.168.7.1")


def test_no_ipv6_where_the_network_has_none(lan, host, router, machine):
    """Neither in a sandbox of ours nor in a namespace that was adopted (CVE-2024-32473)."""
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    theirs = machine("theirs")
    for box in (lan.create_sandbox("c1"), lan.create_sandbox("c2", netns="theirs")):
        net.connect(box, interface="lan0")
        assert inside(box).addresses("lan0", 6) == []
        assert inside(box).ping(ROUTER)
    assert theirs.sysctl("net.ipv6.conf.lan0.disable_ipv6") == "1"


def test_ports_are_refused_with_a_sentence(lan):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    box = lan.create_sandbox("c1")
    with pytest.raises(pycnm.NotSupportedError, match="networks of driver macvlan publish no port"):
        net.connect(box, publish=["8080:80"])
    assert box.endpoints == []


def test_without_a_parent_it_is_internal(lan, host, router):
    net = lan.create_network("apart", "macvlan", subnet="10.77.0.0/24")
    assert net.internal
    (c1, _), (c2, end) = on(lan, net, "c1", "c2")
    assert c1.ping(end.ip)
    assert way_out(c2) is None
    assert not c1.ping(ROUTER, patience=IMPATIENCE)
    kind = host.link(f"dm-{net.id[:12]}")["linkinfo"]["info_kind"]
    assert kind in {"dummy", "ifb"}
    assert f"type {kind}" in str(net.explain())
    assert host.addresses(f"dm-{net.id[:12]}", 6) == []
    assert net.inspect()["Internal"] is True


def test_a_network_gets_its_parent_later(lan, router):
    """As by files: made first, and given the rest one by one."""
    net = lan.create_network("lan")
    net.configure(driver="macvlan")
    assert net.internal
    assert net.gateways == []
    net.configure(parent="eth0")
    assert not net.internal
    assert net.options == {"parent": "eth0"}
    net.configure(subnet="192.168.0.0/24", gateway=ROUTER)
    ((c1, _),) = on(lan, net, "c1")
    assert c1.ping(FAR)
    with pytest.raises(pycnm.InUseError):
        net.configure(parent=None)
    net.disconnect("c1")
    net.configure(parent=None)
    assert net.internal
    assert net.options == {}
    net.configure(options={"parent": "eth0"})
    assert net.interface == "eth0"
    net.configure(driver="bridge")
    assert net.gateways
    assert net.options == {}


def test_an_mtu_below_that_of_the_parent(lan, host, router):
    net = lan.create_network("lan", Macvlan(parent="eth0", mtu=1400), **LAN)
    ((c1, _),) = on(lan, net, "c1")
    assert c1.link("eth0")["mtu"] == 1400
    net.configure(options={"com.docker.network.driver.mtu": "1300"})
    assert c1.link("eth0")["mtu"] == 1300
    assert c1.ping(ROUTER)
    assert host.link("eth0")["mtu"] == 1500


def test_addresses_from_elsewhere(lan, router):
    """Without IPAM an endpoint has none: a DHCP client gets them."""
    net = lan.create_network("lan", "macvlan", parent="eth0", ipam="null")
    (c1, end), (c2, other) = on(lan, net, "c1", "c2")
    assert c1.addresses("eth0") == []
    c1.batch("address add 192.168.0.50/24 dev eth0")
    assert c1.ping(ROUTER)
    assert c1.link("eth0")["address"] != c2.link("eth0")["address"]
    assert (end.mac, other.mac) == (None, None)


def test_a_sandbox_is_off_the_wire_though_a_process_stays(lan, host, router):
    net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
    box = lan.create_sandbox("c1")
    net.connect(box)
    with box.popen(["sleep", "60"]) as stays:
        try:
            box.delete()
            assert not router.ping("192.168.0.2", patience=IMPATIENCE)
            place = Place(f"/proc/{stays.pid}/ns/net")
            assert until(lambda: place.interfaces() == ["lo"])
            # Nothing of it is in the way of the next one.
            ((again, end),) = on(lan, net, "c1")
            assert str(end.ip) == "192.168.0.2"
            assert again.ping(ROUTER)
        finally:
            stays.kill()


@pytest.mark.parametrize(
    ("wishes", "code", "status", "words"),
    [
        ({"parent": "lo"}, errno.EINVAL, 400,
         "loopback interface is not a valid macvlan parent link"),
        ({"parent": "eth9"}, errno.ENODEV, 404,
         "-o parent interface was not found on the host: eth9"),
        ({"parent": "eth9.10"}, errno.ENODEV, 404,
         "-o parent interface was not found on the host: eth9"),
        ({"parent": "eth0.5000"}, errno.EINVAL, 400,
         "vlan id must be between 1-4094, received: 5000"),
        ({"parent": "eth0.0"}, errno.EINVAL, 400, "vlan id must be between 1-4094, received: 0"),
        ({"parent": "eth0.x"}, errno.EINVAL, 400,
         "invalid subinterface vlan name eth0.x, example formatting is eth0.10"),
        ({"parent": "eth0.1.2"}, errno.EINVAL, 400,
         "invalid subinterface vlan name eth0.1.2, example formatting is eth0.10"),
        ({"parent": "eth0", "options": {"macvlan_mode": "bridged"}}, errno.EINVAL, 400,
         "mode 'bridged' is not valid, 'bridge' mode is the macvlan driver default"),
        ({"parent": "eth0", "internal": True}, errno.EINVAL, 400,
         "an internal network has no way outside, and eth0 is one"),
        ({"parent": "eth0", "options": {"macvlan_mode": "private", "host_access": "true"}},
         errno.EINVAL, 400, "use mode bridge"),
        ({"parent": "port0"}, errno.EOPNOTSUPP, 501, "port0 is a port of br0"),
        ({"parent": "cnm0"}, errno.EOPNOTSUPP, 501, "cnm0 is pycnm's own"),
        ({"parent": "eth0", "options": {"macvlanmode": "vepa"}}, errno.EINVAL, 400,
         "the nearest known one is macvlan_mode"),
    ],
)  # fmt: skip
def test_refused_and_nothing_is_left(lan, host, wishes, code, status, words):
    host.batch(
        "link add br0 type bridge",
        "link add port0 type veth peer name port1",
        "link set port0 master br0",
    )
    lan.network("bridge").connect(lan.create_sandbox("c0"))
    before = host.picture()
    with pytest.raises(pycnm.CNMError) as caught:
        lan.create_network("bad", "macvlan", **wishes)
    assert words in str(caught.value)
    assert (caught.value.errno, caught.value.status) == (code, status)
    assert host.picture() == before
    assert [net.name for net in lan.networks()] == ["bridge", "host", "none"]
    host.batch("link del br0", "link del port0")
