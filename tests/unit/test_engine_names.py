"""The resolver of a sandbox, and its files: when they are planned, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import pycnm
from pycnm.plan.names import Divert, NetnsFiles, Resolver, TextFile, is_edited, unsigned
from pycnm.testing import FakeKernel


def operations(sandbox):
    return {type(each): each for each in sandbox.explain() if not isinstance(each, TextFile)}


def files(sandbox):
    found = [each for each in sandbox.explain() if isinstance(each, TextFile)]
    return {Path(each.path).name: unsigned(each.content) for each in found}


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.1.0.0/24")


@pytest.fixture
def c2(cnm):
    return cnm.create_sandbox("c2")


def test_names_are_answered_while_it_is_on_a_network(cnm, blue, c2, kernel):
    assert Resolver not in operations(c2)
    assert "127.0.0.11" not in files(c2)["resolv.conf"]
    blue.connect(c2)
    resolver = operations(c2)[Resolver]
    assert resolver.ns == "/run/netns/c2"
    assert resolver.sandbox == c2.id
    assert 61000 <= resolver.port <= 65535
    assert operations(c2)[Divert] == Divert("/run/netns/c2", resolver.port)
    assert files(c2)["resolv.conf"].startswith("nameserver 127.0.0.11\n")
    assert "options ndots:0" in files(c2)["resolv.conf"]
    assert f"/run/netns/c2 resolver {resolver.port} of {c2.id[:12]}" in kernel.listing()
    cnm.network("bridge").connect(c2)
    assert operations(c2)[Resolver] == resolver
    blue.disconnect(c2)
    assert operations(c2)[Resolver] == resolver
    cnm.network("bridge").disconnect(c2)
    assert Resolver not in operations(c2)
    assert Divert not in operations(c2)
    assert "127.0.0.11" not in files(c2)["resolv.conf"]
    assert "resolver" not in kernel.listing()
    assert cnm.check() == []


def test_host_and_none_have_none(cnm, kernel, c2):
    host = cnm.create_sandbox("host", netns="host")
    cnm.network("host").connect(host)
    cnm.network("none").connect(c2)
    assert Resolver not in operations(c2)
    assert not {Resolver, Divert, NetnsFiles, TextFile} & set(operations(host))
    assert files(host) == {}
    assert "resolver" not in kernel.listing()


def test_without_dns_it_isnt_started_but_kept(cnm, blue, c2, kernel, tmp_path):
    blue.connect(c2)
    with pycnm.Controller(tmp_path, kernel=kernel, dns=False) as plain:
        plain.network("bridge").connect("c2")
        assert Resolver in operations(c2)
        plain.create_sandbox("c3")
        plain.network("blue").connect("c3")
    c3 = cnm.sandbox("c3")
    assert Resolver not in operations(c3)
    assert "127.0.0.11" not in files(c3)["resolv.conf"]
    cnm.network("bridge").connect("c3")
    assert Resolver in operations(c3)


def test_its_hosts_file_has_itself_and_its_extra_hosts(cnm, blue):
    box = cnm.create_sandbox(
        "c2", hostname="web.example", extra_hosts=["db:192.0.2.7", "gate:host-gateway"]
    )
    assert "172.17.0.1\tgate\n" in files(box)["hosts"]
    blue.connect(box)
    cnm.create_sandbox("c3")
    blue.connect("c3", aliases=["other"])
    text = files(box)["hosts"]
    assert "192.0.2.7\tdb\n" in text
    assert "10.1.0.1\tgate\n" in text
    assert "172.17.0.1" not in text
    assert "10.1.0.2\tweb.example web c2\n" in text
    assert "c3" not in text
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    box.endpoints[0].configure(ip="10.1.0.77")
    assert "10.1.0.77\tweb.example web c2\n" in files(box)["hosts"]


def test_the_host_has_an_address_of_each_family(cnm):
    both = cnm.create_network("both", subnet=["10.1.0.0/24", "fd00:1::/64"])
    box = cnm.create_sandbox("c2", extra_hosts={"gate": "host-gateway"})
    both.connect(box)
    assert "10.1.0.1\tgate\nfd00:1::1\tgate\n" in files(box)["hosts"]


def test_a_kernel_without_ipv6_has_no_such_lines(tmp_path):
    kernel = FakeKernel(pycnm.plan.operation.Features(ipv6=False))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        assert "::" not in files(cnm.create_sandbox("c2"))["hosts"]


def test_where_ip_netns_finds_the_files(cnm, kernel, c2):
    link = operations(c2)[NetnsFiles]
    assert (link.name, link.directory) == ("c2", c2.spec.files)
    assert str(link) == f"mkdir -p /etc/netns; ln -s {c2.spec.files} /etc/netns/c2"
    c2.delete()
    assert kernel.listing() == FakeKernel().listing()


def test_a_port_that_a_program_inside_has_is_chosen_again(cnm, blue, c2, kernel):
    blue.connect(c2)
    first = operations(c2)[Resolver].port
    blue.disconnect(c2)
    kernel.others_do(*(Resolver(c2.key, "", port) for port in (first, first + 1)))
    blue.connect(c2)
    assert operations(c2)[Resolver].port == first + 2
    assert operations(c2)[Divert].port == first + 2
    assert cnm.check() == []


def test_it_gives_up_when_all_ports_are_taken(cnm, blue, c2, kernel):
    kernel.others_do(*(Resolver(c2.key, "", port) for port in range(61000, 65536)))
    before = kernel.listing()
    with pytest.raises(pycnm.PortInUseError, match=r"taken by a program there"):
        blue.connect(c2)
    assert kernel.listing() == before


def test_a_sandbox_that_was_down_has_names_again(cnm, blue, c2, kernel, tmp_path):
    blue.connect(c2)
    cnm.close()
    after = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=after) as again:
        c2 = again.sandbox("c2")
        assert operations(c2) == {}
        c2.start()
        assert set(operations(c2)) >= {Resolver, Divert, NetnsFiles}
        assert again.check() == []
        again.network("blue").delete(force=True)
        assert Resolver not in operations(c2)


def test_drift_is_told_and_put_back(cnm, blue, c2, kernel):
    blue.connect(c2)
    found = operations(c2)
    hosts, resolv_conf = (each for each in c2.explain() if isinstance(each, TextFile))
    kernel.others_undo(*found.values(), hosts, resolv_conf)
    told = "\n".join(cnm.check())
    for words in (
        "the agent doesn't answer names in /run/netns/c2",
        "table netdev cnm in /run/netns/c2 is gone or was changed",
        f"the file {hosts.path} is gone",
        f"the file {resolv_conf.path} is gone",
        "the link /etc/netns/c2 is gone",
    ):
        assert words in told
    assert c2.check() != []
    done = "\n".join(cnm.reconcile())
    assert str(found[Resolver]) in done
    assert cnm.check() == []


def test_what_an_earlier_version_recorded_works(cnm, blue, c2, kernel, tmp_path):
    """It planned no names: they come with the next connection."""
    blue.connect(c2)
    found = list(c2.explain())
    kernel.run([each for each in found if type(each).__name__ in NEW], ())
    cnm.close()
    with pycnm.Controller(tmp_path, kernel=kernel) as again:
        with again._engine.db.write() as tx:
            tx.execute("DELETE FROM operations WHERE owner LIKE 'names:%'")
            tx.execute("UPDATE sandboxes SET used = 1")
        assert again.check() == []
        c2 = again.sandbox("c2")
        assert "10.1.0.2\tc2" in c2.hosts
        assert "127.0.0.11" not in c2.resolv_conf
        again.network("bridge").connect(c2)
        assert set(operations(c2)) >= {Resolver, Divert, NetnsFiles}
        assert "127.0.0.11" in c2.resolv_conf
        c2.delete()
        again.network("blue").delete()
        assert kernel.listing() == FakeKernel().listing()


NEW = {"Resolver", "Divert", "TextFile", "NetnsFiles"}

FILE = TextFile("/box/hosts", "127.0.0.1\tlocalhost\n10.1.0.2\tc2\n")
SHORTER = TextFile("/box/hosts", "127.0.0.1\tlocalhost\n")


@pytest.mark.parametrize("length", range(0, len(FILE.content), 7))
def test_what_was_cut_short_is_still_ours(length):
    """Of a write in place, from one text to a shorter or a longer one."""
    shorter, longer = SHORTER.content, FILE.content
    assert not is_edited(shorter + longer[len(shorter) :])
    assert not is_edited(shorter + "\0" * length)
    assert not is_edited("\0" * length)
    # A line of somebody's isn't taken for the rest of ours.
    assert is_edited(longer + longer[:length] + "192.0.2.1 x\n")


def test_what_somebody_wrote_is_his():
    assert not is_edited(FILE.content)
    assert is_edited(FILE.content + "192.0.2.7\tdb\n")
    assert is_edited(FILE.content.replace("c2", "c3"))
    assert is_edited("192.0.2.7\tdb\n")
    assert is_edited(FILE.text)
    assert not is_edited(TextFile("/box/resolv.conf", FILE.content).content)


def test_a_text_is_printed_as_a_command_whatever_is_in_it():
    assert str(TextFile("/a b", "EOF\n")) == (
        f"cat > '/a b' << 'EOFF'\n{TextFile('/a b', 'EOF' + chr(10)).content}EOFF"
    )
