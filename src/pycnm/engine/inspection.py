"""What inspect shows: documents in the shape of Docker's, and Docker's words for things."""

from __future__ import annotations

import json
from typing import Any

from pycnm.engine import published, records
from pycnm.engine.engine import Engine
from pycnm.engine.files import HOSTS, RESOLV_CONF
from pycnm.engine.naming import names_of
from pycnm.engine.records import EndpointRow, NetworkRow, Reader, SandboxRow
from pycnm.spec.objects import Pool
from pycnm.spec.ports import PortBinding

_MTU = "com.docker.network.driver.mtu"


class Document(dict[str, Any]):
    """A mapping that prints as the JSON it stands for."""

    def __str__(self) -> str:
        return json.dumps(self, indent=4)


def network(engine: Engine, reader: Reader, row: NetworkRow) -> Document:
    """The object of `docker network inspect`."""
    spec = row.spec
    driver = engine.driver(spec)
    options = driver.option_table.write(driver, defaults=True) if spec.predefined else {}
    if spec.predefined and driver.usual_mtu:
        options.setdefault(_MTU, str(driver.usual_mtu))
    # Docker has no such key: where there is nothing to tell, all is as Docker shows it.
    routes = {"Routes": list(spec.routes)} if spec.routes else {}
    return Document(
        Name=spec.name,
        Id=spec.id,
        Created=spec.created,
        Scope=spec.scope,
        Driver=spec.driver,
        EnableIPv4=spec.ipv4,
        EnableIPv6=spec.ipv6,
        IPAM={
            "Driver": spec.ipam,
            "Options": dict(spec.ipam_options) or None,
            "Config": [_config(pool) for pool in spec.pools] or None,
        },
        Internal=spec.internal,
        Attachable=spec.attachable,
        Ingress=False,
        ConfigFrom={"Network": ""},
        ConfigOnly=False,
        Containers={
            key: container
            for endpoint in records.endpoints_of_network(reader, row.number)
            for key, container in [_container(reader, endpoint)]
        },
        Options=dict(spec.options) | _shown(options),
        Labels=dict(spec.labels),
        **routes,
    )


def _shown(options: dict[str, str]) -> dict[str, str]:
    """Of the default network's options those that Docker shows for its own."""
    names = ("default_bridge", "enable_icc", "enable_ip_masquerade", "name")
    shown = {f"com.docker.network.bridge.{name}" for name in names}
    shown.add(_MTU)
    found = {key: value for key, value in options.items() if key in shown}
    if found:
        binding = options.get("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0")  # noqa: S104
        found["com.docker.network.bridge.host_binding_ipv4"] = binding
    return found


def _config(pool: Pool) -> dict[str, Any]:
    config: dict[str, Any] = {"Subnet": str(pool.subnet)}
    if pool.ip_range is not None:
        config["IPRange"] = str(pool.ip_range)
    if pool.gateway is not None:
        config["Gateway"] = str(pool.gateway)
    if pool.aux:
        config["AuxiliaryAddresses"] = dict(pool.aux)
    return config


def _container(reader: Reader, row: EndpointRow) -> tuple[str, dict[str, str]]:
    box = records.sandbox_row(reader, row.sandbox) if row.sandbox is not None else None
    return (box.spec.id if box is not None else f"ep-{row.spec.id}"), {
        "Name": box.spec.name if box is not None else row.spec.name,
        "EndpointID": row.spec.id,
        "MacAddress": _text(row.spec.mac),
        "IPv4Address": _text(row.spec.ip),
        "IPv6Address": _text(row.spec.ip6),
    }


def endpoint(reader: Reader, row: EndpointRow) -> Document:
    """The endpoint settings of `docker inspect`, with what Docker doesn't show."""
    spec = row.spec
    ip, ip6 = spec.ip, spec.ip6
    return Document(
        Name=spec.name,
        NetworkID=spec.network,
        EndpointID=spec.id,
        SandboxID=spec.sandbox,
        Gateway=_text(spec.gateway),
        IPAddress=_text(ip.ip if ip is not None else None),
        IPPrefixLen=ip.prefixlen if ip is not None else 0,
        IPv6Gateway=_text(spec.gateway6),
        GlobalIPv6Address=_text(ip6.ip if ip6 is not None else None),
        GlobalIPv6PrefixLen=ip6.prefixlen if ip6 is not None else 0,
        MacAddress=_text(spec.mac),
        Interface=spec.interface,
        HostInterface=spec.host_interface,
        Aliases=list(spec.aliases),
        DNSNames=_names(reader, row),
        GwPriority=spec.gateway_priority,
        Rate=spec.rate,
        Routes=list(spec.routes),
        Forwarding=spec.forwarding,
        LinkLocalIPs=[text.partition("/")[0] for text in spec.link_local_ips],
        DriverOpts=dict(spec.options) or None,
        Ports=_ports(published.bindings(reader, row.number)),
        Created=spec.created,
    )


def _names(reader: Reader, row: EndpointRow) -> list[str]:
    """What it is called by those on its network; as yet, before it is joined."""
    box = None if row.sandbox is None else records.sandbox_row(reader, row.sandbox)
    if box is not None:
        return list(names_of(row.spec, box.spec))
    return list(dict.fromkeys((row.spec.name, *row.spec.aliases)))


def sandbox(reader: Reader, row: SandboxRow, state: str) -> Document:
    """A sandbox with its endpoints, under the words of `docker inspect`."""
    spec = row.spec
    endpoints = records.endpoints_of_sandbox(reader, row.number)
    return Document(
        Name=spec.name,
        Id=spec.id,
        Created=spec.created,
        State=state,
        SandboxKey=spec.key or "default",
        Adopted=spec.adopted,
        Hostname=spec.hostname,
        HostsPath="" if spec.is_host else f"{spec.files}/{HOSTS}",
        ResolvConfPath="" if spec.is_host else f"{spec.files}/{RESOLV_CONF}",
        Dns=list(spec.dns),
        DnsSearch=list(spec.dns_search),
        DnsOptions=list(spec.dns_options),
        ExtraHosts=[f"{name}:{address}" for name, address in spec.extra_hosts],
        Labels=dict(spec.labels),
        Networks={
            records.network_spec(reader, item.network).name: dict(endpoint(reader, item))
            for item in endpoints
        },
    )


def _ports(bindings: list[PortBinding]) -> dict[str, list[dict[str, str]]]:
    ports: dict[str, list[dict[str, str]]] = {}
    for binding in bindings:
        ports.setdefault(f"{binding.port}/{binding.protocol}", []).append(
            {"HostIp": str(binding.host_address), "HostPort": str(binding.host_port or "")}
        )
    return ports


def _text(value: object) -> str:
    return "" if value is None else str(value)
