"""A host on a wire with a router, for networks whose sandboxes are on that wire too."""

from __future__ import annotations

import pytest
from topology import inside

ROUTER, FAR = "192.168.0.1", "203.0.113.9"
LAN = {"subnet": "192.168.0.0/24", "gateway": ROUTER}


@pytest.fixture
def router(machine, host):
    """The router of the wire that the host is on: 192.168.0.1, and 203.0.113.9 behind it."""
    found, far = machine("router"), machine("far")
    host.wire(
        found,
        ["192.168.0.100/24", "fd00:9::100/64"],
        [f"{ROUTER}/24", "fd00:9::1/64"],
    )
    found.wire(far, ["203.0.113.1/24"], [f"{FAR}/24"], interface="eth1")
    found.forward()
    far.route("default via 203.0.113.1")
    return found


@pytest.fixture
def lan(controller, host, router):
    """A controller of the host on the wire."""
    return controller(host)


def mac(endpoint):
    return str(endpoint.mac).replace("-", ":").lower()


def way_out(place, family=4):
    """The gateway of the default route, and the interface to it."""
    found = [route for route in place.routes(family) if route["dst"] == "default"]
    return (found[0].get("gateway"), found[0]["dev"]) if found else None


def on(cnm, network, *names, **wishes):
    """Sandboxes on a network, each with its place and its endpoint."""
    found = []
    for name in names:
        box = cnm.create_sandbox(name)
        found.append((inside(box), network.connect(box, **wishes)))
    return found
