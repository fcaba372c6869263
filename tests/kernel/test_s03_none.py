"""S3: a sandbox on the network `none`."""

from __future__ import annotations

import pytest
from topology import inside

import pycnm


def test_it_has_only_lo(controller, host, outside):
    before = host.picture()
    cnm = controller(host)
    c = cnm.create_sandbox("c")
    endpoint = cnm.network("none").connect(c)
    box = inside(c)
    assert box.interfaces() == ["lo"]
    assert box.link("lo")["flags"] == ["LOOPBACK", "UP", "LOWER_UP"]
    assert box.routes() == []
    assert box.ping("127.0.0.1")
    assert not box.ping("192.0.2.1", 1)
    assert [endpoint.ip, endpoint.ip6, endpoint.mac, endpoint.gateway] == [None] * 4
    assert (endpoint.interface, endpoint.host_interface) == ("", "")
    assert host.picture() == before


def test_none_mixes_with_nothing(cnm):
    net, none = cnm.create_network("my_bridge"), cnm.network("none")
    alone, social = cnm.create_sandbox("alone"), cnm.create_sandbox("social")
    none.connect(alone)
    net.connect(social)
    with pytest.raises(pycnm.NotSupportedError, match="none"):
        net.connect(alone)
    with pytest.raises(pycnm.NotSupportedError, match="none"):
        none.connect(social)
    assert inside(alone).interfaces() == ["lo"]
    assert inside(social).interfaces() == ["eth0", "lo"]
    none.disconnect(alone)
    net.connect(alone)
    assert inside(alone).interfaces() == ["eth0", "lo"]
