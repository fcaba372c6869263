"""S16: names that resolve the moment connect returns, on networks one shares, and nowhere else."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dns.message
import dns.rcode
import dns.reversename
import pytest
from names_support import ask
from topology import Place, inside

import pycnm

SOURCE = str(Path(pycnm.__file__).parents[1])


def addresses(answer):
    return sorted(str(item) for rrset in answer.answer for item in rrset)


def resolved(box, *words):
    """What a resolver of somebody else's says inside: getent of glibc, nslookup of busybox, dig."""
    return box.run([*words], capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet=["10.1.0.0/24", "fd00:1::/64"])


@pytest.fixture
def pair(cnm, blue):
    """c1 and c2 on it; what nobody knows, they ask of nobody."""
    boxes = [cnm.create_sandbox(name, dns=["127.0.0.1"]) for name in ("c1", "c2")]
    for box in boxes:
        blue.connect(box)
    return boxes


# Who answers


@pytest.mark.parametrize("name", ["c2", "C2", "c2.blue", "web", "WeB.bLuE", "SHORT", "HOST.blue"])
def test_every_name_of_every_client(cnm, blue, name):
    c1 = cnm.create_sandbox("c1")
    c2 = cnm.create_sandbox("c2", hostname="db1")
    blue.connect(c1)
    blue.connect(c2, aliases=["web"])
    name = name.replace("SHORT", c2.id[:12]).replace("HOST", "db1")
    for transport in ("udp", "tcp"):
        assert addresses(ask(c1, name, "A", transport)) == ["10.1.0.3"]
        assert addresses(ask(c1, name, "AAAA", transport)) == ["fd00:1::3"]
    assert resolved(c1, "getent", "ahostsv4", name).split()[0] == "10.1.0.3"
    assert resolved(c1, "getent", "ahostsv6", name).split()[0] == "fd00:1::3"
    assert "10.1.0.3" in resolved(c1, "busybox", "nslookup", name)
    assert resolved(c1, "dig", "+short", name) == "10.1.0.3\n"
    assert resolved(c1, "dig", "+short", "+tcp", "AAAA", name) == "fd00:1::3\n"
    script = f"import socket; print(socket.gethostbyname({name!r}))"
    assert resolved(c1, sys.executable, "-c", script) == "10.1.0.3\n"


def test_an_address_has_the_first_name(pair):
    c1, _ = pair
    for address in ("10.1.0.3", "fd00:1::3"):
        answer = ask(c1, str(dns.reversename.from_address(address)), "PTR")
        assert addresses(answer) == ["c2.blue."]
    assert resolved(c1, "getent", "hosts", "10.1.0.3").split() == ["10.1.0.3", "c2.blue"]


def test_several_of_one_alias_are_all_answered_and_shuffled(cnm, blue, pair):
    c1, _ = pair
    for name in ("w1", "w2", "w3"):
        blue.connect(cnm.create_sandbox(name), aliases=["web"])
    firsts = Counter(str(ask(c1, "web").answer[0][0]) for _ in range(60))
    assert set(firsts) == {"10.1.0.4", "10.1.0.5", "10.1.0.6"}
    assert addresses(ask(c1, "web")) == sorted(firsts)


def test_a_known_name_without_that_family_is_an_empty_answer(cnm):
    only4 = cnm.create_network("only4", subnet="10.4.0.0/24")
    boxes = [cnm.create_sandbox(name) for name in ("c1", "c2")]
    for box in boxes:
        only4.connect(box)
    answer = ask(boxes[0], "c2", "AAAA")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert answer.flags & dns.flags.RA


def test_only_within_shared_networks(cnm, blue, pair):
    red = cnm.create_network("red", subnet="10.2.0.0/24", internal=True)
    c1, c2 = pair
    c3 = cnm.create_sandbox("c3")
    red.connect(c2)
    red.connect(c3, aliases=["secret"])
    for name in ("c3", "secret", "secret.red", "c3.red", "c2.red", c3.id[:12]):
        assert addresses(ask(c1, name)) == [], name
    assert addresses(ask(c3, "c2")) == ["10.2.0.2"]
    assert addresses(ask(c3, "c1")) == []
    assert addresses(ask(c2, "secret.red")) == ["10.2.0.3"]
    # Of an internal network nobody outside is asked.
    assert ask(c3, "example.test").rcode() == dns.rcode.NXDOMAIN


def test_on_the_default_network_too(cnm):
    boxes = [cnm.create_sandbox(name) for name in ("c1", "c2")]
    for box in boxes:
        cnm.network("bridge").connect(box)
    assert addresses(ask(boxes[0], "c2")) == ["172.17.0.3"]


# When


