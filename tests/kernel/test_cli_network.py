"""`cnm network` and `cnm sandbox`, with Docker's flags and Docker's output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shell import Shell
from topology import Place, until

from pycnm.cli import keeping, network, run, sandbox  # noqa: F401 - `main` freezes what it imports
from pycnm.cli.main import main

SHORT = re.compile(r"[0-9a-f]{12}")
WHOLE = re.compile(r"[0-9a-f]{64}")


@pytest.fixture
def fresh(host, tmp_path):
    """The command on a state directory that isn't there yet."""
    return Shell(tmp_path / "state", host)


@pytest.fixture
def shell(fresh, controller, host):
    """The command; what it makes is removed, and the host is as it was."""
    controller(host)
    return fresh


@pytest.fixture
def my_bridge(shell):
    """Its id."""
    return shell("network", "create", "--subnet=10.20.30.0/24", "my_bridge").strip()


def inside(name):
    return Place(f"/run/netns/{name}")


# S1


def test_the_first_listing(fresh, host, controller):
    before = host.picture()
    listing = fresh("network", "ls")
    assert host.picture() == before
    titles, *rows = listing.splitlines()
    assert titles == "NETWORK ID     NAME      DRIVER    SCOPE"
    assert [row[12:] for row in rows] == [
        "   bridge    bridge    local",
        "   host      host      local",
        "   none      null      local",
    ]
    assert all(SHORT.fullmatch(row[:12]) for row in rows)
    assert fresh("network", "ls") == listing
    assert fresh.state.stat().st_mode & 0o777 == 0o700
    controller(host)


def test_a_wide_listing_is_in_natural_order(shell):
    for name in ("net10", "net9", "a_rather_long_name"):
        shell("network", "create", name)
    rows = shell("network", "ls").splitlines()
    assert rows[0] == "NETWORK ID     NAME                 DRIVER    SCOPE"
    assert [row[15:] for row in rows[1:]] == [
        "a_rather_long_name   bridge    local",
        "bridge               bridge    local",
        "host                 host      local",
        "net9                 bridge    local",
        "net10                bridge    local",
        "none                 null      local",
    ]


def test_ids_and_json(shell, my_bridge):
    short = shell("network", "ls", "--quiet").split()
    assert [identity for identity in short if not SHORT.fullmatch(identity)] == []
    assert my_bridge[:12] in short
    whole = shell("network", "ls", "-q", "--no-trunc").split()
    assert [identity[:12] for identity in whole] == short
    assert my_bridge in whole
    table = shell("network", "ls", "--no-trunc").splitlines()
    assert table[0] == f"{'NETWORK ID':67}NAME        DRIVER    SCOPE"
    (line,) = shell("network", "ls", "--format=json", "-f", "name=my_bridge").splitlines()
    shown = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000 UTC", shown.pop("CreatedAt"))
    assert shown == {
        "Driver": "bridge",
        "ID": my_bridge[:12],
        "IPv4": "true",
        "IPv6": "false",
        "Internal": "false",
        "Labels": "",
        "Name": "my_bridge",
        "Scope": "local",
    }


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["driver=host"], ["host"]),
        (["driver=host", "driver=null"], ["host", "none"]),
        (["driver=bridge", "name=my"], ["my_bridge"]),
        (["type=custom"], ["my_bridge"]),
        (["label=tier"], ["my_bridge"]),
        (["label=tier=front"], ["my_bridge"]),
        (["label=tier=back"], []),
        (["dangling=true"], ["my_bridge"]),
        (["scope=local", "type=builtin"], ["bridge", "host", "none"]),
        (["name=nothing"], []),
    ],
)
def test_filters(shell, filters, names):
    shell("network", "create", "--label", "tier=front", "my_bridge")
    words = [word for text in filters for word in ("--filter", text)]
    lines = shell("network", "ls", *words, "--format", "json").splitlines()
    assert [json.loads(line)["Name"] for line in lines] == names


# S5


