"""Whatever is taken away is told in words, and put back; what was added stays, and does no harm."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from pathlib import Path

import pytest
from agent_support import occupied
from drifting import HARMLESS, HARMS, Life
from topology import inside, until

from pycnm.errors import CleanupError
from pycnm.kernel.session import LinuxSession

REMEDIES = (
    "ip link del foo",
    "ip addr del 10.9.9.9/24 dev {br}",
    "ip route del 10.77.0.0/16",
    "nft flush chain inet cnm user",
    "nft delete table ip filter",
    "nft delete table inet firewalld",
)


@pytest.fixture
def life(cnm, host, outside, tmp_path):
    return Life(cnm, host, outside, tmp_path)


def healed(life):
    """Whether everything is as recorded, and works."""
    assert life.cnm.check() == []
    assert life.works() == []
    return True


@pytest.mark.parametrize("name", HARMS)
def test_what_is_taken_away_is_put_back(life, name):
    script, words = HARMS[name]
    life.harm(script)
    told = life.cnm.check()
    pattern = words.format(**life.words)
    assert any(re.search(pattern, sentence) for sentence in told), told
    done = life.cnm.reconcile()
    assert done
    assert all(isinstance(command, str) for command in done)
    assert healed(life)
    assert life.cnm.reconcile() == []


@pytest.mark.parametrize("name", HARMS)
def test_where_there_are_many_they_are_read_at_a_stroke(life, name, monkeypatch):
    def at_a_stroke():
        with monkeypatch.context() as many:
            many.setattr(LinuxSession, "expects_many", lambda *_: True)
            return life.cnm.check()

    script, words = HARMS[name]
    assert at_a_stroke() == []
    life.harm(script)
    told = at_a_stroke()
    assert any(re.search(words.format(**life.words), sentence) for sentence in told), told
    # What is in a namespace that was deleted goes some time later.
    assert until(lambda: life.cnm.check() == at_a_stroke())
    life.cnm.reconcile()
    assert life.cnm.check() == []


@pytest.mark.parametrize("name", HARMLESS)
def test_what_was_added_stays_and_does_no_harm(life, host, name):
    empty = host.run("nft", "list", "tables")
    life.harm(HARMLESS[name])
    before = host.picture()
    assert life.cnm.check() == []
    assert life.cnm.reconcile() == []
    assert host.picture() == before
    assert life.works() == []
    for remedy in REMEDIES:
        life.harm(f"{remedy} 2>/dev/null || true")
    assert host.run("nft", "list", "tables") == empty


# What somebody else put in the place of ours


@pytest.mark.parametrize(
    ("theirs", "named", "remedy"),
    [
        ("ip link del {veth}; ip link add {veth} type bridge", "{veth}", "ip link del {veth}"),
        ("ip link del {br}; ip link add {br} type bridge", "{br}", "ip link del {br}"),
        (
            "ip link del {veth}; ip -n c2 link add eth0 type bridge",
            "eth0 in {key}",
            "ip -n c2 link del eth0",
        ),
        (
            "ip netns del c2; ip netns add c2; ip -n c2 link add eth0 type bridge",
            "eth0 in {key}",
            "ip -n c2 link del eth0",
        ),
        (
            "nft delete table inet cnm; nft add table inet cnm; nft add chain inet cnm forward",
            "a table inet cnm that pycnm didn't make is there",
            "nft delete table inet cnm",
        ),
        (
            (
                "nft 'delete element inet cnm publish4 {{ tcp . 8080 }}; "
                "add element inet cnm publish4 {{ tcp . 8080 : 10.9.9.9 . 99 }}'"
            ),
            "tcp . 8080",
            "nft delete element inet cnm publish4 '{{ tcp . 8080 }}'",
        ),
        (
            "ip -n c2 route del default; ip -n c2 route add default via 10.1.0.2",
            "0.0.0.0/0",
            "ip -n c2 route del default",
        ),
    ],
)
def test_what_is_in_the_place_of_ours_is_named_and_left_alone(life, theirs, named, remedy):
    life.harm(theirs)
    with pytest.raises(CleanupError, match="could not be put back") as caught:
        life.cnm.reconcile()
    reasons = [str(each) for each in caught.value.exceptions]
    assert any(named.format(**life.words) in reason for reason in reasons), reasons
    assert life.cnm.check() != []
    life.harm(remedy)
    life.cnm.reconcile()
    assert healed(life)


def test_an_address_of_ours_that_another_link_has_is_named(life):
    life.harm("ip addr del 10.1.0.1/24 dev {br}; ip addr add 10.1.0.1/24 dev eth0")
    life.cnm.reconcile()
    (told,) = life.cnm.check()
    assert re.search(
        "eth0 has the address 10.1.0.1 .*`ip address del 10.1.0.1/24 dev eth0`", told
    ), told
    life.harm("ip addr del 10.1.0.1/24 dev eth0")
    assert healed(life)


def test_an_uplink_that_came_when_the_rules_went(life, host):
    life.harm("ip link add eth1 type veth peer eth1 netns outside; nft flush ruleset")
    life.cnm.reconcile()
    assert healed(life)
    assert host.sysctl("net/ipv4/conf/eth1/forwarding") == "1"
    life.harm("ip link del eth1")
    life.cnm.reconcile()
    assert "eth1" not in host.run("nft", "list", "ruleset")


# What lives on


def test_a_bridge_that_was_renamed_is_the_same_one(life, host):
    before = host.link(life.net.interface)["ifindex"]
    life.harm("ip link set {br} name foo 2>/dev/null || ip link set {br} down name foo")
    life.cnm.reconcile()
    assert host.link(life.net.interface)["ifindex"] == before
    assert healed(life)


@pytest.mark.parametrize("how", ["umount -l {key}", "ip netns del c2", "umount {key}; rm {key}"])
def test_a_process_keeps_its_network_when_the_namespace_is_pinned_again(life, how):
    box = inside(life.c2)
    with box.serve("90"):
        process = life.c2.popen(["sleep", "100"])
        life.harm(how)
        assert life.cnm.check() != []
        life.cnm.reconcile()
        assert Path(f"/proc/{process.pid}/ns/net").stat().st_ino == Path(box.key).stat().st_ino
        assert inside(life.c1).ask(life.end.ip, 90).server == "c2"
        process.kill()
        process.wait()
    assert healed(life)


def test_a_program_that_took_a_port_is_named(life, host):
    life.kill_the_agent()
    assert any("isn't held by the agent" in told for told in life.cnm.check())
    with occupied(host, "0.0.0.0:8080/tcp") as pid:
        with pytest.raises(CleanupError) as caught:
            life.cnm.reconcile()
        assert f"process {pid}" in str(caught.value.exceptions[0])
    life.cnm.reconcile()
    assert healed(life)


def test_more_namespaces_than_descriptors(cnm, tmp_path):
    for number in range(120):
        cnm.create_sandbox(f"c{number}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 90, before[1]))
    try:
        assert cnm.check() == []
        subprocess.run(["ip", "netns", "del", "c7"], check=True)
        assert cnm.reconcile() != []
        assert cnm.check() == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
