"""The database file: its mode, its version, and what becomes of it when it is damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pycnm
from pycnm.engine.engine import MIGRATIONS
from pycnm.errors import CNMError, PermissionDeniedError, StoreError
from pycnm.store.database import Database
from pycnm.testing import FakeKernel

TABLES = ("CREATE TABLE things (\n  name TEXT PRIMARY KEY -- the name; of it\n) STRICT;",)


def names(database):
    with database.read() as reader:
        return [name for (name,) in reader.execute("SELECT name FROM things ORDER BY name")]


def add(database, name, **how):
    with database.write(**how) as tx:
        tx.execute("INSERT INTO things VALUES (?)", (name,))


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "state", TABLES)
    yield made
    made.close()


def test_only_root_may_look(tmp_path, database):
    directory = tmp_path / "state"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    add(database, "one")
    for path in directory.iterdir():
        assert not path.stat().st_mode & 0o022, path


def test_committed_or_not(database):
    add(database, "one")
    add(database, "two", durable=True)
    with contextlib.suppress(RuntimeError), database.write() as tx:
        tx.execute("INSERT INTO things VALUES ('three')")
        raise RuntimeError
    assert names(database) == ["one", "two"]
    with pytest.raises(StoreError, match="UNIQUE constraint"):
        add(database, "one")
    assert names(database) == ["one", "two"]


def test_writers_wait_for_each_other(database):
    inside = []

    def write(number):
        with database.write() as tx:
            inside.append(number)
            assert len(inside) == 1
            tx.execute("INSERT INTO things VALUES (?)", (f"{number:02}",))
            inside.pop()

    threads = [threading.Thread(target=write, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 16


def test_readers_don_t_wait(database):
    add(database, "one")
    with database.write() as tx:
        tx.execute("INSERT INTO things VALUES ('two')")
        assert names(database) == ["one"]
    assert names(database) == ["one", "two"]


def test_another_process_sees_it(tmp_path, database):
    add(database, "one")
    other = Database(tmp_path / "state", TABLES)
    add(other, "two")
    assert names(database) == ["one", "two"]
    other.close()


def test_closed(database):
    database.close()
    with pytest.raises(StoreError, match="the Controller is closed; open another one"):
        names(database)


# Versions


def test_a_later_version_adds_to_it(tmp_path, database):
    add(database, "one")
    more = (*TABLES, "ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';")
    later = Database(tmp_path / "state", more)
    with later.read() as reader:
        assert reader.execute("SELECT * FROM things").fetchall() == [("one", "red")]
    later.close()
    with pytest.raises(StoreError) as caught:
        Database(tmp_path / "state", TABLES)
    assert str(caught.value).endswith(
        "was written by a newer pycnm (schema 2, this one knows 1); upgrade pycnm, "
        "or use another state directory"
    )


def test_a_migration_that_fails_changes_nothing(tmp_path, database):
    add(database, "one")
    with pytest.raises(StoreError):
        Database(tmp_path / "state", (*TABLES, "CREATE TABLE more (a);\nCREATE TABLE things (a);"))
    again = Database(tmp_path / "state", TABLES)
    assert names(again) == ["one"]
    again.close()


# Places where it can't be


def test_a_place_that_is_a_file(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError, match="can't be used"):
        Database(tmp_path / "state", TABLES)
    with pytest.raises(StoreError):
        pycnm.Controller(tmp_path / "state" / "deeper", kernel=FakeKernel())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_one_may_not_write(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionDeniedError, match="run as root, or name another one"):
            Database(tmp_path / "state", TABLES)
    finally:
        tmp_path.chmod(0o700)


def test_a_database_that_is_a_directory(tmp_path):
    (tmp_path / "cnm.db").mkdir()
    with pytest.raises(CNMError):
        Database(tmp_path, TABLES)


# Damage


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A state directory with a network, a sandbox and an endpoint, and its kernel."""
    directory, kernel = tmp_path_factory.mktemp("recorded"), FakeKernel()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        net = cnm.create_network("front", subnet="10.20.30.0/24")
        net.connect(cnm.create_sandbox("c1"), publish=["8080:80"])
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as writer:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return directory, kernel


