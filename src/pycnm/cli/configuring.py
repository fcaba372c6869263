"""`cnm network configure`: a network, or an endpoint on it, changed live."""

from __future__ import annotations

from typing import Any, Final

from pycnm.cli.arguments import Arguments, MisuseError
from pycnm.cli.network import endpoint
from pycnm.cli.opening import controller

_MISUSE: Final = 2
_OF_NETWORK: Final = {
    "attachable": "attachable",
    "aux-address": "aux_addresses",
    "driver": "driver",
    "gateway": "gateway",
    "internal": "internal",
    "ip-range": "ip_range",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "label": "labels",
    "opt": "options",
    "parent": "parent",
    "route": "routes",
    "subnet": "subnet",
}
"""Flags, and what `Network.configure` calls them."""
_OF_ENDPOINT: Final = {
    "alias": "aliases",
    "forwarding": "forwarding",
    "gw-priority": "gateway_priority",
    "ip": "ip",
    "ip6": "ip6",
    "mac": "mac",
    "rate": "rate",
    "route": "routes",
    "vlan": "vlan",
}
"""Flags, and what `Endpoint.configure` calls them."""
_REMOVALS: Final = {"label-rm": "labels", "opt-rm": "options"}


def configure(arguments: Arguments) -> int:
    """Change what is said of it by flags, as one change."""
    network, *sandbox = arguments.operands
    wishes = _wishes(arguments, whole=not sandbox)
    with controller(arguments) as cnm:
        if sandbox:
            endpoint(cnm, network, sandbox[0]).configure(**wishes)
        else:
            cnm.network(network).configure(**wishes)
    return 0


def _wishes(arguments: Arguments, *, whole: bool) -> dict[str, Any]:
    """What `configure` is to be given.

    Raises:
        MisuseError: nothing, or something that the other one has.
    """
    known, other = (_OF_NETWORK, _OF_ENDPOINT) if whole else (_OF_ENDPOINT, _OF_NETWORK)
    removals = _REMOVALS if whole else {}
    wishes: dict[str, Any] = {}
    for flag, value in arguments.values.items():
        if flag in known:
            wishes[known[flag]] = _value(value)
        elif flag in other or (flag in _REMOVALS and not whole):
            advice = "name the sandbox, too" if whole else "leave out the sandbox"
            raise MisuseError(
                f"--{flag} is about {'an endpoint' if whole else 'the network'}; {advice}", _MISUSE
            )
    for flag, name in removals.items():
        if keys := arguments.texts(flag):
            wishes[name] = wishes.get(name, {}) | dict.fromkeys(keys)
    if not wishes:
        raise MisuseError("nothing is to change; say what, as --rate or --opt", _MISUSE)
    return wishes


def _value(value: Any) -> Any:
    """Empty text takes back what was given; an empty one of a list, all that was listed."""
    if value == "":
        return None
    return [] if value == [""] else value
