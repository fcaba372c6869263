"""`run` and `popen`: subprocess, with the sandbox around the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from surroundings import agents
from topology import RUN_NETNS, Place, inside, until

import pycnm


@pytest.fixture
def net(cnm):
    return cnm.create_network("my_bridge", subnet="10.20.30.0/24")


@pytest.fixture
def c2(cnm, net):
    sandbox = cnm.create_sandbox("c2", dns=["192.0.2.53"])
    net.connect(sandbox)
    return sandbox


def output(sandbox, *argv, **options):
    return sandbox.run(list(argv), capture_output=True, text=True, check=True, **options).stdout


# As subprocess


def test_output_and_status(c2):
    done = c2.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert done.args == ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert c2.run(["true"]).stdout is None


def test_check(c2):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        c2.run(["sh", "-c", "echo why; exit 4"], check=True, capture_output=True, text=True)
    assert (caught.value.returncode, caught.value.stdout) == (4, "why\n")


def test_timeout_kills(c2):
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        c2.run(["sh", "-c", "echo begun; exec sleep 100"], timeout=0.2, capture_output=True)
    assert caught.value.timeout == 0.2
    assert caught.value.stdout == b"begun\n"
    # That nothing of it is left is seen by every test's surroundings.


def test_input_environment_and_directory(c2, tmp_path):
    assert output(c2, "cat", input="spoken") == "spoken"
    assert c2.run(["cat"], input=b"spoken", capture_output=True).stdout == b"spoken"
    assert output(c2, "/bin/sh", "-c", "echo $COLOUR$HOME", env={"COLOUR": "red"}) == "red\n"
    assert output(c2, "pwd", cwd=tmp_path) == f"{tmp_path}\n"


def test_a_program_that_is_not_there(c2):
    with pytest.raises(FileNotFoundError):
        c2.run(["/no/such/program"])
    with pytest.raises(FileNotFoundError):
        c2.popen(["/no/such/program"])


@pytest.mark.parametrize("argv", ["ping c3", b"ping", [], [""][:0], ["a\0b"], [1], None])
def test_a_command_that_is_none(c2, argv):
    with pytest.raises(pycnm.InvalidArgumentError, match="list of texts"):
        c2.run(argv)


def test_popen_is_the_processs_own(c2):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with c2.popen(["sh", "-c", "read line; echo $line; exec sleep 100"], **pipes) as process:
        assert isinstance(process, subprocess.Popen)
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "hello\n"
        assert process.poll() is None
        namespace = os.stat(f"/proc/{process.pid}/ns/net")
        assert namespace.st_ino == os.stat(c2.key).st_ino
        process.terminate()
        assert process.wait() == -signal.SIGTERM


def test_the_callers_namespaces_do_not_change(c2):
    def own():
        directory = Path("/proc/thread-self/ns")
        return {entry.name: os.readlink(entry) for entry in directory.iterdir()}

    before = own(), Path("/proc/self/mountinfo").read_text()
    with c2.popen(["sleep", "100"]) as process:
        assert (own(), Path("/proc/self/mountinfo").read_text()) == before
        assert os.readlink(f"/proc/{process.pid}/ns/net") != before[0]["net"]
        process.kill()
    c2.run(["true"])
    seen = []
    thread = threading.Thread(target=lambda: (c2.run(["true"]), seen.append(own())))
    thread.start()
    thread.join()
    assert seen == [before[0]]
    assert (own(), Path("/proc/self/mountinfo").read_text()) == before


# Files


def test_hosts_and_resolv_conf_are_in_place(c2):
    host_files = [Path(name).read_bytes() for name in ("/etc/hosts", "/etc/resolv.conf")]
    assert output(c2, "cat", "/etc/hosts") == c2.hosts
    assert output(c2, "cat", "/etc/resolv.conf") == c2.resolv_conf
    assert "10.20.30.2\tc2" in c2.hosts
    assert c2.resolv_conf.startswith("nameserver 192.0.2.53\n")
    assert c2.inspect()["HostsPath"] == f"{c2.spec.files}/hosts"
    assert output(c2, "getent", "-s", "files", "hosts", "c2").split() == ["10.20.30.2", "c2"]
    assert host_files == [Path(n).read_bytes() for n in ("/etc/hosts", "/etc/resolv.conf")]


def test_a_running_process_sees_who_comes_and_goes(controller, host, outside):
    cnm = controller(host, dns=True)
    net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
    # What nobody here knows is asked of nobody.
    c2 = cnm.create_sandbox("c2", dns=["127.0.0.1"])
    net.connect(c2)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    script = "while read name; do getent hosts $name || echo nobody; done"
    with c2.popen(["sh", "-c", script], **pipes) as process:

        def ask(name):
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            return process.stdout.readline().split()[0]

        c3 = cnm.create_sandbox("c3")
        assert ask("c3") == "nobody"
        net.connect(c3, aliases=["web"])
        assert [ask("c3"), ask("web"), ask("web.my_bridge")] == ["10.20.30.3"] * 3
        net.disconnect(c3)
        assert [ask("c3"), ask("web")] == ["nobody"] * 2
        net.connect(c3, ip="10.20.30.9")
        assert [ask("c3"), ask("web")] == ["10.20.30.9", "nobody"]
        c3.delete()
        assert ask("c3") == "nobody"
        net.connect(cnm.create_sandbox("c4"), interface="lan0")
        assert ask("c4") == "10.20.30.3"
        cnm.sandbox("c2").endpoints[0].configure(ip="10.20.30.77")
        assert ask("c2") == "10.20.30.77"
        process.stdin.close()


def test_without_dns_nobody_has_a_name(cnm, net, c2, tmp_path):
    c3 = cnm.create_sandbox("c3")
    net.connect(c3)
    assert "c2" not in c3.hosts
    assert "10.20.30.3\tc3" in c3.hosts
    assert "127.0.0.11" not in c3.resolv_conf
    assert inside(c3).tables() == []
    assert agents(tmp_path) == []


def test_a_file_that_is_gone_is_there_again_for_the_next_process(cnm, c2):
    Path(c2.spec.files, "hosts").unlink()
    assert cnm.check() == [f"the file {c2.spec.files}/hosts is gone"]
    assert "10.20.30.2\tc2" in output(c2, "cat", "/etc/hosts")
    assert cnm.check() == []


def test_a_file_that_somebody_edited_stays_as_it_is(cnm, net, c2):
    c2.run(["sh", "-c", "echo 192.0.2.7 db >> /etc/hosts"], check=True)
    text = c2.hosts
    assert "192.0.2.7 db\n" in text
    assert cnm.check() == []
    net.disconnect(c2)
    net.connect(c2, ip="10.20.30.9")
    assert (c2.hosts, output(c2, "cat", "/etc/hosts")) == (text, text)
    assert cnm.reconcile() == []


def test_ip_netns_exec_shows_the_same_files(c2):
    """Those of what `ip netns` starts are found by the name of the namespace."""
    for name, text in (("hosts", c2.hosts), ("resolv.conf", c2.resolv_conf)):
        command = ["ip", "netns", "exec", "c2", "cat", f"/etc/{name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (text, "")
    assert os.readlink("/etc/netns/c2") == c2.spec.files
    c2.delete()
    assert not Path("/etc/netns").exists()


def test_what_somebody_has_for_ip_netns_stays(cnm, machine):
    theirs = Path("/etc/netns/theirs")
    theirs.mkdir(parents=True)
    (theirs / "hosts").write_text("192.0.2.7\tdb\n")
    try:
        box = cnm.create_sandbox("adopted", netns=machine("theirs").name)
        assert theirs.is_dir()
        assert cnm.check() == []
        box.delete()
        assert (theirs / "hosts").read_text() == "192.0.2.7\tdb\n"
    finally:
        shutil.rmtree("/etc/netns")


def test_the_sandboxs_namespaces_are_all_that_is_shared(c2):
    """The process keeps the machine's other namespaces, and sees its /run/netns change."""
    with c2.popen(["sleep", "100"]) as process:
        for kind in ("pid", "ipc", "uts", "user", "cgroup"):
            assert os.readlink(f"/proc/{process.pid}/ns/{kind}") == os.readlink(
                f"/proc/self/ns/{kind}"
            )
        process.kill()


