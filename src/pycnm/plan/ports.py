"""Operations on published ports that are not nft elements: the socket, the flows."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from pycnm.plan.operation import Operation, Session
from pycnm.spec import addresses


@attrs.frozen
class HeldPort(Operation):
    """A port of the host that is held by a bound socket of the agent.

    The packets never come to the socket; it is there so that another program
    that binds the port gets EADDRINUSE, and so that pycnm gets it first.
    """

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"# `cnm agent` has a socket bound to {address}:{self.port}/{self.protocol}"


@attrs.frozen
class FreshFlows(Operation):
    """No flow that began before a mapping, or outlives it, takes the old way (conntrack(8)).

    Connection tracking decides once per flow.  Without this a UDP client that
    was there before the mapping would never reach it, and one that was there
    after it would go on reaching an address that may be somebody else's now.

    Attributes:
        address: the sandbox's address; or the host's, with `port`.
        target: with `port`, the sandbox's address that it leads to: forgetting
            all flows of that forgets these as well.
        before: also forget when the operation is done, not only when undone.
    """

    address: str
    protocol: str = ""
    port: int = 0
    target: str = ""
    before: bool = False

    def __str__(self) -> str:
        command = f"conntrack -D --reply-src {self.address}"
        if self.port:
            command = f"conntrack -D -p {self.protocol} --orig-port-dst {self.port}"
        return command if self.before else f"# when it goes: {command}"

    def keeps(self) -> tuple[Hashable, ...]:
        """Nothing for a port; for an address, the flows of its ports."""
        return () if self.port else (("flows", self.address),)

    def within(self) -> tuple[Hashable, ...]:
        """For a port, the flows of the address that it leads to."""
        return (("flows", self.target),) if self.port else ()

    def do(self, session: Session) -> None:
        """Forget what began before, where that matters."""
        if self.before:
            self.undo(session)

    def undo(self, session: Session) -> None:
        """Forget what is left."""
        address = addresses.shared(self.address)
        session.forget_flows(address, self.protocol or None, self.port or None)

    def check(self, session: Session) -> str | None:
        """Nothing stays that could be checked."""
        del session
        return None
