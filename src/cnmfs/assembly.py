"""The filesystem of a controller, put together; mounted or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cnmfs.filesystem import Filesystem
from cnmfs.layout import Layout
from cnmfs.patience import Patience
from cnmfs.reasons import Caller, Reasons
from pycnm import Controller


class Assembled(NamedTuple):
    """A filesystem, and what has to know when something happens."""

    filesystem: Filesystem
    layout: Layout


def assemble(
    cnm: Controller,
    caller: Callable[[], Caller] = Caller,
    patience: Patience | None = None,
    *,
    gid: int | None = None,
    rmrf: bool = False,
) -> Assembled:
    """The filesystem of a controller.

    Args:
        cnm: whose objects it shows.
        caller: who is calling just now; by default root.
        patience: how callers wait; by default as long as it takes.
        gid, rmrf: as of `Filesystem`.
    """
    reasons, waiting = Reasons(), patience or Patience()
    layout = Layout(cnm, reasons, caller, waiting)
    filesystem = Filesystem(
        layout.root, lambda: cnm.revision, reasons, caller, waiting, gid=gid, rmrf=rmrf
    )
    return Assembled(filesystem, layout)
