"""The page about security names tests that exist, and has one in every row or says why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
TESTS = sorted(set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", TEXT)))
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]


def functions(path):
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), TESTS, ids="::".join)
def test_a_test_that_is_named_exists(path, name):
    assert name in functions(path)


def test_every_row_has_its_test():
    rows = [row for row in ROWS if not row.endswith("| Test |")]
    assert len(rows) > 50
    assert [row for row in rows if "::test_" not in row and "not yet: " not in row] == []


def test_every_test_of_attacks_is_named():
    """What is not on the page, nobody knows of."""
    for path in sorted((ROOT / "tests" / "faults").glob("test_attacks*.py")):
        made = {name for name in functions(f"faults/{path.name}") if name.startswith("test_")}
        named = {name for where, name in TESTS if where == f"faults/{path.name}"}
        assert made - named == set()
