"""Events: one for each change that is final, whoever made it, and for no other."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

import pycnm
from pycnm.engine import journal
from pycnm.engine.journal import Happening
from pycnm.errors import CNMError, InvalidArgumentError, KernelError, NotFoundError, StoreError
from pycnm.kernel import libc
from pycnm.testing import FailingKernel, FakeKernel

PATIENCE = 20.0


@pytest.fixture
def cnm(tmp_path):
    with pycnm.Controller(tmp_path / "state", kernel=FakeKernel()) as controller:
        yield controller


def told(cnm, since=None):
    return [(event.type, event.action, event.name) for event in cnm.events(since=since)]


# Every kind of change


def test_the_life_of_a_network(cnm):
    net = cnm.create_network("blue", subnet="10.20.30.0/24")
    net.configure(labels={"team": "web"})
    net.configure(labels={"team": "web"})
    net.rename("green")
    net.delete()
    assert told(cnm) == [
        ("network", "create", "blue"),
        ("network", "update", "blue"),
        ("network", "update", "green"),
        ("network", "destroy", "green"),
    ]
    renamed = [*cnm.events()][2]
    assert renamed.id == net.id
    assert dict(renamed.attributes) == {"name": "green", "oldName": "blue", "type": "bridge"}


def test_the_life_of_an_endpoint(cnm):
    net, box = cnm.create_network("blue"), cnm.create_sandbox("c1")
    start = [*cnm.events()][-1]
    assert (start.type, start.action, start.id) == ("sandbox", "create", box.id)
    end = net.connect(box, publish=["8080:80"], name="web")
    end.publish("53:53/udp", "54:54/udp")
    end.unpublish("8080:80")
    net.disconnect(box)
    found = [*cnm.events(since=start)]
    where = {"container": box.id, "sandbox": "c1"}
    place = {"name": "blue", "type": "bridge", **where}
    web = {"name": "web", "network": "blue", "networkID": net.id, **where}
    two = "0.0.0.0:53->53/udp 0.0.0.0:54->54/udp"
    assert [(e.type, e.action, e.id, dict(e.attributes)) for e in found] == [
        ("network", "connect", net.id, place),
        ("endpoint", "publish", end.id, {**web, "ports": "0.0.0.0:8080->80/tcp"}),
        ("endpoint", "publish", end.id, {**web, "ports": two}),
        ("endpoint", "unpublish", end.id, {**web, "ports": "0.0.0.0:8080->80/tcp"}),
        ("endpoint", "unpublish", end.id, {**web, "ports": two}),
        ("network", "disconnect", net.id, place),
    ]


def test_an_endpoint_joins_and_leaves(cnm):
    net, box = cnm.create_network("blue"), cnm.create_sandbox("c1")
    end = net.create_endpoint("web", publish=["8080:80"])
    start = [*cnm.events()][-1]
    end.join(box)
    end.leave()
    end.delete()
    assert told(cnm, start) == [
        ("network", "connect", "blue"),
        ("endpoint", "publish", "web"),
        ("endpoint", "unpublish", "web"),
        ("network", "disconnect", "blue"),
    ]


@pytest.mark.parametrize("what", ["network", "sandbox"])
def test_what_goes_with_something_is_told_before_it(cnm, what):
    net, box = cnm.create_network("blue"), cnm.create_sandbox("c1")
    net.connect(box)
    start = [*cnm.events()][-1]
    net.delete(force=True) if what == "network" else box.delete()
    name = "blue" if what == "network" else "c1"
    assert told(cnm, start) == [("network", "disconnect", "blue"), (what, "destroy", name)]


def test_the_predefined_networks_and_a_dry_run_are_no_events(cnm):
    cnm.plan_network("blue")
    cnm.check()
    cnm.reconcile()
    assert told(cnm) == []


def test_sandboxes_that_go_with_a_reboot_are_told(tmp_path, monkeypatch):
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        cnm.create_network("blue").connect(cnm.create_sandbox("c1"), publish=["8080:80"])
        start = [*cnm.events()][-1]
    monkeypatch.setattr(pycnm.engine.recovery, "incarnation", lambda _: "another 1:1")
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        assert told(cnm, start) == [
            ("endpoint", "unpublish", "c1"),
            ("network", "disconnect", "blue"),
            ("sandbox", "die", "c1"),
        ]


# Failures and deaths

CHANGES = {
    "network": lambda cnm: cnm.create_network("back", ipv6=True),
    "sandbox": lambda cnm: cnm.create_sandbox("c3"),
    "connect": lambda cnm: cnm.network("front").connect("two", publish=["8081:80"]),
    "publish": lambda cnm: cnm.network("front").endpoints[0].publish("8082:80"),
    "leave": lambda cnm: cnm.network("front").endpoints[0].leave(),
    "configure": lambda cnm: cnm.network("front").configure(
        options={"com.docker.network.driver.mtu": "1400"}
    ),
}


def start(directory, kernel):
    cnm = pycnm.Controller(directory, kernel=kernel)
    cnm.create_network("front").connect(cnm.create_sandbox("one"), publish=["8080:80"])
    cnm.create_sandbox("two")
    return cnm


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_fails_is_no_event(tmp_path, change):
    kernel = FailingKernel(FakeKernel())
    with start(tmp_path, kernel) as cnm:
        before = told(cnm)
        failed = 0
        for step in range(1, 100):
            kernel.arm(step)
            try:
                change(cnm)
            except CNMError:
                failed += 1
                assert told(cnm) == before
            else:
                break
        assert failed
        assert len(told(cnm)) > len(before)


@pytest.mark.parametrize("change", [lambda cnm: cnm.create_network("front"),
                                    lambda cnm: cnm.sandbox("nobody").delete()])  # fmt: skip
def test_a_change_that_is_refused_is_no_event(tmp_path, change):
    with start(tmp_path, FakeKernel()) as cnm:
        before = told(cnm)
        with pytest.raises(CNMError):
            change(cnm)
        assert told(cnm) == before


class DeadlyKernel(FailingKernel):
    """Takes its process with it in the place of doing anything."""

    def run(self, *_change):
        os._exit(9)

    attempt = run


def dies(directory, kernel, change):
    child = multiprocessing.get_context("fork").Process(
        target=_die, args=(directory, kernel, change)
    )
    child.start()
    child.join()
    assert child.exitcode == 9


def _die(directory, kernel, change):
    change(pycnm.Controller(directory, kernel=DeadlyKernel(kernel)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_deletion_cut_short_is_told_by_who_finishes_it(tmp_path):
    kernel = FakeKernel()
    with start(tmp_path, kernel) as cnm:
        before = [*cnm.events()][-1]
    dies(tmp_path, kernel, lambda cnm: cnm.network("front").disconnect("one"))
    with contextlib.closing(sqlite3.connect(tmp_path / "cnm.db")) as reader:
        assert reader.execute("SELECT max(number) FROM events").fetchone() == (before.number,)
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert told(cnm, before) == [
            ("endpoint", "unpublish", "one"),
            ("network", "disconnect", "front"),
        ]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_making_cut_short_is_never_told(tmp_path):
    kernel = FakeKernel()
    with start(tmp_path, kernel) as cnm:
        before = told(cnm)
    dies(tmp_path, kernel, lambda cnm: cnm.network("front").connect("two"))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert told(cnm) == before


# What is kept, and from where it is read


def test_the_last_thousand_stay(cnm):
    database = cnm._engine.db
    for number in range(journal.KEPT // 10 + 2):
        happenings = [Happening("sandbox", "create", f"{number}{n}", {}) for n in range(10)]
        with database.write() as tx:
            journal.publish(tx, happenings)
    found = [event.number for event in cnm.events()]
    assert found == list(range(21, journal.KEPT + 21))
    cnm.create_sandbox("one")
    (last,) = cnm.events(since=found[-1])
    assert (last.number, last.name) == (found[-1] + 1, "one")


def test_since_and_until(cnm):
    for name in ("one", "two", "three"):
        cnm.create_sandbox(name)
        time.sleep(0.002)
    one, two, three = cnm.events()
    assert [one.number, two.number, three.number] == [1, 2, 3]

    def names(**limits):
        return [event.name for event in cnm.events(**limits)]

    assert names(since=one) == names(since=1) == ["two", "three"]
    assert names(since=0) == names(since="0") == names(since="1h") == ["one", "two", "three"]
    assert names(since=three) == names(since="now") == names(since=99) == []
    assert names(since=two.time) == ["two", "three"]
    assert names(since=two.time.astimezone().replace(tzinfo=None)) == ["two", "three"]
    elsewhere = two.time.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert names(since=elsewhere.isoformat()) == ["two", "three"]
    text = str(two).split()[0]
    assert names(since=text) == ["two", "three"]
    assert names(until=text) == ["one", "two"]
    assert names(since=text, until=text) == ["two"]
    assert names(since=f"{two.time_ns // 10**9}.{two.time_ns % 10**9:09}") == ["two", "three"]
    assert names(until="10m") == []
    assert names(until="now", follow=True) == ["one", "two", "three"]


NO_MOMENTS = ["", "yesterday", "2026-13-01", "10 m", "9" * 16, -1, True, 1.5, b"now", "1e400s",
              "2026-11-24T10:00:00+99:00"]  # fmt: skip


@pytest.mark.parametrize("value", NO_MOMENTS)
def test_no_moment(cnm, value):
    with pytest.raises(InvalidArgumentError, match="invalid since"):
        cnm.events(since=value)
    with pytest.raises(InvalidArgumentError, match="invalid until"):
        cnm.events(until=value)


def test_follow_is_a_boolean(cnm):
    with pytest.raises(InvalidArgumentError, match="invalid follow"):
        cnm.events(follow="yes")


def test_how_an_event_prints():
    event = pycnm.Event(
        7, 1795514400_000000123, "network", "connect", "e66c", {"type": "bridge", "name": "blue"}
    )
    assert event.time == datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    assert str(event) == (
        "2026-11-24T10:00:00.000000123Z network connect e66c (name=blue, type=bridge)"
    )
    assert "\n" not in event.to_json()
    assert json.loads(event.to_json()) == {
        "Type": "network",
        "Action": "connect",
        "Actor": {"ID": "e66c", "Attributes": {"name": "blue", "type": "bridge"}},
        "scope": "local",
        "time": 1795514400,
        "timeNano": 1795514400000000123,
    }


def test_damaged_events_are_in_nobody_s_way(tmp_path):
    with start(tmp_path, FakeKernel()) as cnm:
        count = len(told(cnm))
        with contextlib.closing(sqlite3.connect(tmp_path / "cnm.db")) as database, database:
            database.execute("UPDATE events SET attributes = '{' WHERE number = 1")
        assert len(told(cnm)) == count - 1
        with cnm._engine.db.write() as tx:
            tx.execute("INSERT INTO changes VALUES (99, 1, 'x', 1, '[]', '[[1')")
            cnm._engine.settle(tx, 99, done=True)
        assert len(told(cnm)) == count - 1


# Following


class Follower(threading.Thread):
    """Collects events in a thread of its own."""

    def __init__(self, events):
        super().__init__(daemon=True)
        self.events = events
        self.found = []
        self.error = None
        self.news = threading.Condition()
        self.start()

    def run(self):
        try:
            for event in self.events:
                with self.news:
                    self.found.append((event.type, event.action, event.name))
                    self.news.notify()
        except CNMError as error:
            self.error = error

    def wait_for(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.found) >= count, PATIENCE)
        return self.found


OTHER = """
import sys, time, pycnm, pycnm.testing
with pycnm.Controller(sys.argv[1], kernel=pycnm.testing.FakeKernel()) as cnm:
    for number in range(20):
        cnm.create_sandbox(f"other{number}").delete()
