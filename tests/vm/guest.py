"""Boots a guest, shows what its tests say while they say it, and judges what came back."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import luggage

SHARE = "/run/vm/share"
"""Where the guest has the directory it shares with us."""
LIMIT, SILENCE = 60 * 60, 15 * 60
"""Seconds that a guest may take, and those it may take without a word, or it hangs."""

_SCRIPT = Path(__file__).with_name("guest.sh")
# A second export of this machine's root: how it is mounted is the guest's choice.
_QEMU = (
    "-fsdev local,id=tree,path=/,security_model=none,readonly=on,multidevs=remap "
    "-device virtio-9p-pci,fsdev=tree,mount_tag=tree"
)
# A kernel that stumbles stops, and so is seen.  Without `norandmaps` programs would be
# translated anew each time they start, and would take twice as long.
# It makes and removes namespaces all the time, and would wait for each other's processors.
_KERNEL = (
    "oops=panic mitigations=off init_on_alloc=0 audit=0 apparmor=0 hardened_usercopy=off "
    "nowatchdog norandmaps rcupdate.rcu_expedited=1"
)


def run(kernel, share):
    """Boot a kernel and let it run the module of `share/command`, until it ends or is ended."""
    begun = time.monotonic()
    words = [SHARE, str(kernel.modules), str(luggage.ROOT), sys.executable]
    script = shlex.join(["bash", str(_SCRIPT), *words])
    command = [
        # A /dev/kvm that is there may still not work.
        "vng", "--disable-kvm", "--run", str(kernel.image), "--memory", "3G", "--cpus", "2",
        "--user", "root", "--rwdir", f"{SHARE}={share}", "--append", _KERNEL, "--verbose",
        "--disk", f"{share}/luggage", f"--qemu-opts={_QEMU}", "--", script,
    ]  # fmt: skip
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (
        (share / "console").open("wb") as console,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console,
                         stderr=subprocess.STDOUT, env=environment,
                         start_new_session=True) as process,
    ):  # fmt: skip
        try:
            _follow(process, share / "log", time.monotonic() + LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"vm: {time.monotonic() - begun:.0f} s, "
        f"of two processors {(used.ru_utime + used.ru_stime) / 2:.0f} s"
    )


def _follow(process, log, end):
    """Print a log that grows, while a process runs."""
    shown, silent, running = 0, time.monotonic() + SILENCE, True
    while running:
        running = process.poll() is None and time.monotonic() < min(end, silent)
        if log.exists():
            with log.open("rb") as opened:
                opened.seek(shown)
                new = opened.read()
            if new:
                shown, silent = shown + len(new), time.monotonic() + SILENCE
                print(new.decode(errors="replace"), end="", flush=True)
        time.sleep(0.5 * running)


def verdict(share, tests):
    """The exit status of a run: 0 if every test that was asked for came back, and none failed."""
    status = share / "status"
    if not status.exists():
        console = (share / "console").read_text(errors="replace").splitlines()
        print("\n".join(console[-60:]))
        print("vm: the guest ended, or was ended, before its tests did; above is its console's end")
        return 1
    code = int(status.read_text())
    if code == 0 and tests:
        came = len(ET.parse(share / "junit.xml").findall(".//testcase"))
        if came != len(tests):
            print(f"vm: {len(tests)} tests were asked for, {came} came back")
            return 1
    return code
