"""The vm lane: tests under another kernel, Debian's, in a guest without hardware virtualisation.

    python tests/vm [--all | ARGUMENTS OF PYTEST]
    python tests/vm bench [ARGUMENTS OF BENCH]

Without arguments it runs every test that is marked `needs` or `lacks`, and a second opinion on
the rest, in some ten minutes: AGAIN, and the first test of each scenario.  With `--all` it runs
them, the whole kernel lane and sweeps, which takes hours.  `bench` measures; what it is good
for are ratios of what is measured side by side.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import debian
import guest
import luggage

ROOT = luggage.ROOT

MARKED = ["-m", "needs or lacks", "tests/contract", "tests/kernel", "tests/e2e", "tests/faults"]
"""What needs something of the kernel, wherever it is."""

AGAIN = [
    "tests/contract/test_operations.py::test_do_and_undo",
    "tests/contract/test_running.py",
    "tests/kernel/test_nft_contract.py",
    # There a port of a bridge forwards only a moment after the other end is up.
    "tests/kernel/test_s04_bridge.py::test_neighbours_are_told_of_a_new_address",
]
"""What is run on the second kernel, too: all that a kernel is asked for."""

SCENARIOS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("tests/kernel/test_s[0-9]*.py")
)
"""Of these the first test, which is the scenario itself."""

SWEEPS = [
    "tests/faults/test_kill_sweep.py::test_killed_with_vlans",
    "tests/faults/test_errno_sweep.py::test_refused_with_vlans",
]
"""Of what this kernel lacks, and minutes each in an emulated machine."""

ALL = ["tests/contract", "tests/kernel", *SWEEPS]

OPTIONS = [
    # A guest that hangs has said which tests it had run.
    "-v", "-n", "2", "--dist=worksteal", "-p", "no:cacheprovider", "--tb=short", "--durations=10",
    "--timeout=600", "--whole-kernel",
]  # fmt: skip


def collected(*words):
    """The tests that arguments of pytest choose."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in {0, 5}:
        raise SystemExit(done.stdout + done.stderr)
    return [line for line in done.stdout.splitlines() if "::" in line]


def chosen(words):
    """The tests to run."""
    if words and words != ["--all"]:
        return collected(*words)
    again = collected(*ALL) if words else [*collected(*AGAIN), *firsts(collected(*SCENARIOS))]
    # The fake kernel is the same under any kernel.
    real = (name for name in [*collected(*MARKED), *again] if "[fake" not in name)
    return list(dict.fromkeys(real))


def firsts(tests):
    """The first test of each module."""
    found = {}
    for name in tests:
        found.setdefault(name.partition("::")[0], name)
    return list(found.values())


def main(words):
    # Whoever is ended by it has its guest ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if words[:1] == ["bench"]:
        tests, command = None, words
    else:
        tests = chosen(words)
        if not tests:
            raise SystemExit("vm: these arguments choose no test")
        command = ["pytest", *OPTIONS, f"--junit-xml={guest.SHARE}/junit.xml", *tests]
    kernel = debian.kernel()
    what = f"{len(tests)} tests" if tests else "bench"
    print(f"vm: {what} under Linux {kernel.release}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pycnm-vm-") as directory:
        share = Path(directory)
        luggage.pack(share / "luggage")
        (share / "command").write_text("\n".join(command) + "\n")
        guest.run(kernel, share)
        return guest.verdict(share, tests)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
