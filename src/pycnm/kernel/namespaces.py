"""Namespaces and directories, brought about."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from pycnm.kernel import netns
from pycnm.kernel.links import delete_doomed
from pycnm.kernel.session import REALISATIONS, LinuxSession, refusal
from pycnm.plan import links as plan


class _Namespaces:
    def add(self, session: LinuxSession, fact: plan.Namespace) -> None:
        session.flush()
        if netns.is_namespace(fact.path):
            return
        path = Path(fact.path)
        if path.exists() and not path.stat().st_size:
            # The file a namespace was pinned to outlived it: a reboot without a
            # fresh /run, or somebody's umount.
            path.unlink()
        netns.create(fact.path)
        session.made.append(fact)
        session.entered(fact.path)

    def remove(self, session: LinuxSession, fact: plan.Namespace) -> None:
        session.flush()
        inside = [link for link in session.doomed if link.ns == fact.path]
        if inside:
            # They would stay with a process that does.
            session.doomed = [link for link in session.doomed if link not in inside]
            if all(link.waits for link in inside):
                session.left.append(os.dup(session.namespace(fact.path)))
            else:
                delete_doomed(session, fact.path)
        session.forget(fact.path)
        netns.remove(fact.path)
        session.unpinned.add(fact.path)

    def differs(self, session: LinuxSession, fact: plan.Namespace) -> str | None:
        del session
        return None if netns.is_namespace(fact.path) else f"no namespace is pinned at {fact.path}"


class _Directories:
    def add(self, session: LinuxSession, fact: plan.Directory) -> None:
        path = Path(fact.path)
        if not path.is_dir():
            # Not by `parents`, which would leave the mode to the caller's umask.
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.mkdir(mode=0o755, exist_ok=True)
            session.made.append(fact)

    def remove(self, session: LinuxSession, fact: plan.Directory) -> None:
        session.flush()
        try:
            shutil.rmtree(fact.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise refusal(
                fact, error.errno or errno.EIO, f"rm -r {fact.path}: {error.strerror}"
            ) from error

    def differs(self, session: LinuxSession, fact: plan.Directory) -> str | None:
        del session
        return None if Path(fact.path).is_dir() else f"the directory {fact.path} is gone"


REALISATIONS.update({plan.Namespace: _Namespaces(), plan.Directory: _Directories()})
