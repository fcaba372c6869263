"""S8: the way in; published ports and who reaches them."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket

import pytest
from surroundings import agents, held_by, keepers
from topology import IMPATIENCE, PATIENCE, ask_again, inside, until

import pycnm

HOST, FAR = "192.0.2.1", "192.0.2.66"


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge", subnet="10.20.30.0/24")


@pytest.fixture
def c3(cnm, net):
    """A sandbox that answers on some ports; nothing of it is published."""
    sandbox = cnm.create_sandbox("c3")
    with inside(sandbox).serve("80", "81", "82", "53/udp", "54/udp"):
        yield sandbox


@pytest.fixture
def web(net, c3):
    """c3, published as 8080:80."""
    return net.connect(c3, publish=["8080:80"])


def bindings(endpoint):
    return [str(binding) for binding in endpoint.ports]


# Who reaches it


def test_from_outside(web, outside):
    answer = outside.ask(HOST, 8080)
    assert (answer.server, answer.peer) == ("c3", FAR)
    assert outside.ask(HOST, 80, patience=IMPATIENCE) is None


def test_from_the_host(web, host):
    for address in (HOST, "127.0.0.1", "127.1.2.3", "10.20.30.1"):
        assert host.ask(address, 8080).server == "c3", address


def test_from_another_network_by_the_hosts_address(web, cnm):
    c1 = cnm.create_sandbox("c1")
    cnm.network("bridge").connect(c1)
    for address in (HOST, "172.17.0.1", "10.20.30.1"):
        assert inside(c1).ask(address, 8080).server == "c3", address
    assert inside(c1).ask("10.20.30.2", 80, patience=IMPATIENCE) is None


def test_from_itself_and_its_neighbour(web, cnm, net, c3):
    c4 = cnm.create_sandbox("c4")
    net.connect(c4)
    for place in (inside(c3), inside(c4)):
        for address in (HOST, "10.20.30.1"):
            assert place.ask(address, 8080).server == "c3", (place, address)


def test_published_on_the_loopback_is_reached_from_the_host_alone(cnm, net, c3, host, outside):
    net.connect(c3, publish=["127.0.0.1:8080:80"])
    c1 = cnm.create_sandbox("c1")
    cnm.network("bridge").connect(c1)
    assert host.ask("127.0.0.1", 8080).server == "c3"
    assert host.ask(HOST, 8080, patience=IMPATIENCE) is None
    # The neighbour sends what is for 127.0.0.1 to the host.
    outside.set_sysctl(net__ipv4__conf__all__route_localnet=1)
    outside.batch(
        "rule add pref 10 lookup local",
        "rule add pref 5 to 127.0.0.1 lookup 99",
        "rule del pref 0",
        f"route add 127.0.0.1 via {HOST} dev eth0 table 99",
    )
    with host.capture("eth0", "tcp and dst host 127.0.0.1") as seen:
        assert outside.ask("127.0.0.1", 8080, patience=IMPATIENCE) is None
        assert seen.find(rf"{FAR}\.\d+ > 127\.0\.0\.1\.8080")
    assert outside.ask(HOST, 8080, patience=IMPATIENCE) is None
    assert inside(c1).ask(HOST, 8080, patience=IMPATIENCE) is None


def test_published_on_one_address_of_the_host(controller, host, outside, machine):
    host.batch("address add 192.0.2.9/24 dev eth0")
    cnm = controller(host)
    net = cnm.create_network("my_bridge")
    boxes = [cnm.create_sandbox(name) for name in ("a", "b")]
    net.connect(boxes[0], publish=[f"{HOST}:8080:80"])
    net.connect(boxes[1], publish=["192.0.2.9:8080:80"])
    with inside(boxes[0]).serve("80"), inside(boxes[1]).serve("80"):
        assert outside.ask(HOST, 8080).server == "a"
        assert outside.ask("192.0.2.9", 8080).server == "b"
    with pytest.raises(pycnm.CNMError):
        net.connect(cnm.create_sandbox("c"), publish=["192.0.2.77:8080:80"])


def test_what_only_passes_the_host_is_nobodys(controller, machine, host, outside):
    """A published port is taken from packets to the host, not from packets through it."""
    host.forward()
    far = machine("far")
    host.wire(far, ["203.0.113.1/24"], ["203.0.113.9/24"], interface="eth1")
    far.route("default via 203.0.113.1")
    outside.route("203.0.113.0/24 via 192.0.2.1")
    cnm = controller(host)
    box = cnm.create_sandbox("c3")
    cnm.network("bridge").connect(box, publish=["8080:80"])
    with far.serve("8080"), inside(box).serve("80"):
        assert outside.ask("203.0.113.9", 8080).server == "far"
        assert outside.ask(HOST, 8080).server == "c3"
        assert outside.ask("203.0.113.1", 8080).server == "c3"


# Protocols, ranges, choices


def test_udp(net, c3, host, outside):
    net.connect(c3, publish=["8053:53/udp"])
    answer = outside.ask(HOST, 8053, "udp")
    assert (answer.server, answer.peer) == ("c3", FAR)
    assert host.ask("127.0.0.1", 8053, "udp").server == "c3"
    assert inside(c3).ask(HOST, 8053, "udp").server == "c3"
    assert outside.ask(HOST, 8053, "tcp", patience=IMPATIENCE) is None


@pytest.mark.needs("sctp")
def test_sctp(cnm, net, c3, outside):
    endpoint = net.connect(c3, publish=["8132:80/sctp"])
    assert bindings(endpoint) == ["0.0.0.0:8132->80/sctp"]

    def opened():
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)

    with inside(c3).do(opened) as listener, outside.do(opened) as client:
        listener.bind(("0.0.0.0", 80))
        listener.listen()
        client.settimeout(PATIENCE)
        client.connect((HOST, 8132))
        served, (peer, _) = listener.accept()
        with served:
            client.sendall(b"anybody there?")
            assert served.recv(100) == b"anybody there?"
            assert peer == FAR
    # Who has it already is found out, too.
    with pytest.raises(pycnm.CNMError, match="8132"):
        net.connect(cnm.create_sandbox("c4"), publish=["8132:80/sctp"])


@pytest.mark.lacks("sctp")
def test_without_sctp_the_module_is_named_and_nothing_stays(net, c3, host):
    before = host.picture()
    with pytest.raises(pycnm.CNMError, match="sctp") as caught:
        net.connect(c3, publish=["8132:80/sctp"])
    lacking = {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EOPNOTSUPP}
    assert caught.value.errno in lacking
    assert host.picture() == before
    assert inside(c3).interfaces() == ["lo"]


def test_tcp_and_udp_of_one_number(net, c3, outside):
    endpoint = net.connect(c3, publish=["8080:80", "8080:53/udp"])
    assert len(endpoint.ports) == 2
    assert outside.ask(HOST, 8080).server == "c3"
    assert outside.ask(HOST, 8080, "udp").server == "c3"


def test_a_range_onto_a_range(net, c3, outside):
    endpoint = net.connect(c3, publish=["8000-8002:80-82"])
    assert [(b.host_port, b.port) for b in endpoint.ports] == [(8000, 80), (8001, 81), (8002, 82)]
    assert all(outside.ask(HOST, port) for port in (8000, 8001, 8002))
    assert outside.ask(HOST, 8003, patience=IMPATIENCE) is None


def test_a_range_to_choose_from(cnm, net, c3, host, outside):
    with host.serve("8001"):
        endpoint = net.connect(c3, publish=["8000-8002:80", "8000-8002:81"])
        assert sorted(b.host_port for b in endpoint.ports) == [8000, 8002]
        assert {outside.ask(HOST, b.host_port).server for b in endpoint.ports} == {"c3"}
        assert outside.ask(HOST, 8001).server == "h1"
        before = host.picture()
        with pytest.raises((pycnm.PoolExhaustedError, pycnm.PortInUseError)):
            endpoint.publish("8000-8002:82")
        assert host.picture() == before


def test_ports_of_the_hosts_choice(controller, host, outside):
    """Any of ip_local_port_range, but none that the administrator reserved."""
    host.set_sysctl(
        net__ipv4__ip_local_port_range="40000 40009",
        net__ipv4__ip_local_reserved_ports="40002-40004",
    )
    cnm = controller(host)
    net, box = cnm.create_network("n"), cnm.create_sandbox("c3")
    endpoint = net.connect(box, publish=["80", "127.0.0.1::81", "82/udp"])
    allowed = {40000, 40001, *range(40005, 40010)}
    assert {b.host_port for b in endpoint.ports} <= allowed
    with inside(box).serve("80"):
        (port,) = [b.host_port for b in endpoint.ports if b.port == 80]
        assert outside.ask(HOST, port).server == "c3"
    endpoint.publish("40003:83")
    assert "0.0.0.0:40003->83/tcp" in bindings(endpoint)


# Who holds it


def test_a_second_taker_hears_who_was_first(cnm, net, web, host):
    c4 = cnm.create_sandbox("c4")
    before = host.picture()
    with pytest.raises(pycnm.PortInUseError, match="c3") as caught:
        net.connect(c4, publish=["8080:80"])
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.port == 8080
    assert "c3" in caught.value.holder
    for other in ("127.0.0.1:8080:81", f"{HOST}:8080:80"):
        with pytest.raises(pycnm.PortInUseError, match="c3"):
            net.connect(c4, publish=[other])
    with pytest.raises(pycnm.PortInUseError):
        web.publish("8080:81")
    assert inside(c4).interfaces() == ["lo"]
    assert host.picture() == before


def test_a_programs_port_is_its_own(cnm, net, c3, host):
    before = host.picture()
    with host.serve("8080", "8053/udp"):
        for port in ("8080:80", "127.0.0.1:8080:80", "8053:53/udp"):
            with pytest.raises(pycnm.PortInUseError, match=rf"process {os.getpid()}") as caught:
                net.connect(c3, publish=["9000:80", port])
            assert caught.value.errno == errno.EADDRINUSE
        assert host.ask("127.0.0.1", 8080).server == "h1"
    assert host.picture() == before
    net.connect(c3, publish=["8080:80"])
    assert host.ask("127.0.0.1", 8080).server == "c3"


def test_a_program_cannot_take_a_published_port(web, host):
    for address in ("0.0.0.0", "127.0.0.1", HOST):
        with host.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                taker.bind((address, 8080))
                taker.listen()


def test_nothing_of_a_failed_request_stays(net, c3, host, outside):
    before = host.picture()
    with host.serve("8082"), pytest.raises(pycnm.PortInUseError):
        net.connect(c3, publish=["8080:80", "8081:81", "8082:82"])
    until(lambda: host.picture() == before)
    assert host.picture() == before
    assert inside(c3).interfaces() == ["lo"]
    net.connect(c3, publish=["8080:80", "8081:81", "8082:82"])
    assert outside.ask(HOST, 8082).server == "c3"


def test_the_same_port_twice_in_one_request(net, c3, host):
    before = host.picture()
    with pytest.raises(pycnm.CNMError):
        net.connect(c3, publish=["8080:80", "8080:81"])
    assert host.picture() == before


# Live


def test_added_and_removed_on_a_running_endpoint(net, c3, host, outside):
    endpoint = net.connect(c3)
    before = host.picture()
    assert outside.ask(HOST, 9090, patience=IMPATIENCE) is None
    (binding,) = endpoint.publish("9090:80")
    assert str(binding) == "0.0.0.0:9090->80/tcp"
    assert outside.ask(HOST, 9090).server == "c3"
    endpoint.publish("9091:53/udp", "127.0.0.1:9092:81")
    assert outside.ask(HOST, 9091, "udp").server == "c3"
    endpoint.unpublish("9090:80")
    assert outside.ask(HOST, 9090, patience=IMPATIENCE) is None
    assert host.ask("127.0.0.1", 9092).server == "c3"
    endpoint.unpublish("9091:53/udp", "127.0.0.1:9092:81")
    assert endpoint.ports == []
    until(lambda: host.picture() == before)
    assert host.picture() == before
    with pytest.raises(pycnm.InvalidArgumentError):
        endpoint.unpublish("9090:80")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_ends_with_its_port(net, c3, host, outside, protocol):
    """A removed port is gone for those too who were using it."""
    target = {"tcp": "80", "udp": "53/udp"}[protocol]
    endpoint = net.connect(c3, publish=[f"9090:{target}", "9091:81"])
    other = outside.connect(HOST, 9091)
    with outside.connect(HOST, 9090, protocol) as flow, other:
        assert ask_again(flow).server == "c3"
        assert ask_again(other).server == "c3"
        endpoint.unpublish(f"9090:{target}")
        flow.settimeout(IMPATIENCE)
        with pytest.raises(OSError):
            ask_again(flow)
        assert ask_again(other).server == "c3"
    tracked = host.run("conntrack", "-L").splitlines()
    assert not [line for line in tracked if "dport=9090" in line and "10.20.30.2" in line]


def test_a_udp_flow_from_before_is_led_to_the_sandbox(net, c3, host, outside):
    """Who has sent before there was anybody is not stuck with the answer of that time."""
    with outside.connect(HOST, 9090, "udp", patience=IMPATIENCE) as flow:
        with pytest.raises(OSError):
            ask_again(flow)
        net.connect(c3, publish=["9090:53/udp"])
        assert until(lambda: _answers(flow))


def _answers(flow):
    try:
        return ask_again(flow).server == "c3"
    except OSError:
        return False


def test_the_next_owner_of_an_address_inherits_no_flow(cnm, net, c3, outside):
    net.connect(c3, publish=["9090:53/udp"])
    with outside.connect(HOST, 9090, "udp") as flow:
        assert ask_again(flow).server == "c3"
        flow.settimeout(IMPATIENCE)
        net.disconnect(c3)
        c4 = cnm.create_sandbox("c4")
        net.connect(c4, ip="10.20.30.2")
        with inside(c4).serve("53/udp"), pytest.raises(OSError):
            ask_again(flow)


def test_ports_follow_their_endpoint_when_it_leaves_and_joins(cnm, net, web, outside):
    web.leave()
    assert outside.ask(HOST, 8080, patience=IMPATIENCE) is None
    c4 = cnm.create_sandbox("c4")
    web.join(c4)
    with inside(c4).serve("80"):
        assert outside.ask(HOST, 8080).server == "c4"


def test_an_endpoint_of_a_network_without_the_default_route(cnm, net, c3, outside):
    """The answer goes back the way the question came."""
    other = cnm.create_network("other", subnet="10.40.0.0/24")
    other.connect(c3, gateway_priority=100)
    net.connect(c3, publish=["8080:80"])
    assert outside.ask(HOST, 8080).server == "c3"


def test_an_internal_network_publishes_nothing(cnm, c3, host, outside):
    inner = cnm.create_network("inner", internal=True)
    with pytest.raises(pycnm.NotSupportedError, match="internal"):
        inner.connect(c3, publish=["8080:80"])
    assert outside.ask(HOST, 8080, patience=IMPATIENCE) is None


# The agent


def test_ports_work_on_while_the_agent_is_dead(cnm, net, web, c3, outside, tmp_path):
    with outside.connect(HOST, 8080) as flow:
        assert ask_again(flow).server == "c3"
        (agent,) = agents(tmp_path)
        assert any(re.match(r"00000000:1F90/tcp$", port) for port in held_by(agent))
        # Its keeper first, or there would be another at once.
        for pid in (*keepers(tmp_path), agent):
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: not agents(tmp_path))
        assert ask_again(flow).server == "c3"
        assert outside.ask(HOST, 8080).server == "c3"
        # Its next start takes back what is recorded.
        web.publish("8081:81")
        (agent,) = agents(tmp_path)
        held = {port.partition(":")[2] for port in held_by(agent)}
        assert {"1F90/tcp", "1F91/tcp"} <= held
        assert outside.ask(HOST, 8081).server == "c3"
        assert cnm.check() == []


def test_one_agent_serves_all_programs_of_a_state_directory(controller, cnm, host, net, tmp_path):
    other = controller(host)
    for number, each in enumerate((cnm, other, cnm)):
        box = each.create_sandbox(f"c{number}")
        each.network("my_bridge").connect(box, publish=[f"{9000 + number}:80"])
    (agent,) = agents(tmp_path)
    assert len(held_by(agent)) == 3
    listing = os.readlink(f"/proc/{agent}/ns/net")
    assert listing == f"net:[{os.stat(host.key).st_ino}]"


def test_500_ports_and_no_process(cnm, net, c3, outside, tmp_path):
    endpoint = net.connect(c3)
    endpoint.publish("20000-20499:30000-30499")
    assert len(endpoint.ports) == 500
    (agent,) = agents(tmp_path)
    assert len(held_by(agent)) == 500
    with inside(c3).serve("30000", "30499"):
        assert outside.ask(HOST, 20000).server == "c3"
        assert outside.ask(HOST, 20499).server == "c3"
    endpoint.unpublish("20000-20499:30000-30499")
    assert until(lambda: held_by(agent) == [])
