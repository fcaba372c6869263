"""Operations as rtnetlink messages (rtnetlink(7), uapi/linux/if_link.h, rtnetlink.h).

Pure: bytes out, bytes in.  `links` sends them.
"""

from __future__ import annotations

import socket
import struct
from typing import Literal, NamedTuple

from pycnm.errors import NotSupportedError
from pycnm.kernel.netlink import (
    NATIVE,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    Message,
    attribute,
    attributes,
    message,
    nested,
    string,
    u32,
    u32_of,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWNSID, RTM_GETNSID = 88, 90

IFF_UP = 1

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK = 1, 3, 4, 5
_IFLA_OPERSTATE, _OPERATIONAL = 16, b"\6"
_IFLA_LINK_NETNSID, _IFLA_TARGET_NETNSID = 37, 46
_NETNSA_NSID, _NETNSA_FD = 1, 3
_NOWHERE = 0xFFFFFFFF
IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_GROUP, IFLA_NET_NS_FD = 10, 18, 20, 27, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_PORT_FLAGS = {"hairpin": 4, "isolated": 33}
_BRPORT_STATE, _FORWARDING = 1, b"\3"
_VETH_INFO_PEER = 1

_IFINFO = struct.Struct("=BxHiII")

# Settings of link kinds as in ip-link(8): attribute number, size in bytes, and
# the words some of them take in place of a number.
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_KIND_OPTIONS: dict[str, dict[str, tuple[int, int, dict[str, int]]]] = {
    "bridge": {
        "forward_delay": (1, 4, {}),
        "ageing_time": (4, 4, {}),
        "stp_state": (5, 4, {}),
        "vlan_filtering": (7, 1, {}),
        "mcast_snooping": (23, 1, {}),
        "vlan_default_pvid": (39, 2, {}),
    },
    "macvlan": {"mode": (1, 4, _MACVLAN_MODES)},
    "ipvlan": {
        "mode": (1, 2, {"l2": 0, "l3": 1, "l3s": 2}),
        "flag": (2, 2, {"bridge": 0, "private": 1, "vepa": 2}),
    },
    "vlan": {"id": (1, 2, {})},
    "vxlan": {"id": (1, 4, {}), "learning": (7, 1, {}), "dstport": (15, -2, {})},
    "dummy": {},
    "ifb": {},
}


class LinkState(NamedTuple):
    """What the kernel says of one link; `kind` is empty for hardware and lo.

    `link` is the index of the other end of a pair, or of what it sits on, and
    `nsid` the number by which this namespace knows the one where that is, or -1
    if it is here; `carries` is whether frames pass: it has a carrier that the
    kernel has taken note of, and if it is a bridge's port it forwards; `settings`
    are those of its kind, as they were sent.
    """

    ifindex: int
    name: str
    kind: str
    up: bool
    mac: bytes
    mtu: int
    link: int
    master: int
    group: int
    alias: str
    flags: frozenset[str]
    carries: bool
    nsid: int
    settings: dict[int, bytes]


def hardware(mac: str) -> bytes:
    """The six bytes of a MAC in text."""
    return bytes.fromhex(mac.replace(":", ""))


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)


def _setting(kind: str, key: str, value: int | str) -> tuple[int, bytes]:
    """The attribute that a setting of a kind of link is."""
    known = _KIND_OPTIONS.get(kind, {})
    if key not in known:
        raise NotSupportedError(
            f"links of kind {kind} have no setting {key!r} here; "
            f"known are {', '.join(known) or 'none'}"
        )
    number, size, words = known[key]
    amount = words[value] if isinstance(value, str) else value
    order: Literal["little", "big"] = "big" if size < 0 else NATIVE
    return number, amount.to_bytes(abs(size), order)


