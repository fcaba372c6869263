"""What people do with docker in their notes, typed into a shell on the mounted tree.

The machine is the host h1, at 192.0.2.1; `outside` is its neighbour 192.0.2.66. What is seen
is seen by packets and by the kernel.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import tours
from lives import BINDINGS, PATIENCE
from topology import IMPATIENCE, RUN_NETNS, until

HOST, FAR = "192.0.2.1", "192.0.2.66"
ONE = pytest.mark.parametrize("life", ["mfusepy"], indirect=True)
BOTH = pytest.mark.parametrize("life", BINDINGS, indirect=True)
# The words of the notes; what stands before a command says where it is typed.
WORDS = 'on() { ip netns exec "$@"; }'


class Notes:
    """A shell in the root of the mounted tree."""

    def __init__(self, life):
        self.life = life
        self.root = life.start()
        self.env = tours.with_command(life.directory) | {
            "CNM_STATE_DIR": str(life.state), "CNM_HOST": life.host.name, "LC_ALL": "C",
        }  # fmt: skip

    def run(self, script):
        """What becomes of lines that are typed."""
        return subprocess.run(
            ["bash", "-c", f"set -e; {WORDS}\n{script}"], cwd=self.root, env=self.env,
            capture_output=True, text=True, check=False, timeout=3 * PATIENCE,
            start_new_session=True,
        )  # fmt: skip

    def __call__(self, script):
        """What lines print that must succeed, with nothing to complain about."""
        done = self.run(script)
        assert (done.returncode, done.stderr) == (0, ""), (script, done, self.errors())
        return done.stdout

    def json(self, script):
        return json.loads(self(script))

    def fails(self, script, words):
        """The reason of a line that must fail, with the words of its program."""
        done = self.run(f"{script}\n")
        assert done.returncode == 1, done
        assert words in done.stderr
        return self.errors()[-1]

    def errors(self):
        return (self.root / "error_log").read_text().splitlines()


@pytest.fixture
def notes(life, outside):
    made = Notes(life)
    yield made
    end_servers(made)


def end_servers(notes):
    for name in os.listdir(RUN_NETNS):
        for pid in notes(f"ip netns pids {name}").split():
            if Path(f"/proc/{pid}/comm").read_text() == "busybox\n":
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def my_bridge(notes):
    return two(notes)


def two(notes):
    """Network my_bridge with c2 and c3 on it."""
    notes("""
        mkdir networks/my_bridge
        echo 10.20.30.0/24 > networks/my_bridge/subnet
        mkdir sandboxes/c2 sandboxes/c3
        mkdir sandboxes/c2/endpoints/my_bridge
        ln -s ../../../sandboxes/c3 networks/my_bridge/endpoints/c3
    """)
    return notes


def get(place, address):
    """The line that has a page of a web server."""
    return f"on {place} timeout 5 busybox wget -q -O - http://{address}"


def web(notes, name, port=80):
    """Has a sandbox serve a page with its name."""
    notes(f"""
        mkdir -p {notes.life.directory}/{name}
        echo I am {name} > {notes.life.directory}/{name}/index.html
        on {name} busybox httpd -p {port} -h {notes.life.directory}/{name}
    """)


# 1.3 and 3.1: the networks that are always there


@ONE
def test_s1_the_first_start(notes, outside):
    before = notes.life.host.picture()
    listing = notes("for n in networks/*; do echo ${n#*/} $(cat $n/driver $n/scope); done")
    assert listing == "bridge bridge local\nhost host local\nnone null local\n"
    assert re.fullmatch(r"([0-9a-f]{64}\n){3}", notes("cat networks/*/id"))
    assert notes("cat networks/bridge/subnet; ls sandboxes") == "172.17.0.0/16\n"
    assert notes.life.host.picture() == before
    notes("mkdir sandboxes/c1 sandboxes/c1/endpoints/bridge")
    assert notes.json("on h1 ip -j address show cnm0")[0]["addr_info"][0]["local"] == "172.17.0.1"
    notes("rmdir sandboxes/c1/endpoints/bridge sandboxes/c1")
    assert until(lambda: notes.life.host.picture() == before)


@ONE
def test_s1_a_subnet_that_clashes_with_no_route(life, outside):
    life.host.batch("address add 172.17.255.9/24 dev eth0")
    notes = Notes(life)
    notes("mkdir sandboxes/c1 sandboxes/c1/endpoints/bridge")
    assert notes("cat sandboxes/c1/endpoints/bridge/ip") == "172.18.0.2\n"
    assert notes("cat networks/bridge/subnet") == "172.18.0.0/16\n"


# 2: the network `host`


@ONE
def test_s2_host(notes):
    before = notes.life.host.picture()
    notes("""
        echo '{"sandboxes": {"C1": {"netns": "host"}, "C2": {"netns": "host"}}}' > apply
        mkdir sandboxes/C1/endpoints/host sandboxes/C2/endpoints/host
    """)
    assert notes("cnm exec C1 -- ip -br link") == notes("on h1 ip -br link")
    assert notes("cnm exec C1 -- ip route") == notes("on h1 ip route")
    assert json.loads(notes("cat sandboxes/C1/interfaces"))[-1]["ifname"] == "eth0"
    assert notes("ls networks/host/endpoints") == "C1\nC2\n"
    notes("cnm exec C1 -- busybox httpd -p 80 -h /usr/share/common-licenses")
    assert "GNU" in notes(get("outside", f"{HOST}/GPL-3"))
    done = notes.run("cnm exec C2 -- busybox httpd -p 80 -h /")
    assert "Address already in use" in done.stderr
    end_servers(notes)
    notes("rmdir sandboxes/C?/endpoints/host sandboxes/C?")
    assert until(lambda: notes.life.host.picture() == before)


# 1.2: the network `none`


@ONE
def test_s3_none(notes):
    notes("mkdir sandboxes/c sandboxes/c/endpoints/none")
    assert [link["ifname"] for link in notes.json("on c ip -j link")] == ["lo"]
    assert [link["ifname"] for link in notes.json("cat sandboxes/c/interfaces")] == ["lo"]
    assert notes("cd sandboxes/c/endpoints/none; cat ip ip6 mac gateway interface") == ""
    assert notes.run(f"on c ping -c1 -W1 {HOST}").returncode != 0
    assert "EOPNOTSUPP" in notes.fails("mkdir sandboxes/c/endpoints/bridge", "not supported")


# 3.1: the default network


@ONE
def test_s4_the_default_network(notes):
    notes("mkdir sandboxes/c1; mkdir sandboxes/c1/endpoints/bridge")
    inside = notes("on c1 ip address show eth0")
    assert "link/ether 02:42:ac:11:00:02" in inside
    assert "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0" in inside
    routes = notes("on c1 ip route").splitlines()
    assert [line.split(" proto")[0].strip() for line in routes] == [
        "default via 172.17.0.1 dev eth0", "172.17.0.0/16 dev eth0",
    ]  # fmt: skip
    assert routes[1].strip().endswith("src 172.17.0.2")
    # Outside it, a veth whose master is cnm0.
    (link,) = notes.json("on h1 ip -j -d link show master cnm0")
    assert link["linkinfo"]["info_kind"] == "veth"
    assert notes("cat sandboxes/c1/endpoints/bridge/host_interface") == f"{link['ifname']}\n"
    assert notes("on c1 ping -q -c1 172.17.0.1").count(" 0% packet loss") == 1
    shown = [notes(f"cat sandboxes/c1/endpoints/bridge/{n}") for n in ("ip", "mac", "gateway")]
    assert shown == ["172.17.0.2\n", "02:42:ac:11:00:02\n", "172.17.0.1\n"]


# 3.2: networks of one's own


@BOTH
def test_s5_a_network_of_ones_own(my_bridge):
    notes = my_bridge
    listing = notes("for n in networks/*; do echo ${n#*/} $(cat $n/driver $n/scope); done")
    assert "my_bridge bridge local\n" in listing
    bridge = notes("cat networks/my_bridge/interface").strip()
    assert bridge == "br-" + notes("cut -c1-12 networks/my_bridge/id").strip()
    (link,) = notes.json(f"on h1 ip -j address show {bridge}")
    assert (link["addr_info"][0]["local"], link["addr_info"][0]["prefixlen"]) == ("10.20.30.1", 24)
    assert notes("cat sandboxes/c?/endpoints/my_bridge/ip") == "10.20.30.2\n10.20.30.3\n"
    assert "3 received" in notes("on c2 ping -i .2 -c 3 10.20.30.3")
    assert "1 received" in notes("on c3 ping -c 1 10.20.30.2")
    # By name; and with an alias, and an address of its own choice.
    notes("""
        echo web > sandboxes/c3/endpoints/my_bridge/aliases
        echo 10.20.30.77 > sandboxes/c3/endpoints/my_bridge/ip
        cnm exec c2 -- ping -q -c1 c3 >/dev/null
    """)
    assert "web (10.20.30.77)" in notes("cnm exec c2 -- ping -c1 web")
    assert "10.20.30.77/24" in notes("on c3 ip address")
    # c1, on another network, gets to none of them.
    notes("mkdir sandboxes/c1 sandboxes/c1/endpoints/bridge")
    for address in ("10.20.30.2", "10.20.30.77"):
        assert not notes.life.box("c1").ping(address, IMPATIENCE)
    assert not notes.life.box("c2").ping("172.17.0.2", IMPATIENCE)


@ONE
def test_s6_two_networks_while_it_runs(my_bridge):
    notes = my_bridge
    web(notes, "c2")
    before = notes.life.host.picture()
    notes("""
        mkdir sandboxes/c1 sandboxes/c1/endpoints/bridge
        mkdir sandboxes/c2/endpoints/bridge
    """)
    assert notes("cat sandboxes/c2/endpoints/*/interface") == "eth1\neth0\n"
    # It is on both, without being started anew.
    assert notes(get("c1", "172.17.0.3")) == "I am c2\n"
    assert notes(get("c3", "10.20.30.2")) == "I am c2\n"
    assert "via 172.17.0.1 dev eth1" in notes("on c2 ip route show default")
    notes("echo 7 > sandboxes/c2/endpoints/my_bridge/gateway_priority")
    assert "via 10.20.30.1 dev eth0" in notes("on c2 ip route show default")
    notes("""
        echo 0 > sandboxes/c2/endpoints/my_bridge/gateway_priority
        rmdir sandboxes/c2/endpoints/bridge sandboxes/c1/endpoints/bridge sandboxes/c1
    """)
    assert [link["ifname"] for link in notes.json("on c2 ip -j link")] == ["lo", "eth0"]
    assert "via 10.20.30.1 dev eth0" in notes("on c2 ip route show default")
    assert until(lambda: notes.life.host.picture() == before)


# 3.3: the way out and the way in


@ONE
def test_s7_the_way_out(notes, outside):
    notes("on h1 sysctl -q -w net.ipv4.ip_local_port_range='40000 40100'")
    two(notes)
    with outside.capture("eth0", "icmp or tcp or udp") as seen, outside.serve("7/udp", "80/tcp"):
        notes(f"on c2 ping -q -c1 {FAR}")
        assert seen.find(rf" {HOST} > {FAR}: ICMP echo request")
        box = notes.life.box("c2")
        for port, protocol in ((80, "tcp"), (7, "udp")):
            answer = box.ask(FAR, port, protocol)
            assert answer.peer == HOST
            assert 40000 <= answer.peer_port <= 40100
    assert not [line for line in seen.lines if "10.20.30." in line]


@ONE
def test_s7_the_way_out_with_ipv6(notes, outside):
    notes("""
        mkdir networks/six sandboxes/c6
        printf 'fd00:6::/64\\n10.6.0.0/24\\n' > networks/six/subnet
        mkdir sandboxes/c6/endpoints/six
    """)
    assert notes("cat sandboxes/c6/endpoints/six/ip6") == "fd00:6::2\n"
    with outside.capture("eth0", "icmp6") as seen:
        notes("on c6 ping -q -c1 2001:db8::66")
        assert seen.find(r" 2001:db8::1 > 2001:db8::66: ICMP6, echo request")


@BOTH
def test_s8_the_way_in(my_bridge, outside):
    notes = my_bridge
    web(notes, "c3")
    notes("""
        mkdir sandboxes/c1 sandboxes/c1/endpoints/bridge
        echo 8080:80 > sandboxes/c3/endpoints/my_bridge/publish
    """)
    assert notes("cat networks/my_bridge/publish") == "c3 0.0.0.0:8080:80\n"
    for place, address in (
        ("outside", HOST), ("h1", HOST), ("h1", "127.0.0.1"), ("c1", HOST), ("c2", HOST),
        ("c3", HOST), ("c3", "10.20.30.1"),
    ):  # fmt: skip
        assert notes(get(place, f"{address}:8080")) == "I am c3\n", (place, address)
    assert outside.ask(HOST, 80, patience=IMPATIENCE) is None
    # Who comes second is told who has it; so are programs of the machine.
    words = notes.fails("echo 8080:80 > sandboxes/c2/endpoints/my_bridge/publish", "in use")
    assert " EADDRINUSE " in words
    assert "c3" in words
    assert "in use" in notes.run("on h1 busybox httpd -f -p 8080").stderr
    # It comes and goes while c3 runs.
    notes("""
        echo -8080:80 >> sandboxes/c3/endpoints/my_bridge/publish
        echo c3 127.0.0.1:8081:80 >> networks/my_bridge/publish
    """)
    assert outside.ask(HOST, 8080, patience=IMPATIENCE) is None
    assert notes(get("h1", "127.0.0.1:8081")) == "I am c3\n"
    assert outside.ask(HOST, 8081, patience=IMPATIENCE) is None
    notes(": > networks/my_bridge/publish")
    assert notes.run(get("h1", "127.0.0.1:8081")).returncode == 1


@ONE
def test_s8_protocols_ranges_and_random_ports(my_bridge, outside):
    notes = my_bridge
    notes("""
        printf '8053:53/udp\\n8000-8002:80-82\\n84\\n' > sandboxes/c3/endpoints/my_bridge/publish
    """)
    lines = notes("cat sandboxes/c3/endpoints/my_bridge/publish").splitlines()
    (chosen,) = (line.split(":")[1] for line in lines if line.endswith(":84"))
    assert sorted(set(lines) - {f"0.0.0.0:{chosen}:84"}) == [
        "0.0.0.0:8000:80", "0.0.0.0:8001:81", "0.0.0.0:8002:82", "0.0.0.0:8053:53/udp",
    ]  # fmt: skip
    with notes.life.box("c3").serve("53/udp", "80", "81", "82", "84"):
        assert outside.ask(HOST, 8053, "udp").peer == FAR
        for port in (8000, 8001, 8002, int(chosen)):
            assert outside.ask(HOST, port).server == "c3"


# 6: inspect


@ONE
def test_s15_inspect(notes, my_bridge):
    shown = notes("cat networks/bridge/inspect | grep bridge.name").strip()
    assert shown == '"com.docker.network.bridge.name": "cnm0",'
    inspected = notes.json("cat networks/my_bridge/inspect")
    assert list(inspected) == [
        "Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM", "Internal",
        "Attachable", "Ingress", "ConfigFrom", "ConfigOnly", "Containers", "Options", "Labels",
    ]  # fmt: skip
    assert inspected["IPAM"]["Config"] == [{"Subnet": "10.20.30.0/24", "Gateway": "10.20.30.1"}]
    assert {each["Name"]: each["IPv4Address"] for each in inspected["Containers"].values()} == {
        "c2": "10.20.30.2/24", "c3": "10.20.30.3/24",
    }  # fmt: skip
    assert notes.json("cnm network inspect my_bridge") == [inspected]


@BOTH
def test_s16_found_by_name_at_once(my_bridge):
    notes = my_bridge
    end = "sandboxes/c3/endpoints/my_bridge"
    # Right after each other, in the shell that made it.
    assert notes(f"""
        printf 'web\ndb\n' > {end}/aliases; on c2 getent hosts web
        on c2 busybox nslookup c3.my_bridge | grep '^Address: '
        on c2 dig +short DB
        on c3 dig +short -x 10.20.30.2
        echo 10.20.30.77 > {end}/ip; on c2 dig +short db
        mv networks/my_bridge networks/blue; on c2 dig +short web.blue
    """).split() == [
        "10.20.30.3", "web", "Address:", "10.20.30.3", "10.20.30.3", "c2.my_bridge.",
        "10.20.30.77", "10.20.30.77",
    ]  # fmt: skip
    short = notes("head -c 12 sandboxes/c3/id")
    assert notes("grep ^10.20.30.77 networks/blue/names").split() == [
        "10.20.30.77", "c3", "web", "db", short,
        *(f"{name}.blue" for name in ("c3", "web", "db", short)),
    ]  # fmt: skip
    assert notes("cnm resolve db.blue") == "10.20.30.77\n"
    assert notes("head -1 sandboxes/c2/resolv.conf") == "nameserver 127.0.0.11\n"
    # What was edited is shown as it is, and stays.
    notes("cnm exec c2 -- sh -c 'echo 192.0.2.7 printer >> /etc/hosts'")
    assert notes("tail -1 sandboxes/c2/hosts; on c2 getent hosts printer").split() == [
        "192.0.2.7", "printer", "192.0.2.7", "printer",
    ]  # fmt: skip
    assert notes("cat sandboxes/c2/check networks/blue/check") == ""
    notes(f"rmdir {end.replace('my_bridge', 'blue')}")
    assert notes("cat networks/blue/names; on c2 dig +short web").count("web") == 0


# 1.1: the sandbox


@BOTH
def test_s19_a_sandbox_can_be_read_and_outlives_the_mount(my_bridge):
    notes = my_bridge
    assert notes("readlink -f sandboxes/c2/key; cat sandboxes/c2/key").endswith("/run/netns/c2\n")
    assert "c2" in notes("ip netns")
    (route, *_) = notes.json("cat sandboxes/c2/routes")
    assert (route["dst"], route["gateway"], route["dev"]) == ("default", "10.20.30.1", "eth0")
    interfaces = {each["ifname"]: each for each in notes.json("cat sandboxes/c2/interfaces")}
    assert interfaces["eth0"]["address"] == "02:42:0a:14:1e:02"
    assert "10.20.30.2\tc2" in notes("cat sandboxes/c2/hosts")
    assert notes("cat sandboxes/c2/resolv.conf").startswith(("nameserver", "#", "search"))
    assert notes("cnm exec c2 -- cat /etc/hosts") == notes("cat sandboxes/c2/hosts")
    web(notes, "c3")
    notes("echo 8080:80 > sandboxes/c3/endpoints/my_bridge/publish")
    before = notes("cd sandboxes; cat c?/key c?/hosts c?/routes c?/endpoints/*/inspect")
    notes.life.end(notes.root)
    assert notes(get("h1", f"{HOST}:8080")) == "I am c3\n"
    notes.life.start()
    assert notes("cd sandboxes; cat c?/key c?/hosts c?/routes c?/endpoints/*/inspect") == before
    assert notes("cat networks/my_bridge/check sandboxes/*/check") == ""
    assert notes(get("h1", f"{HOST}:8080")) == "I am c3\n"