def test_my_bridge_as_the_notes_make_it(shell, host):
    identity = shell(
        "network", "create", "--driver", "bridge", "--subnet", "10.20.30.0/24", "my_bridge"
    )
    assert WHOLE.fullmatch(identity.rstrip("\n"))
    assert host.addresses(f"br-{identity[:12]}") == ["10.20.30.1/24"]
    for name in ("c2", "c3"):
        assert WHOLE.fullmatch(shell("sandbox", "create", name).rstrip("\n"))
        assert shell("network", "connect", "my_bridge", name) == ""
    assert inside("c2").addresses("eth0") == ["10.20.30.2/24"]
    assert inside("c3").addresses("eth0") == ["10.20.30.3/24"]
    for box, target in [("c2", "10.20.30.3"), ("c3", "10.20.30.2"), ("c2", "c3"), ("c3", "c2")]:
        assert "1 received" in shell("exec", box, "--", "ping", "-c1", target)
    assert shell("sandbox", "rm", "c2", "c3") == "c2\nc3\n"
    assert shell("network", "rm", "my_bridge") == "my_bridge\n"
    assert until(lambda: host.interfaces() == ["lo"])


def test_an_address_of_ones_own_choice(shell, my_bridge):
    shell("sandbox", "create", "c4")
    shell(
        *("network", "connect", "--ip", "10.20.30.77", "--mac=02:00:00:00:00:77", "--name", "ep"),
        *("--alias", "web,db", "--alias=www", "--interface", "lan0", my_bridge[:6], "c4"),
    )
    assert inside("c4").addresses("lan0") == ["10.20.30.77/24"]
    assert inside("c4").link("lan0")["address"] == "02:00:00:00:00:77"
    shown = shell.inspect("sandbox", "c4")["Networks"]["my_bridge"]
    assert (shown["Aliases"], shown["Name"]) == (["web", "db", "www"], "ep")
    shell("sandbox", "create", "c5")
    sentence = shell.fails("network", "connect", "--ip=10.20.30.77", "my_bridge", "c5")
    assert "10.20.30.77" in sentence


@pytest.mark.usefixtures("my_bridge")
def test_c1_on_bridge_cannot_reach_them(shell):
    shell("sandbox", "create", "c1")
    shell("sandbox", "create", "c2")
    shell("network", "connect", "bridge", "c1")
    shell("network", "connect", "my_bridge", "c2")
    assert inside("c1").ping("172.17.0.1")
    assert not inside("c1").ping("10.20.30.2", patience=0.3)


# S6


@pytest.mark.usefixtures("my_bridge")
def test_connected_and_disconnected_while_it_runs(shell, host):
    route = "10.60.0.0/16 via 10.40.0.9"
    shell("network", "create", "--subnet", "10.40.0.0/24", "--route", route, "blue")
    assert shell.inspect("network", "blue")["Routes"] == [route]
    with shell.running("run", "--name", "c2", "--net", "my_bridge", "sh", "-c", "echo up; cat"):
        shell("network", "connect", "--gw-priority", "10", "--rate", "8mbit",
              "--route", "10.61.0.0/16,10.40.0.9,5", "blue", "c2")  # fmt: skip
        shown = shell.inspect("sandbox", "c2")["Networks"]["blue"]
        assert shown["Rate"] == "8mbit"
        assert shown["Routes"] == ["10.61.0.0/16 via 10.40.0.9 metric 5"]
        box = inside("c2")
        assert box.interfaces() == ["eth0", "eth1", "lo"]
        assert box.addresses("eth1") == ["10.40.0.2/24"]
        assert [r["gateway"] for r in box.routes() if r["dst"] == "default"] == ["10.40.0.1"]
        ways = [r["dst"] for r in box.routes() if r.get("gateway") == "10.40.0.9"]
        assert ways == ["10.60.0.0/16", "10.61.0.0/16"]
        shell("network", "disconnect", "blue", "c2")
        assert box.interfaces() == ["eth0", "lo"]
        assert [r["gateway"] for r in box.routes() if r["dst"] == "default"] == ["10.20.30.1"]
        assert shell.inspect("network", "blue")["Containers"] == {}
        bridge = f"br-{shell.inspect('network', 'blue')['Id'][:12]}"
        ports = [each["ifname"] for each in host.ip("link") if each.get("master") == bridge]
        assert ports == []
        assert "not connected" in shell.fails("network", "disconnect", "blue", "c2")
        assert shell("network", "disconnect", "--force", "blue", "c2") == ""
    assert shell("check") == ""


