"""What is read from files and sockets, damaged at random: it is coped with, or a typed error."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import json
import shutil
import socket
import sqlite3
from functools import partial
from types import SimpleNamespace

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pycnm
from pycnm.agent import server as server_module
from pycnm.agent.ports import Ports
from pycnm.agent.server import Server
from pycnm.agent.sockets import Port
from pycnm.engine.engine import MIGRATIONS
from pycnm.errors import CNMError, PermissionDeniedError, StoreError
from pycnm.kernel.agent import DIALECT
from pycnm.plan.operation import Operation
from pycnm.spec.objects import EndpointSpec, NetworkSpec, Pool, SandboxSpec
from pycnm.testing import FakeKernel

VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False),
        hostile.texts("10.20.0.2/24", "10.20.0.1", "fd00::1/64", "02:42:0a:14:00:02", "a", "Link"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(hostile.TEXTS, inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip
PLACES = st.integers(0, 999)
MTU = "com.docker.network.driver.mtu"


def changed(document, place, value):
    """A document with something in it replaced: the nth of all there is, at any depth."""
    places = []

    def walk(inside):
        items = inside.items() if isinstance(inside, dict) else enumerate(inside)
        for key, each in items:
            places.append((inside, key))
            if isinstance(each, (dict, list)):
                walk(each)

    document = copy.deepcopy(document)
    walk(document)
    inside, key = places[place % len(places)]
    if value is KeyError:
        del inside[key]
    else:
        inside[key] = value
    return document


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A state directory with two of everything and an unfinished change, and its kernel."""
    directory = tmp_path_factory.mktemp("template") / "state"
    kernel = FakeKernel()
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        for number, name in enumerate(("one", "two")):
            net = cnm.create_network(
                f"net-{name}", subnet=[f"10.20.{number}.0/24", f"fd00:{number}::/64"],
                ip_range=f"10.20.{number}.0/25", labels={"a": "b"},
                aux_addresses={"x": f"10.20.{number}.9"},
            )  # fmt: skip
            net.connect(
                cnm.create_sandbox(f"box-{name}"), publish=[f"{8000 + number}:80"], aliases=["web"]
            )
            net.create_endpoint("loose", publish=["9000:90"])
    with contextlib.closing(sqlite3.connect(directory / "cnm.db")) as writer, writer:
        # Somebody died while it was made.
        (number,) = writer.execute(
            "INSERT INTO changes (maker, verb, forward) VALUES (0, 'rename', 0) RETURNING id"
        ).fetchone()
        before = [["networks", 4, "name", "net-one"]]
        writer.execute("UPDATE changes SET before = ? WHERE id = ?", (json.dumps(before), number))
        writer.execute("UPDATE operations SET arriving = ? WHERE number % 17 = 0", (number,))
    for path in directory.glob("cnm.db-*"):
        path.unlink()
    return directory, kernel


def records_of(template):
    with contextlib.closing(sqlite3.connect(template[0] / "cnm.db")) as reader:
        found = [
            (cls, text)
            for table, cls in (
                ("networks", NetworkSpec), ("sandboxes", SandboxSpec), ("endpoints", EndpointSpec))
            for (text,) in reader.execute(f"SELECT spec FROM {table} ORDER BY number")  # noqa: S608
        ]  # fmt: skip
        rows = reader.execute("SELECT body FROM operations GROUP BY substr(body, 1, 9)")
        found += [(Operation, text) for (text,) in rows]
    networks = [json.loads(text) for cls, text in found if cls is NetworkSpec]
    return found + [(Pool, json.dumps(pool)) for each in networks for pool in each["pools"]]


@hostile.many(300)
@given(nth=PLACES, place=PLACES, value=st.one_of(VALUES, st.just(KeyError)), again=st.booleans())
def test_a_record_with_something_else_in_it(template, nth, place, value, again):
    """It is refused; or what was read can be kept, printed and read again."""
    found = records_of(template)
    cls, text = found[nth % len(found)]
    document = changed(json.loads(text), place, value)
    if again and document:
        document = changed(document, place // 7, value)

    def read():
        record = cls.from_json(json.dumps(document))
        assert cls.from_json(record.to_json()).to_json() == record.to_json()

    refused = hostile.outcome(read)
    assert refused is None or type(refused) is StoreError


@hostile.many(150)
@given(text=st.one_of(hostile.TEXTS, hostile.texts(
    '{"id":"a","name":"b"}', '["Up","","eth0"]', '["Entry","egress",["a"],["b"]]', "9" * 300,
    '["Address","","eth0","10.0.0.1/99"]', '"\\ud800"',
)))  # fmt: skip
def test_any_text_as_a_record(text):
    refuse_or_read(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 100_000, '"' * 100_000])
