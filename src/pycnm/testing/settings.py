"""The settings below net that a fake kernel has, and what they are at first (sysctl(8))."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

CONF4: Mapping[str, str] = {
    "accept_local": "0",
    "accept_redirects": "1",
    "arp_announce": "0",
    "arp_filter": "0",
    "arp_ignore": "0",
    "arp_notify": "0",
    "forwarding": "0",
    "log_martians": "0",
    "promote_secondaries": "0",
    "proxy_arp": "0",
    "route_localnet": "0",
    "rp_filter": "0",
    "send_redirects": "1",
}
CONF6: Mapping[str, str] = {
    "accept_dad": "1",
    "accept_ra": "1",
    "accept_redirects": "1",
    "addr_gen_mode": "0",
    "autoconf": "1",
    "disable_ipv6": "0",
    "force_forwarding": "0",
    "forwarding": "0",
    "hop_limit": "64",
    "ndisc_notify": "0",
    "proxy_ndp": "0",
}
OTHERS: Mapping[str, str] = {
    "ipv4/ip_forward": "0",
    "ipv4/ip_local_port_range": "32768 60999",
    "ipv4/ip_local_reserved_ports": "",
    "ipv4/ip_nonlocal_bind": "0",
    "ipv4/ip_unprivileged_port_start": "1024",
    "netfilter/nf_conntrack_max": "262144",
}


def initial(*, ipv6: bool, force_forwarding: bool) -> dict[str, str]:
    """The settings of a new namespace, those of its links left out."""
    found = dict(OTHERS)
    for family, name, value in _conf(ipv6=ipv6, force_forwarding=force_forwarding):
        for whose in ("all", "default"):
            found[f"{family}/conf/{whose}/{name}"] = value
    return found


def _conf(*, ipv6: bool, force_forwarding: bool) -> Iterator[tuple[str, str, str]]:
    yield from (("ipv4", name, value) for name, value in CONF4.items())
    if ipv6:
        for name, value in CONF6.items():
            if name != "force_forwarding" or force_forwarding:
                yield "ipv6", name, value


def inherited(settings: Mapping[str, str]) -> dict[str, str]:
    """What a link is born with in a namespace of such settings: `ipv4/forwarding` and so on."""
    marks = ("ipv4/conf/default/", "ipv6/conf/default/")
    return {
        key.replace("conf/default/", ""): value
        for key, value in settings.items()
        if key.startswith(marks)
    }


def parts(key: str) -> tuple[str, str]:
    """The interface a setting belongs to, if any, and its name below net."""
    text = key if "/" in key else key.replace(".", "/")
    words = text.removeprefix("net/").split("/")
    if len(words) == 4 and words[1] == "conf" and words[2] not in {"all", "default"}:  # noqa: PLR2004 - ipv4/conf/eth0/forwarding
        return words[2], f"{words[0]}/{words[3]}"
    return "", "/".join(words)