# Docker's flags


def test_every_flag_of_create(shell):
    shell(
        *("network", "create", "-dbridge", "--attachable", "--internal=true"),
        *("--subnet", "10.30.0.0/16,fd00:30::/64", "--gateway", "10.30.0.9"),
        *("--gateway=fd00:30::9", "--ip-range=10.30.5.0/24", "--aux-address", "router=10.30.5.1"),
        *("--ipv4=true", "--ipv6", "--label", "tier=front", "--label", "bare", "-o"),
        *("com.docker.network.bridge.name=red0", "--ipam-driver", "default", "red"),
    )
    shown = shell.inspect("network", "red")
    del shown["Id"], shown["Created"]
    assert shown == {
        "Name": "red",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [
                {
                    "Subnet": "10.30.0.0/16",
                    "IPRange": "10.30.5.0/24",
                    "Gateway": "10.30.0.9",
                    "AuxiliaryAddresses": {"router": "10.30.5.1"},
                },
                {"Subnet": "fd00:30::/64", "Gateway": "fd00:30::9"},
            ],
        },
        "Internal": True,
        "Attachable": True,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {"com.docker.network.bridge.name": "red0"},
        "Labels": {"tier": "front", "bare": ""},
    }


def test_ipv6_alone(shell):
    shell("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:31::/64", "six")
    shown = shell.inspect("network", "six")
    assert (shown["EnableIPv4"], shown["EnableIPv6"]) == (False, True)


def test_flags_of_connect(shell):
    shell("network", "create", "--subnet", "10.30.0.0/24", "--subnet=fd00:30::/64", "red")
    shell("sandbox", "create", "c1")
    shell(
        *("network", "connect", "--ip6", "fd00:30::7", "--link-local-ip", "169.254.7.7"),
        *("--driver-opt", "com.docker.network.endpoint.ifname=lan0", "--gw-priority=-3"),
        *("red", "c1"),
    )
    shown = shell.inspect("sandbox", "c1")["Networks"]["red"]
    assert shown["GlobalIPv6Address"] == "fd00:30::7"
    assert shown["LinkLocalIPs"] == ["169.254.7.7"]
    assert (shown["Interface"], shown["GwPriority"]) == ("lan0", -3)
    assert any(text.startswith("169.254.7.7/") for text in inside("c1").addresses("lan0"))


def test_dry_run_shows_the_commands_and_does_nothing(shell, host):
    before = host.picture()
    shown = shell("network", "create", "--dry-run", "--subnet", "10.30.0.0/24", "red")
    assert re.search(r"^ip link add name br-[0-9a-f]{12} .*type bridge", shown, re.MULTILINE)
    assert re.search(r"^ip address add 10\.30\.0\.1/24 dev br-", shown, re.MULTILINE)
    assert host.picture() == before
    assert "not found" in shell.fails("network", "inspect", "red")


# inspect, rm, prune, rename


