"""What is said of the kernel, beside what a shell finds by trying."""

from __future__ import annotations

import json

import features
import pytest
from shell import Shell

NAMES = (
    "early_guard", "force_forwarding", "bridge_vlan", "tbf", "netem", "macvlan", "ipvlan", "vlan",
    "dummy",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_a_shell_finds_it(cnm, name):
    (part,) = [part for part in cnm.kernel_parts() if part.name == name]
    assert part.present == features.has(name)
    if part.present:
        assert str(part) == f"{name}: yes"
    else:
        assert str(part) == f"{name}: no; {part.without} ({part.remedy})"


def test_nothing_is_left_behind(cnm, host):
    before = host.picture()
    cnm.kernel_parts()
    assert host.picture() == before


def test_the_command_says_so(cnm, host, tmp_path):
    shell = Shell(tmp_path / "state", host)
    lines = [f"  {part}" for part in cnm.kernel_parts()]
    assert shell("info").splitlines()[-len(lines) :] == lines
    found = json.loads(shell("info", "--format", "json"))
    assert (found["networks"], found["sandboxes"]) == (3, 0)
    assert {part["name"]: part["present"] for part in found["kernel"]} == {
        part.name: part.present for part in cnm.kernel_parts()
    }
