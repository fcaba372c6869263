"""The public API against a model of it, on a fake kernel: see tests/model.

More of it, as long as one likes, and other examples each time:

    MODEL_EXAMPLES=2000 pytest tests/unit/test_model.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))

import playing
import stage

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))


@pytest.mark.timeout(0 if EXAMPLES else 300)
@pytest.mark.parametrize("steps", [20, 50])
def test_the_api_is_as_the_model_says(steps):
    before = stage.COUNTS.copy()
    run_state_machine_as_test(
        playing.Playing,
        settings=settings(
            max_examples=EXAMPLES or 2000 // steps,
            stateful_step_count=steps,
            derandomize=not EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # It says something only if enough has happened.
    happened = stage.COUNTS - before
    assert happened["changes"] > 200
    assert min(happened["refusals"], happened["failures"], happened["deaths"]) > 2
    assert happened["vanished"] > 2
