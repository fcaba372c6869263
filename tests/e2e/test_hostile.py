"""Everything that can be written, fed what it can't be: a right errno, a sentence, no change."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import threading
from pathlib import Path

import pytest
from lives import BINDINGS

from cnmfs import networks, sandboxes
from cnmfs.tree import DOCUMENT_MAX, VALUE_MAX

NET, END, OTHER = "networks/net", "sandboxes/c2/endpoints/net", "networks/other"
MTU = "options/com.docker.network.driver.mtu"
CODES = {
    errno.EINVAL, errno.E2BIG, errno.EFBIG, errno.ENOENT, errno.EBUSY, errno.EPERM,
    errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EOPNOTSUPP, errno.EACCES, errno.ENAMETOOLONG,
}  # fmt: skip


def writable(where, table):
    return [f"{where}/{name}" for name, attribute in table.items() if attribute.store]


FILES = [
    *writable(NET, networks.ATTRIBUTES),
    *writable(OTHER, networks.ATTRIBUTES),
    *writable(END, sandboxes.ENDPOINT),
    f"{NET}/labels/team",
    f"{NET}/{MTU}",
    "apply",
    "error_log",
]
# What is written there isn't what is read.
OTHERWISE = {"apply", "error_log"}

# No file takes these.
NEVER = {
    "NUL": b"14\x0000",
    "binary": bytes(range(256)),
    "no UTF-8": b"\xff\xfe\xed\xa0\x80",
    "an overlong NUL": b"\xc0\x80",
    "half a character": "ü".encode()[:1],
    "too much": b"1" * (DOCUMENT_MAX + 1),
    "a line too much": b"1\n" * (DOCUMENT_MAX // 2 + 1),
}
# These are taken by few, for what they are.
HARDLY = {
    "blank": " \t \n",
    "an empty line": "\n",
    "controls": "\x01\x1b[31m\x7f\x9b",
    "carriage returns": "1400\r\n",
    "another script": "网络\u202e\u2066",
    "a digit of another script": "١٤٠٠",
    "a sign": "-",
    "another": "+",
    "a flag": "--help",
    "a path": "../../../etc/passwd",
    "a command": "$(reboot); rm -rf /",
    "a format": "%s%n{0}",
    "a large number": "9" * (VALUE_MAX - 1),
    "a small number": "-1",
    "no number": "nan",
    "brackets": "[" * (VALUE_MAX - 1),
    "braces": '{"a":' * (VALUE_MAX // 5),
    "lines": "a\n" * (VALUE_MAX // 2),
    "ports": "1-70000:1-70000\n",
    "other ports": "c2 9-1:1-9/udp\n",
    "an end": "0:0/tcp\n",
    "addresses": "255.255.255.255/0\n::/0\n",
    "spaces": "a b c d\n",
    "null": "null",
    "a list": "[1, 2]",
    "a text": '"{}"',
    "no name": '{"": 1}',
    "an unknown setting": '{"colour": 1}',
}  # fmt: skip
WRONG = [None, 0, -1, 1e400, True, "", "x", [], [[]], [None], {}, {"a": None}, {"a": {}}, {"": 1}]


@pytest.fixture(scope="module", params=["direct", *BINDINGS])
def tree(request, tmp_path_factory):
    """Network net with c2 on it, network other without; whole between the tests."""
    made = request.getfixturevalue("any_tree")(request.param, tmp_path_factory.mktemp("tree"))
    made.mkdir(NET)
    made.write(f"{NET}/spec", '{"subnet": ["10.20.30.0/24"], "labels": {"team": "web"}}')
    made.write(f"{NET}/{MTU}", "1400")
    made.mkdir(OTHER)
    made.mkdir("sandboxes/c2")
    made.mkdir(END)
    made.write(f"{END}/publish", "8080:80")
    yield made
    made.close()


def everything(tree):
    """What all objects are, in the end by what is read and listed."""
    files = [f"{where}/{name}" for where in (NET, OTHER, END, "networks/bridge", "sandboxes/c2")
             for name in ("spec", "inspect", "explain", "publish")]  # fmt: skip
    found = {}
    for path in [*files, *FILES]:
        if path not in OTHERWISE and os.path.basename(path) in tree.listdir(os.path.dirname(path)):
            text = tree.read(path)
            # In what explains, what was done last comes last.
            found[path] = sorted(text.splitlines()) if path.endswith("explain") else text
    for path in ("networks", "sandboxes", f"{NET}/labels", f"{NET}/options", f"{NET}/endpoints"):
        found[path] = tree.listdir(path)
    return found


def outcome(action):
    """The error number that something gave, or 0."""
    try:
        action()
    except OSError as error:
        return error.errno
    return 0


def refusal(tree, path, code):
    """Assert that a refusal has a right number, and a sentence that ends."""
    said = tree.read("last_error")
    assert code in CODES, (path, errno.errorcode.get(code), said)
    name = "EOPNOTSUPP" if code == errno.EOPNOTSUPP else errno.errorcode[code]
    assert re.search(rf" {name} (write|close) {re.escape(path)}: ", said)
    assert "mistake" not in said
    assert said.count("\n") == 1
    assert said.isprintable() or said.rstrip("\n").isprintable(), said
    assert len(said) < 1000
    assert tree.read("networks/net/last_error" if NET in path else "last_error")


@pytest.mark.parametrize("path", FILES)
def test_what_no_file_takes(tree, path):
    before = everything(tree)
    for case, data in NEVER.items():
        code = outcome(lambda data=data: tree.write(path, *chunks(data)))
        assert code, case
        refusal(tree, path, code)
    assert everything(tree) == before


def chunks(data, size=1 << 16):
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("path", FILES)
def test_what_a_file_hardly_takes(tree, path):
    before = everything(tree)
    for text in HARDLY.values():
        code = outcome(lambda text=text: tree.write(path, text))
        if code:
            refusal(tree, path, code)
            assert path in OTHERWISE or tree.read(path) == before[path], text
            continue
        # It was taken: then it is read as it was meant, and can be written again.
        read = "" if path in OTHERWISE else tree.read(path)
        assert not outcome(lambda read=read: tree.write(path, read or "\n")), text
        restore(tree, path, before)
    assert everything(tree) == before


def restore(tree, path, before):
    if path in OTHERWISE:
        return
    if os.path.basename(path) in {"subnet", "gateway", "ip_range", "aux_addresses"}:
        where = os.path.dirname(path)
        tree.write(f"{where}/spec", before[f"{where}/spec"])
    elif os.path.basename(path) == "mtu" and before[path] == "1500\n":
        # What nobody asked for is not the same as what somebody did.
        tree.write(path, "\n")
    else:
        tree.write(path, before[path] or "\n")


SETTINGS = ["driver", "subnet", "gateway", "ip_range", "aux_addresses", "ipv4", "ipv6",
            "internal", "attachable", "parent", "options", "labels"]  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_documents_of_the_wrong_shape(tree, name):
    path = f"{OTHER}/spec"
    before = everything(tree)
    refusals = 0
    for value in WRONG:
        text = json.dumps({name: value})
        code = outcome(lambda text=text: tree.write(path, text))
        if code:
            refusals += 1
            refusal(tree, path, code)
            assert tree.read(path) == before[path], text
        else:
            tree.write(path, before[path])
    assert refusals > 4
    assert everything(tree) == before


VALUES = {"mtu": "1450\n", "labels/team": "app\n", "attachable": "1\n"}


# The kernel makes the offsets, so there is a mount.
@pytest.mark.parametrize("tree", BINDINGS, indirect=True)
@pytest.mark.parametrize("name", VALUES)
def test_writes_at_offsets(tree, name, refused):
    path = f"{NET}/{name}"
    before = everything(tree)
    for flags in (os.O_WRONLY, os.O_RDWR):
        descriptor = os.open(tree / path, flags)
        try:
            for offset in (1, 4096, 1 << 40):
                with refused(errno.EINVAL):
                    os.pwrite(descriptor, b"1", offset)
        finally:
            os.close(descriptor)
    assert everything(tree) == before


def test_byte_by_byte(tree):
    path = f"{NET}/subnet"
    before = everything(tree)
    for byte in "10.1.0.0/24":
        assert outcome(lambda byte=byte: tree.write(path, byte)) in {errno.EINVAL, errno.EBUSY}
    assert outcome(lambda: tree.write(path, *"10.1.0.0/24")) in {errno.EINVAL, errno.EBUSY}
    assert everything(tree) == before
    # Each of these is a value.
    tree.write(f"{NET}/labels/team", *"stepwise\n")
    assert tree.read(f"{NET}/labels/team") == "stepwise\n"
    tree.write(f"{NET}/labels/team", "web")


@pytest.mark.parametrize("path", FILES)
def test_opened_and_closed(tree, path):
    before = everything(tree)
    for flags in (0, os.O_TRUNC, os.O_APPEND, os.O_APPEND | os.O_TRUNC):
        tree.write(path, flags=flags)
        if os.path.basename(path) == "publish" and flags & os.O_TRUNC:
            # `: > publish` empties a list.
            assert tree.read(path) == ""
            tree.write(path, before[path] or "\n")
    assert everything(tree) == before


def test_two_writers_at_once(tree):
    path, texts = f"{NET}/labels/team", ("a" * 1000, "b" * 2000)
    seen, failures = set(), []
    done = threading.Event()

    def write(text):
        try:
            for _ in range(25):
                tree.write(path, text)
        except OSError as error:
            failures.append(error)

    def read():
        while not done.is_set():
            seen.add(tree.read(path))

    writers = [threading.Thread(target=write, args=[text]) for text in texts]
    reader = threading.Thread(target=read)
    tree.write(path, texts[0])
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert failures == []
    assert seen <= {f"{text}\n" for text in texts}
    tree.write(path, "web")


NAMES = {
    "255": ("n" * 255, None),
    "256": ("n" * 256, errno.ENAMETOOLONG),
    "256 in 128": ("ü" * 128, errno.ENAMETOOLONG),
    "another script": ("网络", errno.EINVAL),
    "turned around": ("\u202egnp", errno.EINVAL),
    "control": ("a\x1b[31m", errno.EINVAL),
    "newline": ("a\nb", errno.EINVAL),
    "blank": (" ", errno.EINVAL),
    "flag": ("-rf", errno.EINVAL),
    "dots": ("...", errno.EINVAL),
    "hidden": (".git", errno.EINVAL),
    "command": ("$(reboot)", errno.EINVAL),
    "quotes": ("a'\"b", errno.EINVAL),
    "no UTF-8": (os.fsdecode(b"\xff\xfe"), errno.EINVAL),
}


@pytest.mark.parametrize("case", NAMES)
def test_names(tree, case):
    name, code = NAMES[case]
    before = everything(tree)
    for kind in ("networks", "sandboxes"):
        found = outcome(lambda kind=kind: tree.mkdir(f"{kind}/{name}"))
        assert found == (code or 0), kind
        if not found:
            assert tree.listdir(kind).count(name) == 1
            tree.rmdir(f"{kind}/{name}")
    if code:
        assert outcome(lambda: tree.rename(OTHER, f"networks/{name}")) == code
        assert outcome(lambda: tree.mkdir(f"sandboxes/c2/endpoints/{name}")) in {
            code, errno.ENOENT, errno.EINVAL,
        }  # fmt: skip
        link = f"{OTHER}/endpoints/{name}"
        assert outcome(lambda: tree.symlink("../../../sandboxes/c2", link)) == code
        option = f"{OTHER}/options/{name}"
        assert outcome(lambda: tree.write(option, "1")) == code
    assert everything(tree) == before


@pytest.mark.parametrize("case", NAMES)
def test_names_of_labels(tree, case):
    """A label may be called anything that is text and printable."""
    name, _ = NAMES[case]
    before = everything(tree)
    path = f"{NET}/labels/{name}"
    code = outcome(lambda: tree.write(path, "1"))
    assert code in {0, errno.EINVAL, errno.ENAMETOOLONG}
    if not code:
        assert tree.listdir(f"{NET}/labels") == sorted([name, "team"])
        assert tree.read(path) == "1\n"
        tree.unlink(path)
    assert everything(tree) == before


TARGETS = ["", "x", "/", "..", "../..", "sandboxes", "sandboxes/", "/etc/passwd", "a/" * 1000,
           "../../../sandboxes/nobody", "../../../sandboxes/..", "sandboxes/\x1b",
           "/x/sandboxes/c2\n"]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_targets_of_links(tree, target):
    before = everything(tree)
    code = outcome(lambda: tree.symlink(target, f"{OTHER}/endpoints/x"))
    assert code in {errno.EPERM, errno.ENOENT, errno.EINVAL}
    assert everything(tree) == before


def memory(tree):
    """The resident memory of who serves the tree, in MiB."""
    pid = tree.process.pid if hasattr(tree, "process") else "self"
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def test_ten_thousand_mkdirs(tree):
    before, size = everything(tree), memory(tree)
    bad = (f"networks/bad name {n}" for n in range(4500))
    long = (f"sandboxes/{'n' * 250}{n:06}" for n in range(500))
    for path in itertools.chain(bad, long):
        assert outcome(lambda path=path: tree.mkdir(path)) in {errno.EINVAL, errno.ENAMETOOLONG}
    made = []
    for number in range(5000):
        code = outcome(lambda n=number: tree.mkdir(f"networks/n{n}"))
        assert code in {0, errno.ENOSPC}
        if not code:
            made.append(f"networks/n{number}")
    assert "ENOSPC" in tree.read("last_error")
    assert 10 < len(made) < 100
    for path in made:
        tree.rmdir(path)
    assert everything(tree) == before
    assert len(tree.read("error_log")) < 1 << 17
    assert memory(tree) < size + 64
