"""What may reach what: the table of Docker's isolation model, over real packets.

All probes are sent at once, from and to one world; each row of the table is
then a test of its own.  The gateway modes and what else opens or closes a network
have a world of their own, in test_gateway_modes.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from hosts import controllers, machines
from reach import Probe, agrees, answers_of, ask, each_of, ping
from surroundings import as_they_were
from topology import inside

from pycnm import Bridge

HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
FAR4, FAR6 = "192.0.2.66", "2001:db8::66"
LOOP = "127.0.0.1"


# n1 publishes 80 at 8080 and 53/udp at 8053 everywhere, and 80 at 8081 of the
# host's loopback; 81 is not published.  m and n are ordinary networks of both
# families, quiet has ICC off, inner is internal.  The neighbour of the host
# routes every subnet to it, and even 127.0.0.1 where it is called a trick.
REACHED = {
    "within a network": (
        "n1",
        [
            *ask("n2", "10.2.0.2", 80, 81, "53/udp"),
            *ask("n2", "fd00:2::2", 80, 81, "53/udp"),
            *ping("n2", "10.2.0.2", "fd00:2::2"),
        ],
    ),
    "within an internal network": (
        "i1",
        [*ask("i2", "10.4.0.2", 80), *ask("i2", "fd00:4::2", 80), *ping("i2", "10.4.0.2")],
    ),
    "the way out": (
        "outside",
        [
            *ask("n1", FAR4, 80, "53/udp"),
            *ask("m1", FAR6, 80, "53/udp"),
            *ask("q1", FAR4, 80),
            *ping("n1", FAR4, FAR6),
        ],
    ),
    "another network by the host's address": (
        "n1",
        [*ask("m1", HOST4, 8080, "8053/udp"), *ask("m1", HOST6, 8080, "8053/udp")],
    ),
    "another network by a gateway's address": (
        "n1",
        [*ask("m1", "10.1.0.1", 8080), *ask("m1", "10.2.0.1", 8080), *ask("m1", "fd00:1::1", 8080)],
    ),
    "its own network by the host's address": (
        "n1",
        [*ask("n2", HOST4, 8080, "8053/udp"), *ask("n2", HOST6, 8080), *ask("q1", HOST4, 8080)],
    ),
    "itself by the host's address": (
        "n1",
        [
            *ask("n1", HOST4, 8080, "8053/udp"),
            *ask("n1", HOST6, 8080),
            *ask("n1", "10.2.0.1", 8080),
        ],
    ),
    "from the host, any port": (
        "n1",
        [
            *ask("host", "10.2.0.2", 80, 81, "53/udp"),
            *ask("host", "fd00:2::2", 80, 81),
            *ping("host", "10.2.0.2", "fd00:2::2"),
        ],
    ),
    "from the host by its own addresses": (
        "n1",
        [
            *ask("host", HOST4, 8080, "8053/udp"),
            *ask("host", HOST6, 8080),
            *ask("host", LOOP, 8080, 8081, "8053/udp"),
            *ask("host", "127.0.0.7", 8080),
        ],
    ),
    "from the host into an internal network": (
        "i1",
        [*ask("host", "10.4.0.2", 80), *ask("host", "fd00:4::2", 80), *ping("host", "10.4.0.2")],
    ),
    "from an internal network to its own side of the host": (
        "host",
        [*ask("i1", "10.4.0.1", 7777), *ask("i1", "fd00:4::1", 7777)],
    ),
    "from outside by the host's address": (
        "n1",
        [*ask("outside", HOST4, 8080, "8053/udp"), *ask("outside", HOST6, 8080, "8053/udp")],
    ),
}
REFUSED = {
    "with ICC off": [
        *ask("q2", "10.3.0.2", 80, "53/udp"),
        *ask("q2", "fd00:3::2", 80),
        *ping("q2", "10.3.0.2", "fd00:3::2"),
    ],
    "another network, published or not": [
        *ask("m1", "10.2.0.2", 80, 81, "53/udp"),
        *ask("m1", "fd00:2::2", 80, 81, "53/udp"),
        *ask("n1", "10.1.0.2", 80),
        *ping("m1", "10.2.0.2", "fd00:2::2"),
        *ask("q1", "10.2.0.2", 80),
        *ask("m1", "10.3.0.2", 80),
    ],
    "directly from outside": [
        *ask("outside", "10.2.0.2", 80, 81, "53/udp"),
        *ask("outside", "fd00:2::2", 80, 81, "53/udp"),
        *ping("outside", "10.2.0.2", "fd00:2::2", "10.3.0.2"),
    ],
    "from outside, not published": [*ask("outside", HOST4, 81, 8081), *ask("outside", HOST6, 81)],
    "published on the loopback, from a sandbox": [*ask("m1", HOST4, 8081), *ask("n2", HOST4, 8081)],
    "the host's loopback, by a trick": [
        *ask("trickster", LOOP, 8080, 8081, 7777),
        *ask("m1", LOOP, 8080, 8081, 7777),
        *ask("n2", LOOP, 8080, 8081, 7777),
    ],
    "an internal network, from anywhere": [
        *ask("outside", "10.4.0.2", 80),
        *ask("outside", "fd00:4::2", 80),
        *ask("m1", "10.4.0.2", 80),
        *ask("m1", "fd00:4::2", 80),
        *ping("outside", "10.4.0.2"),
        *ping("m1", "10.4.0.2"),
    ],
    "from an internal network to anywhere": [
        *ask("i1", FAR4, 80, "53/udp"),
        *ask("i1", FAR6, 80),
        *ask("i1", "10.2.0.2", 80),
        *ask("i1", "fd00:2::2", 80),
        *ask("i1", HOST4, 8080),
        *ping("i1", FAR4, FAR6, "10.2.0.2"),
    ],
}
RULES = [(rule, probe, server) for rule, (server, probes) in REACHED.items() for probe in probes]
RULES += [(rule, probe, None) for rule, probes in REFUSED.items() for probe in probes]


BRIDGES = [
    pytest.param(1, id="filtered-bridges", marks=pytest.mark.needs("br_netfilter")),
    pytest.param(0, id="plain-bridges"),
]


@pytest.fixture(scope="module", params=BRIDGES)
def answers(own_machine, tmp_path_factory, request):
    """What came of every probe; on kernels that show bridged frames to nft, and that don't."""
    directory = tmp_path_factory.mktemp("isolation")
    with (
        as_they_were(directory),
        machines() as machine,
        controllers(directory) as controller,
        ExitStack() as stack,
    ):
        places = world(machine, controller, request.param)
        for name, place in places.items():
            # The host has a service of its own, and none that could be taken for another's.
            ports = ["7777"] if place is places["host"] else ["80", "81", "53/udp"]
            stack.enter_context(place.serve(*ports, label=name))
        yield answers_of(places, [(probe, server) for _, probe, server in RULES])


