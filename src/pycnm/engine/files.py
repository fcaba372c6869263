"""What hosts and resolv.conf of a sandbox say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pycnm.dns import resolvconf
from pycnm.drivers.routing import Attachment, in_order
from pycnm.engine import records
from pycnm.engine.engine import Engine
from pycnm.engine.records import Reader
from pycnm.plan.names import ETC_NETNS
from pycnm.spec.objects import SandboxSpec

HOST_GATEWAY = "host-gateway"
HOSTS, RESOLV_CONF = "hosts", "resolv.conf"
_RUN_NETNS = "/run/netns"
_LOCAL = "127.0.0.1\tlocalhost\n"
_LOCAL6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def hosts(
    engine: Engine, reader: Reader, spec: SandboxSpec, attachments: Sequence[Attachment]
) -> str:
    """What a hosts file has: the sandbox itself, and its extra hosts (hosts(5))."""
    lines = [_LOCAL, *([_LOCAL6] if engine.kernel.features.ipv6 else [])]
    for name, address in spec.extra_hosts:
        found = [address]
        if address == HOST_GATEWAY:
            found = host_addresses(engine, reader, attachments)
        lines += [f"{each}\t{name}\n" for each in found]
    names = (spec.hostname, spec.hostname.partition(".")[0], spec.name)
    called = " ".join(name for name in dict.fromkeys(names) if name)
    for each in attachments:
        lines += [f"{address.ip}\t{called}\n" for address in each.endpoint.addresses]
    return "".join(lines)


def host_addresses(engine: Engine, reader: Reader, attachments: Sequence[Attachment]) -> list[str]:
    """The addresses at which a sandbox reaches the host, one a family.

    Those on its own networks, so that they are there as long as it is.  One that is
    on none has those of the default network.
    """
    own = [each.network for each in in_order(attachments)]
    found: dict[int, str] = {}
    for network in own or [records.network(reader, "bridge").spec]:
        if engine.driver(network).owns(network):
            for pool in network.pools:
                if pool.gateway is not None:
                    found.setdefault(pool.version, str(pool.gateway))
    return [found[version] for version in sorted(found)]


def resolv_conf(
    reader: Reader, spec: SandboxSpec, attachments: Sequence[Attachment], *, resolver: bool
) -> str:
    """What a resolv.conf has: the resolver, or the host's servers that can be reached."""
    path, text = host_resolv_conf(records.meta(reader, "host") or "")
    return _made(
        text,
        path,
        servers=spec.dns,
        search=spec.dns_search,
        options=spec.dns_options,
        resolver=resolver,
        ipv6=any(each.endpoint.ip6 is not None for each in attachments),
    )


_made = lru_cache(64)(resolvconf.for_sandbox)


def host_file(host: str, name: str) -> str:
    """The path of a file of the host's: as ip-netns(8) has it for a host that is a namespace.

    Args:
        host: the path of its namespace; empty if it has none of its own.
    """
    if host.startswith(f"{_RUN_NETNS}/"):
        path = f"{ETC_NETNS}/{host.removeprefix(f'{_RUN_NETNS}/')}/{name}"
        if os.path.isfile(path):  # noqa: PTH113 - four times as quick
            return path
    return f"/etc/{name}"


def host_resolv_conf(host: str) -> tuple[str, str]:
    """The path and the text of the host's resolv.conf; that of systemd-resolved behind its stub."""
    path = host_file(host, RESOLV_CONF)
    text, stub = _latest(path)
    if stub:
        behind, _ = _latest(resolvconf.RESOLVED)
        if behind:
            return resolvconf.RESOLVED, behind
    return path, text


def _latest(path: str) -> tuple[str, bool]:
    """What is in a file that seldom changes, and whether it leads to systemd-resolved only."""
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return "", False
    return _known(path, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(16)
def _known(path: str, signature: tuple[int, ...]) -> tuple[str, bool]:
    del signature
    text = read(path) or ""
    return text, resolvconf.is_stub(text)


def read(path: str) -> str | None:
    """What is in a file; None if it can't be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return None