def test_a_process_does_not_keep_other_sandboxes_alive(cnm, net, c2):
    """Its mounts follow the machine's: a namespace unpinned there is unpinned for it."""
    c3 = cnm.create_sandbox("c3")
    net.connect(c3)
    with c2.popen(["sleep", "100"]) as process:
        mounts = Path(f"/proc/{process.pid}/mountinfo")
        assert str(RUN_NETNS / "c3") in mounts.read_text()
        c3.delete()
        assert until(lambda: str(RUN_NETNS / "c3") not in mounts.read_text())
        process.kill()


def test_a_process_outlives_its_sandbox_without_a_network(cnm, c2, host):
    (endpoint,) = c2.endpoints
    port = endpoint.host_interface
    with c2.popen(["sleep", "100"]) as process:
        place = Place(f"/proc/{process.pid}/ns/net", "orphan")
        assert place.interfaces() == ["eth0", "lo"]
        c2.delete()
        assert process.poll() is None
        assert until(lambda: port not in host.interfaces())
        assert until(lambda: place.interfaces() == ["lo"])
        process.kill()


# Adopted namespaces


@pytest.mark.parametrize("form", ["name", "path", "pid"])
def test_an_adopted_namespace_is_never_deleted(cnm, net, machine, form):
    theirs = machine("theirs")
    with theirs.popen("sleep", "100") as process:
        netns = {"name": "theirs", "path": f"/proc/{process.pid}/ns/net", "pid": process.pid}[form]
        before = theirs.picture()
        box = cnm.create_sandbox("adopted", netns=netns)
        assert os.stat(box.key).st_ino == os.stat(theirs.key).st_ino
        net.connect(box)
        assert theirs.addresses("eth0") == ["10.20.30.2/24"]
        assert theirs.ping("10.20.30.1")
        assert output(box, "cat", "/etc/hosts") == box.hosts
        box.delete()
        until(lambda: theirs.picture() == before)
        assert theirs.picture() == before
        assert Path(theirs.key).exists()
        process.kill()