"""


def other(cnm):
    """Changes that another process makes."""
    source = str(Path(pycnm.__file__).parents[1])
    words = [sys.executable, "-c", OTHER, str(cnm._engine.state_dir)]
    return subprocess.Popen(words, env={"PYTHONPATH": source})


def test_a_follower_sees_what_other_processes_do(cnm):
    cnm.create_network("blue")
    follower = Follower(cnm.events(follow=True))
    assert follower.wait_for(1) == [("network", "create", "blue")]
    with other(cnm) as process:
        found = follower.wait_for(41)
        assert process.wait() == 0
    assert found[1:] == [
        ("sandbox", action, f"other{number}")
        for number in range(20)
        for action in ("create", "destroy")
    ]
    cnm.close()
    follower.join(PATIENCE)
    assert not follower.is_alive()
    assert follower.error is None


def test_an_event_is_seen_at_once(cnm):
    """The last one of a burst, too, which nothing comes after to wake the follower."""
    follower = Follower(cnm.events(follow=True, since="now"))
    for number in range(1, 101):
        cnm.create_sandbox(f"c{number}")
        begun = time.monotonic()
        follower.wait_for(number)
        assert time.monotonic() - begun < 5


def test_a_follower_sleeps(cnm):
    follower = Follower(cnm.events(follow=True))
    cnm.create_sandbox("one")
    follower.wait_for(1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_a_follower_ends_in_time(cnm):
    begun = time.monotonic()
    assert list(cnm.events(follow=True, until="-300ms")) == []
    assert 0.2 < time.monotonic() - begun < 5


def test_a_closed_follower_leaves_nothing_open(cnm):
    cnm.create_sandbox("one")
    before = set(os.listdir("/proc/self/fd"))
    events = cnm.events(follow=True)
    assert next(events).name == "one"
    assert len(os.listdir("/proc/self/fd")) == len(before) + 2
    events.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert cnm._engine.watches == set()


def test_a_closed_controller_has_no_events(tmp_path):
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        late = cnm.events(follow=True)
    with pytest.raises(StoreError, match="closed"):
        cnm.events()
    assert list(late) == []


def test_a_state_directory_that_goes_ends_a_follower(cnm):
    follower = Follower(cnm.events(follow=True))
    cnm.create_sandbox("one")
    follower.wait_for(1)
    (cnm._engine.state_dir / "write.lock").unlink()
    follower.join(PATIENCE)
    assert isinstance(follower.error, NotFoundError)


def test_too_many_followers(cnm, monkeypatch):
    real = libc.call

    def call(name, *arguments):
        if name == "inotify_init1":
            raise OSError(24, "Too many open files")
        return real(name, *arguments)

    monkeypatch.setattr(libc, "call", call)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KernelError, match="max_user_instances"):
        next(cnm.events(follow=True))
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_fork_does_not_end_it(cnm):
    follower = Follower(cnm.events(follow=True))
    cnm.create_sandbox("one")
    follower.wait_for(1)
    child = multiprocessing.get_context("fork").Process(target=cnm.close)
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
    cnm.create_sandbox("two")
    assert follower.wait_for(2)[-1] == ("sandbox", "create", "two")
