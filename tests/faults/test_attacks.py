"""Attacks from the wire and from sandboxes, really made.

Each is made twice: where pycnm defends, and where everything was taken away
that it adds to the kernel's own judgement.  There it succeeds, so that the test
can fail; what the kernel stops even then is in a table of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import attrs
import frames
import pytest
from ground import (
    FAR4,
    FAR6,
    HOST4,
    HOST6,
    OPEN,
    SECRET,
    Ground,
    datagram,
    echo,
    four,
    fragments,
    segment,
    six,
)
from hosts import controllers, machines
from surroundings import as_they_were
from topology import PATIENCE

LOOP4, LOOP6 = "127.0.0.1", "::1"
STRANGER4, STRANGER6 = "198.51.100.7", "2001:db8:9::7"
ALL_NODES_MAC = "33:33:00:00:00:01"
# A loose source route (RFC 791) that goes on to n1.
BY_N1 = bytes([131, 7, 4, 10, 2, 0, 2, 1])
MANY = ("10.2.0.255", "10.2.0.0", "224.0.0.5", "239.1.2.3", "255.255.255.255", "ff02::1", "ff05::1")


@attrs.frozen
class Attack:
    """Who attacks whom with what.

    Attributes:
        made: the packets, of a marker.
        how: where and as what they are sent, as `Ground.send` takes it.
    """

    who: str
    whom: str
    made: Any
    how: dict[str, Any] = attrs.field(factory=dict)

    def works(self, ground, *patience):
        """Whether it works on that ground."""
        marker = ground.marker()
        ground.send(self.who, *self.made(marker), **self.how)
        return ground.arrives(self.who, self.whom, marker, *patience)


def packet(make, *arguments, **how):
    return lambda marker: [make(*arguments, marker, **how)]


def approaches(who, whom, *ports, **how):
    """Whatever somebody may send to somebody else's address."""
    found = {}
    for version, address in ((4, four), (6, six)):
        ends = address(who), address(whom)
        for port in ports:
            found[f"udp{version} {port}"] = packet(datagram, *ends, port)
            found[f"tcp{version} {port}"] = packet(segment, *ends, port)
        found[f"ping{version}"] = packet(echo, *ends)
        found[f"fragments{version}"] = partial(fragments, *ends, ports[0])
    for number in (frames.HOP_OPTIONS, frames.DESTINATION_OPTIONS):
        options = [(number, frames.NO_OPTIONS)]
        found[f"udp6 behind options {number}"] = packet(
            datagram, six(who), six(whom), ports[0], headers=options
        )
    prefix = f"{who} to {whom}{' directly' * bool(how)}: "
    return {prefix + name: Attack(who, whom, made, how) for name, made in found.items()}


def forged(who, whom, target, port, *sources, make=datagram):
    """Something that bears somebody else's address."""
    return {
        f"{who} as {source} to {target} {port}": Attack(
            who, whom, packet(make, source, target, port)
        )
        for source in sources
    }


def to_group(who, whom, *targets):
    """To addresses that stand for many."""
    return {
        f"{who} to {target}": Attack(
            who, whom, packet(datagram, (six if ":" in target else four)(who), target, 53)
        )
        for target in targets
    }


def asked(marker):
    """An honest question of q1 by ARP, with something behind it."""
    own, nobody = "02:42:0a:03:00:02", "00:00:00:00:00:00"
    return [frames.arp(four("q1"), own, four("q2"), nobody, operation=1) + marker]


