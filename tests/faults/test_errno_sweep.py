"""System calls that fail where they may: what can't be is refused in words, and nothing is left."""

from __future__ import annotations

import errno
import zlib

import operations
import pytest
from sweep import sweep
from trials import Fault, numbered

MOST, MOST_OF_OTHERS = 16, 4
"""Points of an operation that are tried, unless all are."""

KERNEL = tuple(
    getattr(errno, name)
    for name in ("ENOBUFS", "ENOMEM", "EINTR", "EAGAIN", "EBUSY", "EEXIST", "ENOSPC", "EPERM")
)
DISK = (errno.ENOSPC, errno.EIO, errno.ENOMEM, errno.EPERM)
PROCESS = (errno.EAGAIN, errno.ENOMEM)


def refusals(calls):
    """Each error that a call may return; on one that receives, what was asked for was done."""
    return [Fault(*kind, nth, code) for kind, nth in numbered(calls) for code in errors(*kind)]


def in_turn(calls):
    """Each call with one error, and each kind of call with all of them, if there are so many."""
    chosen = []
    for kind, nth in numbered(calls):
        if codes := errors(*kind):
            chosen.append(
                Fault(*kind, nth, codes[(nth + zlib.crc32(repr(kind).encode())) % len(codes)])
            )
    return chosen


def errors(name, what):
    if what == "/dev/fuse":
        return ()  # libfuse's own talk with the kernel, which refuses none of it
    match name:
        case "clone3" | "clone" | "vfork" | "fork":
            return PROCESS
        case "pwrite64" | "fdatasync" | "fsync" | "ftruncate" | "openat" if "/cnm.db" in what:
            return DISK
        case "fcntl" | "flock" | "execve" | "listen":
            return ()
        case _:
            return KERNEL


@pytest.fixture
def refused(zygote, tmp_path, tally, exhaustive, each):
    """Sweeps an operation, and asserts that nothing is ever left."""

    def check(name, kind, most=MOST, **how):
        faults = in_turn if each else refusals
        most = 0 if exhaustive or each else most
        failures = sweep(name, zygote, tmp_path, faults, tally, kind, most=most, **how)
        assert not failures, "\n".join(failures)

    return check


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.TABLE)
def test_refused(name, refused):
    refused(name, "refused in an operation")


@pytest.mark.usefixtures("vlans")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.VLANS)
def test_refused_with_vlans(name, refused):
    refused(name, "refused in an operation with VLANs", MOST_OF_OTHERS)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.AGENT)
def test_the_agent_is_refused(name, refused):
    """While it is started, and while it serves: the caller gets what it wants, or an error."""
    refused(name, "agent refused in an operation", MOST_OF_OTHERS, others=True)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.FILES)
def test_cnmfs_is_refused(name, refused):
    """While it serves a system call of somebody else, which gets an error of its own."""
    refused(name, "cnmfs refused in a call on its tree", MOST_OF_OTHERS)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", operations.RECOVERY | operations.REBOOT)
def test_who_recovers_is_refused(name, refused):
    """One died before, or the whole host did; what can't be put right is told, and is later."""
    refused(name, "refused in a recovery", MOST_OF_OTHERS)


@pytest.mark.timeout(600)
def test_no_request_that_is_refused_is_passed_over(zygote, tmp_path, tally):
    """An address whose deletion was refused stayed, and the network was told to be changed."""

    def asked(calls):
        return [
            Fault(*kind, nth, errno.ENOBUFS)
            for kind, nth in numbered(calls)
            if kind == ("sendto", "AF_NETLINK")
        ]

    name = "configure network: subnet"
    failures = sweep(name, zygote, tmp_path, asked, tally, "refused requests to the kernel")
    assert not failures, "\n".join(failures)


@pytest.mark.timeout(600)
def test_cnmfs_gets_no_thread(zygote, tmp_path, tally):
    """EINVAL came of that, and words about Python; while it was mounted, a mount that was dead."""

    def started(calls):
        kinds = [(kind, nth) for kind, nth in numbered(calls) if kind[0] in {"clone3", "clone"}]
        return [Fault(*kind, nth, errno.EAGAIN) for kind, nth in kinds] * 2

    failures = sweep("mkdir networks/n", zygote, tmp_path, started, tally, "cnmfs without threads")
    assert not failures, "\n".join(failures)