def test_s15_the_line_of_the_notes(shell):
    quoted = " ".join(shell.argv)
    done = subprocess.run(
        ["sh", "-c", f"{quoted} network inspect bridge | grep bridge.name"],
        env=shell.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == '            "com.docker.network.bridge.name": "cnm0",\n'


def test_inspect_is_a_list_of_what_there_is(shell, my_bridge):
    done = shell.do("network", "inspect", "bridge", "nowhere", "my_bridge", "none/such")
    assert done.returncode == 1
    assert [each["Name"] for each in json.loads(done.stdout)] == ["bridge", "my_bridge"]
    assert done.stdout.startswith('[\n    {\n        "Name": "bridge",\n')
    complaints = done.stderr.splitlines()
    assert [line[:5] for line in complaints] == ["cnm: ", "cnm: "]
    assert "nowhere not found" in complaints[0]
    (line,) = shell("network", "inspect", "-f", "json", "my_bridge").splitlines()
    assert json.loads(line)[0]["Id"] == my_bridge
    assert line.startswith('[{"Name":"my_bridge","Id":"')
    assert shell.do("network", "inspect", "nowhere").stdout == "[]\n"


@pytest.mark.usefixtures("my_bridge")
def test_rm_goes_on_after_a_failure(shell):
    shell("network", "create", "blue")
    done = shell.do("network", "rm", "my_bridge", "nowhere", "bridge", "blue")
    assert (done.returncode, done.stdout) == (1, "my_bridge\nblue\n")
    first, second = done.stderr.splitlines()
    assert "nowhere not found" in first
    assert "pre-defined" in second
    assert shell("network", "rm", "--force", "nowhere") == ""


@pytest.mark.usefixtures("my_bridge")
def test_rm_refuses_a_network_in_use(shell):
    shell("sandbox", "create", "c2")
    shell("network", "connect", "my_bridge", "c2")
    assert "c2" in shell.fails("network", "rm", "my_bridge")
    assert "c2" in shell.fails("network", "rm", "-f", "my_bridge")


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", 0)]
)
@pytest.mark.usefixtures("my_bridge")
def test_prune_asks(shell, answer, agreed):
    question = (
        "WARNING! This will remove all custom networks not used by at least one sandbox.\n"
        "Are you sure you want to continue? [y/N] "
    )
    removed = "Deleted Networks:\nmy_bridge\n\n" if agreed else ""
    assert shell("network", "prune", text=answer) == question + removed


@pytest.mark.usefixtures("my_bridge")
def test_prune_keeps_what_is_used(shell):
    shell("network", "create", "--label", "old", "blue")
    shell("network", "create", "green")
    shell("sandbox", "create", "c2")
    shell("network", "connect", "my_bridge", "c2")
    assert shell("network", "prune", "-f", "--filter", "label=old") == (
        "Deleted Networks:\nblue\n\n"
    )
    assert shell("network", "prune", "-f") == "Deleted Networks:\ngreen\n\n"
    assert shell("network", "prune", "-f") == ""


def test_rename(shell, my_bridge):
    assert shell("network", "rename", "my_bridge", "blue") == ""
    assert shell.inspect("network", "blue")["Id"] == my_bridge
    assert "pre-defined" in shell.fails("network", "rename", "bridge", "other")


# configure


MTU = "com.docker.network.driver.mtu"


def test_a_network_is_changed_live(shell, my_bridge, host):
    shell("network", "configure", "--subnet", "10.20.31.0/24", "--label", "a=1", "my_bridge")
    shell("sandbox", "create", "c2")
    shell("network", "connect", "my_bridge", "c2")
    shell("network", "configure", "-o", f"{MTU}=1400", "--label=b=2", "--label-rm=a", "my_bridge")
    assert host.link(f"br-{my_bridge[:12]}")["mtu"] == inside("c2").link("eth0")["mtu"] == 1400
    shown = shell.inspect("network", "my_bridge")
    assert shown["IPAM"]["Config"][0]["Subnet"] == "10.20.31.0/24"
    assert (shown["Labels"], shown["Options"]) == ({"b": "2"}, {MTU: "1400"})
    shell("network", "configure", "--opt-rm", MTU, "my_bridge")
    assert inside("c2").link("eth0")["mtu"] == 1500
    shell("network", "configure", "--route", "10.9.0.0/16 via 10.20.31.7", "my_bridge")
    assert "10.9.0.0/16" in inside("c2").run("ip", "route")
    shell("network", "configure", "--route", "", "my_bridge")
    assert "10.9.0.0/16" not in inside("c2").run("ip", "route")
    assert "would cut them off" in shell.fails(
        "network", "configure", "--subnet=10.20.32.0/24", "my_bridge"
    )
    assert shell("check") == ""


