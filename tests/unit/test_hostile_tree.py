"""The tree, fed hostile names, bytes and calls: an error number with a sentence, or it is right."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import time
from contextlib import closing
from functools import partial

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pycnm
from cnmfs import options
from cnmfs.assembly import assemble
from pycnm.errors import InvalidArgumentError
from pycnm.testing import FakeKernel

NET, BOX = "networks/net", "sandboxes/box"
END = f"{BOX}/endpoints/net"
FILES = [
    *(f"{NET}/{name}" for name in (
        "driver", "subnet", "gateway", "ip_range", "aux_addresses", "parent", "internal", "ipv4",
        "ipv6", "mtu", "attachable", "routes", "publish", "spec", "labels/tier", "labels/new",
        "options/com.docker.network.driver.mtu", "options/new", "id", "inspect")),
    *(f"{END}/{name}" for name in (
        "ip", "ip6", "mac", "aliases", "gateway_priority", "rate", "routes", "forwarding",
        "vlan", "publish", "interface")),
    "error_log", "last_error", "events", "README",
]  # fmt: skip
TEXTS = hostile.texts(
    "10.20.40.0/24\n", "10.20.30.9\n", "bridge\n", "1\n", "auto\n",
    "box 8080:80/tcp\n-box 8080:80\n", "9000:80\n9001:81/udp\n-8080:80\n", "web\ndb\n",
    "router 10.20.30.7\n", "02:42:0a:14:1e:09\n",
    "10.60.0.0/16 via 10.20.30.5\n", "-10.60.0.0/16\n",
    "1400\n", '{"internal": true, "labels": {"a": "b"}}', '{"subnet": ["10.20.40.0/24"]}',
    '{"driver": null}', "[" * 4000, '{"a":' * 1000, '"\\ud800"', '{"labels": {"a": 7}}', "1e400",
)  # fmt: skip
DATA = st.one_of(
    st.binary(max_size=64), TEXTS.map(lambda text: text.encode(errors="surrogatepass"))
)
PLACES = st.sampled_from(
    ["", "networks", "sandboxes", NET, BOX, f"{NET}/labels", f"{NET}/options", f"{NET}/endpoints",
     f"{BOX}/endpoints", END, "drivers", "ipam/default", "events", f"{NET}/driver/x"]
)  # fmt: skip
# What the kernel hands on as a name has no slash and no NUL, and may be any other bytes.
NAMES = st.one_of(
    hostile.texts("net", "new", "box", "free", "tier", "c3", "sedAbCdEf", "driverAbCdEf"),
    st.binary(min_size=1, max_size=12).map(os.fsdecode),
).map(lambda text: text.replace("/", "").replace("\0", ""))
TARGETS = hostile.texts("../../../sandboxes/free", "../../../sandboxes/box", "sandboxes/free", "x")
KNOWN = {
    errno.EINVAL, errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.EADDRINUSE, errno.EADDRNOTAVAIL,
    errno.ENOSPC, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTDIR, errno.EISDIR,
    errno.ENAMETOOLONG, errno.E2BIG, errno.EFBIG,
}  # fmt: skip


class World:
    def __init__(self, directory):
        self.directory, self.cnm, self.count = directory, None, 0

    def fresh(self):
        if self.cnm is not None and self.before == self.picture():
            return self
        self.close()
        self.count += 1
        self.state = self.directory / str(self.count)
        self.kernel = FakeKernel()
        self.cnm = pycnm.Controller(self.state, kernel=self.kernel)
        net = self.cnm.create_network("net", subnet="10.20.30.0/24", labels={"tier": "front"})
        net.connect(self.cnm.create_sandbox("box"), publish=["8080:80"])
        self.cnm.create_sandbox("free")
        self.files = assemble(self.cnm).filesystem
        self.before = self.picture()
        return self

    def close(self):
        if self.cnm is not None:
            self.cnm.close()

    def picture(self):
        with closing(sqlite3.connect(self.state / "cnm.db")) as reader:
            rows = [
                sorted(map(repr, reader.execute(f"SELECT * FROM {table}")))  # noqa: S608
                for table in ("networks", "sandboxes", "endpoints", "ports", "changes")
            ]
        return self.kernel.listing(), rows

    def read(self, path):
        handle = self.files.open(path, os.O_RDONLY)
        text = self.files.read(handle, 1 << 20, 0)
        self.files.close(handle)
        return text.decode()

    def attempt(self, call):
        """What a call raises is an error number that the table has, with a sentence."""
        found, failure = None, None
        begun = time.process_time()
        try:
            found = call()
        except OSError as error:
            failure = error
        assert time.process_time() - begun < hostile.PATIENCE
        if failure is not None:
            assert failure.errno in KNOWN, failure
            assert len(failure.strerror) > 8
            assert self.picture() == self.before, failure
            last = self.read("last_error")
            assert last.count("\n") == 1
        elif self.picture() != self.before:
            assert self.cnm.check() == []
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("tree"))
    yield world
    world.close()


@pytest.fixture(autouse=True)
def no_mistakes(caplog):
    """What cnmfs didn't foresee it would log, and call a mistake of its own."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record for record in caplog.get_records("call") if record.name == "cnmfs"] == []