def test_the_moment_a_change_returns(cnm, blue, pair):
    """In no case an old answer, nor a late one."""
    c1, c2 = pair
    for number in range(15):
        blue.disconnect(c2)
        assert addresses(ask(c1, "c2")) == [], number
        blue.connect(c2, ip=f"10.1.0.{100 + number}", aliases=[f"web{number}"])
        for name in ("c2", f"web{number}"):
            assert addresses(ask(c1, name)) == [f"10.1.0.{100 + number}"], number
        assert addresses(ask(c2, "c1")) == ["10.1.0.2"]
    end = c2.endpoints[0]
    end.configure(ip="10.1.0.77", aliases=["other"])
    assert addresses(ask(c1, "other")) == ["10.1.0.77"]
    assert addresses(ask(c1, "web14")) == []
    blue.rename("azure")
    assert addresses(ask(c1, "c2.azure")) == ["10.1.0.77"]
    assert addresses(ask(c1, "c2.blue")) == []
    end.leave()
    assert addresses(ask(c1, "c2")) == []
    end.join(c2)
    assert addresses(ask(c1, "c2")) == ["10.1.0.77"]
    c2.delete()
    assert addresses(ask(c1, "c2")) == []


@pytest.mark.usefixtures("outside")
def test_from_another_process_that_is_gone(cnm, host, pair, blue, tmp_path):
    c1, _ = pair
    program = (
        "import sys, pycnm\n"
        "cnm = pycnm.Controller(sys.argv[1], host=sys.argv[2])\n"
        "cnm.network('blue').connect(cnm.create_sandbox('c3'), aliases=['made'])\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "state"), host.name]
    subprocess.run(words, check=True, env={"PYTHONPATH": SOURCE, "PATH": "/usr/sbin:/usr/bin"})
    assert addresses(ask(c1, "made")) == ["10.1.0.4"]
    assert addresses(ask(cnm.sandbox("c3"), "c1")) == ["10.1.0.2"]


# Where


def test_a_program_inside_may_have_port_53_itself(pair):
    c1, _ = pair
    place = inside(c1)
    with place.serve("53/udp", "53"):
        assert addresses(ask(c1, "c2")) == ["10.1.0.3"]
        assert addresses(ask(c1, "c2", transport="tcp")) == ["10.1.0.3"]
        assert place.ask("127.0.0.1", 53, "udp").server == place.label
    assert place.tables() == [("netdev", "cnm")]


@pytest.mark.parametrize("form", ["name", "pid"])
def test_in_a_namespace_of_somebody_elses(cnm, blue, pair, machine, form):
    theirs = machine("theirs")
    before = theirs.picture()
    with theirs.popen("sleep", "100") as process:
        box = cnm.create_sandbox("adopted", netns=process.pid if form == "pid" else "theirs")
        blue.connect(box)
        assert addresses(ask(box, "c2")) == ["10.1.0.3"]
        assert addresses(ask(pair[0], "adopted")) == ["10.1.0.4"]
        assert Path(box.inspect()["ResolvConfPath"]).read_text() == box.resolv_conf
        assert Path("/etc/netns/theirs").is_symlink() is (form == "name")
        box.delete()
        assert theirs.picture() == before
        process.kill()


def test_ip_netns_exec_resolves(pair):
    words = ["ip", "netns", "exec", "c1", "getent", "hosts", "c2"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fd00:1::3", "c2"]


def test_the_host_asks_for_its_own(cnm, pair):
    assert [str(each) for each in cnm.resolve("c2")] == ["10.1.0.3", "fd00:1::3"]
    assert "10.1.0.3\tc2 " in cnm.network("blue").names


# What is taken away


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("nsenter --net=/run/netns/c1 nft delete table netdev cnm", "table netdev cnm in .*c1"),
        ("nsenter --net=/run/netns/c1 nft flush chain netdev cnm names", "table netdev cnm in"),
        ("rm {files}/resolv.conf", "{files}/resolv.conf is gone"),
        ("rm /etc/netns/c1", "the link /etc/netns/c1 is gone"),
    ],
)
def test_is_told_and_put_back(cnm, host, pair, harm, words):
    c1, _ = pair
    host.run("sh", "-euc", harm.format(files=c1.spec.files))
    (told,) = cnm.check()
    assert re.search(words.format(files=c1.spec.files), told)
    assert cnm.reconcile()
    assert cnm.check() == []
    assert addresses(ask(c1, "c2")) == ["10.1.0.3"]


def test_a_namespace_that_vanished_has_names_again(cnm, host, pair):
    c1, c2 = pair
    host.run("ip", "netns", "del", "c1")
    assert addresses(ask(c2, "c1")) == ["10.1.0.2"]
    cnm.reconcile()
    assert cnm.check() == []
    assert addresses(ask(c1, "c2")) == ["10.1.0.3"]


def test_what_is_refused_leaves_no_names(cnm, host, blue, pair):
    """A port that is taken: nothing of the connection stays, names neither."""
    c3 = cnm.create_sandbox("c3")
    picture = inside(c3).picture()
    with host.serve(9000), contextlib.suppress(pycnm.PortInUseError):
        blue.connect(c3, publish=["9000:80"])
    assert inside(c3).picture() == picture
    assert inside(c3).tables() == []
    assert "127.0.0.11" not in c3.resolv_conf
    assert addresses(ask(pair[0], "c3")) == []


def test_a_port_inside_that_is_taken_is_chosen_again(cnm, blue, pair):
    """The resolver's own, in a namespace that somebody uses."""
    c3 = cnm.create_sandbox("c3")
    port = 61000 + int(c3.id[:8], 16) % 4536
    with Place(c3.key).serve(f"{port}/udp", port):
        blue.connect(c3)
        assert addresses(ask(c3, "c2")) == ["10.1.0.3"]
    assert cnm.check() == []
