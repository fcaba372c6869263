"""Ports of the host held by sockets of the agent: the client side."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pycnm.errors import KernelError, PortInUseError
from pycnm.kernel import occupants
from pycnm.kernel.session import REALISATIONS, LinuxSession
from pycnm.plan.operation import HOST
from pycnm.plan.ports import HeldPort

if TYPE_CHECKING:
    from pycnm.kernel.agent import Agent

_SERVICE = "ports"


class Holder:
    """Has ports held by the agent of a state directory, for any number of threads.

    The calling thread must be in the namespace of the host.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def hold(self, ports: Sequence[HeldPort]) -> Callable[[], None]:
        """Have every port bound, or none of them; call what is returned to wait for it.

        The agent takes a while for many ports, in which the caller may prepare
        what comes next.

        Raises:
            PortInUseError: one of them is taken; `holder` says by whom.
            KernelError: one can't be bound for another reason.
            StoreError: the agent can't be started, or doesn't answer.
        """
        asked = self._agent.asked(_SERVICE, {"do": "hold", "ports": _plain(ports)}, start=True)

        def wait() -> None:
            answer = asked() or {}
            if "error" in answer:
                fact = HeldPort(*answer["port"]) if "port" in answer else ports[0]
                raise _refusal(fact, int(answer["error"]), str(answer.get("reason", "")))

        return wait

    def release(self, ports: Sequence[HeldPort]) -> Callable[[], object]:
        """Have the ports closed; call what is returned to wait for it.

        An agent that isn't there holds nothing.
        """
        request = {"do": "release", "ports": _plain(ports)}
        return self._agent.asked(_SERVICE, request, start=False)

    def holds(self, port: HeldPort) -> bool:
        """Whether the agent has a socket bound to the port."""
        request = {"do": "list", "ports": _plain([port])}
        answer = self._agent.ask(_SERVICE, request, start=False) or {}
        return bool(answer.get("ports"))


def _plain(ports: Sequence[HeldPort]) -> list[list[Any]]:
    return [[port.protocol, port.address, port.port] for port in ports]


def _refusal(fact: HeldPort, code: int, reason: str) -> PortInUseError | KernelError:
    if code != errno.EADDRINUSE:
        return KernelError(str(fact), code, _advice(code, fact) or reason)
    holder = occupants.of_port(fact.protocol, fact.address, fact.port) or occupants.UNSEEN
    shown = f"[{fact.address}]" if ":" in fact.address else fact.address
    return PortInUseError(
        f"port {shown}:{fact.port}/{fact.protocol} of the host is taken by {holder}; "
        "stop it, or publish on another port",
        holder,
        fact.port,
    )


def _advice(code: int, fact: HeldPort) -> str:
    if code == errno.EADDRNOTAVAIL:
        wildcard = "::" if ":" in fact.address else "0.0.0.0"  # noqa: S104 - what it is called
        return f"{fact.address} is no address of this host; publish on one it has, or on {wildcard}"
    if code in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}:
        return (
            f"this kernel has no {fact.protocol} (module {fact.protocol}); load it with "
            f"`modprobe {fact.protocol}`, or publish tcp or udp"
        )
    if code == errno.EAFNOSUPPORT:
        return "this kernel has no IPv6; publish on an IPv4 address"
    if code == errno.EMFILE:
        return "the agent has reached its limit of open files; start it with a higher RLIMIT_NOFILE"
    return ""


class _HeldPorts:
    def add(self, session: LinuxSession, fact: HeldPort) -> None:
        session.queue_for_agent("hold", fact)

    def remove(self, session: LinuxSession, fact: HeldPort) -> None:
        session.queue_for_agent("release", fact)

    def differs(self, session: LinuxSession, fact: HeldPort) -> str | None:
        if session.holds_port(fact):
            return None
        session.enter(HOST)
        holder = occupants.of_port(fact.protocol, fact.address, fact.port)
        shown = f"[{fact.address}]" if ":" in fact.address else fact.address
        words = f"port {shown}:{fact.port}/{fact.protocol} isn't held by the agent"
        return f"{words}; {holder} has it" if holder else words


REALISATIONS[HeldPort] = _HeldPorts()
