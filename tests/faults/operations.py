"""What is swept: every operation of the API, with what has to be there before it."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from surroundings import agents, rests
from topology import until

import pycnm
from cnmfs import mounting
from cnmfs.options import Options

HOST = "h1"
FOREIGN = "foreign"
"""A namespace that somebody else has made."""

NOTHING: Any = lambda *_: None  # noqa: E731
SUBNETS = ("10.9.0.0/24", "fd00:9::/64")
PORTS = ("8080:80", "8053:53/udp", "8100-8103:100-103", "127.0.0.1:8081:81")
VIA = ("10.60.0.0/16 via 10.9.0.9", "fd00:60::/48 via fd00:9::9 metric 7")
MTU = {"com.docker.network.driver.mtu": "1400"}


@attrs.frozen
class Operation:
    """Something to be interrupted in.

    Attributes:
        do: it, with a Controller.
        happened: whether it has come about, as one that was opened later sees it;
            None if there is no telling.
        undo: what takes it back; all is as it was before `setup` then.
        setup: what is made anew each time, because `do` takes it away.
        base: what is there all the time.
        warm: what the process does before it begins.
        opens: opening the Controller is a part of it.
        cold: no agent runs before.
        fresh: there is no state directory yet.
        drifts: what is recorded isn't so before it has happened.
    """

    do: Callable[[pycnm.Controller], Any]
    happened: Callable[[pycnm.Controller], bool | None] = NOTHING
    undo: Callable[[pycnm.Controller], Any] = NOTHING
    setup: Callable[[pycnm.Controller], Any] = NOTHING
    base: Callable[[pycnm.Controller], Any] = NOTHING
    warm: Callable[[pycnm.Controller], Any] = NOTHING
    opens: bool = False
    cold: bool = False
    fresh: bool = False
    drifts: bool = False

    def attempt(self, directory, host, armed):
        """Open a Controller and do it; `armed` is called where it begins."""
        if self.opens:
            armed()
        with pycnm.Controller(directory, host=host) as cnm:
            self.warm(cnm)
            if not self.opens:
                armed()
            self.do(cnm)

    def judged(self, trial, happened):
        """What it told of itself, and isn't so; in lines."""
        if trial.done and happened is False:
            yield "it ended well, and hasn't happened"
        # What is put back is put back, though the rest can't be.
        if "error" in trial.outcome and happened and not self.drifts:
            yield "it failed, and has happened"


@attrs.frozen
class FileOperation(Operation):
    """What is done on a mounted tree by others; the process is the one that serves it.

    Attributes:
        work: it, with the place of the mount; `do` is the same in the API.
    """

    work: Callable[[Path], Any] = NOTHING

    def attempt(self, directory, host, armed):
        place = mountpoint(directory)
        mounting.serve(place, Options(state_dir=directory, host=host, watch=False), armed)

    def use(self, place):
        """Do the work; where it fails, with the words that cnmfs has for it."""
        try:
            self.work(place)
        except OSError as error:
            with contextlib.suppress(OSError):
                error.add_note((place / "last_error").read_text())
            raise

    def judged(self, trial, happened):
        yield from super().judged(trial, happened)
        # What nobody foresaw: told by cnmfs as its own mistake, and by the binding as EINVAL.
        words = " ".join(trial.outcome.get("notes", []))
        if "mistake of cnmfs" in words or trial.outcome.get("errno") == errno.EINVAL:
            yield f"cnmfs doesn't know what has failed: {words}"


@attrs.frozen
class Opening(Operation):
    """Something was cut short before, and whoever opens next puts it right: that one is swept."""

    def attempt(self, directory, host, armed):
        armed()
        with pycnm.Controller(directory, host=host) as cnm:
            cnm.check()
            if cnm.troubles:
                raise pycnm.CNMError("; ".join(cnm.troubles))


