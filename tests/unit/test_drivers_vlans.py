"""Networks and endpoints in VLANs of their bridge, as a person would type them."""

from __future__ import annotations

import attrs
import pytest
from test_drivers_bridge import BOX, END, NET, OLD, PLAIN, changes, shown

from pycnm.drivers.base import Use
from pycnm.drivers.bridge import Bridge
from pycnm.drivers.macvlan import Macvlan
from pycnm.errors import InvalidArgumentError, NotSupportedError
from pycnm.plan.operation import Features
from pycnm.spec.objects import FoundBridge

TEN = Bridge(vlan=10)
TRUNK = Bridge(bridge_name="br0", external="eth0", vlan=10)
ON_TRUNK = attrs.evolve(NET, adopted=FoundBridge(mtu=1500, vlans=True))
TWENTY = attrs.evolve(END, options={"vlan": "20"})


def network(driver, net=NET):
    return shown(driver.plan_network(net, Use(), Features()))


def endpoint(driver=TEN, end=END, net=NET, features=None):
    return shown(driver.plan_endpoint(net, end, BOX, features or Features())).splitlines()


def test_the_host_is_in_the_vlan_of_the_network():
    bridge = "br-0123456789ab"
    found = changes(PLAIN, network(TEN))
    plain, apart, member = (line for line in found if line[0] in "+-")
    assert plain.startswith(f"- ip link add name {bridge} ")
    assert "type bridge forward_delay 0 stp_state 0 vlan_filtering 1 vlan_default_pvid 0;" in apart
    assert member == (
        f"+ bridge vlan del dev {bridge} vid 1-4094 self; "
        f"bridge vlan add dev {bridge} vid 10 pvid untagged self"
    )


@pytest.mark.parametrize("features", [Features(), OLD], ids=["new", "old"])
@pytest.mark.parametrize(("end", "vlan"), [(END, 10), (TWENTY, 20)], ids=["same", "other"])
def test_a_port_is_up_when_it_is_in_its_vlan(end, vlan, features):
    lines = endpoint(end=end, features=features)
    port = "vetheeeeeee"
    (born,) = [line for line in lines if line.startswith(f"ip link add name {port}")]
    assert " up " not in born
    member = lines.index(
        f"bridge vlan del dev {port} vid 1-4094; "
        f"bridge vlan add dev {port} vid {vlan} pvid untagged"
    )
    guard = next(place for place, line in enumerate(lines) if line.startswith("Guard("))
    assert max(member, guard) < lines.index(f"ip link set {port} up")


def test_a_wire_carries_all_of_them_with_their_tags():
    lines = network(Bridge(external="eth0", vlan=10)).splitlines()
    assert "vlan_filtering 1" in lines[0]
    assert lines[-3:-1] == [
        "ip link set eth0 master br-0123456789ab",
        "bridge vlan add dev eth0 vid 1-4094",
    ]


def test_a_bridge_of_others_is_only_looked_at():
    assert network(TRUNK, ON_TRUNK) == (
        "# br0 is there, with the port eth0 in VLAN 10: `ip address show dev br0`\n"
    )
    lines = endpoint(TRUNK, net=ON_TRUNK)
    assert any("vid 10 pvid untagged" in line for line in lines)


@pytest.mark.parametrize(
    ("driver", "found", "message"),
    [
        (TRUNK, FoundBridge(), "br0 doesn't keep VLANs apart"),
        (Bridge(bridge_name="br0", vlan=10), FoundBridge(vlans=True),
         "in which of its VLANs the host is was said by those who made it"),
    ],
)  # fmt: skip
def test_what_a_bridge_of_others_cannot_have(driver, found, message):
    with pytest.raises(InvalidArgumentError, match=message):
        driver.validate(attrs.evolve(NET, adopted=found), [])


def test_networks_share_a_bridge_of_others_in_different_vlans():
    other = attrs.evolve(ON_TRUNK, id="f" * 64, name="other", options=TRUNK.to_options())
    assert attrs.evolve(TRUNK, vlan=20).shares(ON_TRUNK, other)
    for driver in (
        TRUNK,
        attrs.evolve(TRUNK, vlan=None),
        attrs.evolve(TRUNK, vlan=20, external="eth1"),
        attrs.evolve(TRUNK, vlan=20, external=None),
    ):
        assert not driver.shares(ON_TRUNK, other)
    assert not attrs.evolve(TRUNK, vlan=20).shares(NET, attrs.evolve(other, adopted=None))


def test_who_is_in_another_vlan_is_apart_from_the_host():
    assert [TEN.is_apart(NET, vlan) for vlan in (0, 10, 20)] == [False, False, True]


def test_an_endpoint_has_a_vlan_only_where_the_network_has():
    TEN.refuse_vlan(NET, 20)
    Bridge().refuse_vlan(NET, 0)
    with pytest.raises(InvalidArgumentError, match="network my_bridge keeps no VLANs apart"):
        Bridge().refuse_vlan(NET, 20)
    with pytest.raises(NotSupportedError, match="networks of driver macvlan keep no VLANs apart"):
        Macvlan().refuse_vlan(NET, 20)


@pytest.mark.parametrize("number", [0, 4095, "ten", "10.0", True, -1])
def test_what_is_no_vlan(number):
    with pytest.raises(InvalidArgumentError, match="vlan"):
        Bridge(vlan=number)
