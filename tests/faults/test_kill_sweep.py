"""kill -9 before each system call of each operation that reaches outside the process."""

from __future__ import annotations

import operations
import pytest
from sweep import sweep
from trials import deaths

MOST, MOST_OF_A_TREE, MOST_OF_A_RECOVERY = 16, 8, 4
"""Points of an operation that are tried, unless all are."""


@pytest.fixture
def killed(zygote, tmp_path, tally, exhaustive, each):
    """Sweeps an operation, and asserts that nothing is ever left."""

    def check(name, kind, most=MOST, **how):
        most = 0 if exhaustive or each else most
        failures = sweep(name, zygote, tmp_path, deaths, tally, kind, most=most, **how)
        assert not failures, "\n".join(failures)

    return check


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.TABLE)
def test_killed(name, killed):
    killed(name, "killed in an operation")


@pytest.mark.usefixtures("vlans")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.VLANS)
def test_killed_with_vlans(name, killed):
    killed(name, "killed in an operation with VLANs", MOST_OF_A_TREE)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.AGENT)
def test_the_agent_is_killed(name, killed):
    """While it is started, and while it serves: the caller gets the next one, or an error."""
    killed(name, "agent killed in an operation", others=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.FILES)
def test_cnmfs_is_killed(name, killed):
    """While it serves a system call of somebody else."""
    killed(name, "cnmfs killed in a call on its tree", MOST_OF_A_TREE)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", operations.RECOVERY | operations.REBOOT)
def test_who_recovers_is_killed(name, killed):
    """One died before, or the whole host did; who puts that right dies too, and the next does."""
    killed(name, "killed in a recovery", MOST_OF_A_RECOVERY)
