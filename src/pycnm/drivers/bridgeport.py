"""A port of a bridge network: the guard, the pair of links, what is inside."""

from __future__ import annotations

from pycnm.drivers import adopted, external
from pycnm.drivers.bridgelink import own, within
from pycnm.drivers.forwarding import elsewhere, plan_inside
from pycnm.drivers.shaping import plan_rate
from pycnm.plan.links import Address, Isolated, Sysctl, Up, Veth
from pycnm.plan.operation import HOST, Features, Operation, Plan
from pycnm.plan.ports import FreshFlows
from pycnm.plan.rules import Guard
from pycnm.plan.vlans import VLANMember
from pycnm.spec.objects import EndpointSpec, NetworkSpec, SandboxSpec


def plan(
    network: NetworkSpec,
    endpoint: EndpointSpec,
    sandbox: SandboxSpec,
    features: Features,
    *,
    bridge: str,
    mtu: int,
    apart: bool,
    wired: bool,
    quiet: bool,
    vlan: int,
) -> Plan:
    """What the kernel holds for one endpoint of a bridge network.

    Args:
        bridge: that the port is of.
        mtu: in bytes, of both ends; 0 leaves the kernel's.
        apart: it doesn't reach the other endpoints.
        wired: others than the host and our endpoints may be on the bridge.
        quiet: neighbours aren't told when an address comes up.
        vlan: that it is in, on a bridge that keeps them apart; 0 for what the bridge says.
    """
    ns, inside, outside = sandbox.key, endpoint.interface, endpoint.host_interface
    guard = Guard(
        outside,
        str(endpoint.mac),
        own(endpoint, 4),
        own(endpoint, 6),
        endpoint.alias,
        elsewhere(network, endpoint),
    )
    pair = Veth(
        HOST,
        outside,
        bridge,
        ns,
        inside,
        str(endpoint.mac),
        mtu=mtu,
        group=network.group,
        alias=endpoint.alias,
        # In no VLAN yet, or on a bridge of others in the wrong one.
        up=features.early_guard and not vlan,
        mac="" if network.adopted is None else adopted.port_mac(network),
    )
    # The port belongs to the bridge and has no address of any family.
    silent = Sysctl(HOST, f"net/ipv6/conf/{outside}/disable_ipv6", "1", outside, optional=True)
    isolated = (Isolated(HOST, outside),) if apart else ()
    member = (VLANMember(HOST, outside, vlan, bridge),) if vlan else ()
    first = (guard, pair) if features.early_guard else (pair, guard)
    last = () if pair.up else (Up(HOST, outside),)
    port: tuple[Operation, ...] = (*first, *member, *isolated, silent, *last)
    inner: list[Operation] = []
    if wired and sandbox.adopted and features.ipv6:
        inner += external.inside(ns, inside, ipv6=endpoint.ip6 is not None)
    elif endpoint.ip6 is not None:
        inner.append(within(ns, inside, "ipv6", "disable_ipv6", "0"))
    if quiet:
        inner.append(within(ns, inside, "ipv4", "arp_notify", "0"))
    inner += plan_inside(ns, endpoint, features)
    inner += [
        Sysctl(ns, key.replace("IFNAME", inside), value, link=inside)
        for key, value in endpoint.sysctls
    ]
    return Plan(
        (
            *port,
            *plan_rate(outside, endpoint),
            *inner,
            *(Address(ns, inside, str(address)) for address in endpoint.addresses),
            *(Address(ns, inside, address) for address in endpoint.link_local_ips),
            Up(ns, inside),
            *(FreshFlows(str(address.ip)) for address in endpoint.addresses),
        )
    )
