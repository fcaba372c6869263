"""S2: sandboxes on the network `host` are the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import pycnm

LISTEN = """
import socket, sys
listener = socket.create_server(("0.0.0.0", 80))
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pair(cnm):
    """Two sandboxes on `host`."""
    boxes = [cnm.create_sandbox(name, netns="host") for name in ("a", "b")]
    for box in boxes:
        cnm.network("host").connect(box)
    return boxes


def test_they_have_the_interfaces_and_routes_of_the_host(pair, host):
    for box in pair:
        for what in (["address"], ["route"], ["-6", "route"]):
            done = box.run(["ip", "-json", *what], capture_output=True, check=True)
            assert json.loads(done.stdout) == json.loads(host.run("ip", "-json", *what))
        shown = {link["ifname"]: link for link in box.interfaces()}
        assert sorted(shown) == host.interfaces() == ["eth0", "lo"]
        assert shown["eth0"]["ifindex"] == host.link("eth0")["ifindex"]
        assert {route["dst"] for route in box.routes()} >= {"192.0.2.0/24"}
        assert os.stat(box.key).st_ino == os.stat(host.key).st_ino


def test_a_port_bound_in_one_cannot_be_bound_in_the_other(pair, outside):
    a, b = pair
    command = [sys.executable, "-S", "-c", LISTEN]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with a.popen(command, **pipes) as first:
        assert first.stdout.readline() == b"listening\n"
        outside.connect("192.0.2.1", 80).close()
        second = b.run(command, input=b"", capture_output=True)
        assert second.returncode != 0
        assert b"Address already in use" in second.stderr
        first.communicate()


def test_nothing_is_made_in_the_kernel(controller, host, outside):
    before = host.picture()
    cnm = controller(host)
    box = cnm.create_sandbox("a", netns="host")
    endpoint = cnm.network("host").connect(box)
    assert (endpoint.ip, endpoint.mac, endpoint.interface) == (None, None, "")
    assert host.picture() == before
    box.delete()
    assert host.picture() == before
    assert os.path.exists(host.key)


@pytest.mark.parametrize("form", ["name", "path", "pid"])
def test_its_namespace_is_adopted_under_no_other_name(cnm, host, form):
    before = host.picture()
    with host.popen("sleep", "100") as process:
        try:
            netns = {"name": host.name, "path": host.key, "pid": process.pid}[form]
            with pytest.raises(pycnm.InvalidArgumentError, match=r'netns="host".* network host$'):
                cnm.create_sandbox("a", netns=netns)
        finally:
            process.kill()
    assert cnm.sandboxes() == []
    assert host.picture() == before


def test_host_mixes_with_nothing(cnm, host):
    net = cnm.create_network("my_bridge")
    a, c = cnm.create_sandbox("a", netns="host"), cnm.create_sandbox("c")
    before = host.picture()
    with pytest.raises(pycnm.NotSupportedError, match="host"):
        net.connect(a)
    with pytest.raises(pycnm.NotSupportedError, match="host"):
        cnm.network("host").connect(c)
    cnm.network("host").connect(a)
    with pytest.raises(pycnm.NotSupportedError, match="host"):
        cnm.network("none").connect(a)
    assert host.picture() == before
