"""pycnm as a contender: the calls that its users make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pycnm
from bench.contender import Contender
from bench.machine import Host, end_agents


class Pycnm(Contender):
    """A Controller with one network on a host of its own.

    Args:
        state: the state directory.
    """

    name = "pycnm"
    makes_networks = True
    publishes = True

    def __init__(self, host: Host, state: Path) -> None:
        super().__init__(host)
        self.state = state
        self.controller = pycnm.Controller(state, host=host.name)
        self.network = self.controller.create_network("bench", subnet="10.88.0.0/16")
        self._subnets = itertools.count()
        self._changes = itertools.count()

    def create_network(self, name: str) -> None:
        number = next(self._subnets)
        subnet = f"10.{100 + number // 256}.{number % 256}.0/24"
        self.controller.create_network(name, subnet=subnet)

    def delete_network(self, name: str) -> None:
        self.controller.network(name).delete()

    def create_sandbox(self, name: str) -> None:
        self.controller.create_sandbox(name)

    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        self.network.connect(name, publish=[f"{port}:{port}" for port in ports])

    def change(self) -> None:
        """Change something of the network that changes nothing in the kernel."""
        self.network.configure(labels={"change": str(next(self._changes))})

    def endpoint(self, name: str) -> pycnm.Endpoint:
        """The endpoint of a sandbox."""
        return self.controller.sandbox(name).endpoints[0]

    def delete_sandbox(self, name: str) -> None:
        self.controller.sandbox(name).delete()

    def close(self) -> None:
        self.controller.close()
        end_agents(self.state)
