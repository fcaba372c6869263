"""The faults lane: whatever breaks, nothing leaks and nothing is lost.

Processes are killed, the kernel refuses, disks are full, everybody is at it at
once.  What each test counts, `tally`, is printed as a table at the end.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import features
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernel"))
sys.path.insert(0, str(Path(__file__).parent))

from hosts import (  # noqa: F401 - fixtures
    as_found,
    cnm,
    controller,
    host,
    machine,
    outside,
    own_machine,
)
from trials import Zygote

TALLY = "tally"


def pytest_addoption(parser):
    parser.addoption(
        "--all", action="store_true", help="every point of every sweep, which takes long"
    )
    parser.addoption(
        "--each", action="store_true", help="every call of every sweep, with one error each in turn"
    )


@pytest.fixture
def zygote():
    """Starts processes in which operations are tried."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def exhaustive(request):
    """Whether nothing is to be left out, however long it takes."""
    return request.config.getoption("--all")


@pytest.fixture
def each(request):
    """Whether no call is to be left out, though of the errors it may return all but one are."""
    return request.config.getoption("--each")


@pytest.fixture
def vlans():
    """Skips where bridges keep no VLANs apart.

    That isn't marked, or the lane vm would run it each time, and a sweep takes minutes in its
    guest: it runs them with `--all`.
    """
    if not features.has("bridge_vlan"):
        pytest.skip("this kernel has no bridge_vlan; `tox run -e vm -- --all` has one that does")


@pytest.fixture
def tally(request):
    """Counts for the table at the end: `tally("kill sweep", "connect", points=120, failures=0)`.

    Rows of one name add up, in all processes of the run.
    """

    def count(kind, name, **counts):
        request.node.user_properties.append((TALLY, (kind, name, counts)))

    return count


# The summary


class Tallies:
    """What the tests of a run have counted, by kind and name."""

    def __init__(self):
        self.kinds = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))

    def pytest_runtest_logreport(self, report):
        # The last report of a test has what was counted in all of its phases.
        if report.when == "teardown":
            for key, value in report.user_properties:
                if key == TALLY:
                    self.add(*value)

    def add(self, kind, name, counts):
        for column, number in counts.items():
            self.kinds[kind][name][column] += number

    def pytest_terminal_summary(self, terminalreporter):
        for kind, rows in self.kinds.items():
            terminalreporter.section(kind)
            for line in table(rows):
                terminalreporter.line(line)


def table(rows):
    """Lines for rows of counts, their sums in the last."""
    columns = list(dict.fromkeys(column for counts in rows.values() for column in counts))
    sums = {column: sum(counts.get(column, 0) for counts in rows.values()) for column in columns}
    lines = [("", columns)]
    lines += [(name, [shown(counts.get(column, 0)) for column in columns])
              for name, counts in [*rows.items(), ("all", sums)]]  # fmt: skip
    width = max(len(name) for name, _ in lines)
    widths = [max(len(cells[at]) for _, cells in lines) for at in range(len(columns))]
    for name, cells in lines:
        numbers = "  ".join(cell.rjust(wide) for cell, wide in zip(cells, widths, strict=True))
        yield f"{name.ljust(width)}  {numbers}"


def shown(number):
    return f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"


def pytest_configure(config):
    config.pluginmanager.register(Tallies(), "tallies")
