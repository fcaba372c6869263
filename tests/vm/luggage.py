"""What the guest has on a disk of its own: Python, the tests, the programs they start.

Everything else it reads from this machine, over 9p, where each `open` takes
milliseconds; a Python that starts makes hundreds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAMS = (
    "bash", "busybox", "cat", "conntrack", "env", "grep", "ip", "kmod", "mount", "nft", "nsenter",
    "ping", "sh", "sleep", "sysctl", "tc", "tcpdump", "true", "umount", "unshare",
)  # fmt: skip
CONFIGURATION = ("/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd", "/etc/protocols")

_UNUSED = {
    "distutils", "ensurepip", "idlelib", "lib2to3", "pip", "pydoc_data", "setuptools",
    "site-packages", "test", "tests", "tkinter", "turtledemo",
}  # fmt: skip
"""What no test imports of the standard library, or of what comes with an environment."""
_OPTIMISED = (".opt-1.pyc", ".opt-2.pyc")


def pack(image):
    """Make an image of a disk with all that, under the names it has on this machine."""
    with tempfile.TemporaryDirectory(dir=image.parent) as directory:
        stage = Path(directory)
        _collect(stage)
        size = sum(4 + path.lstat().st_size // 1024 for path in stage.rglob("*"))
        image.touch()
        words = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", stage]
        subprocess.run([*words, image, f"{size + size // 4}k"], check=True)


def _collect(stage):
    for name in PROGRAMS:
        if found := shutil.which(name):
            _program(stage, Path(found))
    _program(stage, Path(sys.executable))
    for name in CONFIGURATION:
        _file(stage, Path(name))
    _file(stage, Path(sys.prefix, "pyvenv.cfg"))
    _tree(stage, Path(sys.prefix, "bin"), _unimported)
    for what in ("stdlib", "purelib"):
        for place in Path(sysconfig.get_path(what)).iterdir():
            if not _unimported(place.name):
                _tree(stage, place, _unimported) if place.is_dir() else _file(stage, place)
    _tree(stage, ROOT, _hidden)


def _program(stage, path):
    _file(stage, path)
    shown = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for name in re.findall(r"(/\S+) \(0x", shown):
        _file(stage, Path(name))


def _file(stage, path):
    """Put a file there, and every symbolic link on the way to it."""
    way = Path("/")
    for part in path.parts[1:]:
        way /= part
        if way.is_symlink():
            _copy(way, stage / way.relative_to("/"))
            target = Path(os.path.normpath(way.parent / os.readlink(way)))
            _file(stage, target / path.relative_to(way))
            return
    if path.is_file():
        _copy(path, stage / path.relative_to("/"))


def _copy(source, target):
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def _tree(stage, path, unwanted):
    for directory, inner, files in os.walk(path):
        inner[:] = [name for name in inner if not unwanted(name)]
        for name in (*files, *inner):
            source = Path(directory, name)
            if source.is_symlink() or (name in files and not unwanted(name)):
                _copy(source, stage / source.relative_to("/"))


def _unimported(name):
    return name in _UNUSED or name.startswith("config-") or name.endswith(_OPTIMISED)


def _hidden(name):
    """The history, environments, caches; and what the documentation was made into."""
    return name.startswith(".") or name == "_build"
