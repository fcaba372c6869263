"""The kill sweep fails when the code is broken, so it looks at what it says it looks at."""

from __future__ import annotations

import pytest
from sweep import sweep
from trials import late

from pycnm.engine.engine import Engine
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