def world(machine, controller, filtered):
    """The places of the table by their names.

    Args:
        filtered: what br_netfilter is set to do, where the kernel has it.
    """
    host, outside, trickster = machine("h1"), machine("outside"), machine("trickster")
    if Path("/proc/sys/net/bridge").exists():
        host.set_sysctl(
            net__bridge__bridge_nf_call_iptables=filtered,
            net__bridge__bridge_nf_call_ip6tables=filtered,
        )
    host.wire(outside, [f"{HOST4}/24", f"{HOST6}/64"], [f"{FAR4}/24", f"{FAR6}/64"])
    host.wire(trickster, ["203.0.113.1/24"], ["203.0.113.66/24"], interface="eth1")
    outside.route(
        *(f"10.{number}.0.0/24 via {HOST4}" for number in range(1, 5)),
        *(f"fd00:{number}::/64 via {HOST6}" for number in range(1, 5)),
    )
    cnm = controller(host)
    drivers = {"m": Bridge(), "n": Bridge(), "quiet": Bridge(icc=False), "inner": Bridge()}
    nets = {
        name: cnm.create_network(
            name,
            driver,
            subnet=[f"10.{number}.0.0/24", f"fd00:{number}::/64"],
            internal=name == "inner",
        )
        for number, (name, driver) in enumerate(drivers.items(), 1)
    }
    places = {"host": host, "outside": outside, "trickster": trickster}
    for name, net in (
        ("m1", "m"), ("n1", "n"), ("n2", "n"), ("q1", "quiet"), ("q2", "quiet"), ("i1", "inner"),
        ("i2", "inner"),
    ):  # fmt: skip
        box = cnm.create_sandbox(name)
        ports = ["8080:80", "8053:53/udp", "127.0.0.1:8081:80"] if name == "n1" else []
        nets[net].connect(box, publish=ports)
        places[name] = inside(box)
    # An internal network gives no default route; whoever has the right makes one.
    places["i1"].route("default via 10.4.0.1", "default via fd00:4::1")
    trick(trickster, "203.0.113.1")
    trick(places["m1"], "10.1.0.1")
    trick(places["n2"], "10.2.0.1")
    return places


def trick(place, gateway):
    """Send what is for the loopback to the host."""
    place.set_sysctl(net__ipv4__conf__all__route_localnet=1)
    place.batch(
        "rule add pref 10 lookup local",
        "rule add pref 5 to 127.0.0.1 lookup 99",
        "rule del pref 0",
        f"route add 127.0.0.1 via {gateway} dev eth0 table 99",
    )


@each_of(RULES)
def test_who_is_reached(answers, probe, server):
    assert agrees(answers[probe], probe, server), answers[probe]


@pytest.mark.parametrize(
    ("probe", "peer"),
    [
        (Probe("outside", HOST4, 8080), FAR4),
        (Probe("outside", HOST6, 8080), FAR6),
        (Probe("outside", HOST4, 8053, "udp"), FAR4),
        (Probe("n2", "10.2.0.2", 80), "10.2.0.3"),
        (Probe("n1", FAR4, 80), HOST4),
        (Probe("m1", FAR6, 80), HOST6),
        (Probe("m1", HOST4, 8080), "10.2.0.1"),
        (Probe("host", LOOP, 8080), "10.2.0.1"),
        (Probe("n1", HOST4, 8080), "10.2.0.1"),
        (Probe("n2", HOST6, 8080), "fd00:2::1"),
    ],
    ids=str,
)
def test_whom_the_server_sees(answers, probe, peer):
    """Clients from outside keep their addresses; what leaves a network has the host's."""
    assert answers[probe].peer == peer
