"""Where the `cnm` command begins.

Nothing is loaded before `main` runs, so that ^C is understood from the first
moment on that is ours.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
"""128 and the number of SIGINT; `signal` would have to be loaded to say so."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what a command line asks for; its exit status.

    Args:
        argv: the words after `cnm`; by default the process's own.
    """
    try:
        import sys  # noqa: PLC0415

        from pycnm.cli.front import serve  # noqa: PLC0415

        return serve(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except RuntimeError as error:
        # Python 3.11 wraps what happens while an enumeration is made.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return INTERRUPTED
