"""The driver of network `none`: a sandbox with nothing but its loopback."""

from __future__ import annotations

from typing import ClassVar

import attrs

from pycnm.drivers.base import Driver


@attrs.frozen
class Null(Driver):
    """No interface at all.  There is one such network, `none`."""

    name: ClassVar[str] = "null"
    ipam: ClassVar[str] = "null"
    single: ClassVar[bool] = True
