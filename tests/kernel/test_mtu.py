"""MTUs: those of the way outside, given ones, changed ones; and segments that fit smaller ways."""

from __future__ import annotations

import json
import socket

import pytest
from topology import inside

FAR = {4: "192.0.2.66", 6: "2001:db8::66"}
HEADERS = {4: 40, 6: 60}
MTU = "com.docker.network.driver.mtu"
CONTENT = b"segment " * 16384


def sizes(host, net, box):
    """MTUs of the bridge, its port, and the interface inside."""
    (endpoint,) = net.endpoints
    bridge = f"br-{net.id[:12]}"
    return [
        host.link(bridge)["mtu"],
        host.link(endpoint.spec.host_interface)["mtu"],
        inside(box).link("eth0")["mtu"],
    ]


@pytest.fixture
def default(host, cnm):
    """Gives the host a default route, `default("via 192.0.2.66")`; it is gone in the end."""
    routes = []

    def add(rest, kind=""):
        routes.append(f"{kind} default {rest}")
        host.route(routes[-1])

    yield add
    host.batch(*(f"route del {route}" for route in routes))


@pytest.fixture
def connected(cnm):
    def connect(**how):
        net, box = cnm.create_network("my_bridge", **how), cnm.create_sandbox("c2")
        net.connect(box)
        return net, box

    return connect


class TestDerived:
    @pytest.mark.parametrize("version", [4, 6])
    def test_from_the_interface_of_the_default_route(self, host, connected, default, version):
        host.batch("link set eth0 mtu 1420")
        default(f"via {FAR[version]}")
        net, box = connected()
        assert sizes(host, net, box) == [1420] * 3
        assert net.options == {MTU: "1420"}

    def test_from_the_route_itself(self, host, connected, default):
        default("via 192.0.2.66 mtu 1300")
        net, box = connected()
        assert sizes(host, net, box) == [1300] * 3

    def test_without_a_way_outside(self, host, connected):
        host.batch("link set eth0 mtu 1420")
        net, box = connected()
        assert sizes(host, net, box) == [1500] * 3
        assert net.options == {}

    def test_not_where_the_way_is_closed(self, host, connected, default):
        host.batch("link set eth0 mtu 1420")
        default("", "blackhole")
        net, box = connected()
        assert sizes(host, net, box) == [1500] * 3

    def test_not_over_one_that_is_given(self, host, connected, default):
        host.batch("link set eth0 mtu 1420")
        default("via 192.0.2.66")
        net, box = connected(options={MTU: "1500"})
        assert sizes(host, net, box) == [1500] * 3

    @pytest.mark.usefixtures("outside")
    def test_of_the_default_network(self, host, controller):
        host.batch("link set eth0 mtu 1420", "route add default via 192.0.2.66")
        cnm = controller(host)
        assert cnm.network("bridge").inspect()["Options"][MTU] == "1420"
        box = cnm.create_sandbox("c2")
        cnm.network("bridge").connect(box)
        assert inside(box).link("eth0")["mtu"] == host.link("cnm0")["mtu"] == 1420

    def test_from_the_wire_of_an_external_network(self, machine, cnm, host):
        lan = machine("lan")
        host.wire(lan, [], ["10.20.30.1/24"], interface="eth1")
        try:
            host.batch("link set eth1 mtu 1450")
            net = cnm.create_network(
                "lan", options={"external": "eth1"}, subnet="10.20.30.0/24", gateway="10.20.30.1"
            )
            box = cnm.create_sandbox("c2")
            net.connect(box)
            assert inside(box).link("eth0")["mtu"] == 1450
            net.delete(force=True)
        finally:
            host.batch("link del eth1")


class TestChanged:
    def test_live_and_back(self, cnm, host, connected, default):
        net, box = connected()
        net.configure(options={MTU: "1280"})
        assert sizes(host, net, box) == [1280] * 3
        host.batch("link set eth0 mtu 1420")
        default("via 192.0.2.66")
        net.configure(labels={"a": "b"})
        assert sizes(host, net, box) == [1280] * 3, "what isn't mentioned stays"
        net.configure(options={MTU: None})
        assert sizes(host, net, box) == [1420] * 3
        assert cnm.check() == []


