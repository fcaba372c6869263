"""What most tests without privilege start from: a controller on a fake kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pycnm
from pycnm.testing import FakeKernel

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def cnm(tmp_path, kernel):
    with pycnm.Controller(tmp_path, kernel=kernel) as controller:
        yield controller
