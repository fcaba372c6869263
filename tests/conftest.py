"""What every lane shares: tests may say what they need of the kernel."""

from __future__ import annotations

import contextlib

import features

# Machines are shared: how long an example takes says nothing.
with contextlib.suppress(ImportError):
    import hypothesis

    hypothesis.settings.register_profile("shared", deadline=None)
    hypothesis.settings.load_profile("shared")


def pytest_addoption(parser):
    parser.addoption(
        "--whole-kernel",
        action="store_true",
        help="what the kernel isn't too old for and a test needs must be there",
    )


def pytest_runtest_setup(item):
    features.see_to(item, whole=item.config.getoption("--whole-kernel"))
