"""What system calls mean on a tree: the one place that knows paths and error numbers.

Every call is given a path, does its work and returns, or raises an OSError with
an errno and a sentence; the sentence is kept for who wants to know.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable

from cnmfs.calls import Calls
from cnmfs.files import WRITES, Snapshot, opened
from cnmfs.handles import Handles, Open, has_open, is_ours
from cnmfs.looking import NAME_MAX, Found, Looking, Status
from cnmfs.patience import Patience
from cnmfs.polling import Bell
from cnmfs.reasons import Caller, Reasons
from cnmfs.removals import Removals
from cnmfs.rights import READ, WRITE, Rights, wanted
from cnmfs.scratch import Scratch
from cnmfs.tree import Directory, File, Link, Node, Special, refuse


class Filesystem:
    """A tree, and its open files.

    Args:
        root: of the tree.
        revision: a number that is another one after every change of what is recorded.
        reasons: where failures are noted.
        caller: who is calling just now.
        patience: how callers wait for what they change.
        gid: the group that may write; None if only the owner may.
        rmrf: files of objects may be removed, which does nothing, so that `rm -r` gets through.
    """

    def __init__(
        self,
        root: Directory,
        revision: Callable[[], int],
        reasons: Reasons,
        caller: Callable[[], Caller],
        patience: Patience,
        *,
        gid: int | None = None,
        rmrf: bool = False,
    ) -> None:
        self._rights = Rights(gid)
        self._looking = Looking(root, revision, self._rights)
        self._calls = Calls(reasons, caller, patience)
        self._caller = caller
        self._rmrf = rmrf
        self._always: dict[str, Status] = {}
        self._handles = Handles(self._content)
        self._listings: dict[int, list[str]] = {}
        self._numbers = itertools.count(1)
        self._scratch = Scratch()
        self._removals = Removals()

    # Looking

    def status(self, path: str, handle: int = 0) -> Status:
        """What stat(2) says; with a handle, of what is open, wherever it is now."""
        if handle in self._handles:
            mine = self._handles[handle]
            return self._looking.status(Found(mine.node), 0 if mine.new else None)
        known = self._always.get(path)
        if known is None:
            # Whatever is wrong is said by the look that follows.
            with contextlib.suppress(Exception):
                known = self._find(path).status
        return known or self._calls.look("stat", path, lambda: self._look_at(path))

    def _look_at(self, path: str) -> Status:
        try:
            found = self._find(path)
        except FileNotFoundError:
            # Made, and not written yet: it is there for whoever has it open.
            for each in self._handles.of(path):
                if each.new:
                    return self._looking.status(Found(each.node), 0)
            raise
        status = self._looking.status(found, self._size_of_snapshot(path, found.node))
        if not _live(found.node):
            found.status = status
        if found.stays and isinstance(found.node, Directory):
            self._always[path] = status
        return status

    def access(self, path: str, wanted: int) -> None:
        """Refuse what the caller can't do.

        Args:
            wanted: bits such as R_OK.
        """

        def look() -> None:
            if not self._rights.possible(self._caller(), self._look(path), wanted):
                raise refuse(errno.EACCES, f"not allowed for {path}")

        self._calls.look("access", path, look)

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

        def look() -> list[str]:
            found = self._find(path)
            return found.names(_directory(path, found.node))

        return self._calls.look("list", path, look)

    def target(self, path: str) -> str:
        """Where a link leads."""

        def read() -> str:
            node = self._look(path)
            if not isinstance(node, Link):
                raise refuse(errno.EINVAL, f"{path} is no link")
            return node.target

        return self._calls.look("readlink", path, read)

    # Files

    def open(self, path: str, flags: int) -> int:
        """Open a file; the number of the handle."""

        def work() -> int:
            found = self._find(path)
            node = found.node
            if not isinstance(node, (File, Special)):
                raise refuse(errno.EISDIR, f"{path} is a directory")
            pid = 0
            # What anybody may read is opened without asking who it is.
            if flags & (WRITES | os.O_TRUNC) or not node.mode & READ or _live(node):
                caller = self._caller()
                pid = caller.pid
                self._rights.require(caller, node, wanted(flags))
            return self._handles.keep(Open(path, node, opened(node, flags, found.content), pid=pid))

        return self._calls.look("open", path, work)

    def create(self, path: str, flags: int, mode: int = 0o644) -> int:
        """Make a file and open it; the number of the handle."""

        def work(caller: Caller) -> int:
            parent, name = self._parent(path, caller)
            if parent.create is None:
                raise _not_here(parent, f"no file {name} can be made here")
            if self._scratch.wanted(parent, name, mode):
                node = self._scratch.make(path)
            else:
                node = parent.create(name)
            handle = opened(node, flags, Found(node).content, new=True)
            return self._handles.keep(Open(path, node, handle, new=True, pid=caller.pid))

        return self._calls.change("create", path, work)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """What an open file says."""
        found = self._handles.to_read(handle, offset)
        if isinstance(found.handle, Snapshot):
            return found.handle.read(size, offset)
        return self._calls.look("read", found.path, lambda: found.handle.read(size, offset))

    def length(self, handle: int) -> int | None:
        """How many bytes there are to read of an open file; None if that can't be said."""
        return self._handles[handle].handle.length()

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write to an open file; how much was taken."""
        found = self._handles[handle]
        return self._calls.change("write", found.path, lambda _: found.handle.write(data, offset))

    def truncate(self, path: str, length: int, handle: int = 0) -> None:
        """Cut a file, or what is open of it, to nothing."""

        def work() -> None:
            if handle:
                found = [self._handles[handle]]
            else:
                caller, node = self._caller(), self._look(path)
                if is_ours(caller.pid):
                    # See `cnmfs.watching`: it is to be told of, and that is all.
                    return
                self._rights.require(caller, node, WRITE)
                if not isinstance(node, File) or node.write is None:
                    raise refuse(errno.EACCES, "this file can only be read")
                found = list(self._handles.of(path))
            # An editor may cut after what it has written, which is all there is.
            if length and not any(each.handle.written == length for each in found):
                raise refuse(errno.EINVAL, "a file here can be emptied, not cut or grown")
            for each in found:
                if not length:
                    each.handle.truncate()

        shown = self._handles[handle].path if handle else path
        self._calls.look("truncate", shown, work)

    def flush(self, handle: int) -> None:
        """A descriptor of an open file was closed; there may be others.

        A shell opens, duplicates and closes before it writes, and so do those
        that it forks: what counts is whether who opened it still has it open.
        """
        found = self._handles[handle]
        if found.handle.unsettled and not has_open(found.pid, found.path):
            self._calls.change("close", found.path, lambda _: found.handle.settle())

    def close(self, handle: int) -> None:
        """Forget an open file."""
        found = self._handles.drop(handle)
        if type(found.handle) is Snapshot:
            return

        def settle() -> None:
            found.handle.settle()
            found.handle.close()

        self._calls.look("close", found.path, settle)

    # Waiting

    def poll(self, handle: int, bell: Bell | None) -> int:
        """Whether there is news of an open file, in bits such as POLLIN.

        Args:
            bell: rung when there is news; it takes the place of the one before.
        """
        return self._handles.polling.look(handle, bell)

    def when_polled(self, begins: Callable[[], None]) -> None:
        """Call `begins` when somebody waits in poll(2) for the first time."""
        self._handles.polling.begins = begins

    def happened(self) -> None:
        """Something has changed: whoever waits for news hears of it."""
        self._handles.polling.happened()

    def _content(self, path: str) -> bytes:
        found = self._find(path)
        if not isinstance(found.node, File):
            raise refuse(errno.EISDIR, f"{path} is no file")
        return found.content(found.node)

    # Objects

    def make(self, path: str) -> None:
        """mkdir(2)."""

        def work(caller: Caller) -> None:
            parent, name = self._parent(path, caller)
            if parent.look(name) is not None:
                raise refuse(errno.EEXIST, f"{path} exists")
            if parent.make is None:
                raise _not_here(parent, f"no directory {name} can be made here")
            parent.make(name)

        self._calls.change("mkdir", path, work)

    def remove(self, path: str) -> None:
        """rmdir(2)."""

        def work(caller: Caller) -> None:
            _directory(path, self._look(path))
            parent, name = self._parent(path, caller)
            self._removals.refuse_the_rest(caller.pid, path)
            if parent.remove is not None:
                parent.remove(name)
            elif not self._goes(path):
                raise _not_here(parent, f"the directory {name} belongs to what it is in")

        self._calls.change("rmdir", path, work)

    def unlink(self, path: str) -> None:
        """Remove a file or a link."""
        if path in self._scratch:
            # After a `sed -i` that failed it is no success.
            self._calls.look("unlink", path, lambda: self._scratch.drop(path))
            return

        def work(caller: Caller) -> None:
            self._look(path)
            parent, name = self._parent(path, caller)
            self._removals.refuse_the_rest(caller.pid, path)
            if parent.unlink is not None:
                parent.unlink(name)
            elif not self._goes(path):
                self._removals.refused(caller.pid, path)
                raise _not_here(parent, f"the file {name} belongs to what it is in")

        self._calls.change("unlink", path, work)

    def link(self, path: str, target: str) -> None:
        """symlink(2)."""

        def work(caller: Caller) -> None:
            parent, name = self._parent(path, caller)
            if parent.look(name) is not None:
                raise refuse(errno.EEXIST, f"{path} exists")
            if parent.link is None:
                raise _not_here(parent, f"no link {name} can be made here")
            parent.link(name, target)

        self._calls.change("symlink", path, work)

    def rename(self, old: str, new: str) -> None:
        """Give what has the first name the second."""

        def work(caller: Caller) -> None:
            self._look(old)
            (source, name), (target, other) = self._parent(old, caller), self._parent(new, caller)
            if old in self._scratch:
                self._scratch.move(old, self._look(new), new)
                return
            same = os.path.dirname(old.rstrip("/")) == os.path.dirname(new.rstrip("/"))  # noqa: PTH120
            if source.rename is None or not same:
                raise _not_here(source, f"{name} can't be moved there")
            if name == other:
                return
            if target.look(other) is not None:
                raise refuse(errno.EEXIST, f"{new} exists")
            source.rename(name, other)

        self._calls.change("rename", old, work)

    def touch(self, path: str) -> None:
        """utimensat(2): harmless, as there is no time here that anybody could set."""

        def work() -> None:
            self._rights.require(self._caller(), self._look(path), WRITE)

        self._calls.look("touch", path, work)

    def owner(self, what: str, path: str) -> None:
        """chmod(2) and chown(2): scratch files take it, without effect."""
        if path not in self._scratch:
            self.impossible(what, path)

    def impossible(self, what: str, path: str) -> None:
        """Refuse what no tree of ours can do."""

        def work() -> None:
            raise refuse(errno.EPERM, f"{what} isn't possible in this tree")

        self._calls.look(what, path, work)

    # Parts

    def _find(self, path: str) -> Found:
        scratch = self._scratch.get(path)
        return self._looking.find(path) if scratch is None else Found(scratch)

    def _look(self, path: str) -> Node:
        return self._find(path).node

    def _parent(self, path: str, caller: Caller) -> tuple[Directory, str]:
        """The directory of a path, in which the caller may change something, and the name there."""
        where, _, name = path.rstrip("/").rpartition("/")
        if len(os.fsencode(name)) > NAME_MAX:
            raise refuse(errno.ENAMETOOLONG, f"a name has {NAME_MAX} bytes at most")
        parent = _directory(where, self._look(where))
        self._rights.require(caller, parent, WRITE)
        return parent, name

    def _goes(self, path: str) -> bool:
        """Whether what belongs to an object may be removed, to no effect, before the object is."""
        if not self._rmrf:
            return False
        where = os.path.dirname(path)  # noqa: PTH120
        while where.strip("/"):
            where = os.path.dirname(where)  # noqa: PTH120
            if _directory(where, self._look(where)).remove is not None:
                return True
        return False

    def _size_of_snapshot(self, path: str, node: Node) -> int | None:
        """How much the caller sees of a live file it has just opened; None if it has not."""
        if not _live(node):
            return None
        pid = self._caller().pid
        for each in self._handles.of(path):
            if each.pid == pid and isinstance(each.handle, Snapshot):
                return len(each.handle.content)
        return None


def _directory(path: str, node: Node) -> Directory:
    if not isinstance(node, Directory):
        raise refuse(errno.ENOTDIR, f"{path} is no directory")
    return node


def _live(node: Node) -> bool:
    return isinstance(node, File) and node.live


def _not_here(parent: Directory, words: str) -> OSError:
    return refuse(errno.EPERM, f"{words}; {parent.hint}" if parent.hint else words)