def test_an_adopted_namespace_keeps_its_own_interfaces(cnm, net, machine, outside):
    theirs = machine("theirs")
    theirs.wire(outside, ["198.51.100.1/24"], ["198.51.100.2/24"], opposite="eth7")
    box = cnm.create_sandbox("adopted", netns="theirs")
    endpoint = net.connect(box)
    assert endpoint.interface == "eth1"
    assert theirs.addresses("eth0") == ["198.51.100.1/24"]
    assert theirs.ping("198.51.100.2")
    assert theirs.ping("10.20.30.1")
    net.disconnect(box)
    assert theirs.interfaces() == ["eth0", "lo"]


def test_a_namespace_is_adopted_once(cnm, machine):
    machine("theirs")
    cnm.create_sandbox("adopted", netns="theirs")
    with pytest.raises(pycnm.AlreadyExistsError, match="adopted"):
        cnm.create_sandbox("again", netns="theirs")
    with pytest.raises(pycnm.NotFoundError):
        cnm.create_sandbox("other", netns="nobody")
    with pytest.raises(pycnm.NotFoundError):
        cnm.create_sandbox("other", netns="/etc/hosts")


def test_an_adopted_sandbox_on_the_network_is_reached_by_others(cnm, net, c2, machine):
    theirs = machine("theirs")
    net.connect(cnm.create_sandbox("adopted", netns="theirs"))
    with theirs.serve("80"):
        assert inside(c2).ask("10.20.30.3", 80).peer == "10.20.30.2"
