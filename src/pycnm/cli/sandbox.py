"""`cnm sandbox`."""

from __future__ import annotations

from typing import Any

from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller, each, namespace, remove
from pycnm.cli.output import inspection, labels, listing, moment, say
from pycnm.sandbox import Sandbox


def create(arguments: Arguments) -> int:
    """Make a sandbox, or adopt a namespace as one."""
    (name,) = arguments.operands
    adopted = arguments.text("netns")
    with controller(arguments) as cnm:
        box = cnm.create_sandbox(
            name, netns=None if adopted is None else namespace(adopted), **settings(arguments)
        )
        say(box.id)
    return 0


def settings(arguments: Arguments) -> dict[str, Any]:
    """What flags say about a new sandbox."""
    return {
        "hostname": arguments.text("hostname"),
        "dns": arguments.texts("dns"),
        "dns_search": arguments.texts("dns-search"),
        "dns_options": arguments.texts("dns-option"),
        "extra_hosts": arguments.texts("add-host"),
        "labels": arguments.pairs("label") or None,
    }


def inspect(arguments: Arguments) -> int:
    """Show sandboxes as JSON; those there are, whatever others were asked for."""
    found = []
    with controller(arguments) as cnm:
        status = each(arguments.operands, lambda name: found.append(cnm.sandbox(name).inspect()))
    say(inspection(arguments, found))
    return status


def ls(arguments: Arguments) -> int:
    """List sandboxes."""
    titles = ("SANDBOX ID", "NAME", "STATE", "NETWORKS")
    with controller(arguments) as cnm:
        lines = listing(arguments, titles, cnm.sandboxes(), _row, _shown)
    say(*lines)
    return 0


def rm(arguments: Arguments) -> int:
    """Delete sandboxes."""
    with controller(arguments) as cnm:
        return remove(arguments, lambda name: cnm.sandbox(name).delete())


def start(arguments: Arguments) -> int:
    """Make sandboxes again that are down."""

    def start_one(name: str) -> None:
        cnm.sandbox(name).start()
        say(name)

    with controller(arguments) as cnm:
        return each(arguments.operands, start_one)


def _row(box: Sandbox) -> tuple[str, ...]:
    return (
        box.id,
        box.name,
        box.state,
        ",".join(endpoint.network.name for endpoint in box.endpoints),
    )


def _shown(box: Sandbox) -> dict[str, str]:
    found = box.inspect()
    return {
        "CreatedAt": moment(found["Created"]),
        "ID": found["Id"],
        "Labels": labels(found["Labels"]),
        "Name": found["Name"],
        "Networks": ",".join(found["Networks"]),
        "SandboxKey": found["SandboxKey"],
        "State": found["State"],
    }
