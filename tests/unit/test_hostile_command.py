"""The command `cnm`, fed hostile words: an exit status and one line, and never a traceback."""

from __future__ import annotations

import contextlib
import io

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pycnm
from pycnm.cli.commands import ROOT
from pycnm.cli.main import main
from pycnm.testing import FakeKernel

COMMANDS = [
    ("network", name)
    for name in ("create", "connect", "disconnect", "inspect", "ls", "prune", "publish",
                 "unpublish", "rename", "rm")
] + [("sandbox", name) for name in ("create", "inspect", "ls", "rm")] + [
    ("explain",), ("check",), ("reconcile",), ("events",), ("run",), ("exec",), ("completion",),
    ("__complete",), (), ("network",), ("help",),
]  # fmt: skip
FLAGS = sorted(
    {f"--{flag.name}" for group in ROOT.commands
     for command in getattr(group, "commands", (group,)) for flag in command.flags}
    | {f"--{flag.name}" for flag in ROOT.flags} - {"--state-dir", "--host"}
    | {"-d", "-o", "-p", "-q", "-f", "-h", "-l", "-it", "-fq", "-x"}
)  # fmt: skip
VALUES = hostile.texts(
    "net", "box", "new", "10.50.0.0/24", "10.20.30.9", "8080:80", "a=b", "true", "json", "bridge",
    "name=net,ip=10.20.30.8", "driver=bridge", "--", "{{.Name}}", "1", "container:box",
    "com.docker.network.driver.mtu=1400", "now", "10m", "type=network", "net/box",
)  # fmt: skip
WORDS = st.lists(
    st.one_of(
        VALUES,
        st.sampled_from(FLAGS),
        st.tuples(st.sampled_from(FLAGS), VALUES).map("=".join),
        st.tuples(st.sampled_from(FLAGS), VALUES).map("".join),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A state directory on a fake kernel, which the command takes for this machine's."""
    directory = tmp_path_factory.mktemp("command")
    kernel = FakeKernel()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pycnm.controller.LinuxKernel", lambda *_: kernel)
        patch.setenv("CNM_STATE_DIR", str(directory))
        patch.delenv("CNM_HOST", raising=False)
        with pycnm.Controller(directory) as cnm:
            yield cnm, kernel


def fill(cnm):
    with contextlib.suppress(pycnm.AlreadyExistsError):
        cnm.create_network("net", subnet="10.20.30.0/24")
    with contextlib.suppress(pycnm.AlreadyExistsError):
        cnm.create_sandbox("box")
    with contextlib.suppress(pycnm.CNMError):
        cnm.network("net").connect("box", publish=["8080:80"])


def ran(words):
    """Exit status, output and complaints."""
    output, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
        status = main(words)
    return status, output.getvalue(), complaints.getvalue()


@hostile.many(600)
@given(command=st.sampled_from(COMMANDS), words=WORDS)
def test_any_words(place, command, words):
    cnm, kernel = place
    fill(cnm)
    before = kernel.listing()
    more = ["--until", "now"] if command == ("events",) else []
    status, output, complaints = ran([*command, *more, *words])
    assert status in {0, 1, 2, 125, 126, 127}, complaints
    assert "Traceback" not in complaints
    if status in {2, 125}:
        assert complaints.startswith("cnm: ")
    if status == 2:
        # What makes no sense is said in one line, and before anything is done.
        assert complaints.count("\n") == 1
        assert kernel.listing() == before
        assert output == ""
    for line in complaints.splitlines():
        assert line.startswith(("cnm: ", "     ")), complaints
        assert line.isprintable()
        assert len(line) < 3000
    assert cnm.check() == []


@pytest.mark.parametrize(
    "word", ["x" * (1 << 20), "-" * (1 << 20), "-" + "q" * (1 << 20), "--a=" * (1 << 18)]
)
@pytest.mark.parametrize("command", [(), ("network", "ls"), ("network", "rm"), ("run",)])
def test_a_mebibyte(place, command, word):
    status, _, complaints = ran([*command, word])
    assert status in {0, 1, 2, 125}
    assert len(complaints) < 3000
    # Nothing is wrong with asking for the same a million times.
    assert complaints.count("\n") == bool(status)