def test_an_endpoint_is_changed_live(shell, my_bridge, host):
    shell("sandbox", "create", "c2")
    shell("network", "connect", "my_bridge", "c2")
    (port,) = [link["ifname"] for link in host.ip("link", "show", "type", "veth")]
    queue = ("tc", "qdisc", "show", "dev", port)
    shell("network", "configure", "--rate", "2mbit", "--alias=web,www", "my_bridge", "c2")
    assert "rate 2Mbit" in host.run(*queue)
    assert "10.20.30.2" in shell("resolve", "web")
    shell("network", "configure", "--ip=10.20.30.9", "--rate=", "my_bridge", "c2")
    assert "tbf" not in host.run(*queue)
    assert inside("c2").addresses("eth0") == ["10.20.30.9/24"]
    assert shell("check") == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("my_bridge",), "nothing is to change"),
        (("--rate=1mbit", "my_bridge"), "--rate is about an endpoint; name the sandbox, too"),
        (("--subnet=10.1.0.0/24", "my_bridge", "c2"), "--subnet is about the network; leave out"),
        (("--opt-rm=x", "my_bridge", "c2"), "--opt-rm is about the network; leave out the sandbox"),
    ],
)
def test_what_makes_no_sense_is_said(fresh, words, said):
    assert said in fresh.fails("network", "configure", *words, status=2)
    assert not fresh.state.exists()


# Sandboxes


def test_a_sandbox_with_everything(shell):
    identity = shell(
        *("sandbox", "create", "--hostname", "web1", "--dns", "192.0.2.53", "--dns=192.0.2.54"),
        *("--dns-search", "example.test", "--dns-option", "ndots:1"),
        *("--add-host", "db:192.0.2.7", "--label", "tier=front", "c1"),
    ).strip()
    shown = shell.inspect("sandbox", "c1")
    assert shown["Id"] == identity
    assert shown["Hostname"] == "web1"
    assert (shown["Dns"], shown["DnsSearch"]) == (["192.0.2.53", "192.0.2.54"], ["example.test"])
    assert (shown["DnsOptions"], shown["ExtraHosts"]) == (["ndots:1"], ["db:192.0.2.7"])
    assert shown["Labels"] == {"tier": "front"}
    assert "nameserver 192.0.2.53" in shell("exec", "c1", "cat", "/etc/resolv.conf")
    shell("network", "connect", "bridge", "c1")
    assert shell("sandbox", "ls") == (
        "SANDBOX ID     NAME      STATE     NETWORKS\n"
        f"{identity[:12]}   c1        up        bridge\n"
    )
    assert shell("sandbox", "ls", "-q", "--no-trunc").strip() == identity
    listed = json.loads(shell("sandbox", "ls", "--format", "json"))
    assert (listed["Networks"], listed["SandboxKey"]) == ("bridge", "/run/netns/c1")
    assert "c9 not found" in shell.fails("sandbox", "rm", "c9")
    assert shell("sandbox", "rm", "-f", "c9", "c1") == "c1\n"
    assert shell("sandbox", "ls") == "SANDBOX ID   NAME      STATE     NETWORKS\n"


@pytest.mark.parametrize("how", ["name", "path", "pid"])
def test_a_namespace_is_adopted_and_stays(shell, machine, how):
    far = machine("far")
    with far.popen("sleep", "100") as sleeper:
        given = {"name": "far", "path": str(far.key), "pid": str(sleeper.pid)}[how]
        shell("sandbox", "create", "--netns", given, "c1")
        shell("network", "connect", "bridge", "c1")
        assert far.addresses("eth0") == ["172.17.0.2/16"]
        shell("sandbox", "rm", "c1")
        sleeper.kill()
    assert Path(far.key).exists()
    assert far.interfaces() == ["lo"]


# Where things are


