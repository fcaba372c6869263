"""The hosts and resolv.conf of a sandbox, written before a process is started in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from pycnm.engine import records
from pycnm.engine.engine import Engine
from pycnm.engine.records import EndpointRow, Reader, SandboxRow
from pycnm.errors import StoreError
from pycnm.spec.objects import SandboxSpec

_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_HOST_GATEWAY = "host-gateway"


def hosts(reader: Reader, box: SandboxRow, *, peers: bool) -> str:
    """Itself, its extra hosts, and who shares a network with it, as a hosts file has it."""
    own = records.endpoints_of_sandbox(reader, box.number)
    lines = [_LOCAL]
    for name, address in box.spec.extra_hosts:
        lines.append(f"{_extra(reader, address)}\t{name}\n")
    for row in own:
        lines += _lines(row, " ".join(dict.fromkeys((box.spec.hostname, box.spec.name))))
    if peers:
        for row in own:
            network = records.network_spec(reader, row.network)
            for other in records.endpoints_of_network(reader, row.network):
                if other.number != row.number and _is_up(reader, other):
                    lines += _lines(other, _names(reader, other, network.name))
    return "".join(lines)


def _lines(row: EndpointRow, names: str) -> list[str]:
    return [f"{address.ip}\t{names}\n" for address in row.spec.addresses]


def _is_up(reader: Reader, row: EndpointRow) -> bool:
    found = reader.execute("SELECT down FROM sandboxes WHERE number = ?", (row.sandbox,)).fetchone()
    return found is not None and not found[0]


def _names(reader: Reader, row: EndpointRow, network: str) -> str:
    (sandbox,) = reader.execute(
        "SELECT name FROM sandboxes WHERE number = ?", (row.sandbox,)
    ).fetchone() or (row.spec.name,)
    names = dict.fromkeys((row.spec.name, sandbox, *row.spec.aliases))
    return " ".join((*names, *(f"{name}.{network}" for name in names)))


def _extra(reader: Reader, address: str) -> str:
    if address != _HOST_GATEWAY:
        return address
    pool = records.network(reader, "bridge").spec.pool(4)
    return str(pool.gateway) if pool is not None and pool.gateway is not None else "127.0.0.1"


def resolv_conf(spec: SandboxSpec) -> str:
    """The resolv.conf(5) of a sandbox: the host's, with what was asked for in its place."""
    servers = [f"nameserver {server}" for server in spec.dns]
    search = [f"search {' '.join(spec.dns_search)}"] if spec.dns_search else []
    options = [f"options {' '.join(spec.dns_options)}"] if spec.dns_options else []
    given = {"nameserver": servers, "search": search, "domain": search, "options": options}
    kept = []
    try:
        text = Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        word = line.split()[:1]
        if word and not given.get(word[0]):
            kept.append(line)
    return "\n".join([*servers, *search, *options, *kept]) + "\n"


def write(reader: Reader, box: SandboxRow, *, peers: bool) -> dict[str, str]:
    """Write both files; what is to be bound over what in a process's mounts.

    Raises:
        StoreError: they can't be written.
    """
    there = {f"/etc/{path.name}": path for path in _paths(box.spec)}
    directory = Path(box.spec.files)
    try:
        for each in (directory.parent, directory):
            each.mkdir(mode=0o755, exist_ok=True)
        _replace(there["/etc/hosts"], hosts(reader, box, peers=peers))
        _replace(there["/etc/resolv.conf"], resolv_conf(box.spec))
    except OSError as error:
        raise StoreError(
            f"the files of sandbox {box.spec.name} can't be written: {error.strerror}; free space "
            "if the disk is full, and try again"
        ) from error
    return {target: str(path) for target, path in there.items()}


def _paths(spec: SandboxSpec) -> tuple[Path, Path]:
    return Path(spec.files) / "hosts", Path(spec.files) / "resolv.conf"


def gone(boxes: Iterable[SandboxRow]) -> dict[Path, SandboxRow]:
    """The files that aren't there, of sandboxes in which processes were started."""
    return {
        path: box
        for box in boxes
        if box.used and not box.down
        for path in _paths(box.spec)
        if not path.exists()
    }


def refresh(engine: Engine, network: int, *, peers: bool) -> None:
    """Write the hosts files anew of those on a network in which processes were started.

    The change that made them old has happened.  One that can't be written is left
    as it was, until the next change, or the next process that is started there.
    """
    with engine.reading() as reader:
        rows = reader.execute(
            # In this order: few sandboxes are used, many may be on the network.
            "SELECT s.number FROM sandboxes s CROSS JOIN endpoints e "
            "ON e.sandbox = s.number AND e.network = ? WHERE s.used = 1 AND s.leaving IS NULL",
            (network,),
        ).fetchall()
        for (number,) in rows:
            box = records.sandbox_row(reader, number)
            if box is not None:
                path = Path(box.spec.files) / "hosts"
                with contextlib.suppress(OSError):
                    _replace(path, hosts(reader, box, peers=peers), missing_ok=True)


def _replace(path: Path, text: str, *, missing_ok: bool = False) -> None:
    """Write in place: what is bound over /etc/hosts is this file, not its name."""
    flags = os.O_RDWR | os.O_CLOEXEC | (0 if missing_ok else os.O_CREAT)
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileNotFoundError:
        return
    try:
        # Whatever the caller's umask: who isn't root inside has to read it.
        os.fchmod(descriptor, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        data = text.encode()
        if os.pread(descriptor, len(data) + 1, 0) != data:
            # On a full disk it stays as it was, not half of it.
            os.posix_fallocate(descriptor, 0, len(data))
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
