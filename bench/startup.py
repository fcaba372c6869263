"""Row 10: what programs wait for before their first line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.machine import Host
from bench.times import Times

NOTHING = "python -c pass"
IMPORT = "import pycnm"
USED = "import pycnm; pycnm.Controller"
PEER = "import pyroute2"
COMMAND = "cnm network ls"


def measure(host: Host, state: Path, times: Times, rounds: int) -> None:
    """Start each program in turn, after a round that has everything compiled and cached."""
    environment = {
        **os.environ,
        "CNM_STATE_DIR": str(state),
        "CNM_HOST": host.name,
    }
    programs = {
        NOTHING: ["-c", "pass"],
        IMPORT: ["-c", IMPORT],
        USED: ["-c", USED],
        PEER: ["-c", PEER],
        COMMAND: ["-m", "pycnm", "network", "ls"],
    }
    for number in range(rounds + 1):
        for name, arguments in programs.items():
            with times.of(name, sys.executable):
                subprocess.run(
                    [sys.executable, *arguments],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
        if not number:
            times.forget()
