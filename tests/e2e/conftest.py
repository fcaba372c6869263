"""The tree, on itself and through mounts of either binding; the mount is in another process."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hosts import host, machine, outside  # noqa: F401 - fixtures
from lives import BINDINGS, Life
from surroundings import as_they_were, own_namespaces

import pycnm
from cnmfs.assembly import assemble
from pycnm.testing import FakeKernel

# What is started in any directory runs the code under test.
SOURCE = str(Path(pycnm.__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
SERVER = Path(__file__).parent / "server.py"
PATIENCE = 20


@pytest.fixture(scope="session", autouse=True)
def own_machine():
    """Namespaces for the whole run: mounts are seen by nobody else, and end with it."""
    if os.geteuid() == 0:
        own_namespaces()


class Direct:
    """The tree without a mount."""

    def __init__(self, directory, **options):
        self.cnm = pycnm.Controller(directory, kernel=FakeKernel())
        self.fs = assemble(self.cnm, **options).filesystem
        self.listdir = self.fs.listing
        self.mkdir, self.rmdir, self.unlink = self.fs.make, self.fs.remove, self.fs.unlink
        self.rename, self.readlink = self.fs.rename, self.fs.target

    def close(self):
        self.cnm.close()

    def symlink(self, target, path):
        self.fs.link(path, target)

    def stat(self, path):
        return self.fs.status(path)

    def read(self, path):
        handle = self.fs.open(path, os.O_RDONLY)
        try:
            return self.fs.read(handle, 1 << 21, 0).decode()
        finally:
            self.fs.close(handle)

    def write(self, path, *pieces, flags=os.O_TRUNC):
        try:
            handle = self.fs.open(path, os.O_WRONLY | flags)
        except FileNotFoundError:
            handle = self.fs.create(path, os.O_WRONLY)
        offset = 0
        try:
            for piece in pieces:
                data = piece if isinstance(piece, bytes) else piece.encode()
                offset += self.fs.write(handle, data, offset)
        finally:
            self.fs.close(handle)


class Mounted:
    """The tree through a mount."""

    def __init__(self, directory, binding, options=()):
        self.directory, self.binding, self.options = directory, binding, options
        self.root = directory / "mnt"
        self.root.mkdir()
        self.process = None
        self.machine = pickle.dumps(FakeKernel())
        (directory / "machine").write_bytes(self.machine)
        self.start()

    def start(self):
        words = [str(self.directory / "state"), str(self.root), ",".join(
            [f"binding={self.binding}", *self.options])]  # fmt: skip
        self.process = subprocess.Popen([sys.executable, str(SERVER), *words])
        end = time.monotonic() + PATIENCE
        while not self.ready():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end
            time.sleep(0.01)

    def elsewhere(self):
        """A controller of the same state directory in this process.

        Its kernel knows nothing of what the mount does: it is for what no kernel is asked.
        """
        return pycnm.Controller(self.directory / "state", kernel=pickle.loads(self.machine))  # noqa: S301

    def ready(self):
        with contextlib.suppress(OSError):
            return (self.root / "networks").is_dir()
        return False

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        with contextlib.suppress(OSError):
            subprocess.run(["umount", "-l", self.root], capture_output=True, check=False)

    def __truediv__(self, path):
        return self.root / path

    def listdir(self, path):
        return sorted(os.listdir(self / path))

    def mkdir(self, path):
        os.mkdir(self / path)

    def rmdir(self, path):
        os.rmdir(self / path)

    def unlink(self, path):
        os.unlink(self / path)

    def rename(self, old, new):
        os.rename(self / old, self / new)

    def readlink(self, path):
        return os.readlink(self / path)

    def symlink(self, target, path):
        os.symlink(target, self / path)

    def read(self, path):
        return (self / path).read_text()

    def write(self, path, *pieces, flags=os.O_TRUNC):
        descriptor = os.open(self / path, os.O_WRONLY | os.O_CREAT | flags)
        try:
            for piece in pieces:
                data = piece if isinstance(piece, bytes) else piece.encode()
                assert os.write(descriptor, data) == len(data)
        finally:
            os.close(descriptor)


@pytest.fixture(scope="session")
def fuse():
    """What a mount needs; whoever runs the tests of the tree alone may lack it."""
    if os.geteuid() != 0:
        pytest.skip("needs CAP_SYS_ADMIN to mount")
    if not Path("/dev/fuse").exists():
        pytest.skip("needs a kernel with FUSE: /dev/fuse isn't there")


@pytest.fixture(scope="session")
def any_tree(request):
    """Makes a tree in a directory: `direct`, or mounted by a binding."""

    def make(kind, directory):
        if kind == "direct":
            return Direct(directory)
        request.getfixturevalue("fuse")
        return Mounted(directory, kind)

    return make


@pytest.fixture(params=["direct", *BINDINGS])
def fs(request, any_tree, tmp_path):
    """A tree with the predefined networks."""
    made = any_tree(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=BINDINGS)
def mounted(request, fuse, tmp_path):
    made = Mounted(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture(scope="module", params=BINDINGS)
def shared(request, fuse, tmp_path_factory):
    """A mount for the tests of a module; they leave it as it was."""
    made = Mounted(tmp_path_factory.mktemp("shared"), request.param)
    yield made
    made.close()


@pytest.fixture
def mount(fuse, tmp_path):
    """Mounts a tree: `mount("fusepy", "rmrf")`."""
    made = []

    def start(binding, *options):
        made.append(Mounted(tmp_path, binding, options))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def as_found(fuse, tmp_path):
    """What a test of the real kernel takes it gives back."""
    with as_they_were(tmp_path):
        yield


@pytest.fixture(params=BINDINGS)
def life(request, tmp_path):
    """Starts cnmfs for the host."""
    made = Life(tmp_path, request.param, request.getfixturevalue("host"))
    yield made
    made.close()


@pytest.fixture
def refused():
    """Asserts that something is refused with an error number."""

    @contextlib.contextmanager
    def check(*codes):
        with pytest.raises(OSError) as caught:
            yield
        names = [errno.errorcode[code] for code in codes]
        assert errno.errorcode.get(caught.value.errno) in names, caught.value

    return check
