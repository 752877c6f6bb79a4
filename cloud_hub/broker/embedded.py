"""The broker for evaluation: rumqttd in a child process, on loopback only, started again whenever it ends.

It has no client certificates, no access lists and no memory over a restart: others than this machine's must not
reach it, and what was retained is published again when the link is back.
"""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

from cloud_hub.errors import CannotStart
from cloud_hub.ports import is_taken, taken
from fleet_contract.because import Because

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"
#: Twice the most that a message may be, for topic and properties.
_MAX_PAYLOAD_BYTES = 256 * 1024
_START_SECONDS = 15.0
#: A hub that was killed leaves its broker for as long as the kernel takes to tell it.
_LEFT_OVER_SECONDS = 3.0

_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 20000
max_outgoing_packet_count = 200
# What a filter's log keeps in memory: size times count.
max_segment_size = 8388608
max_segment_count = 8

[v5.1]
name = "devices"
listen = "{host}:{port}"
next_connection_delay_ms = 0

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {max_payload_bytes}
max_inflight_count = 200
"""


class EmbeddedBroker:
    """One broker on `port` of 127.0.0.1, with its configuration in `folder`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._config = folder / "broker.toml"
        self._config.write_text(_CONFIG.format(host=HOST, port=port, max_payload_bytes=_MAX_PAYLOAD_BYTES))
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="broker-watch", daemon=True)
        self._trouble: Because | None = None

    def start(self) -> None:
        """Returns when it listens. Raises `CannotStart` when the port is taken or it does not come up."""
        deadline = time.monotonic() + _LEFT_OVER_SECONDS
        while is_taken(HOST, self.port):
            if time.monotonic() > deadline:
                raise taken("MQTT", HOST, self.port, "--mqtt-port")
            time.sleep(0.05)
        self._spawn()
        self._watcher.start()

    def stop(self) -> None:
        """Ends it. Safe to call twice."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None and process.stdin is not None:
            process.stdin.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None
        return self._process.pid

    def troubles(self) -> list[Because]:
        """What is wrong now."""
        return [self._trouble] if self._trouble else []

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cloud_hub.broker.child", str(self._config)],
            stdin=subprocess.PIPE,
            # Ctrl-C in a terminal goes to the whole group, and the hub says goodbye through the broker.
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not is_taken(HOST, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CannotStart(
                    f"The embedded broker did not come up on {HOST}:{self.port}.",
                    "Its messages are above; another broker can be used with --broker-url.",
                    code="broker-failed",
                )
            time.sleep(0.02)

    def _watch(self) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            process = self._process
            assert process is not None
            code = process.wait()
            if self._stopping.is_set():
                return
            self._trouble = Because("broker-down", f"The embedded broker ended with code {code} and is started again.")
            logger.error("%s", self._trouble.sentence)
            try:
                self._spawn()
            except CannotStart as error:
                logger.error("%s Trying again in %g s.", error, pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, 10.0)
            else:
                self._trouble, pause = None, 0.1
