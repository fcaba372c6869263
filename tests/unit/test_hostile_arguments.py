"""Every argument of the API, fed hostile input: a typed error with a sentence, or it is right.

Refused, nothing is changed: neither the record nor the kernel.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from functools import partial
from pathlib import Path

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pycnm
from pycnm.errors import InvalidArgumentError
from pycnm.ipam import DefaultIPAM
from pycnm.spec import addresses, macs, moments, names
from pycnm.spec.ports import PortSpec, port_specs
from pycnm.testing import FakeKernel

BRIDGE, DRIVER, ENDPOINT = (
    f"com.docker.network.{what}." for what in ("bridge", "driver", "endpoint")
)
ADDRESSES = hostile.values("10.20.30.9", "10.20.30.0", "fd00:20::9", "192.0.2.1", "010.1.1.1")
SUBNETS = hostile.values("10.50.0.0/24", "fd00:50::/64", "0.0.0.0/24", "::/64", "10.20.30.0/25")
PORTS = hostile.values(
    "9000:80",
    "127.0.0.1:9000:80/udp",
    "9000-9010:80-90",
    "[::1]:9000:80",
    "80",
    "9000-9010:80/sctp",
)
NAMES = hostile.values("new", "net", "box", "bridge", "host", "a.b_c-d", "0a", "deadbeef")
LABELS = hostile.values("a", "a=b", "com.example.tier")
OPTIONS = st.one_of(
    hostile.values("x"),
    st.dictionaries(
        hostile.texts(
            f"{BRIDGE}name", f"{BRIDGE}enable_icc", f"{BRIDGE}enable_ip_masquerade",
            f"{BRIDGE}host_binding_ipv4", f"{BRIDGE}trusted_host_interfaces", f"{DRIVER}mtu",
            "com.docker.network.host_ipv4", "com.docker.network.container_iface_prefix", "parent",
            f"{ENDPOINT}ifname", f"{ENDPOINT}sysctls",
        ),
        hostile.values(
            "true", "1400", "br-x", "192.0.2.9", "eth0:eth1", "net.ipv4.conf.IFNAME.log_martians=1"
        ),
        max_size=3,
    ),
)  # fmt: skip
FLAGS = hostile.values("true", "1")
PAIRS = st.one_of(
    LABELS, st.dictionaries(hostile.values("a"), hostile.values("10.50.0.9"), max_size=3)
)
SYSCTLS = st.one_of(
    LABELS,
    st.dictionaries(
        hostile.texts("net.ipv4.conf.IFNAME.log_martians"), hostile.values("1"), max_size=2
    ),
)
ROUTES = st.lists(
    hostile.values(
        "10.60.0.0/16 via 10.50.0.5", "10.60.0.0/16 via 10.20.30.5 metric 7", "fd00:60::/48",
        "10.60.0.0/16,10.20.30.5,7", "10.0.0.0/8 via 10.20.30.5", "fd00::/16 via fd00:20::5",
    ),
    max_size=3,
)  # fmt: skip
NETWORK = {
    "driver": hostile.values("bridge", "host", "null", "Bridge"),
    "subnet": st.one_of(SUBNETS, st.lists(SUBNETS, max_size=3)),
    "gateway": st.one_of(ADDRESSES, st.just("10.50.0.1")),
    "ip_range": SUBNETS,
    "aux_addresses": PAIRS,
    "ipv4": FLAGS,
    "ipv6": FLAGS,
    "internal": FLAGS,
    "attachable": FLAGS,
    "ipam": hostile.values("default", "null"),
    "ipam_options": PAIRS,
    "options": OPTIONS,
    "labels": PAIRS,
    "parent": hostile.values("eth0", "eth0.10"),
    "routes": st.one_of(ROUTES, hostile.values("10.60.0.0/16")),
}
CONNECT = {
    "ip": ADDRESSES,
    "ip6": ADDRESSES,
    "mac": hostile.values("02:42:0a:14:1e:09", "02-42-0a-14-1e-09", "0242.0a14.1e09"),
    "name": NAMES,
    "aliases": st.one_of(NAMES, st.lists(NAMES, max_size=3)),
    "publish": st.one_of(PORTS, st.lists(PORTS, max_size=3)),
    "interface": hostile.values("eth0", "wan", "eth%d", "lo"),
    "gateway_priority": hostile.values("1"),
    "rate": hostile.values("10mbit"),
    "forwarding": FLAGS,
    "vlan": hostile.values("20"),
    "routes": st.one_of(ROUTES, hostile.values("10.60.0.0/16")),
    "link_local_ips": st.one_of(
        ADDRESSES, st.lists(hostile.texts("169.254.7.7", "fe80::7"), max_size=2)
    ),
    "sysctls": SYSCTLS,
    "options": OPTIONS,
}
SANDBOX = {
    "netns": hostile.values("host", "/proc/self/ns/mnt", "/proc/self/ns", "c1"),
    "hostname": NAMES,
    "dns": st.one_of(ADDRESSES, st.lists(ADDRESSES, max_size=2)),
    "dns_search": st.one_of(NAMES, st.lists(NAMES, max_size=2)),
    "dns_options": st.lists(hostile.values("ndots:1", "rotate"), max_size=2),
    "extra_hosts": st.one_of(
        PAIRS, st.lists(hostile.values("db:10.0.0.1", "db:host-gateway"), max_size=2)
    ),
    "labels": PAIRS,
}
FILTERS = {
    key: hostile.values(
        "bridge", "net", "a=b", "true", "custom", "(a+)+", "[", "a{99999999999}", "(" * 900
    )
    for key in ("name", "id", "driver", "scope", "label", "type", "dangling", "odd")
}
MOMENTS = hostile.values(
    "2026-11-24T10:00:00.123456789Z", "2026-11-24", "10m", "1h30m", "now", "1732000000.5", "-10m",
    "0001-01-01", "9999-12-31T23:59:59-23:59", "99999999999", "999999999999h",
)  # fmt: skip


class World:
    """A controller with something in it, made anew after it was changed."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.cnm = None

    def fresh(self):
        if self.cnm is not None and self.picture() == self.before:
            return self
        self.stack.close()
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.kernel = FakeKernel()
        self.database = directory / "state" / "cnm.db"
        self.cnm = self.stack.enter_context(
            pycnm.Controller(self.database.parent, kernel=self.kernel)
        )
        self.net = self.cnm.create_network("net", subnet=["10.20.30.0/24", "fd00:20::/64"])
        self.end = self.net.connect(self.cnm.create_sandbox("box"), publish=["8080:80"])
        self.loose = self.net.create_endpoint("loose")
        self.cnm.create_sandbox("free")
        self.before = self.picture()
        return self

    def picture(self):
        with contextlib.closing(sqlite3.connect(self.database)) as reader:
            tables = ("networks", "sandboxes", "endpoints", "ports", "changes", "pool",
                      "address_run", "pool_run", "quarantine")  # fmt: skip
            rows = [sorted(map(repr, reader.execute(f"SELECT * FROM {t}"))) for t in tables]  # noqa: S608
            rows.append(sorted(map(repr, reader.execute("SELECT owner, body FROM operations"))))
        return self.kernel.listing(), rows

    def refused_or_right(self, call):
        """A call is refused and nothing is changed, or done, and all is well."""
        error = hostile.outcome(call)
        if error is not None:
            assert self.picture() == self.before, error
        elif self.picture() != self.before:
            assert self.cnm.check() == []
        return error


