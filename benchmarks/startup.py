"""How long `vedette` takes to start: the help, and a command that asks a hub.

The promise is 250 ms. The anchor is Python that only imports what such a program cannot do without: click and urllib3.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.figure import Figure, report

RUNS = 15
REACH_MS = 250.0
_PAGE = json.dumps({"items": [], "total": 0, "next": None}).encode()


class _EmptyHub(BaseHTTPRequestHandler):
    """Every list is empty."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_PAGE)))
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def fastest_ms(compiled: Path, *command: str) -> float:
    """The wall time of starting and ending `command`, in milliseconds, with bytecode kept in `compiled`.

    The fastest of many runs: the first compiles, as installing does, and whatever else runs on the machine only adds.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        times.append((time.perf_counter() - started) * 1000)
    return min(times)


def main() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _EmptyHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    vedette = (sys.executable, "-m", "fleet_client")
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder)
        anchor = fastest_ms(compiled, sys.executable, "-c", "import click, urllib3")
        helped = fastest_ms(compiled, *vedette, "--help")
        listed = fastest_ms(compiled, *vedette, "--hub", url, "devices", "list")
    server.shutdown()
    return report(
        [
            Figure("vedette --help, from start to end", helped, REACH_MS, "ms", anchor),
            Figure("vedette devices list, from start to end", listed, REACH_MS, "ms", anchor),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
