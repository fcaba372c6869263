"""What is seen from outside, as text, beside what the model says it should be."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from expected import Binding, Endpoint, Network, Sandbox, World

import pycnm
from cnmfs.assembly import assemble

MAIN = 254
# What namespaces of others have in them.
OWN_LINK, OWN_ADDRESS = "mine0", "198.51.100.1/24"
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


class Names:
    """What is made up by chance: the ids of what is, by what it is in the model."""

    def __init__(self, cnm: pycnm.Controller, world: World) -> None:
        self.networks = {network.name: network.id for network in cnm.networks()}
        self.boxes = {box.name: box.id for box in cnm.sandboxes()}
        self.keys = {box.name: box.key for box in cnm.sandboxes()}
        self.files = {box.name: box.spec.files for box in cnm.sandboxes()}
        self.endpoints = {
            (network.name, end.name): end.id
            for network in cnm.networks()
            for end in network.endpoints
        }
        assert set(self.networks) == set(world.networks)
        assert set(self.boxes) == set(world.sandboxes)
        assert set(self.endpoints) == {(end.network.name, end.name) for end in world.endpoints()}

    def bridge(self, network: Network) -> str:
        if network.name == "bridge":
            return "cnm0"
        return "" if network.predefined else f"br-{self.networks[network.name][:12]}"

    def of(self, end: Endpoint) -> str:
        return self.endpoints[end.network.name, end.name]

    def veth(self, end: Endpoint) -> str:
        if end.sandbox is None or end.network.name in {"host", "none"}:
            return ""
        return f"veth{self.of(end)[:7]}"

    def group(self, network: Network) -> str:
        return hex(int(self.networks[network.name][:7], 16) | 0x10000000)


# The API


def api(cnm: pycnm.Controller) -> dict[str, object]:
    found: dict[str, object] = {}
    for network in cnm.networks():
        spec = network.spec
        found[f"network {spec.name}"] = (
            sorted(str(pool.subnet) for pool in spec.pools),
            sorted(str(pool.gateway) for pool in spec.pools),
            sorted(str(pool.ip_range) for pool in spec.pools if pool.ip_range),
            sorted((name, ip) for pool in spec.pools for name, ip in pool.aux),
            spec.internal,
            dict(spec.labels),
        )
        for end in network.endpoints:
            wished = end.spec
            found[f"endpoint {spec.name}/{wished.name}"] = (
                [str(address.ip) for address in wished.addresses],
                str(wished.mac or ""),
                [str(g) for g in (wished.gateway, wished.gateway6) if g is not None],
                list(wished.aliases),
                wished.gateway_priority,
                end.sandbox.name if end.sandbox else "",
                wished.interface,
                sorted(
                    (b.protocol, str(b.host_address), b.host_port, b.port, str(b.address))
                    for b in end.ports
                ),
            )
    for box in cnm.sandboxes():
        found[f"sandbox {box.name}"] = [f"{end.network.name}/{end.name}" for end in box.endpoints]
    return found


def api_of(world: World) -> dict[str, object]:
    found: dict[str, object] = {}
    for network in world.networks.values():
        found[f"network {network.name}"] = (
            sorted(map(str, network.subnets.values())),
            sorted(map(str, network.gateways.values())),
            sorted(map(str, network.ranges.values())),
            sorted((name, str(address)) for name, address in network.aux.items()),
            network.internal,
            network.labels,
        )
        for end in network.endpoints:
            found[f"endpoint {network.name}/{end.name}"] = (
                [str(end.addresses[v]) for v in sorted(end.addresses)],
                end.mac,
                [str(g) for v in (4, 6) if (g := end.gateway(v)) is not None],
                list(end.aliases),
                end.priority,
                end.sandbox.name if end.sandbox else "",
                end.interface,
                sorted((*binding, target(end, binding)) for binding in end.ports),
            )
    for box in world.sandboxes.values():
        # As they were made, whenever they were joined.
        found[f"sandbox {box.name}"] = [f"{e.network.name}/{e.name}" for e in by_age(world, box)]
    return found


def target(end: Endpoint, binding: Binding) -> str:
    return str(end.addresses[6 if ":" in binding.host else 4])


def by_age(world: World, box: Sandbox) -> list[Endpoint]:
    return sorted(world.inside(box), key=lambda end: end.born)


# The fake kernel


def listed(listing: str) -> set[str]:
    """What a fake kernel holds, less how many rules a chain has, and the settings.

    Of the files of a sandbox only what isn't the same for all.
    """
    found = set()
    for line in listing.splitlines():
        if line.startswith("file "):
            found |= set(_written(*line.removeprefix("file ").split(" ", 1)))
        elif not line.startswith(("chain ", "directory ")) and " sysctl " not in line:
            found.add(line)
    return found


def _written(path: str, text: str) -> Iterator[str]:
    lines = ast.literal_eval(text).splitlines()
    if path.endswith("/resolv.conf"):
        yield f"file {path} {'resolver' if lines[0] == 'nameserver 127.0.0.11' else 'servers'}"
        return
    yield f"file {path}"
    for line in lines:
        if not line.startswith(("#", "127.0.0.1\t", "::1\t", "ff", "fe00::\t")):
            yield f"file {path} {line}"


def held(world: World, names: Names) -> Iterator[str]:
    """What a fake kernel should hold."""
    yield from (
        "host address 192.0.2.10/24 dev eth0",
        "host link eth0 dummy up",
        "host link lo hardware up",
        "host route 0.0.0.0/0 via 192.0.2.1 dev eth0 table 254",
    )
    realised = [network for network in world.networks.values() if network.realised]
    if realised:
        yield 'table inet cnm { comment "cnm"; }'
    for version in (4, 6):
        if any(not each.internal and version in each.subnets for each in realised):
            yield f'element inet cnm opened{version} {{ "eth0" }}'
    for network in realised:
        yield from _bridge(network, names)
    for path in world.others.values():
        # Whatever was done with it, this is left alone.
        yield from (
            f"{path} namespace",
            f"{path} link lo hardware up",
            f"{path} link {OWN_LINK} bridge up",
            f"{path} address {OWN_ADDRESS} dev {OWN_LINK}",
        )
    for box in world.sandboxes.values():
        yield from _inside(box, names)
    for end in world.endpoints():
        yield from _attached(end, names)
    for binding in world.held():
        host = f"[{binding.host}]" if ":" in binding.host else binding.host
        ours = "" if binding not in world.foreign else " (not ours)"
        yield f"port {host}:{binding.number}/{binding.protocol}{ours}"


def _bridge(network: Network, names: Names) -> Iterator[str]:
    bridge, identity = names.bridge(network), names.networks[network.name]
    mac = "02:42:" + ":".join(identity[n : n + 2] for n in range(0, 8, 2))
    mark = f"group {names.group(network)} alias cnm:{identity[:12]}"
    yield f"host link {bridge} bridge up mac {mac} {mark}"
    for version, gateway in network.gateways.items():
        yield f"host address {gateway}/{network.subnets[version].prefixlen} dev {bridge}"
    leave, enter = ("goto from_internal", "goto to_internal")
    if not network.internal:
        leave, enter = "jump from_nat", "goto to_nat"
        for version in network.subnets:
            yield f'element inet cnm masquerade{version} {{ "{bridge}" }}'
    yield f'element inet cnm icc {{ "{bridge}" . "{bridge}" : accept }}'
    yield f'element inet cnm egress {{ "{bridge}" : {leave} }}'
    yield f'element inet cnm ingress {{ "{bridge}" : {enter} }}'
    yield f'element inet cnm loops {{ "{bridge}" . "{bridge}" }}'
    yield f'element inet cnm bridges {{ "{bridge}" }}'
    yield f'element inet cnm homes {{ "{bridge}" }}'


def _inside(box: Sandbox, names: Names) -> Iterator[str]:
    if box.kind == "host":
        return
    ns = names.keys[box.name]
    if box.kind == "own":
        yield f"{ns} namespace"
        yield f"{ns} link lo hardware up"
        yield f"netns files {box.name} {names.files[box.name]}"
    yield from _names(box, names)
    for version in (4, 6):
        first = True
        for end in box.order:
            if not end.offers(version):
                continue
            table = MAIN if first else 0x63000000 | int(names.of(end)[:6], 16)
            via = f"via {end.gateway(version)} dev {end.interface}"
            yield f"{ns} route {DEFAULT[version]} {via} table {table}"
            if not first:
                yield f"{ns} rule from {end.addresses[version]} table {table}"
                near = end.network.subnets[version]
                yield f"{ns} route {near} dev {end.interface} table {table}"
            first = False


def _names(box: Sandbox, names: Names) -> Iterator[str]:
    ns, identity, files = names.keys[box.name], names.boxes[box.name], names.files[box.name]
    named = [end for end in box.order if end.network.name != "none"]
    if named:
        port = 61000 + int(identity[:8], 16) % 4536
        yield f"{ns} resolver {port} of {identity[:12]}"
        yield f"{ns} divert {port}"
    yield f"file {files}/resolv.conf {'resolver' if named else 'servers'}"
    yield f"file {files}/hosts"
    for end in named:
        for address in end.addresses.values():
            yield f"file {files}/hosts {address}\t{box.name}"


def _attached(end: Endpoint, names: Names) -> Iterator[str]:
    veth = names.veth(end)
    if end.sandbox is None or not veth:
        return
    ns, identity = names.keys[end.sandbox.name], names.of(end)
    for version, address in end.addresses.items():
        length = end.network.subnets[version].prefixlen
        yield f"{ns} address {address}/{length} dev {end.interface}"
    yield f"{ns} link {end.interface} veth up mac {end.mac} peer {veth}"
    hairpin = " hairpin" if end.ports else ""
    mark = f"group {names.group(end.network)} alias cnm:{identity[:12]}"
    bridge = names.bridge(end.network)
    yield f"host link {veth} veth up {mark}{hairpin} master {bridge} peer {end.interface}"
    yield f'table netdev cnm_{veth} {{ comment "cnm:{identity[:12]}"; }}'
    for binding in end.ports:
        version = 6 if ":" in binding.host else 4
        key, where = f"{binding.protocol} . {binding.number}", f"publish{version}"
        if binding.host not in {"0.0.0.0", "::"}:
            key, where = f"{binding.host} . {key}", f"{where}_at"
        yield (
            f"element inet cnm {where} {{ {key} : {end.addresses[version]} . {binding.container} }}"
        )


# The tree


class Tree:
    """The pure tree of a controller."""

    def __init__(self, cnm: pycnm.Controller) -> None:
        self.files = assemble(cnm).filesystem

    def read(self, path: str) -> str:
        handle = self.files.open(path, os.O_RDONLY)
        try:
            return self.files.read(handle, 1 << 20, 0).decode()
        finally:
            self.files.close(handle)

    def values(self) -> dict[str, str]:
        found = {}
        for name in self.files.listing("networks"):
            where = f"networks/{name}"
            for file in ("subnet", "gateway", "ip_range", "internal", "ipv6", "check", "id"):
                found[f"{where}/{file}"] = self.read(f"{where}/{file}")
            lists = ("aux_addresses", "publish")
            found |= {f"{where}/{file}": lines(self.read(f"{where}/{file}")) for file in lists}
            for label in self.files.listing(f"{where}/labels"):
                found[f"{where}/labels/{label}"] = self.read(f"{where}/labels/{label}")
            for end in self.files.listing(f"{where}/endpoints"):
                link = f"{where}/endpoints/{end}"
                found[link] = self.files.target(link)
        for name in self.files.listing("sandboxes"):
            where = f"sandboxes/{name}"
            found[f"{where}/id"] = self.read(f"{where}/id")
            for network in self.files.listing(f"{where}/endpoints"):
                end = f"{where}/endpoints/{network}"
                for file in ("ip", "ip6", "mac", "gateway", "interface", "host_interface",
                             "gateway_priority", "aliases", "id"):  # fmt: skip
                    found[f"{end}/{file}"] = self.read(f"{end}/{file}")
                found[f"{end}/publish"] = lines(self.read(f"{end}/publish"))
                found[f"{end}/network"] = self.files.target(f"{end}/network")
        return found

    def everything(self, path: str = "") -> Iterator[str]:
        """Every path there is; each file is read, unless a fake kernel can't say it."""
        for name in self.files.listing(path):
            below = f"{path}/{name}" if path else name
            yield below
            # Beyond a fake kernel: what is seen inside a namespace.
            if Path(below).name in {"routes", "interfaces", "stats", "carrier"}:
                continue
            status = self.files.status(below)
            if status.mode & 0o170000 == 0o040000:
                yield from self.everything(below)
            elif status.mode & 0o170000 == 0o100000 and status.mode & 0o400:
                size = len(self.read(below).encode())
                assert name in {"events", "error_log"} or size == status.size, below


