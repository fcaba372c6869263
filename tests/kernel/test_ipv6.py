"""IPv6: beside IPv4, alone, published, and off where no network has it."""

from __future__ import annotations

import socket
import struct

import pytest
from netaddr import IPNetwork
from topology import IMPATIENCE, inside, until

import pycnm

ALL_NODES = "ff02::1"
BAD = "2001:db8:bad::"


@pytest.fixture
def net(cnm):
    return cnm.create_network("dual", subnet=["10.20.30.0/24", "fd00:1::/64"])


@pytest.fixture
def pair(cnm, net):
    boxes = [cnm.create_sandbox(name) for name in ("c2", "c3")]
    for box in boxes:
        net.connect(box)
    return boxes


def advertise(place, interface):
    """Send router advertisements, as a router that leads everywhere does."""
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0)
    prefix += socket.inet_pton(socket.AF_INET6, BAD)

    def send():
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
            index = socket.if_nametoindex(interface)
            router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            for _ in range(3):
                router.sendto(message + prefix, (ALL_NODES, 0, 0, index))

    place.do(send)


def deceived(place):
    """What a place has learnt from router advertisements."""
    words = place.run("ip", "-6", "route", "show", "table", "all") + place.run("ip", "-6", "addr")
    return [line for line in words.splitlines() if "proto ra" in line or "2001:db8:bad" in line]


# Beside IPv4


def test_addresses_routes_and_pings(pair, net, host):
    c2, c3 = map(inside, pair)
    assert c2.addresses("eth0") == ["10.20.30.2/24"]
    assert "fd00:1::2/64" in c2.addresses("eth0", 6)
    assert "fd00:1::3/64" in c3.addresses("eth0", 6)
    assert "fd00:1::1/64" in host.addresses(f"br-{net.id[:12]}", 6)
    defaults = [each for each in c2.routes(6) if each["dst"] == "default"]
    assert [(each["gateway"], each["dev"]) for each in defaults] == [("fd00:1::1", "eth0")]
    assert c2.ping("fd00:1::3")
    assert c2.ping("10.20.30.3")
    assert c3.ping("fd00:1::1")
    assert host.ping("fd00:1::2")


def test_addresses_are_good_at_once(cnm, net):
    """Nobody else can have them: duplicate address detection would only cost a second."""
    box = cnm.create_sandbox("c2")
    net.connect(box)
    (shown,) = [each for each in inside(box).ip("-6", "address", "show", "dev", "eth0") if each]
    (info,) = [each for each in shown["addr_info"] if each.get("local") == "fd00:1::2"]
    assert not {"tentative", "optimistic", "dadfailed"} & set(info)
    assert inside(box).ping("fd00:1::1")


def test_neighbours_are_told_of_a_new_address(cnm, net, pair):
    c4 = cnm.create_sandbox("c4")
    with inside(pair[0]).capture("eth0", "icmp6") as seen:
        net.connect(c4)
        told = r"fd00:1::4 > ff02::1: .*neighbor advertisement, .*tgt is fd00:1::4"
        assert seen.find(told), seen.lines


