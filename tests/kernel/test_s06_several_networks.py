"""S6: a sandbox on several networks, connected and disconnected while it runs."""

from __future__ import annotations

import pytest
from topology import ask_again, inside, until

import pycnm


@pytest.fixture
def red(cnm):
    return cnm.create_network("red", subnet="10.1.0.0/24")


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.2.0.0/24")


@pytest.fixture
def c2(cnm, red):
    sandbox = cnm.create_sandbox("c2")
    red.connect(sandbox)
    return sandbox


def default(sandbox, family=4):
    """The next hop and interface of every default route in the main table."""
    routes = inside(sandbox).routes(family)
    return [(each["gateway"], each["dev"]) for each in routes if each["dst"] == "default"]


def test_the_second_interface_is_eth1(cnm, c2, red, blue):
    c3 = cnm.create_sandbox("c3")
    blue.connect(c3)
    endpoint = blue.connect(c2)
    assert endpoint.interface == "eth1"
    assert inside(c2).interfaces() == ["eth0", "eth1", "lo"]
    assert inside(c2).addresses("eth0") == ["10.1.0.2/24"]
    assert inside(c2).addresses("eth1") == ["10.2.0.3/24"]
    assert inside(c3).ping("10.2.0.3")
    assert inside(c2).ping("10.2.0.2")
    red.disconnect(c2)
    assert inside(c2).interfaces() == ["eth1", "lo"]
    red.connect(c2)
    assert inside(c2).addresses("eth0") == ["10.1.0.2/24"]


def test_a_flow_outlives_what_happens_on_the_other_network(cnm, c2, red, blue):
    c3 = cnm.create_sandbox("c3")
    red.connect(c3)
    with inside(c3).serve("80"), inside(c2).connect("10.1.0.3", 80) as flow:
        assert ask_again(flow).server == "c3"
        blue.connect(c2)
        assert ask_again(flow).peer == "10.1.0.2"
        blue.disconnect(c2)
        assert ask_again(flow).peer == "10.1.0.2"


def test_the_default_route_goes_by_name_and_by_priority(cnm, c2, red, blue):
    assert default(c2) == [("10.1.0.1", "eth0")]
    blue.connect(c2)
    assert default(c2) == [("10.2.0.1", "eth1")]
    blue.disconnect(c2)
    assert default(c2) == [("10.1.0.1", "eth0")]
    blue.connect(c2, gateway_priority=-1)
    assert default(c2) == [("10.1.0.1", "eth0")]
    red.disconnect(c2)
    assert default(c2) == [("10.2.0.1", "eth1")]
    red.connect(c2, gateway_priority=5)
    assert default(c2) == [("10.1.0.1", "eth0")]


def test_a_network_of_another_name_gives_the_default_route(cnm, c2, red, blue):
    """Among equals the name decides, whenever it changes; what is open stays so."""
    blue.connect(c2)
    assert default(c2) == [("10.2.0.1", "eth1")]
    with inside(c2).serve("80"):
        blue.rename("zebra")
        assert default(c2) == [("10.1.0.1", "eth0")]
        assert cnm.check() == []
    red.rename("zulu")
    assert default(c2) == [("10.2.0.1", "eth1")]
    red.rename("blue")
    assert default(c2) == [("10.1.0.1", "eth0")]
    assert cnm.check() == []
    cnm.reconcile()
    assert default(c2) == [("10.1.0.1", "eth0")]


def test_each_family_has_its_own_gateway(cnm, red, blue):
    """Who serves both goes before who serves one, whatever the names; of the other family, too."""
    box = cnm.create_sandbox("c3")
    both = cnm.create_network("z-both", subnet=["10.4.0.0/24", "fd00:4::/64"])
    six = cnm.create_network("a-six", subnet="fd00:5::/64", ipv4=False)
    red.connect(box)
    six.connect(box)
    assert (default(box), default(box, 6)) == ([("10.1.0.1", "eth0")], [("fd00:5::1", "eth1")])
    both.connect(box)
    assert (default(box), default(box, 6)) == ([("10.4.0.1", "eth2")], [("fd00:4::1", "eth2")])
    (end,) = six.endpoints
    end.configure(gateway_priority=1)
    assert (default(box), default(box, 6)) == ([("10.4.0.1", "eth2")], [("fd00:5::1", "eth1")])
    both.disconnect(box)
    assert (default(box), default(box, 6)) == ([("10.1.0.1", "eth0")], [("fd00:5::1", "eth1")])
    six.disconnect(box)
    assert (default(box), default(box, 6)) == ([("10.1.0.1", "eth0")], [])


