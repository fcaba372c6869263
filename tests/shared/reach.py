"""Who reaches whom: probes over real packets, sent at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from topology import IMPATIENCE, PATIENCE


class Probe(NamedTuple):
    """From where to which port; `ping` is a protocol too."""

    source: str
    address: str
    port: int | None = 80
    protocol: str = "tcp"

    def __str__(self):
        port = "" if self.port is None else f"-{self.port}"
        return f"{self.source}-to-{self.address}{port}-{self.protocol}"


def ping(source, *addresses):
    return [Probe(source, address, None, "ping") for address in addresses]


def ask(source, address, *ports):
    """Ports as `80` and `53/udp`."""
    split = [str(port).partition("/") for port in ports]
    return [Probe(source, address, int(number), kind or "tcp") for number, _, kind in split]


def answers_of(places, wanted):
    """What came of every probe.

    Args:
        places: by the names that probes call them.
        wanted: probes, each with the label of the server that is to answer; None for nobody.
    """

    def send(each):
        probe, server = each
        place, patience = places[probe.source], PATIENCE if server else IMPATIENCE
        if probe.protocol == "ping":
            return place.ping(probe.address, patience)
        return place.ask(probe.address, probe.port, probe.protocol, patience=patience)

    with ThreadPoolExecutor(16) as pool:
        found = pool.map(send, wanted)
    return dict(zip([probe for probe, _ in wanted], found, strict=True))


def agrees(answer, probe, server):
    """Whether the right one answered, or nobody."""
    if server is None or probe.protocol == "ping":
        return bool(answer) == bool(server)
    return answer is not None and answer.server == server


def each_of(rules):
    """A test of `probe` and `server` for each rule: its words, the probe, who is to answer."""
    return pytest.mark.parametrize(
        ("probe", "server"),
        [
            pytest.param(probe, server, id=f"{rule}: {probe}".replace(" ", "-"))
            for rule, probe, server in rules
        ],
    )
