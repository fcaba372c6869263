"""Networks on a bridge of others, as files."""

from __future__ import annotations

import errno

import pytest
from lives import BINDINGS, Life
from topology import until

NET, END = "networks/vms", "sandboxes/c1/endpoints/vms"
NAME = f"{NET}/options/com.docker.network.bridge.name"


def test_vlans(fs):
    """Of a network, and of an endpoint that is elsewhere."""
    for path in (NET, "sandboxes/c1"):
        fs.mkdir(path)
    fs.write(f"{NET}/options/vlan", "10\n")
    assert fs.read(f"{NET}/options/vlan") == "10\n"
    fs.mkdir(END)
    assert fs.read(f"{END}/vlan") == ""
    gateway = fs.read(f"{END}/gateway")
    assert "vid 10 pvid untagged" in fs.read(f"{END}/explain")
    fs.write(f"{END}/vlan", "20\n")
    assert (fs.read(f"{END}/vlan"), fs.read(f"{END}/gateway")) == ("20\n", "")
    assert "vid 20 pvid untagged" in fs.read(f"{END}/explain")
    with pytest.raises(OSError) as caught:
        fs.write(f"{END}/vlan", "4095\n")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError) as caught:
        fs.write(f"{NET}/options/vlan", "30\n")
    assert caught.value.errno == errno.EBUSY
    fs.write(f"{END}/vlan", "\n")
    assert (fs.read(f"{END}/vlan"), fs.read(f"{END}/gateway")) == ("", gateway)
    for path in (END, "sandboxes/c1", NET):
        fs.rmdir(path)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_bridge_that_is_there(fuse, tmp_path, machine, host, binding):
    vm = machine("vm")
    host.wire(vm, [], ["192.168.122.50/24"], interface="vnet0")
    host.batch(
        "link add virbr0 type bridge",
        "address add 192.168.122.1/24 dev virbr0",
        "link set vnet0 master virbr0",
        "link set virbr0 up",
    )
    before, address = host.picture(), host.link("virbr0")["address"]
    life = Life(tmp_path, binding, host)
    root = life.start()
    try:
        for path in (NET, "sandboxes/c1"):
            (root / path).mkdir()
        (root / NAME).write_text("virbr0\n")
        # The subnet it was born with is kept until another one is asked for.
        (root / NET / "subnet").write_text("192.168.122.0/24\n")
        assert (root / NET / "interface").read_text() == "virbr0\n"
        assert (root / NET / "gateway").read_text() == "192.168.122.1\n"
        assert "# virbr0 is there, with 192.168.122.1/24" in (root / NET / "explain").read_text()
        (root / END).mkdir()
        assert (root / END / "ip").read_text() == "192.168.122.2\n"
        host.run("ip", "netns", "exec", "c1", "ping", "-c1", "-W5", "192.168.122.50")
        assert (root / NET / "check").read_text() == ""
        for path in (END, "sandboxes/c1", NET):
            (root / path).rmdir()
    finally:
        life.close()
    assert until(lambda: host.picture() == before)
    assert host.link("virbr0")["address"] == address
