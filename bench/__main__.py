"""Measure pycnm beside its peers, on a machine of its own; docs/performance.md says how."""

from __future__ import annotations

import argparse
import os
import sys
import time

from bench import machine, peers, report, resolvers
from bench.parts import PARTS, Stage
from bench.table import Table


def main() -> int:
    """Measure and print; the exit status."""
    options = _parser().parse_args()
    if os.geteuid() != 0:
        print("bench: namespaces need root", file=sys.stderr)
        return 1
    place = machine.directory()
    if place is None:
        return machine.run_inside(sys.argv[1:], options.directory)
    machine.settle_in(place)
    heading = report.surroundings(options.rounds, sorted({*peers.missing(), *resolvers.missing()}))
    tables: list[Table] = []
    try:
        for name in options.parts or PARTS:
            start = time.monotonic()
            with Stage(place, options.rounds, options.scale, options.endpoints) as stage:
                tables += PARTS[name](stage)
            taken = time.monotonic() - start
            print(f"{name}: {taken:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return 130
    print(heading)
    for table in tables:
        print()
        print(table.markdown() if options.markdown else table.plain())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        metavar="N",
        help="how often everything short is done (default: 20)",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1,
        metavar="PART",
        help="make this part of the 1,000 networks, 10,000 ports and so on (default: 1)",
    )
    parser.add_argument(
        "--endpoints",
        type=int,
        default=3000,
        metavar="N",
        help="how many are there when it is measured what many cost (default: 3000)",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables as docs/performance.md has them"
    )
    parser.add_argument(
        "--directory",
        default="/var/tmp",
        help="where state is written meanwhile; it should be on a disk (default: /var/tmp)",
    )
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS)
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
