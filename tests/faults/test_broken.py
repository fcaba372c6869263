"""The sweeps, and many at once, fail when the code is broken: they look at what they say."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from sweep import sweep
from test_many_at_once import nothing_twice
from trials import late

from pycnm.engine.engine import Engine
from pycnm.errors import AddressInUseError
from pycnm.kernel import links, session
from pycnm.plan import links as plan

NAME = "connect, with ports"


@pytest.fixture
def fails(zygote, tmp_path):
    """Whether a sweep of one point fails, or even an attempt without a death."""

    def found():
        counted = []
        try:
            sweep(
                NAME, zygote, tmp_path, lambda calls: [late(calls)],
                lambda *_, **row: counted.append(row), "",
            )  # fmt: skip
        except AssertionError:
            return True
        assert counted[0]["tried"] or counted[0]["failures"]
        return bool(counted[0]["failures"])

    return found


def test_nothing_is_broken(fails):
    assert not fails()


def test_one_operation_is_not_undone(fails, monkeypatch):
    monkeypatch.setattr(session.REALISATIONS[plan.Veth], "remove", lambda *_: None, raising=False)
    assert fails()


def test_the_mark_of_the_owner_is_not_known(fails, monkeypatch):
    monkeypatch.setattr(links, "_ours", lambda *_: False)
    assert fails()


def test_what_a_death_left_is_forgotten_and_not_undone(fails, monkeypatch):
    def take_back(engine, change):
        with engine.db.write() as tx:
            engine.settle(tx, change, done=False)

    monkeypatch.setattr(Engine, "_take_back", take_back)
    assert fails()


@pytest.mark.parametrize("broken", [False, True], ids=["all of them", "one less"])
def test_what_must_be_unique_is_so_by_constraint(cnm, host, tmp_path, broken):
    network = cnm.create_network("n", subnet="10.9.0.0/24")
    boxes = [cnm.create_sandbox(f"box{number}") for number in range(8)]
    if broken:
        with contextlib.closing(sqlite3.connect(tmp_path / "state/cnm.db")) as database:
            database.execute("DROP INDEX endpoint_mac")

    def connect(box):
        with contextlib.suppress(AddressInUseError):
            network.connect(box, mac="02:00:00:00:00:01")

    with ThreadPoolExecutor(len(boxes)) as pool:
        list(pool.map(connect, boxes))
    if broken:
        with pytest.raises(AssertionError):
            nothing_twice(cnm, host)
    else:
        nothing_twice(cnm, host)
        assert len(network.endpoints) == 1
