"""An agent that watches as long as a program wants it: its child, started again when it ends."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from pycnm.kernel import agent, netns
from pycnm.kernel.worker import run_apart

_PAUSE, _LONGEST = 1.0, 60.0


class Kept:
    """Has a state directory watched while a `with` block runs.

    Where another agent watches it, this one waits for its end.  It ends with the
    block, or with the process.

    Args:
        state_dir: of a Controller.
        host: the namespace that plays its machine, as of the Controller.
    """

    def __init__(
        self, state_dir: str | os.PathLike[str], host: str | int | os.PathLike[str] | None = None
    ) -> None:
        self._state_dir = Path(state_dir)
        self._host = netns.descriptor(netns.this_thread() if host is None else netns.resolve(host))
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="cnm-kept", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ending.set()
            self._let_go()
        self._thread.join()
        os.close(self._host)

    def _run(self) -> None:
        pause = _PAUSE
        while not self._ending.is_set():
            begun = time.monotonic()
            with self._lock:
                if self._ending.is_set():
                    return
                self._process = run_apart(self._start)
            self._process.wait()
            with self._lock:
                self._let_go()
            # One that was killed is back at once; one that can't run is tried ever more seldom.
            lived = time.monotonic() - begun
            pause = min(2 * pause, _LONGEST) if lived < pause else _PAUSE
            self._ending.wait(pause - lived)

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _start(self) -> subprocess.Popen[bytes]:
        netns.enter(self._host)
        return agent.watcher(self._state_dir)
