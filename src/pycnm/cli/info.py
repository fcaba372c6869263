"""What there is to work with: `cnm info`."""

from __future__ import annotations

import json
from importlib.metadata import version

import attrs

from pycnm.cli.arguments import Arguments
from pycnm.cli.opening import controller, state_dir
from pycnm.cli.output import say


def info(arguments: Arguments) -> int:
    """Show the version, the state directory, and what this kernel has."""
    with controller(arguments) as cnm:
        parts = cnm.kernel_parts()
        counts = {"networks": len(cnm.network_names()), "sandboxes": len(cnm.sandbox_names())}
    facts = {"version": version("pycnm"), "state_dir": state_dir(arguments), **counts}
    if arguments.text("format") == "json":
        say(json.dumps(facts | {"kernel": [attrs.asdict(part) for part in parts]}))
        return 0
    say(*(f"{name}: {value}" for name, value in facts.items()), "kernel:")
    say(*(f"  {part}" for part in parts))
    return 0
