"""A network that does everything, ways to take something of it away, and whether it works."""

from __future__ import annotations

import os
import signal

from surroundings import agents
from topology import inside


class Life:
    """A network of both families, c1 and c2 on it; c2 is reached by port 8080 of the host."""

    def __init__(self, cnm, host, outside, directory):
        self.cnm, self.host, self.outside, self.directory = cnm, host, outside, directory
        self.net = cnm.create_network("red", subnet=["10.1.0.0/24", "fd00:1::/64"])
        self.c1, self.c2 = (cnm.create_sandbox(name) for name in ("c1", "c2"))
        self.net.connect(self.c1)
        self.end = self.net.connect(self.c2, publish=["8080:80"])
        self.c2.run(["true"])
        self.words = {
            "br": self.net.interface,
            "veth": self.end.host_interface,
            "key": self.c2.key,
            "files": self.end.sandbox.spec.files,
            "mac": str(self.end.mac).replace("-", ":").lower(),
        }

    def harm(self, script):
        """Have a shell on the host do something, as a person would."""
        self.host.run("sh", "-euc", script.format(**self.words))

    def kill_the_agent(self):
        for agent in agents(self.directory):
            os.kill(agent, signal.SIGKILL)

    def works(self):
        """What of all this doesn't work; nothing is as it should be."""
        c1, c2, router = inside(self.c1), inside(self.c2), "192.0.2.1"
        with c2.serve("80"), self.outside.serve("90"):
            seen = {
                "c1 to c2": c1.ping(str(self.end.ip)),
                "c1 to c2, IPv6": c1.ping(str(self.end.ip6)),
                "host to c2": self.host.ping(str(self.end.ip)),
                "host to c2, IPv6": self.host.ping(str(self.end.ip6)),
                "c2 to outside": c2.ask("192.0.2.66", 90),
                "c2 to outside, IPv6": c2.ask("2001:db8::66", 90),
                "outside to a port": self.outside.ask(router, 8080),
                "outside to a port, IPv6": self.outside.ask("2001:db8::1", 8080),
                "host to a port": self.host.ask("127.0.0.1", 8080),
                "c2 to its own port": c2.ask(router, 8080),
            }
        return [what for what, answer in seen.items() if not answer]


