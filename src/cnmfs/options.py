"""The options of a mount, as mount(8) writes them: `-o gid=admin,rmrf`."""

from __future__ import annotations

import contextlib
import grp
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from pycnm import InvalidArgumentError
from pycnm.cli.opening import namespace
from pycnm.controller import DEFAULT_STATE_DIR
from pycnm.spec.wording import shown

_GID_MAX = 2**32 - 2
"""The last one of those that mean a group: chown(2) takes the next for "leave it"."""
_BINDINGS = {"mfusepy", "fusepy"}
# What mount(8), mount.fuse3(8) and fstab(5) say to every filesystem. They are about when and
# by whom it is mounted, about programs, devices and times that aren't in this tree, or are
# so anyway.
_IGNORED = {
    "rw", "defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner",
    "group", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "diratime",
    "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime",
    "nolazytime", "async", "sync", "dirsync", "allow_other", "default_permissions",
}  # fmt: skip


@attrs.frozen
class Options:
    """How a tree is mounted.

    Attributes:
        state_dir: of the controller.
        host: the namespace that plays the machine, by name, path or process id; None for
            that of cnmfs.
        gid: the group that may write; None if only root may.
        rmrf: `rm -r` gets through.
        ro: nothing can be written.
        watch: what somebody takes away is put back at once, while it is mounted; otherwise
            it is only shown.
        binding: `mfusepy` or `fusepy`; by default the first that is installed.
    """

    state_dir: Path = Path(DEFAULT_STATE_DIR)
    host: str | int | None = None
    gid: int | None = None
    rmrf: bool = False
    ro: bool = False
    watch: bool = True
    binding: str = ""


def read(texts: list[str], environment: Mapping[str, str] = os.environ) -> Options:
    """The options of all `-o`.

    Args:
        environment: what isn't given may stand in it, CNM_STATE_DIR and CNM_HOST.

    Raises:
        InvalidArgumentError: one is unknown, or has a value it can't have.
    """
    options = Options(
        state_dir=Path(environment.get("CNM_STATE_DIR") or DEFAULT_STATE_DIR).absolute(),
        host=_host(environment.get("CNM_HOST", "")),
    )
    for item in ",".join(texts).split(","):
        name, _, value = item.partition("=")
        if name == "rmrf":
            options = attrs.evolve(options, rmrf=True)
        elif name == "ro":
            options = attrs.evolve(options, ro=True)
        elif name == "nowatch":
            options = attrs.evolve(options, watch=False)
        elif name == "gid":
            options = attrs.evolve(options, gid=_group(value))
        elif name == "state_dir":
            options = attrs.evolve(options, state_dir=_directory(value))
        elif name == "host":
            options = attrs.evolve(options, host=_host(value))
        elif name == "binding" and value in _BINDINGS:
            options = attrs.evolve(options, binding=value)
        elif name and name not in _IGNORED and not name.startswith("x-"):
            raise InvalidArgumentError(
                f"unknown mount option {shown(item)}; there are gid=GROUP, rmrf, ro, nowatch, "
                "state_dir=DIRECTORY, host=NAMESPACE and binding=mfusepy|fusepy"
            )
    return options


def _host(value: str) -> str | int | None:
    return namespace(value) if value else None


def _directory(value: str) -> Path:
    if not value or "\0" in value:
        raise InvalidArgumentError(f"state_dir={shown(value)}: give the path of a directory")
    return Path(value).absolute()


def _group(value: str) -> int:
    with contextlib.suppress(KeyError, ValueError):
        if not (value.isascii() and value.isdecimal()):
            return grp.getgrnam(value).gr_gid
        if len(value) <= len(str(_GID_MAX)) and int(value) <= _GID_MAX:
            return int(value)
    raise InvalidArgumentError(
        f"gid={shown(value)}: there is no such group; give a name of /etc/group, or a number"
    )
