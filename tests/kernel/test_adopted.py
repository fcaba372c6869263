"""Networks on bridges that others have made: a virtual machine's, an administrator's."""

from __future__ import annotations

import json
import subprocess

import pytest
from hosts import clear
from lan import mac, on, way_out
from shell import Shell
from test_watch import Watcher
from topology import differences, inside, until

import pycnm
from pycnm import Bridge

NAME = "com.docker.network.bridge.name"
ON_IT = Bridge(bridge_name="virbr0")
VM, VM6 = "192.168.122.50", "fd00:122::50"
VM_MAC = "52:54:00:00:00:01"
GONE = (
    "virbr0, the bridge of a network, is gone: it was deleted, renamed or moved by those who made "
    "it; what was on it can be had back when it is there again"
)


def made(host, *more):
    """The bridge, as its owner makes it."""
    host.batch(
        "link add virbr0 type bridge",
        "address add 192.168.122.1/24 dev virbr0",
        "address add fd00:122::1/64 dev virbr0 nodad",
        "link set vnet0 master virbr0",
        "link set virbr0 up",
        *more,
    )


@pytest.fixture
def vm(machine, host, outside):
    """A virtual machine of somebody else on a bridge of theirs, which has its port's MAC."""
    found = machine("vm")
    host.wire(found, [], [f"{VM}/24", f"{VM6}/64"], interface="vnet0")
    host.batch(f"link set vnet0 address {VM_MAC}")
    made(host)
    found.route("default via 192.168.122.1", "default via fd00:122::1")
    # Its link-local address comes a little after the rest.
    assert until(lambda: found.ping("192.168.122.1") and host.settled("virbr0"))
    return found


@pytest.fixture
def theirs(controller, host, vm):
    """A controller of the host."""
    return controller(host)