class TestSegments:
    @pytest.fixture
    def narrow(self, host, connected):
        """A sandbox whose MTU is larger than the host's, and so is that of its neighbour."""
        net, box = connected(options={MTU: "1500"}, ipv6=True)
        host.batch("link set eth0 mtu 1400")
        return net, box

    @pytest.mark.parametrize("version", [4, 6])
    def test_what_is_opened_says_what_fits(self, narrow, outside, version):
        _, box = narrow
        fits = 1400 - HEADERS[version]
        with outside.serve("80"), outside.capture("eth0", "tcp port 80") as seen:
            inside(box).connect(FAR[version], 80).close()
            assert seen.find(rf"> {FAR[version]}.80: Flags \[S\].* \[mss {fits},")

    @pytest.mark.parametrize("version", [4, 6])
    def test_what_is_published_answers_with_what_fits(self, narrow, outside, version):
        net, box = narrow
        (endpoint,) = net.endpoints
        endpoint.publish("8080:80")
        with inside(box).serve("80"), outside.capture("eth0", "tcp port 8080") as seen:
            near = {4: "192.0.2.1", 6: "2001:db8::1"}[version]
            assert outside.ask(near, 8080) is not None
            fits = 1400 - HEADERS[version]
            assert seen.find(rf"\.8080 > .*Flags \[S\.\].* \[mss {fits},")

    @pytest.mark.parametrize("version", [4, 6])
    def test_content_arrives_where_nobody_hears_that_it_is_too_big(self, narrow, outside, version):
        _, box = narrow
        deaf = "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }"
        kind = "icmp type destination-unreachable" if version == 4 else "icmpv6 type packet-too-big"
        inside(box).run("nft", f"{deaf}; add rule inet deaf in {kind} drop")
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with outside.socket(family) as listener:
            listener.bind((FAR[version], 80))
            listener.listen()
            listener.settimeout(5)
            with inside(box).connect(FAR[version], 80) as client:
                there, _ = listener.accept()
                with there:
                    there.settimeout(5)
                    client.settimeout(5)
                    client.sendall(CONTENT)
                    client.shutdown(socket.SHUT_WR)
                    got = b"".join(iter(lambda: there.recv(1 << 16), b""))
        assert got == CONTENT

    def test_between_networks_of_others_nothing_is_changed(
        self, machine, controller, host, outside
    ):
        other = machine("other")
        host.wire(other, ["198.51.100.1/24"], ["198.51.100.2/24"], interface="eth2")
        other.route("default via 198.51.100.1")
        outside.route("198.51.100.0/24 via 192.0.2.1")
        host.forward()
        host.batch("link set eth0 mtu 1400")
        controller(host).create_network("ours")
        with outside.serve("80"), outside.capture("eth0", "tcp port 80") as seen:
            assert other.ask(FAR[4], 80) is not None
            assert seen.find(r"> 192.0.2.66.80: Flags \[S\].* \[mss 1460,")

    def test_the_administrator_cannot_accept_it_away(self, narrow, host, outside):
        _, box = narrow
        host.run("nft", "add rule inet cnm user accept")
        try:
            with outside.serve("80"), outside.capture("eth0", "tcp port 80") as seen:
                inside(box).connect(FAR[4], 80).close()
                assert seen.find(r"> 192.0.2.66.80: Flags \[S\].* \[mss 1360,")
        finally:
            host.run("nft", "flush chain inet cnm user")


def test_as_others_see_it(host, connected):
    net, _ = connected(options={MTU: "1312"})
    shown = host.run("ip", "-j", "link", "show", "dev", f"br-{net.id[:12]}")
    assert json.loads(shown)[0]["mtu"] == 1312
