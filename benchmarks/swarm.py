"""Protocol-level agents: the real drain over the real MQTT 5, with windows made up and kept in memory.

Each device runs through two boots, so that the hub sees an old boot drained before the new one, as after a restart of
an agent. With every other connection that breaks, a device forgets the newest ack of each boot, as after a power cut
(the spool does not sync what it has of acks), and so sends again what the hub has.
"""

import random
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.core.drain import Backlog, Drain, Send, acked, disconnected, following, sent
from fleet_contract.encoding import decode
from fleet_contract.telemetry import Ack, Batch, Window, encode_batch
from fleet_contract.topics import Address, Channel, topic

FLEET = "default"
BOOTS = ("b0", "b1")
DIGEST = "sha256:" + "5e" * 32
#: The drain waits 10 s for an answer and then longer: right for a fleet, long for a benchmark that kills every few
#: seconds. Its clock runs so much faster here.
HASTE = 5.0
_BATCH_WINDOWS = (10, 120)


def window(sequence: int, now_ms: int) -> Window:
    """A window of ten records as a small classifier would give it."""
    return Window(
        sequence=sequence,
        model="digits",
        version=1 + sequence % 2,
        digest=DIGEST,
        started_at_ms=now_ms - 1000,
        ended_at_ms=now_ms,
        count=10,
        errors=int(sequence % 7 == 0),
        latency={100 + sequence % 8: 6, 120 + sequence % 8: 4},
        predictions={str(sequence % 10): 7, str((sequence + 1) % 10): 3},
        confidence=(0, 0, 1, 9),
        error_codes={"output-shape": 1} if sequence % 7 == 0 else {},
    )


class SwarmAgent:
    """One device that has `allowed` windows of each boot to send, and counts as done when the hub has acked them."""

    def __init__(self, device: str, port: int, seed: int) -> None:
        self.address = Address(FLEET, device)
        self.sent_batches = 0
        self._random = random.Random(seed)
        self._allowed = dict.fromkeys(BOOTS, 0)
        self._marks = dict.fromkeys(BOOTS, 0)
        self._marks_before = dict.fromkeys(BOOTS, 0)
        self._drain = Drain()
        self._connected = False
        self._stopping = False
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_subscribe = self._on_ready
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port, keepalive=30)
        self._thread = threading.Thread(target=self._run, name=device, daemon=True)

    def start(self) -> None:
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def allow(self, windows: int) -> None:
        """From now on it has `windows` in all, half of them of each boot."""
        with self._changed:
            self._allowed = {BOOTS[0]: windows - windows // 2, BOOTS[1]: windows // 2}
            self._changed.notify_all()

    @property
    def acked(self) -> int:
        """How many windows the hub has acked, over both boots."""
        return sum(self._marks.values())

    def expected(self) -> set[tuple[str, str, int]]:
        """The name of every window that was made."""
        return {
            (self.address.device, boot, sequence)
            for boot, count in self._allowed.items()
            for sequence in range(1, count + 1)
        }

    def _backlog(self) -> Backlog | None:
        for boot in BOOTS:
            if self._marks[boot] < self._allowed[boot]:
                return Backlog(boot, self._marks[boot], self._allowed[boot])
        return None

    def _run(self) -> None:
        with self._changed:
            while not self._stopping:
                now = time.monotonic() * HASTE
                step = following(self._drain, self._backlog(), now) if self._connected else None
                if isinstance(step, Send):
                    self._send(step, now)
                elif step is None or step.until is None:
                    self._changed.wait(1.0)
                else:
                    self._changed.wait((step.until - now) / HASTE)

    def _send(self, step: Send, now: float) -> None:
        last = min(step.since + self._random.randint(*_BATCH_WINDOWS), self._allowed[step.boot])
        now_ms = int(time.time() * 1000)
        windows = tuple(window(one, now_ms) for one in range(step.since + 1, last + 1))
        payload = encode_batch(Batch(self.address.device, step.boot, step.after, windows))
        self._client.publish(topic(self.address, Channel.TELEMETRY), payload, qos=1)
        self._drain = sent(self._drain, step, last, now)
        self.sent_batches += 1

    def _on_connect(self, client: paho.Client, _data: object, _flags: object, reason: Any, _props: object) -> None:
        if not reason.is_failure:
            client.subscribe(topic(self.address, Channel.ACK), qos=1)

    def _on_ready(self, _client: object, _data: object, _mid: int, _reasons: object, _props: object) -> None:
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def _on_disconnect(self, _client: object, _data: object, _flags: object, _reason: object, _props: object) -> None:
        with self._changed:
            self._connected = False
            self._drain = disconnected(self._drain)
            if self._random.random() < 0.5:
                self._marks = dict(self._marks_before)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        ack = decode(bytes(message.payload), Ack)
        with self._changed:
            self._drain = acked(self._drain, ack, self._marks[ack.boot])
            if ack.through > self._marks[ack.boot]:
                self._marks_before[ack.boot] = self._marks[ack.boot]
                self._marks[ack.boot] = ack.through
            self._changed.notify_all()