def test_state_and_host_by_flag_and_by_pid(shell, machine, tmp_path):
    other = machine("h2")
    with other.popen("sleep", "100") as sleeper:
        words = ("--state-dir", str(tmp_path / "other"), f"--host={sleeper.pid}")
        shell("network", "create", *words, "--subnet", "10.50.0.0/24", "far")
        assert [r["dst"] for r in other.routes()] == ["10.50.0.0/24"]
        assert "far" in shell(*words, "network", "ls")
        assert "far" not in shell("network", "ls")
        shell("network", *words, "rm", "far")
        sleeper.kill()
    assert "h9" in shell.fails("--host", "h9", "network", "ls")
    assert "/dev/null/state" in shell.fails("--state-dir", "/dev/null/state", "network", "ls")


@pytest.mark.usefixtures("my_bridge")
def test_many_at_once(shell):
    def started(number):
        name = f"c{number}"
        return shell("run", "--rm", "--name", name, "--net", "my_bridge", "hostname", "-I").strip()

    with ThreadPoolExecutor(6) as pool:
        addresses = list(pool.map(started, range(12)))
    assert all(address.startswith("10.20.30.") for address in addresses)
    assert shell.sandboxes() == []
    assert shell.inspect("network", "my_bridge")["Containers"] == {}


# Bad input

