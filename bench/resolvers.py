"""Who answers names in sandboxes: pycnm, Docker's engine and aardvark-dns, as contenders."""

from __future__ import annotations

import abc
import contextlib
import errno
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from bench.machine import RUN_NETNS, Host, make_namespace, processes, undone_at_the_end, wait_for
from bench.ours import Pycnm
from bench.peers import Netavark, private_program

_IMAGE = "bench"
_NETWORK = "bench"
_BUSYBOX = "busybox"
_CGROUPS = Path("/sys/fs/cgroup")


class Resolver(abc.ABC):
    """Sandboxes on one network that find each other by name.

    Attributes:
        server: where the sandboxes ask.
        boxes: the paths of their namespaces, by name.
        crowds: a thousand sandboxes are no trouble to make.
    """

    name: ClassVar[str]
    server: ClassVar[str] = "127.0.0.11"
    crowds: ClassVar[bool] = True

    def __init__(self, host: Host) -> None:
        self.host = host
        self.boxes: dict[str, Path] = {}

    def add(self) -> str:
        """One more sandbox, connected; its name."""
        name = self.prepare()
        self.connect(name)
        return name

    @abc.abstractmethod
    def prepare(self) -> str:
        """Make a sandbox that isn't connected; its name."""

    @abc.abstractmethod
    def connect(self, name: str) -> None:
        """Connect it, so that the others find it."""

    @abc.abstractmethod
    def pids(self) -> list[int]:
        """The processes that answer."""

    @abc.abstractmethod
    def close(self) -> None:
        """End them, and all sandboxes."""


class Ours(Resolver):
    """pycnm: its agent answers, with a socket in each sandbox."""

    name = "pycnm"

    def __init__(self, host: Host, directory: Path) -> None:
        super().__init__(host)
        self.pycnm = Pycnm(host, directory / "names")

    def prepare(self) -> str:
        name = self.host.next_name()
        self.pycnm.create_sandbox(name)
        self.boxes[name] = RUN_NETNS / name
        return name

    def connect(self, name: str) -> None:
        self.pycnm.connect(name)

    def pids(self) -> list[int]:
        state = str(self.pycnm.state)
        return [p for p, words in processes().items() if "pycnm.agent" in words and state in words]

    def close(self) -> None:
        for box in self.pycnm.controller.sandboxes():
            box.delete()
        self.pycnm.close()


class Aardvark(Resolver):
    """aardvark-dns: one process on the host, which netavark starts, and tells by signal."""

    name = "aardvark-dns"
    server = "10.88.0.1"

    def __init__(self, host: Host, directory: Path) -> None:
        super().__init__(host)
        self._netavark = Netavark(host, directory / "aardvark", names=True)

    def prepare(self) -> str:
        name = self.host.next_name()
        make_namespace(name)
        self.boxes[name] = RUN_NETNS / name
        return name

    def connect(self, name: str) -> None:
        self._netavark.connect(name)

    def pids(self) -> list[int]:
        return [p for p, words in processes().items() if words[0].endswith("/aardvark-dns")]

    def close(self) -> None:
        # The namespaces go with the host.
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)


class Docker(Resolver):
    """Docker's embedded resolver: the engine answers, with a socket in each container.

    Args:
        group: the control group of the containers.
    """

    name = "Docker"
    crowds = False

    def __init__(self, host: Host, directory: Path, group: str) -> None:
        super().__init__(host)
        self._socket = directory / "docker.sock"
        self._log = (directory / "dockerd.log").open("wb")
        command = ["dockerd", "--data-root", str(directory / "docker"), "--exec-root",
                   "/run/docker", "--pidfile", "/run/docker.pid", "--host",
                   f"unix://{self._socket}", "--storage-driver", "vfs",
                   "--cgroup-parent", f"/{group}"]  # fmt: skip
        self._engine = host.inside(
            lambda: subprocess.Popen(command, stdout=self._log, stderr=self._log)
        )
        wait_for(self._socket.exists, "dockerd doesn't come")
        self._ask("POST", f"/images/create?fromSrc=-&repo={_IMAGE}", _image())
        self._ask("POST", "/networks/create", {"Name": _NETWORK})

    def prepare(self) -> str:
        name = self.host.next_name()
        wish = {"Image": _IMAGE, "Cmd": ["/busybox", "sleep", "1000000"], "Hostname": name}
        self._ask("POST", f"/containers/create?name={name}", wish)
        self._ask("POST", f"/containers/{name}/start")
        pid = self._ask("GET", f"/containers/{name}/json")["State"]["Pid"]
        self.boxes[name] = Path(f"/proc/{pid}/ns/net")
        return name

    def connect(self, name: str) -> None:
        self._ask("POST", f"/networks/{_NETWORK}/connect", {"Container": name})

    def pids(self) -> list[int]:
        return [self._engine.pid]

    def close(self) -> None:
        for name in self.boxes:
            self._ask("DELETE", f"/containers/{name}?force=1")
        self._engine.terminate()
        self._engine.wait()
        self._log.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self._socket))
        headers = {}
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body), {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"Docker: {method} {path}: {text.decode()}")
            return json.loads(text) if text.startswith(b"{") and b"\r\n" not in text[:-2] else None
        finally:
            connection.close()


@contextlib.contextmanager
def control_group() -> Iterator[str]:
    """The name of a control group: it doesn't go with this machine, and is removed at the end."""
    name = f"pycnm-bench-{time.time_ns()}"

    def remove() -> None:
        for parent in (_CGROUPS, *_CGROUPS.iterdir()):
            for path, _, _ in os.walk(parent / name, topdown=False):
                # Of those that are ending, the group or the process may be gone by now.
                with contextlib.suppress(OSError):
                    for pid in (Path(path) / "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                wait_for(lambda path=path: _removed(path), f"{path} stays")

    with undone_at_the_end(remove):
        yield name


def _removed(group: str) -> bool:
    try:
        Path(group).rmdir()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _image() -> bytes:
    """An image with busybox in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(shutil.which(_BUSYBOX) or _BUSYBOX, _BUSYBOX)
    return content.getvalue()


def present(hosts: Iterator[Host], directory: Path, group: str) -> list[Resolver]:
    """Those that are installed, pycnm first."""
    absent = set(missing())
    found: list[Resolver] = [Ours(next(hosts), directory)]
    if not {"docker.io", "busybox-static"} & absent:
        found.append(Docker(next(hosts), directory, group))
    if not {"aardvark-dns", "netavark"} & absent:
        found.append(Aardvark(next(hosts), directory))
    return found


def missing() -> list[str]:
    """The Debian packages without which names can't be measured beside these."""
    needed = {
        "dnsperf": "dnsperf",
        "docker.io": "dockerd",
        "aardvark-dns": private_program("aardvark-dns"),
        "netavark": private_program("netavark"),
        "busybox-static": _BUSYBOX,
    }
    return [package for package, program in needed.items() if not shutil.which(program)]
