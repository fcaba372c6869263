"""A filesystem that is no more than it must be, on the binding and with the flags of cnmfs.

What cnmfs takes longer than this is its own.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any

from cnmfs import adapter, mounting, options

_DIRECTORY = {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 1}
_FILE = stat.S_IFREG | 0o644


class _Pinned(threading.local):
    """As in cnmfs: otherwise the binding is measured with a cost that can be done without."""

    def __init__(self) -> None:
        ctypes.pythonapi.PyGILState_Ensure()


_pinned = _Pinned()


class Smallest:
    """Text by path.

    Args:
        tree: the text of each file, None for a directory; parents come first.
    """

    use_ns = True

    def __init__(self, tree: dict[str, str | None]) -> None:
        self._names: dict[str, dict[str, None]] = {"/": {}}
        self._files: dict[str, bytes] = {}
        self._handles: dict[int, bytes] = {}
        self._numbers = itertools.count(1)
        for path, text in tree.items():
            if text is None:
                self.mkdir(path, 0)
            else:
                self._add(path)
                self._files[path] = text.encode()

    def __call__(self, operation: str, *arguments: object) -> object:
        """What fusepy calls."""
        return getattr(self, operation)(*arguments)

    def getattr(self, path: str, _info: object = None) -> dict[str, int]:
        _ = _pinned.__dict__
        content = self._files.get(path)
        if content is not None:
            return {"st_mode": _FILE, "st_nlink": 1, "st_size": len(content)}
        if path in self._names:
            return _DIRECTORY
        raise OSError(errno.ENOENT, "")

    def readdir(self, path: str, _handle: int) -> list[str]:
        return [".", "..", *self._names[path]]

    def open(self, path: str, info: Any) -> int:
        if info.flags & os.O_TRUNC:
            self._files[path] = b""
        info.fh = next(self._numbers)
        # What is read is as it was when it was opened.
        self._handles[info.fh] = self._files[path]
        return 0

    def create(self, path: str, _mode: int, info: Any) -> int:
        self._add(path)
        self._files[path] = b""
        return self.open(path, info)

    def read(self, _path: str, size: int, offset: int, info: Any) -> bytes:
        return self._handles[info.fh][offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, _info: object) -> int:
        self._files[path] = self._files[path][:offset] + data
        return len(data)

    def truncate(self, path: str, length: int, _info: object = None) -> None:
        self._files[path] = self._files[path][:length]

    def release(self, _path: str, info: Any) -> None:
        del self._handles[info.fh]

    def mkdir(self, path: str, _mode: int) -> None:
        self._add(path)
        self._names[path] = {}

    def rmdir(self, path: str) -> None:
        where, name = os.path.split(path)
        del self._names[path], self._names[where][name]

    def _add(self, path: str) -> None:
        where, name = os.path.split(path)
        self._names[where][name] = None


def main() -> None:
    """Serve the tree of a JSON document with a binding, on a mount point."""
    binding, document, mountpoint = sys.argv[1:]
    served = Smallest(json.loads(Path(document).read_text()))
    # libfuse ends it when it is unmounted; cnmfs's thread then wakes the main one.
    signal.signal(signal.SIGHUP, lambda *_: None)
    thread = mounting.Serving(
        adapter.binding(binding), served, Path(mountpoint), options.read([f"binding={binding}"])
    )
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
