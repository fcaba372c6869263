"""nft values: what they print, and what they refuse to be."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError
from pycnm.kernel import nfexpressions, nfreading
from pycnm.nft import ruleset, statements, words
from pycnm.nft.objects import Chain, Element, Rule, Set, Table
from pycnm.nft.statements import ACCEPT, DROP, Counter, Lookup, Match, Selector, goto, jump
from pycnm.nft.words import EtherType, NetworkProtocol, Protocol
from pycnm.spec.macs import link_local

MAC = "02:42:0a:14:1e:02"
SELECTORS = [each for each in vars(statements).values() if isinstance(each, Selector)]

NOT_NAMES = [
    "",
    " ",
    "a b",
    'a"b',
    "a;b",
    "a{b",
    "a\nb",
    "a\n",
    "a\0",
    "1a",
    "-a",
    "ä",
    "a" * 129,
    7,
]
NOT_INTERFACES = [
    "",
    ".",
    "..",
    "a b",
    "a/b",
    "a:b",
    "br*",
    'a"b',
    "a\\b",
    "a\n",
    "a\0",
    "ä",
    "a" * 16,
    None,
]
NOT_COMMENTS = [
    "",
    'say "hi"',
    "a\nb",
    "a\0b",
    "a" * 129,
    "ä" * 65,
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    7,
]
NOT_PORTS = [0, -1, 65536, "80", 80.0, True, None]
NOT_IPV4 = ["", "10.0.0", "10.0.0.1/24", "10.0.0.256", "::1", " 10.0.0.1", "10.0.0.1\n", 7, None]
NOT_MACS = ["", "02:42", "02:42:0a:14:1e:zz", "02:42:0a:14:1e:02:03:04", 7, None]


class TestText:
    def test_table(self):
        assert str(Table("inet", "cnm", comment="mine")) == 'table inet cnm { comment "mine"; }'
        assert Table("inet", "cnm", comment="mine").reference == "table inet cnm"

    def test_chain(self):
        chain = Chain(
            "netdev",
            "cnm_x",
            "veth1",
            type="filter",
            hook="ingress",
            priority=-500,
            policy="drop",
            device="veth1",
        )
        assert str(chain) == (
            "chain netdev cnm_x veth1"
            ' { type filter hook ingress device "veth1" priority -500; policy drop; }'
        )
        assert chain.reference == "chain netdev cnm_x veth1"
        assert str(Chain("inet", "cnm", "user")) == "chain inet cnm user"

    def test_set_and_map(self):
        loops = Set("inet", "cnm", "loops", key=("ifname", "ifname"))
        assert str(loops) == "set inet cnm loops { type ifname . ifname; }"
        icc = Set("inet", "cnm", "icc", key=("ifname",), data="verdict", comment="who")
        assert str(icc) == 'map inet cnm icc { type ifname : verdict; comment "who"; }'

    def test_element(self):
        element = ruleset.element("publish4", ("tcp", 8080), ("10.20.30.3", 80))
        assert str(element) == "element inet cnm publish4 { tcp . 8080 : 10.20.30.3 . 80 }"
        assert element.reference == "element inet cnm publish4 { tcp . 8080 }"
        owned = attrs.evolve(element, comment="ep1")
        assert str(owned) == (
            'element inet cnm publish4 { tcp . 8080 comment "ep1" : 10.20.30.3 . 80 }'
        )

    @pytest.mark.parametrize(
        ("name", "key", "data", "text"),
        [
            ("icc", ("br-x", "br-x"), ("drop",), '"br-x" . "br-x" : drop'),
            ("egress", ("br-x",), ("jump from_nat",), '"br-x" : jump from_nat'),
            ("loops", ("br-x", "br-x"), (), '"br-x" . "br-x"'),
            ("snat6", ("br-x",), ("2001:db8::1",), '"br-x" : 2001:db8::1'),
            ("publish6_at", ("::1", "udp", 53), ("fd00::3", 53), "::1 . udp . 53 : fd00::3 . 53"),
        ],
    )
    def test_element_from_text(self, name, key, data, text):
        assert str(ruleset.element(name, key, data)) == f"element inet cnm {name} {{ {text} }}"

    @pytest.mark.parametrize(
        ("statement", "text"),
        [
            (Match(statements.IIFNAME, "lo"), 'iifname "lo"'),
            (Match(statements.NFPROTO, NetworkProtocol.IPV6), "meta nfproto ipv6"),
            (Match(statements.L4PROTO, Protocol.ICMPV6, "!="), "meta l4proto != ipv6-icmp"),
            (Match(statements.ETHER_SADDR, EUI(MAC), "!="), f"ether saddr != {MAC}"),
            (Match(statements.IP6_SADDR, IPNetwork("fe80::/10")), "ip6 saddr fe80::/10"),
            (
                Match(statements.ND_TARGET, IPAddress("fd00::2")),
                "@th,64,128 0xfd000000000000000000000000000002",
            ),
            (
                Match(statements.CT_STATE, (words.CTState.ESTABLISHED, words.CTState.RELATED)),
                "ct state established,related",
            ),
            (Lookup((statements.IIFNAME, statements.OIFNAME), "loops"), "iifname . oifname @loops"),
            (jump("user"), "jump user"),
        ],
    )
    def test_statement(self, statement, text):
        assert str(statement) == text

    def test_rule(self):
        rule = Rule("inet", "cnm", "forward", (Counter(), DROP), comment="why")
        assert str(rule) == 'rule inet cnm forward counter drop comment "why"'


class TestRulesets:
    def test_forward_decides_egress_before_ingress(self):
        forward = [
            str(item)
            for item in ruleset.skeleton(32768, 60999)
            if isinstance(item, Rule) and item.chain == "forward"
        ]
        assert forward == [
            "rule inet cnm forward tcp flags syn / syn,rst jump segments",
            "rule inet cnm forward jump user",
            "rule inet cnm forward iifname . oifname vmap @icc",
            "rule inet cnm forward iifname vmap @egress",
            "rule inet cnm forward oifname vmap @ingress",
            "rule inet cnm forward meta nfproto ipv4 iifname @opened4 goto not_a_router",
            "rule inet cnm forward meta nfproto ipv6 iifname @opened6 goto not_a_router",
        ]

    def test_the_chain_of_the_administrator_is_empty(self):
        rules = [item for item in ruleset.skeleton(1024, 65535) if isinstance(item, Rule)]
        assert not [rule for rule in rules if rule.chain == "user"]

    def test_every_chain_that_is_gone_to_exists(self):
        objects = ruleset.skeleton(32768, 60999)
        chains = {item.name for item in objects if isinstance(item, Chain)}
        gone_to = {
            statement.chain
            for item in objects
            if isinstance(item, Rule)
            for statement in item.statements
            if isinstance(statement, statements.Verdict) and statement.chain
        }
        assert gone_to <= chains
        assert {"from_nat", "from_internal", "to_nat", "to_internal", "user"} <= chains

    def test_guard_of_an_ipv4_endpoint_says_nothing_of_ipv6(self):
        text = guard_text(ipv4=["10.20.30.2"])
        assert text == [
            "meta l4proto udp ether type ip ip frag-off & 0x1fff == 0 udp dport 68 counter drop",
            f"ether saddr {MAC} ether type ip ip saddr 10.20.30.2 accept",
            f"ether saddr != {MAC} counter drop",
            (
                "ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4"
                f" arp saddr ether {MAC} arp saddr ip 10.20.30.2 accept"
            ),
            "counter",
        ]

    @given(st.lists(st.ip_addresses(v=4), max_size=3), st.lists(st.ip_addresses(v=6), max_size=3))
    def test_guard_accepts_nothing_before_it_has_seen_the_mac(self, ipv4, ipv6):
        seen = False
        for rule in guard_text(map(str, ipv4), map(str, ipv6)):
            seen = seen or rule.startswith("ether saddr != ")
            assert seen or not rule.endswith("accept") or rule.startswith(f"ether saddr {MAC} ")
        assert seen

    @given(st.lists(st.ip_addresses(v=4), max_size=3), st.lists(st.ip_addresses(v=6), max_size=3))
    def test_guard_accepts_only_from_an_address_of_its_own(self, ipv4, ipv6):
        own4, own6 = list(map(str, ipv4)), [str(IPAddress(str(each))) for each in ipv6]
        own6 += [str(link_local(EUI(MAC)))] if ipv6 else []
        own = [f" {field} {each} " for each in own4 for field in ("ip saddr", "arp saddr ip")]
        own += [f" ip6 saddr {each} " for each in own6]
        foreign = " ".join(["ether type ip6", *(f"ip6 saddr != {each}" for each in own6)])
        rules = guard_text(own4, own6[:-1])
        decided = rules.index(f"{foreign} counter drop") if ipv6 else len(rules)
        for rule in rules[:decided]:
            from_nobody = " ip6 saddr :: icmpv6 type " in rule
            assert not rule.endswith("accept") or from_nobody or any(each in rule for each in own)
        for rule in rules[decided:]:
            assert not rule.endswith("accept") or rule.startswith("ether type ip6 ")

    def test_guard_without_addresses_lets_nothing_pass(self):
        assert not [rule for rule in guard_text() if rule.endswith("accept")]

    def test_link_local_address_is_the_kernels(self):
        assert link_local(EUI(MAC)) == IPAddress("fe80::42:aff:fe14:1e02")
        assert link_local(EUI("00:00:00:00:00:00")) == IPAddress("fe80::200:ff:fe00:0")

    def test_values_are_equal_and_hashable(self):
        one, other = ruleset.skeleton(1024, 2048), ruleset.skeleton(1024, 2048)
        assert one == other
        assert len({*one, *other}) == len(one)


class TestRefusals:
    @pytest.mark.parametrize("name", NOT_NAMES)
    def test_names(self, name):
        for make in (
            lambda: Table("inet", name),
            lambda: Chain("inet", name, "c"),
            lambda: Chain("inet", "t", name),
            lambda: Set("inet", "t", name, key=("ifname",)),
            lambda: Element("inet", "t", name, ("br0",)),
            lambda: Rule("inet", "t", name, (ACCEPT,)),
            lambda: jump(name),
            lambda: goto(name),
            lambda: Lookup((statements.IIFNAME,), name),
            lambda: ruleset.guard(name, MAC),
        ):
            with pytest.raises(InvalidArgumentError, match="give"):
                make()

    @pytest.mark.parametrize("interface", NOT_INTERFACES)
    def test_interfaces(self, interface):
        for make in (
            lambda: ruleset.element("bridges", (interface,)),
            lambda: base_chain(device=interface),
            lambda: Match(statements.IIFNAME, interface),
            lambda: ruleset.guard(interface, MAC),
        ):
            with pytest.raises(InvalidArgumentError):
                make()

    def test_interface_of_15_characters(self):
        assert str(ruleset.element("bridges", ("a" * 15,))).endswith(f'{{ "{"a" * 15}" }}')

    @pytest.mark.parametrize("comment", NOT_COMMENTS)
    def test_comments(self, comment):
        for make in (
            lambda: Table("inet", "t", comment=comment),
            lambda: Chain("inet", "t", "c", comment=comment),
            lambda: Set("inet", "t", "s", key=("ifname",), comment=comment),
            lambda: Element("inet", "t", "s", ("br0",), comment=comment),
            lambda: Rule("inet", "t", "c", (ACCEPT,), comment=comment),
            lambda: ruleset.skeleton(1024, 2048, comment),
        ):
            with pytest.raises(InvalidArgumentError, match="printable"):
                make()

    @pytest.mark.parametrize("port", NOT_PORTS)
    def test_ports(self, port):
        for make in (
            lambda: ruleset.element("publish4", ("tcp", port), ("10.0.0.1", 80)),
            lambda: ruleset.element("publish4", ("tcp", 80), ("10.0.0.1", port)),
            lambda: ruleset.skeleton(port, 60999),
            lambda: ruleset.skeleton(1024, port),
        ):
            with pytest.raises(InvalidArgumentError):
                make()

    def test_reversed_range_of_ports(self):
        with pytest.raises(InvalidArgumentError, match="lower one first"):
            ruleset.skeleton(60999, 32768)

    @pytest.mark.parametrize("address", NOT_IPV4)
    def test_addresses(self, address):
        for make in (
            lambda: ruleset.element("publish4", ("tcp", 80), (address, 80)),
            lambda: ruleset.element("snat4", ("br0",), (address,)),
            lambda: ruleset.guard("veth1", MAC, [address]),
        ):
            with pytest.raises(InvalidArgumentError, match="IPv4 address"):
                make()

    @pytest.mark.parametrize("mac", NOT_MACS)
    def test_macs(self, mac):
        with pytest.raises(InvalidArgumentError, match="MAC"):
            ruleset.guard("veth1", mac)

    @pytest.mark.parametrize(
        ("name", "key", "data"),
        [
            ("nothing", ("br0",), ()),
            ("bridges", (), ()),
            ("bridges", ("br0", "br0"), ()),
            ("bridges", ("br0",), ("accept",)),
            ("egress", ("br0",), ()),
            ("egress", ("br0",), ("jump",)),
            ("egress", ("br0",), ("jump a b",)),
            ("egress", ("br0",), ("accept now",)),
            ("egress", ("br0",), ("queue",)),
            ("publish4", ("tcp", 80), ()),
            ("publish4", ("icmp", 80), ("10.0.0.1", 80)),
            ("publish4", ("ipv6-icmp", 80), ("10.0.0.1", 80)),
            ("publish4", ("TCP", 80), ("10.0.0.1", 80)),
            ("publish4", (6, 80), ("10.0.0.1", 80)),
        ],
    )
    def test_elements(self, name, key, data):
        with pytest.raises(InvalidArgumentError, match="give"):
            ruleset.element(name, key, data)

    @pytest.mark.parametrize(
        "change",
        [
            {"type": None},
            {"hook": None},
            {"priority": None},
            {"policy": None},
            {"device": None},
            {"hook": "forward"},
            {"hook": "egress"},
            {"type": "nat"},
            {"type": "raw"},
            {"policy": "reject"},
            {"priority": 1 << 31},
            {"priority": "raw"},
        ],
    )
    def test_base_chains(self, change):
        with pytest.raises(InvalidArgumentError):
            base_chain(**change)

    @pytest.mark.parametrize("family", ["ip", "bridge", "", None])
    def test_families(self, family):
        with pytest.raises(InvalidArgumentError, match="inet or netdev"):
            Table(family, "t")

    @pytest.mark.parametrize(
        ("key", "data"),
        [((), None), (("ifname", "string"), None), (("ifname",), ("verdict",)), (("ifname",), "x")],
    )
    def test_types_of_sets(self, key, data):
        with pytest.raises(InvalidArgumentError, match="give tuples"):
            Set("inet", "t", "s", key=key, data=data)

    @pytest.mark.parametrize(
        ("selector", "value", "operator"),
        [
            (statements.IP_SADDR, IPAddress("::1"), "=="),
            (statements.IP6_SADDR, IPNetwork("10.0.0.0/8"), "=="),
            (statements.IP_SADDR, "10.0.0.1", "=="),
            (statements.ND_TARGET, IPNetwork("fe80::/10"), "=="),
            (statements.UDP_DPORT, 65536, "=="),
            (statements.ARP_HLEN, 256, "=="),
            (statements.UDP_DPORT, 53, "<"),
            (statements.ETHER_TYPE, NetworkProtocol.IPV4, "=="),
            (statements.CT_STATE, words.CTState.INVALID, "=="),
            (statements.CT_STATE, (), "=="),
            (statements.CT_STATE, (words.CTStatus.DNAT,), "=="),
            (statements.CT_STATE, (words.CTState.INVALID,), "!="),
        ],
    )
    def test_comparisons(self, selector, value, operator):
        with pytest.raises(InvalidArgumentError):
            Match(selector, value, operator)

    def test_a_rule_says_which_frames_it_means_before_it_looks_into_them(self):
        source = Match(statements.IP_SADDR, IPAddress("10.0.0.1"))
        with pytest.raises(InvalidArgumentError, match="needs `ether type ip` before it"):
            Rule("netdev", "t", "c", (source, ACCEPT))
        with pytest.raises(InvalidArgumentError, match="needs `ether type ip` before it"):
            Rule("netdev", "t", "c", (Match(statements.ETHER_TYPE, EtherType.ARP), source, ACCEPT))
        not_ip = Match(statements.ETHER_TYPE, EtherType.IP, "!=")
        with pytest.raises(InvalidArgumentError, match="needs `ether type ip` before it"):
            Rule("netdev", "t", "c", (not_ip, source, ACCEPT))

    def test_nothing_follows_a_verdict(self):
        with pytest.raises(InvalidArgumentError, match="nothing can follow `accept`"):
            Rule("inet", "t", "c", (ACCEPT, Counter()))
        with pytest.raises(InvalidArgumentError, match="nothing to do"):
            Rule("inet", "t", "c", ())


class TestEncoding:
    @pytest.mark.parametrize("selector", SELECTORS, ids=str)
    def test_every_selector_can_be_encoded(self, selector):
        assert nfexpressions.expressions([Lookup((selector,), "s")])

    @given(st.binary(max_size=300))
    def test_comments_of_others_are_read_whatever_they_hold(self, data):
        assert isinstance(nfreading._comment(data), str | None)

    def test_what_nft_leaves_unsaid_is_encoded(self):
        source = Match(statements.IP_SADDR, IPAddress("10.0.0.1"))
        rule = Rule("inet", "t", "c", (source, ACCEPT))
        explicit = Match(statements.NFPROTO, NetworkProtocol.IPV4)
        assert rule.complete == (explicit, source, ACCEPT)
        assert Rule("inet", "t", "c", (explicit, source, ACCEPT)).complete == rule.complete


def guard_text(ipv4=(), ipv6=()):
    rules = ruleset.guard("veth1", MAC, tuple(ipv4), tuple(ipv6))[2:]
    return [str(rule).removeprefix("rule netdev cnm_veth1 veth1 ") for rule in rules]


def base_chain(**change):
    whole = {
        "type": "filter",
        "hook": "ingress",
        "priority": 0,
        "policy": "accept",
        "device": "veth1",
    }
    return Chain("netdev", "t", "c", **(whole | change))
