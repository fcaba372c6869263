"""Every command, with its flags.  Docker's flags have Docker's names and meanings."""

from __future__ import annotations

from pycnm.cli.command import Command, Flag, Group, Kind, Known, Operand
from pycnm.cli.flags import (
    ADDRESSES,
    COMMAND,
    HABITS,
    INSPECT_FORMAT,
    LINES_FORMAT,
    LIST_FORMAT,
    NO_ERROR,
    NO_TRUNC,
    PUBLISH,
    QUIET,
    SANDBOX,
    SANDBOX_FLAGS,
    SANDBOXES,
)
from pycnm.cli.networkcommands import NETWORK_COMMANDS

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

_SANDBOX_COMMANDS = (
    Command(
        "create",
        "Create a sandbox: a network namespace, also seen by `ip netns`",
        "pycnm.cli.sandbox:create",
        "cnm sandbox create --dns 192.0.2.53 c1",
        (Operand("SANDBOX"),),
        (
            *SANDBOX_FLAGS,
            Flag("netns", 'Adopt a namespace, by name, path or pid; "host" for the host itself'),
        ),
    ),
    Command(
        "inspect",
        "Show everything about sandboxes, as JSON",
        "pycnm.cli.sandbox:inspect",
        "cnm sandbox inspect c1",
        (SANDBOXES,),
        (INSPECT_FORMAT,),
    ),
    Command(
        "ls",
        "List sandboxes",
        "pycnm.cli.sandbox:ls",
        "cnm sandbox ls",
        flags=(LIST_FORMAT, NO_TRUNC, QUIET),
        also=("list",),
    ),
    Command(
        "rm",
        "Remove sandboxes, with their endpoints",
        "pycnm.cli.sandbox:rm",
        "cnm sandbox rm c1 c2",
        (SANDBOXES,),
        (NO_ERROR,),
        also=("remove",),
    ),
    Command(
        "start",
        "Make sandboxes again that went with the host, or with their namespace",
        "pycnm.cli.sandbox:start",
        "cnm sandbox start c1",
        (SANDBOXES,),
        details="They have their endpoints, addresses and ports as before; no process is started.",
    ),
)

_RUN = Command(
    "run",
    "Run a command in a new sandbox",
    "pycnm.cli.run:run",
    "cnm run --rm --name c2 --net my_bridge -p 8080:80 -- python3 -m http.server 80",
    (COMMAND,),
    (
        Flag(
            "detach",
            "Run it in the background, without input and output, and show the sandbox's id",
            Kind.SWITCH,
            short="d",
        ),
        *HABITS,
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
        *ADDRESSES,
        PUBLISH,
        *SANDBOX_FLAGS,
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
    (SANDBOX, COMMAND),
    HABITS,
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
            NETWORK_COMMANDS,
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
            flags=(LINES_FORMAT,),
            details="The exit status is 1 if it does.",
        ),
        Command(
            "reconcile",
            "Put back what somebody removed, and show what was done",
            "pycnm.cli.keeping:reconcile",
            "cnm reconcile",
            flags=(LINES_FORMAT,),
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
