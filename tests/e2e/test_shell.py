"""What people type: the idioms of shells, by the shells and tools themselves."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest
from lives import BINDINGS

SHELLS = {"bash": ["bash"], "dash": ["dash"], "busybox": ["busybox", "sh"]}
NET, END = "networks/net", "sandboxes/c2/endpoints/net"
PATIENCE = 20


def run(tree, script, shell="bash", *, env=None):
    """Run a script in the root of a tree; what became of it."""
    words = [*SHELLS[shell], "-c", script]
    env = {**os.environ, "LC_ALL": "C", **(env or {})}
    return subprocess.run(
        words, cwd=tree.root, capture_output=True, text=True, check=False,
        timeout=PATIENCE, env=env, start_new_session=True,
    )  # fmt: skip


@pytest.fixture(params=SHELLS)
def shell(request):
    # Of those that every Debian has, or scripts/test installs.
    assert shutil.which(SHELLS[request.param][0])
    return request.param


def _fill(tree):
    tree.mkdir(NET)
    tree.write(f"{NET}/spec", '{"subnet": ["10.20.30.0/24"], "labels": {"team": "web"}}')
    for name in ("c2", "c3"):
        tree.mkdir(f"sandboxes/{name}")
    tree.mkdir(END)


def _empty(tree):
    for box in tree.listdir("sandboxes"):
        for name in tree.listdir(f"sandboxes/{box}/endpoints"):
            tree.rmdir(f"sandboxes/{box}/endpoints/{name}")
        tree.rmdir(f"sandboxes/{box}")
    for name in set(tree.listdir("networks")) - {"bridge", "host", "none"}:
        tree.rmdir(f"networks/{name}")


@pytest.fixture
def tree(shared):
    """Network net with c2 on it, and c3."""
    shared.write("error_log", "\n")
    _fill(shared)
    yield shared
    _empty(shared)


def everything(tree):
    """What all objects are."""
    found = {}
    for kind in ("networks", "sandboxes"):
        for name in tree.listdir(kind):
            for file in ("inspect", "spec", "explain"):
                path = f"{kind}/{name}/{file}"
                if (tree / path).exists():
                    found[path] = tree.read(path)
            for each in tree.listdir(f"{kind}/{name}/endpoints"):
                found[f"{kind}/{name}/{each}"] = True
    return found


MTU = "com.docker.network.driver.mtu"
# What is typed; then what the file says.
EDIT = f"""cd {END}; echo 80:80 > publish
{{ x=$(cat publish); echo $x; echo 81:81; }} > publish"""
WRITES = {
    "echo": (f"echo 1400 > {NET}/mtu", "mtu", "1400\n"),
    "echo -n": (f"printf 1400 > {NET}/mtu", "mtu", "1400\n"),
    "cat": (f"echo 1400 | cat > {NET}/mtu", "mtu", "1400\n"),
    "tee": (f"echo 1400 | tee {NET}/mtu >/dev/null", "mtu", "1400\n"),
    "tee -a": (f"echo 1400 | tee -a {NET}/mtu >/dev/null", "mtu", "1400\n"),
    "cp": (f"echo 1400 > $T/v; cp $T/v {NET}/mtu", "mtu", "1400\n"),
    "cp a document": (f"echo '{{\"attachable\": true}}' > $T/v; cp $T/v {NET}/spec",
                      "attachable", "1\n"),
    "dd": (f"echo 1400 | dd of={NET}/mtu 2>/dev/null", "mtu", "1400\n"),
    "twice": (f"echo 1400 > {NET}/mtu; echo 1300 > {NET}/mtu", "mtu", "1300\n"),
    "append": (f"echo 1400 >> {NET}/mtu", "mtu", "1400\n"),
    "python": (f"{sys.executable} -c \"open('{NET}/mtu','w').write('1400')\"", "mtu", "1400\n"),
    "python r+": (f"{sys.executable} -c \"f=open('{NET}/mtu','r+');f.write('1400');f.truncate()\"",
                  "mtu", "1400\n"),
    "a list": ("printf '10.1.0.0/24\\nfd00:1::/64\\n' > networks/other/subnet",
               "../other/subnet", "10.1.0.0/24\nfd00:1::/64\n"),
    "here document": (f"cat > {END}/publish <<X\n8080:80\n53:53/udp\nX\n", "publish",
                      "c2 0.0.0.0:53:53/udp\nc2 0.0.0.0:8080:80\n"),
    "append to a list": (f"echo 8080:80 > {END}/publish; echo 8081:81 >> {END}/publish", "publish",
                         "c2 0.0.0.0:8080:80\nc2 0.0.0.0:8081:81\n"),
    "take away": (f"printf '80:80\\n81:81\\n' > {END}/publish; echo -80:80 >> {END}/publish",
                  "publish", "c2 0.0.0.0:81:81\n"),
    "edit a list": (EDIT, "publish",
                    "c2 0.0.0.0:80:80\nc2 0.0.0.0:81:81\n"),
    "empty a list": (f"echo 8080:80 > {END}/publish; : > {END}/publish", "publish", ""),
    "empty by cp": (f"echo 8080:80 > {END}/publish; cp /dev/null {END}/publish", "publish", ""),
    "empty by truncate": (f"echo 8080:80 > {END}/publish; truncate -s0 {END}/publish",
                          "publish", ""),
    "an empty line": (f"echo 8080:80 > {END}/publish; echo > {END}/publish", "publish", ""),
    "truncate": (f"echo 1400 > {NET}/mtu; truncate -s0 {NET}/mtu", "mtu", "1400\n"),
    "empty a value": (f"echo 1400 > {NET}/mtu; : > {NET}/mtu", "mtu", "1400\n"),
    "touch": (f"echo 1400 > {NET}/mtu; touch {NET}/mtu", "mtu", "1400\n"),
    "sed -i": (f"echo 1400 > {NET}/mtu; sed -i s/14/13/ {NET}/mtu", "mtu", "1300\n"),
    "sed -i a label": (f"cd {NET}/labels; sed -i s/web/app/ team; x=$(ls); test $x = team",
                       "labels/team", "app\n"),
    "sed -i labels": (f"cd {NET}/labels; echo web >a; sed -i s/b/t/ *; x=$(cat *; ls); echo $x > a",
                      "labels/a", "wet wet a team\n"),
    "sed -i an option": (f"cd {NET}/options; echo 1400 > {MTU}; sed -i s/14/13/ *; ls|cmp - $T/ls",
                         "mtu", "1300\n"),
    "like a scratch file": (f"cd {NET}/labels; echo 1 >sedABCDEF; echo 2 >teamABCDEF; echo * >team",
                            "labels/team", "sedABCDEF team teamABCDEF\n"),
    "a label": (f"echo x > {NET}/labels/a; cat {NET}/labels/team >> {NET}/labels/a", "labels/a",
                "web\n"),
    "rm a label": (f"echo x > {NET}/labels/a; cd {NET}/labels; rm a; x=$(ls); echo $x > left",
                   "labels/left", "team\n"),
    "rename": (f"rmdir {END}; mv {NET} networks/front; mv networks/front {NET}", "name", None),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITES)
def test_what_is_typed_has_its_effect(tree, shell, case, tmp_path):
    script, file, text = WRITES[case]
    tree.mkdir("networks/other")
    (tmp_path / "ls").write_text(f"{MTU}\n")
    done = run(tree, f"set -e; {script}", shell, env={"T": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if text is not None:
        assert tree.read(f"{NET}/{file}") == text
        assert os.stat(tree / NET / file).st_size == len(text)
    assert set(tree.listdir(NET)) >= {"mtu", "labels", "endpoints"}
    assert not [name for name in tree.listdir(NET) if name.startswith("sed")]
    assert tree.read("error_log") == ""


READS = {
    "cat": f"cat {NET}/subnet",
    "read": f"read x < {NET}/subnet; echo $x",
    "$(<)": f"echo $(cat {NET}/subnet)",
    "head": f"head -n1 {NET}/subnet",
    "tail": f"tail -n1 {NET}/subnet",
    "grep": f"grep 10 {NET}/subnet",
    "sort": f"sort {NET}/subnet",
    "awk": f"awk '{{print $1}}' {NET}/subnet",
    "dd": f"dd if={NET}/subnet 2>/dev/null",
    "dd bs=1": f"dd if={NET}/subnet bs=1 2>/dev/null",
    "cp": f"cp {NET}/subnet $T/x; cat $T/x",
    "python": f"{sys.executable} -c \"print(open('{NET}/subnet').read(), end='')\"",
    "copyfile": (f"{sys.executable} -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "
                 f"{NET}/subnet $T/x; cat $T/x"),
    "through a link": f"cat {END}/network/subnet",
    "and back": f"cat {END}/network/endpoints/c2/network/subnet",
}  # fmt: skip


@pytest.mark.parametrize("case", READS)
def test_what_is_read(tree, shell, case, tmp_path):
    done = run(tree, READS[case], shell, env={"T": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "10.20.30.0/24\n", "")


@pytest.mark.parametrize("script", [f"echo $(<{NET}/subnet)",
                                    f"mapfile -t x < {NET}/subnet; echo ${{x[0]}}"])  # fmt: skip
def test_what_only_bash_reads(tree, script):
    assert run(tree, script).stdout == "10.20.30.0/24\n"


def test_objects_are_made_linked_and_removed(tree, shell):
    script = f"""set -e
        mkdir networks/web sandboxes/s
        mkdir sandboxes/s/endpoints/web
        ln -s ../../../sandboxes/c3 networks/web/endpoints/c3
        ls networks/web/endpoints
        rm networks/web/endpoints/c3
        ln -s {tree.root}/sandboxes/c3 networks/web/endpoints/three
        readlink networks/web/endpoints/three
        cd networks/web/endpoints
        ls three/ip
        unlink three
        rmdir s/../web && cd ../../.. || exit 9
        rmdir sandboxes/s networks/web
        ls networks sandboxes
    """
    done = run(tree, script, shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "c3", "s", "../../../sandboxes/c3/endpoints/web", "three/ip",
        "networks:", "bridge", "host", "net", "none", "sandboxes:", "c2", "c3",
    ]  # fmt: skip


# Nothing is inside the sandboxes of a fake kernel; test_life.py looks into real ones.
LOOKS = {
    "grep": "grep -r 10.20 networks > $T/out",
    "find": "find networks drivers > $T/out",
    "find stat": "find networks drivers -type f -size +0 -newermt 2020-01-01 > $T/out",
    "find cat": "find networks drivers -type f -exec cat {} + > $T/out",
    "tar": "tar cf $T/t networks drivers && tar tf $T/t > $T/out",
    "cp": "cp -r networks $T/copy && ls $T/copy/net > $T/out",
    "cp -a": "cp -a networks drivers $T/ && ls $T/networks/net > $T/out",
    "ls": "ls -lR networks drivers > $T/out",
    "du": "du -a networks drivers > $T/out",
    "diff": "diff -r networks/net networks/net > $T/out; ls >> $T/out",
    "md5sum": "find networks -type f | xargs md5sum > $T/out",
    "wc": "find networks -type f | xargs wc -c > $T/out",
}


@pytest.mark.parametrize("case", LOOKS)
def test_looking_changes_nothing(tree, case, tmp_path):
    before = everything(tree)
    assert len(before) > 10
    done = run(tree, LOOKS[case], env={"T": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text()
    assert everything(tree) == before
    assert tree.read("error_log") == ""


def test_a_copy_is_what_was_there(tree, tmp_path):
    done = run(tree, "cp -r networks/net $T/second; tar c networks/net | tar x -C $T;"
                     "d='diff -r --no-dereference networks/net';$d $T/networks/net&&$d $T/second",
               env={"T": str(tmp_path)})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# What is refused, and the sentence in last_error.
PORTS = f"""echo 80:80 > {END}/publish
mkdir sandboxes/c3/endpoints/net
echo 80:80 > sandboxes/c3/endpoints/net/publish"""
REFUSED = {
    "nonsense": (f"echo nonsense > {NET}/attachable", "Invalid argument", "EINVAL"),
    "dd bs=1": (f"printf 10.1.0.0/24 | dd of={NET}/subnet bs=1", "Invalid argument", "EINVAL"),
    "read-only": (f"echo x > {NET}/id", "Permission denied", "EACCES"),
    "chmod": (f"chmod 600 {NET}/mtu", "Operation not permitted", "EPERM"),
    "chown": (f"chown 1 {NET}/mtu", "Operation not permitted", "EPERM"),
    "hard link": (f"ln {NET}/mtu {NET}/mtu2", "Operation not permitted", "EPERM"),
    "mkfifo": (f"mkfifo {NET}/pipe", "Operation not permitted", "EPERM"),
    "mknod": (f"mknod {NET}/null c 1 3", "Operation not permitted", "EPERM"),
    "rm": (f"rm -f {NET}/mtu", "Operation not permitted", "EPERM"),
    "a new file": (f"cp /dev/null {NET}/mut", "Operation not permitted", "EPERM"),
    "mv away": (f"mv {NET}/mtu {NET}/mut", "Operation not permitted", "EPERM"),
    "mv elsewhere": (f"mv {NET} sandboxes/net", "Operation not permitted", "EPERM"),
    "rmdir": (f"rmdir {NET}", "Device or resource busy", "EBUSY"),
    "busy": (f"echo 10.1.0.0/24 > {NET}/subnet", "Device or resource busy", "EBUSY"),
    "port": (PORTS,
             "Address already in use", "EADDRINUSE"),
    "install": (f"install /dev/null {NET}/mtu", "Operation not permitted", "EPERM"),
    "sed -i busy": (f"sed -i s/20/21/ {NET}/subnet", "Device or resource busy", "EBUSY"),
    "sed -i read-only": (f"sed -i s/0/1/ {NET}/id", "not permitted", "EPERM"),
    "grow": (f"truncate -s 9 {NET}/mtu", "Invalid argument", "EINVAL"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why(tree, case):
    script, words, name = REFUSED[case]
    before = everything(tree)
    done = run(tree, f"{script}; s=$?; cat last_error; exit $s")
    assert done.returncode == (4 if "sed" in case else 1)
    assert words in done.stderr
    assert f" {name} " in done.stdout
    if case != "port":
        assert everything(tree) == before


def test_the_words_of_the_shells(tree, shell):
    done = run(tree, f"echo nonsense > {NET}/mtu", shell)
    assert done.returncode == 1
    # dash says nothing better of any error.
    words = {"bash": "write error: Invalid argument", "dash": "I/O error"}
    assert words.get(shell, "Invalid argument") in done.stderr


def test_the_reason_is_that_of_the_session(tree):
    with subprocess.Popen(["bash"], cwd=tree.root, stdin=-1, stdout=-1, stderr=-1, text=True,
                          start_new_session=True) as first, \
         subprocess.Popen(["bash"], cwd=tree.root, stdin=-1, stdout=-1, stderr=-1, text=True,
                          start_new_session=True) as second:  # fmt: skip

        def ask(shell, line):
            shell.stdin.write(line + "; echo end $?\n")
            shell.stdin.flush()
            found = []
            while not (found and found[-1].startswith("end ")):
                found.append(shell.stdout.readline())
            return "".join(found)

        assert ask(first, f"echo fast > {NET}/mtu") == "end 1\n"
        assert ask(second, f"echo perhaps > {NET}/attachable") == "end 1\n"
        assert f"write {NET}/mtu: " in ask(first, "cat last_error")
        assert f"write {NET}/attachable: " in ask(second, "(cat last_error)")
        assert ask(first, f"echo 1400 > {NET}/mtu; cat last_error") == "ok\nend 0\n"
        assert f"write {NET}/attachable: " in ask(second, "sh -c 'cat last_error'")
        for each in (first, second):
            each.stdin.close()
            each.wait(PATIENCE)


def test_an_editor_writes_in_place(tree):
    descriptor = os.open(tree / NET / "mtu", os.O_WRONLY | os.O_CREAT, 0o644)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b"1400\n")
    os.fsync(descriptor)
    os.close(descriptor)
    assert tree.read(f"{NET}/mtu") == "1400\n"


def test_a_list_is_empty_when_close_returns(tree):
    for _ in range(30):
        tree.write(f"{END}/publish", "80:80\n")
        tree.write(f"{END}/publish")
        with tree.root.joinpath(NET, "publish").open() as stream:
            assert stream.read() == ""


def test_vim(tree):
    before = tree.listdir(NET)
    # The smallest vim, which scripts/test installs, goes by another name.
    vim = shutil.which("vim") or shutil.which("vim.tiny")
    assert vim
    done = run(tree, f"{vim} -u NONE -es +'s/1500/1400/' +wq {NET}/mtu </dev/null")
    assert done.returncode in {0, 1}, done.stderr
    assert tree.read(f"{NET}/mtu") == "1400\n"
    assert tree.listdir(NET) == before


# rm -r takes what is in a directory first, so it must be stopped before it gets to the links.
REMOVALS = {
    "rm": "rm -r networks/net sandboxes/c2",
    "rm -rf": "rm -rf networks/net sandboxes/c2",
    "the glob": "rm -rf networks/net/* sandboxes/c2/*",
    "busybox": "busybox rm -rf networks/net sandboxes/c2",
    "find": "find networks/net sandboxes/c2 -delete",
    "all": "rm -rf networks sandboxes",
    "rmtree": f"{sys.executable} -c \"import shutil; shutil.rmtree('networks/net')\"",
    "an endpoint": f"rm -rf {END}",
    "by find": f"find {END} -delete",
}


@pytest.mark.parametrize("case", REMOVALS)
def test_rm_r_takes_nothing(tree, case):
    before = everything(tree)
    done = run(tree, f"{REMOVALS[case]}; s=$?; cat last_error; exit $s")
    assert done.returncode == 1
    assert "not permitted" in done.stderr
    assert "rmdir" in done.stdout
    assert everything(tree) == before
    # Somebody else may at once.
    tree.unlink(f"{NET}/endpoints/c2")


def test_rm_r_of_all_endpoints_disconnects_them(tree):
    assert run(tree, f"rm {NET}/endpoints/*").returncode == 0
    assert tree.listdir("sandboxes/c2/endpoints") == []


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("case", [*REMOVALS][:-2])
def test_rm_r_with_rmrf(mount, binding, case):
    tree = mount(binding, "rmrf")
    _fill(tree)
    before = everything(tree)
    done = run(tree, REMOVALS[case])
    if case == "all":
        # What is always there stays.
        assert done.returncode == 1
        assert tree.listdir("networks") == ["bridge", "host", "none"]
        assert tree.listdir("sandboxes") == []
        return
    assert (done.returncode, done.stderr) == (0, "")
    if case == "the glob":
        # Only what is inside.
        assert tree.listdir(f"{NET}/endpoints") == []
        assert tree.listdir(f"{NET}/labels") == []
        return
    assert tree.listdir("networks") == ["bridge", "host", "none"]
    assert tree.listdir("sandboxes") == ["c2", "c3"] if case == "rmtree" else ["c3"]
    assert before
    with pytest.raises(OSError) as caught:
        tree.unlink("README")
    assert caught.value.errno == errno.EPERM
