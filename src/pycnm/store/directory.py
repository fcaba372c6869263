"""The state directory, which is its owner's alone: what is recorded in it is done by root."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_IWGRP, S_IWOTH

from pycnm.errors import PermissionDeniedError


def prepare(directory: Path) -> None:
    """Make a state directory, with mode 0700, or refuse one that others could change.

    Directories above it that aren't there are made with mode 0755, whatever the
    caller's umask would let others do.

    Raises:
        PermissionDeniedError: it, or the symbolic link that leads to it, belongs to
            neither root nor the caller, or others may write in it.
        OSError: it can't be made.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        for parent in reversed(directory.parents):
            parent.mkdir(mode=0o755, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.stat()
    strangers = {directory.lstat().st_uid, found.st_uid} - {0, os.geteuid()}
    if strangers:
        raise PermissionDeniedError(
            f"the state directory {directory} belongs to user {min(strangers)}, who could change "
            "what is done by what it records; name another one, or `chown` it if all that is in "
            "it can be trusted"
        )
    if found.st_mode & (S_IWGRP | S_IWOTH):
        raise PermissionDeniedError(
            f"others may write in the state directory {directory}, and could change what is done "
            f"by what it records; name another one, or `chmod go-w {directory}`"
        )
