"""Every command, with its flags.  Docker's flags have Docker's names and meanings."""

from __future__ import annotations

from pycnm.cli.command import Command, Flag, Group, Kind, Known, Operand

_NETWORK = Operand("NETWORK", Known.NETWORKS)
_NETWORKS = Operand("NETWORK", Known.NETWORKS, more="NETWORK")
_SANDBOX = Operand("SANDBOX", Known.SANDBOXES)
_SANDBOXES = Operand("SANDBOX", Known.SANDBOXES, more="SANDBOX")
_COMMAND = Operand("COMMAND", Known.FILES, more="ARG")
_PORTS = Operand("PORT", more="PORT")

GLOBAL = (
    Flag(
        "state-dir",
        "Directory in which everything is recorded (CNM_STATE_DIR; default /var/lib/cnm)",
        known=Known.FILES,
    ),
    Flag(
        "host",
        "Network namespace that plays the host, by name, path or pid (CNM_HOST; default: "
        "the one cnm is started in)",
    ),
    Flag("version", "Show the version", Kind.SWITCH),
    Flag("help", "Show this help", Kind.SWITCH, short="h"),
)

_LABEL = Flag("label", "Set metadata, KEY or KEY=VALUE", Kind.PAIRS)
_QUIET = Flag("quiet", "Show only ids", Kind.SWITCH, short="q")
_NO_TRUNC = Flag("no-trunc", "Show whole ids", Kind.SWITCH)
_LIST_FORMAT = Flag(
    "format",
    "table, or json: one object a line (default table)",
    Kind.CHOICE,
    words=("table", "json"),
)
_INSPECT_FORMAT = Flag(
    "format", "json: everything on one line", Kind.CHOICE, short="f", words=("json",)
)
_LINES_FORMAT = Flag("format", "json: a list on one line", Kind.CHOICE, words=("json",))
_KEYS = ("driver=", "id=", "label=", "name=", "scope=", "type=", "dangling=")
_NO_ERROR = Flag("force", "Don't fail over one that does not exist", Kind.SWITCH, short="f")
_PUBLISH = Flag("publish", "Publish a port at the host, such as 8080:80/tcp", Kind.TEXTS, short="p")

# What an endpoint is given; the names differ where `docker run` and
# `docker network connect` call the same thing differently.
_ADDRESSES = (
    Flag("ip", "IPv4 address (default: the lowest free one)"),
    Flag("ip6", "IPv6 address (default: the lowest free one)"),
    Flag("link-local-ip", "Add a link-local address", Kind.COMMAS),
    Flag("mac", "MAC address (default: made from the IPv4 address)", also=("mac-address",)),
    Flag("rate", 'Slow it down both ways: 10mbit, "10mbit delay 20ms loss 1%"'),
    Flag("forwarding", "It leads packets of others to its other networks", Kind.SWITCH),
    Flag("route", 'Add a static route: "10.9.0.0/16 via 10.20.30.5 metric 100"', Kind.TEXTS),
)
_SANDBOX_FLAGS = (
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
    Flag("label", _LABEL.help, Kind.PAIRS, short="l"),
)
_HABITS = (
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
        _LABEL,
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
    (_NETWORK, _SANDBOX),
    (
        Flag("alias", "Add another name for it on this network", Kind.COMMAS),
        Flag("driver-opt", "Set an option of the endpoint, KEY=VALUE", Kind.PAIRS),
        Flag("gw-priority", "The highest gives the sandbox its default route", Kind.NUMBER),
        Flag("interface", "Name of the interface inside (default: the lowest free ethN)"),
        Flag("name", "Name of the endpoint (default: the sandbox's)"),
        *_ADDRESSES,
        _PUBLISH,
    ),
)
_NETWORK_COMMANDS = (
    _CONNECT,
    _CREATE,
    Command(
        "disconnect",
        "Disconnect a sandbox from a network",
        "pycnm.cli.network:disconnect",
        "cnm network disconnect my_bridge c3",
        (_NETWORK, _SANDBOX),
        (Flag("force", "Don't fail if it is not connected", Kind.SWITCH, short="f"),),
    ),
    Command(
        "inspect",
        "Show everything about networks, as JSON",
        "pycnm.cli.network:inspect",
        "cnm network inspect bridge | grep bridge.name",
        (_NETWORKS,),
        (_INSPECT_FORMAT,),
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
                words=_KEYS,
            ),
            _LIST_FORMAT,
            _NO_TRUNC,
            _QUIET,
        ),
        also=("list",),
    ),
    Command(
        "prune",
        "Remove all networks that nothing is connected to",
        "pycnm.cli.network:prune",
        "cnm network prune --force",
        flags=(
            Flag("filter", "Remove only those with KEY=VALUE, as of ls", Kind.FILTERS, words=_KEYS),
            Flag("force", "Don't ask", Kind.SWITCH, short="f"),
        ),
    ),
    Command(
        "publish",
        "Publish ports of a connected sandbox, live",
        "pycnm.cli.network:publish",
        "cnm network publish my_bridge c3 9090:90/udp",
        (_NETWORK, _SANDBOX, _PORTS),
    ),
    Command(
        "rename",
        "Give a network another name, live",
        "pycnm.cli.network:rename",
        "cnm network rename my_bridge blue",
        (_NETWORK, Operand("NAME")),
    ),
    Command(
        "rm",
        "Remove networks",
        "pycnm.cli.network:rm",
        "cnm network rm my_bridge",
        (_NETWORKS,),
        (_NO_ERROR,),
        also=("remove",),
    ),
    Command(
        "unpublish",
        "Stop publishing ports of a connected sandbox, live",
        "pycnm.cli.network:unpublish",
        "cnm network unpublish my_bridge c3 9090:90/udp",
        (_NETWORK, _SANDBOX, _PORTS),
    ),
)

