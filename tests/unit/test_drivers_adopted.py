"""Networks on a bridge that is there: what is added to it, and what is left alone."""

from __future__ import annotations

import attrs
import pytest
from netaddr import IPNetwork
from test_drivers_bridge import BOX, DUAL, END, NET, OLD, shown

from pycnm.drivers.base import Use
from pycnm.drivers.bridge import Bridge
from pycnm.engine.adopting import fitted
from pycnm.engine.request import PoolRequest
from pycnm.errors import InvalidArgumentError, PoolOverlapError
from pycnm.plan.operation import Features
from pycnm.spec.objects import FoundBridge, NetworkSpec

SETTINGS = {
    "ipv4/ip_forward": "0",
    "ipv4/forwarding": "0",
    "ipv4/route_localnet": "0",
    "ipv6/disable_ipv6": "0",
    "ipv6/accept_ra": "1",
    "ipv6/force_forwarding": "0",
}
FOUND = FoundBridge(["10.20.30.1/24", "172.31.0.1/16"], 9000, True, SETTINGS)
THEIRS = Bridge(bridge_name="virbr0")
ADOPTED = """\
# virbr0 is there, with 10.20.30.1/24: `ip address show dev virbr0`
nft 'add element inet cnm icc { "virbr0" . "virbr0" : accept }'
nft 'add element inet cnm egress { "virbr0" : jump from_nat }'
nft 'add element inet cnm ingress { "virbr0" : goto to_nat }'
nft 'add element inet cnm loops { "virbr0" . "virbr0" }'
nft 'add element inet cnm bridges { "virbr0" }'
nft 'add element inet cnm homes { "virbr0" }'
nft 'add element inet cnm masquerade4 { "virbr0" }'
sysctl -w net.ipv4.conf.virbr0.forwarding=1
"""


def network(found=FOUND, net=NET, **changes):
    return attrs.evolve(net, adopted=attrs.evolve(found, **changes))


def planned(net=None, driver=THEIRS, use=None, features=None):
    return driver.plan_network(net or network(), use or Use(), features or Features())


def undone(plan):
    """What undoing writes back of settings: their keys and values."""
    return {each.key: each.before for each in plan if hasattr(each, "before")}


def test_its_address_is_kept_and_nothing_else_of_it_is_changed():
    assert shown(planned()) == ADOPTED


def test_what_is_undone_is_what_was_there():
    plan = planned(use=Use(loopback=True))
    key = "net/ipv4/conf/virbr0/"
    assert undone(plan) == {f"{key}forwarding": "0", f"{key}route_localnet": "0"}
    # All of it, as no link of ours takes it along.
    assert [each for each in plan if each not in plan.undoing()] == []


def test_what_was_so_stays_so():
    net = network(settings=SETTINGS | {"ipv4/forwarding": "1", "ipv4/ip_forward": "1"})
    assert undone(planned(net)) == {"net/ipv4/conf/virbr0/forwarding": ""}


def test_forwarding_that_somebody_wants_by_then_is_left_on():
    (setting,) = [each for each in planned() if hasattr(each, "unless")]
    assert setting.unless == "net.ipv4.ip_forward"
    # Unless it was off on a host that was a router already.
    net = network(settings=SETTINGS | {"ipv4/ip_forward": "1"})
    (setting,) = [each for each in planned(net) if hasattr(each, "unless")]
    assert setting.unless == ""


def test_an_address_that_is_not_there_is_added():
    lines = shown(planned(network(addresses=()))).splitlines()
    assert lines[0] == "# virbr0 is there: `ip address show dev virbr0`"
    assert lines[-1] == "ip address add 10.20.30.1/24 dev virbr0 brd +"


def test_one_that_is_down_is_up_as_long_as_it_is_used():
    lines = shown(planned(network(up=False))).splitlines()
    assert lines[-1] == "ip link set virbr0 up"


def test_ipv6_of_its_own_is_left_alone_where_the_network_has_none():
    assert "ipv6" not in shown(planned(network(settings=SETTINGS | {"ipv6/disable_ipv6": "1"})))


def test_dual_stack():
    plan = planned(network(net=DUAL, settings=SETTINGS | {"ipv6/disable_ipv6": "1"}))
    key = "net/ipv6/conf/virbr0/"
    assert undone(plan) == {
        f"{key}disable_ipv6": "1",
        f"{key}force_forwarding": "0",
        "net/ipv4/conf/virbr0/forwarding": "0",
    }
    assert "ip address add fd00:20:30::1/64 dev virbr0 nodad" in shown(plan)


def test_a_host_that_forwards_everywhere_still_hears_its_router_there():
    plan = planned(network(net=DUAL), features=OLD)
    assert undone(plan)["net/ipv6/conf/virbr0/accept_ra"] == "1"
    net = network(net=DUAL, settings=SETTINGS | {"ipv6/accept_ra": "0"})
    assert "accept_ra" not in shown(planned(net, features=OLD))


