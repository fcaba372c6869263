"""The kernel lane: real packets between namespaces that the tests make and remove."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hosts import (  # noqa: F401 - fixtures
    as_found,
    cnm,
    controller,
    host,
    machine,
    outside,
    own_machine,
)
from lan import lan, router  # noqa: F401 - fixtures