@attrs.frozen
class Recovery(Opening):
    """A process died over an operation, when the kernel had all and the record was pending.

    Attributes:
        of: its name; `do`, `happened` and so on are its own.
    """

    of: str = ""

    def judged(self, *_, **__):
        """Nothing: it tells nothing of what another one did."""
        return ()

    @classmethod
    def after(cls, name):
        inner = TABLE[name]
        return cls(
            do=inner.do, happened=inner.happened, undo=inner.undo, setup=inner.setup,
            base=inner.base, opens=True, of=name,
        )  # fmt: skip


@attrs.frozen
class Reboot(Opening):
    """The host comes up anew, and its kernel knows nothing; `setup` is what ran before."""

    def judged(self, trial, happened):
        if trial.done and not happened:
            yield "it ended well, and not all is there"
        if not trial.outcome and not happened:
            yield "who came after one that was killed hasn't made all of it"


def mountpoint(directory):
    return Path(directory).with_name("mnt")


def has(cnm, what, name):
    return name in [each.name for each in getattr(cnm, what)()]


def network(cnm):
    return cnm.create_network("n", subnet=SUBNETS)


def pair(cnm):
    """A network with d on it, and c that isn't."""
    network(cnm).connect(cnm.create_sandbox("d"))
    cnm.create_sandbox("c")


def c_connected(cnm):
    pair(cnm)
    cnm.network("n").connect("c")


def used(cnm):
    """Processes were started in c, which see its files."""
    return cnm.sandbox("c").run(["true"], check=True)


def connect_with_ports(cnm):
    cnm.network("n").connect("c", publish=PORTS, aliases=["web"])


def disconnect(cnm):
    cnm.network("n").disconnect("c")


def endpoint(cnm):
    """The endpoint of c on n; None if there is none."""
    found = [each for each in cnm.sandbox("c").endpoints if each.network.name == "n"]
    return found[0] if found else None


def connected(cnm):
    return endpoint(cnm) is not None


def ports(cnm):
    return len(endpoint(cnm).ports)


def loose(cnm):
    """The endpoint e of n, joined or not; None if there is none."""
    found = [each for each in cnm.network("n").endpoints if each.name == "e"]
    return found[0] if found else None


def joined_once(cnm):
    """The endpoint e, which knows where its ports were."""
    pair(cnm)
    loose_one = cnm.network("n").create_endpoint("e", publish=["8080:80"])
    loose_one.join("c")
    loose_one.leave()


def damage(cnm):
    """Take away what a careless administrator would."""
    link = endpoint(cnm).host_interface
    subprocess.run(["ip", "-n", HOST, "link", "del", link], check=True)
    subprocess.run(["ip", "netns", "exec", HOST, "nft", "flush", "ruleset"], check=True)
    subprocess.run(["ip", "-n", HOST, "address", "flush", "dev", cnm.network("n").interface],
                   check=True)  # fmt: skip


WIRE = pycnm.Macvlan(parent="eth0", host_access=True)


def wire(cnm):
    """A network on the host's own interface, which the host has access to."""
    return cnm.create_network("v", WIRE, subnet=SUBNETS, gateway="10.9.0.254")


def wired(cnm):
    """c on it, and on a network of its own kind without a parent."""
    c_alone(cnm)
    cnm.network("v").connect("c")
    cnm.create_network("w", "macvlan").connect("c")


def c_alone(cnm):
    wire(cnm)
    cnm.create_sandbox("c")


def unwired(cnm):
    """Take away what there is of it on the host, and in c."""
    shim = f"mh-{cnm.network('v').id[:12]}"
    subprocess.run(["ip", "-n", HOST, "link", "del", shim], check=True)
    subprocess.run(["ip", "-n", HOST, "link", "del", cnm.network("w").interface], check=True)
    subprocess.run(["ip", "-n", "c", "link", "del", "eth0"], check=True)