@pytest.fixture(scope="module")
def shared():
    world = World()
    with world.stack:
        yield world


def some(wishes):
    """One of these arguments, or two."""
    names_ = st.lists(st.sampled_from(sorted(wishes)), min_size=1, max_size=2, unique=True)
    return names_.flatmap(lambda keys: st.fixed_dictionaries({key: wishes[key] for key in keys}))


@hostile.many(80)
@given(name=st.one_of(st.just("new"), NAMES), wishes=some(NETWORK), sound=st.booleans())
def test_a_network(shared, name, wishes, sound):
    world = shared.fresh()
    if sound:
        # Enough is right for what is wrong to be looked at.
        wishes = {"subnet": "10.50.0.0/24"} | wishes
    world.refused_or_right(lambda: world.cnm.plan_network(name, **wishes))
    world.refused_or_right(lambda: world.cnm.create_network(name, **wishes))


@hostile.many(53)
@given(changes=some(NETWORK), empty=st.booleans())
def test_a_network_s_configuration(shared, changes, empty):
    world = shared.fresh()
    if empty:
        world.net.disconnect("box")
        world.loose.delete()
        world.before = world.picture()
    try:
        world.refused_or_right(lambda: world.net.configure(**changes))
    finally:
        if empty:
            world.before = None


@hostile.many(80)
@given(wishes=some(CONNECT))
def test_an_endpoint(shared, wishes):
    world = shared.fresh()
    world.refused_or_right(lambda: world.net.connect("free", **wishes))


