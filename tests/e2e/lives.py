"""The command cnmfs, as people start it, on a host of the test and the real kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from topology import Place, until

import pycnm

BINDINGS = ["mfusepy", "fusepy"]
PATIENCE = 20
"""Seconds that a busy machine may take for anything."""


class Life:
    """Mounts of one state directory.

    Args:
        directory: of the test; mounts are made in it.
        binding: `mfusepy` or `fusepy`.
        host: the machine whose networks they are.
    """

    def __init__(self, directory, binding, host):
        self.directory, self.binding, self.host = directory, binding, host
        self.state = directory / "state"

    def root(self, name="mnt"):
        root = self.directory / name
        with contextlib.suppress(OSError):
            root.mkdir()
        return root

    @property
    def options(self):
        """What `-o` is given."""
        return f"state_dir={self.state},binding={self.binding},host={self.host.name}"

    def words(self, root, *more):
        options = ",".join([self.options, *more])
        return [sys.executable, "-m", "cnmfs", "-o", options, str(root)]

    def start(self, name="mnt", *more):
        """Mount, and return when the command does."""
        root = self.root(name)
        done = subprocess.run(
            self.words(root, *more), capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return root

    def pids(self, root=""):
        """The processes that serve a mount, or all of them."""
        found = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = each.read_bytes()
                if b"cnmfs" in words and str(root or self.directory).encode() in words:
                    found.append(int(each.parent.name))
        return found

    def mounted(self):
        return str(self.directory) in Path("/proc/self/mountinfo").read_text()

    def end(self, root=""):
        """SIGTERM for all that serve a mount; return when they are gone."""
        for pid in self.pids(root):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert until(lambda: not self.pids(root), PATIENCE)

    def controller(self):
        return pycnm.Controller(self.state, host=self.host.name)

    def box(self, name):
        """The namespace of a sandbox, as `ip netns` knows it."""
        return Place(f"/run/netns/{name}", name)

    def close(self):
        """End all mounts, and delete what is recorded; nothing may be mounted any more."""
        self.end()
        with self.controller() as cnm:
            for box in cnm.sandboxes():
                box.delete()
            for network in cnm.networks():
                if network.name not in {"bridge", "host", "none"}:
                    network.delete()
        left = self.mounted()
        for root in self.directory.iterdir():
            subprocess.run(["umount", "-l", root], capture_output=True, check=False)
        assert not left
