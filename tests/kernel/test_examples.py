"""The examples run, and the plug-ins among them work as installed packages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import tours
from topology import until

import pycnm

EXAMPLES = tours.ROOT / "examples"


def test_quickstart(host):
    before = host.picture()
    done = tours.on_stage(host, sys.executable, EXAMPLES / "quickstart.py", **os.environ)
    assert done.returncode == 0, done.stdout
    assert "server is 10.9.0.3 on eth0, 02:42:0a:09:00:03" in done.stdout
    assert "the host gets 200 OK" in done.stdout
    assert "publish4 { tcp . 8080 : 10.9.0.3 . 80 }" in done.stdout
    assert until(lambda: host.picture() == before)


def test_the_fixtures_for_other_peoples_tests(host):
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "pytest"]
    done = tours.on_stage(host, *argv, **os.environ)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An environment in which the example plug-ins are installed, as their readers would."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", target, EXAMPLES / "plugins"], check=True)
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def test_a_driver_of_another_package(host, installed):
    code = """
import pycnm

cnm = pycnm.Controller()
net = cnm.create_network("wires", "ptp", subnet="10.9.0.0/24")
a, b = cnm.create_sandbox("a"), cnm.create_sandbox("b")
first, second = net.connect(a), net.connect(b)
print(net.driver, first.interface, first.ip, second.ip, first.gateway)
a.run(["ping", "-q", "-c1", "-W5", "b"], check=True, capture_output=True)
a.run(["ping", "-q", "-c1", "-W5", "10.9.0.1"], check=True, capture_output=True)
print(cnm.check())
try:
    second.publish("80")
except pycnm.NotSupportedError:
    print("no ports")
try:
    cnm.create_network("faster", "ptp", options={"com.docker.network.driver.mtu": "70000"})
except pycnm.InvalidArgumentError as error:
    print("70000" in str(error))
for each in (a, b, net):
    each.delete()
"""
    before = host.picture()
    shown = "ptp ptp0 10.9.0.2 10.9.0.3 10.9.0.1\n[]\nno ports\nTrue\n"
    tours.tour(host, [tours.Step("python", code, shown)], **installed)
    assert until(lambda: host.picture() == before)


def test_an_ipam_of_another_package(host, installed):
    code = """
import pycnm

cnm = pycnm.Controller()
net = cnm.create_network("blue", subnet="10.9.0.0/24", ipam="serial")
box = cnm.create_sandbox("a")
for _ in range(3):
    print(net.connect(box).ip)
    net.disconnect(box)
box.delete()
net.delete()
"""
    shown = "10.9.0.2\n10.9.0.3\n10.9.0.4\n"
    tours.tour(host, [tours.Step("python", code, shown)], **installed)


def test_without_the_package_its_driver_is_unknown(cnm):
    with pytest.raises(pycnm.NotFoundError, match="ptp"):
        cnm.create_network("wires", "ptp")


def test_the_command_of_the_page_about_drivers(host, installed, tmp_path):
    text = (tours.ROOT / "docs/howto/write-a-driver.md").read_text()
    steps = [step for step in tours.steps(text) if step.kind == "console"]
    steps = [step._replace(shown="0" * 64) for step in steps]
    steps.append(tours.Step("console", "cnm network rm wires", "wires\n"))
    tours.tour(host, steps, **tours.with_command(tmp_path, installed))
