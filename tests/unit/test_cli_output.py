"""What `cnm` prints, and what it exits with, where no network is touched."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pycnm
from pycnm.cli import completion, output
from pycnm.cli.arguments import Arguments, read
from pycnm.cli.commands import ROOT
from pycnm.cli.help import text as help_text
from pycnm.cli.main import main
from pycnm.errors import CleanupError, CNMError, NotFoundError

GROUPS_AND_COMMANDS = [
    (),
    ("network",),
    ("sandbox",),
    *((group.name, command.name) for group in ROOT.commands[:2] for command in group.commands),
    *((command.name,) for command in ROOT.commands[2:]),
]


def python(code, **options):
    """A Python of its own, that finds this pycnm."""
    source = str(Path(pycnm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


# Tables, lists, JSON


def test_a_table_as_dockers():
    rows = [
        ("bbbbbbbbbbbb", "bridge", "bridge", "local"),
        ("cccccccccccc", "host", "host", "local"),
    ]
    assert output.table(("NETWORK ID", "NAME", "DRIVER", "SCOPE"), rows).splitlines() == [
        "NETWORK ID     NAME      DRIVER    SCOPE",
        "bbbbbbbbbbbb   bridge    bridge    local",
        "cccccccccccc   host      host      local",
    ]
    rows.append(("222222222222", "testcompose_default_long_name", "macvlan", "local"))
    assert output.table(("NETWORK ID", "NAME", "DRIVER", "SCOPE"), rows).splitlines() == [
        "NETWORK ID     NAME                            DRIVER    SCOPE",
        "bbbbbbbbbbbb   bridge                          bridge    local",
        "cccccccccccc   host                            host      local",
        "222222222222   testcompose_default_long_name   macvlan   local",
    ]


def test_names_are_in_dockers_order():
    names = ["none", "net10", "bridge", "net9", "host", "Zed", "net", "9", "10"]
    found = sorted(names, key=output.natural)
    assert found == ["9", "10", "Zed", "bridge", "host", "net", "net9", "net10", "none"]


def listing(values, items):
    return output.listing(
        Arguments(values),
        ("ID", "NAME"),
        items,
        lambda item: (item * 64, item),
        lambda item: {"ID": item * 64, "Name": item},
    )


def test_a_list_as_its_flags_want_it():
    assert listing({}, "ba") == [f"{'ID':15}NAME\n{'a' * 12}   a\n{'b' * 12}   b"]
    assert listing({"quiet": True}, "ba") == ["a" * 12, "b" * 12]
    assert listing({"quiet": True, "no-trunc": True}, "b") == ["b" * 64]
    assert listing({"format": "json"}, "b") == ['{"ID":"bbbbbbbbbbbb","Name":"b"}']
    assert json.loads(*listing({"format": "json", "no-trunc": True}, "b"))["ID"] == "b" * 64
    assert listing({"quiet": True}, "") == listing({"format": "json"}, "") == []
    assert listing({}, "") == ["ID        NAME"]


def test_what_is_deleted_while_it_is_listed_is_left_out():
    def row(item):
        if item == "a":
            raise NotFoundError("gone")
        return item, item

    assert output.listing(Arguments({"quiet": True}), ("ID",), "abc", row, dict) == ["b", "c"]


def test_an_inspection():
    assert output.inspection(Arguments({}), []) == "[]"
    assert (
        output.inspection(Arguments({}), [{"a": None}]) == '[\n    {\n        "a": null\n    }\n]'
    )
    assert output.inspection(Arguments({"format": "json"}), [{"a": 1}, {}]) == '[{"a":1},{}]'


def test_a_moment():
    moment = "2026-08-23T10:11:12.123456Z"
    assert output.moment(moment) == "2026-08-23 10:11:12.123456 +0000 UTC"


# Errors


def test_an_error_is_one_line(capsys):
    output.complain(CNMError("network a\n  b\x1b[31m\u202e not found"))
    assert capsys.readouterr().err == "cnm: network a b\\x1b[31m\\u202e not found\n"


def test_what_there_is_to_add_has_lines_of_its_own(capsys):
    error = CNMError("it failed")
    error.add_note("while undoing: that, too")
    output.complain(error)
    assert capsys.readouterr().err == "cnm: it failed\n     while undoing: that, too\n"
    output.complain(CleanupError("part of it failed", [OSError("one"), OSError("two")]))
    assert capsys.readouterr().err == "cnm: part of it failed\n     one\n     two\n"


def test_without_stderr_or_stdout(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    output.complain("nobody hears it")
    output.say("nor that")
    output.finish()
    output.give_up()


# Help


@pytest.mark.parametrize("path", GROUPS_AND_COMMANDS, ids=" ".join)
def test_help_of_everything(path, capsys):
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage:  {' '.join(('cnm', *path))}")
    assert "\n\nExample:\n  " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "__complete" not in shown or path == ("__complete",)


def test_a_group_alone_shows_its_help(capsys):
    assert main([]) == 0
    first = capsys.readouterr().out
    assert "Commands:\n  network     Manage networks\n" in first
    assert main(["network"]) == 0
    assert capsys.readouterr().out.startswith("Usage:  cnm network COMMAND\n")


def test_help_shows_what_docker_shows():
    shown = help_text(read(ROOT, ["network", "create"]))
    assert shown.startswith("Usage:  cnm network create [OPTIONS] NETWORK\n\nCreate a network\n")
    assert '\n  -d, --driver string       Driver of the network (default "bridge")\n' in shown
    assert "\n      --subnet strings " in shown


# Exit status


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["network", "ls", "--version"], 0),
        (["completion", "bash"], 0),
        (["bogus"], 2),
        (["network", "create"], 2),
        (["network", "ls", "--format", "{{.Name}}"], 2),
        (["run"], 125),
        (["run", "--bogus", "true"], 125),
        (["exec", "c1"], 125),
    ],
)
def test_exit_status_where_the_words_decide(words, status, capsys):
    assert main(words) == status
    shown = capsys.readouterr()
    if status:
        assert shown.out == ""
        assert shown.err.startswith("cnm: ")
        assert len(shown.err.splitlines()) == 1
    else:
        assert shown.err == ""
        assert shown.out.endswith("\n")


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("cnm")


def test_words_are_understood_before_the_library_is_loaded():
    code = (
        "import sys; from pycnm.cli.main import main; main(['network', 'create']); "
        "main(['run', '--help']); main(['completion', 'bash']); "
        "print([m for m in sys.modules if m in "
        "{'pycnm.controller', 'netaddr', 'sqlite3', 'argparse', 'pyroute2'}])"
    )
    assert python(code).stdout.splitlines()[-1] == "[]"


def test_an_interruption_is_no_traceback():
    code = (
        "import os, signal, sys; from pycnm.cli import front; from pycnm.cli.main import main; "
        # Whoever runs this may be deaf to it, as nohup(1) has it.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "front.read = lambda *_: os.kill(os.getpid(), {number}); sys.exit(main([]))"
    )
    for number, status in ((2, 130), (15, 143), (1, 129)):
        done = python(code.format(number=number))
        assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_an_interruption_is_understood_before_anything_is_loaded():
    code = (
        "import sys; before = {*sys.modules, '__future__'}; from pycnm.cli.main import main; "
        "print(sorted({*sys.modules} - before))"
    )
    assert python(code).stdout == "['pycnm', 'pycnm.cli', 'pycnm.cli.main']\n"


INTERRUPTED = """
import sys
class Descriptor:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            {how}
sys.meta_path.insert(0, Finder())
{what}
"""
MAIN = "from pycnm.cli.main import main; sys.exit(main(['network', 'ls', '--state-dir=/proc/x']))"


PLAIN = "raise KeyboardInterrupt"
WRAPPED = "type('', (), {'a': Descriptor()})"  # as an enumeration does while it is made


@pytest.mark.parametrize(
    ("name", "how", "what"),
    [
        ("pycnm.cli", PLAIN, "import runpy; runpy.run_module('pycnm', run_name='__main__')"),
        ("pycnm.cli.front", PLAIN, MAIN),
        ("pycnm.controller", PLAIN, MAIN),
        ("pycnm.cli.front", WRAPPED, MAIN),
        ("pycnm.controller", WRAPPED, MAIN),
    ],
)
def test_an_interruption_while_it_is_loaded(name, how, what):
    done = python(INTERRUPTED.format(name=name, how=how, what=what))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_argument_that_is_no_text():
    """Bytes that are no UTF-8 come back as they are shown by backslashes."""
    code = "import sys; from pycnm.cli.main import main; sys.exit(main(['x\\udcff']))"
    done = python(code)
    assert done.returncode == 2
    assert done.stderr.startswith("cnm: unknown command: cnm x\\udcff")


def test_a_stream_that_fails(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["--help"]) == 1
    assert capsys.readouterr().err == "cnm: No space left on device\n"


# Completion


def offered(line):
    *before, last = line.split(" ")
    return completion.offer(ROOT, [*before, last][1:])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cnm ", [c.name for c in ROOT.commands if not c.hidden]),
        ("cnm net", ["network"]),
        ("cnm network r", ["rename", "rm"]),
        (
            "cnm network create --ip",
            ["--ip-range", "--ipam-driver", "--ipam-opt", "--ipv4", "--ipv6"],
        ),
        ("cnm --st", ["--state-dir"]),
        ("cnm network ls --format ", ["table", "json"]),
        ("cnm network ls --format=j", ["--format=json"]),
        ("cnm network ls -f t", ["type="]),
        ("cnm network ls --quiet=", ["--quiet=true", "--quiet=false"]),
        ("cnm network create re", []),
        ("cnm network ls ", []),
        ("cnm bogus ", []),
        ("cnm network create --bogus ", []),
        ("cnm completion ", ["bash"]),
        ("cnm run --n", ["--name", "--net", "--network-alias"]),
        ("cnm run ", None),
        ("cnm run -- ", None),
        ("cnm run -- -", None),
        ("cnm run ls -", None),
        ("cnm --state-dir ", None),
        ("cnm --state-dir=", None),
        ("cnm network create --driver h", ["host"]),
        ("cnm network create --ipam-driver=", ["--ipam-driver=default", "--ipam-driver=null"]),
    ],
)
def test_completion(line, words):
    assert offered(line) == words


def test_names_that_cannot_be_read_are_none(monkeypatch):
    monkeypatch.setenv("CNM_STATE_DIR", "/dev/null/state")
    assert offered("cnm network rm ") == []
    assert offered("cnm explain ") == ["network", "sandbox", "endpoint"]


def test_the_shell_is_told_when_it_knows_better(capsys):
    assert main(["__complete", "--", "network", "cr"]) == 0
    assert capsys.readouterr().out == "create\n"
    assert main(["__complete", "--", "run", "--", ""]) == 1
    assert main(["__complete"]) == 0
