"""The one module that knows the binding: FUSE's calls handed to a `Filesystem`.

mfusepy speaks libfuse 3, fusepy libfuse 2; both have the same interface.  It
decides nothing: what a call means is the business of `filesystem`.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from cnmfs.files import WRITES
from cnmfs.filesystem import Filesystem
from cnmfs.reasons import Caller
from cnmfs.sizes import Sizes

_log = logging.getLogger("cnmfs")

P = ParamSpec("P")
R = TypeVar("R")


def binding(wanted: str = "") -> Any:
    """The module of the binding.

    Args:
        wanted: `mfusepy` or `fusepy`; by default the first of these that is installed.

    Raises:
        ImportError: it isn't there, or finds no libfuse.
    """
    if wanted in {"", "mfusepy"}:
        # It takes libfuse 2 if that is there as well.
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
        try:
            import mfusepy  # noqa: PLC0415 - chosen at run time
        except (ImportError, OSError):
            os.environ.pop("FUSE_LIBRARY_NAME", None)
            if wanted:
                raise
        else:
            return mfusepy
    try:
        import fuse  # noqa: PLC0415 - chosen at run time
    except OSError as error:
        raise ImportError(str(error)) from error
    if not hasattr(fuse, "FUSE"):
        raise ImportError("the module `fuse` is fuse-python's; install fusepy or mfusepy")
    return fuse


class _Pinned(threading.local):
    """Keeps the Python state of a thread of libfuse's.

    Otherwise one is made and destroyed for each request, which takes longer
    than most requests.
    """

    def __init__(self) -> None:
        ctypes.pythonapi.PyGILState_Ensure()


_pinned = _Pinned()


def _call(method: Callable[Concatenate[Adapter, P], R]) -> Callable[Concatenate[Adapter, P], R]:
    @wraps(method)
    def guarded(self: Adapter, /, *arguments: P.args, **more: P.kwargs) -> R:
        _ = _pinned.__dict__
        try:
            return method(self, *arguments, **more)
        except OSError as error:
            # One without a number would read as success.
            raise OSError(error.errno or errno.EIO, error.strerror or "") from None
        except Exception as error:  # noqa: BLE001 - no error of ours may end the mount
            # A binding would say EINVAL, as if the caller had made a mistake.
            _log.exception("%s %s", method.__name__, arguments[:1])
            raise OSError(errno.EIO, f"a mistake of cnmfs itself: {error!r}") from None

    return guarded


class _Bell:
    """A poll handle of libfuse's."""

    def __init__(self, library: Any, handle: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p(handle)

    def ring(self) -> None:
        self._library.fuse_notify_poll(self._handle)
        self.drop()

    def drop(self) -> None:
        self._library.fuse_pollhandle_destroy(self._handle)


class Adapter:
    """The operations that the binding calls.

    Args:
        filesystem: does them.
        module: the binding.
        ready: called when the kernel has answered the first time.
    """

    use_ns = True

    def __init__(self, filesystem: Filesystem, module: Any, ready: Callable[[], None]) -> None:
        self._fs = filesystem
        self._module = module
        self._ready = ready
        self._library = module._libfuse  # noqa: SLF001 - it has no other name
        self._sizes = Sizes(lambda: int(module.fuse_get_context()[2]), filesystem.close)
        self._quiet = hasattr(module.fuse_file_info, "noflush")
        # Without handles: mfusepy keeps those of truncate and others for itself.
        self.flag_nullpath_ok = self.flag_nopath = module.__name__ != "mfusepy"

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """What fusepy calls for each operation."""
        method = getattr(self, operation, None)
        if method is None:
            raise OSError(errno.ENOSYS, "")
        return method(*arguments)

    def init(self, _path: str) -> None:
        self._ready()

    def destroy(self, _path: str) -> None:
        pass

    @_call
    def getattr(self, path: str | None, info: Any = None) -> dict[str, int]:
        status = self._fs.status(path or "", info.fh if info else 0)
        moment = status.changed
        size = self._sizes.told(path or "", status.size)
        return {
            "st_mode": status.mode,
            "st_size": size,
            # It stands for "not counted", as on btrfs: find(1) then looks itself.
            "st_nlink": 1,
            "st_uid": 0,
            "st_gid": status.gid,
            "st_atime": moment,
            "st_mtime": moment,
            "st_ctime": moment,
        }

    @_call
    def opendir(self, path: str) -> int:
        return self._fs.open_directory(path)

    @_call
    def readdir(self, _path: str | None, handle: int) -> Iterable[str]:
        return [".", "..", *self._fs.listed(handle)]

    @_call
    def releasedir(self, _path: str | None, handle: int) -> None:
        self._fs.close_directory(handle)

    @_call
    def readlink(self, path: str) -> str:
        return self._fs.target(path)

    @_call
    def open(self, path: str, info: Any) -> int:
        flags = info.flags
        info.fh = self._opened(path, flags)
        if not flags & WRITES and self._quiet:
            # There is nothing to be told of when it is closed: a request less.
            info.noflush = 1
        return 0

    def _opened(self, path: str, flags: int) -> int:
        waiting = self._sizes.waiting(path, flags)
        if waiting is not None:
            return waiting
        handle = self._fs.open(path, flags)
        if flags & (WRITES | os.O_TRUNC):
            self._sizes.forget(path)
        else:
            self._sizes.require(path, flags, handle, self._fs.length(handle))
        return handle

    @_call
    def create(self, path: str, mode: int, info: Any) -> int:
        info.fh = self._fs.create(path, info.flags, mode)
        return 0

    @_call
    def read(self, _path: str | None, size: int, offset: int, info: Any) -> bytes:
        return self._fs.read(info.fh, size, offset)

    @_call
    def write(self, _path: str | None, data: bytes, offset: int, info: Any) -> int:
        return self._fs.write(info.fh, data, offset)

    @_call
    def truncate(self, path: str | None, length: int, info: Any = None) -> None:
        self._fs.truncate(path or "", length, info.fh if info else 0)

    @_call
    def flush(self, _path: str | None, info: Any) -> None:
        self._fs.flush(info.fh)

    @_call
    def release(self, _path: str | None, info: Any) -> None:
        self._fs.close(info.fh)

    @_call
    def poll(self, _path: str | None, info: Any, waiting: int | None, events: Any) -> None:
        bell = None if waiting is None else _Bell(self._library, waiting)
        events[0] = self._fs.poll(info.fh, bell)

    @_call
    def mkdir(self, path: str, _mode: int) -> None:
        self._fs.make(path)

    @_call
    def rmdir(self, path: str) -> None:
        self._fs.remove(path)

    @_call
    def unlink(self, path: str) -> None:
        self._fs.unlink(path)

    @_call
    def symlink(self, path: str, target: str) -> None:
        self._fs.link(path, target)

    @_call
    def rename(self, old: str, new: str, _flags: int = 0) -> None:
        self._fs.rename(old, new)

    @_call
    def link(self, path: str, _target: str) -> None:
        self._fs.impossible("link", path)

    @_call
    def mknod(self, path: str, _mode: int, _device: int) -> None:
        self._fs.impossible("mknod", path)

    @_call
    def chmod(self, path: str, _mode: int) -> None:
        self._fs.owner("chmod", path)

    @_call
    def chown(self, path: str, _uid: int, _gid: int) -> None:
        self._fs.owner("chown", path)

    @_call
    def utimens(self, path: str, _times: object = None) -> None:
        self._fs.touch(path)

    @_call
    def access(self, path: str, wanted: int) -> None:
        self._fs.access(path, wanted)

    @_call
    def statfs(self, _path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": 255}


def interrupted(module: Any) -> bool:
    """Whether a signal has come for the process whose call the calling thread serves."""
    return bool(module._libfuse.fuse_interrupted())  # noqa: SLF001 - it has no other name


def caller(module: Any) -> Caller:
    """Who made the call that is being served: the user, and the session of their shell."""
    uid, gid, pid = module.fuse_get_context()
    try:
        session = os.getsid(pid) if pid else 0
    except ProcessLookupError:
        session = 0
    return Caller(uid, session, pid, gid)
