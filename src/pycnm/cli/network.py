"""`cnm network`."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller, each, remove
from pycnm.cli.output import finish, inspection, labels, listing, moment, say
from pycnm.controller import Controller
from pycnm.endpoint import Endpoint
from pycnm.errors import InUseError, NotFoundError
from pycnm.network import Network

_WARNING = (
    "WARNING! This will remove all custom networks not used by at least one sandbox.\n"
    "Are you sure you want to continue? [y/N] "
)


def create(arguments: Arguments) -> int:
    """Make a network, or show what would be done."""
    (name,) = arguments.operands
    driver = arguments.text("driver")
    wishes: dict[str, Any] = {
        "driver": "bridge" if driver is None else driver,
        "subnet": arguments.texts("subnet") or None,
        "gateway": arguments.texts("gateway") or None,
        "ip_range": arguments.texts("ip-range") or None,
        "aux_addresses": arguments.pairs("aux-address") or None,
        "ipv4": arguments.switch("ipv4", default=True),
        "ipv6": arguments.switch("ipv6"),
        "internal": arguments.switch("internal"),
        "attachable": arguments.switch("attachable"),
        "ipam_options": arguments.pairs("ipam-opt") or None,
        "options": arguments.pairs("opt") or None,
        "labels": arguments.pairs("label") or None,
        "parent": arguments.text("parent"),
        "routes": arguments.texts("route"),
    }
    ipam = arguments.text("ipam-driver")
    if ipam is not None:
        wishes["ipam"] = ipam
    with controller(arguments) as cnm:
        if arguments.switch("dry-run"):
            say(str(cnm.plan_network(name, **wishes)))
        else:
            say(cnm.create_network(name, **wishes).id)
    return 0


def connect(arguments: Arguments) -> int:
    """Connect a sandbox to a network."""
    network, sandbox = arguments.operands
    with controller(arguments) as cnm:
        cnm.network(network).connect(
            sandbox,
            ip=arguments.text("ip"),
            ip6=arguments.text("ip6"),
            mac=arguments.text("mac"),
            name=arguments.text("name"),
            aliases=arguments.texts("alias"),
            publish=arguments.texts("publish"),
            interface=arguments.text("interface"),
            gateway_priority=arguments.number("gw-priority"),
            link_local_ips=arguments.texts("link-local-ip"),
            rate=arguments.text("rate"),
            routes=arguments.texts("route"),
            forwarding=arguments.switch("forwarding"),
            options=arguments.pairs("driver-opt") or None,
        )
    return 0


def disconnect(arguments: Arguments) -> int:
    """Disconnect a sandbox from a network."""
    network, sandbox = arguments.operands
    with controller(arguments) as cnm:
        cnm.network(network).disconnect(sandbox, force=arguments.switch("force"))
    return 0


def inspect(arguments: Arguments) -> int:
    """Show networks as JSON; those there are, whatever others were asked for."""
    found = []
    with controller(arguments) as cnm:
        status = each(arguments.operands, lambda name: found.append(cnm.network(name).inspect()))
    say(inspection(arguments, found))
    return status


def ls(arguments: Arguments) -> int:
    """List networks."""
    titles = ("NETWORK ID", "NAME", "DRIVER", "SCOPE")
    with controller(arguments) as cnm:
        lines = listing(arguments, titles, cnm.networks(**arguments.filters()), _row, _shown)
    say(*lines)
    return 0


def prune(arguments: Arguments) -> int:
    """Delete every network that nothing is connected to, once the user agrees."""
    if not arguments.switch("force"):
        say(_WARNING, end="")
        finish()
        if sys.stdin is None or sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            return 0
    names = []
    with controller(arguments) as cnm:
        for network in cnm.networks(**{**arguments.filters(), "dangling": True}):
            # Whoever connected or removed it in the meantime knows better.
            with contextlib.suppress(InUseError, NotFoundError):
                name = network.name
                network.delete()
                names.append(name)
    if names:
        say("Deleted Networks:", *names, "")
    return 0


def publish(arguments: Arguments) -> int:
    """Publish ports of a connected sandbox, and show what they came to."""
    network, sandbox, *ports = arguments.operands
    with controller(arguments) as cnm:
        say(*map(str, endpoint(cnm, network, sandbox).publish(*ports)))
    return 0


def unpublish(arguments: Arguments) -> int:
    """Stop publishing ports of a connected sandbox."""
    network, sandbox, *ports = arguments.operands
    with controller(arguments) as cnm:
        endpoint(cnm, network, sandbox).unpublish(*ports)
    return 0


def rename(arguments: Arguments) -> int:
    """Give a network another name."""
    network, name = arguments.operands
    with controller(arguments) as cnm:
        cnm.network(network).rename(name)
    return 0


def rm(arguments: Arguments) -> int:
    """Delete networks."""
    with controller(arguments) as cnm:
        return remove(arguments, lambda name: cnm.network(name).delete())


def _row(network: Network) -> tuple[str, ...]:
    return network.id, network.name, network.driver, network.scope


def _shown(network: Network) -> dict[str, str]:
    """A network as `docker network ls --format json` shows it."""
    found = network.inspect()
    return {
        "CreatedAt": moment(found["Created"]),
        "Driver": found["Driver"],
        "ID": found["Id"],
        "IPv4": str(found["EnableIPv4"]).lower(),
        "IPv6": str(found["EnableIPv6"]).lower(),
        "Internal": str(found["Internal"]).lower(),
        "Labels": labels(found["Labels"]),
        "Name": found["Name"],
        "Scope": found["Scope"],
    }


def endpoint(cnm: Controller, network: str, sandbox: str) -> Endpoint:
    """The endpoint that a sandbox has on a network.

    Raises:
        NotFoundError: it has none, or there is no such network or sandbox.
    """
    net, box = cnm.network(network), cnm.sandbox(sandbox)
    for found in box.endpoints:
        if found.network == net:
            return found
    raise NotFoundError(
        f"sandbox {box.name} is not connected to network {net.name}; connect it first"
    )
