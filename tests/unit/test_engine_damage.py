"""Damaged rows are set aside and told; everything else goes on."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

import pycnm
from pycnm.errors import AlreadyExistsError, CNMError, NotFoundError, StoreError
from pycnm.testing import FakeKernel

WAYS = {
    "no-json": ("substr(spec, 2)", ()),
    "no-utf8": ("CAST(x'7b226964223aff' || CAST(spec AS BLOB) AS TEXT)", ()),
    "a-number": ("'7'", ()),
    "nothing": ("''", ()),
    "another-field": ("replace(spec, '\"created\"', '\"creeted\"')", ()),
    "no-address": (
        "replace(replace(spec, '10.20.', '10x20.'), '\"labels\":[]', '\"labels\":7')",
        (),
    ),
    "another-name": ('replace(spec, \'"name":"\', \'"name":"x\')', ()),
    "another-id": ('replace(spec, \'"id":"\', \'"id":"x\')', ()),
}


@pytest.fixture
def nothing(kernel):
    return kernel.listing()


@pytest.fixture
def directory(tmp_path, kernel, nothing):
    """Two networks, two sandboxes; each sandbox is on a network and publishes a port."""
    assert nothing
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        for number, name in enumerate(("one", "two")):
            net = cnm.create_network(f"net-{name}", subnet=f"10.20.{number}.0/24")
            net.connect(cnm.create_sandbox(f"box-{name}"), publish=[f"{8000 + number}:80"])
    return tmp_path


def damage(directory, statement, *values):
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as writer, writer:
        count = writer.execute(statement, values).rowcount
    assert count == 1


def look(cnm):
    """Everything that can be seen of the second of each, which is sound."""
    net, box = cnm.network("net-two"), cnm.sandbox("box-two")
    assert net in cnm.networks()
    assert box in cnm.sandboxes()
    assert [end.name for end in net.endpoints] == ["box-two"]
    assert net.inspect()["Name"] == "net-two"
    assert box.inspect()["Name"] == "box-two"
    assert "box-two" in box.hosts
    assert [str(port) for port in net.endpoints[0].ports] == ["0.0.0.0:8001->80/tcp"]
    assert str(net.explain()) in str(net.explain() + box.explain())


def work(cnm):
    """Everything that is done every day, beside what is damaged."""
    net, box = cnm.create_network("net-three"), cnm.create_sandbox("box-three")
    end = net.connect(box)
    cnm.network("net-two").connect(box, publish=["9000:90"])
    end.publish("9001:90")
    cnm.network("net-two").disconnect(box)
    box.delete()
    net.delete()


TABLES = {
    "networks": ("network", "net"),
    "sandboxes": ("sandbox", "box"),
    "endpoints": ("endpoint", "box"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_object(directory, kernel, nothing, table, way):
    what, prefix = TABLES[table]
    expression, values = way
    name = f"{prefix}-one"
    damage(directory, f"UPDATE {table} SET spec = {expression} WHERE name = ?", *values, name)  # noqa: S608
    before = kernel.listing()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        assert cnm.troubles == []
        look(cnm)
        work(cnm)
        # What the kernel holds for it goes on working.
        assert kernel.listing() == before
        told = cnm.check()
        assert any(text.startswith(f"the record of {what} {name} (") for text in told)
        for text in told:
            assert "is damaged and was set aside" in text
            assert text.endswith("`cnm reconcile` removes what is left of it, then make it again")
        assert cnm.check() == told
        look(cnm)
        assert set(told) <= set(cnm.reconcile())
        assert cnm.check() == []
        assert cnm.reconcile() == []
        look(cnm)
        work(cnm)
        # Its name, its addresses and its ports are free again.
        if table == "networks":
            cnm.create_network("net-one", subnet="10.20.0.0/24")
        if table != "endpoints":
            with contextlib.suppress(AlreadyExistsError):
                cnm.create_sandbox("box-one")
        end = cnm.network("net-one").connect("box-one", ip="10.20.0.2", publish=["8000:80"])
        assert str(end.ip) == "10.20.0.2"
        for box in cnm.sandboxes():
            box.delete()
        for net in cnm.networks(type="custom"):
            net.delete()
        assert kernel.listing() == nothing


@pytest.mark.parametrize("table", TABLES)
def test_a_change_sets_aside_what_is_in_its_way(directory, kernel, table):
    name = f"{TABLES[table][1]}-one"
    damage(directory, f"UPDATE {table} SET spec = '' WHERE name = ?", name)  # noqa: S608
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        with contextlib.suppress(CNMError):
            cnm.network("net-one").delete(force=True)
        with contextlib.suppress(CNMError):
            cnm.sandbox("box-one").delete()
        cnm.create_network("net-five", subnet="10.20.5.0/24")
        cnm.reconcile()
        assert cnm.check() == []
        look(cnm)


def test_a_network_is_deleted_with_a_damaged_endpoint(directory, kernel):
    """The change finds it damaged, sets it aside, and is made once more without it."""
    damage(directory, "UPDATE endpoints SET spec = '' WHERE name = 'box-one'")
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        cnm.network("net-one").delete()
        assert [net.name for net in cnm.networks(type="custom")] == ["net-two"]
        assert "the record of endpoint box-one" in cnm.check()[0]


def test_asked_for_by_name(directory, kernel):
    damage(directory, "UPDATE networks SET spec = '' WHERE name = 'net-one'")
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        with pytest.raises(StoreError, match="`cnm check` sets it aside"):
            cnm.network("net-one")
        cnm.check()
        with pytest.raises(NotFoundError):
            cnm.network("net-one")


def test_a_damaged_predefined_network(directory, kernel):
    damage(directory, "UPDATE networks SET spec = '' WHERE name = 'bridge'")
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        look(cnm)
        work(cnm)
        assert "the record of network bridge" in cnm.check()[0]


def test_a_reboot_on_damage(directory, nothing):
    damage(directory, "UPDATE networks SET spec = '' WHERE name = 'net-one'")
    damage(directory, "UPDATE endpoints SET spec = '' WHERE name = 'box-two'")
    damage(directory, "UPDATE operations SET body = '' WHERE body LIKE '%net-%' OR number = 3")
    kernel = FakeKernel()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        assert [net.name for net in cnm.networks(type="custom")] == ["net-two"]
        assert len(cnm.check()) >= 3
        cnm.reconcile()
        assert cnm.check() == []
        cnm.network("net-two").delete(force=True)
    assert kernel.listing() == nothing


@pytest.mark.parametrize(
    "condition",
    [
        "body LIKE '[\"Link\"%'",
        'body LIKE \'["Entry","egress"%\'',
        "body LIKE '[\"Veth\"%'",
        "body LIKE '[\"Guard\"%'",
        "body LIKE '[\"HeldPort\"%'",
        "body LIKE '[\"Namespace\"%'",
        "body LIKE '[\"Route\"%'",
        "body LIKE '[\"Skeleton\"%'",
        'body LIKE \'["Entry","opened4"%\'',
    ],
)
@pytest.mark.parametrize("body", ["", '["Up"]', '["Nonsense",7]'])
def test_a_damaged_plan(directory, kernel, nothing, condition, body):
    damage(
        directory,
        "UPDATE operations SET body = ? WHERE number = "  # noqa: S608
        f"(SELECT min(number) FROM operations WHERE {condition})",
        body,
    )
    before = kernel.listing()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        look(cnm)
        work(cnm)
        (sentence,) = cnm.check()
        assert sentence.startswith("part of the plan of ")
        assert sentence.endswith("`cnm reconcile` records it again")
        assert cnm.reconcile() == [sentence]
        assert cnm.check() == []
        assert kernel.listing() == before
        for box in cnm.sandboxes():
            box.delete()
        for net in cnm.networks(type="custom"):
            net.delete()
        assert kernel.listing() == nothing


def test_a_damaged_port(directory, kernel):
    damage(directory, "UPDATE ports SET target = '10x20' WHERE port = 8000")
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        look(cnm)
        work(cnm)
        (sentence,) = cnm.check()
        assert sentence.startswith("the record of port 0.0.0.0:8000/tcp is damaged")
        assert sentence.endswith("`cnm reconcile` closes it, then publish it again")
        (end,) = cnm.network("net-one").endpoints
        assert end.ports == []
        assert "port 0.0.0.0:8000/tcp" in kernel.listing()
        cnm.reconcile()
        assert "port 0.0.0.0:8000/tcp" not in kernel.listing()
        end.publish("8000:80")
        assert cnm.check() == []


DAMAGE = {
    "host": (
        "UPDATE meta SET value = rtrim(value, '0123456789') || 'x' WHERE key = 'incarnation'",
        (),
    ),
    "network": ("DELETE FROM networks WHERE name = 'net-one'", ()),
    "quarantine": ("INSERT INTO quarantine VALUES (1, '', 'networks', '', '{')", ()),
    "change": ("INSERT INTO changes VALUES (1, 0, 'connect', 0, ?, '[]')", ('[["networks",1]]',)),
    "column": (
        "INSERT INTO changes VALUES (1, 0, '', 0, ?, '[]')",
        ('[["networks",1,"number",7]]',),
    ),
    "subnet": ("UPDATE subnets SET first = x'07' WHERE network = 4", ()),
    "addresses": ("UPDATE address_run SET last = x'07' WHERE owner = 2", ()),
    "pool": ("UPDATE pool_subnet SET first = x'07' WHERE id = 2", ()),
    "version": ("UPDATE pool_subnet SET version = 5 WHERE id = 2", ()),
    "cursor": ("UPDATE pool_subnet SET cursor = x'07' WHERE id = 2", ()),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_that_nothing_can_be_set_aside_for(directory, kernel, case):
    statement, values = DAMAGE[case]
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as writer, writer:
        writer.execute("PRAGMA ignore_check_constraints = ON")
        assert writer.execute(statement, values).rowcount >= 1
    with pytest.raises(StoreError) as caught, pycnm.Controller(directory, kernel=kernel) as cnm:
        for trouble in cnm.troubles:
            raise StoreError(trouble)
        cnm.sandbox("box-one").inspect()
        cnm.check()
        cnm.create_network("net-three")
        cnm.network("net-one").connect("box-two")
    assert " is damaged (" in str(caught.value)
    assert "move cnm.db, in the state directory, away" in str(caught.value)


def test_an_operation_that_makes_no_sense(directory, kernel):
    """It can be read, but nothing can be done with it."""
    damage(
        directory,
        'UPDATE operations SET body = \'["Address","","eth0","10x20"]\' WHERE number = '
        '(SELECT min(number) FROM operations WHERE body LIKE \'["Entry","egress"%\')',
    )
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        look(cnm)
        work(cnm)
        (sentence,) = cnm.check()
        assert sentence.startswith("it can't be said whether Address(ns='', link='eth0', ")
