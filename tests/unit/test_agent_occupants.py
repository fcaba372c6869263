"""Who has a port, read from files such as the kernel shows."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from pycnm.kernel import occupants

LISTEN, ESTABLISHED, CLOSED = "0A", "01", "07"


def digits(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


@pytest.fixture
def sockets(tmp_path, monkeypatch):
    """Writes the tables: `sockets("tcp6", (address, port, status, inode), ...)`."""
    monkeypatch.setattr(occupants, "_NET", tmp_path)

    def write(table, *rows):
        lines = ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid"]
        for address, port, status, inode in rows:
            end = f"{digits(address)}:{port:04X}"
            lines.append(f"   0: {end} {end} {status} 0:0 00:0 0 0 0 {inode} 1 0 100 0 0 10 0")
        (tmp_path / table).write_text("\n".join(lines) + "\n")

    return write


def found(protocol, address, port):
    return occupants._inodes(protocol, occupants._packed(address), port)


@pytest.mark.parametrize(
    ("wanted", "table", "bound", "clash"),
    [
        ("0.0.0.0", "tcp", "0.0.0.0", True),
        ("0.0.0.0", "tcp", "192.0.2.1", True),
        ("192.0.2.1", "tcp", "0.0.0.0", True),
        ("192.0.2.1", "tcp", "192.0.2.1", True),
        ("192.0.2.1", "tcp", "192.0.2.2", False),
        ("0.0.0.0", "tcp6", "::", True),
        ("192.0.2.1", "tcp6", "::", True),
        ("192.0.2.1", "tcp6", "::ffff:192.0.2.1", True),
        ("0.0.0.0", "tcp6", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "tcp6", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "tcp6", "2001:db8::1", False),
        ("0.0.0.0", "tcp6", "2001:db8::1", False),
        ("::", "tcp6", "2001:db8::1", True),
        ("2001:db8::1", "tcp6", "::", True),
        ("2001:db8::1", "tcp6", "2001:db8::1", True),
        ("2001:db8::1", "tcp6", "2001:db8::2", False),
        ("::", "tcp", "0.0.0.0", False),
        ("::", "tcp", "192.0.2.1", False),
    ],
)
def test_whose_address_is_in_the_way(sockets, wanted, table, bound, clash):
    sockets(table, (bound, 8080, LISTEN, 77))
    assert found("tcp", wanted, 8080) == ({"77"} if clash else set())


def test_other_ports_and_protocols_are_not_in_the_way(sockets):
    sockets("tcp", ("0.0.0.0", 8081, LISTEN, 77))
    sockets("udp", ("0.0.0.0", 8080, CLOSED, 78))
    assert found("tcp", "0.0.0.0", 8080) == set()
    assert found("udp", "0.0.0.0", 8080) == {"78"}
    assert found("udp", "0.0.0.0", 8081) == set()


def test_who_listens_comes_before_who_is_connected(sockets):
    sockets("tcp", ("192.0.2.1", 8080, ESTABLISHED, 76), ("0.0.0.0", 8080, LISTEN, 77))
    assert found("tcp", "0.0.0.0", 8080) == {"77"}
    sockets("tcp", ("192.0.2.1", 8080, ESTABLISHED, 76))
    assert found("tcp", "0.0.0.0", 8080) == {"76"}


@pytest.mark.usefixtures("sockets")
def test_sctp_has_a_table_of_its_own(tmp_path):
    assert found("sctp", "0.0.0.0", 8080) == set()
    (tmp_path / "sctp").mkdir()
    (tmp_path / "sctp/eps").write_text(
        " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"
        "ffff8881 ffff8882 2   10  10   8080       0 77 0.0.0.0\n"
    )
    assert found("sctp", "0.0.0.0", 8080) == {"77"}


def test_it_is_named_with_its_pid_and_program(sockets):
    with socket.socket(socket.AF_UNIX) as own:
        sockets("tcp", ("0.0.0.0", 8080, LISTEN, os.fstat(own.fileno()).st_ino))
        words = occupants.of_port("tcp", "0.0.0.0", 8080)
    program = Path("/proc/self/comm").read_text().strip()
    assert words == f"process {os.getpid()} ({program})"


def test_a_socket_that_no_process_here_has(sockets):
    sockets("tcp", ("0.0.0.0", 8080, LISTEN, 4294967295))
    assert occupants.of_port("tcp", "0.0.0.0", 8080) == "a process outside this PID namespace"
    assert occupants.of_port("tcp", "0.0.0.0", 8081) == ""
