"""A process that does anything to one state directory, in several threads, for a while.

It says at the end what came of it; whatever shouldn't have come of it is an error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter

import pycnm
from pycnm import errors

NETWORKS = [f"n{number}" for number in range(4)]
# No beginnings of ids, which are hexadecimal.
BOXES = [f"box{number}" for number in range(10)]
# What may become of a call when others are at it too.
SENSIBLE = (
    errors.NotFoundError,
    errors.AlreadyExistsError,
    errors.InUseError,
    errors.AddressInUseError,
    errors.PortInUseError,
    errors.PoolExhaustedError,
    errors.PoolOverlapError,
)


def any_end(cnm, dice):
    ends = cnm.network(dice.choice(NETWORKS)).endpoints
    if not ends:
        raise errors.NotFoundError("there is no endpoint to do anything with")
    return dice.choice(ends)


def port(dice):
    first = dice.randint(8000, 8011)
    return dice.choice(
        [f"{first}:80", f"127.0.0.1:{first}:81/udp", f"{first}-{first + 3}:82", "83"]
    )


def unpublish(cnm, dice):
    end = any_end(cnm, dice)
    ports = end.ports
    if ports:
        chosen = dice.choice(ports)
        with contextlib.suppress(errors.InvalidArgumentError):
            # Somebody may have done it in between.
            end.unpublish(f"{chosen.host_port}:{chosen.port}/{chosen.protocol}")


def look(cnm, dice):
    for network in cnm.networks():
        with contextlib.suppress(errors.NotFoundError):
            network.inspect()
    for box in cnm.sandboxes():
        with contextlib.suppress(errors.NotFoundError):
            assert len(box.hosts) > 10
            box.inspect()


def disconnect(cnm, dice):
    cnm.network(dice.choice([*NETWORKS, "bridge"])).disconnect(dice.choice(BOXES))


def label(cnm, dice):
    cnm.network(dice.choice(NETWORKS)).configure(labels={"a": str(dice.random())})


def connect(cnm, dice):
    wishes = {}
    network = dice.choice([*NETWORKS, "bridge"])
    if dice.random() < 0.3:
        wishes["publish"] = [port(dice)]
    if dice.random() < 0.2 and network != "bridge":
        wishes["ip"] = f"10.44.{NETWORKS.index(network)}.{dice.randint(2, 9)}"
    if dice.random() < 0.3:
        wishes["mac"] = f"02:00:00:00:00:0{dice.randint(1, 2)}"
    cnm.network(network).connect(dice.choice(BOXES), **wishes)


def create_network(cnm, dice):
    number = dice.randrange(len(NETWORKS))
    cnm.create_network(NETWORKS[number], subnet=f"10.44.{number}.0/28", ipv6=dice.random() < 0.3)


DEEDS = [
    (3, create_network),
    (1, lambda cnm, dice: cnm.create_network(f"x{dice.randrange(3)}")),
    (1, lambda cnm, dice: cnm.network(f"x{dice.randrange(3)}").delete()),
    (6, lambda cnm, dice: cnm.create_sandbox(dice.choice(BOXES))),
    (12, connect),
    (4, disconnect),
    (3, lambda cnm, dice: cnm.sandbox(dice.choice(BOXES)).delete()),
    (1, lambda cnm, dice: cnm.network(dice.choice(NETWORKS)).delete(force=dice.random() < 0.3)),
    (3, lambda cnm, dice: any_end(cnm, dice).publish(port(dice))),
    (3, unpublish),
    (2, lambda cnm, dice: any_end(cnm, dice).leave()),
    (2, lambda cnm, dice: any_end(cnm, dice).join(dice.choice(BOXES))),
    (1, lambda cnm, dice: any_end(cnm, dice).configure(gateway_priority=dice.randint(-1, 1))),
    (1, label),
    (2, look),
    (0.2, lambda cnm, _: cnm.reconcile()),
]  # fmt: skip


class Busy:
    def __init__(self, cnm, until):
        self.cnm, self.until = cnm, until
        self.counts, self.errors, self.slowest = Counter(), [], 0.0

    def work(self, seed):
        dice = random.Random(seed)  # noqa: S311 - not a secret
        weights, deeds = zip(*DEEDS, strict=True)
        while time.monotonic() < self.until and not self.errors:
            (deed,) = dice.choices(deeds, weights)
            begun = time.monotonic()
            try:
                deed(self.cnm, dice)
                self.counts["changes"] += 1
            except SENSIBLE:
                self.counts["refusals"] += 1
            except BaseException:  # noqa: BLE001 - it is told
                self.errors.append(traceback.format_exc())
            self.slowest = max(self.slowest, time.monotonic() - begun)


def main(directory, host, seed, seconds, threads):
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with pycnm.Controller(directory, host=host) as cnm:
        troubles = cnm.troubles
        busy = Busy(cnm, time.monotonic() + float(seconds))
        workers = [
            threading.Thread(target=busy.work, args=[f"{seed}.{number}"])
            for number in range(int(threads))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    said = {**busy.counts, "slowest": busy.slowest, "errors": [*troubles, *busy.errors]}
    sys.stdout.write(f"{json.dumps(said)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
