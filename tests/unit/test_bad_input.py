"""Every argument of every public call, fed what it can't be.

Each case gives its typed error with a sentence, and afterwards neither the
record nor the kernel differs from before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pycnm
from pycnm.errors import (
    AddressInUseError,
    AlreadyExistsError,
    CNMError,
    InUseError,
    InvalidArgumentError,
    NotFoundError,
    NotPermittedError,
    NotSupportedError,
    OutOfSubnetError,
    PoolOverlapError,
    PortInUseError,
)
from pycnm.testing import FakeKernel

BAD_NAMES: list[Any] = [
    "",
    " ",
    "-a",
    ".",
    "..",
    "a/b",
    "../x",
    "a\0b",
    "a\nb",
    "a b",
    "a;b",
    "a'b",
    'a"b',
    "$(reboot)",
    "ñandú",
    "网络",
    "\u202egnp",
    "x" * 300,
    None,
    7,
    b"bytes",
    ["list"],
    object,
]
BAD_SUBNETS: list[Any] = [
    "",
    "10.20.30.0",
    "10.20.30.5/24",
    "10.20.30.0/33",
    "10.20.30.0/-1",
    "10.20.30/24",
    "010.20.30.0/24",
    "0x0a.20.30.0/24",
    "10.20.30.0/24 ",
    "10.20.30.0/24\0",
    "224.0.0.0/24",
    "127.0.0.0/24",
    "255.255.255.0/24",
    "fe80::/48",
    "ff02::/64",
    "::ffff:10.0.0.0/120",
    "fd00::1/64",
    "zz::/64",
    "net",
    17,
    4.5,
    b"10.0.0.0/8",
    {"a": 1},
    ["10.50.0.0/24", "10.50.0.0/25"],
    ["10.50.0.0/24", "10.51.0.0/24"],
]
BAD_ADDRESSES: list[Any] = [
    "",
    "10.20.30",
    "10.20.30.256",
    "10.20.30.4/24",
    " 10.20.30.4",
    "10.20.30.4\n",
    "1",
    "0x0a141e04",
    "::g",
    "fe80::1%eth0",
    300,
    4.5,
    object,
    b"\x0a\x14\x1e\x04",
]
BAD_PORTS: list[Any] = [
    "",
    "0",
    "65536",
    "-1",
    "80:0",
    "0:80",
    "65536:80",
    "8080:65536",
    "8010-8000:80",
    "8000-8001:80-82",
    "80/icmp",
    "80/",
    "a:b",
    "1.2.3:80:80",
    "[::1:80:80",
    "224.0.0.1:80:80",
    "80:80:80:80",
    " 80",
    "80\0",
    "８０",
    80.5,
    None,
    object,
    {"host_port": 80},
]


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def cnm(tmp_path: Path, kernel: FakeKernel) -> Iterator[pycnm.Controller]:
    with pycnm.Controller(tmp_path / "state", kernel=kernel) as controller:
        net = controller.create_network("net", subnet="10.20.30.0/24", ip_range="10.20.30.0/25")
        box = controller.create_sandbox("box")
        net.connect(box, ip="10.20.30.4", publish=["8080:80"])
        controller.create_sandbox("free")
        yield controller


def refuse(
    cnm: pycnm.Controller,
    kernel: FakeKernel,
    call: Callable[[], object],
    error: type[CNMError] | tuple[type[CNMError], ...],
) -> None:
    """The call raises, says something, and changes nothing."""
    before = (state(cnm), kernel.listing())
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, CNMError)
    assert len(str(caught.value)) > 15, "a sentence is wanted"
    assert "\n" not in str(caught.value)
    assert caught.value.errno > 0
    assert (state(cnm), kernel.listing()) == before


def state(cnm: pycnm.Controller) -> list[str]:
    return [
        *(str(network.inspect()) for network in cnm.networks()),
        *(str(sandbox.inspect()) for sandbox in cnm.sandboxes()),
    ]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_names(cnm: pycnm.Controller, kernel: FakeKernel, name: Any) -> None:
    net = cnm.network("net")
    refuse(cnm, kernel, lambda: cnm.create_network(name), InvalidArgumentError)
    refuse(cnm, kernel, lambda: cnm.create_sandbox(name), InvalidArgumentError)
    refuse(cnm, kernel, lambda: net.create_endpoint(name), InvalidArgumentError)
    refuse(cnm, kernel, lambda: net.rename(name), InvalidArgumentError)
    refuse(cnm, kernel, lambda: cnm.network(name), (InvalidArgumentError, NotFoundError))
    refuse(cnm, kernel, lambda: cnm.sandbox(name), (InvalidArgumentError, NotFoundError))
    if name is not None:
        refuse(cnm, kernel, lambda: net.connect("free", name=name), InvalidArgumentError)
        refuse(cnm, kernel, lambda: net.connect("free", aliases=[name]), InvalidArgumentError)


@pytest.mark.parametrize("name", ["bridge", "host", "none", "default"])
def test_predefined_names(cnm: pycnm.Controller, kernel: FakeKernel, name: str) -> None:
    refuse(cnm, kernel, lambda: cnm.create_network(name), NotPermittedError)
    refuse(cnm, kernel, lambda: cnm.network("net").rename(name), NotPermittedError)
    if name != "default":
        refuse(cnm, kernel, lambda: cnm.network(name).delete(), NotPermittedError)
        refuse(cnm, kernel, lambda: cnm.network(name).delete(force=True), NotPermittedError)
        refuse(cnm, kernel, lambda: cnm.network(name).rename("other"), NotPermittedError)


@pytest.mark.parametrize("subnet", BAD_SUBNETS, ids=repr)
def test_subnets(cnm: pycnm.Controller, kernel: FakeKernel, subnet: Any) -> None:
    wanted = (InvalidArgumentError, NotSupportedError)
    refuse(cnm, kernel, lambda: cnm.create_network("new", subnet=subnet), wanted)


@pytest.mark.parametrize("subnet", ["10.20.30.0/24", "10.20.0.0/16", "10.20.30.128/25"])
def test_overlapping_subnets(cnm: pycnm.Controller, kernel: FakeKernel, subnet: str) -> None:
    refuse(cnm, kernel, lambda: cnm.create_network("new", subnet=subnet), PoolOverlapError)


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"gateway": "10.50.0.1"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "gateway": "10.51.0.1"}, OutOfSubnetError),
        ({"subnet": "10.50.0.0/24", "gateway": "10.50.0.0"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "gateway": "10.50.0.255"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "gateway": "fd00::1"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "gateway": 7}, InvalidArgumentError),
        ({"ip_range": "10.50.0.0/25"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "ip_range": "10.50.0.1/25"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "ip_range": "10.50.0.0/23"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "ip_range": "10.51.0.0/25"}, OutOfSubnetError),
        ({"subnet": "10.50.0.0/24", "ip_range": ["a"]}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "aux_addresses": {"a": "10.51.0.1"}}, OutOfSubnetError),
        ({"subnet": "10.50.0.0/24", "aux_addresses": {"": "10.50.0.9"}}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "aux_addresses": "10.50.0.9"}, InvalidArgumentError),
        ({"subnet": "10.50.0.0/24", "aux_addresses": {"a": "x"}}, InvalidArgumentError),
        ({"driver": "brigde"}, NotFoundError),
        ({"driver": "../bridge"}, InvalidArgumentError),
        ({"driver": 7}, InvalidArgumentError),
        ({"driver": "host"}, NotPermittedError),
        ({"driver": "null"}, NotPermittedError),
        ({"ipam": "nowhere"}, NotFoundError),
        ({"ipam": 7}, InvalidArgumentError),
        ({"ipam": "null"}, InvalidArgumentError),
        ({"ipam_options": {"x": "y"}}, InvalidArgumentError),
        ({"ipv4": False}, InvalidArgumentError),
        ({"ipv4": "yes"}, InvalidArgumentError),
        ({"ipv6": 1}, InvalidArgumentError),
        ({"internal": None}, InvalidArgumentError),
        ({"attachable": "no"}, InvalidArgumentError),
        ({"labels": 5}, InvalidArgumentError),
        ({"labels": {"a\0": "b"}}, InvalidArgumentError),
        ({"parent": "eth0"}, InvalidArgumentError),
        ({"options": "icc"}, InvalidArgumentError),
        ({"options": {"com.docker.network.bridge.enable_ic": "true"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.bridge.enable_icc": "maybe"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.driver.mtu": "-1"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.driver.mtu": "70000"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.bridge.name": "x" * 16}}, InvalidArgumentError),
        ({"options": {"com.docker.network.bridge.name": "a/b"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.bridge.name": "cnm0"}}, AlreadyExistsError),
        ({"options": {"com.docker.network.host_ipv4": "fd00::1"}}, InvalidArgumentError),
    ],
    ids=repr,
)
def test_network_wishes(
    cnm: pycnm.Controller, kernel: FakeKernel, wishes: dict[str, Any], error: type[CNMError]
) -> None:
    refuse(cnm, kernel, lambda: cnm.create_network("new", **wishes), error)
    refuse(cnm, kernel, lambda: cnm.plan_network("new", **wishes), error)


def test_unknown_option_names_the_nearest(cnm: pycnm.Controller) -> None:
    with pytest.raises(InvalidArgumentError, match=r"com\.docker\.network\.bridge\.enable_icc"):
        cnm.create_network("new", options={"com.docker.network.bridge.enable_ic": "true"})


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=repr)
def test_addresses(cnm: pycnm.Controller, kernel: FakeKernel, address: Any) -> None:
    net = cnm.network("net")
    refuse(cnm, kernel, lambda: net.connect("free", ip=address), InvalidArgumentError)
    refuse(cnm, kernel, lambda: net.connect("free", ip6=address), InvalidArgumentError)
    refuse(cnm, kernel, lambda: net.connect("free", link_local_ips=[address]), InvalidArgumentError)
    refuse(cnm, kernel, lambda: cnm.create_sandbox("new", dns=[address]), InvalidArgumentError)


@pytest.mark.parametrize("spec", BAD_PORTS, ids=repr)
def test_ports(cnm: pycnm.Controller, kernel: FakeKernel, spec: Any) -> None:
    net = cnm.network("net")
    endpoint = net.endpoints[0]
    refuse(cnm, kernel, lambda: net.connect("free", publish=[spec]), InvalidArgumentError)
    refuse(cnm, kernel, lambda: endpoint.publish(spec), InvalidArgumentError)
    refuse(cnm, kernel, lambda: endpoint.unpublish(spec), InvalidArgumentError)


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"ip": "10.20.31.4"}, OutOfSubnetError),
        ({"ip": "10.20.30.0"}, InvalidArgumentError),
        ({"ip": "10.20.30.255"}, InvalidArgumentError),
        ({"ip": "10.20.30.1"}, AddressInUseError),
        ({"ip": "10.20.30.4"}, AddressInUseError),
        ({"ip": "fd00::4"}, InvalidArgumentError),
        ({"ip6": "fd00::4"}, InvalidArgumentError),
        ({"mac": "02:42:0a:14:1e:04"}, AddressInUseError),
        ({"mac": "01:00:5e:00:00:01"}, InvalidArgumentError),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, InvalidArgumentError),
        ({"mac": "00:00:00:00:00:00"}, InvalidArgumentError),
        ({"mac": "02:42"}, InvalidArgumentError),
        ({"mac": 7}, InvalidArgumentError),
        ({"interface": "x" * 16}, InvalidArgumentError),
        ({"interface": "a/b"}, InvalidArgumentError),
        ({"interface": ""}, InvalidArgumentError),
        ({"interface": "eth%d"}, InvalidArgumentError),
        ({"interface": "lo"}, AlreadyExistsError),
        ({"interface": 7}, InvalidArgumentError),
        ({"gateway_priority": "high"}, InvalidArgumentError),
        ({"rate": "fast"}, InvalidArgumentError),
        ({"rate": 10**7}, InvalidArgumentError),
        ({"forwarding": "yes"}, InvalidArgumentError),
        ({"forwarding": None}, InvalidArgumentError),
        ({"routes": "10.60.0.0/16 via 10.20.30.5"}, InvalidArgumentError),
        ({"routes": ["10.60.0.0/16 via c3"]}, InvalidArgumentError),
        ({"routes": ["10.60.0.0/16 via 10.60.0.1"]}, OutOfSubnetError),
        ({"gateway_priority": 2**40}, InvalidArgumentError),
        ({"gateway_priority": True}, InvalidArgumentError),
        ({"aliases": "web"}, InvalidArgumentError),
        ({"aliases": 7}, InvalidArgumentError),
        ({"aliases": ["a\0"]}, InvalidArgumentError),
        ({"link_local_ips": ["10.0.0.1"]}, InvalidArgumentError),
        ({"publish": "8080:80"}, InvalidArgumentError),
        ({"publish": 8080}, InvalidArgumentError),
        ({"publish": ["9000:80", "9000:81"]}, InvalidArgumentError),
        ({"publish": ["8080:80"]}, PortInUseError),
        ({"publish": ["127.0.0.1:8080:80"]}, PortInUseError),
        ({"publish": ["[::]:9000:80"]}, NotSupportedError),
        ({"publish": ["[::1]:9000:80"]}, NotSupportedError),
        ({"sysctls": {"net.ipv4.ip_forward": "1"}}, InvalidArgumentError),
        ({"sysctls": {"kernel.panic": "1"}}, InvalidArgumentError),
        ({"sysctls": {"net.ipv4.conf.IFNAME./../x": "1"}}, InvalidArgumentError),
        ({"sysctls": 7}, InvalidArgumentError),
        ({"options": {"com.docker.network.endpoint.ifnam": "x"}}, InvalidArgumentError),
        ({"options": {"com.docker.network.endpoint.ifname": "x" * 16}}, InvalidArgumentError),
        ({"options": {"com.docker.network.endpoint.sysctls": "a=b"}}, InvalidArgumentError),
        ({"name": "box"}, AlreadyExistsError),
    ],
    ids=repr,
)
def test_endpoint_wishes(
    cnm: pycnm.Controller, kernel: FakeKernel, wishes: dict[str, Any], error: type[CNMError]
) -> None:
    refuse(cnm, kernel, lambda: cnm.network("net").connect("free", **wishes), error)


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"netns": "no-such-namespace"}, NotFoundError),
        ({"netns": "/proc/self/status"}, NotFoundError),
        ({"netns": -1}, NotFoundError),
        ({"netns": True}, InvalidArgumentError),
        ({"netns": ""}, InvalidArgumentError),
        ({"netns": "a\0b"}, InvalidArgumentError),
        ({"netns": 1.5}, InvalidArgumentError),
        ({"hostname": "a b"}, InvalidArgumentError),
        ({"hostname": 7}, InvalidArgumentError),
        ({"dns": "192.0.2.1"}, InvalidArgumentError),
        ({"dns_search": ["a..b"]}, InvalidArgumentError),
        ({"dns_options": ["ndots:1\nnameserver 192.0.2.1"]}, InvalidArgumentError),
        ({"extra_hosts": ["db"]}, InvalidArgumentError),
        ({"extra_hosts": ["db:x"]}, InvalidArgumentError),
        ({"extra_hosts": {"a b": "192.0.2.1"}}, InvalidArgumentError),
        ({"extra_hosts": 7}, InvalidArgumentError),
        ({"labels": [7]}, InvalidArgumentError),
    ],
    ids=repr,
)
def test_sandbox_wishes(
    cnm: pycnm.Controller, kernel: FakeKernel, wishes: dict[str, Any], error: type[CNMError]
) -> None:
    refuse(cnm, kernel, lambda: cnm.create_sandbox("new", **wishes), error)


@pytest.mark.parametrize(
    "argv", ["ls", b"ls", [], [""], ["a\0b"], None, 7, [7], {"a": 1}], ids=repr
)
def test_commands(cnm: pycnm.Controller, kernel: FakeKernel, argv: Any) -> None:
    box = cnm.sandbox("box")
    refuse(cnm, kernel, lambda: box.run(argv), InvalidArgumentError)
    refuse(cnm, kernel, lambda: box.popen(argv), InvalidArgumentError)


def test_duplicates_and_absentees(cnm: pycnm.Controller, kernel: FakeKernel) -> None:
    net = cnm.network("net")
    refuse(cnm, kernel, lambda: cnm.create_network("net"), AlreadyExistsError)
    refuse(cnm, kernel, lambda: cnm.create_sandbox("box"), AlreadyExistsError)
    refuse(cnm, kernel, lambda: net.connect("box"), AlreadyExistsError)
    refuse(cnm, kernel, lambda: net.connect("nobody"), NotFoundError)
    refuse(cnm, kernel, lambda: net.disconnect("free"), NotFoundError)
    refuse(cnm, kernel, lambda: net.disconnect("nobody"), NotFoundError)
    refuse(cnm, kernel, net.delete, InUseError)
    refuse(cnm, kernel, net.endpoints[0].delete, InUseError)
    refuse(cnm, kernel, lambda: net.endpoints[0].join("free"), InUseError)
    refuse(cnm, kernel, lambda: net.endpoints[0].publish("8080:81"), PortInUseError)
    refuse(cnm, kernel, lambda: net.endpoints[0].unpublish("8081:80"), InvalidArgumentError)
    refuse(cnm, kernel, lambda: cnm.network("host").connect("free"), NotSupportedError)


@pytest.mark.parametrize(
    "filters",
    [{"colour": "red"}, {"name": "("}, {"name": 7}, {"dangling": "maybe"}, {"type": "odd"}],
    ids=repr,
)
def test_filters(cnm: pycnm.Controller, kernel: FakeKernel, filters: dict[str, Any]) -> None:
    refuse(cnm, kernel, lambda: cnm.networks(**filters), InvalidArgumentError)


@pytest.mark.parametrize("state_dir", ["", "a\0b", None, 7, b"x"], ids=repr)
def test_state_directories(state_dir: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="directory"):
        pycnm.Controller(state_dir, kernel=FakeKernel())


@pytest.mark.parametrize("host", ["", "no-such-host", 1.5, True, "a\0b"], ids=repr)
def test_hosts(tmp_path: Path, host: Any) -> None:
    with pytest.raises((InvalidArgumentError, NotFoundError)):
        pycnm.Controller(tmp_path / "state", host=host)
    assert not (tmp_path / "state").exists()


def test_a_deleted_object_says_so(cnm: pycnm.Controller, kernel: FakeKernel) -> None:
    net = cnm.network("net")
    endpoint = net.endpoints[0]
    box = cnm.sandbox("box")
    net.disconnect(box)
    box.delete()
    net.delete()
    for call in (
        lambda: net.name,
        net.inspect,
        net.explain,
        lambda: net.connect("free"),
        net.delete,
        lambda: endpoint.ip,
        lambda: endpoint.publish("80:80"),
        endpoint.leave,
        lambda: box.key,
        box.delete,
        lambda: box.run(["true"]),
    ):
        refuse(cnm, kernel, call, NotFoundError)
    assert "deleted" in repr(net)
    assert "deleted" in repr(endpoint)
    assert "deleted" in repr(box)
