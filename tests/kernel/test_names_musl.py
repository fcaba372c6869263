"""musl's resolver, which asks all servers at once and for both families in one go, finds names."""

from __future__ import annotations

import subprocess

import pytest

PROGRAM = r"""
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
int main(int count, char **words) {
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    char text[64];
    int code = count < 2 ? EAI_NONAME : getaddrinfo(words[1], 0, &wanted, &found);
    if (code) { puts(gai_strerror(code)); return 1; }
    for (; found; found = found->ai_next)
        if (!getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, 1)) puts(text);
}
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """A program that prints the addresses of a name."""
    place = tmp_path_factory.mktemp("musl")
    (place / "look.c").write_text(PROGRAM)
    command = ["musl-gcc", "-static", "-o", place / "look", place / "look.c"]
    subprocess.run(command, check=True)
    return str(place / "look")


@pytest.fixture
def c1(cnm):
    blue = cnm.create_network("blue", subnet=["10.1.0.0/24", "fd00:1::/64"], internal=True)
    boxes = [cnm.create_sandbox(name) for name in ("c1", "c2")]
    blue.connect(boxes[0])
    blue.connect(boxes[1], aliases=["web"])
    return boxes[0]


def said(sandbox, *words):
    done = sandbox.run(words, capture_output=True, text=True, timeout=60)
    return done.returncode, sorted(done.stdout.split())


@pytest.mark.parametrize("name", ["c2", "C2", "web", "web.blue", "c2.blue"])
def test_names_are_found(c1, look, name):
    assert said(c1, look, name) == (0, ["10.1.0.3", "fd00:1::3"])


def test_what_nobody_is_called_is_told_at_once(cnm, c1, look):
    code, words = said(c1, look, "nobody")
    assert code == 1
    assert words == sorted(["Name", "does", "not", "resolve"])
    cnm.network("blue").disconnect("c2")
    assert said(c1, look, "c2")[0] == 1
