"""Fixtures: hosts and what is around them, made of namespaces; controllers of them.

The whole test process gets a network namespace, a mount namespace and an empty
/run/netns of its own.  So nothing of the machine can be touched, several lanes
may run at once, whatever a test forgets is seen, and ends with the process.
"""

from __future__ import annotations

import contextlib
import os

import pytest
from surroundings import as_they_were, own_namespaces
from topology import Machine, differences, until

import pycnm

PREDEFINED = {"bridge", "host", "none"}


@pytest.fixture(scope="session", autouse=True)
def own_machine():
    """Namespaces for the whole run, so that the tests can't reach the machine's."""
    if os.geteuid() != 0:
        pytest.skip("needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own")
    own_namespaces()


@pytest.fixture(autouse=True)
def as_found(own_machine, tmp_path):
    """What a test takes it gives back: the machine and the process are as they were."""
    with as_they_were(tmp_path):
        yield


@contextlib.contextmanager
def machines():
    """Makes machines, `make("h1")`, and removes them in the end."""
    made = []

    def make(name):
        made.append(Machine(name))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.remove()


@contextlib.contextmanager
def controllers(directory, *, dns=True):
    """Opens controllers, `open_one(host)`; in the end their hosts are as they were before.

    Args:
        dns: what they are opened with, unless it is said.
    """
    opened, homes = [], {}

    def open_one(host, state="state", before=None, **options):
        homes.setdefault(directory / state, {}).setdefault(host, before or host.picture())
        wanted = {"dns": dns} | options
        opened.append(pycnm.Controller(directory / state, host=host.name, **wanted))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
    for home, hosts in homes.items():
        # The last one: the others are earlier lives of it.
        host, before = hosts.popitem()
        clear(home, host)
        until(lambda host=host, before=before: host.picture() == before)
        left = list(differences(host.picture(), before))
        assert left == [], f"the host isn't as it was: {left}"
        assert sorted(path.name for path in (home / "sandboxes").glob("*")) == []


def clear(directory, host):
    """Delete everything a state directory records, with the library itself."""
    with pycnm.Controller(directory, host=host.name) as cnm:
        before = cnm.check()
        for sandbox in cnm.sandboxes():
            sandbox.delete()
        for network in cnm.networks():
            for endpoint in network.endpoints:
                endpoint.delete()
            if network.name not in PREDEFINED:
                network.delete()
        assert before == []
        assert cnm.check() == []


@pytest.fixture
def machine(as_found):
    """Makes machines: `machine("h1")`."""
    with machines() as make:
        yield make


@pytest.fixture
def controller(request, machine, tmp_path):
    """Opens controllers: `controller(host)`; they leave the host as they found it.

    They have names answered in scenarios, and where names are what is tested.  Elsewhere
    it would start an agent for each test.
    """
    dns = request.path.name.startswith(("test_s", "test_names"))
    with controllers(tmp_path, dns=dns) as open_one:
        yield open_one


@pytest.fixture
def host(machine):
    """A host; with `outside` or `cnm` it has 192.0.2.1 and 2001:db8::1 on eth0."""
    return machine("h1")


@pytest.fixture
def outside(machine, host):
    """The neighbour of the host: 192.0.2.66 and 2001:db8::66."""
    far = machine("outside")
    host.wire(far, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.66/24", "2001:db8::66/64"])
    return far


@pytest.fixture
def cnm(controller, host, outside):
    """A controller of the host."""
    return controller(host)
