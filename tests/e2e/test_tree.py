"""The tree: what is in it, what can be written, what is refused and how."""

from __future__ import annotations

import errno
import json
import os
import stat
from itertools import pairwise

import pytest

NET = "networks/net"


@pytest.fixture
def net(fs):
    fs.mkdir(NET)
    fs.write(f"{NET}/subnet", "10.20.30.0/24\n")
    return fs


@pytest.fixture
def pair(net):
    for name in ("c2", "c3"):
        net.mkdir(f"sandboxes/{name}")
        net.mkdir(f"sandboxes/{name}/endpoints/net")
    return net


def test_the_drivers_say_what_this_kernel_has(fs):
    said = fs.read("drivers/bridge/kernel").splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "ipv6", "early_guard", "force_forwarding", "bridge_vlan", "tbf", "netem",
    ]  # fmt: skip
    assert all(": yes" in line or ": no; " in line for line in said)
    assert fs.read("drivers/ipvlan/kernel").startswith("ipv6: ")
    assert fs.read("drivers/null/kernel") == ""


def test_the_default_network_has_ipv6_if_it_is_written(fs, refused):
    assert fs.read("networks/bridge/ipv6") == "0\n"
    fs.write("networks/bridge/ipv6", "1")
    assert fs.read("networks/bridge/ipv6") == "1\n"
    assert [":" in line for line in fs.read("networks/bridge/subnet").split()] == [False, True]
    with refused(errno.EPERM):
        fs.write("networks/none/ipv6", "1")
    fs.write("networks/bridge/ipv6", "0")
    assert ":" not in fs.read("networks/bridge/subnet")


def test_what_is_there_at_first(fs):
    assert set(fs.listdir("")) >= {
        "README", "version", "last_error", "error_log", "events", "drivers", "ipam", "networks",
        "sandboxes",
    }  # fmt: skip
    assert fs.listdir("networks") == ["bridge", "host", "none"]
    assert fs.listdir("sandboxes") == []
    assert fs.listdir("drivers") == ["bridge", "host", "ipvlan", "macvlan", "null"]
    assert fs.read("last_error") == "ok\n"
    assert "mkdir networks/my_bridge" in fs.read("README")
    assert fs.read("networks/bridge/driver") == "bridge\n"
    assert fs.read("networks/bridge/mtu") == "1500\n"
    assert "com.docker.network.bridge.enable_icc true" in fs.read("drivers/bridge/options")


def test_a_network_is_there_at_once(fs):
    fs.mkdir(NET)
    assert fs.read(f"{NET}/driver") == "bridge\n"
    assert fs.read(f"{NET}/subnet").endswith("/16\n")
    assert len(fs.read(f"{NET}/id")) == 65
    assert json.loads(fs.read(f"{NET}/inspect"))["Name"] == "net"
    assert "link add" in fs.read(f"{NET}/explain")
    assert fs.read(f"{NET}/check") == ""
    assert fs.read(f"{NET}/interface").startswith("br-")
    fs.rmdir(NET)
    assert "net" not in fs.listdir("networks")


