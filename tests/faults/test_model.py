"""The public API against the model of it (tests/model), on the real kernel."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from topology import Machine, Place, differences, until

import pycnm
from pycnm.kernel.linux import LinuxKernel

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))

import comparing
import stage
from playing import Playing


class Shared(LinuxKernel):
    """A kernel that outlives its controllers."""

    def close(self):
        """Not before the example is over."""


class OnLinux(Playing):
    """The same machine on a host that is a namespace."""

    machine_ = None

    def machine(self):
        self.directory.mkdir(mode=0o700)
        self.programs = []
        for port in stage.FOREIGN:
            program = self.machine_.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            program.bind((port.host, port.number))
            program.listen(1)
            self.programs.append(program)
        return Shared(self.machine_.key, self.directory)

    def routes(self):
        return [ip_network("192.0.2.0/24")]

    def open(self):
        return pycnm.Controller(self.directory, host=self.machine_.name, kernel=self.kernel)

    def picture(self):
        return self.machine_.picture()

    def make_namespace(self, name):
        there = Machine(name)
        there.batch(
            f"link add {comparing.OWN_LINK} type bridge",
            f"address add {comparing.OWN_ADDRESS} dev {comparing.OWN_LINK}",
            f"link set {comparing.OWN_LINK} up",
        )
        self.world.others[name] = there.key

    def remove_namespace(self, name):
        del self.world.others[name]
        subprocess.run(["ip", "netns", "del", name], check=True)

    def as_before(self):
        # What is left to the kernel goes some milliseconds later.
        until(lambda: self.picture() == self.before)
        assert list(differences(self.picture(), self.before)) == []

    def clean(self):
        for name in list(self.world.others):
            self.remove_namespace(name)
        for program in self.programs:
            program.close()
        LinuxKernel.close(self.inner)

    def compare_kernel(self, names):
        wanted = expected(self.world, names)
        until(lambda: seen(self.machine_, names, self.world) == wanted)
        assert seen(self.machine_, names, self.world) == wanted


def expected(world, names):
    """Links, addresses, default routes and elements that there should be."""
    found = {"host": {}, "published": set(), "guards": set(), "bridges": set()}
    for network in world.networks.values():
        if network.realised:
            bridge = names.bridge(network)
            found["bridges"].add(bridge)
            found["host"][bridge] = ("", {
                f"{gateway}/{network.subnets[version].prefixlen}"
                for version, gateway in network.gateways.items()
            })  # fmt: skip
    for box in world.sandboxes.values():
        if box.kind != "host":
            found[box.name] = {"routes": []}
            for version in (4, 6):
                first = next((end for end in box.order if end.offers(version)), None)
                if first is not None:
                    found[box.name]["routes"].append((str(first.gateway(version)), first.interface))
    for end in world.endpoints():
        veth = names.veth(end)
        if not veth:
            continue
        found["host"][veth] = (names.bridge(end.network), set())
        found["guards"].add(f"cnm_{veth}")
        found[end.sandbox.name][end.interface] = (end.mac, {
            f"{address}/{end.network.subnets[version].prefixlen}"
            for version, address in end.addresses.items()
        })  # fmt: skip
        for binding in end.ports:
            wild = binding.host in {"0.0.0.0", "::"}
            version = 6 if ":" in binding.host else 4
            found["published"].add((
                *(() if wild else (binding.host,)), binding.protocol, binding.number,
                str(end.addresses[version]), binding.container,
            ))  # fmt: skip
    return found


def seen(host, names, world):
    """The same, as ip(8) and nft(8) show it."""
    found = {"host": {}, "published": set(), "guards": set(), "bridges": set()}
    links = {link["ifname"]: link for link in host.ip("address")}
    for name, link in links.items():
        if name not in {"lo", "eth0"}:
            found["host"][name] = (link.get("master", ""), addresses(link))
    for box in world.sandboxes.values():
        if box.kind != "host":
            found[box.name] = seen_inside(names.keys[box.name])
            if box.kind == "adopted":
                # What its owner has in it is there.
                assert found[box.name].pop(comparing.OWN_LINK)[1] == {comparing.OWN_ADDRESS}
    for name, key in world.others.items():
        if world.adopter(name) is None:
            left = seen_inside(key)
            assert (left["routes"], left.keys()) == ([], {"routes", comparing.OWN_LINK})
    add_rules(found, json.loads(host.run("nft", "-j", "list", "ruleset"))["nftables"])
    return found


def seen_inside(key):
    """Default routes and links in a namespace."""
    place = Place(key)
    found = {"routes": [
        (route["gateway"], route["dev"])
        for version in ("-4", "-6")
        for route in place.ip(version, "route", "show", "default")
    ]}  # fmt: skip
    for link in place.ip("address"):
        if link["ifname"] != "lo":
            found[link["ifname"]] = (link["address"], addresses(link))
    return found


def add_rules(found, ruleset):
    for item in ruleset:
        if item.get("table", {}).get("family") == "netdev":
            found["guards"].add(item["table"]["name"])
        kept = item.get("map") or item.get("set") or {}
        if kept.get("name") == "bridges":
            found["bridges"] = set(kept.get("elem", []))
        if kept.get("name", "").startswith("publish") and "elem" in kept:
            found["published"] |= {(*key["concat"], *data["concat"]) for key, data in kept["elem"]}


def addresses(link):
    return {
        f"{info['local']}/{info['prefixlen']}"
        for info in link["addr_info"]
        if info["scope"] == "global"
    }


@pytest.mark.timeout(0)
def test_the_api_is_as_the_model_says(host, outside, tally, exhaustive, monkeypatch, tmp_path):
    monkeypatch.setattr(OnLinux, "machine_", host)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = stage.COUNTS.copy()
    run_state_machine_as_test(
        OnLinux,
        settings=settings(
            max_examples=500 if exhaustive else 12,
            stateful_step_count=20,
            derandomize=not exhaustive,
            deadline=None,
            database=None,
            # A step takes a second here; what fails is shrunk on the fake kernel.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    happened = stage.COUNTS - before
    tally("model on the real kernel", "API and tree", **happened)
    assert happened["changes"] > 20
