"""Debian's kernel, unpacked and not installed, in a cache that stays from run to run."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

META = "linux-image-amd64"
"""The package that depends on the newest kernel of the distribution."""


class Kernel(NamedTuple):
    """A kernel that can be booted."""

    release: str
    image: Path
    modules: Path


def kernel():
    """The distribution's newest kernel; it is fetched if it isn't in the cache yet.

    Raises:
        SystemExit: there is none to be had.
    """
    found = _found()
    if found is None:
        # A machine that was just made has no lists of packages, others have old ones.
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        found = _found()
    if found is None:
        raise SystemExit(
            f"vm: apt can't fetch {META} here; the vm lane needs Debian on x86-64, and once the "
            f"network, for what it then keeps in {_cache()}"
        )
    return found


def _found():
    """The kernel, fetched if it must be; None if apt can't."""
    package = _depended_on()
    version = package and _version(package)
    if not version:
        return None
    release = package.removeprefix("linux-image-")
    place = _cache() / f"{package}_{version}"
    if not place.exists() and not _fetch(package, release, place):
        return None
    return Kernel(release, place / f"boot/vmlinuz-{release}", place / f"lib/modules/{release}")


def _cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pycnm"


def _depended_on():
    done = subprocess.run(["apt-cache", "depends", META], capture_output=True, text=True,
                          check=False)  # fmt: skip
    found = re.search(r"Depends: (linux-image-\S+)", done.stdout)
    return found and found[1]


def _version(package):
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package],
                           capture_output=True, text=True, check=False).stdout  # fmt: skip
    found = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
    return found and found[1].replace(":", "%3a")


def _fetch(package, release, place):
    """Unpack a package that apt fetches, and finds to be Debian's; return whether it can."""
    print(f"vm: fetching {package}", flush=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="fetching-") as directory:
        # apt's own user may not write here; root does, as apt says at length otherwise.
        own = ["-o", "APT::Sandbox::User=root"]
        words = ["apt-get", *own, "-qq", "download", package]
        if subprocess.run(words, cwd=directory, check=False).returncode != 0:
            return False
        (archive,) = Path(directory).glob("*.deb")
        tree = Path(directory, "tree")
        subprocess.run(["dpkg", "-x", archive, tree], check=True)
        subprocess.run(["depmod", "-b", tree, release], check=True)
        # Whole, or not at all; somebody else may have been quicker.
        if not place.exists():
            tree.rename(place)
    return True
