"""Others that do the same, as their own callers run them."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.contender import Contender
from bench.machine import RUN_NETNS, Host, delete_namespace

_PLUGINS = Path("/usr/lib/cni")
_NETWORK = ipaddress.ip_network("10.88.0.0/16")
_GATEWAY = "10.88.0.1"


def missing() -> list[str]:
    """The Debian packages without which a peer can't be measured."""
    needed = {
        "containernetworking-plugins": str(_PLUGINS / "portmap"),
        "iptables": "iptables",
        "netavark": private_program("netavark"),
    }
    return [package for package, program in needed.items() if not shutil.which(program)]


def private_program(name: str) -> str:
    """A program that Debian may have in podman's private directory."""
    path = f"{os.defpath}:/usr/libexec/podman:/usr/lib/podman"
    return shutil.which(name, path=path) or name


def present(hosts: Iterator[Host], directory: Path) -> list[Contender]:
    """The peers that are installed."""
    absent = missing()
    peers: list[Contender] = []
    if not {"containernetworking-plugins", "iptables"} & set(absent):
        peers.append(Cni(next(hosts), directory / "cni"))
    if not {"netavark", "iptables"} & set(absent):
        peers.append(Netavark(next(hosts), directory / "netavark"))
    return [*peers, Commands(next(hosts))]


class Cni(Contender):
    """The reference plugins: bridge with host-local, and portmap if there are ports.

    They are run as libcni runs them: one after the other, each with the result
    of the one before; for DEL the other way round.
    """

    name = "CNI"
    publishes = True

    def __init__(self, host: Host, directory: Path) -> None:
        super().__init__(host)
        self._results: dict[str, tuple[dict[str, Any], Sequence[int]]] = {}
        self._bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(directory),
                "ranges": [[{"subnet": str(_NETWORK)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }

    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        result = json.loads(self._plugin("ADD", name, self._bridge))
        if ports:
            result = json.loads(self._plugin("ADD", name, _portmap(ports), result))
        self._results[name] = (result, ports)

    def delete_sandbox(self, name: str) -> None:
        result, ports = self._results.pop(name)
        if ports:
            self._plugin("DEL", name, _portmap(ports), result)
        self._plugin("DEL", name, self._bridge, result)
        delete_namespace(name)

    def _plugin(
        self, verb: str, name: str, options: dict[str, Any], before: dict[str, Any] | None = None
    ) -> str:
        document = {"cniVersion": "0.4.0", "name": "bench", **options}
        if before is not None:
            document["prevResult"] = before
        environment = {
            **os.environ,
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": name,
            "CNI_NETNS": str(RUN_NETNS / name),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(_PLUGINS),
        }
        return self.host.run([str(_PLUGINS / options["type"])], json.dumps(document), environment)


def _portmap(ports: Sequence[int]) -> dict[str, Any]:
    mappings = [
        {"hostPort": port, "containerPort": port, "protocol": "tcp", "hostIP": ""} for port in ports
    ]
    return {
        "type": "portmap",
        "capabilities": {"portMappings": True},
        "runtimeConfig": {"portMappings": mappings},
    }


class Netavark(Contender):
    """netavark, run as podman runs it; podman would choose the address.

    Args:
        names: aardvark-dns answers names on the network.
    """

    name = "netavark"
    publishes = True

    def __init__(self, host: Host, directory: Path, *, names: bool = False) -> None:
        super().__init__(host)
        directory.mkdir()
        self._command = [private_program("netavark"), "--config", str(directory)]
        self._command += ["--aardvark-binary", private_program("aardvark-dns")] if names else []
        self._names = names
        self._addresses = _NETWORK.hosts()
        next(self._addresses)
        self._documents: dict[str, str] = {}

    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        document = self._document(name, str(next(self._addresses)), ports)
        self._documents[name] = json.dumps(document)
        self._netavark("setup", name, self._documents[name])

    def delete_sandbox(self, name: str) -> None:
        self._netavark("teardown", name, self._documents.pop(name))
        delete_namespace(name)

    def _netavark(self, verb: str, name: str, document: str) -> None:
        self.host.run([*self._command, verb, str(RUN_NETNS / name)], document)

    def _document(self, name: str, address: str, ports: Sequence[int]) -> dict[str, Any]:
        return {
            "container_id": name.encode().hex().ljust(64, "0"),
            "container_name": name,
            "port_mappings": [
                {
                    "container_port": port,
                    "host_port": port,
                    "host_ip": "",
                    "protocol": "tcp",
                    "range": 1,
                }
                for port in ports
            ],
            "networks": {
                "bench": {"interface_name": "eth0", "static_ips": [address], "aliases": [name]}
            },
            "network_info": {
                "bench": {
                    "name": "bench",
                    "id": "be" * 32,
                    "driver": "bridge",
                    "network_interface": "podman0",
                    "subnets": [{"subnet": str(_NETWORK), "gateway": _GATEWAY}],
                    "ipv6_enabled": False,
                    "internal": False,
                    "dns_enabled": self._names,
                    "ipam_options": {"driver": "host-local"},
                }
            },
        }


class Commands(Contender):
    """What a person types, through `ip -batch`: no rules, no state, no undo."""

    name = "ip -batch"
    makes_networks = True

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._addresses = _NETWORK.hosts()
        self._subnets = itertools.count()
        self._batch(_bridge("br0", f"{next(self._addresses)}/16"))

    def create_network(self, name: str) -> None:
        number = next(self._subnets)
        self._batch(_bridge(name, f"10.{100 + number // 256}.{number % 256}.1/24"))

    def delete_network(self, name: str) -> None:
        self._batch([f"link delete {name}"])

    def create_sandbox(self, name: str) -> None:
        self.host.run(["ip", "netns", "add", name])

    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        if ports:
            raise NotImplementedError
        address = next(self._addresses)
        self._batch([f"link add {name} master br0 up type veth peer name eth0 netns {name}"])
        self._batch(
            [
                "link set lo up",
                f"address add {address}/16 dev eth0",
                "link set eth0 up",
                f"route add default via {_GATEWAY}",
            ],
            "-n",
            name,
        )

    def delete_sandbox(self, name: str) -> None:
        # The interfaces go with their namespace.
        self.host.run(["ip", "netns", "delete", name])

    def _batch(self, lines: Sequence[str], *options: str) -> None:
        self.host.run(["ip", *options, "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _bridge(name: str, address: str) -> list[str]:
    return [
        f"link add {name} type bridge",
        f"address add {address} dev {name}",
        f"link set {name} up",
    ]
