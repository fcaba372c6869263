"""The options of bridge networks, under Docker's names."""

from __future__ import annotations

from pycnm.drivers import gateways, vlans
from pycnm.spec.options import (
    FLAG,
    INTERFACE,
    INTERFACES,
    PREFIX,
    Option,
    OptionTable,
    address,
    integer,
)

_MTU_MAX = 65535
_D = "com.docker.network."
OPTIONS = OptionTable(
    (
        Option(_D + "bridge.name", "bridge_name", INTERFACE, None,
               "name of the bridge interface, which is used as it is where it is there; by default "
               "br- and 12 digits of the network's id"),
        Option(_D + "bridge.enable_icc", "icc", FLAG, True,
               "endpoints of the network may talk to each other"),
        Option(_D + "bridge.enable_ip_masquerade", "masquerade", FLAG, True,
               "what goes outside carries the host's address"),
        Option(_D + "driver.mtu", "mtu", integer(0, _MTU_MAX), None,
               "MTU in bytes of the bridge and both ends of each endpoint; by default that of the "
               "way outside, or of a bridge that is there, when the network is made; 0 leaves the "
               "kernel's"),
        Option(_D + "bridge.host_binding_ipv4", "binding", address(), None,
               "host address of ports published without one; by default all addresses"),
        Option(_D + "bridge.inhibit_ipv4", "inhibit_ipv4", FLAG, False,
               "the bridge gets no IPv4 address"),
        Option(_D + "bridge.gateway_mode_ipv4", "gateway_mode_ipv4", gateways.MODE, gateways.NAT,
               "nat; nat-unprotected: who has a route to them reaches all ports of endpoints; "
               "routed: no NAT, and published ports are open at the endpoint's own address; "
               "isolated: internal, and the host isn't reached either"),
        Option(_D + "bridge.gateway_mode_ipv6", "gateway_mode_ipv6", gateways.MODE, gateways.NAT,
               "the same for IPv6"),
        Option(_D + "bridge.trusted_host_interfaces", "trusted", INTERFACES, (),
               "host interfaces, with colons between them, that reach endpoints without a port"),
        Option(_D + "host_ipv4", "host_ipv4", address(4), None,
               "IPv4 source address outside, in place of the outgoing interface's"),
        Option(_D + "host_ipv6", "host_ipv6", address(6), None,
               "IPv6 source address outside, in place of the outgoing interface's"),
        Option(_D + "container_iface_prefix", "interface_name_prefix", PREFIX, "eth",
               "interfaces inside are called this and a number"),
        Option(_D + "advertise_addr_nmsgs", "announcements", integer(0, 1), 1,
               "1: neighbours are told when an address comes up; 0: they are not"),
        Option("external", "external", INTERFACE, None,
               "an interface of the host that becomes a port of the bridge: endpoints are on its "
               "wire, and the host neither is there nor leads or filters what they send"),
        Option("vlan", "vlan", vlans.VLAN, None,
               "number of the VLAN of the bridge that endpoints and the host are in; endpoints may "
               "be given another one, where they reach only each other"),
        Option(_D + "bridge.default_bridge", "default_bridge", FLAG, False,
               "marks the default network"),
    )
)  # fmt: skip