@hostile.many(150)
@given(
    path=st.sampled_from(FILES),
    pieces=st.lists(DATA, min_size=1, max_size=3),
    flags=st.sampled_from([0, os.O_TRUNC, os.O_APPEND, os.O_RDWR]),
    gap=st.sampled_from([0, 0, 0, 1, -1, 1 << 40]),
)
def test_bytes_to_any_file(shared, path, pieces, flags, gap):
    world = shared.fresh()

    def begin():
        try:
            handle = world.files.open(path, os.O_WRONLY | flags if flags != os.O_RDWR else flags)
        except FileNotFoundError:
            handle = world.files.create(path, os.O_WRONLY)
        return handle

    handle = world.attempt(begin)
    if handle is None:
        return
    offset = 0
    for piece in pieces:
        world.before = world.picture()
        offset += world.attempt(partial(world.files.write, handle, piece, offset + gap)) or 0
    world.before = world.picture()
    world.attempt(partial(world.files.flush, handle))
    world.attempt(partial(world.files.close, handle))
    world.before = None


@hostile.many(400)
@given(
    place=PLACES,
    name=NAMES,
    other=NAMES,
    elsewhere=PLACES,
    target=TARGETS,
    what=st.sampled_from(
        ["make", "remove", "unlink", "link", "rename", "rename there", "create", "open", "status",
         "listing", "target", "truncate"]
    ),
)  # fmt: skip
def test_any_name_to_any_call(shared, place, name, other, elsewhere, target, what):
    world = shared.fresh()
    path = f"{place}/{name}"
    files = world.files
    calls = {
        "make": lambda: files.make(path),
        "remove": lambda: files.remove(path),
        "unlink": lambda: files.unlink(path),
        "link": lambda: files.link(path, target),
        "rename": lambda: files.rename(path, f"{place}/{other}"),
        "rename there": lambda: files.rename(place, f"{elsewhere}/{other}"),
        "create": lambda: files.close(files.create(path, os.O_RDWR)),
        "open": lambda: files.close(files.open(path, os.O_RDONLY)),
        "status": lambda: files.status(path),
        "listing": lambda: files.listing(path),
        "target": lambda: files.target(path),
        "truncate": lambda: files.truncate(path, 7),
    }
    world.attempt(calls[what])


@hostile.many(200)
@given(document=st.recursive(
    hostile.values("bridge", "10.20.40.0/24"),
    lambda inner: st.dictionaries(
        st.sampled_from(["driver", "subnet", "gateway", "labels", "options", "aux_addresses",
                         "internal", "ipv6", "parent", "odd"]), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_any_document_as_the_configuration(shared, document):
    world = shared.fresh()
    try:
        text = json.dumps(document, default=repr, skipkeys=True)
    except ValueError:
        return

    def write():
        handle = world.files.open(f"{NET}/spec", os.O_WRONLY | os.O_TRUNC)
        try:
            world.files.write(handle, text.encode(errors="surrogatepass"), 0)
        finally:
            world.files.close(handle)

    world.attempt(write)


@pytest.mark.parametrize("path", [f"{NET}/spec", f"{NET}/publish", f"{END}/aliases"])
@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'"', b"9", b"a\n", b" ", b"\xff", b"8080:80\n"])
def test_a_mebibyte_in_pages(shared, path, piece):
    """As write(2) brings it; too much is refused, and nothing takes the square of its time."""
    world = shared.fresh()
    text = (piece * ((1 << 20) // len(piece) + 1))[: (1 << 20) + 1]

    def write():
        handle = world.files.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            for offset in range(0, len(text), 1 << 17):
                world.files.write(handle, text[offset : offset + (1 << 17)], offset)
        finally:
            world.files.close(handle)

    world.attempt(write)


@hostile.many(150)
@given(texts=st.lists(hostile.texts(
    "rw,gid=0", "rmrf", "ro", "state_dir=/tmp/x", "host=h1", "binding=fusepy", "gid=root",
    "gid=4294967295", "gid=99999999999999999999", "gid=-1", "gid=\u0663", "x-a=b", "state_dir=",
), max_size=3))  # fmt: skip
def test_mount_options(texts):
    def read():
        found = options.read(texts)
        assert found.gid is None or 0 <= found.gid < 2**32 - 1
        os.fsencode(found.state_dir)
        assert "\0" not in str(found.state_dir)

    refused = hostile.outcome(read)
    assert refused is None or type(refused) is InvalidArgumentError
