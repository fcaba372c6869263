"""Other people's firewalls: left alone, and named where they are in the way."""

from __future__ import annotations

import re

import pytest
from topology import IMPATIENCE, inside

HOOK = "type filter hook forward priority {}; policy drop;\nct state established,related accept\n"
FOREIGN = {
    "nft": "table inet corp {\nchain passing {\n" + HOOK.format(10) + "}\n}\n",
    "iptables": "table ip filter {\nchain FORWARD {\n" + HOOK.format(0) + "}\n}\n",
}


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge")


@pytest.fixture
def c2(cnm):
    return cnm.create_sandbox("c2")


def load(host, text):
    host.run("nft", "-f", "-", text=text)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_firewall_that_drops_is_named_with_what_to_add(cnm, net, c2, host, outside, kind):
    net.connect(c2)
    bridge = f"br-{net.id[:12]}"
    load(host, FOREIGN[kind])
    theirs = host.run("nft", "list", "ruleset")
    try:
        with outside.serve("80"):
            assert inside(c2).ask("192.0.2.66", 80, patience=IMPATIENCE) is None
            (told,) = cnm.check()
            assert bridge in told
            commands = re.findall(r"`([^`]+)`", told)
            assert len(commands) == 2
            if kind == "nft":
                for command in commands:
                    host.run(*command.split())
                assert inside(c2).ask("192.0.2.66", 80).peer == "192.0.2.1"
            else:
                assert all(command.startswith("iptables -I FORWARD -") for command in commands)
                assert host.run("nft", "list", "ruleset") == theirs
                for way in ("iifname", "oifname"):
                    host.run(
                        "nft", "insert", "rule", "ip", "filter", "FORWARD", way, bridge, "accept"
                    )
        assert cnm.check() == []
    finally:
        host.run(
            "nft", "delete", "table", *(("inet", "corp") if kind == "nft" else ("ip", "filter"))
        )


def test_one_that_is_about_all_bridges_is_not_in_the_way(cnm, net, c2, host):
    net.connect(c2)
    load(host, FOREIGN["nft"])
    try:
        host.run("nft", "insert", "rule", "inet", "corp", "passing", "iifname", "br-*", "accept")
        assert cnm.check() == []
    finally:
        host.run("nft", "delete", "table", "inet", "corp")


def test_a_chain_of_ours_that_was_emptied_is_put_back(cnm, net, c2, host, outside):
    net.connect(c2)
    user = 'iifname "nothing" accept'
    host.run("nft", "add", "rule", "inet", "cnm", "user", *user.split())
    host.run("nft", "flush", "chain", "inet", "cnm", "forward")
    assert cnm.check() == ["chain inet cnm forward is gone or was changed"]
    cnm.reconcile()
    assert cnm.check() == []
    assert "nothing" in host.run("nft", "list", "chain", "inet", "cnm", "user")
    with outside.serve("80"):
        assert inside(c2).ask("192.0.2.66", 80).peer == "192.0.2.1"
    host.run("nft", "flush", "chain", "inet", "cnm", "user")
