"""What a kernel may have or lack, found by trying, and what each missing part costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import attrs

from pycnm.engine.kernel import Kernel


class _Part(NamedTuple):
    """Something that not every kernel has; what it is without, and how to come by it."""

    drivers: tuple[str, ...]
    has: Callable[[Kernel], bool]
    without: str
    remedy: str


def _kind(kind: str) -> Callable[[Kernel], bool]:
    return lambda kernel: kernel.has_kind(kind)


def _queue(kind: str) -> Callable[[Kernel], bool]:
    return lambda kernel: kernel.has_queue(kind)


_STACKED = ("macvlan", "ipvlan")
_PARTS = {
    "ipv6": _Part(
        ("bridge", *_STACKED), lambda kernel: kernel.features.ipv6,
        "networks have no IPv6", "start it without ipv6.disable=1",
    ),
    "early_guard": _Part(
        ("bridge",), lambda kernel: kernel.features.early_guard,
        "a port is guarded only after it is made, and taken up after that: connecting takes longer",
        "Linux 6.16 has it",
    ),
    "force_forwarding": _Part(
        ("bridge",), lambda kernel: kernel.features.force_forwarding,
        "IPv6 forwarding is switched on for all interfaces, and rules keep others from using it",
        "Linux 6.17 has it",
    ),
    "bridge_vlan": _Part(
        ("bridge",), lambda kernel: kernel.has_vlans(),
        "a bridge network and its endpoints can have no vlan",
        "it is built with CONFIG_BRIDGE_VLAN_FILTERING",
    ),
    "tbf": _Part(
        ("bridge",), _queue("tbf"),
        "an endpoint can have no rate", "modprobe sch_tbf",
    ),
    "netem": _Part(
        ("bridge",), _queue("netem"),
        "the rate of an endpoint can have no delay and no loss", "modprobe sch_netem",
    ),
    "macvlan": _Part(
        ("macvlan",), _kind("macvlan"), "there are no macvlan networks", "modprobe macvlan",
    ),
    "ipvlan": _Part(
        ("ipvlan",), _kind("ipvlan"), "there are no ipvlan networks", "modprobe ipvlan",
    ),
    "vlan": _Part(
        _STACKED, _kind("vlan"),
        "a parent such as eth0.10 isn't made; it has to be there", "modprobe 8021q",
    ),
    "dummy": _Part(
        _STACKED, _kind("dummy"),
        "a network without a parent sits on an ifb in its place", "modprobe dummy",
    ),
}  # fmt: skip


@attrs.frozen
class KernelPart:
    """Something that not every kernel has.

    Attributes:
        name: such as `netem`.
        present: whether this kernel has it.
        drivers: whose networks use it.
        without: what a kernel that lacks it costs, in words.
        remedy: how to come by it.
    """

    name: str
    present: bool
    drivers: tuple[str, ...]
    without: str
    remedy: str

    def __str__(self) -> str:
        if self.present:
            return f"{self.name}: yes"
        return f"{self.name}: no; {self.without} ({self.remedy})"


def kernel_parts(kernel: Kernel) -> list[KernelPart]:
    """What a kernel has of what it may lack."""
    return [
        KernelPart(name, part.has(kernel), part.drivers, part.without, part.remedy)
        for name, part in _PARTS.items()
    ]
