"""Namespaces and directories, brought about on a fake kernel."""

from __future__ import annotations

from pycnm.errors import AlreadyExistsError
from pycnm.plan import links as plan
from pycnm.plan.operation import Operation
from pycnm.testing.session import FakeSession, Realisation


class _Namespaces:
    def add(self, session: FakeSession, fact: plan.Namespace) -> bool:
        if fact.path in session.machine.namespaces:
            return False
        if fact.path in session.machine.directories:
            name = fact.path.rpartition("/")[2]
            raise AlreadyExistsError(
                f"{fact.path} is taken; adopt that namespace with netns={name!r}, "
                "or choose another name"
            )
        session.machine.add_namespace(fact.path)
        return True

    def remove(self, session: FakeSession, fact: plan.Namespace) -> None:
        if fact.path in session.machine.namespaces:
            session.machine.remove_namespace(fact.path)

    def differs(self, session: FakeSession, fact: plan.Namespace) -> str | None:
        there = fact.path in session.machine.namespaces
        return None if there else f"no namespace is pinned at {fact.path}"


class _Directories:
    def add(self, session: FakeSession, fact: plan.Directory) -> bool:
        if fact.path in session.machine.directories:
            return False
        session.machine.directories.add(fact.path)
        return True

    def remove(self, session: FakeSession, fact: plan.Directory) -> None:
        known = session.machine.directories
        known.difference_update([path for path in known if f"{path}/".startswith(f"{fact.path}/")])
        files = session.machine.files
        for path in [path for path in files if path.startswith(f"{fact.path}/")]:
            del files[path]

    def differs(self, session: FakeSession, fact: plan.Directory) -> str | None:
        there = fact.path in session.machine.directories
        return None if there else f"the directory {fact.path} is gone"


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Namespace: _Namespaces(),
    plan.Directory: _Directories(),
}
