"""More endpoints than a network takes: a sentence, before anything is made."""

from __future__ import annotations

import pytest

import pycnm
from pycnm.testing import FakeKernel


def test_a_bridge_network_takes_as_many_endpoints_as_its_bridge_has_ports(tmp_path):
    kernel = FakeKernel()
    with pycnm.Controller(tmp_path, kernel=kernel) as cnm:
        net = cnm.create_network("n", subnet="10.20.0.0/16")
        for number in range(1023):
            net.create_endpoint(f"e{number}")
        box = cnm.create_sandbox("c1")
        before = kernel.listing()
        with pytest.raises(pycnm.InUseError) as caught:
            net.connect(box)
        assert str(caught.value) == (
            "network n takes 1023 endpoints, and has as many: a bridge of the kernel has no more "
            "ports; disconnect one first, or use another network"
        )
        assert kernel.listing() == before
        net.endpoints[0].delete()
        net.connect(box)
        assert cnm.check() == []
