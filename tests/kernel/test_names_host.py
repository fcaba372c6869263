"""Names asked for by programs of the host, where a person has wanted that."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys

import dns.message
import dns.rcode
import pytest
from names_support import Upstream, found, framed, join, query, received, resolv_conf, says
from topology import IMPATIENCE, until

WHERE = "127.0.0.54"


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.1.0.0/24")


@contextlib.contextmanager
def agent(host, state, where=WHERE):
    """`cnm agent --dns`, once it answers or has ended; and what it has said."""
    words = ["--state-dir", str(state), "--host", "h1", "agent", "--dns", where]
    with host.popen(
        sys.executable, "-P", "-m", "pycnm", *words, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = ""
            while "is served" not in said and (line := process.stderr.readline()):
                said += line
            yield process, said
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


def asked(host, name, kind="A", transport="udp", address=WHERE, **how):
    """What the host is told."""
    with host.connect(address, 53, transport) as client:
        client.send(framed(query(name, kind, **how).to_wire(), transport))
        answer = dns.message.from_wire(received(client, transport))
    code = dns.rcode.to_text(answer.rcode())
    return found(answer) if code == "NOERROR" else code


def test_all_networks_are_known_and_nobody_is_asked(cnm, blue, host, outside, tmp_path):
    red = cnm.create_network("red", subnet="10.2.0.0/24")
    join(cnm, "c1", blue)
    join(cnm, "both", blue, red)
    with (
        resolv_conf(tmp_path / "resolv.conf") as path,
        Upstream(outside, says("60 A 198.51.100.1")) as far,
        agent(host, tmp_path / "state"),
    ):
        path.write_text("nameserver 192.0.2.66\n")
        assert until(lambda: asked(host, "c1") == ["10.1.0.2"])
        for transport in ("udp", "tcp"):
            assert asked(host, "C1.blue", transport=transport) == ["10.1.0.2"]
            assert asked(host, "both.red", transport=transport) == ["10.2.0.2"]
            # Which one is meant?
            assert asked(host, "both", transport=transport) == "NXDOMAIN"
            assert asked(host, "example.org", transport=transport) == "NXDOMAIN"
            assert asked(host, "version.bind", "TXT", transport, rdclass="CH") == "REFUSED"
        assert asked(host, "2.0.2.10.in-addr.arpa", "PTR") == ["both.red."]
        red.disconnect("both")
        assert asked(host, "both") == ["10.1.0.3"]
        assert far.asked == []
        with pytest.raises(OSError, match=r"refused|timed out"):
            asked(host, "c1", address="127.0.0.1")
        assert host.run("dig", "+short", f"@{WHERE}", "c1.blue").split() == ["10.1.0.2"]


def test_an_address_that_is_taken(cnm, host, tmp_path):
    with host.socket(kind=socket.SOCK_DGRAM) as other:
        other.bind((WHERE, 53))
        with agent(host, tmp_path / "state") as (process, said):
            assert said == (
                f"cnm agent: names can't be answered on {WHERE}:53: Address already in use\n"
            )
            assert process.wait(10) == 1


def test_an_address_that_is_none(cnm, host, tmp_path):
    with agent(host, tmp_path / "state", "0.0.0.0") as (process, said):
        assert "name one address of the host" in said
        assert process.wait(10) == 1


def test_nobody_listens_unless_it_is_wanted(cnm, blue, host):
    join(cnm, "c1", blue)
    assert [place for kind, place in host.bound() if place.endswith(":0035")] == []
    assert host.ask("127.0.0.1", 53, "udp", patience=IMPATIENCE) is None