def other_setting(found: LinkState, key: str, value: int | str) -> int | None:
    """What a setting of a link is, where it isn't `value`; None where it is."""
    number, wanted = _setting(found.kind, key, value)
    there = found.settings.get(number, bytes(len(wanted)))
    order: Literal["little", "big"] = "big" if _KIND_OPTIONS[found.kind][key][1] < 0 else NATIVE
    return None if there == wanted else int.from_bytes(there, order)


def set_setting(name: str, kind: str, key: str, value: int | str) -> bytes:
    """Change a setting of a link that is there."""
    data = nested(_INFO_DATA, attribute(*_setting(kind, key, value)))
    info = nested(IFLA_LINKINFO, string(_INFO_KIND, kind), data)
    return message(RTM_NEWLINK, 0, _link() + string(IFLA_IFNAME, name) + info)


def new_link(
    name: str,
    kind: str,
    options: tuple[tuple[str, int | str], ...] = (),
    *,
    mac: str = "",
    mtu: int = 0,
    group: int = 0,
    master: int = 0,
    parent: int = 0,
    netns: int = -1,
) -> bytes:
    """Make a link; `master` and `parent` are indexes, `netns` a descriptor."""
    info = string(_INFO_KIND, kind)
    data = b"".join(attribute(*_setting(kind, key, value)) for key, value in options)
    if data:
        info += nested(_INFO_DATA, data)
    body = _link() + string(IFLA_IFNAME, name)
    body += _shared(mac, mtu, group)
    body += u32(IFLA_MASTER, master) if master else b""
    body += u32(IFLA_LINK, parent) if parent else b""
    body += u32(IFLA_NET_NS_FD, netns) if netns >= 0 else b""
    return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + nested(IFLA_LINKINFO, info))


def new_veth(
    name: str,
    master: int,
    peer: str,
    peer_mac: str,
    netns: int,
    *,
    mtu: int,
    group: int,
    up: bool,
    mac: str = "",
) -> bytes:
    """Make a veth pair, the peer in the namespace that descriptor `netns` stands for."""
    there = _link() + string(IFLA_IFNAME, peer) + _shared(peer_mac, mtu, 0)
    there += u32(IFLA_NET_NS_FD, netns)
    data = nested(_INFO_DATA, attribute(_VETH_INFO_PEER, there))
    body = _link(flags=IFF_UP, change=IFF_UP) if up else _link()
    body += string(IFLA_IFNAME, name) + _shared(mac, mtu, group)
    body += u32(IFLA_MASTER, master)
    info = nested(IFLA_LINKINFO, string(_INFO_KIND, "veth"), data)
    return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + info)


def _shared(mac: str, mtu: int, group: int) -> bytes:
    body = attribute(IFLA_ADDRESS, hardware(mac)) if mac else b""
    body += u32(IFLA_MTU, mtu) if mtu else b""
    return body + (u32(IFLA_GROUP, group) if group else b"")


def set_link(
    name: str,
    *,
    up: bool | None = None,
    alias: str = "",
    group: int = 0,
    master: int = 0,
    mac: str = "",
    mtu: int = 0,
) -> bytes:
    """Change a link that is there; what isn't given stays as it is."""
    body = _link(flags=IFF_UP if up else 0, change=0 if up is None else IFF_UP)
    body += string(IFLA_IFNAME, name)
    body += attribute(IFLA_IFALIAS, alias.encode()) if alias else b""
    body += attribute(IFLA_ADDRESS, hardware(mac)) if mac else b""
    body += u32(IFLA_GROUP, group) if group else b""
    body += u32(IFLA_MASTER, master) if master else b""
    body += u32(IFLA_MTU, mtu) if mtu else b""
    return message(RTM_NEWLINK, 0, body)


def set_master(name: str, master: int) -> bytes:
    """Make a link a port of the bridge with an index; of none, with 0."""
    return message(RTM_NEWLINK, 0, _link() + string(IFLA_IFNAME, name) + u32(IFLA_MASTER, master))


