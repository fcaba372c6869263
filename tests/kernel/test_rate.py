"""Endpoints that are slowed down: measured, changed while they run, and reset."""

from __future__ import annotations

import re
import shlex
import threading
import time

import pytest
from topology import inside
from traffic import PATIENCE, SLOWNESS

import pycnm

MBIT = 10**6
RATE = 24 * MBIT
DELAY = 0.2


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge", subnet="10.20.30.0/24")


@pytest.fixture
def end(cnm, net):
    return net.connect(cnm.create_sandbox("c2"), rate="24mbit")


@pytest.fixture
def box(end):
    return inside(end.sandbox)


EXACT = 1.2
"""What is measured may be more: what was sent while nobody had a processor arrives later."""


def speed(source, sink, address, *, pause=1.5, seconds=2.0):
    """Bits a second that arrive over one TCP connection, once it has gone on for a while."""
    with sink.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        listener.settimeout(5)
        with source.connect(address, listener.getsockname()[1]) as client:
            client.settimeout(5)
            server, _ = listener.accept()
            end = threading.Event()

            def send():
                data = bytes(1 << 16)
                try:
                    while not end.is_set():
                        client.send(data)
                except OSError:
                    return

            sender = threading.Thread(target=send)
            sender.start()
            try:
                with server:
                    server.settimeout(5)
                    arrived, begin = 0, time.monotonic() + pause
                    while (now := time.monotonic()) < begin + seconds:
                        size = len(server.recv(1 << 18))
                        arrived += size if now > begin else 0
            finally:
                end.set()
                client.close()
                sender.join()
    return 8 * arrived / seconds


def test_both_ways_and_both_families_at_its_rate_and_never_above(cnm, net, end, box, host):
    assert end.rate == "24mbit"
    towards, away = speed(host, box, "10.20.30.2"), speed(box, host, "10.20.30.1")
    assert RATE * 0.8 < towards < RATE * EXACT, towards
    assert RATE * 0.6 < away < RATE * EXACT, away
    # Only itself: whom it isn't about is as fast as ever.
    other = net.connect(cnm.create_sandbox("c3"))
    assert speed(host, inside(other.sandbox), str(other.ip), pause=0.2, seconds=0.5) > 10 * RATE
    assert speed(box, inside(other.sandbox), str(other.ip)) < RATE * EXACT


def test_changed_and_reset_live(cnm, end, box, host):
    before = host.link(end.host_interface)["ifindex"]
    end.configure(rate="8mbit")
    assert speed(host, box, "10.20.30.2") < 8 * MBIT * EXACT
    assert speed(box, host, "10.20.30.1") < 8 * MBIT * EXACT
    assert cnm.check() == []
    end.configure(rate=None)
    assert end.rate == ""
    assert queue(host, end) == []
    assert not [name for _, name in host.tables() if name.endswith("_rate")]
    for fast in (speed(host, box, "10.20.30.2", pause=0.2, seconds=0.5),
                 speed(box, host, "10.20.30.1", pause=0.2, seconds=0.5)):  # fmt: skip
        assert fast > 10 * RATE
    assert host.link(end.host_interface)["ifindex"] == before
    assert cnm.check() == []


def queue(host, end):
    """What tc shows of the host's end of an endpoint."""
    text = host.run("tc", "qdisc", "show", "dev", end.host_interface)
    return re.findall(r"qdisc (\w+) c\w: root", text)


def test_root_inside_can_do_nothing_about_it(end, box, host):
    """All of it is on the host's end."""
    for words in ("tc qdisc replace dev eth0 root pfifo limit 10", "tc qdisc del dev eth0 root",
                  "nft flush ruleset", "ip link set eth0 down", "ip link set eth0 up",
                  "ip link set eth0 txqueuelen 10000"):  # fmt: skip
        box.run(*words.split())
    box.run("ip", "route", "replace", "default", "via", "10.20.30.1")
    assert speed(box, host, "10.20.30.1") < RATE * EXACT
    assert speed(host, box, "10.20.30.2") < RATE * EXACT


def test_it_is_still_guarded(end, box, host):
    """What is slowed down passes by no guard."""
    box.batch("address add 10.20.30.77/24 dev eth0")
    assert box.ping("10.20.30.1")
    with host.serve("80/udp"):
        assert box.ask("10.20.30.1", 80, "udp", patience=0.5)
        assert not box.ask("10.20.30.1", 80, "udp", source=("10.20.30.77", 0), patience=0.5)


def test_what_somebody_takes_away_is_missed_and_put_back(cnm, end, host):
    host.run("tc", "qdisc", "del", "dev", end.host_interface, "root")
    host.run("nft", "delete", "table", "netdev", f"cnm_{end.host_interface}_rate")
    missed = cnm.check()
    assert [end.host_interface in sentence for sentence in missed] == [True, True], missed
    cnm.reconcile()
    assert cnm.check() == []
    assert queue(host, end) == ["tbf"]


