"""What a kernel may have or lack, found out by trying.

A test that is marked `@pytest.mark.needs("ipvlan")` runs where the kernel has it, and one that is
marked `lacks` where it hasn't; elsewhere they are skipped.  The vm lane runs both kinds under a
kernel that has nearly everything, where what is new enough and missing is a failure.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

_PARENT = "ip link add parent type veth peer name other && ip link add link parent name x type"


class Feature(NamedTuple):
    """Something that not every kernel has.

    Args:
        attempt: a shell script that succeeds with it, in a network namespace of its own.
        since: the first Linux that has it, if that isn't long ago.
    """

    attempt: str
    since: tuple[int, int] = (0, 0)


FEATURES = {
    "br_netfilter": Feature("test -e /proc/sys/net/bridge"),
    "bridge_vlan": Feature("ip link add x type bridge vlan_filtering 1"),
    "dummy": Feature("ip link add x type dummy"),
    "early_guard": Feature(
        "nft 'table netdev x { chain x { type filter hook ingress device nowhere priority 0; }; }'",
        since=(6, 16),
    ),
    "force_forwarding": Feature("test -e /proc/sys/net/ipv6/conf/lo/force_forwarding", (6, 17)),
    "htb": Feature("tc qdisc add dev lo root htb"),
    "ifb": Feature("ip link add x type ifb"),
    "ipvlan": Feature(f"{_PARENT} ipvlan"),
    "macvlan": Feature(f"{_PARENT} macvlan"),
    "netem": Feature("tc qdisc add dev lo root netem delay 1ms"),
    "sctp": Feature(f"{sys.executable} -c 'import socket; socket.socket(2, 1, 132)'"),
    "tbf": Feature("tc qdisc add dev lo root tbf rate 1mbit burst 10k latency 10ms"),
    "vlan": Feature(f"{_PARENT} vlan id 10"),
    "vrf": Feature("ip link add x type vrf table 10"),
    "wireguard": Feature("ip link add x type wireguard"),
}


@functools.cache
def has(name):
    """Whether this kernel has a feature."""
    words = ["unshare", "--net", "sh", "-ec", FEATURES[name].attempt]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def too_new(name):
    """Whether this kernel is older than a feature."""
    running = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    return running < FEATURES[name].since


def see_to(item, *, whole):
    """Skip a test that the kernel isn't right for.

    Args:
        item: the test.
        whole: the kernel has everything that it isn't too old for, or the test fails.
    """
    for kind, right in (("needs", True), ("lacks", False)):
        for name in (name for mark in item.iter_markers(kind) for name in mark.args):
            if os.geteuid() != 0:
                pytest.skip("needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces of its own")
            if has(name) != right:
                if whole and right and not too_new(name):
                    pytest.fail(f"the kernel of this lane should have {name}")
                pytest.skip(f"this kernel {'has no' if right else 'has'} {name}")
