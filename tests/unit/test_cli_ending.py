"""A command that is told to end where Python lets nothing be raised ends all the same."""

from __future__ import annotations

import os
import signal
import weakref

import pytest

from pycnm.cli import ending
from pycnm.cli.companion import noting


class Thing:
    pass


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_what_python_swallows_is_raised_before_a_command_is_started(number, kind, capfd):
    def gone(_reference):
        os.kill(os.getpid(), number)

    with ending.in_order():
        thing = Thing()
        reference = weakref.ref(thing, gone)
        del thing
        assert reference() is None
        with pytest.raises(kind), noting():
            pytest.fail("begun")
        with noting():
            pass  # once is enough
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_complaints_are_python_s_own(capfd):
    def gone(_reference):
        raise LookupError("of a thing")

    with ending.in_order():
        thing = Thing()
        reference = weakref.ref(thing, gone)
        del thing
        with noting():
            pass
    assert reference() is None
    assert "LookupError: of a thing" in capfd.readouterr().err
