"""Every exception pycnm raises.

Divided by what the caller can do next.  Each carries an `errno`, so that a
front end (a filesystem, an exit status, an HTTP status) needs no table of its
own, and a message that ends in advice.
"""

from __future__ import annotations

import errno as _errno
from typing import ClassVar


class CNMError(Exception):
    """Something pycnm was asked for did not happen, and nothing was left behind.

    Catch this to catch everything the library raises on purpose.

    Attributes:
        errno: the errno(3) value that says the same to a C program.
        status: the HTTP status the Docker Engine API answers with.
        cni_code: the error code a CNI plugin reports (CNI specification, "Error").
    """

    errno: int = _errno.EIO
    status: ClassVar[int] = 500
    cni_code: ClassVar[int] = 999


class InvalidArgumentError(CNMError, ValueError):
    """An argument is malformed, out of range or contradicts another.

    Nothing was looked up or touched.  A well-formed name that belongs to
    nothing is `NotFoundError`; one that is taken, `AlreadyExistsError`.
    """

    errno = _errno.EINVAL
    status = 400
    cni_code = 7


class OutOfSubnetError(InvalidArgumentError):
    """An address is well-formed, but lies outside the network's subnet."""

    errno = _errno.EADDRNOTAVAIL


class NotFoundError(CNMError, LookupError):
    """No network, endpoint, sandbox or driver goes by this name or id (any more)."""

    errno = _errno.ENOENT
    status = 404
    cni_code = 3


class NoInterfaceError(NotFoundError):
    """The host has no interface of this name for a network to sit on."""

    errno = _errno.ENODEV


class AlreadyExistsError(CNMError):
    """The name is taken.  Use the object that has it, or choose another name."""

    errno = _errno.EEXIST
    status = 409
    cni_code = 100


class NotPermittedError(CNMError):
    """A predefined object cannot be renamed, removed or changed like this.

    Unlike `PermissionDeniedError` no right helps.
    """

    errno = _errno.EPERM
    status = 403
    cni_code = 101


class InUseError(CNMError):
    """Something still depends on the object; the message names it."""

    errno = _errno.EBUSY
    status = 403
    cni_code = 102


class PoolOverlapError(InUseError):
    """The subnet overlaps one that is already in use; the message names whose."""

    errno = _errno.EADDRINUSE
    cni_code = 103


class PoolExhaustedError(CNMError):
    """No subnet, no address or no port is left in the pool that was asked."""

    errno = _errno.ENOSPC
    status = 503
    cni_code = 104


class AddressInUseError(InUseError):
    """The IP or MAC address belongs to another endpoint, or is reserved."""

    errno = _errno.EADDRINUSE
    cni_code = 105


class PortInUseError(InUseError):
    """The host port is taken; the message and `holder` name by whom.

    Attributes:
        holder: the endpoint or the process that has it, in words.
        port: its number.
    """

    errno = _errno.EADDRINUSE
    status = 500
    cni_code = 106

    def __init__(self, message: str, holder: str = "", port: int = 0) -> None:
        super().__init__(message)
        self.holder = holder
        self.port = port


class NotSupportedError(CNMError):
    """This kernel, or this driver, can't do it; the message names what is missing."""

    errno = _errno.EOPNOTSUPP
    status = 501
    cni_code = 107


# For OSError `errno` may be None, for a CNMError it may not: mypy sees two types for one
# attribute.  Both bases are wanted, as callers catch either; and it is always set.
class PermissionDeniedError(CNMError, PermissionError):  # type: ignore[misc] # see above
    """The caller lacks a right (CAP_NET_ADMIN, CAP_SYS_ADMIN, a file's mode)."""

    status = 403
    cni_code = 108

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = _errno.EACCES


class KernelError(CNMError):
    """The kernel refused an operation; everything done before it was undone.

    Attributes:
        operation: the operation as a person would type it.
        errno: what the kernel answered.
    """

    cni_code = 109

    def __init__(self, operation: str, errno: int, message: str = "") -> None:
        self.operation = operation
        self.errno = errno
        reason = message or _errno_text(errno)
        super().__init__(f"the kernel refused `{operation}`: {reason}")


class CleanupError(CNMError, ExceptionGroup[Exception]):
    """Undoing went to its end, and these steps of it failed.

    What could not be undone stays recorded; `Controller.reconcile` or the next
    `Controller` on the state directory tries again.
    """

    errno = _errno.EIO


class StoreError(CNMError):
    """The state directory can't be read or written, or what it holds is damaged."""

    errno = _errno.EIO
    status = 500
    cni_code = 5

    @staticmethod
    def damage(
        what: str, reason: object, database: object = "cnm.db, in the state directory,"
    ) -> StoreError:
        """The error for damage of the database that nothing can be set aside for.

        Args:
            what: what can't be read.
            reason: what is wrong with it.
            database: the file, as the message calls it.
        """
        return StoreError(
            f"{what} is damaged ({reason}); nothing was changed. To go on, move {database} "
            "away, with cnm.db-wal and cnm.db-shm beside it; then put a backup in its "
            "place and let `cnm reconcile` follow, or make anew what it recorded"
        )


class PluginError(CNMError):
    """A driver or IPAM of somebody else broke the contract or didn't answer."""

    errno = _errno.EREMOTEIO
    cni_code = 110


def _errno_text(number: int) -> str:
    name = _errno.errorcode.get(number, str(number))
    words = {
        _errno.EPERM: "not permitted; run as root (CAP_NET_ADMIN and CAP_SYS_ADMIN are needed)",
        _errno.EXFULL: "the bridge has no free port: a bridge takes 1,023; use a second network",
    }
    import os  # noqa: PLC0415 - only on the way of an error

    return f"{words.get(number, os.strerror(number))} ({name})"
