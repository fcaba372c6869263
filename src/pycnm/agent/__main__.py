"""How the agent is started: `python -m pycnm.agent --state-dir DIRECTORY`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pycnm.agent.run import main


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pycnm.agent", description="Serve a state directory of pycnm."
    )
    parser.add_argument("--state-dir", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help='descriptor to write "ready" to once requests are served',
    )
    parser.add_argument(
        "--foreground", action="store_true", help="don't detach; say on stderr what is done"
    )
    parser.add_argument(
        "--watch", action="store_true", help="put back what somebody takes away, until told to end"
    )
    parser.add_argument("--until-eof", action="store_true", help="end when stdin does")
    return parser.parse_args()


if __name__ == "__main__":
    # Somebody waits for this process, and there is nothing to be tidied up.
    os._exit(main(**vars(_arguments())))
