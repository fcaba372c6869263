"""The `cnm` command, as people start it: a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from traffic import SLOWNESS

import pycnm

PATIENCE = 30.0 * SLOWNESS
"""Seconds a command may take on a busy machine."""


class Shell:
    """Starts `cnm` on a state directory and a host, from the test's own namespace."""

    def __init__(self, state, host):
        self.state = Path(state)
        # What Python has to complain about, such as a file left open, is on stderr.
        self.argv = [sys.executable, "-W", "default", "-m", "pycnm"]
        source = str(Path(pycnm.__file__).parents[1])
        self.environment = {
            **os.environ,
            "PYTHONPATH": source,
            "CNM_STATE_DIR": str(self.state),
            "CNM_HOST": host.name,
        }

    @contextlib.contextmanager
    def popen(self, *words, **options):
        """A command that is there while the block is, and no longer, come what may."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        argv = [*self.argv, *words]
        with subprocess.Popen(argv, env=self.environment, **{**pipes, **options}) as process:
            try:
                yield process
                process.wait(PATIENCE)
            finally:
                process.kill()

    def do(self, *words, text="", **options):
        """What becomes of a command, whatever it is."""
        environment = self.environment | options.pop("env", {})
        return subprocess.run(
            [*self.argv, *words],
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            **options,
        )

    def __call__(self, *words, **options):
        """What a command prints; it must succeed and have nothing to complain about."""
        done = self.do(*words, **options)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout

    def fails(self, *words, status=1, **options):
        """The sentence on stderr of a command that must fail."""
        done = self.do(*words, **options)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        assert done.stderr.startswith("cnm: "), done.stderr
        sentence, *notes = done.stderr.splitlines()
        assert all(note.startswith("     ") for note in notes), done.stderr
        return sentence.removeprefix("cnm: ")

    def inspect(self, kind, name):
        (found,) = json.loads(self(kind, "inspect", name))
        return found

    def sandboxes(self):
        """The names of all sandboxes."""
        lines = self("sandbox", "ls", "--format", "json").splitlines()
        return [json.loads(line)["Name"] for line in lines]

    @contextlib.contextmanager
    def running(self, *words):
        """`cnm run` or `exec` of a command that says it is up, and is ended with the block."""
        with self.popen(*words, stdin=subprocess.PIPE) as process:
            line = process.stdout.readline()
            assert line == "up\n", (line, process.stderr.read())
            try:
                yield process
            finally:
                process.terminate()