_SANDBOX_COMMANDS = (
    Command(
        "create",
        "Create a sandbox: a network namespace, also seen by `ip netns`",
        "pycnm.cli.sandbox:create",
        "cnm sandbox create --dns 192.0.2.53 c1",
        (Operand("SANDBOX"),),
        (
            *_SANDBOX_FLAGS,
            Flag("netns", 'Adopt a namespace, by name, path or pid; "host" for the host itself'),
        ),
    ),
    Command(
        "inspect",
        "Show everything about sandboxes, as JSON",
        "pycnm.cli.sandbox:inspect",
        "cnm sandbox inspect c1",
        (_SANDBOXES,),
        (_INSPECT_FORMAT,),
    ),
    Command(
        "ls",
        "List sandboxes",
        "pycnm.cli.sandbox:ls",
        "cnm sandbox ls",
        flags=(_LIST_FORMAT, _NO_TRUNC, _QUIET),
        also=("list",),
    ),
    Command(
        "rm",
        "Remove sandboxes, with their endpoints",
        "pycnm.cli.sandbox:rm",
        "cnm sandbox rm c1 c2",
        (_SANDBOXES,),
        (_NO_ERROR,),
        also=("remove",),
    ),
    Command(
        "start",
        "Make sandboxes again that went with the host, or with their namespace",
        "pycnm.cli.sandbox:start",
        "cnm sandbox start c1",
        (_SANDBOXES,),
        details="They have their endpoints, addresses and ports as before; no process is started.",
    ),
)

_RUN = Command(
    "run",
    "Run a command in a new sandbox",
    "pycnm.cli.run:run",
    "cnm run --rm --name c2 --net my_bridge -p 8080:80 -- python3 -m http.server 80",
    (_COMMAND,),
    (
        Flag(
            "detach",
            "Run it in the background, without input and output, and show the sandbox's id",
            Kind.SWITCH,
            short="d",
        ),
        *_HABITS,
        Flag("name", "Name of the sandbox (default: a random one)", known=Known.SANDBOXES),
        Flag(
            "net",
            "Network to connect it to, or name=NETWORK,ip=...,alias=...; may be repeated "
            '(default "bridge")',
            Kind.TEXTS,
            also=("network",),
            known=Known.NETWORKS,
        ),
        Flag(
            "network-alias",
            "Add another name for it on its network",
            Kind.TEXTS,
            also=("net-alias",),
        ),
        Flag("rm", "Remove the sandbox when the command ends", Kind.SWITCH),
        *_ADDRESSES,
        _PUBLISH,
        *_SANDBOX_FLAGS,
    ),
    details="With several networks, flags of the endpoint are for the first.  The exit status is "
    "the command's; 127 if it is not found, 126 if it can't be started, 125 if cnm itself fails.",
    runs=True,
    failure=125,
    misuse=125,
)
_EXEC = Command(
    "exec",
    "Run a command in a sandbox",
    "pycnm.cli.run:execute",
    "cnm exec c2 -- ip -brief address",
    (_SANDBOX, _COMMAND),
    _HABITS,
    details="The exit status is the command's; 127 if it is not found, 126 if it can't be "
    "started, 125 if cnm itself fails.",
    runs=True,
    failure=125,
    misuse=125,
)

