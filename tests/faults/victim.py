"""The process that has children to whom something happens: `python victim.py`.

Over the socket that is its stdin it is told what a child has to do, and gets a socket to
that child.  Everything is imported once, so a child is there within a millisecond.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback

import gate
import operations

import cnmfs
import pycnm


def main():
    for package in (pycnm, cnmfs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    orders = socket.socket(fileno=0)
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, 1 << 16, 1)
        if not data:
            return
        (report,) = descriptors
        if not os.fork():
            orders.close()
            os.set_inheritable(report, False)
            try:
                live(report, **json.loads(data))
            finally:
                os._exit(0)
        os.close(report)


def live(report, operation, directory, host, early):
    """Do an operation; what becomes of it is reported, unless this process is killed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    tell(report, pid=os.getpid())
    outcome = {}

    def ask():
        listener = gate.close(report)
        tell(report, listener=listener)
        os.close(listener)

    def armed():
        if not early:
            ask()
        tell(report, armed=True)

    if early:
        ask()
    try:
        operations.ALL[operation].attempt(directory, host, armed)
    except pycnm.CNMError as error:
        outcome = {"error": type(error).__name__, "errno": error.errno, "words": str(error)}
        outcome["notes"] = getattr(error, "__notes__", [])
    except BaseException:  # noqa: BLE001 - told to who judges it
        outcome = {"crash": traceback.format_exc()}
    tell(report, **outcome, ended=True)


def tell(report, **words):
    """Say something, and wait until it was heard."""
    os.write(report, json.dumps(words).encode() + b"\n")
    os.read(report, 1)


if __name__ == "__main__":
    sys.exit(main())
