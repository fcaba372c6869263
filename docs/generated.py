"""Pages that are written by the code they are about, so that they can't be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnmfs import networks, sandboxes
from cnmfs.attributes import Attribute
from pycnm.cli import help as manual
from pycnm.cli.arguments import read
from pycnm.cli.command import Command, Group
from pycnm.cli.commands import ROOT
from pycnm.drivers import Bridge, Driver, Ipvlan, Macvlan, Use
from pycnm.nft import ruleset
from pycnm.nft.objects import Chain
from pycnm.plan import Features
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.spec.ports import PortBinding

NETWORK = NetworkSpec(
    id="e66c99edcd07".ljust(64, "0"),
    name="my_bridge",
    driver="bridge",
    pools=(Pool("pool", "10.20.30.0/24", gateway="10.20.30.1"),),
)
SANDBOX = SandboxSpec(id="c2".ljust(64, "0"), name="c2", key="/run/netns/c2")
ENDPOINT = EndpointSpec(
    id="8be6cfc0d001".ljust(64, "0"),
    name="c2",
    network=NETWORK.id,
    sandbox=SANDBOX.id,
    ip="10.20.30.2/24",
    mac="02:42:0a:14:1e:02",
    interface="eth0",
    host_interface="veth8be6cfc",
    gateway="10.20.30.1",
)
BINDING = PortBinding(
    protocol="tcp", host_address="192.0.2.1", host_port=8080, address="10.20.30.2", port=80
)


def write(directory: Path) -> None:
    """Write every generated page into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    bridge, features = Bridge(), Features()
    pages = {
        "skeleton.nft": "\n".join(skeleton()),
        "network.txt": str(bridge.plan_network(NETWORK, Use(endpoints=True), features)),
        "endpoint.txt": str(bridge.plan_endpoint(NETWORK, ENDPOINT, SANDBOX, features)),
        "port.txt": "\n".join(map(str, bridge.plan_port(NETWORK, ENDPOINT, BINDING))),
        **{f"{cls.name}-options.md": "\n".join(options(cls)) for cls in (Bridge, Macvlan, Ipvlan)},
        "commands.md": "\n".join(commands(ROOT, ())),
        "network-files.md": "\n".join(files(networks.ATTRIBUTES)),
        "sandbox-files.md": "\n".join(files(sandboxes.SANDBOX)),
        "endpoint-files.md": "\n".join(files(sandboxes.ENDPOINT)),
    }
    for name, text in pages.items():
        (directory / name).write_text(text.rstrip("\n") + "\n")


def skeleton() -> Iterator[str]:
    """The table of a host as `nft -f` reads it, with an empty line before each chain."""
    for item in ruleset.skeleton(32768, 60999):
        if isinstance(item, Chain):
            yield ""
        yield f"add {item}"


def options(driver: type[Driver]) -> Iterator[str]:
    """A table of what a driver can be told."""
    yield f"| `{driver.__name__}(...)` | Option | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for option in driver.option_table:
        text = "" if option.default is None else option.format(option.default)
        default = f"`{text}`" if text else ""
        yield f"| `{option.attribute}` | `{option.key}` | {default} | {option.help} |"


def files(attributes: Mapping[str, Attribute[Any]]) -> Iterator[str]:
    """A table of the files of an object."""
    yield "| File | Mode | What it is, and what it takes |"
    yield "| --- | --- | --- |"
    for attribute in attributes.values():
        words = attribute.help.replace("|", "\\|").replace(">", "\\>")
        yield f"| `{attribute.name}` | {attribute.mode:04o} | {words} |"


def commands(known: Command | Group, path: tuple[str, ...]) -> Iterator[str]:
    """The help of every command, a heading each."""
    words = (*path, known.name)
    yield f"## {' '.join(words)}\n"
    yield f"```text\n{manual.text(read(ROOT, (*words[1:], '--help')))}\n```\n"
    for each in known.commands if isinstance(known, Group) else ():
        yield from commands(each, words)
