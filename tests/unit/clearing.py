"""A controller on a fake kernel, that in the end holds what it held before."""

from __future__ import annotations

import contextlib

import pycnm


@contextlib.contextmanager
def cleared(kernel, directory, theirs=()):
    """A controller; whatever it has in the end is deleted, and nothing stays of it.

    Args:
        theirs: operations of others that are undone then.
    """
    before = kernel.listing()
    with pycnm.Controller(directory / "state", kernel=kernel, dns=False) as found:
        yield found
        assert found.check() == []
        for box in found.sandboxes():
            box.delete()
        for net in found.networks(type="custom"):
            net.delete(force=True)
    kernel.others_undo(*theirs)
    assert kernel.listing() == before
