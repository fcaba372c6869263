"""Mounts the tree of a controller on a fake kernel; the tests run it."""

import signal
import sys
from pathlib import Path

import pycnm
from cnmfs import mounting, options
from pycnm.testing import FakeKernel

state, mountpoint, words = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
with pycnm.Controller(state, kernel=FakeKernel()) as cnm:
    mounting.show(cnm, Path(mountpoint), options.read([words]), lambda: None)
