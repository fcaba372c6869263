"""S15: inspect has the fields and the shape of Docker's."""

from __future__ import annotations

import json
import re

from topology import inside

FIELDS = [
    "Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM", "Internal",
    "Attachable", "Ingress", "ConfigFrom", "ConfigOnly", "Containers", "Options", "Labels",
]  # fmt: skip


def document(thing):
    """What it prints, read again."""
    return json.loads(str(thing.inspect()))


def test_grep_bridge_name(cnm):
    lines = str(cnm.network("bridge").inspect()).splitlines()
    (found,) = [line for line in lines if "bridge.name" in line]
    assert found.strip().rstrip(",") == '"com.docker.network.bridge.name": "cnm0"'


def test_the_default_network(cnm):
    shown = document(cnm.network("bridge"))
    assert list(shown) == FIELDS
    assert (shown["Name"], shown["Driver"], shown["Scope"]) == ("bridge", "bridge", "local")
    assert re.fullmatch(r"[0-9a-f]{64}", shown["Id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", shown["Created"])
    assert shown["IPAM"] == {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
    }
    assert shown["Options"] == {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "cnm0",
        "com.docker.network.driver.mtu": "1500",
    }
    assert shown["Containers"] == {}
    flags = ("EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigOnly")
    assert [shown[flag] for flag in flags] == [False] * 5
    assert shown["EnableIPv4"] is True
    assert shown["ConfigFrom"] == {"Network": ""}


def test_what_is_shown_is_what_the_kernel_has(cnm, host):
    net = cnm.create_network(
        "my_bridge",
        subnet=["10.20.30.0/24", "fd00:1::/64"],
        gateway="10.20.30.254",
        ip_range="10.20.30.128/25",
        aux_addresses={"printer": "10.20.30.129"},
        labels={"who": "me"},
    )
    c2 = cnm.create_sandbox("c2")
    net.connect(c2)
    shown = document(net)
    assert shown["IPAM"]["Config"] == [
        {
            "Subnet": "10.20.30.0/24",
            "IPRange": "10.20.30.128/25",
            "Gateway": "10.20.30.254",
            "AuxiliaryAddresses": {"printer": "10.20.30.129"},
        },
        {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1"},
    ]
    assert shown["Labels"] == {"who": "me"}
    assert shown["EnableIPv6"] is True
    ((identity, container),) = shown["Containers"].items()
    assert identity == c2.id
    assert list(container) == ["Name", "EndpointID", "MacAddress", "IPv4Address", "IPv6Address"]
    box = inside(c2)
    assert container["Name"] == "c2"
    assert [container["IPv4Address"]] == box.addresses("eth0") == ["10.20.30.128/24"]
    assert container["IPv6Address"] in box.addresses("eth0", 6)
    assert container["MacAddress"] == box.link("eth0")["address"]
    assert "10.20.30.254/24" in host.addresses(f"br-{net.id[:12]}")


def test_the_sandbox_and_its_endpoint(cnm):
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    c2 = cnm.create_sandbox("c2", dns=["192.0.2.53"], labels={"tier": "web"})
    net.connect(c2, aliases=["web"])
    shown = document(c2)
    assert (shown["Name"], shown["Id"], shown["SandboxKey"]) == ("c2", c2.id, c2.key)
    assert (shown["Dns"], shown["Labels"]) == (["192.0.2.53"], {"tier": "web"})
    settings = shown["Networks"]["my_bridge"]
    assert settings == document(c2.endpoints[0])
    expected = {
        "IPAddress": "10.20.30.2",
        "IPPrefixLen": 24,
        "Gateway": "10.20.30.1",
        "MacAddress": "02:42:0a:14:1e:02",
        "NetworkID": net.id,
        "Aliases": ["web"],
        "GlobalIPv6Address": "",
    }
    assert {key: settings[key] for key in expected} == expected


def test_explain_is_what_a_person_would_type(controller, machine):
    """The commands, typed on another host, make the same bridge and the same endpoint."""
    real, typed = machine("real"), machine("typed")
    cnm = controller(real)
    plan = str(cnm.plan_network("my_bridge", subnet="10.20.30.0/24"))
    assert real.interfaces() == ["lo"]
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    bridge = f"br-{net.id[:12]}"
    assert re.sub(r"[0-9a-f]{12,64}", "ID", plan).count("ip link add") == 1
    for command in str(net.explain()).splitlines():
        if command.startswith("ip "):
            typed.run("sh", "-c", command)
    assert typed.addresses(bridge) == real.addresses(bridge) == ["10.20.30.1/24"]
    for key in ("address", "mtu", "group", "ifalias"):
        assert typed.link(bridge)[key] == real.link(bridge)[key], key
