"""Where the `cnm` command begins."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Do what a command line asks for; its exit status.

    Args:
        argv: the words after `cnm`; by default the process's own.
    """
    try:
        # Late, so that ^C is understood almost from the first moment on.
        from pycnm.cli.front import serve  # noqa: PLC0415

        return serve(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