def test_an_internal_network_gives_no_default_route(cnm, c2, red):
    inner = cnm.create_network("a-inner", subnet="10.3.0.0/24", internal=True)
    inner.connect(c2, gateway_priority=100)
    assert default(c2) == [("10.1.0.1", "eth0")]
    red.disconnect(c2)
    assert default(c2) == []


def test_the_way_out_follows_the_default_route(c2, blue, outside):
    with outside.serve("80"):
        assert inside(c2).ask("192.0.2.66", 80)
        for gateway, priority in (("br-" + blue.id[:12], 1),):
            blue.connect(c2, gateway_priority=priority)
            with inside(c2).capture("eth1", "tcp") as seen:
                assert inside(c2).ask("192.0.2.66", 80), gateway
                assert seen.find(r"10\.2\.0\.2\.\d+ > 192\.0\.2\.66\.80")
        blue.disconnect(c2)
        assert inside(c2).ask("192.0.2.66", 80)


def resolved(box, name):
    return box.run(["getent", "hosts", name], capture_output=True, text=True).stdout


def test_after_disconnect_there_is_no_trace_of_it(cnm, c2, blue, host, outside):
    # What nobody here knows is asked of nobody.
    c3 = cnm.create_sandbox("c3", dns=["127.0.0.1"])
    blue.connect(c3)
    assert resolved(c3, "c2") == ""
    own = c2.run(["cat", "/etc/hosts"], capture_output=True, text=True).stdout
    before = host.picture(), inside(c2).picture()
    endpoint = blue.connect(c2, ip="10.2.0.99", aliases=["web"])
    marks = [endpoint.id[:7], "10.2.0.99", "02:42:0a:02:00:63", "web"]
    with outside.serve("53/udp"):
        assert inside(c2).ask("192.0.2.66", 53, "udp", source=("10.2.0.99", 0))
    assert "10.2.0.99" in host.run("conntrack", "-L")
    assert resolved(c3, "c2").split()[0] == resolved(c3, "web").split()[0] == "10.2.0.99"
    blue.disconnect(c2)
    until(lambda: (host.picture(), inside(c2).picture()) == before)
    assert (host.picture(), inside(c2).picture()) == before
    everywhere = [
        host.run("ip", "-d", "address"),
        host.run("nft", "list", "ruleset"),
        host.run("conntrack", "-L"),
        host.run("bridge", "fdb"),
        *(inside(box).run("ip", "-d", "address") for box in (c2, c3)),
        *(inside(box).run("ip", "route", "show", "table", "all") for box in (c2, c3)),
        *(
            box.run(["cat", "/etc/hosts"], capture_output=True, text=True).stdout
            for box in (c2, c3)
        ),
        str(blue.inspect()),
        str(c2.inspect()),
    ]
    assert [mark for mark in marks for text in everywhere if mark in text] == []
    assert c2.run(["cat", "/etc/hosts"], capture_output=True, text=True).stdout == own
    assert resolved(c3, "c2") == resolved(c3, "web") == ""
    with pytest.raises(pycnm.NotFoundError):
        endpoint.ip  # noqa: B018 - it is the asking that fails
    with pytest.raises(pycnm.NotFoundError, match="not connected"):
        blue.disconnect(c2)
    blue.disconnect(c2, force=True)


def test_a_network_is_connected_once(c2, red, host):
    before = host.picture()
    with pytest.raises(pycnm.AlreadyExistsError, match="c2"):
        red.connect(c2)
    assert host.picture() == before


def test_an_endpoint_may_leave_and_join_again(cnm, c2, blue):
    endpoint = blue.create_endpoint("spare", ip="10.2.0.50")
    assert "eth1" not in inside(c2).interfaces()
    endpoint.join(c2)
    assert inside(c2).addresses("eth1") == ["10.2.0.50/24"]
    c3 = cnm.create_sandbox("c3")
    with pytest.raises(pycnm.InUseError):
        endpoint.join(c3)
    endpoint.leave()
    assert inside(c2).interfaces() == ["eth0", "lo"]
    endpoint.join(c3)
    assert inside(c3).addresses("eth0") == ["10.2.0.50/24"]
    endpoint.leave()
    endpoint.delete()
    assert blue.endpoints == []