ROOT = Group(
    "cnm",
    "Networks of containers, without Docker",
    (
        Group(
            "network",
            "Manage networks",
            _NETWORK_COMMANDS,
            "cnm network create --subnet 10.20.30.0/24 my_bridge",
        ),
        Group("sandbox", "Manage sandboxes", _SANDBOX_COMMANDS, "cnm sandbox create c1"),
        _RUN,
        _EXEC,
        Command(
            "explain",
            "Show what the kernel holds for an object, as commands to type",
            "pycnm.cli.keeping:explain",
            "cnm explain my_bridge",
            (
                Operand(
                    "KIND",
                    Known.OBJECTS,
                    words=("network", "sandbox", "endpoint"),
                    optional=True,
                ),
                Operand("NAME", Known.OBJECTS),
            ),
            details="KIND is network, sandbox or endpoint; without it, NAME is a network or a "
            "sandbox.  An endpoint is named NETWORK/NAME.",
        ),
        Command(
            "check",
            "Show how the kernel differs from what is recorded",
            "pycnm.cli.keeping:check",
            "cnm check || cnm reconcile",
            flags=(_LINES_FORMAT,),
            details="The exit status is 1 if it does.",
        ),
        Command(
            "reconcile",
            "Put back what somebody removed, and show what was done",
            "pycnm.cli.keeping:reconcile",
            "cnm reconcile",
            flags=(_LINES_FORMAT,),
            details="What is in the way of ours and isn't ours is left alone, and named; then the "
            "exit status is 1.",
        ),
        Command(
            "info",
            "Show what there is to work with: what this kernel has, and what it lacks costs",
            "pycnm.cli.info:info",
            "cnm info",
            flags=(
                Flag(
                    "format",
                    "text, or json: one object (default text)",
                    Kind.CHOICE,
                    words=("text", "json"),
                ),
            ),
        ),
        Command(
            "resolve",
            "Show the addresses of a sandbox by one of its names",
            "pycnm.cli.naming:resolve",
            "cnm resolve web.my_bridge",
            (Operand("NAME", Known.SANDBOXES),),
            details="A name is a sandbox's, an endpoint's or an alias, with the network's behind "
            "it if only that network is meant.  The exit status is 1 if nobody has it.",
        ),
        Command(
            "events",
            "Show what is changed, as it happens",
            "pycnm.cli.events:events",
            "cnm events --since 10m --filter type=network --filter event=connect",
            flags=(
                Flag(
                    "filter",
                    "Show only those with KEY=VALUE; KEY is type, event, network, sandbox "
                    "(or container) or endpoint",
                    Kind.FILTERS,
                    short="f",
                    words=("type=", "event=", "network=", "sandbox=", "container=", "endpoint="),
                ),
                Flag("format", "json: one object a line", Kind.CHOICE, words=("json",)),
                Flag("since", "Show those since then, the recorded ones first"),
                Flag("until", "Show those until then, and end"),
            ),
            details="It goes on until ^C, or until the moment of --until.  A moment is "
            "2026-11-24T10:00:00Z, or how long ago, such as 10m, or seconds since 1970, or now.  "
            "The last 1,000 events are kept.",
        ),
        Command(
            "agent",
            "Put back at once what somebody removes, hold published ports, answer names",
            "pycnm.cli.keeping:agent",
            "cnm agent --dns 127.0.0.54",
            flags=(
                Flag(
                    "dns",
                    "Answer names to programs of the host too, on ADDRESS or ADDRESS:PORT "
                    "(53 if none is given)",
                ),
            ),
            details="It goes on until it is told to end.  Where another one is at it, it waits for "
            "its end, and takes over.  Without it, published ports are held, and names answered "
            "in sandboxes, by one that is started by itself when it is needed.",
        ),
        Command(
            "completion",
            "Show a script that completes the words of cnm in a shell",
            "pycnm.cli.completion:script",
            "source <(cnm completion bash)",
            (Operand("SHELL", words=("bash",)),),
        ),
        Command(
            "__complete",
            "Show what the last word may become",
            "pycnm.cli.completion:complete",
            "cnm __complete -- network insp",
            (Operand("WORD", optional=True, more="WORD"),),
            runs=True,
            hidden=True,
        ),
    ),
    "cnm run --rm --net my_bridge -- ip address",
    GLOBAL,
)
