"""A real hub, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.fakes.waiting import until


class HubProcess:
    """`python -m cloud_hub` on a data folder, with free ports. `start` returns when it is ready."""

    def __init__(self, data: Path, *flags: str, **environment: str) -> None:
        self.data = data
        self.command = [
            sys.executable,
            "-m",
            "cloud_hub",
            "--data",
            str(data),
            "--port",
            "0",
            "--mqtt-port",
            "0",
            *flags,
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")}
        self.environment = {**clean, **environment}
        self.log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "HubProcess":
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)
        # A note that is there already may be that of the hub before.
        until(lambda: process.poll() is not None or (self._note.exists() and self.note["pid"] == process.pid), 240)
        assert process.poll() is None, self.log.read_text()
        return self

    @property
    def _note(self) -> Path:
        return self.data / "hub.json"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def note(self) -> dict[str, Any]:
        """DATA/hub.json."""
        found: dict[str, Any] = json.loads(self._note.read_text())
        return found

    @property
    def url(self) -> str:
        return str(self.note["url"])

    @property
    def mqtt_port(self) -> int:
        return int(self.note["broker"].rpartition(":")[2])

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that answers `method` on `path`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=240) as answer:
            return json.load(answer)

    def end(self, how: signal.Signals = signal.SIGTERM, within_seconds: float = 60.0) -> int:
        """Its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self._process.wait(within_seconds)

    def __enter__(self) -> "HubProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
