"""The driver of network `host`: a sandbox that is the host."""

from __future__ import annotations

from typing import ClassVar

import attrs

from pycnm.drivers.base import Driver


@attrs.frozen
class Host(Driver):
    """The host's own interfaces, routes and ports.  There is one such network, `host`."""

    name: ClassVar[str] = "host"
    ipam: ClassVar[str] = "null"
    single: ClassVar[bool] = True
