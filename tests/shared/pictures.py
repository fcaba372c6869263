"""Pictures of a namespace that can be compared: what is listed in any order gets one order."""

from __future__ import annotations

import json


def differences(now, before, path=""):
    """What differs between two nested values, by the way to it."""
    if isinstance(now, dict) and isinstance(before, dict):
        for key in {**before, **now}:
            yield from differences(now.get(key), before.get(key), f"{path}/{key}")
    elif isinstance(now, list) and isinstance(before, list):
        more = [item for item in now if item not in before]
        less = [item for item in before if item not in now]
        yield from (f"{path}: + {item}" for item in more)
        yield from (f"{path}: - {item}" for item in less)
    elif now != before:
        yield f"{path}: {before!r} -> {now!r}"


def plain_routes(routes):
    """Routes in one order; less those that the kernel makes for addresses, when it gets to it."""
    dull = {"flags", "metric", "pref", "expires"}
    return sorted(
        json.dumps({key: value for key, value in route.items() if key not in dull})
        for route in routes
        if route.get("table") != "local" and not route["dst"].startswith(("fe80:", "ff00:"))
    )


def plain_rules(items):
    plain = []
    for item in items:
        for kind, body in item.items():
            if kind == "metainfo":
                continue
            kept = {key: value for key, value in body.items() if key != "handle"}
            if "elem" in kept:
                kept["elem"] = sorted(kept["elem"], key=json.dumps)
            plain.append({kind: kept})
    # Rules stay in their order, which means something; the rest comes in any.
    return sorted(plain, key=_rank)


_RANKS = ("table", "map", "set", "chain", "rule", "element")


def _rank(item):
    ((kind, body),) = item.items()
    if kind == "rule":
        text = f"{body['family']} {body['table']} {body['chain']}"
    else:
        text = json.dumps(body, sort_keys=True)
    return _RANKS.index(kind), text