def test_what_is_explained_is_what_a_person_would_type(end, host):
    commands = [line for line in str(end.explain()).splitlines() if line.startswith("tc ")]
    (command,) = commands
    assert command == (
        f"tc qdisc replace dev {end.host_interface} root handle c1: tbf "
        "rate 24mbit burst 95536b limit 245536b"
    )
    before = host.run("tc", "qdisc", "show", "dev", end.host_interface)
    host.run(*command.split())
    assert host.run("tc", "qdisc", "show", "dev", end.host_interface) == before


def test_nothing_stays_of_it(cnm, net, end, host):
    net.disconnect("c2")
    assert not [name for _, name in host.tables() if "veth" in name]


@pytest.mark.lacks("netem")
def test_what_this_kernel_lacks_is_named_and_nothing_changes(cnm, net, end, host):
    with pytest.raises(pycnm.NotSupportedError, match="modprobe sch_netem"):
        end.configure(rate="24mbit delay 20ms loss 1%")
    assert end.rate == "24mbit"
    assert queue(host, end) == ["tbf"]
    assert cnm.check() == []
    with pytest.raises(pycnm.NotSupportedError, match="sch_netem"):
        net.connect(cnm.create_sandbox("c3"), rate="delay 20ms")
    assert [each.name for each in net.endpoints] == ["c2"]
    assert cnm.check() == []


def echoes(place, address, count, interval=0.01):
    """The share of echo requests that stay unanswered, and the shortest round trip in seconds."""
    argv = ["ping", "-n", "-q", f"-c{count}", f"-i{interval}", f"-W{PATIENCE}", address]
    # It fails if nothing comes back.
    shown = place.run("sh", "-c", f"{shlex.join(argv)} || true")
    lost = float(re.search(r"([\d.]+)% packet loss", shown)[1]) / 100
    shortest = re.search(r"min/avg/max/mdev = ([\d.]+)", shown)
    return lost, float(shortest[1]) / 1000 if shortest else None


@pytest.mark.needs("netem")
def test_what_comes_is_late(cnm, end, box, host):
    """By the delay once, whoever began: it is what comes to the sandbox that waits."""
    (lost, before), (_, before_away) = (
        echoes(host, "10.20.30.2", 5),
        echoes(box, "10.20.30.1", 5),
    )
    end.configure(rate="24mbit delay 200ms")
    assert (lost, queue(host, end), cnm.check()) == (0, ["netem"], [])
    for place, address, usual in ((host, "10.20.30.2", before), (box, "10.20.30.1", before_away)):
        lost, after = echoes(place, address, 5)
        assert lost == 0
        assert DELAY <= after < usual + DELAY + 0.05 * SLOWNESS, (usual, after)
    end.configure(rate="24mbit")
    assert (queue(host, end), cnm.check()) == (["tbf"], [])
    assert echoes(host, "10.20.30.2", 5)[1] < DELAY


@pytest.mark.needs("netem")
def test_a_share_of_what_comes_is_lost(cnm, net, end, host):
    end.configure(rate="loss 30%")
    # Of 300 that are lost by chance 90 are, give or take 8.
    assert 0.18 < echoes(host, "10.20.30.2", 300)[0] < 0.42
    other = net.connect(cnm.create_sandbox("c3"), rate="loss 100%")
    assert echoes(host, str(other.ip), 5) == (1, None)
    assert cnm.check() == []
    other.configure(rate=None)
    end.configure(rate=None)
    for each in (end, other):
        assert echoes(host, str(each.ip), 50)[0] == 0
    assert cnm.check() == []


@pytest.mark.needs("netem")
def test_what_is_late_or_lost_is_explained_as_a_person_would_type_it(end, host):
    for rate in ("24mbit delay 200ms", "loss 30%", "1gbit delay 20ms loss 1%"):
        end.configure(rate=rate)
        before = host.run("tc", "qdisc", "show", "dev", end.host_interface)
        (command,) = [line for line in str(end.explain()).splitlines() if line.startswith("tc ")]
        host.run(*command.split())
        assert host.run("tc", "qdisc", "show", "dev", end.host_interface) == before


def test_what_can_have_no_rate(cnm, end):
    host = cnm.create_sandbox("machine", netns="host")
    with pytest.raises(pycnm.NotSupportedError, match="networks of driver host slow nothing down"):
        cnm.network("host").connect(host, rate="1mbit")
    with pytest.raises(pycnm.InvalidArgumentError, match="invalid rate fast"):
        end.configure(rate="fast")