NIC = pycnm.Bridge(external="nic0")
ROUTED = pycnm.Bridge(gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")


def nic(cnm):
    """An interface of the host that nothing is on."""
    del cnm
    subprocess.run(["ip", "-n", HOST, "link", "add", "nic0", "type", "ifb"], check=True)
    subprocess.run(["ip", "-n", HOST, "link", "set", "nic0", "up"], check=True)


def on_nic(cnm):
    cnm.create_network("x", NIC, subnet="10.9.0.0/24")


ADOPTED = pycnm.Bridge(bridge_name="virbr0")


def virbr(cnm):
    """A bridge of somebody else's, and a network of ours that leads outside beside it."""
    for words in (
        "link add virbr0 address 52:54:00:00:00:01 type bridge",
        "address add 10.9.0.1/24 dev virbr0",
        "address add fd00:9::1/64 dev virbr0 nodad",
        "link set virbr0 up",
    ):
        subprocess.run(["ip", "-n", HOST, *words.split()], check=True)
    cnm.create_network("m", ipv6=True)
    cnm.create_sandbox("c")


def on_virbr(cnm):
    cnm.create_network("n", ADOPTED, ipv6=True)


def with_vlans(cnm):
    cnm.create_network("n", pycnm.Bridge(vlan=10), subnet=SUBNETS)


def routed(cnm):
    """c on a network that is routed."""
    net = cnm.create_network("n", ROUTED, subnet=SUBNETS)
    net.connect(cnm.create_sandbox("c"))


GATEWAYS = {"DefaultGatewayIPv4": "10.8.0.254", "DefaultGatewayIPv6": "fd00:8::fe"}


def led(cnm):
    """c on n, and d on a network whose gateway is nobody yet."""
    c_connected(cnm)
    net = cnm.create_network("m", subnet=["10.8.0.0/24", "fd00:8::/64"], aux_addresses=GATEWAYS)
    net.connect("d")


def become_the_gateway(cnm):
    cnm.network("m").connect("c", ip="10.8.0.254", ip6="fd00:8::fe", forwarding=True)


def is_the_gateway(cnm):
    return any(each.forwarding for each in cnm.network("m").endpoints)


def on_wire(cnm):
    return any(each.network.name == "v" for each in cnm.sandbox("c").endpoints)


TABLE = {
    "first start": Operation(
        do=lambda cnm: cnm.networks(),
        opens=True,
        fresh=True,
    ),
    "open": Operation(
        do=lambda cnm: cnm.check(),
        base=c_connected,
        opens=True,
    ),
    "create network, the first": Operation(
        do=network,
        happened=lambda cnm: has(cnm, "networks", "n"),
        undo=lambda cnm: cnm.network("n").delete(),
    ),
    "create network, another": Operation(
        do=network,
        happened=lambda cnm: has(cnm, "networks", "n"),
        undo=lambda cnm: cnm.network("n").delete(),
        base=lambda cnm: cnm.create_network("m").connect(cnm.create_sandbox("m")),
    ),
    "configure network: subnet": Operation(
        do=lambda cnm: cnm.network("n").configure(subnet=["10.10.0.0/24", "fd00:10::/64"]),
        happened=lambda cnm: str(cnm.network("n").subnets[0]) == "10.10.0.0/24",
        undo=lambda cnm: cnm.network("n").configure(subnet=SUBNETS),
        base=network,
    ),
    "configure network: MTU": Operation(
        do=lambda cnm: cnm.network("n").configure(options=MTU),
        happened=lambda cnm: cnm.network("n").options == MTU,
        undo=lambda cnm: cnm.network("n").configure(options=dict.fromkeys(MTU)),
        base=c_connected,
    ),
    "configure network: routes": Operation(
        do=lambda cnm: cnm.network("n").configure(routes=VIA),
        happened=lambda cnm: cnm.network("n").routes == [*VIA],
        undo=lambda cnm: cnm.network("n").configure(routes=[]),
        base=c_connected,
    ),
    "rename network": Operation(
        do=lambda cnm: cnm.network("n").rename("m"),
        happened=lambda cnm: has(cnm, "networks", "m"),
        undo=lambda cnm: cnm.network("m").rename("n"),
        base=c_connected,
    ),
    "delete network": Operation(
        do=lambda cnm: cnm.network("n").delete(),
        happened=lambda cnm: not has(cnm, "networks", "n"),
        setup=network,
    ),
    "delete network by force": Operation(
        do=lambda cnm: cnm.network("n").delete(force=True),
        happened=lambda cnm: not has(cnm, "networks", "n"),
        undo=lambda cnm: [cnm.sandbox(name).delete() for name in ("c", "d")],
        setup=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
    ),
    "create sandbox": Operation(
        do=lambda cnm: cnm.create_sandbox("c", hostname="web"),
        happened=lambda cnm: has(cnm, "sandboxes", "c"),
        undo=lambda cnm: cnm.sandbox("c").delete(),
    ),
    "adopt sandbox": Operation(
        do=lambda cnm: cnm.create_sandbox("c", netns=FOREIGN),
        happened=lambda cnm: has(cnm, "sandboxes", "c"),
        undo=lambda cnm: cnm.sandbox("c").delete(),
    ),
    "delete sandbox": Operation(
        do=lambda cnm: cnm.sandbox("c").delete(),
        happened=lambda cnm: not has(cnm, "sandboxes", "c"),
        setup=lambda cnm: [
            cnm.create_sandbox("c"),
            connect_with_ports(cnm),
            cnm.network("bridge").connect("c"),
        ],
        base=network,
    ),
    "run in a sandbox": Operation(
        do=used,
        base=lambda cnm: [c_connected(cnm), used(cnm)],
    ),
    "connect": Operation(
        do=lambda cnm: cnm.network("n").connect("d"),
        happened=lambda cnm: bool(cnm.sandbox("d").endpoints),
        undo=lambda cnm: cnm.network("n").disconnect("d"),
        base=lambda cnm: [c_connected(cnm), used(cnm), cnm.network("n").disconnect("d")],
    ),
    "connect, the first": Operation(
        do=lambda cnm: cnm.network("bridge").connect("c"),
        happened=lambda cnm: bool(cnm.sandbox("c").endpoints),
        undo=lambda cnm: cnm.network("bridge").disconnect("c"),
        base=lambda cnm: cnm.create_sandbox("c"),
    ),
    "connect, with another gateway": Operation(
        do=lambda cnm: cnm.network("m").connect("c", gateway_priority=1),
        happened=lambda cnm: len(cnm.sandbox("c").endpoints) == 2,
        undo=lambda cnm: cnm.network("m").disconnect("c"),
        base=lambda cnm: [c_connected(cnm), cnm.create_network("m"), used(cnm)],
    ),
    "connect, with ports": Operation(
        do=connect_with_ports, happened=connected, undo=disconnect, base=pair
    ),
    "connect an adopted sandbox": Operation(
        do=lambda cnm: cnm.network("n").connect("c", publish=["8080:80"]),
        happened=connected,
        undo=disconnect,
        base=lambda cnm: [network(cnm), cnm.create_sandbox("c", netns=FOREIGN)],
    ),
    "disconnect": Operation(
        do=disconnect,
        happened=lambda cnm: not connected(cnm),
        setup=connect_with_ports,
        base=pair,
    ),
    "disconnect, the last": Operation(
        do=lambda cnm: cnm.network("bridge").disconnect("c"),
        happened=lambda cnm: not cnm.sandbox("c").endpoints,
        setup=lambda cnm: cnm.network("bridge").connect("c", publish=["8080:80"]),
        base=lambda cnm: cnm.create_sandbox("c"),
    ),
    "configure endpoint": Operation(
        do=lambda cnm: endpoint(cnm).configure(
            ip="10.9.0.77", mac="02:00:00:00:00:07", aliases=["web"]
        ),
        happened=lambda cnm: str(endpoint(cnm).ip) == "10.9.0.77",
        undo=disconnect,
        setup=lambda cnm: cnm.network("n").connect("c"),
        base=pair,
    ),
    "configure endpoint: routes": Operation(
        do=lambda cnm: endpoint(cnm).configure(routes=VIA[1:]),
        happened=lambda cnm: endpoint(cnm).routes == [*VIA[1:]],
        undo=lambda cnm: endpoint(cnm).configure(routes=[]),
        base=lambda cnm: [c_connected(cnm), cnm.network("n").configure(routes=VIA)],
    ),
    "connect, with routes": Operation(
        do=lambda cnm: cnm.network("n").connect("c", routes=VIA[:1]),
        happened=connected,
        undo=disconnect,
        base=lambda cnm: [
            pair(cnm),
            cnm.create_network("m").connect("c"),
            cnm.network("n").configure(routes=VIA),
        ],
    ),
    "connect, as the gateway": Operation(
        do=become_the_gateway,
        happened=is_the_gateway,
        undo=lambda cnm: cnm.network("m").disconnect("c"),
        base=led,
    ),
    "disconnect the gateway": Operation(
        do=lambda cnm: cnm.network("m").disconnect("c"),
        happened=lambda cnm: not is_the_gateway(cnm),
        setup=become_the_gateway,
        base=led,
    ),
    "configure endpoint: forwarding": Operation(
        do=lambda cnm: endpoint(cnm).configure(forwarding=True),
        happened=lambda cnm: endpoint(cnm).forwarding,
        undo=lambda cnm: endpoint(cnm).configure(forwarding=False),
        base=c_connected,
    ),
    "publish": Operation(
        do=lambda cnm: endpoint(cnm).publish(*PORTS),
        happened=lambda cnm: ports(cnm) > 0,
        undo=lambda cnm: endpoint(cnm).unpublish(*PORTS),
        base=c_connected,
    ),
    "publish more": Operation(
        do=lambda cnm: endpoint(cnm).publish("9090:90"),
        happened=lambda cnm: any(each.host_port == 9090 for each in endpoint(cnm).ports),
        undo=lambda cnm: endpoint(cnm).unpublish("9090:90"),
        base=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
    ),
    "unpublish": Operation(
        do=lambda cnm: endpoint(cnm).unpublish("8080:80", "8100-8103:100-103"),
        happened=lambda cnm: not any(each.host_port == 8080 for each in endpoint(cnm).ports),
        undo=lambda cnm: endpoint(cnm).publish("8080:80", "8100-8103:100-103"),
        base=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
    ),
    "create endpoint": Operation(
        do=lambda cnm: cnm.network("n").create_endpoint("e", publish=["8080:80"]),
        happened=lambda cnm: loose(cnm) is not None,
        undo=lambda cnm: loose(cnm).delete(),
        base=pair,
    ),
    "join": Operation(
        do=lambda cnm: loose(cnm).join("c"),
        happened=lambda cnm: loose(cnm).sandbox is not None,
        undo=lambda cnm: loose(cnm).leave(),
        base=joined_once,
    ),
    "leave": Operation(
        do=lambda cnm: loose(cnm).leave(),
        happened=lambda cnm: loose(cnm).sandbox is None,
        setup=lambda cnm: loose(cnm).join("c"),
        base=joined_once,
    ),
    "delete endpoint": Operation(
        do=lambda cnm: loose(cnm).delete(),
        happened=lambda cnm: loose(cnm) is None,
        setup=lambda cnm: cnm.network("n").create_endpoint("e", publish=["8080:80"]),
        base=pair,
    ),
    "reconcile": Operation(
        do=lambda cnm: cnm.reconcile(),
        happened=lambda cnm: cnm.check() == [],
        setup=damage,
        base=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
        drifts=True,
    ),
    "publish on a routed network": Operation(
        do=lambda cnm: endpoint(cnm).publish(*PORTS),
        happened=lambda cnm: len(endpoint(cnm).ports) > 0,
        undo=lambda cnm: endpoint(cnm).unpublish(*PORTS),
        base=routed,
    ),
    "create a network on an interface": Operation(
        do=on_nic,
        happened=lambda cnm: has(cnm, "networks", "x"),
        undo=lambda cnm: cnm.network("x").delete(),
        base=nic,
    ),
    "delete a network on an interface": Operation(
        do=lambda cnm: cnm.network("x").delete(),
        happened=lambda cnm: not has(cnm, "networks", "x"),
        setup=on_nic,
        base=nic,
    ),
    "create a network on a bridge of others": Operation(
        do=on_virbr,
        happened=lambda cnm: has(cnm, "networks", "n"),
        undo=lambda cnm: cnm.network("n").delete(),
        base=virbr,
    ),
    "delete a network on a bridge of others": Operation(
        do=lambda cnm: cnm.network("n").delete(force=True),
        happened=lambda cnm: not has(cnm, "networks", "n"),
        setup=lambda cnm: [on_virbr(cnm), cnm.network("n").connect("c")],
        base=virbr,
    ),
    "connect on a bridge of others": Operation(
        do=lambda cnm: cnm.network("n").connect("c", publish=PORTS),
        happened=connected,
        undo=disconnect,
        base=lambda cnm: [virbr(cnm), on_virbr(cnm)],
    ),
    "create macvlan network": Operation(
        do=wire,
        happened=lambda cnm: has(cnm, "networks", "v"),
        undo=lambda cnm: cnm.network("v").delete(),
    ),
    "create macvlan network, without a parent": Operation(
        do=lambda cnm: cnm.create_network("w", "macvlan"),
        happened=lambda cnm: has(cnm, "networks", "w"),
        undo=lambda cnm: cnm.network("w").delete(),
        base=wire,
    ),
    "configure network: parent": Operation(
        do=lambda cnm: cnm.network("v").configure(parent=None),
        happened=lambda cnm: cnm.network("v").internal,
        undo=lambda cnm: cnm.network("v").configure(parent="eth0"),
        base=wire,
    ),
    "delete macvlan network by force": Operation(
        do=lambda cnm: cnm.network("v").delete(force=True),
        happened=lambda cnm: not has(cnm, "networks", "v"),
        undo=lambda cnm: cnm.sandbox("c").delete(),
        setup=lambda cnm: [c_alone(cnm), cnm.network("v").connect("c")],
    ),
    "connect to a macvlan network": Operation(
        do=lambda cnm: cnm.network("v").connect("c"),
        happened=on_wire,
        undo=lambda cnm: cnm.network("v").disconnect("c"),
        base=c_alone,
    ),
    "disconnect from a macvlan network": Operation(
        do=lambda cnm: cnm.network("v").disconnect("c"),
        happened=lambda cnm: not on_wire(cnm),
        setup=lambda cnm: cnm.network("v").connect("c"),
        base=c_alone,
    ),
    "delete sandbox of macvlan networks": Operation(
        do=lambda cnm: cnm.sandbox("c").delete(),
        happened=lambda cnm: not has(cnm, "sandboxes", "c"),
        setup=lambda cnm: [cnm.create_sandbox("c"), cnm.network("v").connect("c")],
        base=wire,
    ),
    "reconcile macvlan networks": Operation(
        do=lambda cnm: cnm.reconcile(),
        happened=lambda cnm: cnm.check() == [],
        setup=unwired,
        base=wired,
        drifts=True,
    ),
    "prune": Operation(
        do=lambda cnm: cnm.prune(),
        happened=lambda cnm: not has(cnm, "networks", "m"),
        setup=lambda cnm: cnm.create_network("m"),
        base=c_connected,
    ),
}

RECOVERY = {
    f"after a death in: {name}": Recovery.after(name)
    for name in (
        "create network, the first",
        "configure network: subnet",
        "delete network by force",
        "create sandbox",
        "delete sandbox",
        "connect, with ports",
        "disconnect",
        "unpublish",
    )
}

REBOOT = {
    "after a reboot": Reboot(
        do=lambda cnm: cnm.reconcile(),
        happened=lambda cnm: cnm.check() == [],
        setup=lambda cnm: [box.start() for box in cnm.sandboxes()],
        base=lambda cnm: [
            pair(cnm),
            connect_with_ports(cnm),
            cnm.network("bridge").connect("c"),
            cnm.create_network("inner", internal=True),
            used(cnm),
        ],
        opens=True,
        drifts=True,
    ),
}

VLANS = {
    "create a network with VLANs": Operation(
        do=lambda cnm: cnm.create_network("n", pycnm.Bridge(vlan=10), subnet=SUBNETS),
        happened=lambda cnm: has(cnm, "networks", "n"),
        undo=lambda cnm: cnm.network("n").delete(),
    ),
    "connect in another VLAN": Operation(
        do=lambda cnm: cnm.network("n").connect("c", vlan=20),
        happened=connected,
        undo=disconnect,
        base=lambda cnm: [with_vlans(cnm), cnm.create_sandbox("c")],
    ),
    "configure endpoint: VLAN": Operation(
        do=lambda cnm: endpoint(cnm).configure(vlan=20),
        happened=lambda cnm: endpoint(cnm).vlan == 20,
        undo=lambda cnm: endpoint(cnm).configure(vlan=None),
        base=lambda cnm: [with_vlans(cnm), cnm.network("n").connect(cnm.create_sandbox("c"))],
    ),
}
"""What needs a kernel whose bridges keep VLANs apart."""


def with_an_agent_at_rest(cnm):
    """What an agent does once, as it starts and after it has answered, is over."""
    cnm.reconcile()
    assert until(lambda: all(map(rests, agents(cnm._engine.state_dir))))


AGENT = {
    "agent: started, holds ports": Operation(
        do=lambda cnm: endpoint(cnm).publish(*PORTS),
        happened=lambda cnm: ports(cnm) > 0,
        undo=lambda cnm: endpoint(cnm).unpublish(*PORTS),
        base=c_connected,
        cold=True,
    ),
    "agent: holds more ports": Operation(
        do=lambda cnm: endpoint(cnm).publish("9090:90", "9090-9095:90-95/udp"),
        happened=lambda cnm: any(each.host_port == 9090 for each in endpoint(cnm).ports),
        undo=lambda cnm: endpoint(cnm).unpublish("9090:90", "9090-9095:90-95/udp"),
        base=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
        warm=with_an_agent_at_rest,
        cold=True,
    ),
    "agent: lets ports go": Operation(
        do=lambda cnm: endpoint(cnm).unpublish("8080:80", "8053:53/udp"),
        happened=lambda cnm: not any(each.host_port == 8080 for each in endpoint(cnm).ports),
        undo=lambda cnm: endpoint(cnm).publish("8080:80", "8053:53/udp"),
        base=lambda cnm: [pair(cnm), connect_with_ports(cnm)],
        warm=with_an_agent_at_rest,
        cold=True,
    ),
}


def write(file, words):
    """What a shell does: one write, and no other one when that has failed."""
    descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, words)
    finally:
        os.close(descriptor)


