"""Calls to the C library that Python lacks."""

from __future__ import annotations

import ctypes
import errno
import os

from pycnm.errors import PermissionDeniedError

# By soname: ctypes.util.find_library starts ldconfig, and gcc if that fails.
_LIBC = ctypes.CDLL("libc.so.6", use_errno=True)


def call(name: str, *arguments: object, says: str = "") -> int:
    """What a function returns that returns less than 0 when it fails.

    Args:
        name: of the function.
        arguments: its arguments.
        says: the name it goes by in an error, if not its own.

    Raises:
        PermissionDeniedError: EPERM or EACCES.
        OSError: it failed.
    """
    result: int = getattr(_LIBC, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        if code in {errno.EPERM, errno.EACCES}:
            raise PermissionDeniedError(
                f"not allowed to do {says or name}(2); run as root "
                "(CAP_NET_ADMIN and CAP_SYS_ADMIN are needed)"
            )
        raise OSError(code, f"{says or name}: {os.strerror(code)}")
    return result