SETTINGS = {
    "subnet": ("10.1.0.0/24\n", "10.1.0.0/24\n"),
    "gateway": ("10.20.30.254", "10.20.30.254\n"),
    "ip_range": ("10.20.30.128/25\n", "10.20.30.128/25\n"),
    "aux_addresses": ("nas 10.20.30.9\nprinter 10.20.30.10\n",) * 2,
    "internal": ("yes\n", "1\n"),
    "ipv6": ("1\n", "1\n"),
    "mtu": (" 1400 \n", "1400\n"),
    "attachable": ("on", "1\n"),
    "driver": ("bridge\n", "bridge\n"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_written_is_read(net, name):
    written, read = SETTINGS[name]
    net.write(f"{NET}/{name}", written)
    assert net.read(f"{NET}/{name}") == read
    # What is read can be written.
    net.write(f"{NET}/{name}", read)
    assert net.read(f"{NET}/{name}") == read
    assert net.read("last_error") == "ok\n"


def test_an_mtu_is_taken_back(net):
    net.write(f"{NET}/mtu", "1400\n")
    net.write(f"{NET}/mtu", "\n")
    assert net.read(f"{NET}/mtu") == "1500\n"
    assert "com.docker.network.driver.mtu" not in net.read(f"{NET}/inspect")


def test_a_list_may_be_written_line_by_line(net):
    net.write(f"{NET}/subnet", "10.1.0.0/24\n", "fd00:1::/64\n")
    assert net.read(f"{NET}/subnet") == "10.1.0.0/24\nfd00:1::/64\n"
    assert net.read(f"{NET}/gateway") == "10.1.0.1\nfd00:1::1\n"
    net.write(f"{NET}/subnet", "auto\n")
    assert net.read(f"{NET}/subnet").count("\n") == 2


BAD = {
    "nonsense": ("subnet", "nonsense\n", errno.EINVAL),
    "host bits": ("subnet", "10.1.0.1/24", errno.EINVAL),
    "elsewhere": ("gateway", "10.9.9.9", errno.EADDRNOTAVAIL),
    "no flag": ("internal", "perhaps", errno.EINVAL),
    "no number": ("mtu", "fast", errno.EINVAL),
    "small": ("mtu", "-1", errno.EINVAL),
    "unknown driver": ("driver", "nothing", errno.ENOENT),
    "no JSON": ("spec", "{]", errno.EINVAL),
    "unknown setting": ("spec", '{"colour": "red"}', errno.EINVAL),
    "no pair": ("aux_addresses", "nas\n", errno.EINVAL),
    "NUL": ("mtu", "14\x0000", errno.EINVAL),
    "binary": ("mtu", b"\xff\xfe", errno.EINVAL),
    "large": ("mtu", "1" * 5000, errno.E2BIG),
    "two lines": ("mtu", "1400\n1500\n", errno.EINVAL),
    "empty": ("internal", "\n", errno.EINVAL),
    "no endpoint": ("publish", "c9 8080:80", errno.ENOENT),
    "no port": ("publish", "c9", errno.EINVAL),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_changes_nothing(net, refused, case):
    name, text, code = BAD[case]
    before = {each: net.read(f"{NET}/{each}") for each in ("spec", "inspect", "explain", name)}
    with refused(code):
        net.write(f"{NET}/{name}", text)
    assert {each: net.read(f"{NET}/{each}") for each in before} == before
    for path in ("last_error", f"{NET}/last_error", "error_log"):
        words = net.read(path)
        assert errno.errorcode[code] in words
        assert f"write {NET}/{name}: " in words
    # The next change that succeeds says so.
    net.write(f"{NET}/attachable", "1")
    assert net.read("last_error") == net.read(f"{NET}/last_error") == "ok\n"


def test_the_whole_configuration_at_once(net):
    spec = json.loads(net.read(f"{NET}/spec"))
    assert spec["subnet"] == ["10.20.30.0/24"]
    spec |= {"subnet": ["10.1.0.0/24"], "gateway": ["10.1.0.9"], "labels": {"a": "1"}}
    net.write(f"{NET}/spec", json.dumps(spec))
    assert json.loads(net.read(f"{NET}/spec")) == spec
    assert net.read(f"{NET}/gateway") == "10.1.0.9\n"
    net.write(f"{NET}/spec", json.dumps({"labels": {}}))
    assert net.listdir(f"{NET}/labels") == []


def test_a_document_may_come_in_pieces(net, refused):
    labels = {f"label-{number:04}": "ü" * 40 for number in range(900)}
    data = json.dumps({"labels": labels}, ensure_ascii=False).encode()
    assert len(data) > 65536
    # Within a character, within a text, after a comma, at the very end.
    cuts = [0, data.index(b"\xbc"), 100, data.index(b",") + 1, 65536, len(data) - 1, len(data)]
    net.write(f"{NET}/spec", *(data[a:b] for a, b in pairwise(sorted(cuts))))
    assert len(net.listdir(f"{NET}/labels")) == 900
    assert net.read(f"{NET}/labels/label-0899") == "ü" * 40 + "\n"
    before = net.read(f"{NET}/spec")
    with refused(errno.EINVAL):
        net.write(f"{NET}/spec", '{"labels": {}', '}, "subnet": nonsense')
    with refused(errno.EINVAL):
        # It ends too early, which is known when it is closed.
        net.write(f"{NET}/spec", '{"labels": {}')
    for path in ("last_error", f"{NET}/last_error", "error_log"):
        assert f"EINVAL close {NET}/spec: this is no JSON" in net.read(path)
    assert net.read(f"{NET}/spec") == before


def test_options_and_labels_are_files(net, refused):
    net.write(f"{NET}/labels/team", "web\n")
    assert net.read(f"{NET}/labels/team") == "web\n"
    assert net.listdir(f"{NET}/labels") == ["team"]
    net.unlink(f"{NET}/labels/team")
    assert net.listdir(f"{NET}/labels") == []
    option = f"{NET}/options/com.docker.network.bridge.enable_icc"
    net.write(option, "false")
    assert net.read(option) == "false\n"
    net.unlink(option)
    assert net.listdir(f"{NET}/options") == []
    with refused(errno.EINVAL):
        net.write(f"{NET}/options/com.docker.network.driver.mtuu", "1400")
    assert "com.docker.network.driver.mtu" in net.read("last_error")
    assert net.listdir(f"{NET}/options") == []


def test_sandboxes_are_connected_and_disconnected(net, refused):
    net.mkdir("sandboxes/c2")
    net.mkdir("sandboxes/c2/endpoints/net")
    end = "sandboxes/c2/endpoints/net"
    assert net.read(f"{end}/ip") == "10.20.30.2\n"
    assert net.read(f"{end}/interface") == "eth0\n"
    assert net.readlink(f"{NET}/endpoints/c2") == "../../../sandboxes/c2/endpoints/net"
    assert net.readlink(f"{end}/network") == "../../../../networks/net"
    net.mkdir("sandboxes/c3")
    net.symlink("../../../sandboxes/c3", f"{NET}/endpoints/c3")
    assert net.read("sandboxes/c3/endpoints/net/ip") == "10.20.30.3\n"
    with refused(errno.EBUSY):
        net.rmdir("sandboxes/c2")
    with refused(errno.EBUSY):
        net.rmdir(NET)
    assert "c2" in net.read("last_error")
    net.unlink(f"{NET}/endpoints/c3")
    assert net.listdir("sandboxes/c3/endpoints") == []
    net.rmdir(end)
    net.rmdir("sandboxes/c2")
    net.rmdir("sandboxes/c3")
    net.rmdir(NET)


def test_ports_are_published_live(pair):
    mine, all_of_them = "sandboxes/c2/endpoints/net/publish", f"{NET}/publish"
    pair.write(mine, "8080:80\n", "53:53/udp\n")
    assert pair.read(mine) == "0.0.0.0:53:53/udp\n0.0.0.0:8080:80\n"
    pair.write(mine, "8081:81\n", flags=os.O_APPEND)
    pair.write(mine, "-53:53/udp\n", flags=os.O_APPEND)
    assert pair.read(mine) == "0.0.0.0:8080:80\n0.0.0.0:8081:81\n"
    pair.write(all_of_them, "c3 9090:90\n", flags=os.O_APPEND)
    assert pair.read(all_of_them) == (
        "c2 0.0.0.0:8080:80\nc2 0.0.0.0:8081:81\nc3 0.0.0.0:9090:90\n"
    )
    pair.write(all_of_them, "c3 9091:90\n")
    assert pair.read(all_of_them) == "c3 0.0.0.0:9091:90\n"
    pair.write("sandboxes/c3/endpoints/net/publish")
    assert pair.read(all_of_them) == ""


def test_a_port_that_is_taken(pair, refused):
    pair.write("sandboxes/c2/endpoints/net/publish", "8080:80")
    pair.write("sandboxes/c3/endpoints/net/publish", "9090:90")
    with refused(errno.EADDRINUSE):
        pair.write("sandboxes/c3/endpoints/net/publish", "8080:80")
    assert "c2" in pair.read("last_error")
    assert pair.read("sandboxes/c3/endpoints/net/publish") == "0.0.0.0:9090:90\n"


def test_what_would_cut_endpoints_off_is_busy(pair, refused):
    for name, text in (("subnet", "10.1.0.0/24"), ("gateway", "10.20.30.9"), ("internal", "1")):
        with refused(errno.EBUSY):
            pair.write(f"{NET}/{name}", text)
    pair.write(f"{NET}/mtu", "1400")
    assert pair.read(f"{NET}/mtu") == "1400\n"


def test_renamed(net, refused):
    net.mkdir("networks/other")
    with refused(errno.EEXIST):
        net.rename(NET, "networks/other")
    net.rename(NET, "networks/front")
    assert net.read("networks/front/subnet") == "10.20.30.0/24\n"
    assert "net" not in net.listdir("networks")
    with refused(errno.EPERM):
        net.rename("networks/front", "sandboxes/front")
    with refused(errno.EPERM):
        net.rename("networks/bridge", "networks/mine")


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda fs: fs.mkdir(NET), errno.EEXIST),
        (lambda fs: fs.mkdir("networks/bridge"), errno.EEXIST),
        (lambda fs: fs.mkdir("networks/default"), errno.EPERM),
        (lambda fs: fs.mkdir("networks/bad name"), errno.EINVAL),
        (lambda fs: fs.mkdir("networks/a;b"), errno.EINVAL),
        (lambda fs: fs.mkdir("networks/" + "n" * 256), errno.ENAMETOOLONG),
        (lambda fs: fs.mkdir("networks/bücher"), errno.EINVAL),
        (lambda fs: fs.mkdir("elsewhere"), errno.EPERM),
        (lambda fs: fs.mkdir(f"{NET}/x"), errno.EPERM),
        (lambda fs: fs.mkdir("networks/nowhere/x"), errno.ENOENT),
        (lambda fs: fs.mkdir("sandboxes/nobody/endpoints/net"), errno.ENOENT),
        (lambda fs: fs.rmdir("networks/bridge"), errno.EPERM),
        (lambda fs: fs.rmdir("networks/nothing"), errno.ENOENT),
        (lambda fs: fs.rmdir(f"{NET}/endpoints"), errno.EPERM),
        (lambda fs: fs.rmdir("networks"), errno.EPERM),
        (lambda fs: fs.unlink(f"{NET}/subnet"), errno.EPERM),
        (lambda fs: fs.write(f"{NET}/new", "x"), errno.EPERM),
        (lambda fs: fs.write("networks/new", "x"), errno.EPERM),
        (lambda fs: fs.write(f"{NET}/id", "x"), errno.EACCES),
        (lambda fs: fs.write("networks/bridge/subnet", "10.1.0.0/24"), errno.EPERM),
        (lambda fs: fs.symlink("../x", "networks/y"), errno.EPERM),
        (lambda fs: fs.symlink("../../../networks/net", f"{NET}/endpoints/y"), errno.EPERM),
        (lambda fs: fs.read("networks/nothing/id"), errno.ENOENT),
        (lambda fs: fs.read(f"{NET}/id/x"), errno.ENOTDIR),
    ],
    ids=range(24),
)
def test_what_isn_t_possible(net, refused, action, code):
    before = net.listdir("networks"), net.listdir(NET), net.read(f"{NET}/spec")
    with refused(code):
        action(net)
    assert (net.listdir("networks"), net.listdir(NET), net.read(f"{NET}/spec")) == before


