"""Names of a sandbox: sockets of the agent, the rules that lead to them, the files; brought about.

Asking the agent takes a while, in which everything else goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pycnm.errors import CNMError, KernelError
from pycnm.kernel import nfnetlink, nfreading
from pycnm.kernel.netlink import NETLINK_NETFILTER
from pycnm.kernel.rules import NFT
from pycnm.kernel.session import GONE, REALISATIONS, LinuxSession, Queued, refusal
from pycnm.nft.divert import ADDRESS, divert
from pycnm.nft.objects import Chain, Rule, Table
from pycnm.plan import names as plan

if TYPE_CHECKING:
    from pycnm.kernel.agent import Agent
    from pycnm.plan.operation import Operation

_SERVICE = "names"
_SAMPLE = 0xF1E2
_BLOCK = 4096
_READ = (1 << 16) + 1
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_IN_USE = {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}
_STAYS = {errno.EROFS, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT, errno.ENOTDIR}


class Resolvers:
    """Has names answered by the agent of a state directory, for any number of threads.

    The calling thread must be in the namespace of the host.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def serve(self, facts: Sequence[plan.Resolver]) -> Callable[[], None]:
        """Have names answered in every sandbox, or none; call what is returned to wait for it.

        Raises:
            TakenInsideError: a port of one of them is taken.
            KernelError: one can't be served for another reason.
            StoreError: the agent can't be started, or doesn't answer.
        """
        boxes = [[fact.sandbox, fact.ns, fact.port] for fact in facts]
        asked = self._agent.asked(_SERVICE, {"do": "serve", "sandboxes": boxes}, start=True)

        def wait() -> None:
            answer = asked() or {}
            if "error" in answer:
                whose = answer.get("sandbox")
                fact = next((each for each in facts if each.sandbox == whose), facts[0])
                raise _refusal(fact, int(answer["error"]), str(answer.get("reason", "")))

        return wait

    def release(self, facts: Sequence[plan.Resolver]) -> Callable[[], object]:
        """Have the sandboxes' sockets closed; call what is returned to wait for it.

        An agent that isn't there has none.
        """
        boxes = [fact.sandbox for fact in facts]
        return self._agent.asked(_SERVICE, {"do": "release", "sandboxes": boxes}, start=False)

    def served(self) -> frozenset[str]:
        """The ids of the sandboxes in which the agent answers names."""
        answer = self._agent.ask(_SERVICE, {"do": "list"}, start=False) or {}
        return frozenset(map(str, answer.get("sandboxes", ())))


def _refusal(fact: plan.Resolver, code: int, reason: str) -> CNMError:
    if code == errno.EADDRINUSE:
        return plan.TakenInsideError(
            f"port {fact.port} of {ADDRESS} in {fact.ns}, at which names were to be answered, is "
            "taken by a program there; `cnm reconcile` tries again when it has ended",
            port=fact.port,
        )
    return KernelError(str(fact), code, reason)


class _Resolvers:
    def add(self, session: LinuxSession, fact: plan.Resolver) -> None:
        session.queue_for_agent("serve", fact)

    def remove(self, session: LinuxSession, fact: plan.Resolver) -> None:
        session.queue_for_agent("dismiss", fact)

    def differs(self, session: LinuxSession, fact: plan.Resolver) -> str | None:
        if fact.sandbox in session.served():
            return None
        return f"the agent doesn't answer names in {fact.ns}"


@cache
def _sample() -> list[bytes]:
    """The messages for one port: those for others differ in two bytes of each rule."""
    messages = nfnetlink.load(divert(_SAMPLE))
    places = [message.count(_SAMPLE.to_bytes(2, "big")) for message in messages]
    assert sorted(places) == [0] * (len(places) - 4) + [1] * 4  # noqa: S101 - seen by any test
    return messages


class _Diverts:
    def add(self, session: LinuxSession, fact: plan.Divert) -> None:
        sample, wanted = (port.to_bytes(2, "big") for port in (_SAMPLE, fact.port))
        for message in _sample():
            session.queue(fact.ns, NFT, Queued(fact, message.replace(sample, wanted)))

    def remove(self, session: LinuxSession, fact: plan.Divert) -> None:
        session.queue(fact.ns, NFT, Queued(fact, nfnetlink.delete(fact.table), GONE))

    def differs(self, session: LinuxSession, fact: plan.Divert) -> str | None:
        table, chain, *rules = fact.objects
        with contextlib.suppress(CNMError):
            connection = session.socket(fact.ns, NETLINK_NETFILTER)
            if (
                isinstance(table, Table)
                and nfreading.has(connection, table)
                and isinstance(chain, Chain)
                and nfreading.has(connection, chain)
            ):
                wanted = [item for item in rules if isinstance(item, Rule)]
                if nfreading.has_rules(connection, chain, wanted):
                    return None
        return f"{fact.table.reference} in {fact.ns} is gone or was changed"