@hostile.many(33)
@given(
    name=NAMES, wishes=some({k: v for k, v in CONNECT.items() if k not in {"name", "interface"}})
)
def test_an_endpoint_for_later(shared, name, wishes):
    world = shared.fresh()
    world.refused_or_right(lambda: world.net.create_endpoint(name, **wishes))


@hostile.many(33)
@given(
    changes=some(
        {
            k: CONNECT[k]
            for k in (
                "ip",
                "ip6",
                "mac",
                "aliases",
                "gateway_priority",
                "rate",
                "routes",
                "forwarding",
                "vlan",
            )
        }
    ),
    joined=st.booleans(),
)
def test_an_endpoint_s_configuration(shared, changes, joined):
    world = shared.fresh()
    end = world.end if joined else world.loose
    world.refused_or_right(lambda: end.configure(**changes))


@hostile.many(53)
@given(name=st.one_of(st.just("new"), NAMES), wishes=some(SANDBOX))
def test_a_sandbox(shared, name, wishes):
    world = shared.fresh()
    world.refused_or_right(lambda: world.cnm.create_sandbox(name, **wishes))


@hostile.many(33)
@given(specs=st.lists(PORTS, min_size=1, max_size=3))
def test_ports(shared, specs):
    world = shared.fresh()
    world.refused_or_right(lambda: world.end.publish(*specs))
    world = shared.fresh()
    world.refused_or_right(lambda: world.end.unpublish(*specs))


@hostile.many(46)
@given(reference=NAMES)
def test_references(shared, reference):
    for call in (
        lambda world: world.cnm.network(reference),
        lambda world: world.cnm.sandbox(reference),
        lambda world: world.net.connect(reference),
        lambda world: world.net.disconnect(reference),
        lambda world: world.net.rename(reference),
        lambda world: world.loose.join(reference),
    ):
        world = shared.fresh()
        world.refused_or_right(partial(call, world))


@hostile.many(46)
@given(filters=some(FILTERS))
def test_filters(shared, filters):
    world = shared.fresh()
    world.refused_or_right(lambda: world.cnm.networks(**filters))


@hostile.many(53)
@given(since=MOMENTS, until=MOMENTS)
def test_moments(shared, since, until):
    world = shared.fresh()
    world.refused_or_right(lambda: list(world.cnm.events(since=since)))
    world.refused_or_right(lambda: list(world.cnm.events(until=until)))
    with contextlib.suppress(InvalidArgumentError):
        assert abs(moments.moment(since, "since")) <= moments.LARGEST


@hostile.many(33)
@given(
    value=hostile.values("10.20.30.9", "fd00::/64", "02:42:0a:14:1e:09", "9000-9010:80/udp", "a.b")
)
def test_parsers(value):
    """What they take, they take again from its text."""
    subnet = addresses.subnet("10.20.0.0/16")
    for parse in (
        addresses.address,
        addresses.listen_address,
        addresses.subnet,
        macs.mac,
        PortSpec.parse,
        names.domain_name,
        names.hostname,
        names.interface_name,
        names.labels,
        lambda each: names.object_name(each, "network"),
        lambda each: names.reference(each, "network"),
        lambda each: addresses.ip_range(each, subnet),
        lambda each: addresses.gateway(each, subnet),
        lambda each: addresses.aux_addresses(each, [subnet]),
        port_specs,
    ):
        with contextlib.suppress(InvalidArgumentError):
            found = parse(value)
            if isinstance(value, str):
                assert parse(str(found)) == found
        hostile.outcome(partial(parse, value))


@hostile.many(46)
@given(
    space=hostile.values("LocalDefault", "GlobalDefault"),
    pool=SUBNETS,
    part=SUBNETS,
    v6=FLAGS,
    address=ADDRESSES,
    options=PAIRS,
    identity=hostile.values("LocalDefault/10.50.0.0/24", "LocalDefault/10.50.0.0/24/10.50.0.0/25"),
)
def test_the_ipam(space, pool, part, v6, address, options, identity):
    ipam = DefaultIPAM()
    ipam.request_pool("LocalDefault", "10.50.0.0/24")
    for call in (
        lambda: ipam.request_pool(space, pool, part, options, v6),
        lambda: ipam.request_pool("LocalDefault", pool, exclude=part),
        lambda: ipam.request_address(identity, address, options),
        lambda: ipam.request_address("LocalDefault/10.50.0.0/24", address),
        lambda: ipam.release_address(identity, address),
        lambda: ipam.status(identity),
        lambda: ipam.release_pool(identity),
        lambda: DefaultIPAM(local_pools=pool),
        lambda: DefaultIPAM(reserved=part),
    ):
        hostile.outcome(call)


