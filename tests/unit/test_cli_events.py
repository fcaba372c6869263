"""What `cnm events` shows."""

from __future__ import annotations

import json

import pytest

import pycnm
from pycnm.cli import events
from pycnm.cli.arguments import read
from pycnm.cli.commands import ROOT
from pycnm.errors import InvalidArgumentError


@pytest.fixture
def cnm(cnm):
    """Something of everything happened."""
    for name in ("blue", "green"):
        net = cnm.create_network(name)
        net.connect(cnm.create_sandbox(f"in-{name}"), name=f"web-{name}", publish=["80"])
    return cnm


@pytest.fixture
def shown(cnm, kernel, capsys, monkeypatch):
    """The lines that are shown of what has happened."""

    def show(*words):
        request = read(ROOT, ["events", "--until", "now", *words])
        again = pycnm.Controller(cnm._engine.state_dir, kernel=kernel)
        monkeypatch.setattr(events, "controller", lambda _: again)
        assert events.events(request.arguments) == 0
        return capsys.readouterr().out.splitlines()

    return show


def told(lines):
    return [tuple(line.split()[1:3]) for line in lines]


def test_everything(shown, cnm):
    lines = shown()
    assert lines == [str(event) for event in cnm.events()]
    assert told(lines[:4]) == [
        ("network", "create"),
        ("sandbox", "create"),
        ("network", "connect"),
        ("endpoint", "publish"),
    ]


def test_as_json(shown, cnm):
    lines = shown("--format", "json", "--since", "1h")
    assert lines == [event.to_json() for event in cnm.events()]
    assert all(json.loads(line)["scope"] == "local" for line in lines)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["type=network"], ["network create", "network connect"] * 2),
        (["type=container"], ["sandbox create"] * 2),
        (["type=sandbox", "type=endpoint"], ["sandbox create", "endpoint publish"] * 2),
        (["event=connect"], ["network connect"] * 2),
        (["event=connect", "event=create", "type=network"],
         ["network create", "network connect"] * 2),
        (["network=green"], ["network create", "network connect", "endpoint publish"]),
        (["sandbox=in-blue"], ["sandbox create", "network connect", "endpoint publish"]),
        (["container=in-blue", "type=network"], ["network connect"]),
        (["endpoint=web-blue"], ["endpoint publish"]),
        (["network=blue", "network=green", "event=create"], ["network create"] * 2),
        (["network=blu"], []),
        (["network="], []),
        (["event=pull"], []),
    ],
)  # fmt: skip
def test_filters(shown, filters, expected):
    words = [word for text in filters for word in ("--filter", text)]
    assert [" ".join(pair) for pair in told(shown(*words))] == expected


def test_filters_by_id(shown, cnm):
    net, box = cnm.network("blue"), cnm.sandbox("in-blue")
    assert shown("-f", f"network={net.id[:12]}") == shown("-f", "network=blue")
    assert shown("-f", f"sandbox={box.id}") == shown("-f", "container=in-blue")


@pytest.mark.parametrize("text", ["colour=blue", "type=image"])
def test_filters_that_there_are_not(shown, text):
    with pytest.raises(InvalidArgumentError, match="invalid filter "):
        shown("--filter", text)
