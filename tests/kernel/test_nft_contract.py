"""What is encoded is what is printed: the kernel and the nft program are the judges."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from itertools import groupby

import attrs
import pytest
from features import has
from netaddr import EUI, IPAddress, IPNetwork

from pycnm.kernel import netns, nfnetlink, nfreading
from pycnm.kernel.netlink import NETLINK_NETFILTER, Socket
from pycnm.kernel.worker import run_apart
from pycnm.nft import ruleset, statements
from pycnm.nft.divert import divert
from pycnm.nft.objects import Chain, Element, Rule, Set, Table
from pycnm.nft.statements import (
    ACCEPT,
    DROP,
    NAT,
    RETURN,
    Counter,
    Lookup,
    Masquerade,
    Match,
    VerdictMap,
    goto,
    jump,
)
from pycnm.nft.words import CTState, EtherType, ICMPv6, NetworkProtocol, Protocol

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own"
)

OWNER = "cnm:0123456789ab"
GUARDS = "cnm_veth1"
MAC = "02:42:0a:14:1e:02"

SKELETON = ruleset.skeleton(32768, 60999, OWNER)
ELEMENTS = (
    ruleset.element("icc", ("br-x", "br-x"), ("accept",)),
    ruleset.element("icc", ("br-y", "br-y"), ("drop",)),
    ruleset.element("egress", ("br-x",), ("jump from_nat",)),
    ruleset.element("egress", ("br-y",), ("goto from_internal",)),
    ruleset.element("ingress", ("br-x",), ("goto to_nat",)),
    ruleset.element("loops", ("br-x", "br-x")),
    ruleset.element("bridges", ("a23456789012345",)),
    ruleset.element("bridges", ("wl'#;{}.1@",)),
    ruleset.element("trusted", ("eth0", "br-x")),
    ruleset.element("opened4", ("eth0",)),
    ruleset.element("masquerade6", ("br-x",)),
    ruleset.element("snat4", ("br-x",), ("192.0.2.1",)),
    ruleset.element("snat6", ("br-x",), ("2001:db8::1",)),
    ruleset.element("publish4", ("tcp", 8080), ("10.20.30.3", 80)),
    ruleset.element("publish4", ("sctp", 65535), ("10.20.30.3", 1)),
    attrs.evolve(
        ruleset.element("publish4", ("udp", 53), ("10.20.30.3", 53)), comment="of c3, ünïcode"
    ),
    ruleset.element("publish4_at", ("127.0.0.1", "tcp", 8080), ("10.20.30.3", 80)),
    ruleset.element("publish6", ("tcp", 8080), ("fd00::3", 80)),
    ruleset.element("publish6_at", ("::1", "udp", 8080), ("fd00::3", 80)),
)
PLAIN_TABLE, *PLAIN_GUARD = ruleset.guard("veth1", MAC, ["10.20.30.2"], owner=OWNER)
DOUBLE_TABLE, *DOUBLE_GUARD = ruleset.guard(
    "veth2", MAC, ["10.20.30.2", "10.20.30.4"], ["fd00::2", "2001:db8::2"], OWNER
)
GUARDED = (PLAIN_TABLE, *PLAIN_GUARD, DOUBLE_TABLE, *DOUBLE_GUARD)


def rule(*body, comment=None):
    return Rule("inet", "zoo", "c", body, comment)


IIFNAME, OIFNAME = statements.IIFNAME, statements.OIFNAME
ZOO = (
    Table("inet", "zoo"),
    Set("inet", "zoo", "s", key=("ether_addr",)),
    Set("inet", "zoo", "m", key=("inet_service",), data=("ipv6_addr",), comment="a comment"),
    Set("inet", "zoo", "n", key=("ipv4_addr", "ether_addr"), data=("inet_service",)),
    Set("inet", "zoo", "v", key=("inet_proto", "inet_service"), data="verdict"),
    Chain("inet", "zoo", "d"),
    Chain("inet", "zoo", "c", comment="another comment"),
    Chain("inet", "zoo", "i", type="filter", hook="input", priority=17, policy="drop"),
    Chain("inet", "zoo", "r", type="route", hook="output", priority=-150, policy="accept"),
    rule(Match(IIFNAME, "lo", "!="), Match(OIFNAME, "eth0.100"), Counter(), comment="why"),
    rule(Match(statements.IP_SADDR, IPNetwork("10.0.0.0/8")), ACCEPT),
    rule(Match(statements.IP_DADDR, IPNetwork("10.1.2.0/23"), "!="), DROP),
    rule(Match(statements.IP_DADDR, IPNetwork("10.1.2.0/23")), DROP),
    rule(Match(statements.IP_DADDR, IPNetwork("0.0.0.0/1")), DROP),
    rule(Match(statements.IP_DADDR, IPNetwork("192.168.0.0/16"), "!="), RETURN),
    rule(Match(statements.IP_SADDR, IPAddress("10.0.0.1")), jump("d")),
    rule(
        Match(statements.IP_SADDR, IPAddress("10.0.0.1")),
        Match(statements.IP_DADDR, IPAddress("10.0.0.2")),
        goto("d"),
    ),
    rule(Match(statements.IP6_SADDR, IPNetwork("fe80::/64")), Counter()),
    rule(Match(statements.IP6_DADDR, IPNetwork("fe80::/10"), "!="), Counter()),
    rule(Match(statements.NFPROTO, NetworkProtocol.IPV6), Counter()),
    rule(Match(statements.L4PROTO, Protocol.TCP, "!="), Counter()),
    rule(Match(statements.UDP_DPORT, 67), Counter()),
    rule(Match(statements.ICMPV6_TYPE, ICMPv6.REDIRECT), Counter()),
    rule(Match(statements.CT_STATE, tuple(CTState)), Counter()),
    rule(Match(statements.ETHER_TYPE, EtherType.ARP), Counter()),
    rule(Match(statements.ETHER_SADDR, EUI(MAC), "!="), Counter()),
    rule(Lookup((statements.ETHER_SADDR,), "s"), Counter()),
    rule(VerdictMap((statements.L4PROTO, statements.TH_DPORT), "v")),
    Chain("inet", "zoo", "p", type="nat", hook="postrouting", priority=101, policy="accept"),
    Rule("inet", "zoo", "p", (NAT("snat", "ip6", (statements.TH_DPORT,), "m"),)),
    Rule(
        "inet",
        "zoo",
        "p",
        (
            Match(statements.L4PROTO, Protocol.SCTP),
            NAT("snat", "ip6", (statements.TH_DPORT,), "m", ports=(1, 65535)),
        ),
    ),
    Rule(
        "inet",
        "zoo",
        "p",
        (Match(statements.L4PROTO, Protocol.UDP), Masquerade((1024, 65535))),
    ),
    Table("netdev", "zoo"),
    Chain("netdev", "zoo", "c"),
    Rule(
        "netdev",
        "zoo",
        "c",
        (
            Match(statements.ETHER_TYPE, EtherType.ARP),
            Match(statements.ARP_SADDR_IP, IPAddress("10.0.0.1")),
            Counter(),
        ),
    ),
    Element("inet", "zoo", "s", (EUI(MAC),)),
    Element("inet", "zoo", "m", (443,), (IPAddress("fd00::1"),), comment="x" * 128),
    Element("inet", "zoo", "n", (IPAddress("10.0.0.1"), EUI(MAC)), (443,)),
    Element("inet", "zoo", "v", (Protocol.TCP, 443), RETURN),
)
EVERYTHING = (*SKELETON, *ELEMENTS, *GUARDED, *ZOO)


class Namespace:
    """A network namespace, an nfnetlink socket in it, and the nft program."""

    def __init__(self, path):
        self.path = str(path)
        run_apart(lambda: netns.create(self.path))
        self.socket = self.inside(lambda: Socket(NETLINK_NETFILTER))
        if not has("early_guard"):
            # There are no chains of devices that aren't there.
            for pair in ("veth1 type veth peer name veth2", "veth9 type veth"):
                self.inside(
                    lambda pair=pair: subprocess.run(f"ip link add {pair}".split(), check=True)
                )

    def close(self):
        self.socket.close()
        netns.remove(self.path)

    def inside(self, work):
        def enter_and_work():
            descriptor = netns.descriptor(self.path)
            netns.enter(descriptor)
            os.close(descriptor)
            return work()

        return run_apart(enter_and_work)

    def nft(self, *arguments, text=None):
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(self, *messages, generation=None):
        return self.socket.batch(nfnetlink.begin(generation), messages, nfnetlink.end())

    def load(self, objects):
        assert self.send(*nfnetlink.load(objects)) == {}

    def listing(self):
        return self.nft("list", "ruleset")


@pytest.fixture
def namespaces(tmp_path):
    made = []

    def make():
        made.append(Namespace(tmp_path / f"ns{len(made)}"))
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()


@pytest.fixture
def namespace(namespaces):
    return namespaces()


def without_handles(value):
    if isinstance(value, dict):
        return {key: without_handles(each) for key, each in value.items() if key != "handle"}
    if isinstance(value, list):
        return [without_handles(each) for each in value]
    return value


def tree(namespace):
    return without_handles(json.loads(namespace.nft("-j", "list", "ruleset")))["nftables"]


def code(namespace):
    """The expressions of every rule, as nft prints them to those who look for its bugs.

    Which neighbouring fields are loaded together is a matter of taste.
    """
    lines = namespace.nft("--debug=netlink", "list", "ruleset").splitlines()
    return [line for line in lines if "[ payload load" not in line and "[ cmp" not in line]


class TestEncodedIsPrinted:
    @pytest.mark.parametrize(
        "objects",
        [
            pytest.param((*SKELETON, *ELEMENTS), id="skeleton"),
            pytest.param(GUARDED, id="guards"),
            pytest.param(divert(61234), id="divert"),
            pytest.param(ZOO, id="zoo"),
        ],
    )
    def test_listings_are_equal(self, namespaces, objects):
        encoded, printed = namespaces(), namespaces()
        encoded.load(objects)
        printed.nft("-f", "-", text="".join(f"add {item}\n" for item in objects))
        assert encoded.listing() == printed.listing()
        assert tree(encoded) == tree(printed)
        assert len(tree(encoded)) > len([each for each in objects if isinstance(each, Rule)])

    @pytest.mark.parametrize(
        "objects", [SKELETON, divert(61234), ZOO], ids=["skeleton", "divert", "zoo"]
    )
    def test_registers_are_those_of_nft(self, namespaces, objects):
        encoded, printed = namespaces(), namespaces()
        encoded.load(objects)
        printed.nft("-f", "-", text="".join(f"add {item}\n" for item in objects))
        for ours, theirs in zip(code(encoded), code(printed), strict=True):
            assert ours == theirs

    def test_the_text_of_the_skeleton_is_listed_as_it_was_written(self, namespace):
        namespace.load((*SKELETON, *ELEMENTS))
        listing = namespace.nft("-s", "list", "ruleset")
        assert f'comment "{OWNER}"' in listing
        for item in SKELETON:
            if isinstance(item, Rule):
                body = str(item).removeprefix(f"rule inet cnm {item.chain} ")
                assert f"\t{body.replace(' : ', ':')}\n" in listing

    def test_references_delete(self, namespace):
        namespace.load((*SKELETON, *ELEMENTS, *GUARDED))
        chain = PLAIN_GUARD[0]
        for item in (*ELEMENTS, chain, PLAIN_TABLE):
            assert nfreading.has(namespace.socket, item)
            text = f"flush {item.reference}\n" if item is chain else ""
            namespace.nft("-f", "-", text=f"{text}delete {item.reference}\n")
            assert not nfreading.has(namespace.socket, item)


class TestSending:
    def test_loading_again_changes_nothing(self, namespace):
        namespace.load(EVERYTHING)
        listing = namespace.listing()
        namespace.load(EVERYTHING)
        assert namespace.listing() == listing

    def test_rules_of_the_administrator_outlive_loading(self, namespace):
        namespace.load(SKELETON)
        namespace.nft("add", "rule", "inet", "cnm", "user", "tcp", "dport", "25", "drop")
        namespace.load(SKELETON)
        assert "tcp dport 25 drop" in namespace.nft("list", "chain", "inet", "cnm", "user")

    def test_the_same_element_is_fine_and_another_with_its_key_is_not(self, namespace):
        mine = ruleset.element("publish4", ("tcp", 80), ("10.0.0.2", 80))
        other = ruleset.element("publish4", ("tcp", 80), ("10.0.0.3", 80))
        free = ruleset.element("publish4", ("tcp", 81), ("10.0.0.3", 80))
        namespace.load((*SKELETON, mine))
        assert namespace.send(nfnetlink.add(mine)) == {}
        errors = namespace.send(nfnetlink.add(free), nfnetlink.add(other), nfnetlink.add(mine))
        assert {place: answer.code for place, answer in errors.items()} == {1: errno.EEXIST}
        assert nfreading.has(namespace.socket, mine)
        assert not nfreading.has(namespace.socket, free)

    def test_an_element_is_replaced_in_one_batch(self, namespace):
        old = ruleset.element("publish4", ("tcp", 80), ("10.0.0.2", 80))
        new = ruleset.element("publish4", ("tcp", 80), ("10.0.0.3", 80))
        namespace.load((*SKELETON, old))
        assert namespace.send(nfnetlink.delete(old), nfnetlink.add(new)) == {}
        assert nfreading.has(namespace.socket, new)

    @pytest.mark.parametrize("item", [*ELEMENTS[:1], *GUARDED[:2], SKELETON[1]], ids=str)
    def test_deleting_what_is_gone_is_refused(self, namespace, item):
        namespace.load((*SKELETON, *ELEMENTS[:1], PLAIN_TABLE, *PLAIN_GUARD))
        if item is SKELETON[1]:
            assert namespace.send(nfnetlink.delete(SKELETON[0])) == {}
        else:
            assert namespace.send(nfnetlink.delete(item)) == {}
        errors = namespace.send(nfnetlink.delete(item))
        assert {place: answer.code for place, answer in errors.items()} == {0: errno.ENOENT}

    def test_a_chain_goes_with_its_rules_and_a_table_with_everything(self, namespace):
        namespace.load(GUARDED)
        assert namespace.send(nfnetlink.delete(PLAIN_GUARD[0])) == {}
        assert nfreading.chains(namespace.socket, "netdev", GUARDS) == []
        assert namespace.send(*map(nfnetlink.delete, (PLAIN_TABLE, DOUBLE_TABLE))) == {}
        assert namespace.listing() == ""

    def test_a_guard_is_replaced_in_one_batch(self, namespace):
        namespace.load(GUARDED)
        table, *more = ruleset.guard("veth1", MAC, ["10.20.30.2", "10.20.30.9"], owner=OWNER)
        namespace.load((table, *more))
        assert nfreading.has_rules(namespace.socket, more[0], more[1:])
        assert nfreading.has_rules(namespace.socket, DOUBLE_GUARD[0], DOUBLE_GUARD[1:])

    def test_a_batch_of_an_older_generation_is_refused(self, namespace):
        namespace.load(SKELETON)
        now = nfreading.generation(namespace.socket)
        first, second = map(nfnetlink.add, ELEMENTS[:2])
        assert namespace.send(first, generation=now) == {}
        assert nfreading.generation(namespace.socket) == now + 1
        errors = namespace.send(second, generation=now)
        assert {place: answer.code for place, answer in errors.items()} == {-1: errno.ERESTART}
        assert not nfreading.has(namespace.socket, ELEMENTS[1])

    def test_a_large_batch(self, namespace):
        many = [
            ruleset.element("publish4", ("tcp", port), ("10.0.0.2", port))
            for port in range(1, 5001)
        ]
        namespace.load((*SKELETON, *many))
        there = nfreading.elements(namespace.socket, "inet", "cnm", "publish4")
        assert sorted(there) == sorted(map(nfreading.stored, many))
        errors = namespace.send(*(nfnetlink.delete(item) for item in (*many, *many[:1000])))
        assert {place: answer.code for place, answer in errors.items()} == dict.fromkeys(
            range(5000, 6000), errno.ENOENT
        )
        assert nfreading.has(namespace.socket, many[0])

    def test_an_empty_batch(self, namespace):
        assert namespace.send() == {}


class TestReading:
    def test_everything_is_there_as_it_was_described(self, namespace):
        namespace.load(EVERYTHING)
        for item in EVERYTHING:
            assert isinstance(item, Rule) or nfreading.has(namespace.socket, item), item

    def test_nothing_is_there_before(self, namespace):
        for item in EVERYTHING:
            assert isinstance(item, Rule) or not nfreading.has(namespace.socket, item), item

    @pytest.mark.parametrize(
        ("there", "wanted"),
        [
            (SKELETON[0], attrs.evolve(SKELETON[0], comment="cnm:another")),
            (PLAIN_GUARD[0], attrs.evolve(PLAIN_GUARD[0], device="veth9")),
            (PLAIN_GUARD[0], attrs.evolve(PLAIN_GUARD[0], policy="accept")),
            (PLAIN_GUARD[0], attrs.evolve(PLAIN_GUARD[0], priority=-499)),
            (PLAIN_GUARD[0], Chain("netdev", GUARDS, "veth1")),
            (Chain("inet", "cnm", "user"), Chain("inet", "cnm", "user", comment="no")),
            (SKELETON[1], attrs.evolve(SKELETON[1], key=("ifname",))),
            (SKELETON[1], attrs.evolve(SKELETON[1], data=None)),
            (SKELETON[1], attrs.evolve(SKELETON[1], comment="no")),
            (ELEMENTS[0], attrs.evolve(ELEMENTS[0], data=DROP)),
            (ELEMENTS[2], attrs.evolve(ELEMENTS[2], data=goto("from_nat"))),
            (ELEMENTS[15], attrs.evolve(ELEMENTS[15], comment="of c4")),
            (ELEMENTS[15], attrs.evolve(ELEMENTS[15], data=(IPAddress("10.20.30.3"), 54))),
        ],
    )
    def test_what_differs_is_not_there(self, namespace, there, wanted):
        namespace.load((*SKELETON, *GUARDED, *ELEMENTS))
        assert nfreading.has(namespace.socket, there)
        assert not nfreading.has(namespace.socket, wanted)

    def test_elements_are_read_as_they_were_encoded(self, namespace):
        namespace.load((*SKELETON, *ELEMENTS))
        by_set = sorted(ELEMENTS, key=lambda element: element.set)
        for name, members in groupby(by_set, key=lambda element: element.set):
            there = nfreading.elements(namespace.socket, "inet", "cnm", name)
            assert sorted(there) == sorted(map(nfreading.stored, members))
        assert nfreading.elements(namespace.socket, "inet", "cnm", "opened6") == []
        assert nfreading.elements(namespace.socket, "inet", "cnm", "nothing") == []

    def test_rules_are_compared_with_those_there(self, namespace):
        namespace.load(EVERYTHING)
        chains = [item for item in EVERYTHING if isinstance(item, Chain)]
        for chain in chains:
            wanted = rules_of(chain)
            assert nfreading.has_rules(namespace.socket, chain, wanted), chain
            assert not nfreading.has_rules(namespace.socket, chain, [*wanted, ZOO[9]])
        changed = attrs.evolve(DOUBLE_GUARD[2], statements=PLAIN_GUARD[1].statements)
        wanted = [changed if item is DOUBLE_GUARD[2] else item for item in DOUBLE_GUARD[1:]]
        assert not nfreading.has_rules(namespace.socket, DOUBLE_GUARD[0], wanted)
        assert not nfreading.has_rules(
            namespace.socket, DOUBLE_GUARD[0], [*DOUBLE_GUARD[2:], DOUBLE_GUARD[1]]
        )

    def test_a_rule_more_is_seen(self, namespace):
        namespace.load((*SKELETON, *GUARDED))
        namespace.nft("insert", "rule", "netdev", GUARDS, "veth1", "accept")
        assert not nfreading.has_rules(namespace.socket, PLAIN_GUARD[0], PLAIN_GUARD[1:])
        assert nfreading.rules(namespace.socket, "inet", "cnm", "user") == []
        namespace.nft("add", "rule", "inet", "cnm", "user", "accept")
        assert len(nfreading.rules(namespace.socket, "inet", "cnm", "user")) == 1
        assert nfreading.rules(namespace.socket, "inet", "cnm", "nothing") == []

    def test_counters_that_have_counted_are_no_difference(self, namespace):
        table = Table("inet", "count")
        chain = Chain(
            "inet", "count", "o", type="filter", hook="output", priority=0, policy="accept"
        )
        counting = Rule("inet", "count", "o", (Counter(),))
        namespace.load((table, chain, counting))
        namespace.inside(send_a_packet)
        assert "counter packets 0" not in namespace.listing()
        assert nfreading.has_rules(namespace.socket, chain, [counting])

    def test_tables_and_chains_of_others_are_left_alone(self, namespace):
        namespace.nft("add", "table", "inet", "other")
        namespace.nft("add", "chain", "inet", "other", "user")
        namespace.nft("add", "table", "netdev", "filter", '{ comment "theirs"; }')
        before = namespace.listing()
        namespace.load((*SKELETON, *GUARDED))
        assert nfreading.tables(namespace.socket, "netdev") == {
            "filter": "theirs",
            PLAIN_TABLE.name: OWNER,
            DOUBLE_TABLE.name: OWNER,
        }
        assert nfreading.tables(namespace.socket, "inet") == {"other": None, "cnm": OWNER}
        assert nfreading.chains(namespace.socket, "inet", "other") == ["user"]
        assert nfreading.chains(namespace.socket, "inet", "nothing") == []
        assert len(nfreading.chains(namespace.socket, "inet", "cnm")) == 14
        for table in (SKELETON[0], PLAIN_TABLE, DOUBLE_TABLE):
            assert namespace.send(nfnetlink.delete(table)) == {}
        assert namespace.listing() == before


def rules_of(chain):
    place = (chain.family, chain.table, chain.name)
    return [
        item
        for item in EVERYTHING
        if isinstance(item, Rule) and (item.family, item.table, item.chain) == place
    ]


def send_a_packet():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", ("127.0.0.1", 9))
