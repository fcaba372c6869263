"""What somebody takes of a macvlan network is put back, when asked, and by the agent unasked."""

from __future__ import annotations

import pytest
from lan import LAN, ROUTER
from test_watch import Watcher
from topology import inside, until

from pycnm import Macvlan

# What somebody does, and the words of check() about it.
HARMS = {
    "interface deleted": ("ip -n c1 link del eth0", "the interface eth0 in /run/netns/c1 is gone"),
    "interface down": ("ip -n c1 link set eth0 down", "eth0 in /run/netns/c1 is down"),
    "address deleted": ("ip -n c1 addr flush dev eth0", "doesn't have the address 192.168.0.3/24"),
    "default route deleted": ("ip -n c1 route del default", "the route to 0.0.0.0/0"),
    "another MAC": (
        "ip -n c1 link set eth0 address 02:00:00:00:00:99",
        "eth0 in /run/netns/c1 has MAC 02:00:00:00:00:99",
    ),
    "another mode": ("ip -n c1 link set eth0 type macvlan mode private", "has mode 1, not bridge"),
    "the host's interface deleted": ("ip link del {shim}", "the interface {shim} is gone"),
    "the host's route deleted": ("ip route del 192.168.0.3", "the route to 192.168.0.3/32 dev"),
    "namespace unpinned": ("umount /run/netns/c1", "no namespace is pinned at /run/netns/c1"),
    "what stands for a parent deleted": ("ip link del {dm}", "the interface {dm} is gone"),
}


class Life:
    """c1 on the wire and on an internal network, a process in it; the host has access."""

    def __init__(self, cnm, host, router):
        self.cnm, self.host, self.router = cnm, host, router
        self.net = cnm.create_network("lan", Macvlan(parent="eth0", host_access=True), **LAN)
        self.apart = cnm.create_network("apart", "macvlan", subnet="10.77.0.0/24")
        self.c1, self.c2 = (cnm.create_sandbox(name) for name in ("c1", "c2"))
        self.net.connect(self.c1)
        self.apart.connect(self.c1)
        self.end = self.apart.connect(self.c2)
        self.words = {"shim": f"mh-{self.net.id[:12]}", "dm": self.apart.interface}

    def harm(self, script):
        self.host.run("sh", "-euc", script.format(**self.words))

    def works(self):
        c1 = inside(self.c1)
        return (
            self.cnm.check() == []
            and c1.ping(ROUTER)
            and c1.ping(self.end.ip)
            and self.host.ping("192.168.0.3")
            and self.router.ping("192.168.0.3")
        )


@pytest.fixture
def life(lan, host, router):
    found = Life(lan, host, router)
    with found.c1.popen(["sleep", "300"]) as stays:
        assert found.works()
        yield found
        stays.kill()


@pytest.mark.parametrize(("script", "words"), HARMS.values(), ids=HARMS)
def test_put_back_when_asked(life, script, words):
    life.harm(script)
    assert any(words.format(**life.words) in each for each in life.cnm.check())
    life.cnm.reconcile()
    assert until(life.works)


def test_put_back_unasked(life, host, tmp_path):
    watcher = Watcher(host, tmp_path / "state")
    try:
        assert watcher.serves()
        for name, (script, _) in HARMS.items():
            life.harm(script)
            assert until(life.works, 15), (name, life.cnm.check(), watcher.said)
    finally:
        watcher.end()


def test_unasked_what_was_made_while_it_watched(lan, host, router, tmp_path):
    """Nothing leads from the host to where a macvlan is born; it is heard of all the same."""
    watcher = Watcher(host, tmp_path / "state")
    try:
        assert watcher.serves()
        net = lan.create_network("lan", "macvlan", parent="eth0", **LAN)
        box = lan.create_sandbox("c1")
        net.connect(box)
        inside(box).batch("link del eth0")
        assert until(lambda: lan.check() == [] and inside(box).ping(ROUTER), 15), watcher.said
    finally:
        watcher.end()