class _TextFiles:
    def add(self, session: LinuxSession, fact: plan.TextFile) -> None:
        try:
            if _write(fact):
                session.made.append(fact)
        except OSError as error:
            raise _unwritten(fact, error) from error

    def remove(self, session: LinuxSession, fact: plan.TextFile) -> None:
        del session
        found = _content(fact.path)
        if found is not None and not plan.is_edited(found):
            with contextlib.suppress(FileNotFoundError):
                Path(fact.path).unlink()

    def differs(self, session: LinuxSession, fact: plan.TextFile) -> str | None:
        del session
        found = _content(fact.path)
        if found is None:
            return f"the file {fact.path} is gone"
        if found == fact.content or plan.is_edited(found):
            return None
        return f"the file {fact.path} isn't as it was written"


def _content(path: str) -> str | None:
    """What is in a file, as far as it matters; None if it isn't there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.read(descriptor, _READ).decode(errors="replace")
    finally:
        os.close(descriptor)


def _write(fact: plan.TextFile) -> bool:
    """Write in place, as what is bound over /etc/hosts is this file, not its name; if it was ours.

    Whoever dies over it leaves what `is_edited` knows for our own.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(fact.path, flags)
        found = os.read(descriptor, _READ)
    except FileNotFoundError:
        descriptor = os.open(fact.path, flags | os.O_CREAT, 0o644)
        # Whatever the caller's umask: who isn't root inside has to read it.
        os.fchmod(descriptor, 0o644)
        found = b""
    try:
        data = fact.content.encode()
        if found == data or plan.is_edited(found.decode(errors="replace")):
            return False
        if len(data) > -(-len(found) // _BLOCK) * _BLOCK:
            # On a full disk it stays as it was, not half of it.
            os.posix_fallocate(descriptor, 0, len(data))
        os.pwrite(descriptor, data, 0)
        if len(found) > len(data):
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
    return True


def _unwritten(fact: Operation, error: OSError) -> CNMError:
    path = getattr(fact, "path", "")
    code = error.errno or errno.EIO
    advice = "; free space on its disk, and try again" if code == errno.ENOSPC else ""
    return refusal(f"cat > {path}", code, f"{error.strerror}{advice}")


class _NetnsFiles:
    def add(self, session: LinuxSession, fact: plan.NetnsFiles) -> None:
        for last in (False, False, False, True):
            there = _leads_to(fact.path)
            if there == fact.directory or (there is not None and not _is_ours(there, fact)):
                return
            try:
                if there is not None:
                    # Of a sandbox of that name whose end nobody saw.
                    Path(fact.path).unlink(missing_ok=True)
                _link(fact)
            except OSError as error:
                with contextlib.suppress(OSError):
                    _drop_directory()
                if error.errno in _READ_ONLY and not _is_writable():
                    return
                if error.errno == errno.EEXIST and not last:
                    # Somebody was faster; what there is now says whose it is.
                    continue
                raise refusal(fact, error.errno or errno.EIO, error.strerror or "") from error
            session.made.append(fact)
            return

    def remove(self, session: LinuxSession, fact: plan.NetnsFiles) -> None:
        del session
        try:
            if _leads_to(fact.path) == fact.directory:
                Path(fact.path).unlink(missing_ok=True)
            # Who died may have made no more than it.
            _drop_directory()
        except OSError as error:
            raise refusal(fact, error.errno or errno.EIO, error.strerror or "") from error

    def differs(self, session: LinuxSession, fact: plan.NetnsFiles) -> str | None:
        del session
        there = _leads_to(fact.path)
        if there == fact.directory or (there is not None and not _is_ours(there, fact)):
            return None
        if not _is_writable():
            return None
        return f"the link {fact.path} is gone"


def _leads_to(path: str) -> str | None:
    """Where a link leads; empty for what is no link, None for nothing."""
    try:
        return str(Path(path).readlink())
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def _is_ours(target: str, fact: plan.NetnsFiles) -> bool:
    """Whether a link leads to the files of a sandbox of the same state directory."""
    return bool(target) and Path(target).parent == Path(fact.directory).parent


def _is_writable() -> bool:
    place = Path(plan.ETC_NETNS)
    return os.access(place if place.exists() else place.parent, os.W_OK)


def _is_empty(place: Path) -> bool:
    try:
        return not any(place.iterdir())
    except OSError:
        return False


def _drop_directory() -> None:
    """Remove /etc/netns, unless links are in it, or it is others' in another way."""
    place = Path(plan.ETC_NETNS)
    for again in (True, False):
        try:
            place.rmdir()
        except OSError as error:
            if error.errno not in _STAYS:
                raise
            if again and error.errno in _IN_USE and _is_empty(place):
                # Whatever was in it has gone since.
                continue
        return


def _link(fact: plan.NetnsFiles) -> None:
    while True:
        try:
            Path(fact.path).symlink_to(fact.directory)
        except FileNotFoundError:
            # Again, if somebody else's last link went with the directory.
            with contextlib.suppress(FileExistsError):
                Path(plan.ETC_NETNS).mkdir(mode=0o755)
        else:
            return


REALISATIONS.update(
    {
        plan.Resolver: _Resolvers(),
        plan.Divert: _Diverts(),
        plan.TextFile: _TextFiles(),
        plan.NetnsFiles: _NetnsFiles(),
    }
)
