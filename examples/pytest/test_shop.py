"""How a program behaves when the network does not: `pytest examples/pytest`, as root."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pycnm

# In place of a real program: it tries for as long as it is told to.
CLIENT = """
import sys, time, urllib.request
end = time.monotonic() + float(sys.argv[1])
while True:
    try:
        print(urllib.request.urlopen("http://shop/", timeout=0.5).status)
        break
    except OSError as error:
        if time.monotonic() > end:
            sys.exit(f"gave up: {error}")
        time.sleep(0.05)
"""


def start(client: pycnm.Sandbox, seconds: float) -> subprocess.Popen[str]:
    """The program, running in the sandbox."""
    argv = [sys.executable, "-c", CLIENT, str(seconds)]
    return client.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("server")
def test_the_shop_is_found_by_its_name(client: pycnm.Sandbox) -> None:
    with start(client, seconds=10) as program:
        output, _ = program.communicate()
    assert output == "200\n"


@pytest.mark.usefixtures("server")
def test_the_client_gives_up_when_its_own_cable_is_out(
    network: pycnm.Network, client: pycnm.Sandbox
) -> None:
    network.disconnect(client)
    with start(client, seconds=0.2) as program:
        _, errors = program.communicate()
    assert "gave up" in errors


def test_the_client_survives_an_outage(
    network: pycnm.Network, client: pycnm.Sandbox, server: pycnm.Sandbox
) -> None:
    address = server.endpoints[0].ip
    network.disconnect(server)
    with start(client, seconds=20) as program:
        network.connect(server, ip=address, aliases=["shop"])
        output, _ = program.communicate()
    assert output == "200\n"