HUGE = 1 << 20
LARGE = {
    "name": lambda world: world.cnm.create_network("a" * HUGE),
    "reference": lambda world: world.cnm.network("a" * HUGE),
    "hex reference": lambda world: world.cnm.sandbox("f" * HUGE),
    "domain": lambda world: world.net.connect("free", aliases=["a." * (HUGE // 2)]),
    "aliases": lambda world: world.net.connect("free", aliases=[f"a{n}" for n in range(100_000)]),
    "dashes": lambda world: world.end.publish("-" * HUGE),
    "digits": lambda world: world.end.publish("1" * HUGE),
    "colons": lambda world: world.end.publish(":" * HUGE),
    "brackets": lambda world: world.end.publish("[" * HUGE),
    "address": lambda world: world.net.connect("free", ip="1." * (HUGE // 2)),
    "address6": lambda world: world.net.connect("free", ip6=":" * HUGE),
    "number": lambda world: world.net.connect("free", gateway_priority=10**100_000),
    "subnet": lambda world: world.cnm.create_network("new", subnet="10.0.0.0/" + "1" * HUGE),
    "subnets": lambda world: world.cnm.create_network(
        "new", subnet=[f"10.{n // 256}.{n % 256}.0/24" for n in range(2_000)]
    ),
    "aux": lambda world: world.cnm.create_network(
        "new",
        subnet="10.128.0.0/9",
        aux_addresses={f"a{n}": f"10.200.{n // 250}.{n % 250 + 1}" for n in range(20_000)},
    ),
    "mac": lambda world: world.net.connect("free", mac="02:" * HUGE),
    "labels": lambda world: world.net.configure(labels={str(n): "x" for n in range(100_000)}),
    "label": lambda world: world.net.configure(labels={"a": "x" * (64 * HUGE)}),
    "option": lambda world: world.net.configure(options={"com." * (HUGE // 4): "x"}),
    "options": lambda world: world.net.configure(options={f"x{n}": "y" for n in range(100_000)}),
    "sysctls": lambda world: world.net.connect(
        "free", options={"com.docker.network.endpoint.sysctls": "a=b," * (HUGE // 4)}
    ),
    "moment": lambda world: world.cnm.events(since="1h" * (HUGE // 2) + "x"),
    "moment parts": lambda world: world.cnm.events(since="999999999999.999999999h" * 20_000),
    "date": lambda world: world.cnm.events(since="2026-11-24T10:00:00." + "9" * HUGE),
    "pattern": lambda world: world.cnm.networks(name="(" * HUGE),
    "patterns": lambda world: world.cnm.networks(name=["a"] * 100_000),
    "hosts": lambda world: world.cnm.create_sandbox(
        "new", extra_hosts=[f"h{n}:10.0.0.1" for n in range(20_000)]
    ),
    "20,000 ports of a range": lambda world: world.end.publish("1-20000:1-20000/udp"),
    "100,000 ports": lambda world: world.end.publish(
        *(f"127.0.{n // 50_000}.1:{n % 50_000 + 1}:80" for n in range(100_000))
    ),
    "20,000 of one port": lambda world: world.end.publish(
        *(f"127.0.{n >> 8}.{n & 255}:9000:80" for n in range(1, 20_000))
    ),
    "100,000 choices": lambda world: world.end.publish(
        *(str(n % 65535 + 1) for n in range(100_000))
    ),
    "unpublished": lambda world: world.end.unpublish(
        *(f"{n % 65535 + 1}:80" for n in range(100_000))
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_input_is_dealt_with_in_time(shared, case, monkeypatch):
    """A mebibyte, 100,000 of anything: refused, or done, without a square of it in the time."""
    monkeypatch.setattr(hostile, "PATIENCE", 20.0)
    world = shared.fresh()
    world.refused_or_right(lambda: LARGE[case](world))
