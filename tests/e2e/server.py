"""Mounts the tree of a controller on a fake kernel; the tests run it.

The machine is that of the file `machine` beside the state directory: what is opened on the
same machine elsewhere is no other machine, and no reboot.
"""

import pickle
import signal
import sys
from pathlib import Path

import pycnm
from cnmfs import mounting, options

state, mountpoint, words = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
kernel = pickle.loads(Path(state).with_name("machine").read_bytes())  # noqa: S301 - the tests'
with pycnm.Controller(state, kernel=kernel) as cnm:
    mounting.show(cnm, Path(mountpoint), options.read([words]), lambda: None)
