"""What a fake kernel holds, as text: sorted, a line for each thing."""

from __future__ import annotations

from collections.abc import Iterator

from pycnm.nft.objects import Element
from pycnm.plan.operation import HOST
from pycnm.testing import settings
from pycnm.testing.machine import MTU, Link, Machine, Namespace, Ruleset


def listing(machine: Machine) -> str:
    """Everything that was made: what is always there, and as it always is, is left out."""
    lines = [f"directory {path}" for path in machine.directories]
    lines += [f"file {path} {text!r}" for path, text in machine.files.items()]
    lines += [f"netns files {name} {path}" for name, path in machine.netns_files.items()]
    for path in machine.namespaces:
        lines += [f"{path or 'host'} {words}" for words in _namespace(machine, path)]
    for protocol, address, port in machine.ports:
        ours = machine.ports[protocol, address, port]
        shown = f"[{address}]" if ":" in address else address
        lines.append(f"port {shown}:{port}/{protocol}{'' if ours else ' (not ours)'}")
    for ruleset in machine.tables.values():
        lines += _table(ruleset)
    return "".join(f"{line}\n" for line in sorted(lines))


def _namespace(machine: Machine, path: str) -> Iterator[str]:
    namespace = machine.namespaces[path]
    if path != HOST:
        yield "namespace"
    features = machine.features
    usual = settings.initial(ipv6=features.ipv6, force_forwarding=features.force_forwarding)
    for key, value in namespace.settings.items():
        if value != usual[key]:
            yield f"sysctl net/{key} {value}"
    for link in namespace.links.values():
        born_with = settings.inherited(usual if link.name == "lo" else namespace.settings)
        yield f"link {_link(link)}"
        yield from (f"address {address} dev {link.name}" for address in link.addresses)
        for key, value in link.settings.items():
            if value != born_with[key]:
                family, _, name = key.partition("/")
                yield f"sysctl net/{family}/conf/{link.name}/{name} {value}"
    for route in namespace.routes:
        via = f" via {route.gateway}" if route.gateway else ""
        metric = f" metric {route.metric}" if route.metric else ""
        yield f"route {route.destination}{via} dev {route.link} table {route.table}{metric}"
    yield from _names(namespace)
    for rule in namespace.rules:
        yield f"rule from {rule.source} table {rule.table}"


def _names(namespace: Namespace) -> Iterator[str]:
    for port, whose in namespace.resolvers.items():
        yield f"resolver {port} of {whose[:12] or 'others'}"
    if namespace.divert:
        yield f"divert {namespace.divert}"


def _link(link: Link) -> str:
    words = [link.name, link.kind or "hardware", "up" if link.up else "down"]
    words += [f"mac {link.mac}"] if link.mac else []
    words += [f"mtu {link.mtu}"] if link.kind and link.mtu != MTU else []
    words += [f"group {link.group:#x}"] if link.group else []
    words += [f"queue {link.queue}"] if link.queue else []
    words += [f"alias {link.alias}"] if link.alias else []
    words += sorted(link.flags)
    for what, other in (("master", link.master), ("link", link.parent), ("peer", link.peer)):
        words += [f"{what} {other.name}"] if other is not None else []
    return " ".join(words)


def _table(ruleset: Ruleset) -> Iterator[str]:
    table = ruleset.table
    yield f"{table}"
    for name, chain in ruleset.chains.items():
        yield f"{chain.reference}: {len(ruleset.rules[name])} rules"
    for name, elements in ruleset.elements.items():
        for key, data in elements.items():
            yield str(Element(table.family, table.name, name, key, data))
