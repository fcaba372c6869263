"""Two sandboxes on a network of their own, and a port of the host that leads to one.

Run as root: `python examples/quickstart.py`.  It leaves nothing behind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pycnm


def main() -> None:
    """Make them, let them talk, and show what was made."""
    with (
        tempfile.TemporaryDirectory() as state,
        pycnm.Controller(state) as cnm,
        cnm.create_network("blue", subnet="10.9.0.0/24") as blue,
        cnm.create_sandbox("client") as client,
        cnm.create_sandbox("server") as server,
    ):
        blue.connect(client)
        endpoint = blue.connect(server, aliases=["web"], publish=["8080:80"])
        print(f"{endpoint.name} is {endpoint.ip} on {endpoint.interface}, {endpoint.mac}")

        client.run(["ping", "-c", "1", "web"], check=True)
        web_server = [sys.executable, "-m", "http.server", "80", "--bind", str(endpoint.ip)]
        quiet = subprocess.DEVNULL
        with server.popen(web_server, cwd=state, stdout=quiet, stderr=quiet) as web:
            try:
                print("the host gets", fetch("http://127.0.0.1:8080/"))
            finally:
                web.terminate()

        print("what a person would have typed for this endpoint:")
        print(endpoint.explain())


def fetch(url: str) -> str:
    """The status of a page, from a server that may need a moment to start."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own URL
                return f"{answer.status} {answer.reason}"
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