ATTACKS = {
    "from the wire into a network": {
        **approaches("outside", "n1", 81, 80, 53),
        **approaches("outside", "i1", 81),
    },
    "from one network into another": {
        **approaches("m1", "n1", 81, 80, 53),
        **approaches("m1", "i1", 81),
    },
    "between endpoints without ICC": {
        **approaches("q1", "q2", 81),
        **approaches("q1", "q2", 81, to="q2"),
        "arp": Attack("q1", "q2", asked, {"kind": frames.ARP, "to": frames.BROADCAST}),
        "broadcast": Attack(
            "q1", "q2", packet(datagram, four("q1"), "10.3.0.255", 9), {"to": frames.BROADCAST}
        ),
        "multicast": Attack(
            "q1", "q2", packet(datagram, six("q1"), frames.ALL_NODES, 9), {"to": ALL_NODES_MAC}
        ),
    },
    "out of an internal network": {
        **approaches("i1", "n1", 81),
        **approaches("i1", "outside", 81),
        **forged("i1", "n1", HOST4, 8053, four("i1")),
        **forged("i1", "n1", HOST6, 8053, six("i1")),
        **forged("i1", "n1", four("i0"), 8080, four("i1"), make=segment),
        **forged("i1", "outside", FAR4, 80, four("m1")),
    },
    "to the loopback, and to what is published on it": {
        **forged("outside", "host", LOOP4, SECRET, FAR4),
        **forged("outside", "n1", LOOP4, 8081, FAR4),
        **forged("n2", "host", LOOP4, SECRET, four("n2")),
        **forged("n2", "n1", LOOP4, 8081, four("n2")),
    },
    "under a false address from the wire": {
        **forged("outside", "n1", HOST4, 8053, four("n2"), four("m1"), four("i1"), four("f1")),
        **forged("outside", "n1", HOST6, 8053, six("n2"), six("m1"), HOST6, six("n0")),
        **forged("outside", "n1", HOST4, 8080, four("n2"), make=segment),
        **forged("outside", "host", HOST4, OPEN, four("n2"), four("i1")),
        **forged("outside", "host", four("n0"), OPEN, four("n2")),
        **forged("outside", "host", HOST6, OPEN, six("n2"), HOST6, six("n0")),
    },
    "under a false address from a sandbox": {
        **forged("m1", "outside", FAR4, 80, four("m2"), four("n2"), "192.0.2.77", STRANGER4),
        **forged("m1", "outside", FAR6, 80, six("m2"), six("n2"), HOST6, STRANGER6),
        **forged("m1", "n1", HOST4, 8053, four("m2"), four("n2"), STRANGER4),
        **forged("n2", "n1", HOST4, 8053, four("n1"), STRANGER4),
    },
    "by a protocol that the network hasn't": {
        "ip6": Attack("f1", "f2", packet(datagram, "fe80::1", "fe80::2", 9), {"to": "f2"}),
        "multicast": Attack(
            "f1", "f2", packet(datagram, "fe80::1", frames.ALL_NODES, 9), {"to": ALL_NODES_MAC}
        ),
        "experiment": Attack("n2", "n1", lambda marker: [marker], {"to": "n1", "kind": 0x88B5}),
    },
}
STOPPED_BY_THE_KERNEL = {
    "under an address of the host": {
        **forged("outside", "host", HOST4, OPEN, LOOP4, HOST4, four("n0")),
        **forged("outside", "host", HOST6, OPEN, LOOP6),
        **forged("outside", "n1", HOST4, 8053, LOOP4, HOST4, four("n0")),
        **forged("n2", "host", four("n0"), OPEN, LOOP4, HOST4),
        **forged("n2", "n1", HOST4, 8053, LOOP4),
        **forged("m1", "outside", FAR4, 80, LOOP4, HOST4, four("m0")),
    },
    "to the IPv6 loopback": {
        **forged("outside", "host", LOOP6, SECRET, FAR6),
        **forged("n2", "host", LOOP6, SECRET, six("n2")),
    },
    "to many in another network": {
        **to_group("outside", "n1", *MANY),
        **to_group("m1", "n1", *MANY),
    },
    "by a source route": {
        "m1": Attack("m1", "n1", packet(datagram, four("m1"), four("m0"), 81, options=BY_N1)),
        "outside": Attack("outside", "n1", packet(datagram, FAR4, HOST4, 81, options=BY_N1)),
    },
    "out of a network that hasn't IPv6": {
        "f1": Attack("f1", "outside", packet(datagram, "fd00:5::2", FAR6, 9))
    },
}


@pytest.fixture(scope="module")
def grounds(own_machine, tmp_path_factory):
    """One that is defended, and one that isn't."""
    with ExitStack() as stack:
        made = []
        for defended in (True, False):
            directory = tmp_path_factory.mktemp("attacks")
            stack.enter_context(as_they_were(directory))
            machine = stack.enter_context(machines())
            controller = stack.enter_context(controllers(directory))
            suffix = "" if defended else "-bare"

            def named(name, machine=machine, suffix=suffix):
                return machine(name + suffix)

            made.append(Ground(named, controller, defended=defended))
            stack.callback(made[-1].close)
        yield made


@pytest.mark.parametrize("group", ATTACKS)
def test_attacks_fail_and_work_without_defence(grounds, tally, group):
    defended, bare = grounds
    found = {
        name: (attack.works(defended), attack.works(bare, PATIENCE))
        for name, attack in ATTACKS[group].items()
    }
    through, working = (sum(each) for each in zip(*found.values(), strict=True))
    tally("attacks", group, made=len(found), through=through, without_defence=working)
    assert found == dict.fromkeys(found, (False, True))


@pytest.mark.parametrize("group", STOPPED_BY_THE_KERNEL)
def test_attacks_fail_because_the_kernel_stops_them(grounds, tally, group):
    attacks = STOPPED_BY_THE_KERNEL[group]
    found = {name: tuple(map(attack.works, grounds)) for name, attack in attacks.items()}
    through, working = (sum(each) for each in zip(*found.values(), strict=True))
    tally("attacks", group, made=len(found), through=through, without_defence=working)
    assert found == dict.fromkeys(found, (False, False))