LONG = "n" * 300
BAD = [
    # What makes no sense at all
    (2, "bogus"),
    (2, "network", "bogus"),
    (2, "network", "create"),
    (2, "network", "create", "a", "b"),
    (2, "network", "create", "--bogus", "a"),
    (2, "network", "create", "-x", "a"),
    (2, "network", "create", "a", "--subnet"),
    (2, "network", "create", "--internal=perhaps", "a"),
    (2, "network", "create", "--ipv6", "false", "a"),
    (2, "network", "connect", "bridge"),
    (2, "network", "connect", "--gw-priority", "high", "bridge", "c1"),
    (2, "network", "connect", "--gw-priority", "9" * 30, "bridge", "c1"),
    (2, "network", "ls", "extra"),
    (2, "network", "ls", "-f", "bridge"),
    (2, "network", "ls", "--format", "{{.Name}}"),
    (2, "network", "ls", "--format", "table {{.Name}}"),
    (2, "network", "ls", "--format", ""),
    (2, "network", "inspect"),
    (2, "network", "inspect", "--format", "{{.Id}}", "bridge"),
    (2, "sandbox", "rm"),
    (2, "explain"),
    (2, "explain", "cheese", "bridge"),
    (2, "explain", "network", "bridge", "c1"),
    (2, "completion", "fish"),
    (2, "--state-dir"),
    # What isn't there, or can't be
    (1, "network", "create", ""),
    (1, "network", "create", "a/b"),
    (1, "network", "create", "--", "-a"),
    (1, "network", "create", LONG),
    (1, "network", "create", "mạng"),
    (1, "network", "create", "a\nb"),
    (1, "network", "create", "a\x1b[31mb"),
    (1, "network", "create", "bridge"),
    (1, "network", "create", "my_bridge"),
    (1, "network", "create", "--driver", "bogus", "a"),
    (1, "network", "create", "--driver", "", "a"),
    (1, "network", "create", "--driver", "host", "a"),
    (1, "network", "create", "--ipam-driver", "bogus", "a"),
    (1, "network", "create", "--ipam-opt", "=x", "a"),
    (1, "network", "create", "--subnet", "10.0.0.0/33", "a"),
    (1, "network", "create", "--subnet", "10.0.0.1/24", "a"),
    (1, "network", "create", "--subnet", "224.0.0.0/24", "a"),
    (1, "network", "create", "--subnet", "", "a"),
    (1, "network", "create", "--subnet", "10.1.0.0/16,10.1.2.0/24", "a"),
    (1, "network", "create", "--subnet", "10.20.30.0/25", "a"),
    (1, "network", "create", "--gateway", "10.1.0.1", "a"),
    (1, "network", "create", "--subnet", "10.1.0.0/24", "--gateway", "10.2.0.1", "a"),
    (1, "network", "create", "--subnet", "10.1.0.0/24", "--ip-range", "10.1.0.0/23", "a"),
    (1, "network", "create", "--subnet", "10.1.0.0/24", "--aux-address", "host1", "a"),
    (1, "network", "create", "-o", "com.docker.network.bridge.enable_icc=maybe", "a"),
    (1, "network", "create", "-o", "com.docker.network.bridge.enable_ic=true", "a"),
    (1, "network", "create", "-o", "com.docker.network.bridge.name=sixteen-letters-", "a"),
    (1, "network", "create", "--label", "=x", "a"),
    (1, "network", "create", "--parent", "no/such", "a"),
    (1, "network", "connect", "nowhere", "c1"),
    (1, "network", "connect", "bridge", "nobody"),
    (1, "network", "connect", "my_bridge", "c1"),
    (1, "network", "connect", "--ip", "10.20.30.300", "bridge", "c1"),
    (1, "network", "connect", "--ip", "10.9.9.9", "bridge", "c1"),
    (1, "network", "connect", "--ip6", "fd00::1", "bridge", "c1"),
    (1, "network", "connect", "--mac", "01:00:00:00:00:01", "bridge", "c1"),
    (1, "network", "connect", "--mac", "02:00", "bridge", "c1"),
    (1, "network", "connect", "--interface", "sixteen-letters-", "bridge", "c1"),
    (1, "network", "connect", "--alias", "-", "bridge", "c1"),
    (1, "network", "connect", "-p", "0", "bridge", "c1"),
    (1, "network", "connect", "-p", "65536:80", "bridge", "c1"),
    (1, "network", "connect", "-p", "90-80:80", "bridge", "c1"),
    (1, "network", "connect", "--driver-opt", "bogus=1", "bridge", "c1"),
    (1, "network", "disconnect", "bridge", "c1"),
    (1, "network", "publish", "bridge", "c1", "8080:80"),
    (1, "network", "rm", "nowhere"),
    (1, "network", "rm", "host"),
    (1, "network", "ls", "-f", "colour=red"),
    (1, "network", "ls", "-f", "dangling=perhaps"),
    (1, "network", "ls", "-f", "name=["),
    (1, "network", "rename", "my_bridge", "none"),
    (1, "sandbox", "create", "c1"),
    (1, "sandbox", "create", "--netns", "nowhere", "c9"),
    (1, "sandbox", "create", "--netns", "99999999999999999999", "c9"),
    (1, "sandbox", "create", "--dns", "resolver", "c9"),
    (1, "sandbox", "create", "--add-host", "db", "c9"),
    (1, "sandbox", "create", "--dns-option", "two words", "c9"),
    (1, "sandbox", "create", "-h", "-", "c9"),
    (1, "sandbox", "inspect", "nobody"),
    (1, "explain", "nothing"),
    (1, "explain", "endpoint", "nothing"),
    (1, "explain", "nowhere/c1"),
    (1, "--host", "", "network", "ls"),
    (1, "--host", "nowhere", "network", "ls"),
    (1, "--state-dir", "", "network", "ls"),
    # `run` and `exec` keep 1 and 2 for the command
    (125, "run"),
    (125, "run", "--bogus", "true"),
    (125, "run", "--net", "nowhere", "true"),
    (125, "run", "--net", "container:c1", "true"),
    (125, "run", "--net", "my_bridge", "--net", "my_bridge", "true"),
    (125, "run", "--net", "host", "--net", "my_bridge", "true"),
    (125, "run", "--net", "name=my_bridge,colour=red", "true"),
    (125, "run", "--net", "ip=10.20.30.9", "true"),
    (125, "run", "--net", "name=my_bridge,gw-priority=x", "true"),
    (125, "run", "--net", "name=my_bridge,ip=10.20.30.9", "--ip", "10.20.30.8", "true"),
    (125, "run", "--name", "c1", "true"),
    (125, "run", "--name", "", "true"),
    (125, "run", "--ip", "10.9.9.9", "true"),
    (125, "exec", "c1"),
    (125, "exec", "nobody", "true"),
]


