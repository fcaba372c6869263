"""The command cnmfs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cnmfs import mounting, options, service
from pycnm.errors import CNMError


def main(arguments: list[str] | None = None) -> int:
    """Mount the tree; the exit status."""
    parser = argparse.ArgumentParser(
        prog="cnmfs",
        description="Mount container networks as files.",
        epilog="Unmount with fusermount -u, or end it with SIGTERM; networks stay as they are.",
    )
    parser.add_argument("-o", action="append", default=[], metavar="OPTIONS", dest="options",
                        help="gid=GROUP, rmrf, ro, nowatch, state_dir=DIRECTORY, "
                             "host=NAMESPACE, binding=mfusepy|fusepy")  # fmt: skip
    parser.add_argument("-f", action="store_true", dest="foreground", help="stay in the foreground")
    parser.add_argument("words", nargs="+", metavar="MOUNTPOINT", help="a directory")
    given = parser.parse_intermixed_args(arguments)
    # mount(8) calls `mount.fuse.cnmfs SOURCE MOUNTPOINT`; the source says nothing.
    mountpoint = Path(given.words[-1]).absolute()
    try:
        chosen = options.read(given.options)
        mounting.replace_dead(mountpoint)
        if given.foreground:
            mounting.serve(mountpoint, chosen, lambda: service.tell("READY=1"))
            return 0
        return mounting.in_background(mountpoint, chosen)
    except CNMError as error:
        sys.stderr.write(f"cnmfs: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