def test_the_log_of_errors_is_cleared_by_an_empty_write(net, refused):
    with refused(errno.EINVAL):
        net.write(f"{NET}/mtu", "x")
    assert net.read("error_log").count("\n") == 1
    with refused(errno.EINVAL):
        net.write("error_log", "x")
    net.write("error_log", "\n")
    assert net.read("error_log") == ""


def test_sizes_modes_and_kinds(pair):
    def look(directory):
        for name in pair.listdir(directory):
            path = f"{directory}/{name}".lstrip("/")
            status = pair.stat(path) if hasattr(pair, "fs") else os.lstat(pair / path)
            mode = getattr(status, "st_mode", None) or status.mode
            size = getattr(status, "st_size", None) if hasattr(status, "st_size") else status.size
            if stat.S_ISDIR(mode):
                # Nothing is inside the sandboxes of a fake kernel.
                if name != "stats":
                    look(path)
            elif stat.S_ISLNK(mode):
                assert size == len(pair.readlink(path))
            elif name == "apply":
                assert stat.S_IMODE(mode) == 0o200
            elif name not in {"routes", "interfaces", "carrier", "error_log"}:
                assert stat.S_IMODE(mode) in {0o444, 0o644}
                assert size == len(pair.read(path)), path

    look("")


def test_what_is_taken_of_the_subnets(pair):
    found = dict(line.split(" ", 1) for line in pair.read("ipam/default/pools").splitlines())
    assert found["10.20.30.0/24"] == "network=net used=5 free=251"
    assert found.keys() == {"10.20.30.0/24", pair.read("networks/bridge/subnet").strip()}


