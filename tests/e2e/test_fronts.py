"""S13 and S14 through every front: Python, the command, and the tree by either binding."""

from __future__ import annotations

import pytest
from lives import BINDINGS, Life
from netaddr import IPNetwork
from shell import Shell
from topology import IMPATIENCE, Place, until

import pycnm

OUTSIDE = {4: "192.0.2.66", 6: "2001:db8::66"}
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
ULA = IPNetwork("fd00::/8")


class ByPython:
    def __init__(self, life):
        self._cnm = life.controller()

    def network(self, name, *subnets, internal=False, ipv4=True, ipv6=False):
        self._cnm.create_network(
            name, subnet=list(subnets) or None, internal=internal, ipv4=ipv4, ipv6=ipv6
        )

    def subnets(self, name):
        return [str(subnet) for subnet in self._cnm.network(name).subnets]

    def sandbox(self, name):
        self._cnm.create_sandbox(name)

    def connect(self, network, sandbox, *ports):
        self._cnm.network(network).connect(sandbox, publish=list(ports))

    def default_with_ipv6(self, life):
        self._cnm.close()
        self._cnm = pycnm.Controller(life.state, host=life.host.name, ipv6=True)

    def close(self):
        self._cnm.close()


class ByCommand:
    def __init__(self, life):
        self._shell = Shell(life.state, life.host)

    def network(self, name, *subnets, internal=False, ipv4=True, ipv6=False):
        words = [f"--subnet={subnet}" for subnet in subnets]
        words += ["--internal"] * internal + ["--ipv4=false"] * (not ipv4) + ["--ipv6"] * ipv6
        self._shell("network", "create", *words, name)

    def subnets(self, name):
        return [each["Subnet"] for each in self._shell.inspect("network", name)["IPAM"]["Config"]]

    def sandbox(self, name):
        self._shell("sandbox", "create", name)

    def connect(self, network, sandbox, *ports):
        words = [f"--publish={port}" for port in ports]
        self._shell("network", "connect", *words, network, sandbox)

    def default_with_ipv6(self, life):
        del life
        self._shell("network", "ls", env={"CNM_IPV6": "1"})

    def close(self):
        """Nothing: each command ended."""


class ByTree:
    def __init__(self, life):
        self._root = life.start()

    def _write(self, path, *lines):
        (self._root / path).write_text("".join(f"{line}\n" for line in lines))

    def network(self, name, *subnets, internal=False, ipv4=True, ipv6=False):
        place = f"networks/{name}"
        (self._root / place).mkdir()
        if ipv6 or any(":" in subnet for subnet in subnets):
            self._write(f"{place}/ipv6", 1)
        if not ipv4:
            self._write(f"{place}/ipv4", 0)
        if internal:
            self._write(f"{place}/internal", 1)
        if subnets:
            self._write(f"{place}/subnet", *subnets)

    def subnets(self, name):
        return (self._root / f"networks/{name}/subnet").read_text().split()

    def sandbox(self, name):
        (self._root / f"sandboxes/{name}").mkdir()

    def connect(self, network, sandbox, *ports):
        place = f"sandboxes/{sandbox}/endpoints/{network}"
        (self._root / place).mkdir()
        if ports:
            self._write(f"{place}/publish", *ports)

    def default_with_ipv6(self, life):
        del life
        self._write("networks/bridge/ipv6", 1)

    def close(self):
        """Nothing: the mount ends with its life."""


FRONTS = {"Python": ByPython, "cnm": ByCommand} | dict.fromkeys(BINDINGS, ByTree)


@pytest.fixture(params=FRONTS)
def front(request, fuse, tmp_path, host, outside):
    """One of the ways to say what is wanted; the host is as it was afterwards."""
    before = host.picture()
    binding = request.param if request.param in BINDINGS else BINDINGS[0]
    life = Life(tmp_path, binding, host)
    made = FRONTS[request.param](life)
    made.life = life
    try:
        yield made
        with life.controller() as cnm:
            # An agent may be taking over from another.
            assert until(lambda: not cnm.check()), cnm.check()
    finally:
        made.close()
        life.close()
    assert host.picture() == before