def test_icc_off_keeps_ports_of_ours_apart_and_nothing_of_others():
    driver = attrs.evolve(THEIRS, icc=False)
    assert shown(planned(driver=driver)) == ADOPTED
    plan = shown(driver.plan_endpoint(network(), END, BOX, Features()))
    assert "bridge link set dev vetheeeeeee isolated on" in plan


def test_on_a_wire_the_host_has_no_part_in_it():
    driver = attrs.evolve(THEIRS, external="eth0")
    assert shown(planned(driver=driver)) == (
        "# virbr0 is there, with the port eth0: `ip address show dev virbr0`\n"
    )


def test_ports_do_not_change_the_mac_of_a_bridge_that_has_that_of_a_port():
    lines = shown(THEIRS.plan_endpoint(network(), END, BOX, Features())).splitlines()
    assert lines[1].startswith(
        "ip link add name vetheeeeeee up address fe:01:23:45:67:89 mtu 9000 group 269628502 "
        "master virbr0 type veth peer name eth0 address 02:42:0a:14:1e:03 mtu 9000 netns c3"
    )


def test_its_mtu_is_that_of_the_endpoints_unless_one_is_given():
    driver = attrs.evolve(THEIRS, mtu=1400)
    plan = shown(driver.plan_endpoint(network(), END, BOX, Features()))
    assert "mtu 1400" in plan
    assert "mtu 9000" not in plan


def test_the_host_cannot_leave_it():
    net = attrs.evolve(network(), internal=True)
    driver = attrs.evolve(THEIRS, gateway_mode_ipv4="isolated")
    with pytest.raises(InvalidArgumentError, match="virbr0 is there, and in gateway mode"):
        driver.validate(net, [])


def test_only_one_that_is_named_is_adopted():
    assert THEIRS.adopts() == "virbr0"
    assert Bridge().adopts() == ""
    assert Bridge(bridge_name="cnm0", default_bridge=True).adopts() == ""


def test_it_is_recorded():
    assert NetworkSpec.from_json(network().to_json()) == network()


# Its subnet


def fit(version=4, subnet=None, gateway=None, aux=(), *, driver=THEIRS, addresses=None):
    found = FOUND if addresses is None else FoundBridge(addresses)
    wanted = PoolRequest(version, subnet and IPNetwork(subnet), None, gateway, aux)
    got = fitted(wanted, "virbr0", found, driver, NET)
    return (got.subnet and str(got.subnet), got.gateway and str(got.gateway), got.aux)


def test_without_one_it_is_that_of_the_first_address():
    assert fit() == ("10.20.30.0/24", "10.20.30.1", ())
    assert fit(6) == (None, None, ())
    assert fit(6, addresses=["fd00:9::7/64"]) == ("fd00:9::/64", "fd00:9::7", ())
    assert fit(addresses=["10.20.30.1/32"]) == (None, None, ())


def test_the_address_in_a_subnet_is_its_gateway():
    assert fit(subnet="172.31.0.0/16") == ("172.31.0.0/16", "172.31.0.1", ())


def test_another_gateway_is_another_address_of_the_host():
    assert fit(subnet="10.20.30.0/24", gateway="10.20.30.254") == (
        "10.20.30.0/24",
        "10.20.30.254",
        (("host", "10.20.30.1"),),
    )


def test_what_else_is_there_is_set_aside_once():
    addresses = ["10.20.30.1/24", "10.20.30.2/24", "10.20.30.3/24"]
    subnet, gateway, aux = fit(aux=(("host", "10.20.30.2"),), addresses=addresses)
    assert (subnet, gateway) == ("10.20.30.0/24", "10.20.30.1")
    assert aux == (("host", "10.20.30.2"), ("host2", "10.20.30.3"))
    assert fit(4, subnet, gateway, aux, addresses=addresses) == (subnet, gateway, aux)


def test_on_a_wire_the_host_is_no_gateway():
    driver = attrs.evolve(THEIRS, external="eth0")
    assert fit(driver=driver) == ("10.20.30.0/24", None, (("host", "10.20.30.1"),))


def test_a_subnet_apart_is_one_more():
    assert fit(subnet="10.99.0.0/24") == ("10.99.0.0/24", None, ())


@pytest.mark.parametrize("subnet", ["10.20.30.0/25", "10.20.0.0/16", "10.20.30.0/30"])
def test_a_subnet_of_another_length_is_refused(subnet):
    with pytest.raises(PoolOverlapError, match=r"virbr0 has the address 10.20.30.1/24, whose"):
        fit(subnet=subnet)
