"""What is done to be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pycnm
from bench.bare import Kernel
from bench.contender import Contender
from bench.machine import processes, resident
from bench.ours import Pycnm
from bench.times import Times, rotated

NETWORK = "create a bridge network"
CONNECT, CONNECT_ONE = "connect a sandbox, no port", "connect a sandbox, one port"
CONNECT_TEN = "make a sandbox and connect it, ten ports"
DELETE, DELETE_ONE = "delete a sandbox, no port", "delete a sandbox, one port"
DELETE_TEN = "delete a sandbox, ten ports"
PUBLISH, UNPUBLISH = "publish 500 ports", "unpublish 500 ports"
MAKE_ALL = "make sandboxes"
ATTACH_ALL = "attach endpoints to sandboxes"
DELETE_ALL = "delete endpoints with their network"
DELETE_EACH = "delete sandboxes with their endpoint"

_FIRST_PORT = 20_000
_MANY = range(_FIRST_PORT, _FIRST_PORT + 500)


def one_turn(contender: Contender, times: Times, who: str = "") -> None:
    """Rows 1 to 4, once."""
    who = who or contender.name
    host = contender.host
    before = host.links()
    if contender.makes_networks:
        name = contender.next_name()
        contender.prepare_network(name)
        with times.of(NETWORK, who):
            contender.create_network(name)
        contender.delete_network(name)
        host.settle(before)
    name = contender.next_name()
    contender.create_sandbox(name)
    contender.prepare(name)
    with times.of(CONNECT, who):
        contender.connect(name)
    with times.of(DELETE, who):
        contender.delete_sandbox(name)
    host.settle(before)
    if contender.publishes:
        _with_ports(contender, times, who, before)


def _with_ports(contender: Contender, times: Times, who: str, before: int) -> None:
    name = contender.next_name()
    contender.create_sandbox(name)
    with times.of(CONNECT_ONE, who):
        contender.connect(name, [80])
    with times.of(DELETE_ONE, who):
        contender.delete_sandbox(name)
    contender.host.settle(before)
    name = contender.next_name()
    with times.of(CONNECT_TEN, who):
        contender.create_sandbox(name)
        contender.connect(name, range(80, 90))
    with times.of(DELETE_TEN, who):
        contender.delete_sandbox(name)
    contender.host.settle(before)


def in_turns(contenders: Sequence[Contender], times: Times, rounds: int) -> None:
    """Rows 1 to 4, turn and turn about, after one round to warm up."""
    for number in range(rounds + 1):
        for contender in rotated(contenders, number):
            one_turn(contender, times)
        if not number:
            times.forget()


# Row 5


def publish_live(ours: Pycnm, times: Times, who: str = "") -> tuple[int, float]:
    """Row 5, once: how many processes it took, and how much memory of processes in MiB."""
    endpoint = ours.endpoint(ours.resident)
    spec = f"{_MANY[0]}-{_MANY[-1]}:{_MANY[0]}-{_MANY[-1]}"
    before = processes()
    memory = resident(list(before))
    with times.of(PUBLISH, who or ours.name):
        endpoint.publish(spec)
    after = processes()
    memory = resident(list(after)) - memory
    with times.of(UNPUBLISH, who or ours.name):
        endpoint.unpublish(spec)
    return len(after) - len(before), memory


def publish_by_connecting(contender: Contender, times: Times) -> None:
    """Row 5 for those that publish only when they attach."""
    before = contender.host.links()
    name = contender.next_name()
    contender.create_sandbox(name)
    with times.of(PUBLISH, contender.name):
        contender.connect(name, _MANY)
    with times.of(UNPUBLISH, contender.name):
        contender.delete_sandbox(name)
    contender.host.settle(before)


# Row 6


def attach_many(ours: Pycnm, count: int, times: Times) -> None:
    """Row 6, once."""
    before = ours.host.links()
    network = ours.controller.create_network("many", subnet="10.89.0.0/16")
    names = [ours.next_name() for _ in range(count)]
    with times.of(MAKE_ALL, ours.name):
        boxes = [ours.controller.create_sandbox(name) for name in names]
    with times.of(ATTACH_ALL, ours.name):
        for box in boxes:
            network.connect(box)
    with times.of(DELETE_ALL, ours.name):
        network.delete(force=True)
    network = ours.controller.create_network("many", subnet="10.89.0.0/16")
    for box in boxes:
        network.connect(box)
    with times.of(DELETE_EACH, ours.name):
        for box in boxes:
            box.delete()
    ours.host.settle(before + 1)
    network.delete()


def attach_many_bare(kernel: Kernel, count: int, times: Times) -> None:
    """The kernel's share of row 6."""
    before = kernel.host.links()
    names = [kernel.next_name() for _ in range(count)]
    with times.of(MAKE_ALL, kernel.name):
        for name in names:
            kernel.create_sandbox(name)
    for name in names:
        kernel.prepare(name)
    with times.of(ATTACH_ALL, kernel.name):
        kernel.connect_all(names)
    with times.of(DELETE_ALL, kernel.name):
        kernel.delete_endpoints()
    for name in names:
        kernel.prepare(name)
    kernel.connect_all(names)
    with times.of(DELETE_EACH, kernel.name):
        for name in names:
            kernel.delete_sandbox(name)
    kernel.host.settle(before)


# Row 7


def crowd_of_networks(ours: Pycnm, count: int) -> str:
    """Have so many networks there; what there is, in words."""
    for _ in range(count):
        ours.create_network(ours.next_name())
    return f"{count:,} networks"


def crowd_of_endpoints(ours: Pycnm, count: int, per_network: int = 500) -> str:
    """Have so many endpoints there, each in a sandbox of its own."""
    networks = _networks(ours, -(-count // per_network))
    for number in range(count):
        box = ours.controller.create_sandbox(ours.next_name())
        networks[number % len(networks)].connect(box)
    return f"{count:,} endpoints"


def _networks(ours: Pycnm, count: int) -> list[pycnm.Network]:
    return [
        ours.controller.create_network(ours.next_name(), subnet=f"10.{128 + number}.0.0/16")
        for number in range(count)
    ]


def crowd_of_ports(ours: Pycnm, count: int, per_endpoint: int = 500) -> str:
    """Have so many ports published there."""
    for first in range(30_000, 30_000 + count, per_endpoint):
        last = min(first + per_endpoint, 30_000 + count) - 1
        name = ours.next_name()
        ours.create_sandbox(name)
        ours.connect(name)
        ours.endpoint(name).publish(f"{first}-{last}:{first}-{last}")
    return f"{count:,} published ports"


CROWDS: tuple[Callable[[Pycnm, int], str], ...] = (
    crowd_of_networks,
    crowd_of_ports,
    crowd_of_endpoints,
)