def test_static_routes_are_replaced_added_and_taken_away(pair, refused):
    file = "networks/net/routes"
    pair.write(file, "10.60.0.0/16 via 10.20.30.5\n")
    pair.write(file, "10.61.0.0/16,10.20.30.5,7\n", flags=os.O_APPEND)
    both = "10.60.0.0/16 via 10.20.30.5\n10.61.0.0/16 via 10.20.30.5 metric 7\n"
    assert pair.read(file) == both
    assert json.loads(pair.read("networks/net/spec"))["routes"] == both.splitlines()
    assert "route add 10.61.0.0/16 via 10.20.30.5" in pair.read("sandboxes/c2/explain")
    with refused(errno.EADDRNOTAVAIL):
        pair.write(file, "10.62.0.0/16 via 10.9.9.9", flags=os.O_APPEND)
    with refused(errno.ENOENT):
        pair.write(file, "-10.62.0.0/16", flags=os.O_APPEND)
    with refused(errno.EINVAL):
        pair.write(file, "0.0.0.0/0 via 10.20.30.5")
    assert pair.read(file) == both
    pair.write(file, "-10.60.0.0/16\n", flags=os.O_APPEND)
    assert pair.read(file) == "10.61.0.0/16 via 10.20.30.5 metric 7\n"
    pair.write("apply", '{"networks": {"net": {"routes": []}}}')
    assert pair.read(file) == ""
    assert pair.read("sandboxes/c2/check") == ""