def test_by_name(controller, host, outside):
    cnm = controller(host, dns=True)
    net = cnm.create_network("dual", subnet=["10.20.30.0/24", "fd00:1::/64"])
    c2, c3 = (cnm.create_sandbox(name) for name in ("c2", "c3"))
    for box in (c2, c3):
        net.connect(box)
    done = c2.run(["ping", "-6", "-n", "-c1", "-W5", "c3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fd00:1::3" in done.stdout


def test_the_way_out_is_masqueraded(pair, outside):
    with outside.serve("80", "53/udp"):
        assert inside(pair[0]).ask("2001:db8::66", 80).peer == "2001:db8::1"
        assert inside(pair[0]).ask("2001:db8::66", 53, "udp").peer == "2001:db8::1"
    assert inside(pair[0]).ping("2001:db8::66")


def test_nobody_comes_in_unasked(pair, outside):
    outside.route("fd00:1::/64 via 2001:db8::1")
    with inside(pair[0]).serve("80"):
        assert inside(pair[1]).ask("fd00:1::2", 80)
        assert outside.ask("fd00:1::2", 80, patience=IMPATIENCE) is None
        assert not outside.ping("fd00:1::2", IMPATIENCE)


def test_published(cnm, net, host, outside):
    c2, c3 = cnm.create_sandbox("c2"), cnm.create_sandbox("c3")
    net.connect(c2, publish=["8080:80", "8053:53/udp"])
    net.connect(c3, publish=["[2001:db8::1]:8081:80"])
    with inside(c2).serve("80", "53/udp"), inside(c3).serve("80"):
        assert outside.ask("2001:db8::1", 8080).peer == "2001:db8::66"
        assert outside.ask("192.0.2.1", 8080).peer == "192.0.2.66"
        assert outside.ask("2001:db8::1", 8053, "udp").server == "c2"
        assert outside.ask("2001:db8::1", 8081).server == "c3"
        assert outside.ask("192.0.2.1", 8081, patience=IMPATIENCE) is None
        assert host.ask("2001:db8::1", 8080).server == "c2"
        assert inside(c2).ask("2001:db8::1", 8080).server == "c2"
        assert inside(c3).ask("fd00:1::1", 8080).server == "c2"


def test_the_loopback_of_the_host_is_refused(cnm, net, host):
    """The kernel redirects nothing that is sent to ::1, so it is said at once."""
    c2 = cnm.create_sandbox("c2")
    before = host.picture()
    with pytest.raises(pycnm.NotSupportedError, match=r"127\.0\.0\.1"):
        net.connect(c2, publish=["[::1]:8080:80"])
    assert host.picture() == before


def test_published_on_one_family_leads_to_that_family(cnm, net, outside):
    c2 = cnm.create_sandbox("c2")
    net.connect(c2, publish=["0.0.0.0:8080:80"])
    with inside(c2).serve("80"):
        assert outside.ask("192.0.2.1", 8080).server == "c2"
        assert outside.ask("2001:db8::1", 8080, patience=IMPATIENCE) is None


# Alone


def test_ipv6_only(cnm, host, outside):
    net = cnm.create_network("six", ipv4=False, ipv6=True)
    assert [str(each) for each in net.subnets if each.version == 4] == []
    c2, c3 = cnm.create_sandbox("c2"), cnm.create_sandbox("c3")
    for box in (c2, c3):
        net.connect(box)
    assert inside(c2).addresses("eth0") == []
    assert host.addresses(f"br-{net.id[:12]}") == []
    (own,) = [text for text in inside(c3).addresses("eth0", 6) if not text.startswith("fe80")]
    assert IPNetwork(own).ip in net.subnets[0]
    assert inside(c2).ping(own.partition("/")[0])
    with outside.serve("80"):
        assert inside(c2).ask("2001:db8::66", 80).peer == "2001:db8::1"
    assert inside(c2).routes(4) == []


def test_an_automatic_subnet_is_local_and_the_next_one_is_another(cnm):
    nets = [cnm.create_network(name, ipv6=True) for name in ("one", "two")]
    subnets = [each for net in nets for each in net.subnets if each.version == 6]
    assert len(set(subnets)) == 2
    for each in subnets:
        assert each in IPNetwork("fd00::/8")
        assert each.prefixlen == 64


# Off where no network has it


def test_an_ipv4_endpoint_has_no_ipv6_at_either_end(cnm, host):
    net = cnm.create_network("four", subnet="10.4.0.0/24")
    box = cnm.create_sandbox("c2")
    endpoint = net.connect(box)
    for place, interface in (
        (inside(box), "eth0"),
        (host, endpoint.host_interface),
        (host, f"br-{net.id[:12]}"),
    ):
        assert "UP" in place.link(interface)["flags"]
        assert place.run("ip", "-6", "address", "show", "dev", interface) == ""
    assert inside(box).routes(6) == []


def test_the_port_of_a_dual_endpoint_has_no_address_either(pair, host):
    (endpoint,) = pair[0].endpoints
    assert host.run("ip", "-6", "address", "show", "dev", endpoint.host_interface) == ""


def test_each_interface_has_the_families_of_its_network(cnm, pair):
    c2 = inside(pair[0])
    four = cnm.create_network("four", subnet="10.4.0.0/24")
    four.connect(pair[0])
    assert c2.run("ip", "-6", "address", "show", "dev", "eth1") == ""
    assert "fd00:1::2/64" in c2.addresses("eth0", 6)
    four.disconnect(pair[0])
    assert c2.ping("fd00:1::3")


# Router advertisements


def test_a_sandbox_is_no_router_for_the_others(pair, host, net):
    c2, c3 = map(inside, pair)
    with c3.capture("eth0", "icmp6") as seen:
        advertise(c2, "eth0")
        # Whatever was sent before this ping has arrived when it has.
        assert c2.ping("fd00:1::3")
        assert seen.find("echo request")
    assert not [line for line in seen.lines if "router advertisement" in line]
    assert deceived(c3) == deceived(host) == []


def test_without_its_guard_it_is_none_for_the_host(cnm, pair, host, net):
    """The second line: the bridge itself believes nobody."""
    port = pair[0].endpoints[0].host_interface
    host.run("nft", "delete", "table", "netdev", f"cnm_{port}")
    bridge = f"br-{net.id[:12]}"
    with host.capture(bridge, "icmp6") as seen:
        advertise(inside(pair[0]), "eth0")
        assert seen.find("router advertisement")
    assert inside(pair[0]).ping("fd00:1::1")
    assert deceived(host) == deceived(inside(pair[1])) == []
    assert cnm.check()
    cnm.reconcile()
    assert cnm.check() == []


@pytest.mark.parametrize("subnet", ["10.4.0.0/24", ["10.4.0.0/24", "fd00:4::/64"]])
def test_what_comes_from_the_bridge_is_not_believed(cnm, host, outside, subnet):
    net = cnm.create_network("n", subnet=subnet)
    box = cnm.create_sandbox("c2")
    net.connect(box)
    bridge = f"br-{net.id[:12]}"
    host.set_sysctl(**{f"net__ipv6__conf__{bridge}__disable_ipv6": 0})
    assert until(lambda: any("fe80:" in each for each in host.addresses(bridge, 6)))
    with inside(box).capture("eth0", "icmp6") as seen:
        advertise(host, bridge)
        assert seen.find("router advertisement")
    assert inside(box).ping("10.4.0.1")
    assert deceived(inside(box)) == []
    cnm.reconcile()


def test_a_plain_machine_believes_them(host, outside):
    """So the advertisements of these tests are good ones."""
    assert until(lambda: advertise(outside, "eth0") or deceived(host))


def test_the_hosts_own_addresses_from_its_router_stay(controller, machine, host):
    """Where forwarding is on for IPv6 a host would otherwise stop listening to its router."""
    router = machine("router")
    host.wire(router, ["192.0.2.1/24"], ["192.0.2.66/24"])
    cnm = controller(host)
    with cnm.create_network("dual", ipv6=True):
        assert until(lambda: advertise(router, "eth0") or len(deceived(host)) >= 3), deceived(host)
    # Away with the lesson, so that the host is what it was.
    host.set_sysctl(net__ipv6__conf__eth0__disable_ipv6=1)
    host.set_sysctl(net__ipv6__conf__eth0__disable_ipv6=0)
    assert until(lambda: host.settled("eth0"))


def test_wrong_families_are_refused(cnm, net, host):
    before = host.picture()
    four = cnm.create_network("four", subnet="10.4.0.0/24")
    box = cnm.create_sandbox("c2")
    with pytest.raises(pycnm.InvalidArgumentError):
        four.connect(box, ip6="fd00:4::9")
    with pytest.raises(pycnm.OutOfSubnetError):
        net.connect(box, ip6="fd00:2::9")
    with pytest.raises(pycnm.InvalidArgumentError):
        cnm.create_network("neither", ipv4=False)
    with pytest.raises(pycnm.NotSupportedError):
        four.connect(box, publish=["[::]:8080:80"])
    four.delete()
    assert inside(box).interfaces() == ["lo"]
    assert host.picture() == before


# On the default network


def test_the_default_network_with_ipv6(controller, host, outside):
    cnm = controller(host, ipv6=True)
    net = cnm.network("bridge")
    subnet = net.subnets[1]
    assert subnet in IPNetwork("fd00::/8")
    c2, c3 = (cnm.create_sandbox(name) for name in ("c2", "c3"))
    net.connect(c2)
    end = net.connect(c3, publish=["8080:80"])
    place = inside(c2)
    assert f"{subnet.network + 2}/64" in place.addresses("eth0", 6)
    assert [r["gateway"] for r in place.routes(6) if r["dst"] == "default"] == [
        str(subnet.network + 1)
    ]
    assert f"{subnet.network + 1}/64" in host.addresses("cnm0", 6)
    assert place.ping(end.ip6)
    with outside.serve(80):
        assert place.ask("2001:db8::66", 80).peer == "2001:db8::1"
    with inside(c3).serve(80):
        assert outside.ask("2001:db8::1", 8080).server == "c3"
        assert outside.ask("192.0.2.1", 8080).server == "c3"
    assert net.inspect()["EnableIPv6"] is True
    assert cnm.check() == []


def test_the_default_network_gets_and_loses_ipv6(controller, host):
    """Whoever opens the state directory says so, or leaves it as it is."""
    cnm = controller(host)
    box = cnm.create_sandbox("c2")
    cnm.network("bridge").connect(box)
    before = cnm.network("bridge").inspect()
    with pytest.raises(pycnm.InUseError, match="disconnect them first"):
        controller(host, ipv6=True)
    assert cnm.network("bridge").inspect() == before
    cnm.network("bridge").disconnect(box)
    dual = controller(host, ipv6=True).network("bridge")
    assert [subnet.version for subnet in dual.subnets] == [4, 6]
    cnm.network("bridge").connect(box)
    assert len(inside(box).addresses("eth0", 6)) == 2
    assert controller(host).network("bridge").spec.ipv6
    assert controller(host, ipv6=True).check() == []
    cnm.network("bridge").disconnect(box)
    controller(host, ipv6=False)
    assert cnm.network("bridge").subnets == [IPNetwork(before["IPAM"]["Config"][0]["Subnet"])]
    assert cnm.network("bridge").name == "bridge"
    with pytest.raises(pycnm.InvalidArgumentError, match="invalid ipv6"):
        controller(host, ipv6="yes")