# What somebody does, and the words of check() about it.
HARMS = {
    "host end deleted": ("ip link del {veth}", "interface {veth} is gone"),
    "host end down": ("ip link set {veth} down", "{veth} is down"),
    "host end renamed": ("ip link set {veth} down name foo", "interface {veth} is gone"),
    "host end moved": ("ip link set {veth} netns outside", "interface {veth} is gone"),
    "host end out of its bridge": ("ip link set {veth} nomaster", "{veth} is not a port of {br}"),
    "host end in another bridge": (
        "ip link add br9 type bridge; ip link set {veth} master br9; ip link del br9",
        "{veth} is not a port of {br}",
    ),
    "host end unguarded": ("nft delete table netdev cnm_{veth}", "guard of {veth} is gone"),
    "host end, IPv6 on": (
        "sysctl -w net.ipv6.conf.{veth}.disable_ipv6=0",
        "{veth}/disable_ipv6 is 0, not 1",
    ),
    "host end without its mark": ("ip link set {veth} alias ''", "{veth} doesn't bear the mark"),
    "port doesn't hairpin": ("bridge link set dev {veth} hairpin off", "{veth} doesn't hairpin"),
    "bridge deleted": ("ip link del {br}", "interface {br} is gone"),
    "bridge down": ("ip link set {br} down", "{br} is down"),
    "bridge renamed": ("ip link set {br} down name foo", "interface {br} is gone"),
    "bridge of another kind": (
        "ip link set {br} type bridge stp_state 1 forward_delay 1500",
        "{br} has forward_delay 1500, not 0",
    ),
    "inner end deleted": ("ip -n c2 link del eth0", "interface {veth} is gone"),
    "inner end down": ("ip -n c2 link set eth0 down", "eth0 in {key} is down"),
    "inner end renamed": ("ip -n c2 link set eth0 down name foo", "eth0 in {key} is gone"),
    "inner end moved": ("ip -n c2 link set eth0 netns outside name foo", "eth0 in {key} is gone"),
    "inner end moved to the host": ("ip -n c2 link set eth0 netns h1 name foo", "eth0 .* is gone"),
    "lo down": ("ip -n c2 link set lo down", "lo in {key} is down"),
    "MTU of the bridge": ("ip link set {br} mtu 1400", "{br} has MTU 1400, not 1500"),
    "MTU of the host end": ("ip link set {veth} mtu 1300", "{veth} has MTU 1300, not 1500"),
    "MTU of the inner end": ("ip -n c2 link set eth0 mtu 1280", "eth0 in {key} has MTU 1280"),
    "MAC of the bridge": ("ip link set {br} address 02:00:00:00:00:99", "{br} has MAC 02:00:0"),
    "MAC of the inner end": (
        "ip -n c2 link set eth0 address 02:00:00:00:00:99",
        "eth0 in {key} has MAC 02:00:00:00:00:99, not {mac}",
    ),
    "address of the bridge": (
        "ip addr del 10.1.0.1/24 dev {br}",
        "{br} doesn't have the address 10.1.0.1/24",
    ),
    "IPv6 address of the bridge": (
        "ip addr del fd00:1::1/64 dev {br}",
        "{br} doesn't have the address fd00:1::1/64",
    ),
    "all addresses of the bridge": ("ip addr flush dev {br}", "doesn't have the address 10.1.0.1"),
    "address inside": (
        "ip -n c2 addr del 10.1.0.3/24 dev eth0",
        "eth0 in {key} doesn't have the address 10.1.0.3/24",
    ),
    "IPv6 address inside": (
        "ip -n c2 addr del fd00:1::3/64 dev eth0",
        "eth0 in {key} doesn't have the address fd00:1::3/64",
    ),
    "default route": ("ip -n c2 route del default", "route to 0.0.0.0/0 via 10.1.0.1 dev eth0"),
    "IPv6 default route": ("ip -n c2 -6 route del default", "route to ::/0 via fd00:1::1"),
    "all routes inside": ("ip -n c2 route flush table main", "route to 10.1.0.0/24"),
    "connected route of the host": (
        "ip route del 10.1.0.0/24",
        "route to 10.1.0.0/24 dev {br} is gone",
    ),
    "connected IPv6 route of the host": (
        "ip -6 route del fd00:1::/64",
        "route to fd00:1::/64 dev {br} is gone",
    ),
    "connected route inside": (
        "ip -n c2 route del 10.1.0.0/24",
        "route to 10.1.0.0/24 dev eth0 in {key} is gone",
    ),
    "connected IPv6 route inside": (
        "ip -n c2 -6 route del fd00:1::/64",
        "route to fd00:1::/64 dev eth0 in {key} is gone",
    ),
    "forwarding of the bridge": (
        "sysctl -w net.ipv4.conf.{br}.forwarding=0",
        "{br}/forwarding is 0, not 1",
    ),
    "forwarding of the uplink": (
        "sysctl -w net.ipv4.conf.eth0.forwarding=0",
        "eth0/forwarding is 0, not 1",
    ),
    "route_localnet": (
        "sysctl -w net.ipv4.conf.{br}.route_localnet=0",
        "{br}/route_localnet is 0, not 1",
    ),
    "accept_ra": ("sysctl -w net.ipv6.conf.{br}.accept_ra=1", "{br}/accept_ra is 1, not 0"),
    "IPv6 off on the bridge": (
        "sysctl -w net.ipv6.conf.{br}.disable_ipv6=1",
        "{br} doesn't have the address fd00:1::1/64",
    ),
    "IPv6 off inside": (
        "ip netns exec c2 sysctl -w net.ipv6.conf.eth0.disable_ipv6=1",
        "eth0/disable_ipv6 in {key} is 1, not 0",
    ),
    "the whole ruleset": ("nft flush ruleset", "table inet cnm is gone"),
    "our table": ("nft delete table inet cnm", "table inet cnm is gone"),
    "a chain emptied": ("nft flush chain inet cnm forward", "chain inet cnm forward is gone or"),
    "a chain's rule": (
        (
            "nft delete rule inet cnm publish handle "
            "$(nft -a list chain inet cnm publish | sed -n 's/.*publish4 # handle //p')"
        ),
        "chain inet cnm publish is gone or",
    ),
    "a set emptied": ("nft flush set inet cnm masquerade4", "masquerade4 .*{br}.* is gone"),
    "a port's element": (
        "nft delete element inet cnm publish4 '{{ tcp . 8080 }}'",
        "publish4 .*8080.* is gone",
    ),
    "the guard emptied": ("nft flush chain netdev cnm_{veth} {veth}", "guard of {veth} is gone"),
    "the namespace unpinned": ("umount -l {key}", "no namespace is pinned at {key}"),
    "the namespace deleted": ("ip netns del c2", "no namespace is pinned at {key}"),
    "the files": ("rm -r {files}", "{files} is gone"),
    "the hosts file": ("rm {files}/hosts", "{files}/hosts is gone"),
    "where ip netns finds the files": ("rm /etc/netns/c2", "the link /etc/netns/c2 is gone"),
}

# What somebody does that takes nothing of ours away.
HARMLESS = {
    "an address more": "ip addr add 10.9.9.9/24 dev {br}; ip -n c2 addr add 10.9.9.8/24 dev eth0",
    "a route more": "ip route add 10.77.0.0/16 dev {br}; ip -n c2 route add 10.78.0.0/16 dev eth0",
    "a port more": "ip link add foo up master {br} type veth peer foo netns outside",
    "a rule more": "nft add rule inet cnm user iifname nothing drop",
    "rules of iptables, flushed": (
        "nft 'add table ip filter; add chain ip filter FORWARD "
        "{{ type filter hook forward priority 0; }}; flush ruleset ip'"
    ),
    "firewalld, reloaded": (
        "for n in 1 2; do nft 'add table inet firewalld; delete table inet firewalld; "
        "add table inet firewalld; add chain inet firewalld filter_FORWARD "
        "{{ type filter hook forward priority 10; policy accept; }}'; done"
    ),
}