def test_a_large_text_as_a_record(text):
    refuse_or_read(text)


def refuse_or_read(text):
    for cls in (NetworkSpec, SandboxSpec, EndpointSpec, Pool, Operation):
        refused = hostile.outcome(partial(cls.from_json, text))
        assert refused is None or type(refused) is StoreError


# The database

DOCUMENTS = {"spec", "body", "before", "events", "attributes"}


def everything(directory, kernel):
    """What is done every day, and what is done about damage."""
    with pycnm.Controller(directory, kernel=kernel) as cnm:
        calls = [
            cnm.check,
            lambda: [str(net.inspect()) + str(net.explain()) for net in cnm.networks()],
            lambda: [str(box.inspect()) + box.hosts for box in cnm.sandboxes()],
            lambda: [str(end.inspect()) for net in cnm.networks() for end in net.endpoints],
            lambda: [str(net.usage()) for net in cnm.networks()],
            lambda: list(cnm.events()),
            lambda: cnm.network("net-two").connect(cnm.create_sandbox("new"), publish=["70:70"]),
            lambda: cnm.network("net-two").configure(labels={"a": "c"}),
            lambda: cnm.network("net-one").configure(options={MTU: "1400"}),
            lambda: cnm.network("net-two").disconnect("box-two"),
            lambda: cnm.network("net-one").endpoints[0].publish("71:71"),
            lambda: cnm.network("net-one").endpoints[1].join("box-two"),
            lambda: cnm.create_network("net-three"),
            cnm.reconcile,
            cnm.check,
            lambda: cnm.network("net-one").delete(force=True),
            cnm.prune,
            *(lambda box=box: cnm.sandbox(box).delete() for box in ("box-one", "box-two")),
        ]  # fmt: skip
        for call in calls:
            # What it is about may be gone with the damage.
            with contextlib.suppress(IndexError):
                plausible(call)


def plausible(call):
    """A call works, or there is a sentence about why not."""
    refused = None
    try:
        call()
    except CNMError as error:
        refused = error
    if refused is not None:
        assert len(str(refused)) > 15
        assert refused.errno > 0


def opened(template, damage):
    """A copy of the template is damaged, opened, and used."""
    directory, kernel = template
    place = directory.parent / "damaged"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(directory, place)
    damage(place / "cnm.db")
    try:
        everything(place, copy.deepcopy(kernel))
    except (StoreError, PermissionDeniedError) as error:
        text = str(error)
        assert any(
            word in text for word in ("move ", "upgrade", "reconcile", "check", "try again")
        ), text
        return text
    return ""


def size(template):
    return (template[0] / "cnm.db").stat().st_size


@hostile.many(40)
@given(
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=4),
    header=st.booleans(),
)
def test_flipped_bytes(template, flips, header):
    def damage(path):
        data = bytearray(path.read_bytes())
        for place, mask in flips:
            data[place % (512 if header else len(data))] ^= mask
        path.write_bytes(data)

    opened(template, damage)


@hostile.many(30)
@given(length=st.integers(0, 2**20), more=st.binary(max_size=20))
def test_a_truncated_copy(template, length, more):
    def damage(path):
        data = path.read_bytes()
        path.write_bytes(data[: length % len(data)] + more)

    opened(template, damage)


@hostile.many(15)
@given(name=st.sampled_from(["cnm.db-wal", "cnm.db-shm", "cnm.db-journal", "locks", "write.lock"]),
       data=st.binary(max_size=5000), begin=st.booleans())  # fmt: skip
def test_anything_beside_it(template, name, data, begin):
    head = bytes.fromhex("377f0682002de218") if begin else b""
    opened(template, lambda path: (path.parent / name).write_bytes(head + data))


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 99, 2**31 - 1, -1, -(2**31)])
def test_another_version(template, version):
    def damage(path):
        with contextlib.closing(sqlite3.connect(path)) as writer:
            writer.execute(f"PRAGMA user_version = {version}")

    assert opened(template, damage)


