"""The database file: opened, migrated, read by many, written by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pycnm.errors import PermissionDeniedError, StoreError
from pycnm.store.directory import prepare
from pycnm.store.locks import held_file

Transaction: TypeAlias = sqlite3.Connection
"""A connection inside BEGIN; what it is given to must not commit."""

# Of a damaged file, SQLite quotes in its errors what is no UTF-8.
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
_DAMAGED = frozenset(
    (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)
)
"""Codes of SQLite for it; the last one is that of a table which isn't there."""
_BUSY = 30.0
_IDLE = 4


class Database:
    """One SQLite database in write-ahead mode, for any number of threads and processes.

    Args:
        state_dir: made, with mode 0700, if it isn't there.
        migrations: scripts that make the tables; `PRAGMA user_version` counts
            how many of them a database has seen.

    Attributes:
        turns: the file of those who wait to write; each opens it, and closes it when its
            transaction is over.

    Raises:
        PermissionDeniedError: the directory or the file can't be opened, or others
            could change what is in it.
        StoreError: the file isn't a database, is damaged, or was written by a
            newer version.
    """

    def __init__(self, state_dir: Path, migrations: Sequence[str]) -> None:
        self._migrations = migrations
        self.path = state_dir / "cnm.db"
        self.turns = state_dir / "write.lock"
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[list[sqlite3.Connection]] = []
        self._observer: tuple[int, sqlite3.Connection, sqlite3.Cursor] | None = None
        self._observing = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        try:
            prepare(state_dir)
            # SQLite gives the files beside it the mode of this one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with self.write() as tx:
                self._migrate(tx)
        except PermissionDeniedError:
            raise
        except PermissionError as error:
            raise PermissionDeniedError(
                f"the state directory {state_dir} can't be used ({error.strerror}); "
                "run as root, or name another one"
            ) from error
        except OSError as error:
            raise StoreError(f"the state directory {state_dir} can't be used: {error}") from error

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; each statement sees what was last committed."""
        connection = self._take()
        try:
            yield connection
        except _DAMAGE as error:
            raise self._failed(error) from error
        finally:
            self._give(connection)

    @contextlib.contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, rolled back if it raises.

        Args:
            durable: survive a loss of power too, which costs an fsync.  Without
                it a commit survives the death of any process.

        Raises:
            StoreError: the disk is full, or failed, or something was taken that
                must be unique and nobody minded; nothing was changed.
        """
        with self._turn():
            connection = self._take()
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except _DAMAGE as error:
                raise self._failed(error) from error
            finally:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.DatabaseError):
                        connection.execute("ROLLBACK")
                self._give(connection)

    def revision(self) -> int:
        """A number that is another one after every commit, by whichever process.

        It says something only beside another one of this object, in this process.

        Raises:
            StoreError: the database is closed, or damaged.
        """
        # SQLite tells a connection of the commits of others: this one makes none.
        with self._observing:
            observer = self._observer
            if observer is None or observer[0] != os.getpid():
                if observer is not None:
                    self._inherited.append([observer[1]])
                connection = self._take()
                observer = self._observer = os.getpid(), connection, connection.cursor()
            try:
                found: tuple[int] = observer[2].execute("PRAGMA data_version").fetchone()
            except _DAMAGE as error:
                raise self._failed(error) from error
        return found[0]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection in idle:
                connection.close()
        with self._observing:
            if self._observer is not None and self._observer[0] == os.getpid():
                self._observer[1].close()
                self._observer = None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        # SQLite lets writers poll for each other; a lock of our own queues them.
        with held_file(self.turns) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise StoreError(f"{self.turns} can't be locked: {error.strerror}") from error
            yield

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreError("the Controller is closed; open another one")
            if self._pid != os.getpid():
                # SQLite's connections must not be carried across fork(2), nor
                # closed on the other side of it: they are the parent's.
                self._inherited.append(self._idle)
                self._pid, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop()
        try:
            return self._open()
        except _DAMAGE as error:
            raise self._failed(error) from error

    def _give(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _text
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, tx: Transaction) -> None:
        (version,) = tx.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise StoreError(
                f"{self.path} was written by a newer pycnm (schema {version}, this one knows "
                f"{len(self._migrations)}); upgrade pycnm, or use another state directory"
            )
        for migration in self._migrations[version:]:
            for statement in _statements(migration):
                tx.execute(statement)
        tx.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _failed(
        self, error: sqlite3.DatabaseError | UnicodeDecodeError
    ) -> StoreError | PermissionDeniedError:
        if "unable to open" in str(error) or "readonly" in str(error):
            return PermissionDeniedError(
                f"{self.path} can't be opened ({error}); run as root, "
                "or name another state directory"
            )
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, UnicodeDecodeError) or (code is not None and code & 0xFF in _DAMAGED):
            return StoreError.damage(str(self.path), error, "it")
        return StoreError(
            f"{self.path}: {error}; nothing was changed. Free space if its disk is full, "
            "and try again"
        )


def _text(data: bytes) -> str:
    """Text of a row; of a damaged one what nobody can take for anything else."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"no UTF-8: {data!r}"


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one (executescript would commit)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