def test_a_sandbox_becomes_the_gateway_of_a_network(pair, refused):
    net, end = "networks/led", "sandboxes/c2/endpoints/led"
    pair.mkdir(net)
    pair.write(f"{net}/subnet", "10.8.0.0/24")
    pair.write(f"{net}/aux_addresses", "DefaultGatewayIPv4 10.8.0.254")
    pair.mkdir(end)
    pair.mkdir("sandboxes/c3/endpoints/led")
    assert pair.read("sandboxes/c3/endpoints/led/gateway") == "10.8.0.254\n"
    with refused(errno.EADDRINUSE):
        pair.write(f"{end}/ip", "10.8.0.254")
    assert pair.read(f"{end}/forwarding") == "0\n"
    pair.write(f"{end}/forwarding", "1")
    pair.write(f"{end}/ip", "10.8.0.254")
    assert pair.read(f"{end}/forwarding") == "1\n"
    assert pair.read(f"{end}/gateway") == "10.8.0.1\n"
    with refused(errno.EADDRINUSE):
        pair.write(f"{end}/forwarding", "0")
    with refused(errno.EINVAL):
        pair.write(f"{end}/forwarding", "maybe")
    assert pair.read(f"{end}/check") == ""
    pair.rmdir("sandboxes/c3/endpoints/led")
    pair.rmdir(end)
    pair.rmdir(net)


def test_an_endpoint_changes_live(pair, refused):
    end = "sandboxes/c2/endpoints/net"
    for name, text in {
        "ip": "10.20.30.77\n",
        "mac": "02:42:00:00:00:09\n",
        "aliases": "web\nwww\n",
        "gateway_priority": "7\n",
        "rate": "10mbit\n",
        "routes": "10.60.0.0/16 via 10.20.30.5\n10.60.0.0/16 via 10.20.30.6 metric 9\n",
    }.items():
        pair.write(f"{end}/{name}", text)
        assert pair.read(f"{end}/{name}") == text
    with refused(errno.EADDRINUSE):
        pair.write(f"{end}/ip", "10.20.30.3")
    with refused(errno.EADDRNOTAVAIL):
        pair.write(f"{end}/ip", "10.9.9.9")
    with refused(errno.EINVAL):
        pair.write(f"{end}/rate", "fast")
    assert pair.read(f"{end}/rate") == "10mbit\n"
    pair.write(f"{end}/rate", "\n")
    assert pair.read(f"{end}/rate").strip() == ""
    with refused(errno.EADDRNOTAVAIL):
        pair.write(f"{end}/routes", "10.60.0.0/16 via 10.9.9.9")
    with refused(errno.EINVAL):
        pair.write(f"{end}/gateway_priority", "high")
    assert pair.read(f"{end}/ip") == "10.20.30.77\n"
    assert pair.read(f"{end}/check") == ""
    assert f"EINVAL write {end}/gateway_priority: " in pair.read(f"{end}/last_error")
    assert pair.read("sandboxes/c2/last_error") == pair.read(f"{NET}/last_error") == "ok\n"


def test_events_are_lines_of_json(pair):
    def told():
        return [json.loads(line) for line in pair.read("events").splitlines()]

    before = told()
    assert [(each["Type"], each["Action"]) for each in before] == [
        ("network", "create"),
        ("network", "update"),
        *2 * [("sandbox", "create"), ("network", "connect")],
    ]
    pair.write(f"{NET}/labels/a", "1")
    pair.rmdir("sandboxes/c2/endpoints/net")
    new = told()
    assert new[: len(before)] == before
    assert [each["Action"] for each in new[len(before) :]] == ["update", "disconnect"]


def test_as_many_networks_as_there_are_subnets(fs, refused):
    made = 0
    with refused(errno.ENOSPC):
        for number in range(100):
            fs.mkdir(f"networks/n{number}")
            made += 1
    assert len(fs.listdir("networks")) == made + 3
    for number in range(made):
        fs.rmdir(f"networks/n{number}")
    assert len(fs.listdir("networks")) == 3
