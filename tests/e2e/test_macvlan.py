"""Networks on an interface of the host, as files."""

from __future__ import annotations

import errno

import pytest
from lives import BINDINGS, Life
from topology import until

LAN, END = "networks/lan", "sandboxes/c1/endpoints/lan"


def lan(fs, parent="eth0"):
    fs.mkdir(LAN)
    fs.write(f"{LAN}/driver", "macvlan\n")
    fs.write(f"{LAN}/parent", f"{parent}\n")
    fs.write(f"{LAN}/subnet", "192.168.0.0/24\n")


def refused(code, work):
    with pytest.raises(OSError) as caught:
        work()
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]


def test_made_file_by_file(fs):
    fs.mkdir(LAN)
    fs.write(f"{LAN}/driver", "macvlan\n")
    # Without a parent it has no way outside, and no gateway.
    assert fs.read(f"{LAN}/internal") == "1\n"
    assert fs.read(f"{LAN}/gateway") == ""
    assert fs.read(f"{LAN}/interface").startswith("dm-")
    fs.write(f"{LAN}/parent", "eth0\n")
    assert fs.read(f"{LAN}/internal") == "0\n"
    assert fs.read(f"{LAN}/interface") == "eth0\n"
    assert fs.listdir(f"{LAN}/options") == ["parent"]
    fs.write(f"{LAN}/subnet", "192.168.0.0/24\n")
    fs.write(f"{LAN}/gateway", "192.168.0.1\n")
    fs.write(f"{LAN}/options/macvlan_mode", "private\n")
    fs.mkdir("sandboxes/c1")
    fs.mkdir(END)
    assert fs.read(f"{END}/ip") == "192.168.0.2\n"
    assert fs.read(f"{END}/gateway") == "192.168.0.1\n"
    assert fs.read(f"{END}/mac") == "02:42:c0:a8:00:02\n"
    assert fs.read(f"{END}/host_interface") == ""
    assert "type macvlan mode private" in fs.read(f"{END}/explain")
    refused(errno.EBUSY, lambda: fs.write(f"{LAN}/parent", "eth0.10\n"))
    fs.rmdir(END)
    fs.write(f"{LAN}/parent", "eth0.10\n")
    assert "type vlan id 10" in fs.read(f"{LAN}/explain")
    fs.write(f"{LAN}/parent", "\n")
    assert fs.read(f"{LAN}/internal") == "1\n"
    fs.rmdir("sandboxes/c1")
    fs.rmdir(LAN)


def test_the_whole_of_it_is_written_back(fs):
    lan(fs)
    spec = fs.read(f"{LAN}/spec")
    fs.write(f"{LAN}/spec", spec)
    assert fs.read(f"{LAN}/spec") == spec
    fs.rmdir(LAN)


def test_the_mtu_is_the_parents_unless_it_is_given(fs):
    lan(fs)
    assert fs.read(f"{LAN}/mtu") == "0\n"
    fs.write(f"{LAN}/mtu", "1400\n")
    assert fs.read(f"{LAN}/mtu") == "1400\n"
    fs.rmdir(LAN)


@pytest.mark.parametrize(
    ("path", "text", "code", "words"),
    [
        ("parent", "eth9\n", errno.ENODEV, "not found on the host: eth9"),
        ("parent", "eth9.10\n", errno.ENODEV, "not found on the host: eth9"),
        ("parent", "lo\n", errno.EINVAL, "loopback interface is not a valid macvlan parent link"),
        ("parent", "eth0.4095\n", errno.EINVAL, "vlan id must be between 1-4094, received: 4095"),
        ("parent", "no/such\n", errno.EINVAL, "invalid parent"),
        ("options/macvlan_mode", "bridged\n", errno.EINVAL, "mode 'bridged' is not valid"),
        ("internal", "1\n", errno.EINVAL, "an internal network has no way outside, and eth0 is"),
        ("publish", "c1 8080:80\n", errno.EOPNOTSUPP, "networks of driver macvlan publish no"),
    ],
)
def test_refused_in_words(fs, path, text, code, words):
    lan(fs)
    fs.mkdir("sandboxes/c1")
    if path == "publish":
        fs.mkdir(END)
    before = fs.read(f"{LAN}/spec")
    refused(code, lambda: fs.write(f"{LAN}/{path}", text))
    assert words in fs.read("last_error")
    assert fs.read(f"{LAN}/spec") == before


def test_the_drivers_say_what_they_take(fs):
    for driver in ("macvlan", "ipvlan"):
        assert driver in fs.listdir("drivers")
        assert "parent" in fs.read(f"drivers/{driver}/options")


@pytest.mark.parametrize("binding", BINDINGS)
def test_on_the_wire(fuse, tmp_path, machine, host, binding):
    """S9, with files: the router sees the sandbox's own MAC."""
    router = machine("router")
    host.wire(router, ["192.168.0.100/24"], ["192.168.0.1/24"])
    before = host.picture()
    life = Life(tmp_path, binding, host)
    root = life.start()
    try:
        for path in ("networks/lan", "sandboxes/c1"):
            (root / path).mkdir()
        for name, text in (
            ("driver", "macvlan"), ("parent", "eth0"), ("subnet", "192.168.0.0/24"),
            ("gateway", "192.168.0.1"), ("options/host_access", "true"),
        ):  # fmt: skip
            (root / "networks/lan" / name).write_text(f"{text}\n")
        (root / END).mkdir()
        mac = (root / END / "mac").read_text().strip()
        address = (root / END / "ip").read_text().strip()
        with router.capture("eth0", "icmp") as seen:
            host.run("ip", "netns", "exec", "c1", "ping", "-c1", "-W5", "192.168.0.1")
            assert seen.find(rf"{mac} > \S+, .* {address} > 192\.168\.0\.1: ICMP echo")
        assert host.ping(address)
        assert (root / "networks/lan/check").read_text() == ""
        for path in (END, "sandboxes/c1", "networks/lan"):
            (root / path).rmdir()
    finally:
        life.close()
    assert until(lambda: host.picture() == before)
