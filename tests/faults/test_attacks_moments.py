"""Attacks that go on while networks, endpoints and ports come and go: no moment is open."""

from __future__ import annotations

import contextlib
import socket
import threading

import frames
import pytest
from ground import datagram
from topology import PATIENCE, until

ROUNDS = 8
MTU = "com.docker.network.driver.mtu"
GATEWAY4, VICTIM4, FAR4, HOST4 = "10.2.0.1", "10.2.0.2", "192.0.2.66", "192.0.2.1"


class Fire:
    """Sends one frame again and again from an interface, whenever that is there and up."""

    def __init__(self, place, frame, interface="eth0"):
        self.sent = 0
        self._frame, self._interface = frame, interface
        self._mouth = place.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._shoot, name="test-fire", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._mouth.close()

    def _shoot(self):
        while not self._over.wait(0.0005):
            with contextlib.suppress(OSError):
                self._mouth.sendto(self._frame, (self._interface, 0))
                self.sent += 1


class Ear:
    """Hears what comes to any interface of a place, those included that aren't there yet."""

    def __init__(self, place):
        kind = socket.htons(frames.ETH_P_ALL)
        self._opened = place.do(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind))
        self._opened.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._opened.close()

    def hears(self, marker):
        """Whether a frame with these bytes has come, from outside."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (_, _, kind, *_) = self._opened.recvfrom(1 << 16)
                if kind != socket.PACKET_OUTGOING and marker in data:
                    return True
        return False


@pytest.fixture
def adopt(machine):
    """Makes a sandbox of a namespace that was there before; it and the place."""

    def make(cnm, name):
        return machine(name), cnm.create_sandbox(name, netns=name)

    return make


def test_a_port_is_never_without_its_guard(adopt, cnm, host, tally):
    """Forged frames are sent as soon as there is an interface, and until it is gone."""
    net = cnm.create_network("n", subnet="10.2.0.0/24")
    victim, box = adopt(cnm, "victim")
    net.connect(box, ip=VICTIM4)
    rogue, rogue_box = adopt(cnm, "rogue")
    target = victim.link("eth0")["address"]
    gateway = host.link(f"br-{net.id[:12]}")["address"]
    packet = datagram(GATEWAY4, VICTIM4, 9, b"forged")
    frame = frames.frame(gateway, target, frames.IP, packet)
    with Ear(victim) as ear, Fire(rogue, frame) as fire:
        for turn in range(ROUNDS):
            endpoint = net.connect(rogue_box, publish=["9000:90"])
            endpoint.publish("9001:91")
            net.configure(options={MTU: str(1400 + turn)})
            cnm.reconcile()
            endpoint.unpublish("9000:90", "9001:91")
            endpoint.configure(ip=f"10.2.0.{10 + turn}")
            endpoint.leave()
            endpoint.join(rogue_box)
            net.disconnect(rogue_box)
        assert not ear.hears(b"forged")
        made = fire.sent
        assert made > ROUNDS
        # The control: the same fire without a guard.
        endpoint = net.connect(rogue_box)
        host.run("nft", "delete", "table", "netdev", f"cnm_{endpoint.host_interface}")
        assert until(lambda: ear.hears(b"forged"), PATIENCE)
    tally("attacks", "while an endpoint comes and goes", made=made, through=0, without_defence=1)
    cnm.reconcile()


def test_a_network_is_never_open_to_the_wire(adopt, controller, host, outside, tally):
    """A neighbour sends to an address of a network that comes and goes on a router."""
    host.forward()
    cnm = controller(host)
    victim, box = adopt(cnm, "victim")
    packet = datagram(FAR4, VICTIM4, 81, b"direct")
    frame = frames.frame(
        outside.link("eth0")["address"], host.link("eth0")["address"], frames.IP, packet
    )
    with Ear(victim) as ear, Fire(outside, frame) as fire:
        for turn in range(ROUNDS):
            net = cnm.create_network("n", subnet="10.2.0.0/24")
            net.connect(box, ip=VICTIM4, publish=["8081:81"])
            net.configure(options={MTU: str(1400 + turn)})
            cnm.reconcile()
            net.delete(force=True)
        assert not ear.hears(b"direct")
        made = fire.sent
        assert made > ROUNDS
        cnm.create_network("n", subnet="10.2.0.0/24").connect(box, ip=VICTIM4)
        host.run("nft", "flush", "chain", "inet", "cnm", "forward")
        assert until(lambda: ear.hears(b"direct"), PATIENCE)
    tally("attacks", "while a network comes and goes", made=made, through=0, without_defence=1)
    cnm.reconcile()