@hostile.many(60)
@given(
    nth=PLACES,
    row=PLACES,
    column=PLACES,
    what=st.sampled_from(["value", "value", "delete", "twice", "document", "document", "document"]),
    value=st.one_of(
        st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=16), st.floats(),
        hostile.texts("10.20.0.2", "tcp", "net-one", "[]", "{}", '["Up","","eth0"]')
        .filter(lambda text: text.isprintable()),
    ),
    replacement=st.one_of(VALUES, st.just(KeyError)),
    place=PLACES,
)  # fmt: skip
def test_a_damaged_row(template, nth, row, column, what, value, replacement, place):
    def damage(path):
        with contextlib.closing(sqlite3.connect(path)) as writer, writer:
            writer.execute("PRAGMA ignore_check_constraints = ON")
            tables = [name for (name,) in writer.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
                "ORDER BY name")]  # fmt: skip
            if what == "document":
                tables = ["networks", "sandboxes", "endpoints", "operations", "changes", "events"]
            table = tables[nth % len(tables)]
            columns = [name for _, name, *_ in writer.execute(f"PRAGMA table_info({table})")]
            rows = writer.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            if not rows:
                return
            old = rows[row % len(rows)]
            at = column % len(columns)
            new = list(old)
            if what == "document":
                documents = [n for n, name in enumerate(columns) if name in DOCUMENTS]
                at = documents[column % len(documents)]
                document = json.loads(old[at])
                if not document:
                    return
                new[at] = json.dumps(changed(document, place, replacement))
            else:
                new[at] = value
            # Of what the tables themselves keep out there is nothing to be damaged.
            with contextlib.suppress(
                sqlite3.IntegrityError, sqlite3.OperationalError, UnicodeError
            ):
                if what != "twice":
                    where = " AND ".join(f"{name} IS ?" for name in columns)
                    writer.execute(f"DELETE FROM {table} WHERE {where}", old)  # noqa: S608
                if what != "delete":
                    marks = ", ".join("?" * len(new))
                    writer.execute(f"INSERT INTO {table} VALUES ({marks})", new)  # noqa: S608

    opened(template, damage)


# The agent's socket


@pytest.fixture(scope="module")
def server():
    """A server that holds nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Port, "hold", lambda _: socket.socket())
        place = SimpleNamespace(listener=None)
        yield Server(place, [Ports(list, None, 50)], lambda: True)


def head(server, **more):
    return {"dialect": DIALECT, "host": list(server._here), "service": "ports"} | more


@hostile.many(250)
@given(
    line=st.one_of(st.none(), st.none(), st.binary(max_size=40), hostile.TEXTS.map(
        lambda text: text.encode(errors="surrogatepass"))),
    do=st.one_of(st.sampled_from(["hold", "release", "list"]), VALUES),
    ports=st.one_of(VALUES, st.lists(st.one_of(VALUES, st.tuples(
        st.sampled_from(["tcp", "udp", "sctp", "TCP"]), hostile.texts("0.0.0.0", "::", "127.0.0.1"),
        st.one_of(st.integers(-1, 65537), VALUES))), max_size=3)),
    place=st.one_of(st.none(), PLACES),
    value=VALUES,
)  # fmt: skip
def test_requests_to_the_agent(server, line, do, ports, place, value):
    if line is None:
        document = head(server, do=do, ports=ports)
        if place is not None:
            document = changed(document, place, value)
        line = json.dumps(document).encode()
    answer = asyncio.run(server._answer(line))
    json.dumps(answer).encode()
    # That one is for what nobody thought of.
    assert answer.get("error") != errno.EIO, answer
    ports_held = server._services["ports"]
    asyncio.run(ports_held.close())


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b'"' * 1000, b"\xff\xfe"]
)
def test_bad_lines(server, line):
    assert asyncio.run(server._answer(line))["error"] == errno.EINVAL


def test_a_request_for_everything(server):
    ports = [["tcp", "127.0.0.1", n % 65535 + 1] for n in range(100_000)]
    line = json.dumps(head(server, do="list", ports=ports)).encode()
    assert len(line) < server_module.LONGEST
    assert asyncio.run(server._answer(line))["ports"] == []
