"""Resolvers, the rules that lead to them, and the files of sandboxes, on a fake kernel."""

from __future__ import annotations

import errno
from pathlib import PurePath
from typing import TYPE_CHECKING

from pycnm.nft.divert import ADDRESS
from pycnm.plan import names as plan
from pycnm.testing.session import FakeSession, Realisation, refusal

if TYPE_CHECKING:
    from pycnm.plan.operation import Operation
    from pycnm.testing.machine import Namespace


class _Resolvers:
    def add(self, session: FakeSession, fact: plan.Resolver) -> bool:
        resolvers = session.namespace(fact.ns).resolvers
        holder = resolvers.get(fact.port)
        if holder is not None and holder != fact.sandbox:
            raise plan.TakenInsideError(
                f"port {fact.port} of {ADDRESS} in {fact.ns}, at which names were to be answered, "
                "is taken by a program there; `cnm reconcile` tries again when it has ended",
                port=fact.port,
            )
        resolvers[fact.port] = fact.sandbox if session.ours else ""
        return True

    def remove(self, session: FakeSession, fact: plan.Resolver) -> None:
        namespace = session.machine.namespaces.get(fact.ns)
        whose = fact.sandbox if session.ours else ""
        if namespace is not None and namespace.resolvers.get(fact.port) == whose:
            del namespace.resolvers[fact.port]

    def differs(self, session: FakeSession, fact: plan.Resolver) -> str | None:
        namespace = session.machine.namespaces.get(fact.ns)
        if namespace is not None and fact.sandbox in namespace.resolvers.values():
            return None
        return f"the agent doesn't answer names in {fact.ns}"


class _Diverts:
    def add(self, session: FakeSession, fact: plan.Divert) -> bool:
        session.namespace(fact.ns).divert = fact.port
        return True

    def remove(self, session: FakeSession, fact: plan.Divert) -> None:
        namespace = _namespace(session, fact)
        if namespace is not None:
            namespace.divert = 0

    def differs(self, session: FakeSession, fact: plan.Divert) -> str | None:
        namespace = _namespace(session, fact)
        if namespace is not None and namespace.divert == fact.port:
            return None
        return f"{fact.table.reference} in {fact.ns} is gone or was changed"


def _namespace(session: FakeSession, fact: plan.Divert) -> Namespace | None:
    return session.machine.namespaces.get(fact.ns)


class _TextFiles:
    def add(self, session: FakeSession, fact: plan.TextFile) -> bool:
        machine = session.machine
        if str(PurePath(fact.path).parent) not in machine.directories:
            raise refusal(f"cat > {fact.path}", errno.ENOENT, "No such file or directory")
        found = machine.files.get(fact.path, "")
        if found == fact.content or plan.is_edited(found):
            return False
        machine.files[fact.path] = fact.content
        return True

    def remove(self, session: FakeSession, fact: plan.TextFile) -> None:
        if not session.ours or not plan.is_edited(session.machine.files.get(fact.path, "")):
            session.machine.files.pop(fact.path, None)

    def differs(self, session: FakeSession, fact: plan.TextFile) -> str | None:
        found = session.machine.files.get(fact.path)
        if found is None:
            return f"the file {fact.path} is gone"
        if found == fact.content or plan.is_edited(found):
            return None
        return f"the file {fact.path} isn't as it was written"


class _NetnsFiles:
    def add(self, session: FakeSession, fact: plan.NetnsFiles) -> bool:
        links = session.machine.netns_files
        there = links.get(fact.name)
        ours = PurePath(fact.directory).parent
        if there == fact.directory or (there is not None and PurePath(there).parent != ours):
            return False
        links[fact.name] = fact.directory
        return True

    def remove(self, session: FakeSession, fact: plan.NetnsFiles) -> None:
        if session.machine.netns_files.get(fact.name) == fact.directory:
            del session.machine.netns_files[fact.name]

    def differs(self, session: FakeSession, fact: plan.NetnsFiles) -> str | None:
        there = session.machine.netns_files.get(fact.name)
        ours = PurePath(fact.directory).parent
        if there == fact.directory or (there is not None and PurePath(there).parent != ours):
            return None
        return f"the link {fact.path} is gone"


REALISATIONS: dict[type[Operation], Realisation] = {
    plan.Resolver: _Resolvers(),
    plan.Divert: _Diverts(),
    plan.TextFile: _TextFiles(),
    plan.NetnsFiles: _NetnsFiles(),
}
