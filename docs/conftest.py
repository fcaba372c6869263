"""Runs the examples of those pages that need no privilege; the kernel lane runs the others."""

from __future__ import annotations

import sys
from pathlib import Path

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

# What the pages quote is imported from where it stands.
sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "plugins"))

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["howto/write-*.md", "reference/*.md"],
).pytest()