def box(front, network, name, *ports):
    front.sandbox(name)
    front.connect(network, name, *ports)
    return Place(f"/run/netns/{name}", name)


def ways_out(place, version):
    return [route["gateway"] for route in place.routes(version) if route["dst"] == "default"]


def own(place, version, subnet):
    """The address of a place in a subnet."""
    (found,) = [each for each in place.addresses("eth0", version) if IPNetwork(each) in subnet]
    return str(IPNetwork(found).ip)


def is_outside(place, outside, version):
    """Whether a place gets outside, as the host."""
    with outside.serve("80"):
        answer = place.ask(OUTSIDE[version], 80, patience=IMPATIENCE)
    return answer is not None and answer.peer == HOST[version]


class TestS13:
    def test_both_families(self, front, outside):
        front.network("dual", "10.20.30.0/24", "fd00:1::/64")
        c2, c3 = box(front, "dual", "c2"), box(front, "dual", "c3", "8080:80")
        assert (ways_out(c2, 4), ways_out(c2, 6)) == (["10.20.30.1"], ["fd00:1::1"])
        for version, subnet in ((4, "10.20.30.0/24"), (6, "fd00:1::/64")):
            assert c2.ping(own(c3, version, IPNetwork(subnet)))
            assert is_outside(c2, outside, version)
            with c3.serve("80"):
                assert outside.ask(HOST[version], 8080).server == "c3"

    def test_ipv6_alone(self, front, outside):
        front.network("six", "fd00:2::/64", ipv4=False, ipv6=True)
        c2, c3 = box(front, "six", "c2"), box(front, "six", "c3", "8080:80")
        assert c2.addresses("eth0") == []
        assert (ways_out(c2, 4), ways_out(c2, 6)) == ([], ["fd00:2::1"])
        assert c2.ping("fd00:2::3")
        assert is_outside(c2, outside, 6)
        with c3.serve("80"):
            assert outside.ask(HOST[6], 8080).server == "c3"

    def test_automatic_subnets(self, front, outside):
        front.network("one", ipv6=True)
        front.network("two", ipv6=True)
        found = [[IPNetwork(text) for text in front.subnets(name)] for name in ("one", "two")]
        for four, six in found:
            assert (four.version, six.prefixlen) == (4, 64)
            assert six in ULA
        assert found[0] != found[1]
        c2 = box(front, "one", "c2")
        assert c2.ping(str(found[0][1].network + 1))
        assert is_outside(c2, outside, 6)

    def test_the_default_network(self, front, outside):
        front.default_with_ipv6(front.life)
        (subnet,) = [each for each in map(IPNetwork, front.subnets("bridge")) if each.version == 6]
        assert subnet in ULA
        c2, c3 = box(front, "bridge", "c2"), box(front, "bridge", "c3", "8080:80")
        assert c2.ping(own(c3, 6, subnet))
        assert is_outside(c2, outside, 6)
        with c3.serve("80"):
            assert outside.ask(HOST[6], 8080).server == "c3"


def test_s14(front, host, outside):
    """No way out, no way in, no name of outside; but each other."""
    front.network("inner", "10.20.30.0/24", "fd00:1::/64", internal=True)
    c2, _ = box(front, "inner", "c2"), box(front, "inner", "c3")
    for version, theirs in ((4, "10.20.30.3"), (6, "fd00:1::3")):
        assert ways_out(c2, version) == []
        assert c2.ping(theirs)
        assert not is_outside(c2, outside, version)
        outside.route(f"{theirs} via {HOST[version]}")
        assert not outside.ping(theirs, IMPATIENCE)
    # Not even for who gives himself a way out.
    c2.route("default via 10.20.30.1", "default via fd00:1::1")
    for version in (4, 6):
        assert not is_outside(c2, outside, version)
    run = ("ip", "netns", "exec", "c2")
    assert "10.20.30.3" in host.run(*run, "dig", "+short", "c3")
    assert "status: NXDOMAIN" in host.run(*run, "dig", "+tries=1", "+time=5", "example.org")
