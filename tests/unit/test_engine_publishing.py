"""Ports published live: what comes back, and who is in the way of a range."""

from __future__ import annotations

import pytest

import pycnm
from pycnm.errors import PortInUseError
from pycnm.plan.ports import HeldPort
from pycnm.testing import FakeKernel


@pytest.fixture
def box(tmp_path):
    """Makes sandboxes; what it returns is their endpoint."""
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as cnm:
        net = cnm.create_network("front", subnet=["10.20.30.0/24", "fd00:20:30::/64"])
        yield lambda name: net.connect(cnm.create_sandbox(name))


def test_what_was_published_comes_back_as_it_is_listed(box):
    end = box("c1")
    first = end.publish("9000:90/udp", "127.0.0.1:9001:90/udp", "9000-9001:90-91", "80")
    assert first == end.ports
    assert [str(port) for port in first if port.host_port in {9000, 9001}] == [
        "[::]:9000->90/tcp", "0.0.0.0:9000->90/tcp",
        "[::]:9000->90/udp", "127.0.0.1:9001->90/udp", "0.0.0.0:9000->90/udp",
        "[::]:9001->91/tcp", "0.0.0.0:9001->91/tcp",
    ]  # fmt: skip
    second = end.publish("70:70")
    assert {*first, *second} == set(end.ports)
    assert [str(port) for port in second] == ["[::]:70->70/tcp", "0.0.0.0:70->70/tcp"]
    assert end.publish() == []


@pytest.mark.parametrize(
    ("there", "wanted", "message"),
    [
        ("8005:80", "8000-8009:8000-8009", r"0\.0\.0\.0:8005/tcp failed.* c1 "),
        ("127.0.0.1:8005:80", "8000-8009:8000-8009", r"0\.0\.0\.0:8005/tcp failed.* c1 "),
        (
            "[fd00:20:30::1]:8009:80",
            "8000-8009:8000-8009",
            r"\[::\]:8009/tcp failed.* c1 ",
        ),
        ("8005:80", "127.0.0.1:8000-8009:8000-8009", r"127\.0\.0\.1:8005/tcp failed.* c1 "),
        ("8000-8009:80-89", "8009-8018:8009-8018", r"0\.0\.0\.0:8009/tcp failed.* c1 .*:89"),
    ],
)
def test_one_taken_port_of_a_range_is_named_and_nothing_is_published(box, there, wanted, message):
    box("c1").publish(there)
    two = box("c2")
    with pytest.raises(PortInUseError, match=message):
        two.publish(wanted)
    assert two.ports == []


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("8005:80/udp", "8000-8009:8000-8009"),
        ("127.0.0.1:8005:80", "127.0.0.2:8000-8009:8000-8009"),
        ("[fd00:20:30::1]:8005:80", "0.0.0.0:8000-8009:8000-8009"),
        ("7999:80", "8000-8009:8000-8009"),
        ("8010:80", "8000-8009:8000-8009"),
    ],
)
def test_what_is_published_elsewhere_is_not_in_the_way(box, there, wanted):
    box("c1").publish(there)
    assert {port.host_port for port in box("c2").publish(wanted)} == set(range(8000, 8010))


@pytest.mark.parametrize("wanted", [["8000-8002:80", "8000:81"], ["8000:81", "8000-8002:80"]])
def test_what_was_named_is_not_chosen_for_another_port(box, wanted):
    found = {port.port: port.host_port for port in box("c1").publish(*wanted)}
    assert found == {80: 8001, 81: 8000}


def test_a_port_that_is_named_for_another_protocol_may_turn_out_to_be_taken(tmp_path):
    kernel = FakeKernel()
    kernel.others_do(HeldPort("tcp", "0.0.0.0", 8000))
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        end = cnm.create_network("front").connect(cnm.create_sandbox("c1"))
        end.publish("8000-8001:80", "8000:80/udp")
        assert {str(port) for port in end.ports} == {
            "0.0.0.0:8001->80/tcp",
            "0.0.0.0:8000->80/udp",
        }
        with pytest.raises(PortInUseError, match=r"0\.0\.0\.0:8000/tcp"):
            end.publish("8002-8003:81", "8000:82")
