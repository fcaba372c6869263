"""What system calls mean on a tree: the one place that knows paths and error numbers.

Every call is given a path, does its work and returns, or raises an OSError with
an errno and a sentence; the sentence is kept for who wants to know.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from cnmfs.files import Handle, opened
from cnmfs.reasons import Caller, Reasons, object_of
from cnmfs.scratch import Scratch
from cnmfs.tree import Directory, File, Link, Node, Stream, refuse, walk
from pycnm import CNMError

T = TypeVar("T")
NAME_MAX = 255
_INTENT = 2.0
"""Seconds between two removals of one `rm -r`, at most."""
_log = logging.getLogger("cnmfs")


class Status(NamedTuple):
    """What stat(2) says of a node; times in nanoseconds since 1970."""

    mode: int
    size: int
    links: int
    gid: int
    changed: int


class _Open(NamedTuple):
    path: str
    node: Node
    handle: Handle
    new: bool
    pid: int


class Filesystem:
    """A tree, and its open files.

    Args:
        root: of the tree.
        reasons: where failures are noted.
        caller: who is calling just now.
        gid: the group that may write; None if only the owner may.
        rmrf: files of objects may be removed, which does nothing, so that `rm -r` gets through.
    """

    def __init__(
        self,
        root: Directory,
        reasons: Reasons,
        caller: Callable[[], Caller],
        *,
        gid: int | None = None,
        rmrf: bool = False,
    ) -> None:
        self._root = root
        self._reasons = reasons
        self._caller = caller
        self._gid = gid
        self._rmrf = rmrf
        self._born = time.time_ns()
        self._handles: dict[int, _Open] = {}
        self._listings: dict[int, list[str]] = {}
        self._numbers = itertools.count(1)
        self._scratch = Scratch()
        self._stubborn: dict[tuple[int, str], float] = {}

    # Looking

    def status(self, path: str, handle: int = 0) -> Status:
        """What stat(2) says; with a handle, of what is open, wherever it is now."""

        def look() -> Status:
            found = self._handles.get(handle)
            if found is not None:
                return self._status(found.node, 0 if found.new else None)
            try:
                return self._status(self._look(path))
            except FileNotFoundError:
                # Made, and not written yet: it is there for whoever has it open.
                for each in list(self._handles.values()):
                    if each.new and each.path == path:
                        return self._status(each.node, 0)
                raise

        return self._do("stat", path, look, changes=False)

    def open_directory(self, path: str) -> int:
        """Open a directory; the number of the handle.  What is listed is as it is now."""
        number = next(self._numbers)
        self._listings[number] = self.listing(path)
        return number

    def listed(self, handle: int) -> list[str]:
        """The names in an open directory."""
        return self._listings[handle]

    def close_directory(self, handle: int) -> None:
        """Forget an open directory."""
        del self._listings[handle]

    def listing(self, path: str) -> list[str]:
        """The names in a directory."""
        return self._do("list", path, lambda: sorted(self._directory(path).names()), changes=False)

    def target(self, path: str) -> str:
        """Where a link leads."""

        def read() -> str:
            node = self._look(path)
            if not isinstance(node, Link):
                raise refuse(errno.EINVAL, f"{path} is no link")
            return node.target

        return self._do("readlink", path, read, changes=False)

    # Files

    def open(self, path: str, flags: int) -> int:
        """Open a file; the number of the handle."""

        def work() -> int:
            node = self._look(path)
            if not isinstance(node, (File, Stream)):
                raise refuse(errno.EISDIR, f"{path} is a directory")
            return self._keep(path, node, opened(node, flags))

        return self._do("open", path, work, changes=False)

    def create(self, path: str, flags: int, mode: int = 0o644) -> int:
        """Make a file and open it; the number of the handle."""

        def work() -> int:
            parent, name = self._parent(path)
            if parent.create is None:
                raise self._not_here(parent, f"no file {name} can be made here")
            if self._scratch.wanted(parent, name, mode):
                node = self._scratch.make(path)
            else:
                node = parent.create(name)
            return self._keep(path, node, opened(node, flags, new=True), new=True)

        return self._do("create", path, work)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """What an open file says."""
        found = self._handles[handle]
        return self._do("read", found.path, lambda: found.handle.read(size, offset), changes=False)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write to an open file; how much was taken."""
        found = self._handles[handle]
        return self._do("write", found.path, lambda: found.handle.write(data, offset))

    def truncate(self, path: str, length: int, handle: int = 0) -> None:
        """Cut a file, or what is open of it, to nothing."""
        if handle:
            found = [self._handles[handle]]
            path = found[0].path
        else:
            found = [each for each in list(self._handles.values()) if each.path == path]

        def work() -> None:
            # An editor may cut after what it has written, which is all there is.
            if length and not any(each.handle.written == length for each in found):
                raise refuse(errno.EINVAL, "a file here can be emptied, not cut or grown")
            for each in found:
                if not length:
                    each.handle.truncate()

        self._do("truncate", path, work, changes=False)

    def flush(self, handle: int) -> None:
        """A descriptor of an open file was closed; there may be others.

        A shell opens, duplicates and closes before it writes, and so do those
        that it forks: what counts is whether who opened it still has it open.
        """
        found = self._handles[handle]
        if found.handle.unsettled and not _has_open(found.pid, found.path):
            self._do("close", found.path, found.handle.settle)

    def close(self, handle: int) -> None:
        """Forget an open file."""
        found = self._handles.pop(handle)
        self._do("close", found.path, found.handle.settle, changes=False)

    # Objects

    def make(self, path: str) -> None:
        """mkdir(2)."""

        def work() -> None:
            parent, name = self._parent(path)
            if parent.look(name) is not None:
                raise refuse(errno.EEXIST, f"{path} exists")
            if parent.make is None:
                raise self._not_here(parent, f"no directory {name} can be made here")
            parent.make(name)

        self._do("mkdir", path, work)

    def remove(self, path: str) -> None:
        """rmdir(2)."""

        def work() -> None:
            self._directory(path)
            parent, name = self._parent(path)
            self._one_by_one(path)
            if parent.remove is not None:
                parent.remove(name)
            elif not self._goes(path):
                raise self._not_here(parent, f"the directory {name} belongs to what it is in")

        self._do("rmdir", path, work)

    def unlink(self, path: str) -> None:
        """Remove a file or a link."""

        def work() -> None:
            self._look(path)
            if self._scratch.drop(path):
                return
            parent, name = self._parent(path)
            self._one_by_one(path)
            if parent.unlink is not None:
                parent.unlink(name)
            elif not self._goes(path):
                self._stubborn[self._caller().pid, object_of(path)] = time.monotonic()
                raise self._not_here(parent, f"the file {name} belongs to what it is in")

        # After a `sed -i` that failed it is no success.
        self._do("unlink", path, work, changes=path not in self._scratch)

    def link(self, path: str, target: str) -> None:
        """symlink(2)."""

        def work() -> None:
            parent, name = self._parent(path)
            if parent.look(name) is not None:
                raise refuse(errno.EEXIST, f"{path} exists")
            if parent.link is None:
                raise self._not_here(parent, f"no link {name} can be made here")
            parent.link(name, target)

        self._do("symlink", path, work)

    def rename(self, old: str, new: str) -> None:
        """Give what has the first name the second."""

        def work() -> None:
            self._look(old)
            if old in self._scratch:
                self._scratch.move(old, self._look(new), new)
                return
            (source, name), (destination, other) = self._parent(old), self._parent(new)
            same = os.path.dirname(old.rstrip("/")) == os.path.dirname(new.rstrip("/"))  # noqa: PTH120
            if source.rename is None or not same:
                raise self._not_here(source, f"{name} can't be moved there")
            if name == other:
                return
            if destination.look(other) is not None:
                raise refuse(errno.EEXIST, f"{new} exists")
            source.rename(name, other)

        self._do("rename", old, work)

    def owner(self, what: str, path: str) -> None:
        """chmod(2) and chown(2): scratch files take it, without effect."""
        if path not in self._scratch:
            self.impossible(what, path)

    def impossible(self, what: str, path: str) -> None:
        """Refuse what no tree of ours can do."""

        def work() -> None:
            raise refuse(errno.EPERM, f"{what} isn't possible in this tree")

        self._do(what, path, work, changes=False)

    # Parts

    def _look(self, path: str) -> Node:
        for name in path.split("/"):
            if len(os.fsencode(name)) > NAME_MAX:
                raise refuse(errno.ENAMETOOLONG, f"a name has {NAME_MAX} bytes at most")
        return self._scratch.get(path) or walk(self._root, path)

    def _directory(self, path: str) -> Directory:
        node = self._look(path)
        if not isinstance(node, Directory):
            raise refuse(errno.ENOTDIR, f"{path} is no directory")
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        where, _, name = path.rstrip("/").rpartition("/")
        if len(os.fsencode(name)) > NAME_MAX:
            raise refuse(errno.ENAMETOOLONG, f"a name has {NAME_MAX} bytes at most")
        return self._directory(where), name

    def _goes(self, path: str) -> bool:
        """Whether what belongs to an object may be removed, to no effect, before the object is."""
        if not self._rmrf:
            return False
        where = os.path.dirname(path)  # noqa: PTH120
        while where.strip("/"):
            parent, _ = self._parent(where)
            if parent.remove is not None:
                return True
            where = os.path.dirname(where)  # noqa: PTH120
        return False

    def _one_by_one(self, path: str) -> None:
        """Refuse to go on with an `rm -r`.

        Of a process that was just refused a file of an object nothing in the
        object is taken: the links of its endpoints would be disconnected one
        by one.
        """
        now = time.monotonic()
        for key, at in list(self._stubborn.items()):
            if now - at > _INTENT:
                self._stubborn.pop(key, None)
        pid = self._caller().pid
        inside = path.strip("/") + "/"
        for who, what in list(self._stubborn):
            if who == pid and inside.startswith(what + "/"):
                self._stubborn[who, what] = now
                raise refuse(
                    errno.EPERM,
                    f"{what} isn't removed file by file: rmdir {what}; "
                    "mounted with -o rmrf, rm -r gets through",
                )

    @staticmethod
    def _not_here(parent: Directory, words: str) -> OSError:
        return refuse(errno.EPERM, f"{words}; {parent.hint}" if parent.hint else words)

    def _status(self, node: Node, size: int | None = None) -> Status:
        if size is not None:
            pass
        elif isinstance(node, File) and node.read is not None:
            # What can't be read just now is there all the same.
            with contextlib.suppress(CNMError):
                size = len(node.read().encode())
        elif isinstance(node, Stream):
            size = node.size()
        elif isinstance(node, Link):
            size = len(node.target.encode())
        mode = node.mode
        if self._gid is not None and not isinstance(node, Link):
            # The group may do what the owner may.
            mode |= (mode & 0o200) >> 3
        gid = 0 if self._gid is None else self._gid
        # One link stands for "not counted", as on btrfs: find(1) then looks itself.
        return Status(node.kind | mode, size or 0, 1, gid, node.changed or self._born)

    def _keep(self, path: str, node: Node, handle: Handle, *, new: bool = False) -> int:
        number = next(self._numbers)
        self._handles[number] = _Open(path, node, handle, new, self._caller().pid)
        return number

    def _do(self, what: str, path: str, work: Callable[[], T], *, changes: bool = True) -> T:
        """What `work` returns; a failure as an OSError, noted if somebody meant a change."""
        shown = path.strip("/") or "/"
        try:
            result = work()
        except CNMError as error:
            code, words = error.errno or errno.EIO, "; ".join([str(error), *_notes(error)])
        except OSError as error:
            code, words = error.errno or errno.EIO, error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 - no error of ours may end the mount
            _log.exception("%s %s", what, shown)
            code, words = errno.EIO, f"a mistake of cnmfs itself: {error!r}"
        else:
            if changes:
                self._reasons.succeeded(self._caller(), shown)
            return result
        if changes or (what in _MEANT and code != errno.ENOENT):
            self._reasons.failed(self._caller(), what, shown, code, words)
        raise OSError(code, words)


def _has_open(pid: int, path: str) -> bool:
    """Whether a process still has a file of ours open."""
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(each.readlink()).endswith(path):
                    return True
    return False


_MEANT = frozenset({"open", "truncate", "close", "link", "chmod", "chown", "mknod"})


def _notes(error: BaseException) -> list[str]:
    return [str(note) for note in getattr(error, "__notes__", [])]
