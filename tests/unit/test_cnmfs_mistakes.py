"""What nobody foresaw is EIO: what a binding would make of it blames the caller."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from cnmfs.adapter import Adapter


class Broken:
    """A filesystem in which everything goes wrong."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        return self._fail

    def _fail(self, *_):
        raise self._error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("dictionary changed size during iteration"), errno.EIO),
        (ValueError("22"), errno.EIO),
        (OSError(errno.ENOENT, "none"), errno.ENOENT),
        (OSError("no number"), errno.EIO),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["mkdir", "rmdir", "readdir"])
def test_what_goes_wrong_in_a_call(error, code, call):
    binding = SimpleNamespace(__name__="fuse", _libfuse=None, fuse_file_info=object)
    adapter = Adapter(Broken(error), binding, lambda: None)
    arguments = {"mkdir": ["/networks/n", 0o755], "rmdir": ["/networks/n"], "readdir": ["/", 1]}
    with pytest.raises(OSError) as raised:
        getattr(adapter, call)(*arguments[call])
    assert raised.value.errno == code
