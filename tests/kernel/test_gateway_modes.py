"""What may reach what under each gateway mode, and with what else opens or closes a network.

Besides this table: `nat`, ICC off, internal networks, published ports and the host's
loopback are in test_isolation; host_ipv4 and host_ipv6 in test_s07_egress, with
masquerading on and off.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from hosts import controllers, machines
from reach import Probe, agrees, answers_of, ask, each_of, ping
from surroundings import as_they_were
from topology import inside

from pycnm import Bridge

HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
FAR4, FAR6 = "192.0.2.66", "2001:db8::66"
OTHER4 = "203.0.113.66"


def at(number, host):
    """An address of each family on a network."""
    return f"10.{number}.0.{host}", f"fd00:{number}::{host}"


ROUTED = Bridge(gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")

# Each has a server that listens on 80, 81 and 53/udp; where it publishes, that is 80 and
# 53/udp.  m is an ordinary network, i an internal one.  The neighbours on eth0 and eth1
# route every subnet to the host.
NETS = {
    "m": (1, Bridge(), {}),
    "routed": (2, ROUTED, {}),
    "open": (3, Bridge(gateway_mode_ipv4="nat-unprotected", gateway_mode_ipv6="nat-unprotected"),
             {}),
    "alone": (4, Bridge(gateway_mode_ipv4="isolated", gateway_mode_ipv6="isolated"),
              {"internal": True}),
    "trusting": (5, Bridge(trusted=("eth0",)), {}),
    "mixed": (6, Bridge(gateway_mode_ipv6="routed"), {}),
    "bare": (7, Bridge(inhibit_ipv4=True), {}),
    "inner": (8, Bridge(), {"internal": True}),
}  # fmt: skip
BOXES = {
    "m1": ("m", []),
    "r1": ("routed", ["8080:80", "53/udp"]),
    "r2": ("routed", []),
    "u1": ("open", ["8083:80"]),
    "a1": ("alone", []),
    "a2": ("alone", []),
    "t1": ("trusting", []),
    "x1": ("mixed", ["8086:80"]),
    "b1": ("bare", ["8087:80"]),
    "b2": ("bare", []),
    "i1": ("inner", []),
}


def both(source, number, *ports, host=2):
    """The same of either family."""
    return [probe for address in at(number, host) for probe in ask(source, address, *ports)]


REACHED = {
    "routed, published, from outside": ("r1", both("outside", 2, 80, "53/udp")),
    "routed, published, from another network": ("r1", both("m1", 2, 80, "53/udp")),
    "routed, by an echo request": (
        "r1", [*ping("outside", *at(2, 2)), *ping("m1", *at(2, 2))],
    ),
    "routed, from within and from the host": (
        "r1", [*both("r2", 2, 80, 81), *both("host", 2, 80, 81)],
    ),
    "routed, the way out": ("outside", [*ask("r1", FAR4, 80), *ask("r1", FAR6, 80)]),
    "unprotected, any port, from anywhere": (
        "u1",
        [*both("outside", 3, 80, 81, "53/udp"), *both("m1", 3, 80, 81), *ping("m1", *at(3, 2))],
    ),
    "unprotected, by the host's address": (
        "u1", [*ask("outside", HOST4, 8083), *ask("outside", HOST6, 8083)],
    ),
    "unprotected, the way out": ("outside", [*ask("u1", FAR4, 80), *ask("u1", FAR6, 80)]),
    "isolated, within": ("a1", [*both("a2", 4, 80, 81), *ping("a2", *at(4, 2))]),
    "trusted, any port": ("t1", [*both("outside", 5, 80, 81), *ping("outside", *at(5, 2))]),
    "each family has its own mode": (
        "x1", [*ask("outside", HOST4, 8086), *ask("outside", at(6, 2)[1], 80)],
    ),
    "no address on the bridge": (
        "b1",
        [*both("b2", 7, 80, 81), *ask("outside", HOST6, 8087), *ask("host", at(7, 2)[1], 80)],
    ),
}  # fmt: skip
REFUSED = {
    "routed, not published": [
        *both("outside", 2, 81), *both("m1", 2, 81), *both("outside", 2, 80, host=3),
    ],
    "routed, no port of the host": [*ask("outside", HOST4, 8080), *ask("outside", HOST6, 8080)],
    "routed, from an internal network": both("i1", 2, 80),
    "unprotected, from an internal network": both("i1", 3, 80),
    "isolated, from the host": [*both("host", 4, 80), *ping("host", *at(4, 2))],
    "isolated, to the host": [
        *ask("a1", HOST4, 7777), *ask("a1", HOST6, 7777), *both("a1", 4, 7777, host=1),
    ],
    "isolated, from anywhere": [*both("outside", 4, 80), *both("m1", 4, 80)],
    "not trusted": [*both("m1", 5, 80), *both("far", 5, 80), *ping("far", at(5, 2)[0])],
    "of the family that isn't routed": [
        *ask("outside", at(6, 2)[0], 80), *ask("outside", HOST6, 8086),
        *ask("outside", at(6, 2)[1], 81), *ping("m1", at(6, 2)[0]),
    ],
    "no address on the bridge, from the host": ask("host", at(7, 2)[0], 80),
    "no address on the bridge, to the outside": ask("b1", FAR4, 80),
}  # fmt: skip
RULES = [(rule, probe, server) for rule, (server, probes) in REACHED.items() for probe in probes]
RULES += [(rule, probe, None) for rule, probes in REFUSED.items() for probe in probes]


@pytest.fixture(scope="module")
def world(own_machine, tmp_path_factory):
    """The places of the table by their names, and what is told of networks and sandboxes."""
    directory = tmp_path_factory.mktemp("modes")
    with (
        as_they_were(directory),
        machines() as machine,
        controllers(directory) as controller,
    ):
        host, outside, far = machine("h1"), machine("outside"), machine("far")
        host.wire(outside, [f"{HOST4}/24", f"{HOST6}/64"], [f"{FAR4}/24", f"{FAR6}/64"])
        host.wire(
            far,
            ["203.0.113.1/24", "2001:db8:1::1/64"],
            [f"{OTHER4}/24", "2001:db8:1::66/64"],
            interface="eth1",
        )
        for place, near in ((outside, (HOST4, HOST6)), (far, ("203.0.113.1", "2001:db8:1::1"))):
            for number, _, _ in NETS.values():
                place.route(
                    f"10.{number}.0.0/24 via {near[0]}", f"fd00:{number}::/64 via {near[1]}"
                )
        cnm = controller(host)
        for name, (number, driver, more) in NETS.items():
            subnets = [f"10.{number}.0.0/24", f"fd00:{number}::/64"]
            cnm.create_network(name, driver, subnet=subnets, **more)
        places = {"host": host, "outside": outside, "far": far}
        for name, (net, ports) in BOXES.items():
            box = cnm.create_sandbox(name)
            # The bridge of `alone` has no address, so no endpoint has the second one by itself.
            number, member = NETS[net][0], int(name[1]) + 1
            four, six = at(number, member)
            cnm.network(net).connect(box, ip=four, ip6=six, publish=ports)
            places[name] = inside(box)
        # These have no default route; whoever has the right makes one.
        places["i1"].route("default via 10.8.0.1", "default via fd00:8::1")
        places["a1"].route("default dev eth0")
        told = {net.name: net.inspect() for net in cnm.networks()}
        told |= {box.name: box.inspect() for box in cnm.sandboxes()}
        yield places, told


@pytest.fixture(scope="module")
def answers(world):
    """What came of every probe."""
    places, _ = world
    with ExitStack() as stack:
        for name, place in places.items():
            ports = ["7777"] if name == "host" else ["80", "81", "53/udp"]
            stack.enter_context(place.serve(*ports, label=name))
        yield answers_of(places, [(probe, server) for _, probe, server in RULES])


@each_of(RULES)
def test_who_is_reached(answers, probe, server):
    assert agrees(answers[probe], probe, server), answers[probe]


@pytest.mark.parametrize(
    ("probe", "peer"),
    [
        (Probe("r1", FAR4, 80), "10.2.0.2"),
        (Probe("r1", FAR6, 80), "fd00:2::2"),
        (Probe("outside", "10.2.0.2", 80), FAR4),
        (Probe("u1", FAR4, 80), HOST4),
        (Probe("u1", FAR6, 80), HOST6),
        (Probe("outside", "10.3.0.2", 81), FAR4),
        (Probe("outside", "fd00:5::2", 80), FAR6),
    ],
    ids=str,
)
def test_whom_the_server_sees(answers, probe, peer):
    """What leaves a routed network has its own address."""
    assert answers[probe].peer == peer


def test_what_is_published_is_told_as_docker_tells_it(world):
    _, told = world
    found = {name: told[name]["Networks"][BOXES[name][0]]["Ports"] for name in ("r1", "x1")}
    opened = [{"HostIp": "::", "HostPort": ""}, {"HostIp": "0.0.0.0", "HostPort": ""}]
    assert found == {
        "r1": {"80/tcp": opened, "53/udp": opened},
        "x1": {"80/tcp": [opened[0], {"HostIp": "0.0.0.0", "HostPort": "8086"}]},
    }


def test_the_host_is_not_on_an_isolated_network(world):
    """It has no address there, answers for none, and takes nothing that is sent to it."""
    places, told = world
    host, box = places["host"], places["a1"]
    bridge = f"br-{told['alone']['Id'][:12]}"
    assert (host.addresses(bridge), host.addresses(bridge, 6)) == ([], [])
    with host.socket(kind=socket.SOCK_DGRAM) as listener, box.socket(kind=socket.SOCK_DGRAM) as it:
        listener.bind((HOST4, 7778))
        listener.settimeout(0.5)
        it.sendto(b"by name", (HOST4, 7778))
        with pytest.raises(TimeoutError):
            listener.recv(100)
        assert ["lladdr" in each for each in box.ip("neigh", "show", "to", HOST4)] in ([], [False])
        mac = host.link(bridge)["address"]
        box.run("ip", "neigh", "replace", HOST4, "lladdr", mac, "dev", "eth0")
        it.sendto(b"by force", (HOST4, 7778))
        with pytest.raises(TimeoutError):
            listener.recv(100)
