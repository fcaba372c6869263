"""One suite over two kernels: what the fake says, the real one says, and the other way round."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from surroundings import own_namespaces
from worlds import FakeWorld, LinuxWorld

ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own"
)


@pytest.fixture(scope="session")
def own_machine():
    own_namespaces()


@pytest.fixture
def linux(request, tmp_path):
    request.getfixturevalue("own_machine")
    made = LinuxWorld(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["fake", pytest.param("linux", marks=ROOT)])
def world(request):
    if request.param == "fake":
        return FakeWorld()
    return request.getfixturevalue("linux")
