"""Filesystems of the bench: cnmfs, the smallest one on its binding, and two of the kernel's."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import machine
from bench.machine import Host, call, unmount, wait_for
from bench.ours import Pycnm

BINDINGS = {"mfusepy": "mfusepy", "fusepy": "fuse"}
"""The bindings that cnmfs can use, and the modules they come as."""

SMALLEST, CNMFS = "smallest, {}", "cnmfs, {}"
"""What tables call a filesystem on a binding."""
_PLACE = Path("/run/bench")
_numbers = itertools.count()


def present() -> list[str]:
    """The bindings that are installed."""
    return [name for name, module in BINDINGS.items() if importlib.util.find_spec(module)]


def point(name: str) -> Path:
    """A directory to mount on; it goes with this machine's /run."""
    path = _PLACE / f"{next(_numbers)}-{name}"
    path.mkdir(parents=True)
    return path


class Served:
    """A filesystem that a process of its own serves.

    Args:
        program: the module and its arguments, but for the mount point.
    """

    def __init__(self, name: str, *program: str) -> None:
        self.root = point(name)
        outside = self.root.stat().st_dev
        # Not for it is the Ctrl-C of who runs the bench.
        self._process = subprocess.Popen(
            [sys.executable, "-m", *program, str(self.root)], start_new_session=True
        )
        self.pid = self._process.pid

        def mounted() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"{' '.join(program)}: it ended before it had mounted")
            return self.root.stat().st_dev != outside

        wait_for(mounted, f"{' '.join(program)} doesn't mount")

    def close(self) -> None:
        """Unmount it, and wait for the process to end."""
        unmount(self.root)
        self._process.wait()


def cnmfs(ours: Pycnm, binding: str) -> Served:
    """The tree of a controller that others use as well."""
    return Served(f"cnmfs-{binding}", "cnmfs", "-f", *chosen(ours, binding))


def chosen(ours: Pycnm, binding: str) -> list[str]:
    """The options with which cnmfs shows what a controller has, and nobody else is at work."""
    return ["-o", f"state_dir={ours.state},host={ours.host.name},binding={binding},nowatch"]


def smallest(binding: str, tree: Mapping[str, str | None], directory: Path) -> Served:
    """The smallest filesystem that shows the same.

    Args:
        directory: where the tree is written meanwhile.
    """
    document = directory / "tree.json"
    document.write_text(json.dumps(tree))
    served = Served(f"smallest-{binding}", "bench.smallest", binding, str(document))
    document.unlink()
    return served


def copied(root: Path) -> dict[str, str | None]:
    """What is in a tree: the text of each file, None for a directory."""
    found: dict[str, str | None] = {}
    for where, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = Path(where, name)
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    text = None if name in directories else path.read_text()
                    found[f"/{path.relative_to(root)}"] = text
    return found


def sysfs(host: Host) -> Path:
    """The interfaces of a host as sysfs shows them."""
    path = point("sysfs")
    host.inside(call, "mount", b"none", bytes(path), b"sysfs", 0, None)
    return path / "devices/virtual/net"


@contextlib.contextmanager
def cgroup(directory: Path) -> Iterator[Path]:
    """A cgroup of version 2 that nobody is in; it is gone afterwards, and what is in it too.

    Args:
        directory: of this run; the cgroup is named after it.
    """
    root = point("cgroup")
    call("mount", b"none", bytes(root), b"cgroup2", 0, None)
    path = root / directory.name
    with machine.undone_at_the_end(lambda: _remove(path)):
        path.mkdir()
        yield path
    unmount(root)


def _remove(cgroup: Path) -> None:
    while cgroup.exists():
        # Whoever is just measuring may still make some.
        with contextlib.suppress(OSError):
            for child in cgroup.iterdir():
                if child.is_dir():
                    child.rmdir()
            cgroup.rmdir()
