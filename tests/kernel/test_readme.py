"""Every line of the README, the tutorial and the pages that need root, as a reader types it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
import tours
from topology import until


@pytest.fixture
def environment(tmp_path):
    return tours.with_command(tmp_path)


@pytest.mark.parametrize(
    "heading", ["As files", "From the command line", "From Python", "From a notebook"]
)
def test_the_tours_of_the_readme(host, environment, heading):
    before = host.picture()
    tours.tour(host, tours.steps(tours.section("README.md", heading)), **environment)
    assert until(lambda: host.picture() == before)


@pytest.mark.parametrize(
    "page",
    [
        "tutorial.md",
        "howto/mount-the-tree.md",
        "howto/publish-a-port.md",
        "howto/names.md",
        "howto/change-a-network.md",
        "howto/follow-events.md",
        "howto/heal-drift.md",
    ],
)
def test_the_pages_that_need_root(host, environment, page):
    before = host.picture()
    text = (tours.ROOT / "docs" / page).read_text()
    tours.tour(host, tours.steps(text), **environment)
    assert until(lambda: host.picture() == before)


def test_a_tour_that_shows_something_else_is_noticed(host, environment):
    wrong = [tours.Step("console", "cnm network ls", "NETWORK ID     NAME\n")]
    with pytest.raises(AssertionError, match="and should print"):
        tours.tour(host, wrong, **environment)
    broken = [tours.Step("console", "cnm network rm nothing", "...")]
    with pytest.raises(AssertionError, match="nothing"):
        tours.tour(host, broken, **environment)


@pytest.mark.usefixtures("own_machine")
def test_the_demonstration(environment, tmp_path):
    """On its stage, that is: the tests have installed what it would install."""
    stage = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        [*stage, "bash", tours.ROOT / "scripts" / "demo", "--on-stage", tmp_path],
        capture_output=True,
        text=True,
        env=environment,
        timeout=tours.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (
        "link/ether 02:42:ac:11:00:02",
        "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0",
        "default via 172.17.0.1 dev eth0",
        "master cnm0 state UP",
        "3 packets transmitted, 3 packets received, 0% packet loss",
        "NETWORK ID     NAME        DRIVER    SCOPE",
        "IP 192.0.2.1 > 192.0.2.2: ICMP echo request",
        "Hello from c3.",
        "EBUSY write networks/my_bridge/subnet: network my_bridge has active endpoints",
        '"com.docker.network.bridge.name": "cnm0"',
        "ip address add 10.20.30.1/24 dev br-",
    ):
        assert shown in done.stdout
    assert done.stderr == ""


# What installs packages, which a test must not.
_NO_INSTALLING = "require_root() { :; }; install_missing() { :; }; install_into_venv() { :; }\n"


@pytest.mark.usefixtures("own_machine")
def test_the_demonstration_is_interrupted(environment, tmp_path):
    """What it leaves is seen by the fixture that looks around."""
    scripts, scratch = tmp_path / "scripts", tmp_path / "scratch"
    scripts.mkdir()
    scratch.mkdir()
    shutil.copy(tours.ROOT / "scripts" / "demo", scripts)
    (scripts / "lib.sh").write_text(_NO_INSTALLING)
    with subprocess.Popen(
        ["bash", scripts / "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "TMPDIR": str(scratch)},
        # A terminal sends ^C to all of them.
        process_group=0,
    ) as demo:
        assert any("A network of your own" in line for line in demo.stdout)
        os.killpg(demo.pid, signal.SIGINT)
        rest, complaints = demo.communicate(timeout=tours.PATIENCE)
    assert (demo.returncode, complaints) == (130, "")
    assert "nothing of it stays" not in rest
    assert list(scratch.iterdir()) == []
