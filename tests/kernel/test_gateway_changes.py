"""Gateway modes of networks in use: ports opened and closed, modes changed, what can't be."""

from __future__ import annotations

import pytest
from topology import inside
from traffic import until

import pycnm
from pycnm import Bridge

HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
FAR4 = "192.0.2.66"
MODE4 = "com.docker.network.bridge.gateway_mode_ipv4"
ROUTED = Bridge(gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")


def test_a_port_is_opened_and_closed_live(cnm, outside):
    net = cnm.create_network("n", ROUTED, subnet=["10.2.0.0/24", "fd00:2::/64"])
    outside.route(f"10.2.0.0/24 via {HOST4}", f"fd00:2::/64 via {HOST6}")
    end = net.connect(cnm.create_sandbox("c1"), publish=["8080:80"])

    def reached(patience):
        asked = [
            outside.ask(address, 82, patience=patience) for address in ("10.2.0.2", "fd00:2::2")
        ]
        return [answer is not None for answer in asked]

    with inside(cnm.sandbox("c1")).serve("82"):
        assert reached(0.2) == [False, False]
        end.publish("9999:82", "9998:82/udp")
        until(lambda: all(reached(1)))
        assert [str(port) for port in end.ports] == [
            "[fd00:2::2]:80/tcp", "10.2.0.2:80/tcp",
            "[fd00:2::2]:82/tcp", "10.2.0.2:82/tcp",
            "[fd00:2::2]:82/udp", "10.2.0.2:82/udp",
        ]  # fmt: skip
        with pytest.raises(pycnm.PortInUseError, match="is open already"):
            end.publish("7777:82")
        with pytest.raises(pycnm.InUseError, match="unpublish it, then change the mode"):
            net.configure(options={MODE4: "nat"})
        kept = outside.connect("10.2.0.2", 82)
        end.unpublish("82/tcp")
        assert reached(0.2) == [False, False]
        # What was connected is cut off as well.
        with kept:
            kept.settimeout(0.5)
            kept.sendall(b"x\n")
            with pytest.raises(TimeoutError):
                kept.recv(100)
    assert cnm.check() == []
    end.leave()
    end.join("c1")
    assert len(end.ports) == 4
    assert cnm.check() == []


def test_a_mode_changes_live(cnm, outside):
    net = cnm.create_network("n", subnet="10.2.0.0/24")
    outside.route(f"10.2.0.0/24 via {HOST4}")
    net.connect(cnm.create_sandbox("c1"))
    box = inside(cnm.sandbox("c1"))
    with box.serve("80", label="c1"), outside.serve("80", label="outside"):
        assert outside.ask("10.2.0.2", 80, patience=0.2) is None
        assert box.ask(FAR4, 80).peer == HOST4
        net.configure(options={MODE4: "nat-unprotected"})
        assert outside.ask("10.2.0.2", 80).server == "c1"
        net.configure(options={MODE4: "routed"})
        assert outside.ask("10.2.0.2", 80, patience=0.2) is None
        assert box.ask(FAR4, 80).peer == "10.2.0.2"
        net.configure(options={MODE4: None})
        assert box.ask(FAR4, 80).peer == HOST4
    assert cnm.check() == []
