"""What is measured, as each contender does it."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from bench.machine import Host, make_namespace


class Contender(abc.ABC):
    """Attaches sandboxes to one bridge network of a host.

    Attributes:
        name: what the table calls it.
        makes_networks: making a network is a step of its own.
        publishes: it publishes ports.
    """

    name: ClassVar[str]
    makes_networks: ClassVar[bool] = False
    publishes: ClassVar[bool] = False

    def __init__(self, host: Host) -> None:
        self.host = host

    def settle_in(self) -> None:
        """Attach a sandbox that stays: some delete a network with its last sandbox."""
        self.resident = self.next_name()
        self.create_sandbox(self.resident)
        self.prepare(self.resident)
        self.connect(self.resident, [7] if self.publishes else [])

    def next_name(self) -> str:
        """A name that no sandbox has yet, of this contender or another."""
        return self.host.next_name()

    def prepare_network(self, name: str) -> None:  # noqa: B027 - one of them needs it
        """Do what may be done for `create_network` before the clock starts."""

    def create_network(self, name: str) -> None:
        """Make one more network."""
        raise NotImplementedError

    def delete_network(self, name: str) -> None:
        """Delete it."""
        raise NotImplementedError

    def create_sandbox(self, name: str) -> None:
        """Make a sandbox."""
        make_namespace(name)

    def prepare(self, name: str) -> None:  # noqa: B027 - one of them needs it
        """Do what may be done for `connect` before the clock starts."""

    @abc.abstractmethod
    def connect(self, name: str, ports: Sequence[int] = ()) -> None:
        """Attach a sandbox to the network, with TCP ports of the host published to it."""

    @abc.abstractmethod
    def delete_sandbox(self, name: str) -> None:
        """Delete a sandbox that is attached."""

    def close(self) -> None:  # noqa: B027 - most keep nothing
        """Let go of what this process keeps; what is in the host goes with the host."""
