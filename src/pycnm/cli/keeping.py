"""`cnm explain`, `check`, `reconcile` and `agent`."""

from __future__ import annotations

import json
import os

from pycnm.cli import opening
from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller
from pycnm.cli.output import say
from pycnm.controller import Controller
from pycnm.endpoint import Endpoint
from pycnm.errors import InvalidArgumentError, NotFoundError
from pycnm.kernel import netns
from pycnm.network import Network
from pycnm.sandbox import Sandbox


def explain(arguments: Arguments) -> int:
    """Show what the kernel holds for an object, as commands."""
    *kinds, name = arguments.operands
    with controller(arguments) as cnm:
        plan = str(_object(cnm, kinds[0] if kinds else "", name).explain())
    if plan:
        say(plan)
    return 0


def check(arguments: Arguments) -> int:
    """Show how the kernel differs from what is recorded."""
    with controller(arguments) as cnm:
        differences = cnm.check()
    _tell(arguments, differences)
    return 1 if differences else 0


def reconcile(arguments: Arguments) -> int:
    """Put back what is missing, and show it."""
    with controller(arguments) as cnm:
        done = cnm.reconcile()
    _tell(arguments, done)
    return 0


def _tell(arguments: Arguments, lines: list[str]) -> None:
    if arguments.text("format") == "json":
        say(json.dumps(lines))
    else:
        say(*lines)


def agent(arguments: Arguments) -> int:
    """Be the agent of a state directory, and put back what is taken away, until told to end."""
    from pycnm.agent.run import main  # noqa: PLC0415 - a server, with what servers need

    # What is wrong with the directory or the host is said before it is served.
    with controller(arguments):
        pass
    host = opening.host(arguments)
    if host is not None:
        namespace = netns.descriptor(netns.resolve(host))
        netns.enter(namespace)
        os.close(namespace)
    dns = arguments.text("dns")
    return main(opening.state_dir(arguments), foreground=True, watch=True, dns=dns)


def _object(cnm: Controller, kind: str, name: str) -> Network | Sandbox | Endpoint:
    if kind == "endpoint" or (not kind and "/" in name):
        return _endpoint(cnm, name)
    if kind == "network":
        return cnm.network(name)
    if kind == "sandbox":
        return cnm.sandbox(name)
    found: list[Network | Sandbox] = []
    for find in (cnm.network, cnm.sandbox):
        try:
            found.append(find(name))
        except NotFoundError:
            continue
    if not found:
        raise NotFoundError(
            f"no network and no sandbox is called {name}; `cnm network ls` and `cnm sandbox ls` "
            "show those there are"
        )
    # A name of the one may happen to begin an id of the other.
    found = [each for each in found if name in {each.name, each.id}] or found
    if len(found) > 1:
        raise InvalidArgumentError(
            f"{name} is a network and a sandbox; write `cnm explain network {name}` or "
            f"`cnm explain sandbox {name}`"
        )
    return found[0]


def _endpoint(cnm: Controller, name: str) -> Endpoint:
    network, _, own = name.rpartition("/")
    networks = [cnm.network(network)] if network else cnm.networks()
    found = [endpoint for net in networks for endpoint in net.endpoints if endpoint.name == own]
    if not found:
        raise NotFoundError(
            f"no endpoint is called {name}; `cnm network inspect` shows those of a network"
        )
    if len(found) > 1:
        names = ", ".join(f"{endpoint.network.name}/{own}" for endpoint in found)
        raise InvalidArgumentError(f"several endpoints are called {name}; choose from {names}")
    return found[0]
