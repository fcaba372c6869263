"""Fixtures for tests of programs that talk over a network.  They need root."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pycnm


@pytest.fixture(scope="session")
def cnm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pycnm.Controller]:
    """A controller with a state of its own: nothing else on the machine knows of it."""
    with pycnm.Controller(tmp_path_factory.mktemp("cnm")) as controller:
        yield controller


@pytest.fixture
def network(cnm: pycnm.Controller) -> Iterator[pycnm.Network]:
    """A network on the next free subnet, with no way out.  It goes with the test."""
    with cnm.create_network("shop", internal=True) as network:
        yield network


@pytest.fixture
def client(cnm: pycnm.Controller, network: pycnm.Network) -> Iterator[pycnm.Sandbox]:
    """Where the program that is tested runs."""
    with cnm.create_sandbox("shop-client") as sandbox:
        network.connect(sandbox)
        yield sandbox


@pytest.fixture
def server(
    cnm: pycnm.Controller, network: pycnm.Network, tmp_path: Path
) -> Iterator[pycnm.Sandbox]:
    """Another machine, as far as the client can see: it serves HTTP as `shop`."""
    with cnm.create_sandbox("shop-server") as sandbox:
        network.connect(sandbox, aliases=["shop"])
        with sandbox.popen([sys.executable, "-m", "http.server", "80"], cwd=tmp_path) as process:
            yield sandbox
            process.terminate()
