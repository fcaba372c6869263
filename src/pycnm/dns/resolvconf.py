"""resolv.conf(5): the host's is read, a sandbox's is made.

The host's file is the administrator's, but may be anything: what makes no sense
is left out.

Source: resolv.conf(5); Docker (libnetwork/internal/resolvconf).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

import attrs

RESOLVER: Final = "127.0.0.11"
"""Where the resolver of a sandbox answers."""

STUB: Final = "127.0.0.53"
"""Where systemd-resolved answers, on the host only."""

RESOLVED: Final = "/run/systemd/resolve/resolv.conf"
"""The servers that systemd-resolved itself asks."""

MOST_SERVERS: Final = 3
"""So many are asked; glibc takes no more either (MAXNS)."""

PUBLIC: Final = ("8.8.8.8", "8.8.4.4")
PUBLIC6: Final = ("2001:4860:4860::8888", "2001:4860:4860::8844")
"""Who is asked where nobody is left and there is no resolver, as Docker has it."""

_NDOTS: Final = re.compile(r"ndots:([0-9]{1,9})", re.ASCII)
_NONE: Final = (".",)


@attrs.frozen
class ResolvConf:
    """What a resolv.conf says.

    Attributes:
        servers: addresses, with a scope if one was given (`fe80::1%eth0`).
        search: domains.
        options: words, as they stand.
        other: whole lines of what else there is, `sortlist` for instance.
    """

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def read(text: str) -> ResolvConf:
    """What a file says; the last `search` or `domain` counts, and all of the others."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    other: list[str] = []
    for line in re.split(r"[\n\0]", text):
        words = line.split()
        if not words or line[0] in "#;":
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver":
            servers += [value for value in values[:1] if _is_address(value)]
        elif keyword == "search":
            search = tuple(values)
        elif keyword == "domain":
            search = tuple(values[:1])
        elif keyword == "options":
            options += values
        elif line.isprintable():
            other.append(line)
    return ResolvConf(tuple(servers), search, tuple(options), tuple(other))


def upstream(text: str) -> tuple[str, ...]:
    """The servers to ask, of a host's file: at most three, and never the resolver itself."""
    return tuple(server for server in read(text).servers if server != RESOLVER)[:MOST_SERVERS]


def is_stub(text: str) -> bool:
    """Whether systemd-resolved is the only server: then `RESOLVED` is the file to look at."""
    return set(read(text).servers) == {STUB}


def asks_for_dots(options: Iterable[str]) -> bool:
    """Whether these options, given by a user, set ndots to more than 0."""
    found = [int(match[1]) for match in map(_NDOTS.fullmatch, options) if match]
    return bool(found) and found[-1] > 0


def for_sandbox(
    host: str,
    path: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    resolver: bool,
    ipv6: bool = False,
) -> str:
    """The resolv.conf of a sandbox.

    Args:
        host: what the host's file says.
        path: where that is.
        servers, search, options: what the user gave in the place of the host's;
            the search domain `.` stands for none.
        resolver: names are answered at `RESOLVER`, which asks the servers.  Otherwise
            the sandbox asks them itself, without those on the host's loopback.
        ipv6: it could reach IPv6 servers; matters without a resolver only.
    """
    base = read(host)
    domains = tuple(search) or base.search
    chosen, ndots = _options(base.options, options, resolver=resolver)
    notes = [f"# Based on host file: '{path}'" + (" (internal resolver)" if resolver else "")]
    if resolver:
        asked = [RESOLVER]
        known = [f"host({server})" for server in upstream(host)]
        known = [server for server in servers if server != RESOLVER] if servers else known
        notes.append(f"# ExtServers: [{' '.join(known)}]")
    else:
        asked = list(servers) or [each for each in base.servers if _is_reachable(each, ipv6)]
        if not asked:
            asked = [*PUBLIC, *(PUBLIC6 if ipv6 else ())]
            notes.append("# Used default nameservers.")
    given = (("nameservers", servers), ("search", search), ("options", options))
    notes.append(f"# Overrides: [{' '.join(word for word, values in given if values)}]")
    if ndots:
        notes.append(f"# Option ndots from: {ndots}")
    lines = [f"nameserver {server}" for server in asked]
    if domains and domains != _NONE:
        lines.append(f"search {' '.join(domains)}")
    if chosen:
        lines.append(f"options {' '.join(chosen)}")
    return "\n".join((*lines, *base.other, "", *notes, ""))


def _options(base: Sequence[str], given: Sequence[str], *, resolver: bool) -> tuple[list[str], str]:
    """The options that count, and where `ndots` among them is from."""
    if given:
        options, source = list(given), "override"
    else:
        options = [word for word in base if not word.startswith("ndots") or _NDOTS.fullmatch(word)]
        source = "host"
    if any(map(_NDOTS.fullmatch, options)):
        return options, source
    return ([*options, "ndots:0"], "internal") if resolver else (options, "")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return text.isascii() and text.isprintable()


def _is_reachable(server: str, ipv6: bool) -> bool:
    address = ip_address(server)
    return not address.is_loopback and (ipv6 or not isinstance(address, IPv6Address))
