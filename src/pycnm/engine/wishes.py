"""What a caller asks of a new sandbox, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pycnm.errors import InvalidArgumentError
from pycnm.kernel.netns import resolve
from pycnm.spec import addresses, names
from pycnm.spec.objects import SandboxSpec
from pycnm.spec.wording import shown

HOST_GATEWAY = "host-gateway"


def sandbox_spec(
    name: object,
    *,
    netns: Any = None,
    hostname: object = None,
    dns: object = (),
    dns_search: object = (),
    dns_options: object = (),
    extra_hosts: object = (),
    labels: object = None,
) -> SandboxSpec:
    """Everything `Controller.create_sandbox` is given, as one well-formed value.

    Raises:
        InvalidArgumentError: an argument is not what it should be.
        NotFoundError: there is no namespace to adopt.
    """
    text = names.object_name(name, "sandbox")
    adopted = netns is not None
    host = adopted and netns == "host"
    return SandboxSpec(
        id="",
        name=text,
        key=resolve(netns) if adopted and not host else "",
        adopted=adopted,
        hostname=text if hostname is None else names.hostname(hostname),
        dns=[str(addresses.address(item, "DNS server")) for item in _texts(dns, "dns")],
        dns_search=[
            item if item == "." else names.domain_name(item, "search domain")
            for item in _texts(dns_search, "dns_search")
        ],
        dns_options=[_word(item) for item in _texts(dns_options, "dns_options")],
        extra_hosts=_hosts(extra_hosts),
        labels=names.labels(labels),
    )


def _texts(value: object, what: str) -> list[object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidArgumentError(f"invalid {what} {shown(value)}: give a list of texts")
    return list(value)


def _word(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value and not set(value) & {" ", "#"}:
        return value
    raise InvalidArgumentError(
        f"invalid DNS option {shown(value)}: give one word of resolv.conf(5), such as 'ndots:1'"
    )


def _hosts(value: object) -> list[tuple[str, str]]:
    pairs: list[tuple[object, object]] = []
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        for item in _texts(value, "extra_hosts"):
            host, colon, address = item.partition(":") if isinstance(item, str) else ("", "", "")
            if not colon:
                raise InvalidArgumentError(
                    f"invalid extra host {shown(item)}: give name:address, such as 'db:192.0.2.7'"
                )
            pairs.append((host, address))
    return [
        (
            names.domain_name(host, "extra host"),
            HOST_GATEWAY
            if address == HOST_GATEWAY
            else str(addresses.address(address, "address of an extra host")),
        )
        for host, address in pairs
    ]
