"""Runs what documentation shows, line for line, and compares what it prints.

A page is run on a stage: processes and mounts of its own, so that its /var/lib/cnm is
new, it may mount and install things, and whatever it starts ends with it.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE = 100
"""Seconds that a page may take."""

_OWN = "/var/lib /mnt /usr/local/sbin"
"""Directories of a stage that are empty, and its own."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^In \[\d+\]: (.*)\n(?:Out\[\d+\]: (.*)\n)?", re.MULTILINE)
_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# What differs from run to run, and what is compared in its place.
_VARYING = (
    (r"[0-9a-f]{64}", "ID"),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "MOMENT"),
    (r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", "SHORT-ID"),
    (r"veth[0-9a-f]{7}", "VETH"),
    (r"address 02:42:(?!0a:14:1e)[0-9a-f:]{11}", "address MAC"),
    (r"group \d+", "group NUMBER"),
    (r"process \d+ \(python.*?\)", "process NUMBER (python)"),
    (r"time[= ][0-9.]+ ?ms", "TIME"),
    (r"[0-9.]+(/[0-9.]+){2,3} ms", "TIMES"),
)

_RUNNER = r"""
import ast, json, os, subprocess, sys

def run(kind, source, names):
    if kind == "console" and source.startswith("cd "):
        os.chdir(source[3:])
        return
    if kind == "console":
        subprocess.run(["bash", "-c", source], stdin=subprocess.DEVNULL, check=True)
        return
    body = ast.parse(source).body
    last = body.pop() if kind == "cell" and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "the page", "exec"), names)
    value = last and eval(compile(ast.Expression(last.value), "the page", "eval"), names)
    if value is not None:
        print(repr(value))

names = {"__name__": "__main__"}
for kind, source in json.load(sys.stdin):
    run(kind, source, names)
    print("\x1e", end="")
"""


class Step(NamedTuple):
    """Something that a reader types, and what the page says they will see."""

    kind: str
    source: str
    shown: str


def section(page, heading):
    """The part of a page under a heading."""
    text = (ROOT / page).read_text()
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def steps(text):
    """Everything a reader types on a page, in order."""
    found = []
    for language, body in _FENCE.findall(text):
        if language == "text" and found and found[-1].kind == "python":
            found[-1] = found[-1]._replace(shown=body)
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                line, _, shown = part.partition("\n")
                found.append(Step("console", line, shown))
        elif body.startswith("In ["):
            found += [Step("cell", *each) for each in _CELL.findall(body)]
        elif language == "python":
            found.append(Step("python", body, ""))
    assert found, "nothing is typed here"
    return found


def tour(place, page_steps, **environment):
    """Do what a page says in a network namespace, and compare what is seen."""
    script = json.dumps([(step.kind, step.source) for step in page_steps])
    done = on_stage(place, sys.executable, "-uc", _RUNNER, text=script, **environment)
    *seen, rest = done.stdout.split("\x1e")
    for step, output in zip(page_steps, seen, strict=False):
        assert doctest.OutputChecker().check_output(plain(step.shown), plain(output), _LIKE), (
            f"{step.source}\n\nprints\n\n{output}\n\nand should print\n\n{step.shown}"
        )
    assert done.returncode == 0, rest
    assert len(seen) == len(page_steps)


def on_stage(place, *argv, text="", **environment):
    """What becomes of a program with processes and a /var/lib of its own."""
    stage = (
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("bash", "-c", f'set -e; for each in {_OWN}; do mount -t tmpfs tmpfs $each; done; "$@"'),
        "stage",
    )

    def start():
        return subprocess.run(
            [*stage, *argv],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=PATIENCE,
            check=False,
        )

    return place.do(start)


def with_command(directory, environment=os.environ):
    """The environment of a reader who has installed pycnm: `cnm` and `cnmfs` are commands."""
    place = directory / "bin"
    place.mkdir()
    for name, module in (("cnm", "pycnm.cli.main"), ("cnmfs", "cnmfs.__main__")):
        command = place / name
        command.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
        )
        command.chmod(0o755)
    return {**environment, "PATH": f"{place}:{environment['PATH']}"}


def plain(text):
    """A text without what differs from run to run."""
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text
