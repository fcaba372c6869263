"""System calls that fail where they may: what can't be is refused in words, and nothing is left."""

from __future__ import annotations

import errno

import operations
import pytest
from sweep import sweep
from trials import Fault, numbered

MOST = 16
"""Points of an operation that are tried, unless all are."""

KERNEL = tuple(
    getattr(errno, name)
    for name in ("ENOBUFS", "ENOMEM", "EINTR", "EAGAIN", "EBUSY", "EEXIST", "ENOSPC", "EPERM")
)
DISK = (errno.ENOSPC, errno.EIO, errno.ENOMEM, errno.EPERM)
PROCESS = (errno.EAGAIN, errno.ENOMEM)


def refusals(calls):
    """Each error that a call may return; on one that receives, what was asked for was done."""
    return [
        Fault(*kind, nth, code) for kind, nth in numbered(calls) for code in errors(*kind)
    ]


def errors(name, what):
    match name:
        case "clone3" | "clone" | "vfork" | "fork":
            return PROCESS
        case "pwrite64" | "fdatasync" | "fsync" | "ftruncate" | "openat" if "/cnm.db" in what:
            return DISK
        case "fcntl" | "flock" | "execve" | "listen":
            return ()
        case _:
            return KERNEL


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.TABLE)
def test_refused(name, zygote, tmp_path, tally, exhaustive):
    most = 0 if exhaustive else MOST
    failures = sweep(name, zygote, tmp_path, refusals, tally, "refused in an operation", most=most)
    assert not failures, "\n".join(failures)