@pytest.fixture
def called(shell, monkeypatch, capsys):
    """Calls `main` in this process, which takes a twentieth of the time."""
    for key in ("CNM_STATE_DIR", "CNM_HOST"):
        monkeypatch.setenv(key, shell.environment[key])

    def call(*words):
        status = main(words)
        return status, *capsys.readouterr()

    return call


@pytest.mark.usefixtures("my_bridge")
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(shell, called, host):
    """In one test, for the making of a host takes longer than a refusal."""
    shell("sandbox", "create", "c1")
    shell("network", "connect", "my_bridge", "c1")
    before, state = host.picture(), shell("network", "ls")
    for expected, *words in BAD:
        status, output, complaint = called(*words)
        assert status == expected, (words, output, complaint)
        assert output in {"", "[]\n"}, words
        assert complaint.startswith("cnm: "), words
        assert complaint.count("\n") == 1, complaint
        assert complaint[:-1].isprintable(), complaint
        assert 15 < len(complaint) < 500, complaint
    assert host.picture() == before
    assert shell("network", "ls") == state
    assert shell.sandboxes() == ["c1"]


def test_without_rights(shell):
    """Root that lost its capabilities: files can be read, and the kernel says no."""
    no_rights = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    for words in (["network", "create", "a"], ["sandbox", "create", "c1"]):
        done = subprocess.run(
            [*no_rights, sys.executable, "-m", "pycnm", *words],
            env=shell.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert re.fullmatch("cnm: .*root.*\n", done.stderr), done.stderr
    assert shell.sandboxes() == []


# Output that nobody reads, or that doesn't fit


def test_a_reader_that_has_gone_is_no_news(shell):
    with shell.popen("network", "ls") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_full_disk_is(shell):
    with Path("/dev/full").open("w") as full, shell.popen("network", "ls", stdout=full) as process:
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (1, "cnm: No space left on device\n")


def test_the_default_network_has_ipv6_if_the_environment_says_so(shell):
    assert shell.inspect("network", "bridge")["EnableIPv6"] is False
    shell("network", "ls", env={"CNM_IPV6": "1"})
    found = shell.inspect("network", "bridge")
    assert found["EnableIPv6"] is True
    assert len(found["IPAM"]["Config"]) == 2
    shell("network", "ls", env={"CNM_IPV6": ""})
    sentence = shell.fails("network", "ls", env={"CNM_IPV6": "yes"})
    assert sentence == "invalid CNM_IPV6 yes: it should be 1 or 0"
    shell("network", "ls", env={"CNM_IPV6": "0"})
    assert shell.inspect("network", "bridge")["EnableIPv6"] is False


def test_a_sandbox_is_the_gateway(shell):
    gateway = "DefaultGatewayIPv4=10.8.0.254"
    shell("network", "create", "--internal", "--subnet", "10.8.0.0/24", "--aux-address", gateway,
          "led")  # fmt: skip
    shell("network", "create", "--subnet", "10.9.0.0/24", "way")
    shell(
        *("run", "--name", "r", "--net", "name=led,ip=10.8.0.254,forwarding=true"),
        *("--net", "name=way,route=10.60.0.0/16 via 10.9.0.9,forwarding=false", "true"),
    )
    shell("network", "disconnect", "way", "r")
    shell("network", "connect", "--forwarding", "way", "r")
    ends = shell.inspect("sandbox", "r")["Networks"]
    assert [each["Forwarding"] for each in ends.values()] == [True, True]
    shell("run", "--name", "c1", "--net", "led", "true")
    shell("run", "--name", "c2", "--net", "way", "--route", "10.8.0.0/24 via 10.9.0.2", "true")
    assert inside("c1").ping("10.9.0.3")
    said = shell.fails("network", "connect", "--ip", "10.8.0.254", "led", "c2")
    assert "is endpoint r's, the gateway of network led" in said
    assert shell("check") == ""