def shown(host, *names):
    """What `ip` says of links, less what runs by itself."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if "timer" not in key}
        return value

    links = json.loads(host.run("ip", "-d", "-j", "link"))
    return {link["ifname"]: plain(link) for link in links if link["ifname"] in names}


def test_sandboxes_are_beside_what_is_there(theirs, host, vm, outside):
    before = host.picture(), shown(host, "virbr0", "vnet0")
    net = theirs.create_network("n", ON_IT, ipv6=True)
    assert [str(each) for each in net.gateways] == ["192.168.122.1", "fd00:122::1"]
    ((c1, end), (c2, _)) = on(theirs, net, "c1", "c2")
    assert list(differences(shown(host, "virbr0", "vnet0"), before[1])) == []
    assert host.link("virbr0")["address"] == VM_MAC
    assert way_out(c1) == ("192.168.122.1", "eth0")
    with vm.serve("80", label="vm"), c1.serve("81", label="c1"):
        assert c1.ask(VM, 80).peer == str(end.ip)
        assert c1.ask(VM6, 80).server == "vm"
        for place in (vm, c2):
            assert place.ask(str(end.ip), 81).server == "c1"
            assert place.ask(str(end.ip6), 81).server == "c1"
    with outside.serve("80", label="outside"):
        assert c1.ask("192.0.2.66", 80).peer == "192.0.2.1"
    assert theirs.check() == []
    # Its neighbours have known the host by the same MAC all the time.
    neighbours = vm.ip("neigh", "show", "to", "192.168.122.1")
    assert [each["lladdr"] for each in neighbours] == [VM_MAC]
    net.delete(force=True)
    theirs.sandbox("c1").delete()
    theirs.sandbox("c2").delete()
    assert until(lambda: (host.picture(), shown(host, "virbr0", "vnet0")) == before)
    assert vm.ping("192.168.122.1")


def test_ports_are_published(theirs, host, vm, outside):
    net = theirs.create_network("n", ON_IT)
    ((c1, _),) = on(theirs, net, "c1", publish=["8080:80"])
    with c1.serve("80", label="c1"):
        assert outside.ask("192.0.2.1", 8080).server == "c1"
        assert vm.ask("192.168.122.1", 8080).server == "c1"
        assert host.ask("127.0.0.1", 8080).server == "c1"


def test_a_sandbox_has_no_name_of_its_neighbours(theirs, vm):
    net = theirs.create_network("n", ON_IT)
    ((c1, _),) = on(theirs, net, "c1")
    c1.batch("address add 192.168.122.77/24 dev eth0")
    assert not c1.do(lambda: _pings_from(c1, "192.168.122.77"))
    assert c1.ping(VM)


def _pings_from(place, source):
    argv = ["ping", "-n", "-q", "-c1", "-W0.5", "-I", source, VM]
    return not place.popen(*argv, stdout=-3, stderr=-3).wait()


def test_the_addresses_on_it_are_given_to_nobody(controller, host, vm):
    host.batch("address add 192.168.122.2/24 dev virbr0")
    cnm = controller(host)
    net = cnm.create_network("n", ON_IT)
    ((_, end),) = on(cnm, net, "c1")
    assert str(end.ip) == "192.168.122.3"
    assert net.inspect()["IPAM"]["Config"][0]["AuxiliaryAddresses"] == {"host": "192.168.122.2"}


def test_a_bare_one_gets_what_it_needs_and_loses_it_again(controller, host):
    host.batch("link add br0 mtu 9000 type bridge", "link set br0 mtu 9000")
    cnm, before = controller(host), (host.picture(), shown(host, "br0"))
    net = cnm.create_network("n", Bridge(bridge_name="br0"), subnet="10.99.0.0/24")
    (c1, _), (_, end) = on(cnm, net, "c1", "c2")
    assert host.addresses("br0") == ["10.99.0.1/24"]
    assert c1.link("eth0")["mtu"] == 9000
    assert host.link("br0")["mtu"] == 9000
    address = host.link("br0")["address"]
    assert c1.ping("10.99.0.1")
    assert c1.ping(str(end.ip))
    # It has nothing but the MAC of our ports, which doesn't change as long as there is one.
    cnm.sandbox("c2").delete()
    assert host.link("br0")["address"] == address
    assert c1.ping("10.99.0.1")
    cnm.sandbox("c1").delete()
    net.delete()
    assert until(lambda: host.picture() == before[0])
    assert "UP" not in shown(host, "br0")["br0"]["flags"]


def test_without_icc_endpoints_are_apart_and_reach_what_else_is_there(theirs, host, vm):
    net = theirs.create_network("n", Bridge(bridge_name="virbr0", icc=False))
    (c1, _), (_, end) = on(theirs, net, "c1", "c2")
    assert c1.ping(VM)
    assert not c1.ping(str(end.ip), 0.5)


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"driver": Bridge(bridge_name="eth0")}, pycnm.AlreadyExistsError,
         "existing interface eth0 is not a bridge"),
        ({"subnet": "192.168.0.0/16"}, pycnm.PoolOverlapError,
         r"virbr0 has the address 192.168.122.1/24, whose subnet overlaps 192.168.0.0/16"),
        ({"driver": Bridge(bridge_name="virbr0", gateway_mode_ipv4="isolated"), "internal": True},
         pycnm.InvalidArgumentError, "virbr0 is there, and in gateway mode 'isolated'"),
        ({"driver": Bridge(bridge_name="virbr0", external="eth0")}, pycnm.KernelError,
         "eth0 is no port of virbr0: `ip link set eth0 master virbr0`"),
    ],
    ids=["no bridge", "subnet", "isolated", "no port"],
)  # fmt: skip
def test_what_cannot_be(theirs, host, wishes, error, message):
    before = host.picture(), shown(host, "virbr0", "eth0")
    with pytest.raises(error, match=message):
        theirs.create_network("n", **({"driver": ON_IT} | wishes))
    assert (host.picture(), shown(host, "virbr0", "eth0")) == before


def test_it_is_nobody_elses(theirs, host, tmp_path):
    theirs.create_network("n", ON_IT)
    with pytest.raises(pycnm.AlreadyExistsError, match="networks have same bridge name"):
        theirs.create_network("m", ON_IT)
    with (
        pycnm.Controller(tmp_path / "other", host=host.name, dns=False) as other,
        pytest.raises(pycnm.InUseError, match="virbr0 is the bridge of a network in another"),
    ):
        other.create_network("m", ON_IT)


def test_another_network_comes_and_goes_beside_it(theirs, host, vm, outside):
    other = theirs.create_network("other")
    ((c2, _),) = on(theirs, other, "c2", publish=["8080:80"])
    with c2.serve("80", label="c2"):
        assert vm.ask("192.168.122.1", 8080).server == "c2"
        net = theirs.create_network("n", ON_IT)
        assert vm.ask("192.168.122.1", 8080).server == "c2"
        ((c1, _),) = on(theirs, net, "c1")
        assert c1.ask("192.168.122.1", 8080).server == "c2"
    theirs.sandbox("c2").delete()
    other.delete()
    assert c1.ping("192.0.2.66")
    assert theirs.check() == []


# It goes, and comes back


@pytest.fixture
def c1(theirs):
    """A sandbox on a network on it."""
    ((place, _),) = on(theirs, theirs.create_network("n", ON_IT), "c1")
    assert place.ping("192.0.2.66")
    return place


def works(c1):
    return c1.ping(VM) and c1.ping("192.0.2.66")


def test_it_vanishes_and_comes_back(theirs, host, vm, c1):
    host.batch("link del virbr0")
    words = theirs.network("n").check()
    assert words[0] == GONE
    with pytest.raises(pycnm.CleanupError):
        theirs.reconcile()
    # It isn't ours to make.
    assert "virbr0" not in host.interfaces()
    with pytest.raises(pycnm.KernelError, match="there is no interface virbr0"):
        theirs.network("n").connect(theirs.create_sandbox("c2"))
    made(host)
    assert theirs.reconcile() != []
    assert theirs.check() == []
    assert until(lambda: works(c1))
    theirs.network("n").connect("c2")


def test_it_comes_back_with_another_address(theirs, host, c1):
    host.batch("address del 192.168.122.1/24 dev virbr0")
    (words,) = theirs.network("n").check()
    assert words == (
        "virbr0 doesn't have the address 192.168.122.1/24 any more, which it had when a network "
        "was put on it: `ip address add 192.168.122.1/24 dev virbr0`"
    )
    with pytest.raises(pycnm.CleanupError):
        theirs.reconcile()
    host.batch("address add 192.168.122.1/24 dev virbr0")
    theirs.reconcile()
    assert theirs.check() == []
    assert until(lambda: works(c1))


def test_it_goes_down(theirs, host, c1):
    host.batch("link set virbr0 down")
    assert theirs.check()[0] == (
        "virbr0, the bridge of a network, is down: `ip link set virbr0 up`"
    )
    host.batch("link set virbr0 up", "address replace fd00:122::1/64 dev virbr0 nodad")
    assert until(lambda: works(c1))
    assert theirs.check() == []


def test_one_that_is_gone_is_no_obstacle(theirs, host, c1):
    host.batch("link del virbr0")
    theirs.sandbox("c1").delete()
    theirs.network("n").delete()
    made(host)


def test_the_agent_has_it_back_when_it_is(theirs, host, c1, tmp_path):
    watcher = Watcher(host, tmp_path / "state")
    try:
        assert watcher.serves()
        host.batch("link del virbr0")
        assert until(lambda: any("virbr0" in line for line in watcher.said[1:]))
        made(host)
        assert until(lambda: theirs.check() == [] and works(c1), 20), watcher.said
        # What somebody does to it is seen, though it bears no mark.
        host.set_sysctl(net__ipv4__conf__virbr0__forwarding=0)
        assert until(lambda: theirs.check() == [], 10), watcher.said
    finally:
        watcher.end()


# On the wire of the LAN


def test_a_lan_that_a_bridge_of_theirs_is_on(theirs, host, vm, machine):
    """The host has its own address there, and no part in what sandboxes say."""
    net = theirs.create_network(
        "n", Bridge(bridge_name="virbr0", external="vnet0"),
        subnet="192.168.122.0/24", gateway=VM, ip_range="192.168.122.64/26",
    )  # fmt: skip
    ((c1, end),) = on(theirs, net, "c1")
    assert way_out(c1) == (VM, "eth0")
    assert ("inet", "cnm") not in host.tables()
    assert host.sysctl("net/ipv4/conf/virbr0/forwarding") == "0"
    with c1.serve("80", label="c1"):
        assert vm.ask(str(end.ip), 80).server == "c1"
        assert host.ask(str(end.ip), 80).server == "c1"
    neighbours = vm.ip("neigh", "show", "to", str(end.ip))
    assert [each["lladdr"] for each in neighbours] == [mac(end)]
    host.batch("link set vnet0 nomaster")
    assert net.check() == ["vnet0 is no port of virbr0: `ip link set vnet0 master virbr0`"]
    host.batch("link set vnet0 master virbr0")
    assert net.check() == []
    theirs.sandbox("c1").delete()
    net.delete()
    assert host.link("vnet0")["master"] == "virbr0"


# From the command line


def test_as_a_docker_user_types_it(theirs, host, vm, tmp_path):
    shell = Shell(tmp_path / "state", host)
    words = ("network", "create", "-o", f"{NAME}=virbr0", "n")
    before = host.picture()
    assert "# virbr0 is there, with 192.168.122.1/24: `ip address show dev virbr0`" in shell(
        *words[:2], "--dry-run", *words[2:]
    )
    assert host.picture() == before
    shell(*words)
    (found,) = json.loads(shell("network", "inspect", "n"))
    assert found["IPAM"]["Config"] == [{"Subnet": "192.168.122.0/24", "Gateway": "192.168.122.1"}]
    said = shell("run", "--rm", "--net", "n", "--", "ping", "-c1", VM)
    assert "1 received" in said
    shell("network", "rm", "n")
    assert host.picture() == before
    assert vm.ping("192.168.122.1")


def test_another_life_finds_it_as_it_was(theirs, controller, host, c1):
    theirs.close()
    cnm = controller(host)
    assert cnm.check() == []
    cnm.network("n").delete(force=True)
    cnm.sandbox("c1").delete()
    assert host.addresses("virbr0") != []


@pytest.fixture
def reboot(machine, host, vm, tmp_path):
    """Pulls the plug: all but the state directory is gone; then there is a host again."""
    with pycnm.Controller(tmp_path / "state", host=host.name, dns=False) as cnm:
        cnm.create_network("n", ON_IT).connect(cnm.create_sandbox("c1"))
    subprocess.run(["ip", "netns", "del", "c1"], check=True)
    host.remove()
    until(lambda: "eth0" not in vm.interfaces())
    found = machine("h1")
    found.wire(vm, [], [f"{VM}/24", f"{VM6}/64"], interface="vnet0")
    yield found
    clear(tmp_path / "state", found)


@pytest.mark.parametrize("first", [True, False], ids=["before us", "after us"])
def test_after_a_reboot(reboot, tmp_path, first):
    if first:
        made(reboot)
    with pycnm.Controller(tmp_path / "state", host="h1", dns=False) as cnm:
        if not first:
            assert GONE in cnm.check()
            with pytest.raises(pycnm.KernelError, match="there is no interface virbr0"):
                cnm.sandbox("c1").start()
            made(reboot)
            cnm.reconcile()
        cnm.sandbox("c1").start()
        assert cnm.check() == []
        assert until(lambda: inside(cnm.sandbox("c1")).ping(VM))
