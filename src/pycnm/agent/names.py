"""The service that answers names inside sandboxes.

Each has a socket for datagrams and one for streams in its namespace; the rules of
the kernel lead there what it sends to 127.0.0.11, port 53.  What they are answered
is the affair of `resolving`, which is loaded while the sockets take in queries
already: whoever waits for the agent doesn't wait for that.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pycnm.agent.inside import Inside, answering
from pycnm.agent.keeping import Keeping
from pycnm.agent.recorded import Answered, UnreadableError
from pycnm.agent.service import RefusedError, dispatch
from pycnm.agent.tokens import PER_TOKEN, Name, Pair, Token
from pycnm.kernel import netns

if TYPE_CHECKING:
    from pycnm.agent.resolving import Resolving

_LOOK = 1.0

_log = logging.getLogger(__name__)


class Names:
    """Sockets inside sandboxes, and what answers them.

    Requests, by their `do`:

    - serve `sandboxes`, each [id, path of its namespace, port]: answer all of them,
      or none.
    - release `sandboxes`, by their ids: answer none of them.
    - list: the ids of those that are answered; and `troubles`, id and errno of those
      that are recorded, but whose port was taken by others while no agent lived.
      They are answered as soon as it is free.

    A sandbox whose namespace goes is forgotten: its sockets would keep it.

    Args:
        recorded: reads the sandboxes that should be answered.
        keeping: holds the sockets as well.
        most: how many sandboxes there may be.
        resolving: makes what answers, given what opens sockets in namespaces; may raise
            sqlite3.Error, and is asked again then.
    """

    name = "names"

    def __init__(
        self,
        recorded: Callable[[], Iterable[Answered]],
        keeping: Keeping,
        most: int,
        resolving: Callable[[Inside], Resolving],
    ) -> None:
        self._recorded = recorded
        self._keeping = keeping
        self._most = most
        self._make = resolving
        self._inside = Inside()
        self._held: dict[str, tuple[Token, Pair]] = {}
        self._troubles: dict[Answered, int] = {}
        self._unread = ""
        self._resolving: Resolving | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take over what an earlier agent has left, and open what else is recorded."""
        kept = self._keeping.recall()
        try:
            wanted = list(self._recorded())
        except UnreadableError as error:
            _log.warning("%s", error)
            self._unread = str(error)
            # Names go on being answered, once it can be read again.
            own = [Token._make(token) for token, each in kept.items() if len(each) == PER_TOKEN]
            wanted = [Answered(token.sandbox, token.key, token.port) for token in own]
        for each in wanted:
            self._regain(each, kept)
        self._keeping.drop(kept)
        for sockets in kept.values():
            _close(sockets)
        self._wake()

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve, release or list sandboxes."""
        work = {"serve": self._serve, "release": self._release, "list": self._list}
        return dispatch(work, request)

    def busy(self) -> bool:
        """Whether a sandbox is answered, or should be."""
        return bool(self._held or self._troubles)

    async def rest(self) -> None:
        """Regain no more."""
        self._troubles.clear()

    async def close(self) -> None:
        """Answer nobody any more; another agent may go on with the sockets."""
        for task in self._tasks:
            task.cancel()
        if self._resolving is not None:
            self._resolving.close()
        self._keeping.end(soon=bool(self._held))
        for _, pair in self._held.values():
            _close(pair)
        self._held.clear()
        self._inside.close()

    # Requests

    def _serve(self, request: dict[str, Any]) -> dict[str, Any]:
        fresh: dict[str, tuple[Token, Pair]] = {}
        for wanted in [Answered.of(value) for value in _listed(request)]:
            try:
                token = _token(wanted)
                held = fresh.get(wanted.sandbox) or self._held.get(wanted.sandbox)
                if held is None or held[0] != token:
                    fresh[wanted.sandbox] = token, self._open(token, len(fresh))
            except OSError as error:
                for _, pair in fresh.values():
                    _close(pair)
                code = error.errno or errno.EIO
                raise RefusedError(code, os.strerror(code), sandbox=wanted.sandbox) from error
        for sandbox, (token, pair) in fresh.items():
            self._forget(sandbox)
            self._have(token, pair)
        if fresh:
            self._keeping.keep(dict(fresh.values()))
            self._wake()
        return {}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        ids = _listed(request)
        if not all(isinstance(sandbox, str) for sandbox in ids):
            raise ValueError('"sandboxes" is a list of ids')
        for sandbox in ids:
            self._forget(sandbox)
        return {}

    def _list(self, _request: dict[str, Any]) -> dict[str, Any]:
        troubles = [[each.sandbox, code] for each, code in self._troubles.items()]
        answer: dict[str, Any] = {"sandboxes": list(self._held), "troubles": troubles}
        return answer | ({"unread": self._unread} if self._unread else {})

    # Sockets

    def _open(self, token: Token, besides: int = 0) -> Pair:
        if len(self._held) + besides >= self._most:
            # The rest is for those who want to have sandboxes released.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        wanted = token.device, token.inode
        work = partial(answering, token.port)
        try:
            return self._inside.call(token.key, work, wanted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        # Perhaps by our own of a moment ago, which the keeper hasn't closed yet.
        self._keeping.settle()
        return self._inside.call(token.key, work, wanted)

    def _have(self, token: Token, pair: Pair) -> None:
        self._held[token.sandbox] = token, pair
        if self._resolving is not None:
            self._resolving.begin(token, pair)
        _log.info("names are answered in %s", token.key)

    def _forget(self, sandbox: str) -> None:
        for each in [each for each in self._troubles if each.sandbox == sandbox]:
            del self._troubles[each]
        if sandbox in self._held:
            token, pair = self._held.pop(sandbox)
            if self._resolving is not None:
                self._resolving.end(sandbox)
            self._keeping.drop([token])
            _close(pair)
            _log.info("names are no longer answered in %s", token.key)

    def _regain(self, wanted: Answered, kept: dict[Name, list[socket.socket]]) -> None:
        """Answer a recorded sandbox, as soon as that is possible."""
        self._troubles.pop(wanted, None)
        try:
            token = _token(wanted)
            if len(found := kept.pop(token, [])) == PER_TOKEN:
                pair = found[0], found[1]
            else:
                pair = self._open(token)
                self._keeping.keep({token: pair})
        except FileNotFoundError:
            # Its namespace is gone; if it comes again, we are asked again.
            pass
        except OSError as error:
            _log.warning("names can't be answered in %s: %s", wanted.key, error.strerror)
            self._troubles[wanted] = error.errno or errno.EIO
        else:
            self._have(token, pair)

    # What is done beside requests

    def _wake(self) -> None:
        """Begin to answer, and to look after the sockets."""
        if self.busy() and not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._load()), loop.create_task(self._look())]

    async def _load(self) -> None:
        with ThreadPoolExecutor(1, "cnm-loading") as loader:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(loader, import_module, "pycnm.agent.resolving")
        while self._resolving is None:
            try:
                self._resolving = self._make(self._inside)
            except sqlite3.Error as error:
                _log.warning("the database can't be opened: %s", error)
                await asyncio.sleep(_LOOK)
        for token, pair in self._held.values():
            self._resolving.begin(token, pair)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            for token, _ in list(self._held.values()):
                if netns.identity(token.key) != (token.device, token.inode):
                    self._forget(token.sandbox)
            for each in list(self._troubles):
                self._regain(each, {})
            if self._keeping.lost() and self._held:
                self._keeping.keep(dict(self._held.values()))


def _listed(request: dict[str, Any]) -> list[Any]:
    listed = request.get("sandboxes")
    if not isinstance(listed, list):
        raise ValueError('"sandboxes" is a list')  # noqa: TRY004 - said to a client
    return listed


def _token(wanted: Answered) -> Token:
    """What the sockets of a sandbox are called, as long as its namespace is this one.

    Raises:
        FileNotFoundError: it has none.
    """
    found = netns.identity(wanted.key)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), wanted.key)
    return Token(*wanted, *found)


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()
