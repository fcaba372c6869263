"""The agent's socket: who may speak, what is answered, when it ends.  No privilege is needed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path

import pytest

from pycnm.agent import place as place_module
from pycnm.agent import server as server_module
from pycnm.agent.place import Place, Taken
from pycnm.agent.server import Server
from pycnm.agent.service import RefusedError
from pycnm.kernel.agent import DIALECT, SOCKET, connect, namespace, peer

PATIENCE = 10.0


class Echo:
    """A service that answers with what it was asked."""

    name = "echo"

    def __init__(self):
        self.occupied = False
        self.life = []

    async def start(self):
        self.life.append("start")

    async def handle(self, request):
        match request.get("do"):
            case "refuse":
                raise RefusedError(errno.EBUSY, "not now", hint="later")
            case "fail":
                raise KeyError("a mistake")
            case "wait":
                await asyncio.sleep(0.3)
        return {"asked": request.get("do")}

    def busy(self):
        return self.occupied

    async def rest(self):
        pass

    async def close(self):
        self.life.append("close")


class Agent:
    """A server in a thread, and clients of it."""

    def __init__(self, directory, **options):
        self.echo = Echo()
        self.host_lives = True
        self.place = Place(directory)
        self.directory = os.open(directory, os.O_RDONLY)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, kwargs=options)
        self._loop = None
        self.server = None

    def _run(self):
        async def serve():
            self._loop = asyncio.get_running_loop()
            self.server = Server(self.place, [self.echo], lambda: self.host_lives)
            await self.server.run(self._ready.set)

        with self.place:
            asyncio.run(serve())

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.server._ending.set)
        self._thread.join()
        os.close(self.directory)

    def ended(self, patience=PATIENCE):
        self._thread.join(patience)
        return not self._thread.is_alive()

    def connect(self):
        return connect(self.directory, PATIENCE)

    def say(self, line):
        """What is answered to a line; None if the agent hangs up."""
        with self.connect() as stream:
            return say(stream, line)

    def ask(self, verb, **more):
        return self.say(request(verb, **more))


def request(verb, **more):
    head = {"service": "echo", "dialect": DIALECT, "host": namespace("self"), "do": verb}
    return json.dumps(head | more).encode() + b"\n"


def say(stream, line):
    data = b""
    with contextlib.suppress(ConnectionError):
        with contextlib.suppress(BrokenPipeError):
            stream.sendall(line)
        while not data.endswith(b"\n"):
            piece = stream.recv(1 << 16)
            if not piece:
                return None
            data += piece
        return json.loads(data)
    return None


@pytest.fixture(autouse=True)
def _without_signals(monkeypatch):
    """Signals come only to the main thread, and the server runs in another."""
    monkeypatch.setattr(
        asyncio.SelectorEventLoop, "add_signal_handler", lambda *_: None, raising=False
    )


@pytest.fixture
def agent(tmp_path):
    with Agent(tmp_path) as running:
        yield running


# Answers


def test_a_service_answers(agent):
    assert agent.ask("good morning") == {"asked": "good morning"}
    assert agent.echo.life == ["start"]


def test_many_requests_over_one_connection(agent):
    with agent.connect() as stream:
        for number in range(20):
            assert say(stream, request(number)) == {"asked": number}


def test_a_refusal_has_its_errno_and_facts(agent):
    assert agent.ask("refuse") == {"error": errno.EBUSY, "reason": "not now", "hint": "later"}


def test_a_mistake_in_a_service_is_answered_and_survived(agent):
    answer = agent.ask("fail")
    assert answer["error"] == errno.EIO
    assert "KeyError" in answer["reason"]
    assert agent.ask("and now") == {"asked": "and now"}


def test_one_that_waits_keeps_nobody_else_waiting(agent):
    with agent.connect() as slow:
        slow.sendall(request("wait"))
        assert agent.ask("quick") == {"asked": "quick"}
        assert say(slow, b"") == {"asked": "wait"}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"\0\n",
        b"hello\n",
        b"{\n",
        b"[]\n",
        b"{}\n",
        b"null\n",
        b"17\n",
        b'"hold"\n',
        b"NaN\n",
        b"\xff\xfe{\0}\0\n",
        b"\x80\n",
        b'{"service": "ports"}\n',
        b'{"dialect": 1}\n',
        b'{"dialect": 1, "host": []}\n',
        b'{"dialect": "1", "host": [1, 2]}\n',
        b'{"dialect": [1], "host": [1, 2]}\n',
        b'{"dialect": 1, "host": "4:1"}\n',
        b'{"dialect": 1, "host": [1, 2, 3]}\n',
        b'{"dialect": 1e99, "host": [1, 2]}\n',
        b'{"dialect": ' + b"9" * 5000 + b', "host": [1, 2]}\n',
        b"[" * 200_000 + b"\n",
        b'{"a":' * 100_000 + b"\n",
        b"[" * 50_000 + b"]" * 50_000 + b"\n",
        b'{"\\ud800": "\\udfff"}\n',
    ],
    ids=range(25),
)
def test_hostile_lines_are_answered_with_einval(agent, line):
    with agent.connect() as stream:
        assert say(stream, line)["error"] == errno.EINVAL
        assert say(stream, request("still there")) == {"asked": "still there"}


@pytest.mark.parametrize("service", [None, "", "dance", [], {}, 5, "__class__"])
def test_an_unknown_service_is_refused_and_the_known_ones_are_named(agent, service):
    answer = agent.ask("hello", service=service)
    assert answer["error"] == errno.EINVAL
    assert "echo" in answer["reason"]


def test_a_line_is_bounded(agent):
    with agent.connect() as stream:
        answer = say(stream, b" " * (server_module.LONGEST * 2))
        # The agent may hang up before everything is sent.
        assert answer is None or answer["error"] == errno.EMSGSIZE
    longest = request("long")[:-1].ljust(server_module.LONGEST - 1) + b"\n"
    assert agent.say(longest) == {"asked": "long"}


def test_half_a_line_is_no_request(agent):
    with agent.connect() as stream:
        stream.sendall(request("half")[:-1])
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(100) == b""
    assert agent.ask("next") == {"asked": "next"}


def test_who_never_reads_keeps_nobody_waiting(agent):
    with agent.connect() as deaf:
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                deaf.sendall(request("x" * 50_000))
        assert agent.ask("next") == {"asked": "next"}


def test_the_silent_make_place(agent, monkeypatch):
    monkeypatch.setattr(server_module, "CONVERSATIONS", 10)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(agent.connect()) for _ in range(30)]
        talker = silent[0]
        for _ in range(3):
            assert agent.ask("me too") == {"asked": "me too"}
        assert say(talker, request("?")) is None, "the one that was silent for longest goes"
        assert say(silent[-1], request("?")) == {"asked": "?"}
        assert len(agent.server._conversations) <= 10


def test_who_is_neither_root_nor_the_owner_is_refused(agent, monkeypatch):
    monkeypatch.setattr(server_module, "peer", lambda _: (1, 4711))
    assert agent.ask("hello")["error"] == errno.EPERM
    monkeypatch.setattr(server_module, "peer", lambda _: (1, 0))
    assert agent.ask("hello") == {"asked": "hello"}


# Its end


@pytest.fixture
def _hasty(monkeypatch):
    monkeypatch.setattr(server_module, "_LINGER", 0.3)
    monkeypatch.setattr(server_module, "_LOOK", 0.05)


@pytest.mark.usefixtures("_hasty")
def test_it_ends_when_nothing_is_left_to_do(tmp_path):
    with Agent(tmp_path) as agent:
        agent.echo.occupied = True
        assert not agent.ended(0.8)
        agent.echo.occupied = False
        assert not agent.ended(0.1), "it lingers"
        assert agent.ended()
    assert agent.echo.life == ["start", "close"]
    assert not (tmp_path / SOCKET).exists()


@pytest.mark.usefixtures("_hasty")
def test_requests_keep_it_up(tmp_path):
    with Agent(tmp_path) as agent:
        for _ in range(8):
            assert agent.ask("hello") == {"asked": "hello"}
            assert not agent.ended(0.1)
        assert agent.ended()


@pytest.mark.usefixtures("_hasty")
def test_a_request_that_takes_long_is_answered_before_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "_LINGER", 0.1)
    with Agent(tmp_path) as agent:
        assert agent.ask("wait") == {"asked": "wait"}


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("how", ["removed", "replaced", "directory", "host"])
def test_it_ends_when_its_place_is_gone(tmp_path, how):
    home = tmp_path / "state"
    home.mkdir()
    with Agent(home) as agent:
        agent.echo.occupied = True
        assert not agent.ended(0.3)
        if how == "host":
            agent.host_lives = False
        elif how == "directory":
            for path in home.iterdir():
                path.unlink()
            home.rmdir()
        else:
            (home / SOCKET).unlink()
        if how == "replaced":
            (home / SOCKET).write_text("somebody else's")
        assert agent.ended()
    assert agent.echo.life == ["start", "close"]
    if how == "replaced":
        assert (home / SOCKET).read_text() == "somebody else's"


@pytest.mark.parametrize("what", [{"dialect": DIALECT + 1}, {"host": [4, 1]}])
def test_it_gives_way_to_one_that_fits(agent, what):
    assert agent.ask("hello", **what)["error"] == errno.ESTALE
    assert agent.ended()


def test_who_is_heard_too_late_is_sent_to_the_next_one(tmp_path):
    """What a service that is closed takes up would be lost, and told to be done."""
    heard = []

    with Agent(tmp_path) as agent:

        async def close():
            ours, theirs = socket.socketpair()
            with theirs:
                theirs.sendall(request("serve"))
                theirs.shutdown(socket.SHUT_WR)
                await agent.server._converse(*await asyncio.open_connection(sock=ours))
                heard.append(json.loads(theirs.recv(1 << 16)))

        agent.echo.close = close
    assert [answer["error"] for answer in heard] == [errno.ESTALE]


# Its place


def test_a_place_is_taken_once(agent, tmp_path):
    with pytest.raises(Taken) as caught:
        Place(tmp_path)
    assert caught.value.pid == os.getpid()
    assert agent.ask("hello") == {"asked": "hello"}, "the first is none the worse for it"


def test_a_lock_without_a_server_is_waited_for_but_not_forever(tmp_path, monkeypatch):
    with Place(tmp_path) as place:
        place.withdraw()
        monkeypatch.setattr(place_module, "_PATIENCE", 0.2)
        with pytest.raises(TimeoutError, match="doesn't serve"):
            Place(tmp_path)
        monkeypatch.setattr(place_module, "_PATIENCE", PATIENCE)
        waiting = threading.Thread(target=lambda: Place(tmp_path).__exit__())
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


@pytest.mark.parametrize("stale", ["socket", "file", "link"])
def test_what_a_dead_agent_left_is_replaced(tmp_path, stale):
    path, other = tmp_path / SOCKET, tmp_path / "other"
    other.write_text("kept")
    if stale == "socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif stale == "file":
        path.write_text("")
    else:
        path.symlink_to(other)
    with Agent(tmp_path) as agent:
        assert agent.ask("hello") == {"asked": "hello"}
    assert other.read_text() == "kept"


def test_the_socket_and_the_lock_are_the_owners_alone(agent, tmp_path):
    del agent
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_path_that_is_longer_than_a_socket_address(tmp_path):
    home = tmp_path.joinpath(*["with spaces, 100 % ? # and more"] * 8)
    home.mkdir(parents=True)
    with Agent(home) as agent:
        assert agent.ask("hello") == {"asked": "hello"}


def test_nothing_is_left_open(tmp_path):
    before = descriptors()
    with Agent(tmp_path) as agent, agent.connect() as stream:
        assert say(stream, request("hello")) == {"asked": "hello"}
        assert peer(stream)[0] == os.getpid()
    with Place(tmp_path), pytest.raises(OSError, match="directory"):
        Place(tmp_path / "agent.lock")
    assert descriptors() == before


def descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_sigterm_ends_it(tmp_path, monkeypatch):
    monkeypatch.undo()
    pid = os.getpid()

    async def serve():
        server = Server(place, [Echo()], lambda: True)
        async with asyncio.timeout(PATIENCE):
            await server.run(lambda: os.kill(pid, signal.SIGTERM))

    with Place(tmp_path) as place:
        asyncio.run(serve())
    assert not (tmp_path / SOCKET).exists()
