"""What the flags of `cnm run` say about its endpoints."""

from __future__ import annotations

from typing import Any

from pycnm.cli.arguments import Arguments, MisuseError

_MISUSE = 125
_DEFAULT = "bridge"
_SHARED = "container:"
_KEYS = {
    "ip": "ip",
    "ip6": "ip6",
    "mac-address": "mac",
    "alias": "aliases",
    "link-local-ip": "link_local_ips",
    "driver-opt": "options",
    "gw-priority": "gateway_priority",
    "interface": "interface",
    "rate": "rate",
    "route": "routes",
    "forwarding": "forwarding",
}
"""Docker's words in `--network name=...,KEY=VALUE`, and what `Network.connect` calls them."""


def endpoint_wishes(arguments: Arguments) -> dict[str, dict[str, Any]]:
    """What `Network.connect` is to be given, by the reference of the network.

    Raises:
        MisuseError: a `--net` makes no sense, or contradicts another flag.
    """
    wishes: dict[str, dict[str, Any]] = {}
    for text in arguments.texts("net") or [_DEFAULT]:
        network, wish = _long(text) if "=" in text else (text, {})
        if network.startswith(_SHARED):
            name = network.removeprefix(_SHARED)
            raise _refused(text, f"to share its network, run the command in it: cnm exec {name}")
        if network in wishes:
            raise _refused(text, f"{network} is named twice; a sandbox is on a network once")
        wishes[network] = wish
    first, wish = next(iter(wishes.items()))
    wishes[first] = _merged(first, wish, _of_flags(arguments))
    return wishes


def _of_flags(arguments: Arguments) -> dict[str, Any]:
    given = {
        "ip": arguments.text("ip"),
        "ip6": arguments.text("ip6"),
        "mac": arguments.text("mac"),
        "aliases": arguments.texts("network-alias"),
        "link_local_ips": arguments.texts("link-local-ip"),
        "rate": arguments.text("rate"),
        "routes": arguments.texts("route"),
        "forwarding": arguments.switch("forwarding") or None,
        "publish": arguments.texts("publish"),
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def _merged(network: str, wish: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    merged = dict(wish)
    for name, value in flags.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(value, list):
            merged[name] = [*merged[name], *value]
        else:
            raise _refused(f"name={network}", f"{name} is given twice, here and as a flag")
    return merged


def _long(text: str) -> tuple[str, dict[str, Any]]:
    """The network, and the rest, of `name=NETWORK,KEY=VALUE`, as Docker's --network takes it."""
    network = ""
    wish: dict[str, Any] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if key == "name":
            network = value
        elif not equals or key not in _KEYS:
            raise _refused(text, f"{field!r} is none of name=, {'=, '.join(_KEYS)}=")
        else:
            _put(text, wish, key, value)
    if not network:
        raise _refused(text, "it lacks name=NETWORK")
    return network, wish


def _put(text: str, wish: dict[str, Any], key: str, value: str) -> None:
    name = _KEYS[key]
    if key in {"alias", "link-local-ip", "route"}:
        wish.setdefault(name, []).append(value)
    elif key == "driver-opt":
        option, _, setting = value.partition("=")
        wish.setdefault(name, {})[option] = setting
    elif key == "forwarding":
        if value not in {"true", "false"}:
            raise _refused(text, f"forwarding={value} should be true or false")
        wish[name] = value == "true"
    elif key == "gw-priority":
        try:
            wish[name] = int(value)
        except ValueError:
            raise _refused(text, f"gw-priority={value} should be a whole number") from None
    else:
        wish[name] = value


def _refused(text: str, why: str) -> MisuseError:
    return MisuseError(f"invalid argument {text[:100]!r} for --net: {why}", _MISUSE)
