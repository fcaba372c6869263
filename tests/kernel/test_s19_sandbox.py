"""S19: a sandbox can be read, and outlives the program that made it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from topology import RUN_NETNS, inside, until

import pycnm

MAKE = """
import sys, pycnm
cnm = pycnm.Controller(sys.argv[1], host=sys.argv[2])
net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
box = cnm.create_sandbox("c2", dns=["192.0.2.53"], dns_search=["example.test"])
net.connect(box)
"""


@pytest.fixture
def c2(cnm):
    net = cnm.create_network("my_bridge", subnet=["10.20.30.0/24", "fd00:1::/64"])
    sandbox = cnm.create_sandbox("c2")
    net.connect(sandbox)
    return sandbox


def test_it_is_seen_by_ip_netns(cnm):
    c2 = cnm.create_sandbox("c2")
    assert c2.key == str(RUN_NETNS / "c2")
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert "c2" in [line.split()[0] for line in listed.stdout.splitlines()]
    done = subprocess.run(["ip", "netns", "exec", "c2", "true"], check=False)
    assert done.returncode == 0
    c2.delete()
    assert not (RUN_NETNS / "c2").exists()


def test_a_new_one_has_only_lo(cnm, controller, host):
    box = inside(cnm.create_sandbox("c2"))
    assert box.interfaces() == ["lo"]
    assert box.ping("127.0.0.1")
    assert box.routes() == []


def test_routes_and_interfaces_are_read_as_ip_shows_them(c2):
    box = inside(c2)
    interfaces = {link["ifname"]: link for link in c2.interfaces()}
    shown = {link["ifname"]: link for link in json.loads(box.run("ip", "-j", "address"))}
    assert sorted(interfaces) == sorted(shown)
    for name, link in shown.items():
        for key in ("ifindex", "mtu", "address"):
            assert interfaces[name][key] == link[key], (name, key)
        assert {(a["local"], a["prefixlen"]) for a in interfaces[name]["addr_info"]} == {
            (a["local"], a["prefixlen"]) for a in link["addr_info"]
        }
    routes = {(r["dst"], r.get("gateway"), r["dev"]) for r in c2.routes()}
    assert routes >= {
        ("default", "10.20.30.1", "eth0"),
        ("10.20.30.0/24", None, "eth0"),
    }
    expected = json.loads(box.run("ip", "-j", "route"))
    assert {(r["dst"], r.get("gateway"), r["dev"]) for r in expected} <= routes


def test_its_counters(c2, host):
    (endpoint,) = c2.endpoints
    before = endpoint.stats()
    assert inside(c2).ping("10.20.30.1")
    after = endpoint.stats()
    assert after["tx_packets"] > before["tx_packets"]
    assert after["rx_bytes"] > before["rx_bytes"]
    shown = inside(c2).ip("-s", "link", "show", "eth0")[0]["stats64"]
    assert endpoint.stats()["tx_packets"] >= shown["tx"]["packets"]


def test_dns_configuration(cnm):
    c2 = cnm.create_sandbox(
        "c2",
        hostname="web",
        dns=["192.0.2.53", "2001:db8::53"],
        dns_search=["example.test"],
        dns_options=["ndots:2"],
        extra_hosts=["db:192.0.2.7", "gate:host-gateway"],
    )
    assert c2.resolv_conf.splitlines()[:4] == [
        "nameserver 192.0.2.53",
        "nameserver 2001:db8::53",
        "search example.test",
        "options ndots:2",
    ]
    cnm.network("bridge").connect(c2)
    lines = c2.resolv_conf.splitlines()
    assert lines[:3] == ["nameserver 127.0.0.11", "search example.test", "options ndots:2"]
    assert "# ExtServers: [192.0.2.53 2001:db8::53]" in lines
    lines = [line.split() for line in c2.hosts.splitlines() if not line.startswith("#")]
    assert ["127.0.0.1", "localhost"] in lines
    assert ["192.0.2.7", "db"] in lines
    assert ["172.17.0.1", "gate"] in lines
    assert ["172.17.0.2", "web", "c2"] in lines
    for line in lines:
        ipaddress.ip_address(line[0])


def test_it_survives_the_program_that_made_it(controller, host, outside, tmp_path):
    cnm = controller(host)
    program = [sys.executable, "-c", MAKE, str(tmp_path / "state"), host.name]
    environment = {"PYTHONPATH": str(Path(pycnm.__file__).parents[1]), "PATH": os.environ["PATH"]}
    subprocess.run(program, check=True, env=environment)
    c2 = cnm.sandbox("c2")
    assert inside(c2).addresses("eth0") == ["10.20.30.2/24"]
    assert inside(c2).ping("10.20.30.1")
    assert inside(c2).ping("192.0.2.66")
    assert c2.routes()
    assert "nameserver 127.0.0.11" in c2.resolv_conf
    assert "ExtServers: [192.0.2.53]" in c2.resolv_conf
    assert cnm.check() == []
    with pytest.raises(pycnm.AlreadyExistsError):
        cnm.create_sandbox("c2")


def test_a_process_runs_in_it(c2):
    done = c2.run(["ip", "-json", "address", "show", "eth0"], capture_output=True, check=True)
    (link,) = json.loads(done.stdout)
    assert link["address"] == "02:42:0a:14:1e:02"


def test_deleting_it_takes_its_endpoints_along(c2, cnm, host):
    ports = [endpoint.host_interface for endpoint in c2.endpoints]
    assert set(ports) <= set(host.interfaces())
    c2.delete()
    assert until(lambda: not set(ports) & set(host.interfaces()))
    assert cnm.network("my_bridge").endpoints == []
    with pytest.raises(pycnm.NotFoundError):
        cnm.sandbox("c2")
    with pytest.raises(pycnm.NotFoundError):
        c2.routes()


def test_leaving_a_block_deletes_what_it_made(cnm, host):
    before = host.picture()
    with (
        cnm.create_network("blue", subnet="10.9.0.0/24") as net,
        cnm.create_sandbox("web") as web,
        net.connect(web) as endpoint,
    ):
        assert inside(web).addresses(endpoint.interface) == ["10.9.0.2/24"]
    until(lambda: host.picture() == before)
    assert host.picture() == before
    assert not (RUN_NETNS / "web").exists()


def test_a_name_that_is_taken_by_somebody_elses_namespace(controller, machine, host):
    """On a host of its own it gets another path; what was there isn't touched."""
    other = machine("c2")
    c2 = controller(host).create_sandbox("c2")
    assert c2.key != other.key
    assert Path(c2.key).name.startswith("c2.")
    assert os.stat(c2.key).st_ino != os.stat(other.key).st_ino
    c2.delete()
    assert not Path(f"{other.key}.{c2.id[:12]}").exists()
    assert other.interfaces() == ["lo"]


@pytest.mark.parametrize("kept", [True, False], ids=["a-process-inside", "nobody-inside"])
def test_a_namespace_that_was_removed_by_hand_is_put_back_at_once(c2, cnm, host, kept):
    """The host's end of its pair is there still, for a while or as long as a process is inside.

    What a process keeps is had back, and it goes on; the rest is made anew.
    """
    (endpoint,) = c2.endpoints
    with contextlib.ExitStack() as stack:
        if kept:
            process = stack.enter_context(c2.popen(["sleep", "100"]))
            stack.callback(process.kill)
        before = host.link(endpoint.host_interface)["ifindex"]
        subprocess.run(["ip", "netns", "del", "c2"], check=True)
        cnm.reconcile()
        assert cnm.check() == []
        assert (host.link(endpoint.host_interface)["ifindex"] == before) is kept
        assert inside(c2).addresses("eth0") == ["10.20.30.2/24"]
        assert inside(c2).ping("10.20.30.1")
        assert inside(c2).ping("192.0.2.66")
