"""Operands and flags that several commands have."""

from __future__ import annotations

from pycnm.cli.command import Flag, Kind, Known, Operand

NETWORK = Operand("NETWORK", Known.NETWORKS)
NETWORKS = Operand("NETWORK", Known.NETWORKS, more="NETWORK")
SANDBOX = Operand("SANDBOX", Known.SANDBOXES)
SANDBOXES = Operand("SANDBOX", Known.SANDBOXES, more="SANDBOX")
COMMAND = Operand("COMMAND", Known.FILES, more="ARG")
PORTS = Operand("PORT", more="PORT")

LABEL = Flag("label", "Set metadata, KEY or KEY=VALUE", Kind.PAIRS)
QUIET = Flag("quiet", "Show only ids", Kind.SWITCH, short="q")
NO_TRUNC = Flag("no-trunc", "Show whole ids", Kind.SWITCH)
LIST_FORMAT = Flag(
    "format",
    "table, or json: one object a line (default table)",
    Kind.CHOICE,
    words=("table", "json"),
)
INSPECT_FORMAT = Flag(
    "format", "json: everything on one line", Kind.CHOICE, short="f", words=("json",)
)
LINES_FORMAT = Flag("format", "json: a list on one line", Kind.CHOICE, words=("json",))
KEYS = ("driver=", "id=", "label=", "name=", "scope=", "type=", "dangling=")
NO_ERROR = Flag("force", "Don't fail over one that does not exist", Kind.SWITCH, short="f")
PUBLISH = Flag("publish", "Publish a port at the host, such as 8080:80/tcp", Kind.TEXTS, short="p")

# What an endpoint is given; the names differ where `docker run` and
# `docker network connect` call the same thing differently.
ADDRESSES = (
    Flag("ip", "IPv4 address (default: the lowest free one)"),
    Flag("ip6", "IPv6 address (default: the lowest free one)"),
    Flag("link-local-ip", "Add a link-local address", Kind.COMMAS),
    Flag("mac", "MAC address (default: made from the IPv4 address)", also=("mac-address",)),
    Flag("rate", 'Slow it down both ways: 10mbit, "10mbit delay 20ms loss 1%"'),
    Flag("forwarding", "It leads packets of others to its other networks", Kind.SWITCH),
    Flag("route", 'Add a static route: "10.9.0.0/16 via 10.20.30.5 metric 100"', Kind.TEXTS),
)
SANDBOX_FLAGS = (
    Flag("hostname", "What it calls itself (default: its name)", short="h"),
    Flag("dns", "Name server, in the place of the host's", Kind.TEXTS),
    Flag("dns-search", "Search domain, in the place of the host's", Kind.TEXTS),
    Flag(
        "dns-option",
        "Option of resolv.conf(5), in the place of the host's",
        Kind.TEXTS,
        also=("dns-opt",),
    ),
    Flag("add-host", "Add NAME:ADDRESS to its hosts file", Kind.TEXTS),
    Flag("label", LABEL.help, Kind.PAIRS, short="l"),
)
HABITS = (
    Flag(
        "interactive",
        "Taken for the habit of it: stdin is always the caller's",
        Kind.SWITCH,
        short="i",
    ),
    Flag(
        "tty",
        "Taken for the habit of it: the terminal is always the caller's",
        Kind.SWITCH,
        short="t",
    ),
)