def link(mnt):
    (mnt / "networks/n/endpoints/c").symlink_to("../../../sandboxes/c")


FILES = {
    "mkdir networks/n": FileOperation(
        do=lambda cnm: cnm.create_network("n"),
        happened=lambda cnm: has(cnm, "networks", "n"),
        undo=lambda cnm: cnm.network("n").delete(),
        work=lambda mnt: (mnt / "networks/n").mkdir(),
    ),
    "rmdir networks/n": FileOperation(
        do=lambda cnm: cnm.network("n").delete(),
        happened=lambda cnm: not has(cnm, "networks", "n"),
        setup=network,
        work=lambda mnt: (mnt / "networks/n").rmdir(),
    ),
    "mv networks/n networks/m": FileOperation(
        do=lambda cnm: cnm.network("n").rename("m"),
        happened=lambda cnm: has(cnm, "networks", "m"),
        undo=lambda cnm: cnm.network("m").rename("n"),
        base=network,
        work=lambda mnt: (mnt / "networks/n").rename(mnt / "networks/m"),
    ),
    "echo 1400 > networks/n/mtu": FileOperation(
        do=lambda cnm: cnm.network("n").configure(options=MTU),
        happened=lambda cnm: cnm.network("n").options == MTU,
        undo=lambda cnm: cnm.network("n").configure(options=dict.fromkeys(MTU)),
        base=c_connected,
        work=lambda mnt: write(mnt / "networks/n/mtu", b"1400\n"),
    ),
    "echo 10.60.0.0/16 via 10.9.0.9 > networks/n/routes": FileOperation(
        do=lambda cnm: cnm.network("n").configure(routes=VIA[:1]),
        happened=lambda cnm: cnm.network("n").routes == [*VIA[:1]],
        undo=lambda cnm: cnm.network("n").configure(routes=[]),
        base=c_connected,
        work=lambda mnt: write(mnt / "networks/n/routes", f"{VIA[0]}\n".encode()),
    ),
    "echo 1 > sandboxes/c/endpoints/n/forwarding": FileOperation(
        do=lambda cnm: endpoint(cnm).configure(forwarding=True),
        happened=lambda cnm: endpoint(cnm).forwarding,
        undo=lambda cnm: endpoint(cnm).configure(forwarding=False),
        base=c_connected,
        work=lambda mnt: write(mnt / "sandboxes/c/endpoints/n/forwarding", b"1\n"),
    ),
    "mkdir sandboxes/c": FileOperation(
        do=lambda cnm: cnm.create_sandbox("c"),
        happened=lambda cnm: has(cnm, "sandboxes", "c"),
        undo=lambda cnm: cnm.sandbox("c").delete(),
        work=lambda mnt: (mnt / "sandboxes/c").mkdir(),
    ),
    "rmdir sandboxes/c": FileOperation(
        do=lambda cnm: cnm.sandbox("c").delete(),
        happened=lambda cnm: not has(cnm, "sandboxes", "c"),
        setup=lambda cnm: cnm.create_sandbox("c"),
        work=lambda mnt: (mnt / "sandboxes/c").rmdir(),
    ),
    "mkdir sandboxes/c/endpoints/n": FileOperation(
        do=lambda cnm: cnm.network("n").connect("c"),
        happened=connected,
        undo=disconnect,
        base=pair,
        work=lambda mnt: (mnt / "sandboxes/c/endpoints/n").mkdir(),
    ),
    "ln -s ../../../sandboxes/c networks/n/endpoints/c": FileOperation(
        do=lambda cnm: cnm.network("n").connect("c"),
        happened=connected,
        undo=disconnect,
        base=pair,
        work=link,
    ),
    "rmdir sandboxes/c/endpoints/n": FileOperation(
        do=disconnect,
        happened=lambda cnm: not connected(cnm),
        setup=lambda cnm: cnm.network("n").connect("c"),
        base=pair,
        work=lambda mnt: (mnt / "sandboxes/c/endpoints/n").rmdir(),
    ),
    "echo 8080:80 > sandboxes/c/endpoints/n/publish": FileOperation(
        do=lambda cnm: endpoint(cnm).publish("8080:80"),
        happened=lambda cnm: ports(cnm) > 0,
        undo=lambda cnm: endpoint(cnm).unpublish("8080:80"),
        base=c_connected,
        work=lambda mnt: write(mnt / "sandboxes/c/endpoints/n/publish", b"8080:80\n"),
    ),
}
ALL = TABLE | VLANS | RECOVERY | REBOOT | AGENT | FILES
