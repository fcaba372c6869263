"""resolv.conf: what is read of the host's, what a sandbox gets."""

from __future__ import annotations

import pytest

from pycnm.dns import resolvconf

HOST = """\
# a comment
; another
nameserver 192.0.2.1
nameserver\t2001:db8::1
nameserver fe80::1%eth0   # said so
nameserver 127.0.0.11
nameserver 192.0.2.4
nameserver 192.0.2.5
search example.com corp.example.com
options edns0 trust-ad
options timeout:2
sortlist 192.0.2.0/24
"""
PATH = "/etc/resolv.conf"


def test_a_file_is_read():
    read = resolvconf.read(HOST)
    assert read.servers == (
        "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "127.0.0.11", "192.0.2.4", "192.0.2.5"
    )  # fmt: skip
    assert read.search == ("example.com", "corp.example.com")
    assert read.options == ("edns0", "trust-ad", "timeout:2")
    assert read.other == ("sortlist 192.0.2.0/24",)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ()),
        ("nameserver", ()),
        ("nameserver \n", ()),
        ("nameserver example.com", ()),
        ("nameserver 192.0.2.01", ()),
        ("nameserver 3221225985", ()),
        ("nameserver 192.0.2.1", ("192.0.2.1",)),
        ("nameserver 192.0.2.1\r\n", ("192.0.2.1",)),
        ("  nameserver 192.0.2.1", ("192.0.2.1",)),
        ("nameserver 192.0.2.1 192.0.2.2", ("192.0.2.1",)),
        ("Nameserver 192.0.2.1", ()),
        ("nameserver 192.0.2.1\0", ("192.0.2.1",)),
        ("nameserver fe80::1%\x1b[0m", ()),
        ("#nameserver 192.0.2.1", ()),
    ],
)
def test_only_addresses_are_servers(text, servers):
    assert resolvconf.read(text).servers == servers


def test_the_last_of_search_and_domain_counts():
    assert resolvconf.read("search a b\ndomain c\n").search == ("c",)
    assert resolvconf.read("domain c\nsearch a b\n").search == ("a", "b")


def test_whom_to_ask():
    assert resolvconf.upstream(HOST) == ("192.0.2.1", "2001:db8::1", "fe80::1%eth0")
    assert resolvconf.upstream("nameserver 127.0.0.11\n") == ()
    assert resolvconf.upstream("nameserver 127.0.0.1\n") == ("127.0.0.1",)


def test_the_stub_of_systemd_resolved():
    assert resolvconf.is_stub("nameserver 127.0.0.53\noptions edns0\n")
    assert not resolvconf.is_stub("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")
    assert not resolvconf.is_stub("")


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ([], False),
        (["ndots:0"], False),
        (["ndots:1"], True),
        (["ndots:5", "ndots:0"], False),
        (["ndots:-1"], False),
        (["ndots:"], False),
        (["xndots:3"], False),
        (["edns0", "ndots:2"], True),
    ],
)
def test_whether_the_user_wants_dots(options, asks):
    assert resolvconf.asks_for_dots(options) is asks


def test_the_file_of_a_sandbox_with_a_resolver():
    assert resolvconf.for_sandbox(HOST, PATH, resolver=True) == (
        "nameserver 127.0.0.11\n"
        "search example.com corp.example.com\n"
        "options edns0 trust-ad timeout:2 ndots:0\n"
        "sortlist 192.0.2.0/24\n"
        "\n"
        "# Based on host file: '/etc/resolv.conf' (internal resolver)\n"
        "# ExtServers: [host(192.0.2.1) host(2001:db8::1) host(fe80::1%eth0)]\n"
        "# Overrides: []\n"
        "# Option ndots from: internal\n"
    )


def test_what_the_user_gives_is_in_the_place_of_the_hosts():
    text = resolvconf.for_sandbox(
        HOST,
        PATH,
        servers=["127.0.0.1", "192.0.2.9"],
        search=["a.test"],
        options=["ndots:3"],
        resolver=True,
    )
    assert text == (
        "nameserver 127.0.0.11\n"
        "search a.test\n"
        "options ndots:3\n"
        "sortlist 192.0.2.0/24\n"
        "\n"
        "# Based on host file: '/etc/resolv.conf' (internal resolver)\n"
        "# ExtServers: [127.0.0.1 192.0.2.9]\n"
        "# Overrides: [nameservers search options]\n"
        "# Option ndots from: override\n"
    )


def test_a_dot_is_no_search_domain_at_all():
    assert "search" not in resolvconf.for_sandbox(
        "search a\n", PATH, search=["."], resolver=True
    ).replace("Overrides: [search]", "")


@pytest.mark.parametrize(
    ("host", "options", "source"),
    [
        ("options ndots:2", "ndots:2", "host"),
        ("options ndots:x edns0", "edns0 ndots:0", "internal"),
        ("options ndots", "ndots:0", "internal"),
        ("options ndots:-1", "ndots:0", "internal"),
        ("", "ndots:0", "internal"),
    ],
)
def test_ndots(host, options, source):
    text = resolvconf.for_sandbox(host, PATH, resolver=True)
    assert f"\noptions {options}\n" in text
    assert f"# Option ndots from: {source}\n" in text


def test_the_file_without_a_resolver_has_no_servers_of_the_hosts_loopback():
    host = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"
    assert resolvconf.for_sandbox(host, PATH, resolver=False) == (
        "nameserver 192.0.2.1\n\n# Based on host file: '/etc/resolv.conf'\n# Overrides: []\n"
    )
    text = resolvconf.for_sandbox(host, PATH, resolver=False, ipv6=True)
    assert text.startswith("nameserver 192.0.2.1\nnameserver 2001:db8::1\n\n")


def test_the_file_without_a_resolver_and_without_servers_has_public_ones():
    text = resolvconf.for_sandbox("nameserver 127.0.0.1\n", PATH, resolver=False)
    assert text.startswith("nameserver 8.8.8.8\nnameserver 8.8.4.4\n\n")
    assert "# Used default nameservers.\n" in text
    text = resolvconf.for_sandbox("", PATH, resolver=False, ipv6=True)
    assert text.count("nameserver 2001:4860:4860::88") == 2
    text = resolvconf.for_sandbox("", PATH, servers=["127.0.0.1"], resolver=False)
    assert text.startswith("nameserver 127.0.0.1\n\n")


def test_what_is_made_is_read_as_it_was_meant():
    text = resolvconf.for_sandbox(HOST, PATH, resolver=True)
    assert resolvconf.read(text) == resolvconf.ResolvConf(
        ("127.0.0.11",),
        ("example.com", "corp.example.com"),
        ("edns0", "trust-ad", "timeout:2", "ndots:0"),
        ("sortlist 192.0.2.0/24",),
    )
