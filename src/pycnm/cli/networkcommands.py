"""The commands of `cnm network`, with their flags."""

from __future__ import annotations

import attrs

from pycnm.cli.command import Command, Flag, Kind, Known, Operand
from pycnm.cli.flags import (
    ADDRESSES,
    INSPECT_FORMAT,
    KEYS,
    LABEL,
    LIST_FORMAT,
    NETWORK,
    NETWORKS,
    NO_ERROR,
    NO_TRUNC,
    PORTS,
    PUBLISH,
    QUIET,
    SANDBOX,
)

_CREATE = Command(
    "create",
    "Create a network",
    "pycnm.cli.network:create",
    "cnm network create --driver bridge --subnet 10.20.30.0/24 my_bridge",
    (Operand("NETWORK"),),
    (
        Flag("attachable", "Shown by inspect; every network of a host is", Kind.SWITCH),
        Flag("aux-address", "An address that nobody gets, NAME=ADDRESS", Kind.PAIRS),
        Flag("driver", 'Driver of the network (default "bridge")', short="d", known=Known.DRIVERS),
        Flag("dry-run", "Show the commands it stands for, and do nothing", Kind.SWITCH),
        Flag("gateway", "Gateway of a subnet (default: its first address)", Kind.COMMAS),
        Flag("internal", "Nothing gets in or out", Kind.SWITCH),
        Flag("ip-range", "The part of a subnet that automatic addresses come from", Kind.COMMAS),
        Flag(
            "ipam-driver",
            'Who decides the addresses (default "default")',
            known=Known.IPAMS,
        ),
        Flag("ipam-opt", "Set an option of the IPAM driver, KEY=VALUE", Kind.PAIRS),
        Flag("ipv4", "Switch IPv4 on or off (default true)", Kind.SWITCH),
        Flag("ipv6", "Switch IPv6 on or off (default false)", Kind.SWITCH),
        LABEL,
        Flag("opt", "Set an option of the driver, KEY=VALUE", Kind.PAIRS, short="o"),
        Flag("parent", "Interface of the host, for drivers that have one: -o parent=..."),
        Flag(
            "route",
            'Add a static route of every sandbox on it: "10.9.0.0/16 via 10.20.30.5 metric 100"',
            Kind.TEXTS,
        ),
        Flag("subnet", "Subnet, such as 10.20.30.0/24 (default: the next free one)", Kind.COMMAS),
    ),
)
_CONNECT = Command(
    "connect",
    "Connect a sandbox to a network",
    "pycnm.cli.network:connect",
    "cnm network connect --ip 10.20.30.3 --alias web -p 8080:80 my_bridge c3",
    (NETWORK, SANDBOX),
    (
        Flag("alias", "Add another name for it on this network", Kind.COMMAS),
        Flag("driver-opt", "Set an option of the endpoint, KEY=VALUE", Kind.PAIRS),
        Flag("gw-priority", "The highest gives the sandbox its default route", Kind.NUMBER),
        Flag("interface", "Name of the interface inside (default: the lowest free ethN)"),
        Flag("name", "Name of the endpoint (default: the sandbox's)"),
        *ADDRESSES,
        PUBLISH,
    ),
)
_CONFIGURE = Command(
    "configure",
    "Change a network, or what a sandbox has on it, live",
    "pycnm.cli.configuring:configure",
    "cnm network configure --rate 10mbit my_bridge c3",
    (NETWORK, attrs.evolve(SANDBOX, optional=True)),
    (
        Flag("alias", "Its other names on this network; all of them", Kind.COMMAS),
        Flag("attachable", "Shown by inspect; every network of a host is", Kind.SWITCH),
        Flag("aux-address", "Addresses that nobody gets, NAME=ADDRESS; all of them", Kind.PAIRS),
        Flag("driver", "Another driver", short="d", known=Known.DRIVERS),
        Flag("forwarding", "It leads packets of others to its other networks", Kind.SWITCH),
        Flag("gateway", "Gateway of a subnet", Kind.COMMAS),
        Flag("gw-priority", "The highest gives the sandbox its default route", Kind.NUMBER),
        Flag("internal", "Nothing gets in or out", Kind.SWITCH),
        Flag("ip", "IPv4 address"),
        Flag("ip-range", "The part of a subnet that automatic addresses come from", Kind.COMMAS),
        Flag("ip6", "IPv6 address"),
        Flag("ipv4", "Switch IPv4 on or off", Kind.SWITCH),
        Flag("ipv6", "Switch IPv6 on or off", Kind.SWITCH),
        LABEL,
        Flag("label-rm", "Remove metadata, KEY", Kind.TEXTS),
        Flag("mac", "MAC address", also=("mac-address",)),
        Flag("opt", "Set an option of the driver, KEY=VALUE", Kind.PAIRS, short="o"),
        Flag("opt-rm", "Take an option of the driver back, KEY", Kind.TEXTS),
        Flag("parent", "Interface of the host, for drivers that have one"),
        Flag("rate", "Slow it down both ways; empty: as fast as it was"),
        Flag("route", "Static routes; all of them", Kind.TEXTS),
        Flag("subnet", "Another subnet", Kind.COMMAS),
        Flag("vlan", "Its VLAN; empty: that of the network"),
    ),
    details="With SANDBOX it is about its endpoint: --alias, --forwarding, --gw-priority, --ip, "
    "--ip6, --mac, --rate, --route and --vlan; without, about the network.  What isn't mentioned "
    "stays; an empty value takes back what was given, or all that was listed.",
)
NETWORK_COMMANDS = (
    _CONFIGURE,
    _CONNECT,
    _CREATE,
    Command(
        "disconnect",
        "Disconnect a sandbox from a network",
        "pycnm.cli.network:disconnect",
        "cnm network disconnect my_bridge c3",
        (NETWORK, SANDBOX),
        (Flag("force", "Don't fail if it is not connected", Kind.SWITCH, short="f"),),
    ),
    Command(
        "inspect",
        "Show everything about networks, as JSON",
        "pycnm.cli.network:inspect",
        "cnm network inspect bridge | grep bridge.name",
        (NETWORKS,),
        (INSPECT_FORMAT,),
    ),
    Command(
        "ls",
        "List networks",
        "pycnm.cli.network:ls",
        "cnm network ls --filter driver=bridge",
        flags=(
            Flag(
                "filter",
                "Show only those with KEY=VALUE; KEY is driver, id, label, name, scope, type "
                "or dangling",
                Kind.FILTERS,
                short="f",
                words=KEYS,
            ),
            LIST_FORMAT,
            NO_TRUNC,
            QUIET,
        ),
        also=("list",),
    ),
    Command(
        "prune",
        "Remove all networks that nothing is connected to",
        "pycnm.cli.network:prune",
        "cnm network prune --force",
        flags=(
            Flag("filter", "Remove only those with KEY=VALUE, as of ls", Kind.FILTERS, words=KEYS),
            Flag("force", "Don't ask", Kind.SWITCH, short="f"),
        ),
    ),
    Command(
        "publish",
        "Publish ports of a connected sandbox, live",
        "pycnm.cli.network:publish",
        "cnm network publish my_bridge c3 9090:90/udp",
        (NETWORK, SANDBOX, PORTS),
    ),
    Command(
        "rename",
        "Give a network another name, live",
        "pycnm.cli.network:rename",
        "cnm network rename my_bridge blue",
        (NETWORK, Operand("NAME")),
    ),
    Command(
        "rm",
        "Remove networks",
        "pycnm.cli.network:rm",
        "cnm network rm my_bridge",
        (NETWORKS,),
        (NO_ERROR,),
        also=("remove",),
    ),
    Command(
        "unpublish",
        "Stop publishing ports of a connected sandbox, live",
        "pycnm.cli.network:unpublish",
        "cnm network unpublish my_bridge c3 9090:90/udp",
        (NETWORK, SANDBOX, PORTS),
    ),
)