def set_flag(name: str, flag: str, *, on: bool) -> bytes:
    """Switch a flag of a bridge port: `hairpin`, or `isolated`."""
    setting = nested(_INFO_SLAVE_DATA, attribute(_PORT_FLAGS[flag], bytes([on])))
    info = nested(IFLA_LINKINFO, string(_INFO_SLAVE_KIND, "bridge"), setting)
    return message(RTM_NEWLINK, 0, _link() + string(IFLA_IFNAME, name) + info)


def rename_link(index: int, name: str) -> bytes:
    """Give a link another name."""
    return message(RTM_NEWLINK, 0, _link(index) + string(IFLA_IFNAME, name))


def delete_link(index: int) -> bytes:
    """Delete one link."""
    return message(RTM_DELLINK, 0, _link(index))


def delete_group(group: int) -> bytes:
    """Delete all links of a group; ENODEV if there are none."""
    return message(RTM_DELLINK, 0, _link() + u32(IFLA_GROUP, group))


def get_link(name: str) -> bytes:
    """Ask for one link by its name."""
    return message(RTM_GETLINK, 0, _link() + string(IFLA_IFNAME, name))


def get_link_at(index: int) -> bytes:
    """Ask for one link by its index."""
    return message(RTM_GETLINK, 0, _link(index))


def get_links(nsid: int = -1) -> bytes:
    """Ask for all links; of another namespace by the number that this one knows it by."""
    where = u32(_IFLA_TARGET_NETNSID, nsid) if nsid >= 0 else b""
    return message(RTM_GETLINK, NLM_F_DUMP, _link() + where)


def link_up(received: Message) -> tuple[int, bool]:
    """The index of a link, and whether it is up, without reading all that is said of it."""
    _, _, index, flags, _ = _IFINFO.unpack_from(received.payload)
    return index, bool(flags & IFF_UP)


def link_state(received: Message) -> LinkState:
    """Read an answer to `get_link` or `get_links`."""
    _, _, index, flags, _ = _IFINFO.unpack_from(received.payload)
    found = attributes(received.payload, _IFINFO.size)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    port = attributes(info.get(_INFO_SLAVE_DATA, b""))
    number = u32_of
    return LinkState(
        ifindex=index,
        name=_text(found.get(IFLA_IFNAME, b"")),
        kind=_text(info.get(_INFO_KIND, b"")),
        up=bool(flags & IFF_UP),
        mac=found.get(IFLA_ADDRESS, b""),
        mtu=number(found.get(IFLA_MTU)),
        link=number(found.get(IFLA_LINK)),
        master=number(found.get(IFLA_MASTER)),
        group=number(found.get(IFLA_GROUP)),
        alias=_text(found.get(IFLA_IFALIAS, b"")),
        flags=frozenset(flag for flag, kind in _PORT_FLAGS.items() if port.get(kind) == b"\1"),
        carries=found.get(_IFLA_OPERSTATE) == _OPERATIONAL
        and port.get(_BRPORT_STATE, _FORWARDING) == _FORWARDING,
        nsid=_nsid(found.get(_IFLA_LINK_NETNSID)),
        settings=attributes(info.get(_INFO_DATA, b"")),
    )


def new_nsid(namespace: int) -> bytes:
    """Have this namespace know that of a descriptor by a number, so as to hear of it; or EEXIST."""
    body = bytes(4) + u32(_NETNSA_NSID, _NOWHERE) + u32(_NETNSA_FD, namespace)
    return message(RTM_NEWNSID, 0, body)


def get_nsid(namespace: int) -> bytes:
    """Ask by which number this namespace knows that of a descriptor."""
    return message(RTM_GETNSID, 0, bytes(4) + u32(_NETNSA_FD, namespace))


def nsid(received: Message) -> int:
    """Read an answer to `get_nsid`; -1 if it has none."""
    return _nsid(attributes(received.payload, 4).get(_NETNSA_NSID))


def _nsid(data: bytes | None) -> int:
    return -1 if data is None or u32_of(data) == _NOWHERE else u32_of(data)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
