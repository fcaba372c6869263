"""Scratch files: what `sed -i` writes beside the file it edits, and then moves onto it.

They are in memory, belong to no object, and go with the mount.
"""

from __future__ import annotations

import errno
import re

from cnmfs.tree import DOCUMENT_MAX, Directory, File, Node, refuse

PRIVATE = 0o600
_NAME, _MOST = re.compile(r"(.+)[A-Za-z0-9]{6}"), 64


class Scratch:
    """The scratch files there are, by their paths; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def get(self, path: str) -> File | None:
        """The scratch file at a path, if there is one."""
        return self._files.get(path)

    @staticmethod
    def wanted(parent: Directory, name: str, mode: int) -> bool:
        """Whether `sed -i` writes it: `sed`, or the name of the file, and six characters.

        Where files can be made, others may have such names too; mkstemp(3) makes one for
        its owner alone.
        """
        match = _NAME.fullmatch(name)
        if match is None or (parent.unlink is not None and mode & 0o777 != PRIVATE):
            return False
        return match[1] == "sed" or isinstance(parent.look(match[1]), File)

    def make(self, path: str) -> File:
        """An empty scratch file at a path."""
        content = ""

        def store(text: str) -> None:
            nonlocal content
            content = text

        made = File(mode=PRIVATE, read=lambda: content, write=store, limit=DOCUMENT_MAX)
        self._files[path] = made
        for old in list(self._files)[:-_MOST]:
            del self._files[old]
        return made

    def drop(self, path: str) -> bool:
        """Forget the scratch file at a path; whether there was one."""
        return self._files.pop(path, None) is not None

    def move(self, path: str, onto: Node, name: str) -> None:
        """Write all of a scratch file to a file, and forget it.

        Raises:
            OSError: EPERM, nothing can be written there.
        """
        source = self._files[path]
        if not isinstance(onto, File) or onto.write is None or source.read is None:
            raise refuse(errno.EPERM, f"{name} can't be replaced")
        onto.write(source.read())
        del self._files[path]
