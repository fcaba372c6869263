"""Files of published ports, on a network that is routed: what is written is what is read."""

from __future__ import annotations

import pytest

import pycnm
from cnmfs import publishing
from pycnm import Bridge
from pycnm.testing import FakeKernel


@pytest.fixture
def endpoint(tmp_path):
    """An endpoint with ports open, in one family; of the other it has one of the host's."""
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        net = cnm.create_network(
            "n", Bridge(gateway_mode_ipv4="routed"), subnet=["10.20.30.0/24", "fd00:20:30::/64"]
        )
        yield net.connect(cnm.create_sandbox("c1"), publish=["8080:80", "5353:53/udp"])


WRITTEN = """\
[::]:5353:53/udp
0.0.0.0::53/udp
[::]:8080:80
0.0.0.0::80
"""


def test_what_is_read_can_be_written(endpoint):
    assert publishing.of_endpoint(endpoint) == WRITTEN
    before = endpoint.ports
    publishing.replace(endpoint, WRITTEN)
    assert endpoint.ports == before


@pytest.mark.parametrize("text", ["0.0.0.0:9999:80", "0.0.0.0::80", "127.0.0.1:1:80"])
def test_what_is_open_is_found_whatever_is_asked_of_the_host(endpoint, text):
    before = endpoint.ports
    publishing.add(endpoint, text)
    assert endpoint.ports == before
    publishing.add(endpoint, f"-{text}")
    assert publishing.of_endpoint(endpoint) == WRITTEN.replace("0.0.0.0::80\n", "")


def test_it_is_published_again_after_it_left(endpoint):
    endpoint.leave()
    endpoint.join("c1")
    assert publishing.of_endpoint(endpoint) == WRITTEN


def test_one_that_asks_for_it_twice_has_it_once(endpoint):
    endpoint.publish("0.0.0.0:1000:70", "0.0.0.0:1001:70")
    assert [str(port) for port in endpoint.ports if port.port == 70] == ["10.20.30.2:70/tcp"]
    with pytest.raises(pycnm.PortInUseError, match=r"10\.20\.30\.2:70/tcp .* is open already"):
        endpoint.publish("0.0.0.0:1002:70")
