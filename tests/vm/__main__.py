"""The vm lane: tests under another kernel, Debian's, in a guest without hardware virtualisation.

    python tests/vm [ARGUMENTS OF PYTEST]

Without arguments it runs what this machine's kernel may lack, which is every test that is
marked `needs` or `lacks`, and so much of the kernel lane as fits as a second opinion.
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
    "tests/contract",
    "tests/kernel/test_forwarding.py",
    "tests/kernel/test_guard.py",
    "tests/kernel/test_ipv6.py",
    "tests/kernel/test_nft_contract.py",
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/kernel/test_s[0-9]*.py"))),
]
"""What is run on the second kernel, too: what the kernel is asked for, and what it does then."""

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
    if words:
        return collected(*words)
    again = [name for name in collected(*AGAIN) if "[fake" not in name]
    return list(dict.fromkeys([*collected(*MARKED), *again]))


def main(words):
    # Whoever is ended by it has its guest ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tests = chosen(words)
    if not tests:
        raise SystemExit("vm: these arguments choose no test")
    kernel = debian.kernel()
    print(f"vm: {len(tests)} tests under Linux {kernel.release}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pycnm-vm-") as directory:
        share = Path(directory)
        luggage.pack(share / "luggage")
        given = [*OPTIONS, f"--junit-xml={guest.SHARE}/junit.xml", *tests]
        (share / "arguments").write_text("\n".join(given) + "\n")
        guest.run(kernel, share)
        return guest.verdict(share, len(tests))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
