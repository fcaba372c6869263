"""The gateway modes of a bridge network, one a family: what leaves it how, what may come in.

Source: the options `com.docker.network.bridge.gateway_mode_ipv4` and `_ipv6`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from netaddr import IPAddress

from pycnm.errors import InvalidArgumentError
from pycnm.plan.operation import Operation
from pycnm.plan.ports import FreshFlows, HeldPort
from pycnm.plan.rules import Entry
from pycnm.spec import addresses
from pycnm.spec.objects import Pool
from pycnm.spec.options import Kind
from pycnm.spec.ports import PortBinding
from pycnm.spec.wording import shown

NAT: Final = "nat"
UNPROTECTED: Final = "nat-unprotected"
ROUTED: Final = "routed"
ISOLATED: Final = "isolated"
_MODES: Final = (NAT, UNPROTECTED, ROUTED, ISOLATED)
_ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - what Docker users expect of -p
_NAMES: Final = {4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6"}
# Who may come to an address of the network directly, besides those it trusts.
_DIRECT: Final = {UNPROTECTED: "accept", ROUTED: "goto to_routed"}


def _mode(value: object) -> str:
    # Docker keeps an empty text for the default.
    found = value or NAT
    if isinstance(found, str) and found in _MODES:
        return found
    text = shown(value)
    quoted = text if text.startswith("'") else f"'{text}'"
    raise InvalidArgumentError(
        f"unknown gateway mode {quoted}; it should be {', '.join(_MODES[:-1])} or {_MODES[-1]}"
    )


MODE: Final = Kind(f"{', '.join(_MODES[:-1])} or {_MODES[-1]}", _mode)
"""The kind of gateway modes."""


def entries(
    bridge: str, version: int, mode: str, *, masquerade: bool, source: IPAddress | None
) -> Iterator[Operation]:
    """The rules of one family of a network that isn't internal.

    Args:
        masquerade: what goes outside has an address of the host, where there is NAT.
        source: that address; None for the one of the outgoing interface.
    """
    if masquerade and mode in {NAT, UNPROTECTED}:
        if source is not None:
            yield Entry(f"snat{version}", (bridge,), (str(source),))
        else:
            yield Entry(f"masquerade{version}", (bridge,))
    if mode in _DIRECT:
        yield Entry(f"direct{version}", (bridge,), (_DIRECT[mode],))


def named(pool: Pool) -> IPAddress | None:
    """The gateway that an auxiliary address names: a sandbox, in the place of the host."""
    for name, text in pool.aux:
        if name == _NAMES[pool.version]:
            return addresses.shared(text)
    return None


def any_address(version: int) -> str:
    """The address that stands for all of a family."""
    return _ANY[version]


def plan_port(binding: PortBinding) -> tuple[Operation, ...]:
    """A published port: opened where it has no port of the host, else held and led.

    The socket holds it, the element leads it, the flows are those it is not for.
    """
    version = binding.host_address.version
    target = str(binding.address)
    if not binding.host_port:
        return (
            Entry(f"open{version}", (target, binding.protocol, binding.port)),
            FreshFlows(target, binding.protocol, binding.port, target=target),
        )
    host = str(binding.host_address)
    key: tuple[str | int, ...] = (binding.protocol, binding.host_port)
    name = f"publish{version}"
    if host != _ANY[version]:
        key, name = (host, *key), f"{name}_at"
    flows = FreshFlows(
        host,
        binding.protocol,
        binding.host_port,
        target=target,
        before=binding.protocol == "udp",
    )
    return (
        HeldPort(binding.protocol, host, binding.host_port),
        Entry(name, key, (target, binding.port)),
        flows,
    )
