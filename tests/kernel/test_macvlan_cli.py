"""Networks on an interface of the host, as a Docker user types them."""

from __future__ import annotations

import json

import pytest
from lan import ROUTER, mac, way_out
from shell import Shell
from topology import Place


@pytest.fixture
def shell(lan, host, tmp_path):
    """The command; what it makes is removed, and the host is as it was."""
    return Shell(tmp_path / "state", host)


def test_a_flat_network(shell, lan, router):
    shell(
        "network", "create", "-d", "macvlan", "--subnet=192.168.0.0/24",
        f"--gateway={ROUTER}", "-o", "parent=eth0", "pub_net",
    )  # fmt: skip
    shell("sandbox", "create", "c1")
    with router.capture("eth0", "icmp") as seen:
        shell("network", "connect", "--ip", "192.168.0.9", "pub_net", "c1")
        said = shell("exec", "c1", "--", "ping", "-c1", "-W5", ROUTER)
        assert "1 received" in said
        (end,) = lan.sandbox("c1").endpoints
        assert seen.find(rf"{mac(end)} > \S+, .* 192\.168\.0\.9 > {ROUTER}: ICMP echo")
    (shown,) = json.loads(shell("network", "inspect", "pub_net"))
    assert shown["Driver"] == "macvlan"
    assert shown["Options"] == {"parent": "eth0"}
    assert shown["IPAM"]["Config"] == [{"Subnet": "192.168.0.0/24", "Gateway": ROUTER}]
    assert way_out(Place("/run/netns/c1")) == (ROUTER, "eth0")
    assert "# eth0 is there, and up" in shell("explain", "network", "pub_net")
    assert shell("check") == ""


def test_a_command_on_the_wire(shell, router):
    shell(
        "network", "create", "-d", "macvlan", "--parent", "eth0", "--subnet=192.168.0.0/24", "lan"
    )
    said = shell("run", "--rm", "--net", "lan", "--ip=192.168.0.9", "--", "ping", "-c1", ROUTER)
    assert "1 received" in said


def test_a_dry_run_makes_nothing(shell, host):
    before = host.picture()
    said = shell(
        "network", "create", "--dry-run", "-d", "macvlan", "-o", "parent=eth0",
        "-o", "host_access=true", "--subnet=192.168.0.0/24", "lan",
    )  # fmt: skip
    assert "# eth0 is there, and up" in said
    assert "ip link add link eth0 name mh-" in said
    assert host.picture() == before


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (1, ("-o", "parent=eth9"), "-o parent interface was not found on the host: eth9"),
        (1, ("-o", "macvlan_mode=none"), "requested macvlan mode 'none' is not valid"),
        (1, ("-o", "mode=bridge"), "unknown option mode: the nearest known one is macvlan_mode"),
        (1, ("-o", "parent=eth0", "--internal"), "an internal network has no way outside"),
    ],
)
def test_refused(shell, code, words, said):
    done = shell.do("network", "create", "-d", "macvlan", *words, "lan")
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ports_are_refused(shell):
    shell("network", "create", "-d", "macvlan", "-o", "parent=eth0", "--subnet=192.168.0.0/24", "l")
    done = shell.do("run", "--net", "l", "-p", "8080:80", "--", "true")
    assert done.returncode != 0
    assert "networks of driver macvlan publish no ports" in done.stderr


@pytest.mark.needs("vlan")
def test_a_vlan(shell, host, router):
    router.batch(
        "link add link eth0 name eth0.10 type vlan id 10",
        "address add 192.168.10.1/24 dev eth0.10",
        "link set eth0.10 up",
    )
    shell(
        "network", "create", "-d", "macvlan", "--subnet=192.168.10.0/24",
        "--gateway=192.168.10.1", "-o", "parent=eth0.10", "macvlan10",
    )  # fmt: skip
    with router.capture("eth0", "vlan 10 and icmp") as seen:
        said = shell("run", "--rm", "--net", "macvlan10", "--", "ping", "-c1", "192.168.10.1")
        assert "1 received" in said
        assert seen.find("192.168.10.2 > 192.168.10.1: ICMP echo request")
    shell("network", "rm", "macvlan10")
    assert "eth0.10" not in host.interfaces()


@pytest.mark.needs("ipvlan")
def test_ipvlan(shell, router):
    shell(
        "network", "create", "-d", "ipvlan", "--subnet=192.168.0.0/24", f"--gateway={ROUTER}",
        "-o", "parent=eth0", "-o", "ipvlan_mode=l2", "db_net",
    )  # fmt: skip
    said = shell("run", "--rm", "--net", "db_net", "--ip=192.168.0.9", "--", "ping", "-c1", ROUTER)
    assert "1 received" in said