def lines(text: str) -> str:
    return "".join(sorted(text.splitlines(keepends=True)))


def tree_of(world: World, names: Names) -> dict[str, str]:
    found = {}
    for network in world.networks.values():
        where = f"networks/{network.name}"
        found[f"{where}/id"] = f"{names.networks[network.name]}\n"
        found[f"{where}/subnet"] = _families(network.subnets)
        found[f"{where}/gateway"] = _families(network.gateways)
        found[f"{where}/ip_range"] = _families(network.ranges)
        found[f"{where}/internal"] = f"{int(network.internal)}\n"
        found[f"{where}/ipv6"] = f"{int(6 in network.subnets)}\n"
        found[f"{where}/check"] = ""
        found[f"{where}/aux_addresses"] = lines(
            "".join(f"{name} {address}\n" for name, address in network.aux.items())
        )
        found[f"{where}/publish"] = lines(
            "".join(f"{e.name} {shown(b)}\n" for e in network.endpoints for b in e.ports)
        )
        for key, value in network.labels.items():
            found[f"{where}/labels/{key}"] = f"{value}\n" if value else ""
        for end in network.endpoints:
            if end.sandbox is not None:
                place = f"../../../sandboxes/{end.sandbox.name}/endpoints/{network.name}"
                found[f"{where}/endpoints/{end.name}"] = place
    for box in world.sandboxes.values():
        found[f"sandboxes/{box.name}/id"] = f"{names.boxes[box.name]}\n"
        for end in world.inside(box):
            where = f"sandboxes/{box.name}/endpoints/{end.network.name}"
            for file, value in (
                ("ip", end.addresses.get(4, "")),
                ("ip6", end.addresses.get(6, "")),
                ("mac", end.mac),
                ("gateway", end.gateway(4) or ""),
                ("interface", end.interface),
                ("host_interface", names.veth(end)),
                ("gateway_priority", end.priority),
                ("id", names.of(end)),
            ):
                found[f"{where}/{file}"] = "" if value == "" else f"{value}\n"
            found[f"{where}/aliases"] = "".join(f"{alias}\n" for alias in end.aliases)
            found[f"{where}/publish"] = lines("".join(f"{shown(b)}\n" for b in end.ports))
            found[f"{where}/network"] = f"../../../../networks/{end.network.name}"
    return found


def _families(values: dict[int, object]) -> str:
    return "".join(f"{values[version]}\n" for version in sorted(values))


def shown(binding: Binding) -> str:
    host = f"[{binding.host}]" if ":" in binding.host else binding.host
    suffix = "" if binding.protocol == "tcp" else f"/{binding.protocol}"
    return f"{host}:{binding.number}:{binding.container}{suffix}"