def use(directory, kernel):
    """Open a state directory and look at everything; the error, if it can't be."""
    try:
        with pycnm.Controller(directory, kernel=kernel) as cnm:
            for net in cnm.networks():
                net.inspect()
                net.explain()
            for box in cnm.sandboxes():
                box.inspect()
            cnm.check()
    except CNMError as error:
        return error
    return None


def copy(recorded, directory, data):
    """The state directory with another database, and its kernel."""
    source, kernel = recorded
    shutil.copytree(source, directory)
    for name in ("cnm.db-wal", "cnm.db-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "cnm.db").write_bytes(data)
    return directory, kernel


def test_no_database_at_all(recorded, tmp_path):
    directory, kernel = copy(recorded, tmp_path / "copy", b"")
    assert use(directory, kernel) is None
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        assert cnm.networks(type="custom") == []


@pytest.mark.parametrize(
    "data",
    [b"garbage " * 1000, b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 8192],
    ids=["text", "header", "zeroes"],
)
def test_garbage(recorded, tmp_path, data):
    error = use(*copy(recorded, tmp_path / "copy", data))
    assert isinstance(error, StoreError)
    assert "cnm.db" in str(error)
    assert "move it away" in str(error)


def test_damage_in_the_schema(recorded, tmp_path):
    """No table can be read, so nothing can be set aside."""
    data = (recorded[0] / "cnm.db").read_bytes()
    text = b"CREATE TABLE networks ("
    assert data.count(text) == 1
    directory, kernel = copy(
        recorded, tmp_path / "copy", data.replace(text, b"CREATE TALBE networks (")
    )
    error = use(directory, kernel)
    assert isinstance(error, StoreError)
    assert str(error) == (
        f'{directory / "cnm.db"} is damaged (malformed database schema (networks) - near "TALBE": '
        "syntax error); nothing was changed. To go on, move it away, with cnm.db-wal and "
        "cnm.db-shm beside it; then put a backup in its place and let `cnm reconcile` follow, "
        "or make anew what it recorded"
    )
    # As it says.
    for name in ("cnm.db", "cnm.db-wal", "cnm.db-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "cnm.db").write_bytes(data)
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        cnm.reconcile()
        assert cnm.check() == []
        assert [net.name for net in cnm.networks(type="custom")] == ["front"]


def test_a_full_disk_is_no_damage(tmp_path, database):
    with database.write() as tx:
        (pages,) = tx.execute("PRAGMA page_count").fetchone()
    with pytest.raises(StoreError) as caught, database.write() as tx:
        tx.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(10000):
            tx.execute("INSERT INTO things VALUES (?)", (f"{number:0100}",))
    assert "database or disk is full; nothing was changed. Free space if" in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_truncated_anywhere(recorded, tmp_path):
    """It opens, or says what to do; it never panics."""
    data = (recorded[0] / "cnm.db").read_bytes()
    refused = 0
    for number, size in enumerate(range(0, len(data), len(data) // 24)):
        error = use(*copy(recorded, tmp_path / str(number), data[:size]))
        assert error is None or isinstance(error, StoreError)
        refused += error is not None
    assert refused > 15


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit(recorded, tmp_path_factory, place, bit):
    data = bytearray((recorded[0] / "cnm.db").read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    error = use(*copy(recorded, tmp_path_factory.mktemp("flipped") / "copy", bytes(data)))
    assert error is None or isinstance(error, CNMError)


def test_a_newer_version_of_pycnm(recorded, tmp_path):
    data = (recorded[0] / "cnm.db").read_bytes()
    directory, kernel = copy(recorded, tmp_path / "copy", data)
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as writer:
        writer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    error = use(directory, kernel)
    assert isinstance(error, StoreError)
    assert "was written by a newer pycnm" in str(error)
