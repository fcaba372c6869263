"""The name servers of the host, as its resolv.conf(5) has them at the moment."""

from __future__ import annotations

import os
from pathlib import Path

from pycnm.dns import resolvconf
from pycnm.kernel.netns import RUN_NETNS

_ETC, _ETC_NETNS = Path("/etc"), Path("/etc/netns")
_LONGEST = 1 << 16
"""A longer one is nobody's wish."""

_Stamp = tuple[int, int, int, int]


class HostServers:
    """Whom the host asks; read again when its file has changed.

    A host that is a named namespace has files of its own, if it has any (ip-netns(8)).

    Args:
        host: the path of the host's namespace, if it isn't the machine's own.
    """

    def __init__(self, host: str) -> None:
        own = Path(host)
        named = own.parent == RUN_NETNS and bool(own.name)
        self._own = _ETC_NETNS / own.name / "resolv.conf" if named else None
        self._read: tuple[tuple[_Stamp, _Stamp], tuple[str, ...]] | None = None

    def now(self) -> tuple[str, ...]:
        """Addresses, the preferred one first; none if there is no file."""
        path = Path(_ETC, "resolv.conf")
        if self._own is not None and _stamp(self._own) != _NOWHERE:
            path = self._own
        stamps = _stamp(path), _stamp(Path(resolvconf.RESOLVED))
        if self._read is None or self._read[0] != stamps:
            text = _text(path)
            if resolvconf.is_stub(text):
                # It is told to ask the others itself; a cache that we share would be
                # one that a sandbox could fill for others.
                text = _text(Path(resolvconf.RESOLVED)) or text
            self._read = stamps, resolvconf.upstream(text)
        return self._read[1]


_NOWHERE: _Stamp = (0, 0, 0, 0)


def _stamp(path: Path) -> _Stamp:
    """What tells a file from what it was before."""
    try:
        status = os.stat(path)  # noqa: PTH116 - asked for each question
    except OSError:
        return _NOWHERE
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return ""
