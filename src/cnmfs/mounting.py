"""A mount, from its beginning to its end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycnm
from cnmfs import adapter
from cnmfs.assembly import assemble
from cnmfs.options import Options
from cnmfs.patience import MOST, Patience
from cnmfs.reasons import Caller
from cnmfs.watching import Watching
from pycnm.errors import CNMError, InvalidArgumentError
from pycnm.kernel import mounts
from pycnm.kernel.worker import start

_PATIENCE = 1.0
_DEAD = {errno.ENOTCONN, errno.ECONNABORTED}
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_THREADS = MOST + 56
"""Some are left for those that don't wait."""


def serve(mountpoint: Path, options: Options, ready: Callable[[], None]) -> None:
    """Mount, and serve until it is unmounted or a signal comes.

    Networks stay as they are.

    Args:
        ready: called when the tree can be used.

    Raises:
        CNMError: it can't be mounted; the message says what to do.
    """
    # Before any thread is there: all of them inherit it, and the main one waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    with contextlib.ExitStack() as end:
        cnm = end.enter_context(pycnm.Controller(options.state_dir, host=options.host))
        if options.watch:
            from pycnm.agent.kept import Kept  # noqa: PLC0415 - only where it is mounted for good

            end.enter_context(Kept(options.state_dir, options.host))
        show(cnm, mountpoint, options, ready)


def show(
    cnm: pycnm.Controller, mountpoint: Path, options: Options, ready: Callable[[], None]
) -> None:
    """As `serve`, for a controller that is open; SIGTERM, SIGINT and SIGHUP have to be blocked."""
    replace_dead(mountpoint)
    try:
        module = adapter.binding(options.binding)
    except ImportError as error:
        raise pycnm.NotSupportedError(
            f"there is no FUSE binding ({error}); pip install mfusepy and apt install libfuse3-3, "
            "or fusepy and libfuse2"
        ) from None

    def caller() -> Caller:
        return adapter.caller(module)

    patience = Patience(lambda: adapter.interrupted(module))
    filesystem, layout = assemble(cnm, caller, patience, gid=options.gid, rmrf=options.rmrf)
    watching = Watching(cnm, mountpoint, [layout.journal.happened, filesystem.happened])
    filesystem.when_polled(watching.listen)
    thread = Serving(module, adapter.Adapter(filesystem, module, ready), mountpoint, options)
    layout.clones.sweep()
    start(thread)
    try:
        watching.start()
        _wait(thread)
    finally:
        patience.end()
        layout.clones.close()
        if thread.is_alive():
            with contextlib.suppress(OSError):
                mounts.detach(mountpoint)
            thread.join(_PATIENCE)
    if thread.failure is not None:
        raise thread.failure
    if thread.is_alive():
        # A copy of the mount in another mount namespace keeps libfuse waiting.
        cnm.close()
        os._exit(0)


class Serving(threading.Thread):
    """libfuse's loop; it would not let signals through to Python."""

    def __init__(
        self, module: Any, operations: adapter.Adapter, mountpoint: Path, options: Options
    ) -> None:
        super().__init__(name="cnmfs", daemon=True)
        self._module = module
        self._operations = operations
        self._mountpoint = mountpoint
        self._options = options
        self.failure: CNMError | None = None

    def run(self) -> None:
        """Serve until it is unmounted."""
        more: dict[str, Any] = {}
        if self._module.__name__ == "mfusepy":
            more = {"max_threads": _THREADS, "max_idle_threads": _THREADS}
        else:
            more = {"hard_remove": True}
        if self._options.ro:
            more["ro"] = True
        try:
            self._module.FUSE(
                self._operations,
                str(self._mountpoint),
                raw_fi=True,
                foreground=True,
                nothreads=False,
                fsname="cnmfs",
                subtype="cnmfs",
                allow_other=True,
                direct_io=True,
                entry_timeout=1,
                attr_timeout=0,
                negative_timeout=0,
                **more,
            )
        except RuntimeError as error:
            if error.args != (8,):  # ended by a signal
                self.failure = pycnm.NotSupportedError(
                    f"{self._mountpoint} can't be mounted (libfuse: {error}); is /dev/fuse there, "
                    "and is this root?"
                )
        finally:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)


def _wait(thread: threading.Thread) -> None:
    """Wait for a signal, or for libfuse to end."""
    while thread.is_alive():
        if signal.sigtimedwait(_SIGNALS, 1) is not None:
            return


def replace_dead(mountpoint: Path) -> None:
    """Detach what a killed cnmfs left of its mount.

    Raises:
        InvalidArgumentError: the mount point is no directory.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            found = mountpoint.stat()
        except OSError as error:
            if error.errno not in _DEAD or time.monotonic() > end:
                raise InvalidArgumentError(
                    f"{mountpoint} is no mount point: {error.strerror}; mkdir {mountpoint} first"
                ) from None
            mounts.detach(mountpoint)
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise InvalidArgumentError(f"{mountpoint} is no directory; give one to mount on")
        return


def in_background(mountpoint: Path, options: Options) -> int:
    """Serve in a process of its own; the exit status, when the tree can be used."""
    ours, theirs = os.pipe()
    if os.fork():
        os.close(theirs)
        with os.fdopen(ours) as stream:
            words = stream.read()
        if words == "ready":
            return 0
        sys.stderr.write((words or "cnmfs: it ended before the tree could be used") + "\n")
        return 1
    os.close(ours)
    os.setsid()

    def tell(words: str) -> None:
        nonlocal theirs
        if theirs >= 0:
            os.write(theirs, words.encode())
            os.close(theirs)
            theirs = -1

    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    os.chdir("/")
    try:
        serve(mountpoint, options, lambda: tell("ready"))
    except CNMError as error:
        tell(f"cnmfs: {error}")
        os._exit(1)
    except BaseException as error:
        tell(f"cnmfs: {error!r}")
        raise
    os._exit(0)
