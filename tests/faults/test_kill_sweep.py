"""kill -9 before each system call of each operation that reaches outside the process."""

from __future__ import annotations

import operations
import pytest
from sweep import sweep
from trials import LETHAL, Fault

MOST = 24
"""Points of an operation that are tried, unless all are."""


def deaths(calls):
    return [Fault(at, name) for at, (name, _) in enumerate(calls, 1) if name in LETHAL]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.TABLE)
def test_killed(name, zygote, tmp_path, tally, exhaustive):
    most = 0 if exhaustive else MOST
    failures = sweep(name, zygote, tmp_path, deaths, tally, "killed in an operation", most=most)
    assert not failures, "\n".join(failures)
